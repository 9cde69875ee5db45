"""Strategies and stopping rules by name, those of plugins among them, and plans that name them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from midband._manager import get_plugin_manager
from midband_history import InputError, MidbandError
from midband_sampler import MIN_REPLAYS, Plan, PlanSettings, parse_stop, rule_forms, strategy_names

if TYPE_CHECKING:
    from datetime import datetime

    from midband_history import History, OutcomeMatrix
    from midband_sampler import Rule, Strategy
    from midband_sims import Names


def strategy_named(name: str) -> "str | Strategy":
    """Return a plugin's strategy of that name, or the name for the sampler to look up."""
    return plugin_strategy(name) or name


def plugin_strategy(name: str) -> "Strategy | None":
    """Return a plugin's strategy of that name, or the fixed form of one; None without."""
    added = get_plugin_manager().strategies()
    for live in (name, name.removesuffix("-fixed")):
        if live in added:
            made = cast("Strategy", _guarded(f"the strategy {live}", added[live].build)())
            return made if live == name else made.fixed()
    return None


MOST_OTHERS, MOST_ATTEMPTS = 8, 2_000_000


def other_outcomes(
    store: "History", benchmark: str, as_of: "datetime | None" = None
) -> "list[OutcomeMatrix]":
    """Return the benchmarks of the history that a calibrated plan draws on besides its own.

    Those with the most agents, up to eight; one that is too large to read on the side, or that
    cannot be read without a word on its metric or scale, is passed over.
    """
    names = [
        each.name
        for each in sorted(store.benchmarks(), key=lambda each: (-each.agents, each.name))
        if each.name != benchmark and each.attempts <= MOST_ATTEMPTS
    ]
    found: list[OutcomeMatrix] = []
    for name in names[: 2 * MOST_OTHERS]:
        try:
            matrix = store.outcomes(name, as_of=as_of)
        except MidbandError:
            continue
        if len(matrix.agents) >= MIN_REPLAYS:
            found.append(matrix)
    return found[:MOST_OTHERS]


def rule_help() -> str:
    """Say how stopping rules are written, those of plugins included."""
    added = _offered(get_plugin_manager().stopping_rules)
    return (
        f"When a run stops. The rules are {', '.join([*rule_forms(), *added])}. Several are"
        " joined by the words and, or. docs/guarantees.md explains each."
    )


def _offered(names: Callable[[], Mapping[str, object]]) -> tuple[str, ...]:
    """Return the names that plugins offer; none where two of them conflict, which help survives."""
    try:
        return tuple(names())
    except MidbandError:
        return ()


def strategy_help() -> str:
    """List the strategies, those of plugins included."""
    names = [*strategy_names(), *_offered(get_plugin_manager().strategies)]
    return (
        f"How the tasks are chosen: by {', '.join(names)}. docs/strategies.md explains each. auto"
        " takes sampled-information unless replays of your history clearly favour another."
    )


def varied_help() -> str:
    """Say which settings of plans a study varies."""
    names = (each.name.replace("_", "-") for each in PlanSettings.options() if each.varied)
    return (
        "A further setting of the plans that are replayed, such as explore=0.1. Repeat the option"
        f" for each value to try. The settings are {', '.join(names)}."
    )


def stopping_rule(text: str) -> "Rule":
    """Return the rule that a text such as ``rank:0.95:0.2 or usd:20`` describes."""
    added = get_plugin_manager().stopping_rules()
    builds = {name: _guarded(f"the rule {name}", each.build) for name, each in added.items()}
    return parse_stop(text, builds)


def current_name(store: "History", benchmark: str, name: str, agents: Sequence[str]) -> str:
    """Return the label of an agent among these, or one that the history knows by this name.

    Raises
    ------
    InputError
        The name means several agents.
    """
    if name in agents or not store.has_agent(benchmark, name):
        return name
    return store.resolve_agent(benchmark, name)


def with_agents(rule: "Rule", resolve: Callable[[str], str]) -> "Rule":
    """Return a rule with the agents that it names under the names that `resolve` gives them."""
    if not is_dataclass(rule) or isinstance(rule, type):
        return rule
    changes: dict[str, Any] = {}
    for each in fields(rule):
        value = getattr(rule, each.name)
        if each.name == "agent" and isinstance(value, str):
            changes[each.name] = resolve(value)
        elif each.name == "rules" and isinstance(value, tuple):
            changes[each.name] = tuple(with_agents(one, resolve) for one in value)
    changes = {name: value for name, value in changes.items() if value != getattr(rule, name)}
    return cast("Rule", replace(rule, **changes)) if changes else rule


def study_names() -> "Names":
    """Return what the names in a study refer to; every process of it loads the plugins."""
    from midband_sims import Names

    manager = get_plugin_manager()
    if not (manager.strategies() or manager.stopping_rules()):
        return Names()
    versions = ", ".join(f"{name} {text}" for name, text in sorted(manager.versions().items()))
    return Names(strategy=strategy_named, stop=stopping_rule, version=versions)


def _guarded(what: str, build: Callable[..., object]) -> Callable[..., object]:
    """Return a plugin's function; what it refuses in its own way becomes one line."""

    def _build(*texts: Any) -> object:
        try:
            return build(*texts)
        except MidbandError:
            raise
        except (TypeError, ValueError) as problem:
            got = ":".join(texts) or "no settings"
            msg = f"expected settings that {what} of a plugin takes, got {got}: {problem}"
            raise InputError(msg) from problem

    return _build


def read_plan(path: Path | str) -> Plan:
    """Read a plan; plugins are loaded only where its rule or strategy is none of midband's own.

    Raises
    ------
    PlanError
        The file is no plan, was changed, or needs a plugin that is not there.
    """
    return Plan.read(path, rules=_added_rules, strategies=plugin_strategy)


def _added_rules() -> Mapping[str, Callable[..., object]]:
    added = get_plugin_manager().stopping_rules()
    return {name: each.restore or each.build for name, each in added.items()}
