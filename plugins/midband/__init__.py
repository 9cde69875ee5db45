"""The public face of midband: its names load on first use, from a fixed table."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midband._descriptors import Harness, Importer, ReportSection
    from midband._manager import PluginManager, get_plugin_manager
    from midband.hookspecs import hookimpl
    from midband_history import (
        History,
        InputError,
        MidbandError,
        OutcomeMatrix,
        Record,
        UnreadableSourceError,
    )
    from midband_sampler import (
        Band,
        Decision,
        Plan,
        PlanError,
        RankSettled,
        Session,
        make_plan,
    )

__all__ = [
    "Band",
    "Decision",
    "Harness",
    "History",
    "Importer",
    "InputError",
    "MidbandError",
    "OutcomeMatrix",
    "Plan",
    "PlanError",
    "PluginManager",
    "RankSettled",
    "Record",
    "ReportSection",
    "Session",
    "UnreadableSourceError",
    "get_plugin_manager",
    "hookimpl",
    "make_plan",
]
__version__ = "0.1.0"

_HOMES = {
    "Band": "midband_sampler",
    "Decision": "midband_sampler",
    "Harness": "midband._descriptors",
    "History": "midband_history",
    "Importer": "midband._descriptors",
    "InputError": "midband_history",
    "MidbandError": "midband_history",
    "OutcomeMatrix": "midband_history",
    "Plan": "midband_sampler",
    "PlanError": "midband_sampler",
    "PluginManager": "midband._manager",
    "RankSettled": "midband_sampler",
    "Record": "midband_history",
    "ReportSection": "midband._descriptors",
    "Session": "midband_sampler",
    "UnreadableSourceError": "midband_history",
    "get_plugin_manager": "midband._manager",
    "hookimpl": "midband.hookspecs",
    "make_plan": "midband_sampler",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'midband' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
