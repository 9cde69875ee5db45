"""Inspect logs, ``.eval`` and ``.json``: header and summaries only, one record a sample."""

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.descriptors import Importer, ReadOptions
from midband.hookspecs import hookimpl
from midband.importers.unpacking import in_workers
from midband.inspect.log_file import (
    RECORD,
    Log,
    covers_benchmark,
    declared_headline,
    load_log,
    metric_names,
    moment,
    numbered_after_shuffle,
    stated_by,
)
from midband.inspect.scores import (
    ScoreChoice,
    amount,
    attempt_cost,
    benchmark_name,
    choose_score,
    is_verdict,
    score_value,
    shapes_of,
    task_digest,
    task_id,
)
from midband_history import InputError, Metric, Note, Record, UnreadableSourceError

if TYPE_CHECKING:
    from datetime import datetime

    from inspect_ai.log import EvalLog, EvalSampleSummary

    from midband._ranking import LiveOrder
    from midband.descriptors import ReadItem
    from midband_history import OutcomeKind
    from midband_sampler import Plan

FORMAT = "inspect"
HEAD_BYTES = 4096
WORTH_WORKERS = 200  # starting a worker takes as long as reading so many logs
# How a run is carried out, not who the agent is.
_OPERATIONAL = frozenset(
    {
        "adaptive_connections",
        "attempt_timeout",
        "batch",
        "cache",
        "max_connections",
        "max_retries",
        "timeout",
    }
)
# Names of metrics of which less is better; whether that holds for the values is not said.
_REVERSE = re.compile(r"(error|failure|fail|refusal|hallucination)_?rate|perplexity|loss\b")
_OWN_TASKS = ("midband/adaptive", "midband/race", "adaptive", "race")
_LIMITS = ("message_limit", "token_limit", "turn_limit", "time_limit", "working_limit")


@hookimpl
def midband_register_importers() -> "Iterable[Importer]":
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name=FORMAT,
            sniff=sniff,
            read=read,
            suffixes=(".eval", ".json"),
            summary="Inspect AI logs, .eval and .json.",
            read_many=read_many,
            version=2,
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file looks like an Inspect log: by its ending, or by how its JSON begins."""
    if path.suffix == ".eval":
        return path.is_file()
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    squeezed = b"".join(head.split())
    return b'"eval":{' in squeezed and b'"status":"' in squeezed[: squeezed.find(b'"eval":{')]


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Read one log.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `benchmark` overrides the name of the log's task, which then is the tasks' part. `metric`
        names the scorer, and its key where it gives a mapping: ``SCORER`` or ``SCORER.KEY``.

    Raises
    ------
    UnreadableSourceError
        The log is truncated or foreign, it does not have the metric, or inspect-ai is not
        installed.
    """
    log = load_log(path)
    spec = log.header.eval
    try:
        choice = choose_score(
            shapes_of(summary.scores for summary in log.summaries),
            scorers=[scorer.name for scorer in spec.scorers or ()],
            headline=declared_headline(log.header),
            wanted=options.metric,
            preferred=options.prefer_metric,
        )
    except InputError as error:
        msg = f"{path}: {error}"
        raise UnreadableSourceError(msg) from error
    run = _Run(log, choice, benchmark=options.benchmark)
    records = [run.record(summary) for summary in log.summaries]
    yield from records
    yield from run.notes()
    scored = sum(record.kind == "valid" for record in records)
    yield from stated_by(log.header, choice, logged=len(records), scored=scored)


def read_many(
    paths: Sequence[Path], *, options: ReadOptions | None = None, workers: int | None = None
) -> "Iterator[tuple[Path, list[ReadItem] | UnreadableSourceError]]":
    """Read many logs in worker processes, in order, with a bounded number in memory.

    Parameters
    ----------
    paths : sequence of Path
    options : ReadOptions, optional
        As in `read`.
    workers : int, optional
        Processes; the number of cores by default. Few logs are read in this process.

    Yields
    ------
    (path, what was read or the reason why the log cannot be read)
    """
    job = partial(_attempt, options=options or ReadOptions())
    if workers == 1 or len(paths) < WORTH_WORKERS:
        for path in paths:
            yield path, job(str(path))
        return
    yield from in_workers(job, paths, workers=workers, died=_died)


