"""What is shown of a run: on the terminal, as a metric, and at the top of the log's metadata."""

import atexit
import logging
import math
import re
import sys
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from inspect import signature
from textwrap import wrap
from typing import TYPE_CHECKING, Any, TextIO

from inspect_ai._util.platform import running_in_notebook
from inspect_ai._util.registry import registry_info
from inspect_ai.scorer import Metric, SampleScore, Value, metric
from inspect_ai.scorer._scorer import SCORER_METRICS, scorer_metrics, unique_scorer_name
from inspect_ai.util import display_type

from midband.inspect.log_file import RACE_RECORD, RECORD
from midband.text import block_width, encoding_of, one_line

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.log import EvalLog, EvalSpec

    from midband.inspect.live import LiveRun
    from midband_sampler import Decision
    from midband_sampler.racing import RaceVerdict

logger = logging.getLogger(__name__)

VERDICT = "midband_verdict"
PREFIX = "midband: "
SCORED_AGAIN = "scored again since the run"
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
    if spec is not None:
        forget_verdict(spec)


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
            keep_verdict(spec, run.verdict, decision_tag(run.decision))
    except Exception as error:  # what cannot be noted must not end the eval
        run.fail(error)


def keep_verdict(spec: "EvalSpec", text: str, tag: str) -> None:
    """Put a text first in the metadata of a log's header, and a short one among its tags.

    Inspect's viewer shows the tags beside the title, and the metadata on a page of its own.
    """
    forget_verdict(spec)
    spec.metadata = {VERDICT: text, **(spec.metadata or {})}
    spec.tags = [*(spec.tags or ()), one_line(f"{PREFIX}{tag}")]


def forget_verdict(spec: "EvalSpec") -> None:
    """Remove what an earlier attempt said, which a retry brings with it."""
    if VERDICT in (spec.metadata or {}):
        spec.metadata = {k: each for k, each in (spec.metadata or {}).items() if k != VERDICT}
    if any(tag.startswith(PREFIX) for tag in spec.tags or ()):
        spec.tags = [tag for tag in spec.tags or () if not tag.startswith(PREFIX)] or None


def decision_tag(decision: "Decision | None") -> str:
    """Return a verdict in few words: the viewer cuts a tag off after 40 characters."""
    if decision is None:
        return "no verdict"
    bounds = f"{decision.low}-{decision.high}"
    if decision.holds:
        bounds += f", {decision.confidence * 100:.3g} %"
    rank = "unknown" if decision.rank is None else decision.rank
    parts = [f"rank {rank} of {decision.n_reference + 1} ({bounds})"]
    if decision.target != "full benchmark":
        parts.append(f"on the {decision.target}")
    parts += [each.text for each in decision.claims if not each.text.startswith("rank ")][:1]
    if not decision.claims:
        parts.append("not settled")
    if decision.warnings:
        parts.append(f"{len(decision.warnings)} warning{'s' * (len(decision.warnings) > 1)}")
    return ", ".join(parts)


def race_tag(verdict: "RaceVerdict | None", candidate: str) -> str:
    """Return what a race has come to in few words, the candidate's own rank first."""
    if verdict is None:
        return "no verdict"
    found = [each.rank_text for each in verdict.ranked if each.candidate == candidate]
    place = (
        f"rank {found[0]} of {len(verdict.ranked)}" if found and found[0] != "-" else "set apart"
    )
    sure = "a guess" if verdict.confidence is None else f"{verdict.confidence * 100:.3g} %"
    sure += "" if verdict.settled or verdict.confidence is None else ", not settled"
    return f"{place} ({sure}). {verdict.answer}"


def mind_scoring() -> None:
    """Let no verdict stand in a log whose scores Inspect replaces.

    Inspect announces to nobody that it scores a log again. Its function is therefore wrapped: when
    it has replaced the scores of a log with a verdict, the verdict goes. Every other log passes
    through untouched, and nothing here can fail the scoring.
    """
    from inspect_ai._eval import score as module

    names: Any = module
    score = getattr(names, "score_async", None)
    if score is None or hasattr(score, "__midband__"):
        return

    @wraps(score)
    async def scored(log: "EvalLog", *args: Any, **settings: Any) -> Any:
        found = await score(log, *args, **settings)
        with suppress(Exception):
            given = signature(score).bind(log, *args, **settings).arguments
            if given.get("action") == "overwrite" and VERDICT in (found.eval.metadata or {}):
                _drop_verdict(found)
        return found

    vars(scored)["__midband__"] = True
    names.score_async = scored
    command: Any = sys.modules.get("inspect_ai._cli.score")
    if getattr(command, "score_async", None) is score:
        command.score_async = scored


def _drop_verdict(log: "EvalLog") -> None:
    """Say in place of a verdict that the log was scored again; the order of a run stays."""
    keep_verdict(log.eval, f"{SCORED_AGAIN}: `midband rank PLAN LOG` judges it", "scored again")
    metadata = log.eval.metadata or {}
    stopping: Any = getattr(log.results, "early_stopping", None)
    for record in (metadata.get(RECORD), getattr(stopping, "metadata", None)):
        if isinstance(record, dict) and "stop" in record:
            record.update(verdict=SCORED_AGAIN, scored_again=True)
    if isinstance(race := metadata.get(RACE_RECORD), dict):
        race.update(verdict=None, text=SCORED_AGAIN, scored_again=True)
    log.recompute_tags_and_metadata()


@metric(name="midband")
def verdict_metric(prefix: str = "midband_") -> Metric:
    """Rank and estimate of the full benchmark, beside metrics that are over the chosen tasks alone.

    The rank comes first: Inspect's viewer shows five metrics in the title.

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
            "rank": math.nan if decision.rank is None else float(decision.rank),
            "rank_low": float(decision.low),
            "rank_high": float(decision.high),
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


def say_at_end(key: str, text: Callable[[int, str], str]) -> None:
    """Print a text when the ``inspect`` command ends, or the run; of those of one key the last.

    It is asked for when it is printed, for so many columns and for the encoding of what it is
    printed to. The command prints on stderr when it exits. A program that calls Inspect itself
    hears of it by `say_now` when its run ends.
    """
    if _is_command() and not _LINES:
        atexit.register(_print)
    _LINES[key] = text


def plans_said() -> int:
    """Return how many plans what is to be said at the end is about: more than one in a suite."""
    return len({key.partition(" ")[0] for key in _LINES})


def say_now() -> None:
    """Print what is to be said at the end of a run that a program of somebody's own started.

    On stderr, or among the output of a notebook's cell; nothing with ``display="none"``.
    """
    if _is_command():
        return
    try:
        if display_type() != "none":
            _print(sys.stdout if running_in_notebook() else sys.stderr)
    except Exception as error:  # what cannot be printed must not end the run
        logger.warning("midband cannot print its verdict: %s", one_line(str(error)))
    finally:
        _LINES.clear()


def say_refused(error: Exception) -> None:
    """Print why a task is refused where Inspect's command would end without a word."""
    if _is_command() and display_type() == "none":
        print(f"midband: {one_line(str(error))}", file=sys.stderr)


def _is_command() -> bool:
    return "inspect_ai._cli.main" in sys.modules


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


def _print(file: TextIO | None = None) -> None:
    stream = sys.stderr if file is None else file
    width, encoding = block_width(stream), encoding_of(stream)
    for text in list(_LINES.values()):
        first, *rest = text(width, encoding).split("\n")
        for line in (f"{PREFIX}{first}", *rest):
            print(one_line(line), file=stream)


def finite(value: object) -> object:
    """Return a value without what JSON cannot hold: NaN and infinity become None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
