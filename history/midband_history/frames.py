"""What is returned as a table of another library: pyarrow, pandas or polars, none of them needed.

A table has one row for each thing. Unknown values are null (NaN in pandas), times are in UTC, and
a cell that holds several values is their JSON.
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Literal, TypeVar, cast, get_type_hints

import numpy as np

from midband_history.errors import MissingPackageError

Row = TypeVar("Row")
Kind = Literal["text", "number", "count", "flag", "moment"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Parameters
    ----------
    kind : {"text", "number", "count", "flag", "moment"}
    values : list or ndarray
        With None, NaN or NaT for unknown.
    """

    kind: Kind
    values: "list[Any] | np.ndarray"


class Frames:
    """Something that other libraries can have as a table."""

    def frame(self) -> Mapping[str, Column]:
        """Return the columns of the table, all of one length."""
        raise NotImplementedError

    def to_arrow(self) -> Any:
        """Return a `pyarrow.Table`.

        Raises
        ------
        MissingPackageError
            pyarrow is not installed.
        """
        arrow = _library("pyarrow", "to_arrow")
        types = {
            "text": arrow.string(),
            "number": arrow.float64(),
            "count": arrow.int64(),
            "flag": arrow.bool_(),
            "moment": arrow.timestamp("us", tz="UTC"),
        }
        made = {
            name: arrow.array(_plain(each), type=types[each.kind], from_pandas=True)
            for name, each in self.frame().items()
        }
        return arrow.table(made)

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame`.

        Raises
        ------
        MissingPackageError
            pandas is not installed.
        """
        pandas = _library("pandas", "to_pandas")
        made = {}
        for name, each in self.frame().items():
            values = _plain(each)
            if each.kind == "moment":
                made[name] = pandas.Series(pandas.to_datetime(values, utc=True))
                continue
            gaps = not isinstance(values, np.ndarray) and any(one is None for one in values)
            dtype = {
                "text": object,
                "number": "float64",
                "count": "Int64" if gaps else "int64",
                "flag": "boolean" if gaps else "bool",
            }[each.kind]
            made[name] = pandas.Series(values, dtype=dtype)
        return pandas.DataFrame(made)

    def to_polars(self) -> Any:
        """Return a `polars.DataFrame`.

        Raises
        ------
        MissingPackageError
            polars is not installed.
        """
        polars = _library("polars", "to_polars")
        types = {
            "text": polars.String,
            "number": polars.Float64,
            "count": polars.Int64,
            "flag": polars.Boolean,
            "moment": polars.Datetime("us", "UTC"),
        }
        made = []
        for name, each in self.frame().items():
            values = _plain(each)
            if each.kind == "moment" and isinstance(values, np.ndarray):
                series = polars.Series(name, values).dt.replace_time_zone("UTC")
            else:
                objects = isinstance(values, np.ndarray) and each.kind == "text"
                kept = list(values) if objects else values
                series = polars.Series(name, kept, dtype=types[each.kind], nan_to_null=True)
            made.append(series)
        return polars.DataFrame(made)


class Rows(list[Row], Frames):
    """A list of named records that is a table too, one row a record.

    Parameters
    ----------
    rows : iterable
        Dataclasses of one type, or mappings.
    of : type, optional
        The dataclass, so that a table without rows has its columns.
    """

    def __init__(self, rows: Iterable[Row] = (), *, of: type[Row] | None = None) -> None:
        super().__init__(rows)
        self._of = of

    def frame(self) -> Mapping[str, Column]:
        """Return a column a field; the fields of a field are columns of their own."""
        kind = self._of or (type(self[0]) if self else None)
        if kind is not None and is_dataclass(kind):
            return columns_of(kind, self)
        rows = cast("list[Mapping[str, Any]]", self)
        return {
            name: _guessed([row.get(name) for row in rows])
            for name in dict.fromkeys(name for row in rows for name in row)
        }


def columns_of(kind: type, rows: Sequence[Any], prefix: str = "") -> dict[str, Column]:
    """Return the columns of dataclasses of one type, by the types of their fields."""
    found: dict[str, Column] = {}
    hints = get_type_hints(kind)
    for field in fields(kind):
        values = [getattr(row, field.name) for row in rows]
        hint = hints[field.name]
        if isinstance(hint, type) and is_dataclass(hint):
            found |= columns_of(hint, values, f"{prefix}{field.name}_")
        else:
            found[prefix + field.name] = Column(_kind(hint), values)
    return found


def _kind(hint: object) -> Kind:
    """Return the kind of a field's type, None aside."""
    name = hint.__name__ if isinstance(hint, type) else str(hint)
    name = name.replace(" | None", "")
    kinds: dict[str, Kind] = {
        "float": "number", "int": "count", "bool": "flag", "datetime.datetime": "moment",
        "datetime": "moment",
    }  # fmt: skip
    return kinds.get(name, "text")


def _guessed(values: list[Any]) -> Column:
    """Return a column by its values, which are of one kind or become text."""
    known = [each for each in values if each is not None]
    tests: tuple[tuple[Kind, tuple[type, ...]], ...] = (
        ("flag", (bool, np.bool_)),
        ("count", (int, np.integer)),
        ("number", (int, float, np.integer, np.floating)),
        ("moment", (datetime,)),
    )
    for kind, types in tests:
        if known and all(
            isinstance(each, types) and (kind == "flag" or not isinstance(each, bool))
            for each in known
        ):
            return Column(kind, values)
    return Column("text", values)


def _plain(column: Column) -> "list[Any] | np.ndarray":
    """Return the values as every library takes them."""
    if isinstance(column.values, np.ndarray):
        return column.values
    return [None if each is None else _value(column.kind, each) for each in column.values]


def _value(kind: Kind, value: Any) -> Any:
    if kind == "text":
        return value if isinstance(value, str) else json.dumps(value, default=_simple)
    if kind == "number":
        return None if math.isnan(value) else float(value)
    if kind == "moment":
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)
    return bool(value) if kind == "flag" else int(value)


def _simple(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    return str(value)


def _library(name: str, method: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        msg = f"expected {name} for {method}(), found none: get it with `pip install {name}`"
        raise MissingPackageError(msg) from error
