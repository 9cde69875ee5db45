"""MLE-bench: grading reports, a competition an entry."""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.base import Adapter
from midband.adapters.files import (
    foreign,
    list_of_objects,
    load_object,
    moment,
    start_of,
)
from midband.adapters.stated import (
    choose_metric,
    counted,
    named_agent,
    other_metrics,
)
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def sniff(path: Path) -> bool:
    """Whether a JSON file begins like a grading report."""
    start = start_of(path, ".json")
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
    chosen = choose_metric(path, options, *_TOTALS)
    folder = path.absolute().parent.name
    group = _GROUP.fullmatch(folder)
    agent = named_agent(path, _WHAT, options.agent, group["agent"] if group else "")
    yield from other_metrics(chosen, _TOTALS)
    yield from counted(_TOTALS[chosen], data.get(_TOTALS[chosen]), "passed")
    yield from counted("total_runs", data.get("total_runs"), "attempts")
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


ADAPTER = Adapter(
    Importer(
        name="mle-bench",
        sniff=sniff,
        read=read,
        suffixes=(".json",),
        summary="MLE-bench grading reports; the metric any_medal and others.",
    ),
)
