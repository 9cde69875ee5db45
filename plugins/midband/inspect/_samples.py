"""What an Inspect sample says to midband: its benchmark, id, content digest and score."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

# Inspect's summaries cut every text after so many characters and mark the cut; a digest that both
# a dataset and a summary must give can look no further.
TEXT_LIMIT = 5120
_CUT_MARK = "...\n(content truncated)"

_WORDS = {
    "c": 1.0,
    "i": 0.0,
    "p": 0.5,
    "n": 0.0,
    "yes": 1.0,
    "true": 1.0,
    "no": 0.0,
    "false": 0.0,
}


class HasValue(Protocol):
    """A score of Inspect's: all that is read of it is its value."""

    @property
    def value(self) -> object:
        """Number, text, truth value, list or mapping."""


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


def score_value(value: object) -> float | None:
    """Return a score in [0, 1], or None where the value says nothing.

    Inspect itself counts a mapping, a list and an unknown word as 0; here these, NaN, and numbers
    outside [0, 1], are no information.

    >>> [score_value(value) for value in ("C", "I", "P", True, 0.25, "0.5")]
    [1.0, 0.0, 0.5, 1.0, 0.25, 0.5]
    >>> [score_value(value) for value in (float("nan"), {"a": 1}, [1], "maybe", 7, None)]
    [None, None, None, None, None, None]
    """
    if isinstance(value, str):
        word = value.strip().lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            number = float(word)
        except ValueError:
            return None
    elif isinstance(value, bool | int | float):
        number = float(value)
    else:
        return None
    return number if not math.isnan(number) and 0.0 <= number <= 1.0 else None


def primary_score(scores: Mapping[str, HasValue] | None, *, spec: object = None) -> float | None:
    """Return the score that counts: the headline's, else the first scorer's.

    Parameters
    ----------
    scores : mapping of scorer name to score, or None
    spec : EvalSpec, optional
        What a log's header and a running eval both hold, of any version of Inspect. It names the
        scorers in order and, where the task declares one, the headline metric: its scorer, and
        its key where that scorer gives a mapping.
    """
    if not scores:
        return None
    headline = getattr(spec, "headline_metric", None)
    scorers = getattr(spec, "scorers", None) or ()
    wanted = [getattr(headline, "scorer", None), *(scorer.name for scorer in scorers)]
    name = next((name for name in wanted if name in scores), next(iter(scores)))
    value = scores[name].value
    key = getattr(headline, "score", None)
    if key is not None and isinstance(value, Mapping):
        value = value.get(key)
    return score_value(value)


def attempt_cost(sample: Any) -> tuple[float | None, float | None]:
    """Return what an attempt cost, in dollars and in seconds; None where not known.

    Parameters
    ----------
    sample : EvalSample or EvalSampleSummary
        Its dollars are known where Inspect could price every model that was called.
    """
    usage = list(sample.model_usage.values())
    costs = [getattr(each, "total_cost", None) for each in usage]
    known = [cost for cost in costs if cost is not None]
    usd = sum(known) if known and len(known) == len(costs) else None
    return usd, sample.total_time
