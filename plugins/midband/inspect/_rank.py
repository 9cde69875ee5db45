"""The verdict of a plan on finished Inspect logs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from midband.inspect._choosing import RECORD

if TYPE_CHECKING:
    from midband._ranking import LiveOrder
    from midband_sampler import Decision, Plan


def rank_logs(
    plan: "Plan", paths: Iterable[Path | str], *, allow_changed: bool = False
) -> "list[tuple[str, Path, Decision]]":
    """Judge each log by the plan, as the run itself did or would have done.

    Parameters
    ----------
    plan : Plan
    paths : iterable of path
        Inspect logs, ``.eval`` or ``.json``.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.

    Returns
    -------
    list of (agent, path, Decision)
        In the order given; a log without samples is left out.

    Raises
    ------
    UnreadableSourceError
        A log is truncated or foreign.
    InputError
        A log is of another benchmark than the plan.
    DigestMismatchError
        A task's content has changed since the plan was made.
    """
    from midband._descriptors import ReadOptions
    from midband._ranking import rank_records
    from midband.importers.inspect_logs import read
    from midband.inspect._metric import metric_of
    from midband_history import Record

    options = ReadOptions(prefer_metric=metric_of(plan).label)
    files = [Path(path) for path in paths]
    orders = live_orders(plan, files)
    verdicts: list[tuple[str, Path, Decision]] = []
    for path in files:
        records = [each for each in read(path, options=options) if isinstance(each, Record)]
        verdicts.extend(
            (verdict.agent, path, verdict.decision)
            for verdict in rank_records(plan, records, allow_changed=allow_changed, orders=orders)
        )
    return verdicts


def live_orders(plan: "Plan", paths: Iterable[Path]) -> "dict[str, LiveOrder]":
    """Return the orders that runs by this plan chose, by run id, from the headers of their logs.

    Of several attempts at one run the longest counts: each goes on where the one before it ended.
    A file that cannot be read, as none can without Inspect, is passed over; it is refused where
    its samples are read.
    """
    from midband._ranking import LiveOrder

    orders: dict[str, LiveOrder] = {}
    if not plan.chooses_live:
        return orders
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
