"""Imports go left only: history <- sampler <- sims <- plugins; other rooms go by the front door."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROOMS = ("midband_history", "midband_sampler", "midband_sims", "midband")
FOLDERS = dict(zip(ROOMS, ("history", "sampler", "sims", "plugins"), strict=True))
# The race has a door of its own: its questions share names with stopping rules.
DOORS = {"midband_sampler.racing"}
HEAVY = {"inspect_ai", "altair", "vl_convert", "distributed", "ray", "pyarrow"}


def _imports(path: Path) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            found.append((node.module or "", node.lineno))
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_rooms_to_its_left(room: str) -> None:
    allowed = ROOMS[: ROOMS.index(room) + 1]
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / FOLDERS[room] / room).rglob("*.py"))
        for name, line in _imports(path)
        if name.split(".")[0] in ROOMS and name.split(".")[0] not in allowed
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_reaches_another_only_through_its_front_door(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / FOLDERS[room] / room).rglob("*.py"))
        for name, line in _imports(path)
        if name.split(".")[0] in ROOMS and name.split(".")[0] != room
        if "." in name and name not in DOORS
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("room", ROOMS[:2])
def test_history_and_sampler_need_no_extra(room: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sorted((ROOT / FOLDERS[room] / room).rglob("*.py"))
        for name, line in _imports(path)
        if name.split(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(wrong)
