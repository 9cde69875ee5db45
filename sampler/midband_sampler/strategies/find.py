"""Strategies by name: those of this folder, their fixed forms, and their old names.

Every strategy in a file of this folder is found by itself; nothing here names one.
"""

from collections.abc import Mapping
from functools import cache

from midband_history import InputError
from midband_sampler.registry import kinds_in
from midband_sampler.strategies.base import Strategy

AUTO = "auto"


@cache
def strategies() -> Mapping[str, Strategy]:
    """Return midband's own strategies and the fixed forms of the live ones, by name."""
    package = __name__.rpartition(".")[0]
    found = [kind() for kind in kinds_in(package, Strategy)]  # type: ignore[type-abstract]
    forms = [each.fixed() for each in found if each.live]
    return {each.name: each for each in sorted([*found, *forms], key=lambda each: each.name)}


@cache
def old_strategy_names() -> Mapping[str, str]:
    """Return the present name of each strategy that had another."""
    names = {}
    for each in strategies().values():
        names.update(dict.fromkeys(each.old_names, each.name))
        names.update(dict.fromkeys(each.old_fixed_names, each.fixed().name))
    return names


def strategy_names() -> tuple[str, ...]:
    """Return what ``--strategy`` takes, ``auto`` first."""
    return (AUTO, *strategies())


def present_name(name: str) -> str:
    """Return what a strategy is called now."""
    return old_strategy_names().get(name, name)


def renamed_strategy(name: str) -> str:
    """Say what a strategy is called now; empty where the name is the present one."""
    present = present_name(name)
    if present == name:
        return ""
    return (
        f"the strategy {name!r} is called {present!r} now: the old name goes with the next release"
    )


def find_strategy(name: str) -> Strategy:
    """Return the strategy of that name; the error lists the names there are."""
    found = strategies().get(present_name(name))
    if found is None:
        msg = f"expected a strategy among {', '.join(strategy_names())}, got {name!r}"
        raise InputError(msg)
    return found


def check_strategy(name: str) -> None:
    """Raise an error that lists the names there are unless `name` is one of them."""
    if name != AUTO:
        find_strategy(name)
