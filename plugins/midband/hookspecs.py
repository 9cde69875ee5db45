"""The hooks that a plugin may implement; mark an implementation with ``hookimpl``."""

from typing import TYPE_CHECKING

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import click

    from midband.descriptors import Harness, Importer, NamedFactory, ReportSection
    from midband_sampler import Decision, Plan, Rule, Strategy
    from midband_sampler.racing import Allocation

hookspec = HookspecMarker("midband")
hookimpl = HookimplMarker("midband")


@hookspec
def midband_register_importers() -> "Iterable[Importer]":  # type: ignore[empty-body]
    """Return the formats of result files that this plugin reads."""


@hookspec
def midband_register_harnesses() -> "Iterable[Harness]":  # type: ignore[empty-body]
    """Return the adapters of harnesses that this plugin can run a plan on."""


@hookspec
def midband_register_strategies() -> "Iterable[NamedFactory | type[Strategy]]":  # type: ignore[empty-body]
    """Return strategies that ``midband plan --strategy`` may name: their classes, or factories."""


@hookspec
def midband_register_stopping_rules() -> "Iterable[NamedFactory | type[Rule]]":  # type: ignore[empty-body]
    """Return stopping rules that ``midband plan --stop`` may name: their classes, or factories."""


@hookspec
def midband_register_allocations() -> "Iterable[Allocation | type[Allocation]]":  # type: ignore[empty-body]
    """Return allocations of a race that ``--allocation`` may name: their classes, or objects."""


@hookspec
def midband_register_report_sections() -> "Iterable[ReportSection]":  # type: ignore[empty-body]
    """Return sections for the report of a study."""


@hookspec
def midband_register_commands(cli: "click.Group") -> None:
    """Add commands to the command line."""


@hookspec
def midband_result_recorded(plan: "Plan", task_id: str, score: float | None) -> None:
    """Observe one result of an adaptive run; never called from a replay."""


@hookspec
def midband_run_finished(plan: "Plan", decision: "Decision", source: "Path | None") -> None:
    """Observe the end of an adaptive run."""
