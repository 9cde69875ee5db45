"""The public face of midband: its names load on first use, from a fixed table."""

import midband._front  # noqa: F401 - first: it decides where the imports below are looked for

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midband._descriptors import Importer, NamedFactory, ReadOptions, ReportSection
    from midband._harness import (
        Capabilities,
        Command,
        Harness,
        InProcessHarness,
        Probe,
        Round,
        RoundRunner,
        subset_of,
    )
    from midband._manager import PluginManager, get_plugin_manager
    from midband.hookspecs import hookimpl
    from midband_history import (
        History,
        InputError,
        Metric,
        MidbandError,
        Note,
        OutcomeMatrix,
        Record,
        StatedAggregate,
        UnreadableSourceError,
    )
    from midband_sampler import (
        Band,
        Choice,
        Claim,
        Decision,
        FullScorePosterior,
        MaxErrors,
        Plan,
        PlanError,
        PlanSettings,
        RankSettled,
        Rule,
        Selection,
        Session,
        Snapshot,
        Strategy,
        make_plan,
        parse_max_errors,
        parse_stop,
    )

__all__ = [
    "Band",
    "Capabilities",
    "Choice",
    "Claim",
    "Command",
    "Decision",
    "FullScorePosterior",
    "Harness",
    "History",
    "Importer",
    "InProcessHarness",
    "InputError",
    "MaxErrors",
    "Metric",
    "MidbandError",
    "NamedFactory",
    "Note",
    "OutcomeMatrix",
    "Plan",
    "PlanError",
    "PlanSettings",
    "PluginManager",
    "Probe",
    "RankSettled",
    "ReadOptions",
    "Record",
    "ReportSection",
    "Round",
    "RoundRunner",
    "Rule",
    "Selection",
    "Session",
    "Snapshot",
    "StatedAggregate",
    "Strategy",
    "UnreadableSourceError",
    "get_plugin_manager",
    "hookimpl",
    "make_plan",
    "parse_max_errors",
    "parse_stop",
    "subset_of",
]
__version__ = "0.2.0"

_HOMES = {
    "Band": "midband_sampler",
    "Capabilities": "midband._harness",
    "Choice": "midband_sampler",
    "Claim": "midband_sampler",
    "Command": "midband._harness",
    "Decision": "midband_sampler",
    "FullScorePosterior": "midband_sampler",
    "Harness": "midband._harness",
    "History": "midband_history",
    "Importer": "midband._descriptors",
    "InProcessHarness": "midband._harness",
    "InputError": "midband_history",
    "MaxErrors": "midband_sampler",
    "Metric": "midband_history",
    "MidbandError": "midband_history",
    "NamedFactory": "midband._descriptors",
    "Note": "midband_history",
    "OutcomeMatrix": "midband_history",
    "Plan": "midband_sampler",
    "PlanError": "midband_sampler",
    "PlanSettings": "midband_sampler",
    "PluginManager": "midband._manager",
    "Probe": "midband._harness",
    "RankSettled": "midband_sampler",
    "ReadOptions": "midband._descriptors",
    "Record": "midband_history",
    "ReportSection": "midband._descriptors",
    "Round": "midband._harness",
    "RoundRunner": "midband._harness",
    "Rule": "midband_sampler",
    "Selection": "midband_sampler",
    "Session": "midband_sampler",
    "Snapshot": "midband_sampler",
    "StatedAggregate": "midband_history",
    "Strategy": "midband_sampler",
    "UnreadableSourceError": "midband_history",
    "get_plugin_manager": "midband._manager",
    "hookimpl": "midband.hookspecs",
    "make_plan": "midband_sampler",
    "parse_max_errors": "midband_sampler",
    "parse_stop": "midband_sampler",
    "subset_of": "midband._harness",
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
