"""The page: what a report says, apart from how it is drawn."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart."""

    title: str
    spec: dict[str, Any]
    reading: str
    wide: bool = True


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A section."""

    title: str
    text: tuple[str, ...] = ()
    parts: tuple[Chart | Table, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page."""

    title: str
    verdict: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    sections: tuple[Section, ...] = ()
    refresh_s: int = 0
