"""Which plugins are there, which failed and why, and what each name refers to."""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from midband import hookspecs
from midband_history import InputError

if TYPE_CHECKING:
    from midband._descriptors import Importer, NamedFactory, ReportSection
    from midband._harness import Harness

GROUP = "midband"

# The formats and harnesses that come with midband: plugins like any other, without an entry point
# so that a checkout and a wheel agree on what is there.
_BUILT_IN = {
    "tabular": "midband.importers.tabular",
    "hal": "midband.harnesses.hal",
    "inspect-logs": "midband.importers.inspect_logs",
    "every-eval-ever": "midband.harnesses.every_eval_ever",
    "harbor": "midband.harnesses.harbor",
    "helm": "midband.harnesses.helm",
    "lm-eval-harness": "midband.harnesses.lm_eval_harness",
    "openhands-index": "midband.harnesses.openhands_index",
    "swebench": "midband.harnesses.swebench",
    "tau-bench": "midband.harnesses.tau_bench",
    "tau2-bench": "midband.harnesses.tau2_bench",
    "terminal-bench": "midband.harnesses.terminal_bench",
}


@dataclass(frozen=True, kw_only=True)
class PluginStatus:
    """One plugin as ``midband plugins`` lists it.

    Parameters
    ----------
    name, version, module : str
        Empty where unknown.
    built_in : bool
    status : str
        ``loaded``, ``disabled`` or ``failed``.
    hooks : tuple of str
        The hooks it implements, sorted.
    error : str
        Why it failed, on one line; empty otherwise.
    """

    name: str
    version: str
    module: str
    built_in: bool
    status: str
    hooks: tuple[str, ...] = ()
    error: str = ""


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_Item = TypeVar("_Item", bound=_Named)


class PluginManager:
    """Loads plugins one by one, so that a broken one is reported and the rest work.

    Parameters
    ----------
    environment : mapping of str to str, optional
        Where ``MIDBAND_DISABLE_PLUGINS`` and ``MIDBAND_LOAD_PLUGINS`` are looked up; each holds
        plugin names with commas between. The first switches plugins off (``all``: every one that
        is not built in), the second loads only those named. The process's environment by default.
    """

    def __init__(self, *, environment: Mapping[str, str] | None = None) -> None:
        variables = os.environ if environment is None else environment
        self._disabled = _names(variables.get("MIDBAND_DISABLE_PLUGINS", ""))
        self._only = _names(variables.get("MIDBAND_LOAD_PLUGINS", ""))
        self._pluggy = pluggy.PluginManager(GROUP)
        self._pluggy.add_hookspecs(hookspecs)
        self._statuses: list[PluginStatus] = []
        for name, module in _BUILT_IN.items():
            self._load(EntryPoint(name, module, GROUP), built_in=True)
        for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
            self._load(entry, built_in=_is_ours(entry))

    @property
    def hook(self) -> pluggy.HookRelay:
        """The hooks, to be called by name."""
        return self._pluggy.hook

    @property
    def statuses(self) -> tuple[PluginStatus, ...]:
        """Every plugin that was found, in the order of loading."""
        return tuple(self._statuses)

    def register(self, plugin: object, *, name: str) -> None:
        """Add a plugin by hand; what a test or a notebook uses."""
        self._pluggy.register(plugin, name=name)
        self._pluggy.check_pending()

    def importers(self) -> "dict[str, Importer]":
        """Return the formats of result files, by name."""
        return self._collect("midband_register_importers", "importer")

    def harnesses(self) -> "dict[str, Harness]":
        """Return the harnesses, by name."""
        return self._collect("midband_register_harnesses", "harness")

    def strategies(self) -> "dict[str, NamedFactory]":
        """Return the strategies that plugins add, by name."""
        return self._collect("midband_register_strategies", "strategy")

    def stopping_rules(self) -> "dict[str, NamedFactory]":
        """Return the stopping rules that plugins add, by name."""
        return self._collect("midband_register_stopping_rules", "stopping rule")

    def report_sections(self) -> "dict[str, ReportSection]":
        """Return the report sections that plugins add, by name."""
        return self._collect("midband_register_report_sections", "report section")

    def versions(self) -> dict[str, str]:
        """Return the loaded plugins that are not ours, name to version, as a plan records them."""
        return {
            status.name: status.version
            for status in self._statuses
            if status.status == "loaded" and not status.built_in
        }

    def _load(self, entry: EntryPoint, *, built_in: bool) -> None:
        version = "" if entry.dist is None else entry.dist.version
        status, error = "loaded", ""
        hooks: tuple[str, ...] = ()
        if self._is_off(entry.name, built_in=built_in):
            status = "disabled"
        else:
            try:
                plugin = entry.load()
                self._pluggy.register(plugin, name=entry.name)
                self._pluggy.check_pending()
                hooks = tuple(self._hooks_of(plugin))
            except Exception as problem:  # whatever a plugin raises must not stop the others
                if self._pluggy.has_plugin(entry.name):
                    self._pluggy.unregister(name=entry.name)
                status = "failed"
                error = f"{type(problem).__name__}: {problem}".splitlines()[0]
        self._statuses.append(
            PluginStatus(
                name=entry.name,
                version=version,
                module=entry.value,
                built_in=built_in,
                status=status,
                hooks=hooks,
                error=error,
            )
        )

    def _is_off(self, name: str, *, built_in: bool) -> bool:
        if name in self._disabled or ("all" in self._disabled and not built_in):
            return True
        return bool(self._only) and not built_in and name not in self._only

    def _hooks_of(self, plugin: object) -> Iterator[str]:
        for caller in self._pluggy.get_hookcallers(plugin) or ():
            yield caller.name

    def _collect(self, hook: str, kind: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        providers: dict[str, str] = {}
        for implementation in getattr(self._pluggy.hook, hook).get_hookimpls():
            items: Iterable[_Named] = implementation.function()
            for item in items:
                if item.name in found:
                    msg = (
                        f"expected one {kind} named {item.name!r}, got one from"
                        f" {providers[item.name]!r} and one from {implementation.plugin_name!r}:"
                        " switch one off with MIDBAND_DISABLE_PLUGINS"
                    )
                    raise InputError(msg)
                found[item.name] = item
                providers[item.name] = implementation.plugin_name
        return found


def choose(items: Mapping[str, _Item], name: str, *, kind: str) -> _Item:
    """Return the item of that name, or say which names there are."""
    if name not in items:
        msg = f"expected {kind} to be one of {', '.join(sorted(items)) or '(none)'}, got {name!r}"
        raise InputError(msg)
    return items[name]


@cache
def get_plugin_manager() -> PluginManager:
    """Return the process's manager, loaded on first use."""
    return PluginManager()


def _names(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _is_ours(entry: EntryPoint) -> bool:
    return entry.value.partition(":")[0].split(".")[0] == "midband" and (
        entry.dist is None or entry.dist.name == "midband"
    )
