"""An adapter is one file: found by standing there, with hooks for what it offers and no others."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.plugins.adapters.conftest import MakePlan

from midband import InputError, Plan, adapters
from midband._manager import PluginManager
from midband.adapters.base import CommandHarness
from midband.descriptors import Command, ReadOptions, Round

FORMAT = """
from midband.descriptors import Importer
from midband.adapters.base import Adapter
from midband_history import Metric, Record

def sniff(path):
    return path.suffix == ".fresh"

def read(path, *, options):
    for task in path.read_text().split():
        yield Record(benchmark="b", task_id=task, agent="a", score=1.0)

ADAPTER = Adapter(Importer(name="fresh", sniff=sniff, read=read, suffixes=(".fresh",)))
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder whose modules stand among the adapters."""
    folder = tmp_path / "more"
    folder.mkdir()
    monkeypatch.setattr(adapters, "__path__", [*adapters.__path__, str(folder)])
    yield folder
    for file in folder.glob("*.py"):
        sys.modules.pop(f"midband.adapters.{file.stem}", None)
        monkeypatch.delattr(adapters, file.stem, raising=False)


def _manager(monkeypatch: pytest.MonkeyPatch) -> PluginManager:
    monkeypatch.setattr("midband._manager._BUILT_IN", adapters.built_in())
    return PluginManager(environment={})


def test_a_format_is_one_file(fresh: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (fresh / "fresh_format.py").write_text(FORMAT)
    manager = _manager(monkeypatch)
    (status,) = (each for each in manager.statuses if each.name == "fresh-format")
    assert status.built_in
    assert status.hooks == ("midband_register_importers",)
    (tmp_path / "r.fresh").write_text("t1 t2")
    items = manager.importers()["fresh"].read(tmp_path / "r.fresh", options=ReadOptions())
    assert len(list(items)) == 2


def test_one_that_fails_is_reported_and_the_rest_work(
    fresh: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fresh / "broken_format.py").write_text("raise ValueError('not today')")
    manager = _manager(monkeypatch)
    (failed,) = (each for each in manager.statuses if each.status == "failed")
    assert (failed.name, failed.error) == ("broken-format", "ValueError: not today")
    assert "harbor" in manager.importers()


def test_those_that_are_only_read_or_only_imported_have_no_more_hooks() -> None:
    hooks = {each.name: each.hooks for each in PluginManager(environment={}).statuses}
    assert hooks["aider"] == ("midband_register_importers",)
    both = ("midband_register_harnesses", "midband_register_importers")
    assert hooks["harbor"] == hooks["helm"] == both


REFUSED = {"--tasks": "midband names the tasks"}


class Toy(CommandHarness):
    name = "toy"
    summary = "toy"
    program = package = "toy-that-is-nowhere"
    hint = "make one"
    refused = REFUSED
    ids = "without a slash"
    once = "it runs a task once"

    def fits(self, task: str) -> bool:
        return "/" not in task

    def files(self, plan: Plan, tasks: Sequence[str]) -> dict[str, str]:
        return {"ids.txt": "\n".join(tasks)}

    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        return Command(steps=(("toy", *tasks),), results=batch.directory)


def _round(plan: Plan, folder: Path, *arguments: str, attempts: int = 1) -> Round:
    return Round(
        plan=plan, tasks=plan.tasks, directory=folder, name="r", attempts=attempts,
        arguments=arguments,
    )  # fmt: skip


def test_a_command_harness_names_its_tasks_sorted(make_a_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_a_plan("toy", ["t2", "t1"])
    (path,) = Toy().write_subset(plan, tmp_path / "made")
    assert path.read_text() == "t1\nt2"
    assert Toy().build_command(_round(plan, tmp_path)).steps == (("toy", "t1", "t2"),)
    assert "make one" in Toy().probe().problem


def test_a_command_harness_refuses_what_it_cannot_do(make_a_plan: MakePlan, tmp_path: Path) -> None:
    plan = make_a_plan("toy", ["t2", "t1"])
    with pytest.raises(InputError, match="it runs a task once"):
        Toy().build_command(_round(plan, tmp_path, attempts=2))
    with pytest.raises(InputError, match="midband names the tasks"):
        Toy().build_command(_round(plan, tmp_path, "--tas=t9"))
    strange = make_a_plan("toy", ["a/b"])
    with pytest.raises(InputError, match="expected task ids without a slash, got 'a/b'"):
        Toy().build_command(_round(strange, tmp_path))
    with pytest.raises(InputError, match="expected task ids without a slash"):
        Toy().write_subset(strange, tmp_path)
