"""Reading a plan, whose stopping rule or strategy a plugin may have."""

from collections.abc import Callable, Mapping
from pathlib import Path

from midband._manager import get_plugin_manager
from midband_sampler import Plan, Strategy


def read_plan(path: Path | str) -> Plan:
    """Read a plan; plugins are loaded only where its rule or strategy is none of midband's own.

    Raises
    ------
    PlanError
        The file is no plan, was changed, or needs a plugin that is not there.
    """
    return Plan.read(path, rules=_added_rules, strategies=_added_strategy)


def _added_strategy(name: str) -> "Strategy | None":
    from midband.cli._choices import plugin_strategy

    return plugin_strategy(name)


def _added_rules() -> Mapping[str, Callable[..., object]]:
    added = get_plugin_manager().stopping_rules()
    return {name: each.restore or each.build for name, each in added.items()}
