"""The plugin manager: a broken plugin is reported, a name belongs to one plugin."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

import midband
from midband import Importer, InputError, Record, hookimpl
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
