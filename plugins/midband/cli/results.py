"""The results that a plan judges: which are read, and which agents names mean."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from midband.cli.output import listed, open_history, say, warn
from midband.descriptors import ReadOptions
from midband_history import (
    InputError,
    StoreError,
    UnknownBenchmarkError,
    UnreadableSourceError,
    plain_benchmark,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midband_history import Note, Record
    from midband_sampler import Plan


def reference_named(plan: "Plan", name: str, history_path: Path | None) -> str:
    """Return the reference agent of the plan that a name means, or meant formerly.

    Raises
    ------
    InputError
        It means several.
    """
    from midband.choices import current_name

    agents = plan.reference_agents
    if name in agents:
        return name
    namesakes = [agent for agent in agents if agent.startswith((f"{name} [", f"{name}#"))]
    if len(namesakes) > 1:
        msg = (
            f"expected one agent of the plan, got {name!r}, which means {listed(namesakes)}:"
            " choose one of these"
        )
        raise InputError(msg)
    if namesakes:
        return namesakes[0]
    with suppress(StoreError, UnknownBenchmarkError), open_history(history_path) as store:
        label = current_name(store, plan.benchmark, name, ())
        for agent in agents:
            with suppress(InputError):
                if label == current_name(store, plan.benchmark, agent, ()):
                    return agent
    return name


def plan_records(
    plan: "Plan",
    paths: "Sequence[Path]",
    format_name: str | None,
    options: ReadOptions,
    agents: "Sequence[str]",
) -> "list[Record]":
    """Read the results of the plan's benchmark by the agents that are asked for.

    A name that no source knows names the agent of results that name nobody else.
    """
    from midband.importers.reading import read_records

    def read(options: ReadOptions) -> "list[Record]":
        found = read_records(paths, format_name=format_name, options=options, note=say_note)
        return _of_benchmark(plan, list(found), options)

    alone = agents[0] if len(agents) == 1 else ""
    try:
        records = read(options)
    except UnreadableSourceError:
        if not alone:
            raise
        return read(replace(options, agent=alone))
    names = sorted({record.agent for record in records})
    kept = [record for record in records if not agents or record.agent in agents]
    if kept or not records or not alone:
        return kept
    if len(names) > 1:
        msg = f"expected an agent of these logs, got {alone!r}: they hold {', '.join(names)}"
        raise InputError(msg)
    warn(f"the logs call the agent {names[0]}; it is ranked as {alone}")
    return [replace(record, agent=alone) for record in records]


def _of_benchmark(plan: "Plan", records: "list[Record]", options: ReadOptions) -> "list[Record]":
    """Keep the results of the plan's benchmark where there are some, and name the others."""
    mine = [record for record in records if plain_benchmark(record.benchmark) == plan.benchmark]
    others = sorted({record.benchmark for record in records} - {plan.benchmark})
    others = [name for name in others if plain_benchmark(name) != plan.benchmark]
    if not mine or options.benchmark:
        return records
    if others:
        warn(f"results of other benchmarks are passed over: {listed(others)}")
    return [replace(record, benchmark=plan.benchmark) for record in mine]


def say_note(path: Path, note: "Note") -> None:
    """Print a note about a source on standard error."""
    if note.code != "not-checkable":
        say(f"midband: note: {path}: {note.text}")
