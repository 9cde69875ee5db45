"""An Inspect log as it is read: header, samples in short, and what it states of its own results."""

import json
import math
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.inspect.scores import task_id
from midband_history import StatedAggregate, UnreadableSourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inspect_ai.log import (
        EvalLog,
        EvalMetric,
        EvalSample,
        EvalSampleSummary,
        EvalScore,
        EvalSpec,
    )

    from midband.inspect.scores import ScoreChoice

_MOST_BYTES = 1_000_000_000
_MOST_OF_SAMPLE = 50_000_000
# What the header of a live run's log calls the order and the verdict, in its metadata.
RECORD = "midband_run"
# The same of a race.
RACE_RECORD = "midband_race"


@dataclass(frozen=True, kw_only=True)
class Scoring:
    """When the samples of a log were last scored.

    Parameters
    ----------
    last : datetime or None
        The latest time that is known.
    again : bool
        Whether that was after the end of a sample: by ``inspect score``.
    added : bool
        Whether that only added scores, so that those that were there stand as they were.
    """

    last: datetime | None = None
    again: bool = False
    added: bool = False


@dataclass(frozen=True, kw_only=True)
class Log:
    """What is kept of a log while it is read.

    Parameters
    ----------
    header : EvalLog
    summaries : list of EvalSampleSummary
    invalid : frozenset of str
        The uuids of samples that a reviewer declared invalid; summaries do not say.
    scoring : Scoring
    """

    header: "EvalLog"
    summaries: "list[EvalSampleSummary]"
    invalid: frozenset[str | None]
    scoring: Scoring


def plan_of_log(path: Path) -> str:
    """Return the digest of the plan that chose the samples of a log; empty where none did.

    A file that cannot be read, as none can without Inspect, names no plan.
    """
    try:
        from inspect_ai.log import read_eval_log

        spec = read_eval_log(str(path), header_only=True).eval
    except Exception:  # whatever a foreign file does to Inspect
        return ""
    metadata, arguments = spec.metadata or {}, spec.task_args or {}
    record = metadata.get(RECORD)
    live = record.get("plan_digest") if isinstance(record, dict) else None
    return str(live or metadata.get("midband_plan") or arguments.get("plan_digest") or "")


def metadata_in(path: Path, key: str) -> "Iterator[tuple[str, str]]":
    """Yield each sample's id and its value of a key of its metadata, where it has one."""
    from inspect_ai.log import read_eval_log_sample_summaries

    for summary in read_eval_log_sample_summaries(str(path)):
        value = (summary.metadata or {}).get(key)
        if value is not None:
            yield task_id(summary.id), str(value)


def load_log(path: Path) -> Log:
    """Read a log.

    Raises
    ------
    UnreadableSourceError
        It is truncated or foreign, or inspect-ai is not installed.
    """
    try:
        import inspect_ai.log  # noqa: F401 - only whether it is there
    except ImportError as error:
        msg = f"{path}: expected inspect-ai, got {error}: pip install 'midband[inspect]'"
        raise UnreadableSourceError(msg) from error
    if not path.is_file():
        msg = f"{path}: expected an Inspect log, got no file of that name: check the path"
        raise UnreadableSourceError(msg)
    try:
        return _whole(path) if path.suffix == ".json" else _in_short(path)
    except UnreadableSourceError:
        raise
    except Exception as error:  # a foreign file can make Inspect fail in any way
        found = _reason(path, error)
        msg = f"{path}: expected an Inspect log, got {found}: import it again when whole"
        raise UnreadableSourceError(msg) from error


def _in_short(path: Path) -> Log:
    """Read header and summaries of an ``.eval`` log, and one sample for when it was scored."""
    from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries

    _check_size(path)
    header = read_eval_log(str(path), header_only=True)
    summaries = read_eval_log_sample_summaries(str(path))
    invalid = _invalidated(path) if getattr(header, "invalidated", False) else frozenset()
    return Log(
        header=header,
        summaries=summaries,
        invalid=invalid,
        scoring=scoring_in(path, summaries),
    )


def _check_size(path: Path) -> None:
    """Refuse an archive whose header and summaries would take gigabytes when they are unpacked."""
    with zipfile.ZipFile(path) as archive:
        size = sum(
            info.file_size
            for info in archive.infolist()
            if not info.filename.startswith("samples/")
        )
    if size > _MOST_BYTES:
        msg = f"{path}: expected an Inspect log, got one that unpacks to {size / 1e6:,.0f} MB"
        raise UnreadableSourceError(msg)


