"""Values of a plan file: each is checked before anything is built from it."""

import base64
import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from midband_history import FloatArray

MOST_BYTES = 1 << 28  # of a plan file, and of each array in it
_SHOWN = 60


def parse(text: str) -> Mapping[str, Any]:
    """Parse JSON text that holds an object.

    Raises
    ------
    ValueError
        It is no JSON, or holds something else, or is nested too deeply.
    """
    try:
        data = json.loads(text)
    except RecursionError:
        msg = "values nested too deeply"
        raise ValueError(msg) from None
    if not isinstance(data, dict):
        msg = f"a {type(data).__name__}"
        raise TypeError(msg)
    return data


def text(data: Mapping[str, Any], name: str) -> str:
    """Return a text."""
    value = data[name]
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    value.encode()  # an unpaired surrogate can be neither written nor digested
    return value


def texts(data: Mapping[str, Any], name: str, *, distinct: bool = False) -> tuple[str, ...]:
    """Return a list of texts, each once if they have to be distinct."""
    values = data[name]
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise _wrong(name, "a list of texts", values)
    "".join(values).encode()
    if distinct and len(set(values)) != len(values):
        raise _wrong(name, "distinct texts", values)
    return tuple(values)


def mapping(data: Mapping[str, Any], name: str, *, of_texts: bool = False) -> Mapping[str, Any]:
    """Return an object, of texts if asked for."""
    value = data[name]
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    if of_texts:
        for each in value:
            text(value, each)
    return value


def number(
    data: Mapping[str, Any], name: str, *, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return a finite number within the limits, both included, as it was written."""
    value = data[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(name, "a number", value)
    if not (abs(value) < 1e300 and low <= value <= high):
        raise _wrong(name, f"a number from {low:g} to {high:g}", value)
    return value


def whole(data: Mapping[str, Any], name: str, *, low: int = 0) -> int:
    """Return an integer of at least `low`."""
    value = data[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise _wrong(name, f"an integer of at least {low}", value)
    return value


def flag(data: Mapping[str, Any], name: str) -> bool:
    """Return true or false."""
    value = data[name]
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def pack(values: FloatArray) -> str:
    """Return an array as text: little-endian float64, zlib, base64."""
    return base64.b64encode(zlib.compress(values.astype("<f8").tobytes(), 6)).decode("ascii")


def array(
    data: Mapping[str, Any],
    name: str,
    *shape: int,
    low: float = -1e300,
    high: float = 1e300,
    unknown: bool = False,
) -> FloatArray:
    """Return the array that `pack` wrote.

    No more is unpacked than the shape asks for, whatever the text would unpack to.

    Parameters
    ----------
    data : mapping
    name : str
    *shape : int
    low, high : float
        Limits of the values, both included.
    unknown : bool
        Whether NaN may stand among them.
    """
    size = 8 * math.prod(shape)
    if size > MOST_BYTES:
        raise _wrong(name, f"at most {MOST_BYTES} bytes", f"shape {shape}")
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(base64.b64decode(text(data, name), validate=True), size + 1)
    if len(raw) != size or not (unpacker.eof or unpacker.decompress(b"", 1) == b""):
        raise _wrong(name, f"an array of shape {shape}", f"{len(raw)} bytes or more")
    values = np.frombuffer(raw, dtype="<f8").reshape(shape).astype(np.float64)
    inside = (values >= low) & (values <= high)
    if not np.all(inside | np.isnan(values) if unknown else inside):
        raise _wrong(name, f"values from {low:g} to {high:g}", "others")
    return values


def _wrong(name: str, expected: str, value: object) -> ValueError:
    shown = value if isinstance(value, str) else f"{type(value).__name__} {str(value)[:_SHOWN]}"
    return ValueError(f"{name}: expected {expected}, got {shown[:_SHOWN]!r}")
