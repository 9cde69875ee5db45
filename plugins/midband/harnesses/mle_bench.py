"""MLE-bench: grading reports, a competition an entry."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from midband.descriptors import Importer, ReadOptions
from midband.harnesses._files import foreign, head, list_of_objects, load_object, moment, number
from midband.harnesses._stating import choose_metric, other_metrics, unnamed_agent
from midband.hookspecs import hookimpl
from midband_history import Metric, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

_WHAT = "a grading report of MLE-bench"
# The raw scores are on a scale of their own in each competition, so they are no metric.
_TOTALS = {
    "any_medal": "total_medals",
    "above_median": "total_above_median",
    "gold_medal": "total_gold_medals",
    "silver_medal": "total_silver_medals",
    "bronze_medal": "total_bronze_medals",
    "valid_submission": "total_valid_submissions",
}
_GROUP = re.compile(r".*_run-group_(?P<agent>.+)")


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="mle-bench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="MLE-bench grading reports; the metric any_medal and others.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins like a grading report."""
    start = head(path) if path.suffix == ".json" and path.is_file() else b""
    return b'"total_runs":' in start and b'"competition_reports":[' in start


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record a competition and run; one without a submission has no medal.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `agent`, unless the folder is called ``..._run-group_<agent>``.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or nothing says who ran.
    """
    data = load_object(path, _WHAT)
    chosen = choose_metric(options, list(_TOTALS), path)
    folder = path.absolute().parent.name
    group = _GROUP.fullmatch(folder)
    agent = options.agent or (group["agent"] if group else "")
    if not agent:
        raise unnamed_agent(path, _WHAT)
    note = other_metrics(chosen, list(_TOTALS))
    if note is not None:
        yield note
    medals, runs = number(data.get(_TOTALS[chosen])), number(data.get("total_runs"))
    if medals is not None:
        yield StatedAggregate(name=_TOTALS[chosen], value=medals, statistic="passed")
    if runs is not None:
        yield StatedAggregate(name="total_runs", value=runs, statistic="attempts")
    metric = Metric(name=chosen, declared="source")
    seen: Counter[str] = Counter()
    for each in list_of_objects(data.get("competition_reports"), path, _WHAT):
        task, got = str(each.get("competition_id") or ""), each.get(chosen)
        if not task or not isinstance(got, bool):
            raise foreign(path, _WHAT, f"an entry without competition_id and {chosen}")
        yield Record(
            benchmark=options.benchmark or "mle-bench",
            task_id=task,
            agent=agent,
            score=float(got),
            attempt=seen[task],
            run_id=f"{folder}/{path.stem}" if group is None else folder,
            harness="mle-bench",
            scored_at=moment(each.get("created_at")),
            metric=metric,
        )
        seen[task] += 1
