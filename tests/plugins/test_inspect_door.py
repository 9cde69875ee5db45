"""Everything that knows Inspect stands in one folder, which others enter by its door."""

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2] / "plugins" / "midband"


def _imports() -> Iterator[tuple[str, str]]:
    for path in ROOT.rglob("*.py"):
        if path.parent.name == "inspect":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path.name, each.name) for each in node.names)
            elif isinstance(node, ast.ImportFrom):
                yield path.name, node.module or ""


def test_only_one_folder_imports_inspect() -> None:
    assert not [each for each in _imports() if each[1].partition(".")[0] == "inspect_ai"]


def test_others_enter_by_the_door() -> None:
    assert not [each for each in _imports() if each[1].startswith("midband.inspect.")]
