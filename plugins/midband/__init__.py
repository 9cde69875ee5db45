"""The public face of midband: its names load on first use, from a fixed table."""

import midband._front  # noqa: F401 - first: it decides where the imports below are looked for

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midband._manager import PluginManager, get_plugin_manager
    from midband.descriptors import (
        Capabilities,
        Command,
        Harness,
        Importer,
        InProcessHarness,
        NamedFactory,
        Probe,
        ReadOptions,
        ReportSection,
        Round,
        RoundRunner,
        subset_of,
    )
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
    "Capabilities": "midband.descriptors",
    "Choice": "midband_sampler",
    "Claim": "midband_sampler",
    "Command": "midband.descriptors",
    "Decision": "midband_sampler",
    "FullScorePosterior": "midband_sampler",
    "Harness": "midband.descriptors",
    "History": "midband_history",
    "Importer": "midband.descriptors",
    "InProcessHarness": "midband.descriptors",
    "InputError": "midband_history",
    "MaxErrors": "midband_sampler",
    "Metric": "midband_history",
    "MidbandError": "midband_history",
    "NamedFactory": "midband.descriptors",
    "Note": "midband_history",
    "OutcomeMatrix": "midband_history",
    "Plan": "midband_sampler",
    "PlanError": "midband_sampler",
    "PlanSettings": "midband_sampler",
    "PluginManager": "midband._manager",
    "Probe": "midband.descriptors",
    "RankSettled": "midband_sampler",
    "ReadOptions": "midband.descriptors",
    "Record": "midband_history",
    "ReportSection": "midband.descriptors",
    "Round": "midband.descriptors",
    "RoundRunner": "midband.descriptors",
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
    "subset_of": "midband.descriptors",
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