def _attempt(path: str, *, options: ReadOptions) -> "list[ReadItem] | UnreadableSourceError":
    try:
        return list(read(Path(path), options=options))
    except UnreadableSourceError as error:
        return error
    except Exception as error:  # one odd log must not end the import
        reason = " ".join(str(error).split())
        msg = f"{path}: expected an Inspect log, got {type(error).__name__}: {reason}"
        return UnreadableSourceError(msg)


def _died(path: Path, reason: str) -> UnreadableSourceError:
    msg = (
        f"{path}: expected an Inspect log, got one at which the process that read it died twice"
        f" ({' '.join(reason.split())}): look at its size, or leave it out"
    )
    return UnreadableSourceError(msg)


class _Run:
    """What all records of one log share, and what is to be said of it."""

    def __init__(self, log: Log, choice: ScoreChoice, *, benchmark: str | None) -> None:
        self._log = log
        self._choice = choice
        header = log.header
        spec = header.eval
        self._spec = spec
        scaffold = spec.solver or ""
        steps = [(step.solver, step.params) for step in header.plan.steps]
        settings: dict[str, object] = {
            "solver": _digest([scaffold, spec.solver_args] if scaffold else steps),
            "generate": {
                **_set_fields(spec.model_generate_config),
                **_set_fields(header.plan.config),
            },
            "model_args": spec.model_args,
            "model_roles": {
                role: [_set_fields(one) for one in (each if isinstance(each, list) else [each])]
                for role, each in (spec.model_roles or {}).items()
            },
            "task_args": _task_args(spec),
            **{name: getattr(spec.config, name, None) for name in _LIMITS},
        }
        task = _task_of(spec)
        version = spec.task_version
        self._ended = moment(header.stats.completed_at) or _started(header)
        self._shuffled = numbered_after_shuffle(spec)
        self._names: dict[object, str] = {}
        self._alike: Counter[str] = Counter()
        self._counts_errors = _counts_errors(log, choice)
        self._unclear: list[object] = []
        self._odd_costs = 0
        # With a solver of the user's own the agent is model and solver; else the task's default.
        self._shared: dict[str, Any] = {
            "benchmark": benchmark or task,
            "part": task if benchmark not in (None, "", task) else "",
            "benchmark_version": str(version) if version not in (0, "0", "", None) else "",
            "whole_benchmark": covers_benchmark(header, log.summaries),
            "metric": self._metric(),
            "agent": f"{spec.model} ({scaffold})" if scaffold else spec.model,
            "model": spec.model,
            "scaffold": scaffold or "+".join(name for name, _ in steps),
            "settings": {name: value for name, value in settings.items() if value},
            "run_id": spec.task_id or spec.run_id,
            "harness": "inspect",
            "harness_version": spec.packages.get("inspect_ai", ""),
            "started": _started(header),
        }

    def _metric(self) -> Metric:
        """Return the metric, with its scale where the values are words or truth values."""
        raw = [self._choice.raw(summary.scores) for summary in self._log.summaries]
        numbers = [value for value in raw if score_value(value) is not None]
        by_nature = bool(numbers) and all(is_verdict(value) for value in numbers)
        return Metric(
            name=self._choice.scorer,
            key=self._choice.key,
            declared="source" if by_nature and self._choice.scorer else "",
        )

    def record(self, summary: "EvalSampleSummary") -> Record:
        """Return the record of one sample."""
        spec = self._spec
        raw = self._choice.raw(summary.scores)
        score = score_value(raw)
        if score is None and raw is not None and not (isinstance(raw, float) and math.isnan(raw)):
            self._unclear.append(raw)
        kind = self._kind(summary, score)
        usage = list(summary.model_usage.values())
        usd, seconds = attempt_cost(summary)
        tokens = amount(float(sum(one.total_tokens for one in usage))) if usage else None
        stated = (summary.total_time, *(getattr(one, "total_cost", None) for one in usage))
        self._odd_costs += any(each is not None and amount(each) is None for each in stated)
        own = summary.uuid or f"{spec.run_id}:{spec.task_id}:{summary.id}:{summary.epoch}"
        digest = task_digest(summary.input, summary.target)
        return Record(
            **self._shared,
            task_id=self._task_id(summary, digest),
            score=score if kind == "valid" else None,
            kind=kind,
            attempt=max(summary.epoch - 1, 0),
            cost_usd=usd,
            tokens=tokens,
            duration_s=seconds,
            task_digest=digest,
            source_key=own,
            scored_at=self._scored_at(summary),
            errored=summary.error is not None and not _cancelled(summary.error),
        )

    def notes(self) -> Iterator[Note]:
        """Yield what a reader must know, once all records have been made."""
        choice, log = self._choice, self._log
        if choice.why:
            text = f"{choice.label} was read: {choice.why}; --metric names another"
            yield Note(code="metric-chosen", text=text)
        if choice.others:
            text = f"{choice.label} was read, not {', '.join(choice.others)}"
            yield Note(code="other-metrics", text=f"{text}: --metric names another")
        if log.scoring.again:
            how = "scores were added" if log.scoring.added else "the log was scored again"
            text = f"{how} on {log.scoring.last:%Y-%m-%d %H:%M} UTC"
            yield Note(code="scored-again", text=f"{text}, {choice.label} was read")
        if self._unclear:
            example = " ".join(repr(self._unclear[0]).split())[:60]
            text = f"{len(self._unclear)} samples have a score that is no number, as {example}"
            yield Note(code="not-a-number", text=f"{text}: they are unscored")
        completed = log.header.results.completed_samples if log.header.results else 0
        if completed > len(log.summaries):
            text = f"the log holds {len(log.summaries)} of the {completed} samples that it counts"
            yield Note(code="samples-absent", text=text)
        if self._shuffled:
            text = "the samples were numbered after a shuffle: tasks are named by their content"
            yield Note(code="shuffled-ids", text=text)
        if self._odd_costs:
            text = f"{self._odd_costs} samples have a negative or infinite cost or time: unknown"
            yield Note(code="odd-costs", text=text)
        reverse = [name for name in metric_names(log.header, choice) if _REVERSE.search(name)]
        if reverse:
            text = (
                f"the log reports {reverse[0]} of {choice.label}; greater values of {choice.label}"
                " are taken to be better: --lower-is-better says otherwise"
            )
            yield Note(code="direction-unclear", text=text)

    def _kind(self, summary: "EvalSampleSummary", score: float | None) -> "OutcomeKind":
        if summary.uuid in self._log.invalid:
            return "grader_error"
        if summary.error is not None and not (score is not None and self._counts_errors):
            return "cancelled" if _cancelled(summary.error) else "infra_error"
        return "missing" if score is None else "valid"

    def _task_id(self, summary: "EvalSampleSummary", digest: str) -> str:
        """Return the sample's id; of a number that a shuffle gave, the content instead."""
        if not self._shuffled:
            return task_id(summary.id)
        if summary.id not in self._names:
            alike = self._alike[digest]
            self._alike[digest] += 1
            self._names[summary.id] = f"{digest}-{alike + 1}" if alike else digest
        return self._names[summary.id]

    def _scored_at(self, summary: "EvalSampleSummary") -> "datetime | None":
        """Return when the score was given: at the sample's end, by a later scoring or an edit."""
        scoring = self._log.scoring
        ended = moment(getattr(summary, "completed_at", None))
        times = [ended or self._ended]
        if (scoring.again and not scoring.added) or ended is None:
            times.append(scoring.last)
        score = (summary.scores or {}).get(self._choice.scorer)
        for edit in getattr(score, "history", None) or ():
            stamp = getattr(getattr(edit, "provenance", None), "timestamp", None)
            times.append(moment(stamp))
        return max((each for each in times if each is not None), default=None)


