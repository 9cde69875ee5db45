"""What an Inspect log says of itself beyond its scores: its extent, its ids, when it was scored."""

import json
import zipfile
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from inspect_ai.log import EvalLog, EvalSample, EvalSampleSummary, EvalSpec

_MOST_BYTES = 50_000_000


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
        if smallest is not None and smallest.file_size <= _MOST_BYTES:
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