def _whole(path: Path) -> Log:
    """Read a ``.json`` log, of which Inspect can read no part without the rest."""
    from inspect_ai.log import read_eval_log

    log = read_eval_log(str(path))
    samples = log.samples or []
    invalid = (each.uuid for each in samples if getattr(each, "invalidation", None) is not None)
    return Log(
        header=log,
        summaries=[sample.summary() for sample in samples],
        invalid=frozenset(invalid),
        scoring=scoring_of(samples),
    )


def declared_headline(header: "EvalLog") -> object:
    """Return the main metric that the task declares; Inspect fills the results' one in by itself.

    The results have it with the scorer that carries it.
    """
    declared = getattr(header.eval, "headline_metric", None)
    if declared is None:
        return None
    return getattr(header.results, "headline", None) or declared


def _reason(path: Path, error: Exception) -> str:
    """Say in a few words what is wrong with a file that Inspect cannot read."""
    if path.suffix == ".eval" and not zipfile.is_zipfile(path):
        return "a truncated or foreign file (no zip directory at its end)"
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError) as problem:
            return f"a truncated or foreign file ({' '.join(str(problem).split())})"
    cause = error.__cause__ or error
    first = (str(cause).splitlines() or [""])[0]
    return f"one that Inspect cannot read ({type(cause).__name__}: {first})"


def _invalidated(path: Path) -> frozenset[str | None]:
    """Return the uuids of samples that a reviewer declared invalid; summaries do not say."""
    from inspect_ai.log import read_eval_log_samples

    heavy = {"messages", "events", "store", "attachments", "output"}
    samples = read_eval_log_samples(str(path), all_samples_required=False, exclude_fields=heavy)
    return frozenset(
        sample.uuid for sample in samples if getattr(sample, "invalidation", None) is not None
    )


def moment(value: object) -> datetime | None:
    """Read one of Inspect's dates; None where there is none."""
    try:
        found = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def covers_benchmark(header: "EvalLog", summaries: "Sequence[EvalSampleSummary]") -> bool:
    """Whether a log says that every sample of the dataset ran, in every epoch.

    The dataset of a run by a plan holds the planned tasks alone.
    """
    spec, results = header.eval, header.results
    size = spec.dataset.samples
    limit = spec.config.limit
    stopping = getattr(results, "early_stopping", None)
    planned = getattr(results, "total_samples", 0)
    return (
        header.status == "success"
        and "midband" not in (spec.metadata or {})
        and bool(size)
        and getattr(spec.config, "sample_id", None) is None
        and (limit is None or (isinstance(limit, int) and limit >= (size or 0)))
        and not getattr(stopping, "early_stops", None)
        and len(summaries) == (size or 0) * (spec.config.epochs or 1)
        and planned <= len(summaries)
    )


def numbered_after_shuffle(spec: "EvalSpec") -> bool:
    """Whether sample ids are places in a shuffled dataset: they then say nothing of the sample.

    Inspect numbers samples without ids from 1 on, after a shuffle. Ids that the dataset gives are
    shuffled with it. A run of midband's keeps the ids that samples had before its own ordering.
    """
    ids = spec.dataset.sample_ids
    if not spec.dataset.shuffled or not ids or "midband" in (spec.metadata or {}):
        return False
    return len(ids) > 1 and list(ids) == list(range(1, len(ids) + 1))


def scoring_of(samples: "Iterable[EvalSample]") -> Scoring:
    """Return when samples were last scored, by their events."""
    found = Scoring()
    for sample in samples:
        times = [_score_time(e.event, e.timestamp, e) for e in sample.events]
        ended = getattr(sample, "completed_at", None)
        found = _after(found, ended, len(sample.scores or {}), times)
    return found


def scoring_in(path: Path, summaries: "Sequence[EvalSampleSummary]") -> Scoring:
    """Return when an ``.eval`` log was last scored.

    Only the events of samples say so. ``inspect score`` scores every sample, so the smallest one
    that has a score is read, without Inspect, which would check all that a sample holds. Without
    such events the archive's own dates, in local time, stand for them.
    """
    names = {f"samples/{each.id}_epoch_{each.epoch}.json" for each in summaries if each.scores}
    found = Scoring()
    with zipfile.ZipFile(path) as archive:
        members = [info for info in archive.infolist() if info.filename in names]
        smallest = min(members, key=lambda info: info.file_size, default=None)
        header = next((each for each in archive.infolist() if each.filename == "header.json"), None)
        if smallest is not None and smallest.file_size <= _MOST_OF_SAMPLE:
            try:
                sample = json.loads(archive.read(smallest))
                times = [
                    _score_time(event["event"], event.get("timestamp"), event)
                    for event in sample["events"]
                ]
                scores = len(sample.get("scores") or {})
                found = _after(found, sample.get("completed_at"), scores, times)
            except Exception:  # the summaries hold the score of a sample that is torn
                found = Scoring()
    if found.last is None and header is not None:
        try:
            return Scoring(last=datetime(*header.date_time, tzinfo=UTC))
        except ValueError:
            return found
    return found


