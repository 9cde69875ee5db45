"""The plugin manager: a broken plugin is reported, a name belongs to one plugin."""

import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import click
import pytest
from tests.example_plugin.midband_example import Separating, ToyEval, WithinRanks

import midband
from midband import Harness, Importer, InputError, NamedFactory, Record, _manager, hookimpl
from midband._manager import _BUILT_IN, PluginManager


def _read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterable[Record]:
    return []


class Offers:
    def __init__(self, name: str) -> None:
        self.name = name

    @hookimpl
    def midband_register_importers(self) -> Iterable[Importer]:
        return [Importer(name=self.name, sniff=lambda path: False, read=_read)]


class Misspelt:
    @hookimpl
    def midband_register_imporers(self) -> Iterable[Importer]:
        return ()


def test_ours_are_loaded_and_offer_their_formats() -> None:
    manager = PluginManager(environment={})
    assert {status.status for status in manager.statuses} == {"loaded"}
    assert {"inspect", "hal"} <= set(manager.importers())
    assert "inspect" in manager.harnesses()
    assert manager.versions() == {}


def test_a_plugin_adds_a_format() -> None:
    manager = PluginManager(environment={})
    manager.register(Offers("mine"), name="theirs")
    assert "mine" in manager.importers()


def test_one_name_from_two_plugins_is_an_error_that_names_both() -> None:
    manager = PluginManager(environment={})
    manager.register(Offers("mine"), name="first")
    manager.register(Offers("mine"), name="second")
    with pytest.raises(InputError, match=r"first.*second|second.*first"):
        manager.importers()


def test_a_plugin_that_fails_to_import_is_reported_and_the_rest_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(_BUILT_IN, "broken", "midband.no_such_module")
    manager = PluginManager(environment={})
    (broken,) = (status for status in manager.statuses if status.name == "broken")
    assert broken.status == "failed"
    assert "no_such_module" in broken.error
    assert "inspect" in manager.importers()


def test_a_misspelt_hook_is_reported() -> None:
    manager = PluginManager(environment={})
    with pytest.raises(Exception, match="midband_register_imporers"):
        manager.register(Misspelt(), name="wrong")


class FailsWhenAsked:
    """Offers harnesses, and fails when it is asked for formats."""

    @hookimpl
    def midband_register_harnesses(self) -> Iterable[Harness]:
        return [ToyEval()]

    @hookimpl
    def midband_register_importers(self) -> Iterable[Importer]:
        raise RuntimeError("no\nformats today")


def _entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "midband")


def _with(monkeypatch: pytest.MonkeyPatch, **plugins: object) -> PluginManager:
    """Return a manager that finds these plugins besides ours, each in a module of its own."""
    entries = []
    for name, plugin in plugins.items():
        module = ModuleType(f"{name}_of_a_test")
        module.plugin = plugin  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        entries.append(_entry(name, f"{module.__name__}:plugin"))
    monkeypatch.setattr(_manager, "entry_points", lambda group: entries)
    return PluginManager(environment={})


def test_a_plugin_that_fails_when_asked_is_reported_and_the_rest_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = _with(monkeypatch, moody=FailsWhenAsked(), fine=Offers("mine"))
    assert "mine" in manager.importers()
    status = {each.name: each for each in manager.statuses}
    assert status["moody"].status == "failed"
    assert status["moody"].error == "RuntimeError: no formats today"
    assert status["fine"].status == "loaded"
    assert "toy-eval" not in manager.harnesses()
    assert set(manager.versions()) == {"fine"}


def test_one_added_by_hand_that_fails_raises() -> None:
    manager = PluginManager(environment={})
    manager.register(FailsWhenAsked(), name="by hand")
    with pytest.raises(RuntimeError, match="no"):
        manager.importers()


def test_of_two_plugins_of_one_name_the_second_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "other", ModuleType("other"))
    entries = [_entry("twin", "tests.example_plugin.midband_example"), _entry("twin", "other")]
    monkeypatch.setattr(_manager, "entry_points", lambda group: entries)
    manager = PluginManager(environment={})
    first, second = (each for each in manager.statuses if each.name == "twin")
    assert {first.status, second.status} == {"loaded", "failed"}
    (failed,) = (each for each in (first, second) if each.status == "failed")
    assert "one plugin named 'twin'" in failed.error
    assert first.module in failed.error


