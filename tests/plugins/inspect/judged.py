"""The verdicts of a plan on finished logs, as `midband rank` comes to them."""

from collections.abc import Iterable
from pathlib import Path

from midband._ranking import rank_records
from midband.descriptors import ReadOptions
from midband.importers.reading import read_records
from midband.inspect import live_orders
from midband_sampler import Decision, Plan


def rank_logs(plan: Plan, paths: Iterable[Path]) -> list[tuple[str, Path, Decision]]:
    """Return agent, path and decision for every log."""
    files = list(paths)
    orders = live_orders(plan, files)
    options = ReadOptions(prefer_metric=plan.metric.label if plan.metric else "")
    return [
        (verdict.agent, path, verdict.decision)
        for path in files
        for verdict in rank_records(
            plan, list(read_records([path], options=options)), orders=orders
        )
    ]
