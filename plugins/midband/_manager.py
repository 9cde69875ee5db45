"""Which plugins are there, which failed and why, and what each name refers to."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import pluggy

from midband import hookspecs
from midband.adapters import built_in
from midband_history import InputError

if TYPE_CHECKING:
    import click

    from midband.descriptors import Harness, Importer, NamedFactory, ReportSection
    from midband_sampler.racing import Allocation

GROUP = "midband"

# The formats and harnesses that come with midband: plugins like any other, without an entry point
# so that a checkout and a wheel agree on what is there.
_BUILT_IN = {
    "tabular": "midband.importers.tabular",
    "inspect-logs": "midband.inspect.logs",
    **built_in(),
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
        from midband_sampler import old_strategy_names, strategy_names

        ours = (*strategy_names(), *old_strategy_names())
        return self._factories("midband_register_strategies", "strategy", ours)

    def stopping_rules(self) -> "dict[str, NamedFactory]":
        """Return the stopping rules that plugins add, by name."""
        from midband_sampler import rule_names

        return self._factories("midband_register_stopping_rules", "stopping rule", rule_names())

    def allocations(self) -> "dict[str, Allocation]":
        """Return the allocations of races that plugins add, by name."""
        from midband_sampler.racing import all_allocations

        found = self._collect("midband_register_allocations", "allocation", ours=all_allocations())
        return {name: item() if isinstance(item, type) else item for name, item in found.items()}

    def _factories(self, hook: str, kind: str, ours: Iterable[str]) -> "dict[str, NamedFactory]":
        """Return what a hook offers; a class stands for what builds it."""
        from midband.descriptors import NamedFactory

        return {
            name: NamedFactory.of(item) if isinstance(item, type) else item
            for name, item in self._collect(hook, kind, ours=ours).items()
        }

    def report_sections(self) -> "dict[str, ReportSection]":
        """Return the report sections that plugins add, by name."""
        return self._collect("midband_register_report_sections", "report section")

    def add_commands(self, cli: "click.Group", *, ours: Iterable[str]) -> None:
        """Let plugins add their commands.

        Parameters
        ----------
        cli : click.Group
        ours : iterable of str
            The commands that it has already.

        Raises
        ------
        InputError
            A plugin adds a command that is there; the message names both providers.
        """
        providers = dict.fromkeys(ours, "midband")
        for provider, add in self._implementations("midband_register_commands"):
            before = dict(cli.commands)
            try:
                add(cli=cli)
            except Exception as problem:
                cli.commands = before
                self._fail(provider, problem)
                continue
            for name, command in cli.commands.items():
                if before.get(name) is not command:
                    _claim(providers, name, provider, "command")

    def conflicts(self) -> list[str]:
        """Ask every plugin what it offers, and return which names two of them offer.

        A plugin that fails when it is asked has the status ``failed`` from then on.
        """
        found = []
        for collect in (
            self.importers,
            self.harnesses,
            self.strategies,
            self.stopping_rules,
            self.allocations,
            self.report_sections,
        ):
            try:
                collect()
            except InputError as conflict:
                found.append(str(conflict))
        return found

    @property
    def unknown_names(self) -> tuple[str, ...]:
        """Plugins that a variable names and that are not there, sorted."""
        known = {status.name for status in self._statuses} | {"all"}
        return tuple(sorted((self._disabled | self._only) - known))

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
        elif self._pluggy.has_plugin(entry.name):
            first = next(each.module for each in self._statuses if each.name == entry.name)
            status = "failed"
            error = f"expected one plugin named {entry.name!r}, got {first} too: rename one"
        else:
            try:
                plugin = entry.load()
                self._pluggy.register(plugin, name=entry.name)
                self._pluggy.check_pending()
                callers = self._pluggy.get_hookcallers(plugin) or ()
                hooks = tuple(sorted(caller.name for caller in callers))
            except (Exception, SystemExit) as problem:  # it must not stop the others
                if self._pluggy.has_plugin(entry.name):
                    self._pluggy.unregister(name=entry.name)
                status, error = "failed", _one_line(problem)
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

    def _fail(self, name: str, problem: Exception) -> None:
        """Switch off a plugin that fails when it is asked; one added by hand raises."""
        if name not in (each.name for each in self._statuses):
            raise problem
        self._pluggy.unregister(name=name)
        self._statuses = [
            replace(each, status="failed", error=_one_line(problem))
            if each.name == name and each.status == "loaded"
            else each
            for each in self._statuses
        ]

    def _is_off(self, name: str, *, built_in: bool) -> bool:
        if name in self._disabled or ("all" in self._disabled and not built_in):
            return True
        return bool(self._only) and not built_in and name not in self._only

    def _implementations(self, hook: str) -> Iterator[tuple[str, Callable[..., Any]]]:
        for implementation in getattr(self._pluggy.hook, hook).get_hookimpls():
            yield implementation.plugin_name, implementation.function

    def _collect(self, hook: str, kind: str, *, ours: Iterable[str] = ()) -> dict[str, Any]:
        found: dict[str, Any] = {}
        providers = dict.fromkeys(ours, "midband")
        for provider, offer in self._implementations(hook):
            try:
                items: list[_Named] = list(offer())
                names = [item.name for item in items]
            except Exception as problem:
                self._fail(provider, problem)
                continue
            for name, item in zip(names, items, strict=True):
                _claim(providers, name, provider, kind)
                found[name] = item
        return found


def _claim(providers: dict[str, str], name: str, provider: str, kind: str) -> None:
    """Note who provides a name; two of them are an error."""
    if name in providers:
        msg = (
            f"expected one {kind} named {name!r}, got one from {providers[name]!r} and one from"
            f" {provider!r}: switch a plugin off with MIDBAND_DISABLE_PLUGINS"
        )
        raise InputError(msg)
    providers[name] = provider


def _one_line(problem: BaseException) -> str:
    return " ".join(f"{type(problem).__name__}: {problem}".split())


def choose(items: Mapping[str, _Item], name: str, *, kind: str) -> _Item:
    """Return the item of that name, or say which names there are."""
    if name not in items:
        msg = f"expected {kind} to be one of {', '.join(sorted(items)) or '(none)'}, got {name!r}"
        failed = [each.name for each in get_plugin_manager().statuses if each.status == "failed"]
        if failed:
            msg += f" (these plugins failed, see `midband plugins`: {', '.join(failed)})"
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
