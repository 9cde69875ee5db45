"""Strategies and stopping rules by name: ours first, then those of plugins."""

from typing import TYPE_CHECKING, cast

from midband._manager import get_plugin_manager
from midband_sampler import parse_stop

if TYPE_CHECKING:
    from midband_sampler import StoppingRule, Strategy


def strategy_named(name: str) -> "str | Strategy":
    """Return a plugin's strategy of that name, or the name for the sampler to look up."""
    added = get_plugin_manager().strategies()
    return cast("Strategy", added[name].build()) if name in added else name


def stopping_rule(text: str) -> "StoppingRule":
    """Return the rule that a text such as ``rank:0.95:0.2 or usd:20`` describes."""
    added = get_plugin_manager().stopping_rules()
    return parse_stop(text, {name: factory.build for name, factory in added.items()})
