"""What is shown of a run: on the terminal, as a metric, and at the top of the log's metadata."""

import atexit
import math
import re
import sys
from collections.abc import Callable, Collection, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from inspect_ai._util.registry import registry_info
from inspect_ai.scorer import Metric, SampleScore, Value, metric
from inspect_ai.scorer._scorer import SCORER_METRICS, scorer_metrics, unique_scorer_name

from midband.text import block_width, encoding_of, one_line

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalSpec

    from midband.inspect.live import LiveRun
    from midband_sampler import Decision

VERDICT = "midband_verdict"
PREFIX = "midband: "
# Five captions and counters, and Inspect's own, go into 120 columns.
_CAPTION = 7
_DATE = re.compile(r"[-@](\d{8}|\d{4}-\d{2}-\d{2}|latest)$")
_LINES: dict[str, Callable[[int, str], str]] = {}


@dataclass(eq=False)
class RunningEval:
    """One attempt at one task on one model; `run` is its state, once it has begun.

    Parameters
    ----------
    spec : EvalSpec or None
        None where Inspect did not announce the eval.
    max_connections : int or None
        Calls to the model at a time, where the user set them.
    run : LiveRun or None
    entrant : Entrant or None
        In its stead in a race.
    """

    spec: "EvalSpec | None"
    max_connections: int | None = None
    run: "LiveRun | None" = None
    entrant: object = None


# Each eval runs in a context of its own, in which the contexts of its samples begin.
running_eval: ContextVar[RunningEval | None] = ContextVar("midband_eval", default=None)


def begin_run(run: "LiveRun", spec: "EvalSpec | None") -> None:
    """Note the run of the eval whose context this is; a verdict of an earlier attempt goes."""
    current = running_eval.get()
    if current is None or current.spec is not spec:
        current = RunningEval(spec)
        running_eval.set(current)
    current.run = run
    known = (spec.metadata or {}) if spec is not None else {}
    if spec is not None and VERDICT in known:
        spec.metadata = {name: each for name, each in known.items() if name != VERDICT}


def current_run() -> "LiveRun | None":
    """Return the run of the eval whose context this is."""
    current = running_eval.get()
    return None if current is None else current.run


def say_in_header(run: "LiveRun") -> None:
    """Put the verdict in words first in the metadata of the log's header; never raises."""
    current = running_eval.get()
    spec = None if current is None else current.spec
    try:
        if spec is not None:
            keep_verdict(spec, run.verdict)
    except Exception as error:  # what cannot be noted must not end the eval
        run.fail(error)


def keep_verdict(spec: "EvalSpec", text: str) -> None:
    """Put a text first in the metadata of a log's header."""
    rest = {name: each for name, each in (spec.metadata or {}).items() if name != VERDICT}
    spec.metadata = {VERDICT: text, **rest}


@metric(name="midband")
def verdict_metric(prefix: str = "midband_") -> Metric:
    """Estimate of the full benchmark, beside metrics that are over the chosen tasks alone.

    Parameters
    ----------
    prefix : str
        What the names of the values begin with. Inspect puts the metric's own name before them
        where a scorer has metrics for each key, and then they need no other.
    """

    def compute(scores: list[SampleScore]) -> Value:
        run = current_run()
        decision = None if run is None else run.decision
        if decision is None:
            return math.nan
        found = {
            "full_score": decision.full_score,
            "full_score_low": decision.full_score_low,
            "full_score_high": decision.full_score_high,
            "tasks_chosen": float(len({each.sample_id for each in scores})),
            "tasks_in_full": float(decision.tasks_total),
        }
        return {f"{prefix}{name}": value for name, value in found.items() if not math.isnan(value)}

    return compute


def add_verdict_metric(task: "Task", *, scorer: str, key: str) -> None:
    """Let a task's log show the estimate beside the metrics of the score that is judged.

    Parameters
    ----------
    task : Task
        Changed in place.
    scorer, key : str
        The metric of the run; the first scorer by default.
    """
    if task.metrics:
        task.metrics = _with_ours(task.metrics, key)
        return
    found: Any = task.scorer
    names: list[str] = []
    for each in found if isinstance(found, list | tuple) else [found] if found else []:
        name = unique_scorer_name(each, names)
        names.append(name)
        if scorer in ("", name):
            metrics = _with_ours(scorer_metrics(each), key)
            registry_info(each).metadata[SCORER_METRICS] = metrics
            return


def _with_ours(metrics: Any, key: str) -> Any:
    if not isinstance(metrics, dict):
        return [*metrics, verdict_metric()]
    chosen = key if key in metrics else next(iter(metrics), "")
    return {
        name: [*each, verdict_metric("")] if name == chosen else each
        for name, each in metrics.items()
    }


def say_at_exit(key: str, text: Callable[[int, str], str]) -> None:
    """Print a text on stderr when the ``inspect`` command ends; of those of one key the last.

    It is asked for when it is printed, for so many columns and for the encoding of stderr.

    In a program of somebody's own that calls Inspect nothing is printed: the log has the verdict.
    """
    if "inspect_ai._cli.main" not in sys.modules:
        return
    if not _LINES:
        atexit.register(_print)
    _LINES[key] = text


def caption_of(model: str, others: Collection[str] = ()) -> str:
    """Return a short caption for a model: the end of its name, without a date.

    Parameters
    ----------
    model : str
    others : collection of str
        Captions that are on the screen already.

    Examples
    --------
    >>> caption_of("openai/gpt-4o")
    'gpt-4o'
    >>> caption_of("anthropic/claude-sonnet-4-5-20250929")
    'net-4-5'
    """
    name = one_line(_DATE.sub("", model.rpartition("/")[2]) or model)[-_CAPTION:]
    caption, number = name, 2
    while caption in others:
        caption, number = f"{name[1:]}{number}", number + 1
    return caption


def counter_text(decision: "Decision", *, alone: bool) -> str:
    """Return what the counter shows; beside other models only the bounds and the progress."""
    if alone:
        return decision.short
    share = 100 * decision.tasks_run // max(decision.tasks_planned, 1)
    return f"{decision.low}-{decision.high} {share}%{'!' if decision.warnings else ''}"


def wrapped(text: str, width: int, indent: str = "  ") -> list[str]:
    """Return a text as further lines of a verdict, which break at words."""
    return wrap(
        " ".join(text.split()),
        width,
        initial_indent=indent,
        subsequent_indent="  ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _print() -> None:
    width, encoding = block_width(sys.stderr), encoding_of(sys.stderr)
    for text in _LINES.values():
        first, *rest = text(width, encoding).split("\n")
        for line in (f"{PREFIX}{first}", *rest):
            print(one_line(line), file=sys.stderr)


def finite(value: object) -> object:
    """Return a value without what JSON cannot hold: NaN and infinity become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