def _cancelled(error: str) -> bool:
    return error.startswith(("CancelledError(", "Cancelled("))


def _counts_errors(log: Log, choice: ScoreChoice) -> bool:
    """Whether Inspect's own metrics count samples that ended in an error and have a score."""
    if getattr(log.header.eval.config, "score_on_error", None):
        return True
    results = log.header.results
    stated = [score for score in results.scores if score.scorer == choice.scorer] if results else []
    if not stated or stated[0].scored_samples is None:
        return False
    scored = [each for each in log.summaries if choice.value(each.scores) is not None]
    every = {each.id for each in scored}
    whole = {each.id for each in scored if each.error is None}
    return stated[0].scored_samples == len(every) != len(whole)


def _started(header: "EvalLog") -> "datetime | None":
    return moment(header.stats.started_at) or moment(header.eval.created)


def _task_args(spec: Any) -> dict[str, object]:
    """Return the arguments given to the task; of midband's own task, those of the inner one."""
    ours = (spec.metadata or {}).get("midband")
    given = ours.get("args") if isinstance(ours, dict) else None
    return dict(given if isinstance(given, dict) else getattr(spec, "task_args_passed", {}) or {})


def _set_fields(config: Any) -> dict[str, object]:
    """Return what is set in one of Inspect's settings, without how the run is carried out."""
    if config is None:
        return {}
    plain = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return {name: value for name, value in plain.items() if name not in _OPERATIONAL}


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def live_orders(
    plan: "Plan", paths: Sequence[Path], *, format_name: str | None = None
) -> "dict[str, LiveOrder]":
    """Return the orders that runs by this plan chose, by run id, from the headers of their logs.

    Of several attempts at one run the longest counts: each continues where the one before it ended.
    A file that cannot be read, as none can without Inspect, is passed over; it is refused where
    its samples are read.

    Parameters
    ----------
    plan : Plan
    paths : sequence of Path
        Files and directories, in which the logs are found as `midband import` finds them.
    format_name : str, optional
        The importer to use, instead of the one that recognises a file.
    """
    from midband._manager import get_plugin_manager
    from midband.importers.unpacking import opened_sources

    if not plan.chooses_live:
        return {}
    importers = get_plugin_manager().importers()
    with opened_sources(paths, importers, format_name=format_name) as found:
        logs = [each.path for each in found.sources if each.importer.name == FORMAT]
        return _orders(plan, logs)


