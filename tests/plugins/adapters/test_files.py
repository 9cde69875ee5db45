"""JSON read piece by piece: the same values as at once, whatever is cut or however long."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband.adapters import files
from midband.adapters.files import entries, members
from midband_history import UnreadableSourceError

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text("abc\u00e9", max_size=3), VALUES, max_size=5)


@pytest.fixture(autouse=True, scope="module", params=[1, 1 << 20])
def chunk(request: pytest.FixtureRequest) -> Any:
    """Read in pieces of one character, and of many."""
    before = files._CHUNK
    files._CHUNK = request.param
    yield
    files._CHUNK = before


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("streams") / "file.json"


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(OBJECTS, max_size=4), indent=st.sampled_from([None, 2]))
def test_entries_are_those_of_the_array(
    path: Path, rows: list[dict[str, Any]], indent: int | None
) -> None:
    path.write_text(json.dumps(rows, indent=indent, ensure_ascii=False), encoding="utf-8")
    assert list(entries(path, "rows")) == rows


@settings(deadline=None, max_examples=60)
@given(around=OBJECTS, rows=st.lists(VALUES, max_size=4), indent=st.sampled_from([None, 2]))
def test_members_are_those_of_the_object(
    path: Path, around: dict[str, Any], rows: list[Any], indent: int | None
) -> None:
    whole = around | {"rows": rows, "z": 12}
    path.write_text(json.dumps(whole, indent=indent), encoding="utf-8")
    found = list(members(path, "rows", stream="rows"))
    assert [value for name, value in found if name == "rows"] == rows
    assert {name: value for name, value in found if name != "rows"} == around | {"z": 12}


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(OBJECTS, min_size=1, max_size=3), data=st.data())
def test_a_file_that_is_cut_is_refused(
    path: Path, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    text = json.dumps(rows)
    path.write_text(text[: data.draw(st.integers(0, len(text) - 1))])
    with pytest.raises(UnreadableSourceError, match="truncated"):
        list(entries(path, "rows"))


@pytest.mark.parametrize("text", ["[{}] more", "[1]", '{"a": 1}', "[{} {}]", "[{},]", ""])
def test_what_is_no_array_of_objects_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UnreadableSourceError, match=r"expected rows, got"):
        list(entries(path, "rows"))


@pytest.mark.parametrize("text", ['{"a": 1', "{a: 1}", '{"a" 1}', '{"rows": [1, 2}', "[]", "{} 1"])
def test_what_is_no_object_is_refused(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(UnreadableSourceError, match=r"expected rows, got"):
        list(members(path, "rows", stream="rows"))
