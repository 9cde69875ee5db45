"""Where the SQL statements and the numbered migrations are read from."""

import re
from functools import cache
from importlib.resources import files


@cache
def statement(name: str) -> str:
    """Return the text of one SQL file of this package."""
    return (files("midband_history") / "sql" / f"{name}.sql").read_text(encoding="utf-8")


@cache
def migrations() -> tuple[tuple[int, str], ...]:
    """Return the number and the name of every migration, in order."""
    found = []
    for file in (files("midband_history") / "sql").iterdir():
        match = re.fullmatch(r"(\d{4})_\w+\.sql", file.name)
        if match:
            found.append((int(match[1]), file.name.removesuffix(".sql")))
    return tuple(sorted(found))