def _score_time(kind: object, timestamp: object, event: Any) -> datetime | None:
    """Return when an event gave a final score, or None for any other event."""
    if kind != "score":
        return None
    told = event.get if isinstance(event, dict) else partial(getattr, event)
    return None if told("intermediate", False) else moment(timestamp)


def _after(
    found: Scoring, completed_at: object, scores: int, moments: "Sequence[datetime | None]"
) -> Scoring:
    """Return what is known after one more sample."""
    times = [each for each in moments if each is not None]
    if not times:
        return found
    ended = moment(completed_at)
    later = 0 if ended is None else sum(when > ended for when in times)
    return Scoring(
        last=max(times) if found.last is None else max(found.last, *times),
        again=found.again or later > 0,
        added=found.added or 0 < later < scores,
    )


_MEANS = ("accuracy", "mean")
_SPREAD = "it is a spread and no mean"
_SPREADS = ("stderr", "bootstrap_stderr", "std", "var", "ci", "ci_wilson")


def stated_by(
    header: "EvalLog", choice: "ScoreChoice", *, logged: int, scored: int
) -> Iterator[StatedAggregate]:
    """Yield the metrics of the score that was read.

    Inspect leaves samples without a score out, averages the attempts at a sample first unless the
    run says that epochs are not reduced, and then takes the mean over samples.

    Parameters
    ----------
    header : EvalLog
    choice : ScoreChoice
        The score that was read.
    logged : int
        Samples that the log holds, an epoch each.
    scored : int
        Samples among them of which a score was read.
    """
    found = list(_stated(header, choice, logged=logged, scored=scored))
    checkable = any(not each.not_checkable for each in found)
    for each in found:  # beside a mean that agrees, a spread tells nothing
        if not (checkable and each.not_checkable == _SPREAD):
            yield each


def _stated(
    header: "EvalLog", choice: "ScoreChoice", *, logged: int, scored: int
) -> Iterator[StatedAggregate]:
    results = header.results
    if results is None:
        return
    mine = [score for score in results.scores if _is_of(score, choice)]
    complete = logged >= results.completed_samples
    for score in mine:
        per_task = not _unreduced(header, score, mine)
        for name, metric in score.metrics.items():
            if not math.isfinite(metric.value) or name.partition("_")[0] == "midband":
                continue
            reason = _obstacle(score, name, metric)
            if not reason and choice.key and score.name != choice.key:
                reason = f"it is over the whole mapping, of which {choice.key} was read"
            if not reason and not complete:
                reason = f"the log holds {logged} of its {results.completed_samples} samples"
            if not reason and not scored and metric.value == 0:
                continue  # Inspect's mean of nothing
            yield StatedAggregate(
                name=_name(score, name),
                value=float(metric.value),
                per_task=per_task,
                not_checkable=reason,
                tolerance=1e-6 * max(1.0, abs(metric.value)),
            )


def metric_names(header: "EvalLog", choice: "ScoreChoice") -> list[str]:
    """Return the names of all metrics that the log gives of the score that was read."""
    scores = header.results.scores if header.results is not None else []
    return [name for score in scores if _is_of(score, choice) for name in score.metrics]


def _is_of(score: "EvalScore", choice: "ScoreChoice") -> bool:
    """Whether an entry of the results is about a scorer, and about its key if there is one."""
    if score.scorer != choice.scorer and score.name != choice.scorer:
        return False
    return not choice.key or score.name in (choice.key, choice.scorer)


def _unreduced(header: "EvalLog", score: "EvalScore", all_of: "list[EvalScore]") -> bool:
    """Whether the attempts at a sample were not averaged before the mean over samples."""
    if score.reducer is not None:
        return False
    if header.eval.config.epochs_reducer == []:
        return True
    return any(other.name == score.name and other.reducer is not None for other in all_of)


def _obstacle(score: "EvalScore", name: str, metric: "EvalMetric") -> str:
    """Return why a metric is no mean of what was read; nothing if it is one."""
    plain = metric.name.rpartition("/")[2]
    if score.reducer not in (None, "mean"):
        return f"the attempts at a sample are reduced by {score.reducer}, and all are read"
    if (getattr(metric, "group", None) or plain).rpartition("/")[2] in _SPREADS:
        return _SPREAD
    if plain not in _MEANS or getattr(metric, "group", None) not in (None, plain):
        return f"{name} is a metric of the task's own"
    if metric.params:
        return f"it is computed with options ({', '.join(metric.params)})"
    return ""


def _name(score: "EvalScore", metric: str) -> str:
    reducer = f" ({score.reducer})" if score.reducer else ""
    return f"{score.name} {metric}{reducer}"
