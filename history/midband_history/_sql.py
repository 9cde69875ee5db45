"""Where the SQL statements and the numbered migrations are read from."""

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@cache
def statement(name: str) -> str:
    """Return the text of one SQL file of this package."""
    return (files("midband_history") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


def run_all(
    connection: "DuckDBPyConnection", name: str, bound: Mapping[str, object] | None = None
) -> None:
    """Execute every statement of one SQL file, each with those of the values that it names.

    DuckDB binds values to the last statement of a text only.
    """
    for each in connection.extract_statements(statement(name)):
        mine = {key: value for key, value in (bound or {}).items() if key in each.named_parameters}
        connection.execute(each, mine)


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Return the number and the name of every migration, in order."""
    found = []
    for file in (files("midband_history") / "sql").iterdir():
        match = re.fullmatch(r"(\d{4})_\w+\.sql", file.name)
        if match:
            found.append((int(match[1]), file.name.removesuffix(".sql")))
    return tuple(sorted(found))
