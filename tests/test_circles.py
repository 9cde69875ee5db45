"""No module of the sampler or of the sims imports, by whatever way round, itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = {"midband_sampler": "sampler", "midband_sims": "sims"}


def _modules(package: str) -> dict[str, Path]:
    root = ROOT / PACKAGES[package]
    return {
        ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted((root / package).rglob("*.py"))
    }


def _imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Yield what a module imports, inside functions and under TYPE_CHECKING as well."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module in known:
            yield str(node.module)
            yield from (
                name for each in node.names if (name := f"{node.module}.{each.name}") in known
            )


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_run_in_no_circle(package: str) -> None:
    modules = _modules(package)
    graph = {name: set(_imported(path, modules)) - {name} for name, path in modules.items()}
    while leaves := [name for name, names in graph.items() if not names]:
        for leaf in leaves:
            del graph[leaf]
        for names in graph.values():
            names.difference_update(leaves)
    assert not graph, f"in a circle, or behind one: {sorted(graph)}"


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_exceeds_450_lines(package: str) -> None:
    long = {
        name: count
        for name, path in _modules(package).items()
        if (count := len(path.read_text(encoding="utf-8").splitlines())) > 450
    }
    assert not long