def _orders(plan: "Plan", paths: Iterable[Path]) -> "dict[str, LiveOrder]":
    """Return the orders of logs, by run id."""
    from midband._ranking import LiveOrder

    orders: dict[str, LiveOrder] = {}
    try:
        from inspect_ai.log import read_eval_log
    except ImportError:
        return orders
    for path in paths:
        try:
            spec = read_eval_log(str(path), header_only=True).eval
        except Exception:  # whatever a foreign file does to Inspect
            continue
        record = (spec.metadata or {}).get(RECORD)
        if not isinstance(record, Mapping) or record.get("plan_digest") != plan.digest:
            continue
        known = set(plan.tasks)
        tasks, unlogged = (
            tuple(str(task) for task in record.get(name, ()) if task in known)
            for name in ("order", "unlogged")
        )
        run = spec.task_id or spec.run_id
        if run not in orders or len(tasks) >= len(orders[run].tasks):
            orders[run] = LiveOrder(tasks=tasks, unlogged=unlogged)
    return orders


def _task_of(spec: Any) -> str:
    """Return the benchmark of a log.

    Inspect Flow names a log after the task that it was told to run, which for a run by a plan is
    ours. Such a log says itself which benchmark it is of.
    """
    note = (spec.metadata or {}).get("midband")
    own = spec.task in _OWN_TASKS and isinstance(note, Mapping)
    name = note.get("benchmark") if own and isinstance(note, Mapping) else None
    return benchmark_name(name if isinstance(name, str) and name else spec.task)