def test_a_plugin_that_leaves_the_program_does_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "leaves_the_program.py").write_text("raise SystemExit(3)")
    monkeypatch.syspath_prepend(tmp_path)
    entries = [_entry("leaves", "leaves_the_program")]
    monkeypatch.setattr(_manager, "entry_points", lambda group: entries)
    manager = PluginManager(environment={})
    assert manager.statuses[-1].error == "SystemExit: 3"


class OffersOurs:
    @hookimpl
    def midband_register_strategies(self) -> Iterable[NamedFactory]:
        return [NamedFactory(name="band", build=Separating)]

    @hookimpl
    def midband_register_stopping_rules(self) -> Iterable[NamedFactory]:
        return [NamedFactory(name="tasks", build=WithinRanks)]


def test_the_names_of_midband_itself_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = _with(monkeypatch, theirs=OffersOurs())
    with pytest.raises(InputError, match=r"strategy named 'band'.*'midband'.*'theirs'"):
        manager.strategies()
    with pytest.raises(InputError, match=r"rule named 'tasks'.*'midband'.*'theirs'"):
        manager.stopping_rules()
    assert len(manager.conflicts()) == 2


class AddsCommand:
    def __init__(self, name: str, *, fails: bool = False) -> None:
        self.name = name
        self.fails = fails

    @hookimpl
    def midband_register_commands(self, cli: click.Group) -> None:
        cli.add_command(click.Command(self.name))
        if self.fails:
            raise ValueError("half way")


def test_commands_of_plugins_are_added_but_never_over_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = _with(monkeypatch, one=AddsCommand("new"), half=AddsCommand("lost", fails=True))
    cli = click.Group()
    manager.add_commands(cli, ours=["plan"])
    assert set(cli.commands) == {"new"}
    assert {each.name for each in manager.statuses if each.status == "failed"} == {"half"}
    for first, second, named in (("plan", "new", "midband"), ("new", "new", "one")):
        manager = _with(monkeypatch, one=AddsCommand(first), two=AddsCommand(second))
        with pytest.raises(InputError, match=rf"command named '{first}'.*'{named}'"):
            manager.add_commands(click.Group(), ours=["plan"])


def test_a_name_that_is_not_there_is_answered_with_the_plugins_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    manager = _with(monkeypatch, moody=FailsWhenAsked())
    manager.importers()
    monkeypatch.setattr(_manager, "get_plugin_manager", lambda: manager)
    with pytest.raises(InputError, match=r"got 'toy-eval' \(these plugins failed.*moody"):
        _manager.choose(manager.harnesses(), "toy-eval", kind="--for")


@pytest.mark.parametrize(
    ("variables", "loaded"),
    [
        ({}, {"one", "two"}),
        ({"MIDBAND_DISABLE_PLUGINS": "one"}, {"two"}),
        ({"MIDBAND_DISABLE_PLUGINS": " one ,two,"}, set()),
        ({"MIDBAND_DISABLE_PLUGINS": "all"}, set()),
        ({"MIDBAND_LOAD_PLUGINS": "two"}, {"two"}),
        ({"MIDBAND_LOAD_PLUGINS": "one,two", "MIDBAND_DISABLE_PLUGINS": "two"}, {"one"}),
        ({"MIDBAND_LOAD_PLUGINS": ""}, {"one", "two"}),
    ],
)
def test_variables_choose_the_plugins_and_leave_ours(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], loaded: set[str]
) -> None:
    _with(monkeypatch, one=Offers("mine"), two=Offers("yours"))
    manager = PluginManager(environment=variables)
    assert set(manager.versions()) == loaded
    offered = {"one": "mine", "two": "yours"}
    assert {"mine", "yours"} & set(manager.importers()) == {offered[name] for name in loaded}
    assert "hal" in manager.importers()


def test_names_of_variables_that_are_not_there_are_known() -> None:
    variables = {"MIDBAND_DISABLE_PLUGINS": "hal,nonesuch,all", "MIDBAND_LOAD_PLUGINS": "typo"}
    assert PluginManager(environment=variables).unknown_names == ("nonesuch", "typo")


def test_plugins_are_switched_off_by_name() -> None:
    manager = PluginManager(environment={"MIDBAND_DISABLE_PLUGINS": "hal, tabular"})
    assert "hal" not in manager.importers()
    statuses = {status.name: status.status for status in manager.statuses}
    assert statuses["hal"] == statuses["tabular"] == "disabled"


def test_the_public_names_are_those_of_the_table() -> None:
    assert sorted(midband._HOMES) == midband.__all__
    for name in midband.__all__:
        assert getattr(midband, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        midband.no_such_name  # noqa: B018
