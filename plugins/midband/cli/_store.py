"""How commands open the history."""

from pathlib import Path
from typing import TYPE_CHECKING

from midband_history import StoreError, default_path

if TYPE_CHECKING:
    from midband_history import History


def open_history(path: Path | None, *, read_only: bool = True) -> "History":
    """Open the history; one that is only read must be there."""
    from midband_history import History

    where = default_path() if path is None else path
    if read_only and not where.exists():
        msg = (
            f"expected a history at {where}, found no file:"
            " import results first with `midband import PATH`, or name another with --history"
        )
        raise StoreError(msg)
    return History.open(where, read_only=read_only)
