"""What an Inspect sample says to midband: its benchmark, id, content digest and cost."""

import hashlib
import json
import math
from collections.abc import Sequence
from typing import Any

# Inspect's summaries cut every text after so many characters and mark the cut; a digest that both
# a dataset and a summary must give can look no further.
TEXT_LIMIT = 5120
_CUT_MARK = "...\n(content truncated)"


def benchmark_name(task_name: str) -> str:
    """Return the benchmark that an Inspect task belongs to: its name without the package.

    The same task is called ``inspect_evals/gsm8k`` when run from the package and ``gsm8k`` when
    run from its file; both are one benchmark. The digests of its tasks guard against another
    benchmark of the same name.

    >>> benchmark_name("inspect_evals/gsm8k")
    'gsm8k'
    """
    return task_name.rpartition("/")[2]


def task_id(sample_id: object) -> str:
    """Return the id that midband keeps: the text, or an integer's decimal digits."""
    return str(sample_id)


def task_digest(input: object, target: object) -> str:  # noqa: A002 (the name is Inspect's)
    """Digest what a sample asks and what counts as right, alike for a dataset and for a log.

    Parameters
    ----------
    input : str or sequence of chat messages
    target : str or sequence of str

    Returns
    -------
    str
        16 hex digits. Only the first 5,120 characters of each text count, since a log's summary
        holds no more, and of what is not text only the kind (an image, a document).
    """
    content = json.dumps([_plain(input), _plain(target)], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.removesuffix(_CUT_MARK)[:TEXT_LIMIT]
    if isinstance(value, Sequence):
        return [_plain_part(part) for part in value]
    return _plain(str(value))


def _plain_part(part: object) -> object:
    """Return a text of a target, or role and text of a message."""
    if isinstance(part, str):
        return _plain(part)
    content = getattr(part, "content", "")
    if not isinstance(content, str):
        content = [
            _plain(item.text) if item.type == "text" else f"({item.type.capitalize()})"
            for item in content
        ]
        return [getattr(part, "role", ""), content]
    return [getattr(part, "role", ""), _plain(content)]


def attempt_cost(sample: Any) -> tuple[float | None, float | None]:
    """Return what an attempt cost, in dollars and in seconds; None where not known.

    Parameters
    ----------
    sample : EvalSample or EvalSampleSummary
        Its dollars are known where Inspect could price every model that was called. A negative or
        an infinite number is not known.
    """
    usage = list(sample.model_usage.values())
    costs = [getattr(each, "total_cost", None) for each in usage]
    known = [cost for cost in costs if cost is not None]
    usd = sum(known) if known and len(known) == len(costs) else None
    return amount(usd), amount(sample.total_time)


def amount(value: float | None) -> float | None:
    """Return a cost, a count or a duration; None where it is negative or not finite."""
    if value is None or not math.isfinite(value) or value < 0:
        return None
    return float(value)
