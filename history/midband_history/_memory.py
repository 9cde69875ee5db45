"""How much memory a writing connection may take: what exceeds it goes to disk."""

import os
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Python, numpy and what DuckDB does not count come to some 200 MB beside it.
MEMORY_LIMIT = "600MB"
# Every thread holds buffers of its own, so that many of them would not fit.
_MOST_THREADS = 4


def bound_memory(connection: "DuckDBPyConnection", *, in_memory: bool) -> None:
    """Keep an import of any size within 1 GB; sorts and joins that need more spill to disk.

    Parameters
    ----------
    in_memory : bool
        Whether the store has no file of its own, beside which it would spill.
    """
    connection.execute(f"SET memory_limit = '{MEMORY_LIMIT}'")
    if (os.cpu_count() or 1) > _MOST_THREADS:
        connection.execute(f"SET threads = {_MOST_THREADS}")
    if in_memory:  # else DuckDB would make a directory where the user happens to be
        place = Path(tempfile.gettempdir()) / f"midband-{uuid.uuid4().hex}"
        connection.execute("SET temp_directory = $place", {"place": str(place)})
