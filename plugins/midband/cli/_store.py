"""How commands open the history."""

import warnings
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from midband.cli._output import warn
from midband_history import StoreError, default_path

if TYPE_CHECKING:
    from midband_history import History


def open_history(path: Path | None, *, read_only: bool = True) -> "History":
    """Open the history; one that is only read must be there."""
    from midband_history import History

    where = default_path() if path is None else path
    in_memory = str(where).startswith(":memory:")  # refused when it is opened
    if read_only and not where.exists() and not in_memory:
        msg = (
            f"expected a history at {where}, found no file:"
            " import results first with `midband import PATH`, or name another with --history"
        )
        raise StoreError(msg)
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always", UserWarning)
        store = History.open(where, read_only=read_only)
    for note in notes:
        warn(str(note.message))
    return store


def say_undated(store: "History", benchmark: str, as_of: datetime | None) -> None:
    """Warn of runs of unknown date, which a date leaves out because they may be later."""
    if as_of is None:
        return
    undated = store.left_out(benchmark, as_of=as_of).undated
    if undated:
        warn(f"left out {undated} runs of {benchmark} of unknown date: they may be later")


def say_other_contents(
    store: "History",
    benchmark: str,
    *,
    as_of: datetime | None = None,
    metric: str | None = None,
    version: str | None = None,
) -> None:
    """Warn of results that no number shown counts, being at other contents of the tasks."""
    matrix = store.outcomes(benchmark, as_of=as_of, metric=metric, version=version)
    for note in matrix.notes:
        warn(f"{note}: see `midband history why {benchmark} TASK`")
