"""The verdict of a plan on finished Inspect logs."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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
    from midband._ranking import rank_records
    from midband.importers.inspect_logs import read

    verdicts: list[tuple[str, Path, Decision]] = []
    for path in map(Path, paths):
        records = read(path, benchmark=None, columns={})
        verdicts.extend(
            (verdict.agent, path, verdict.decision)
            for verdict in rank_records(plan, records, allow_changed=allow_changed)
        )
    return verdicts
