"""``midband plan --candidates``: what a race is to find out, and what that is expected to cost."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from midband import __version__
from midband.cli.ids import read_ids
from midband.cli.output import (
    echo,
    echo_document,
    listed,
    open_history,
    print_facts,
    print_json,
    say_undated,
    warn,
)
from midband_history import History, default_path

if TYPE_CHECKING:
    from midband.race_file import RaceFile
    from midband_history import OutcomeMatrix
    from midband_sampler.racing import RacePlan

DEFAULT_OUTPUT = Path("race.json")
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class RaceRequest:
    """What a user asks of the plan of a race.

    Parameters
    ----------
    benchmark : str
    candidates : Path
        The file that names them.
    output : Path
        Where to write the plan; ``-`` prints it.
    tasks : Path or None
        A file of task ids, one a line.
    metric, version : str or None
        What is read of the history.
    as_of : datetime or None
    exclude_agents : tuple of str
        Patterns of agents that are left out of the history.
    seed : int
    history : Path or None
    """

    benchmark: str
    candidates: Path
    output: Path
    tasks: Path | None = None
    metric: str | None = None
    version: str | None = None
    as_of: datetime | None = None
    exclude_agents: tuple[str, ...] = ()
    seed: int = 0
    history: Path | None = None


def plan_race(request: RaceRequest, *, as_json: bool) -> int:
    """Plan a race, and say what it is expected to cost."""
    from midband.race_file import read_race_file

    said = read_race_file(request.candidates)
    made, notes = _made(request, said)
    to_screen = str(request.output) == "-"
    if to_screen:
        for note in (*notes, *made.notes):
            warn(note)
        echo_document(made.to_json())
        return 0
    made.write(request.output)
    facts = race_facts(made, request.output)
    if as_json:
        print_json({**facts, **_costs(made), "notes": (*notes, *made.notes)})
        return 0
    print_facts(facts)
    for note in (*notes, *made.notes):
        echo(note)
    return 0


def _made(request: RaceRequest, said: "RaceFile") -> "tuple[RacePlan, tuple[str, ...]]":
    """Make the plan; with lines on what the history lacks, and on names that it knows better."""
    from midband._manager import get_plugin_manager
    from midband.race_file import allocation_named
    from midband_history import Metric
    from midband_sampler.racing import make_race

    found = _from_history(request, said.candidates)
    matrix, names = found.matrix, found.names
    tasks = None if request.tasks is None else read_ids(request.tasks, "--tasks")
    made = make_race(
        matrix,
        [names.get(name, name) for name in said.candidates],
        question=said.question,
        allocation=allocation_named(said.allocation),
        budget=said.budget,
        others=found.others,
        tasks=found.tasks if tasks is None else tasks,
        task_digests=found.task_digests,
        benchmark=request.benchmark if matrix is None else matrix.benchmark,
        metric=None if matrix is not None or not request.metric else Metric(name=request.metric),
        version="" if matrix is not None else request.version or "",
        arguments={names.get(name, name): words for name, words in said.arguments.items()},
        versions={"midband": __version__, **get_plugin_manager().versions()},
        seed=request.seed,
    )
    notes = found.notes
    if not made.tasks:
        notes += ("the tasks are not known yet: name them with --tasks FILE, here or at the start",)
    return made, notes


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What the history gives a race."""

    matrix: "OutcomeMatrix | None" = None
    others: "Sequence[OutcomeMatrix]" = ()
    names: Mapping[str, str] = field(default_factory=dict)
    tasks: tuple[str, ...] | None = None
    task_digests: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _from_history(request: RaceRequest, candidates: "Sequence[str]") -> _Found:
    """Read the history; a race needs none, so a default one that is not there is no error."""
    from midband.choices import current_name, other_outcomes

    if request.history is None and not History.exists():
        return _Found(notes=(f"there is no history at {default_path()}: the race goes without it",))
    benchmark = request.benchmark
    with open_history(request.history) as store:
        held = [each.name for each in store.benchmarks()]
        if benchmark not in {*held, *(store.benchmark_name(name) for name in held)}:
            known = f"it holds {listed(held, 5)}" if held else "it is empty"
            line = f"the history has no results of {benchmark} ({known}): the race goes without it"
            return _Found(notes=(line,))
        matrix = store.outcomes(
            benchmark,
            as_of=request.as_of,
            exclude_agents=request.exclude_agents,
            metric=request.metric,
            version=request.version,
        )
        if not matrix.agents:
            return _Found(
                tasks=matrix.tasks,
                task_digests=dict(zip(matrix.tasks, matrix.task_digests, strict=True)),
                notes=(f"the history has no scores of {benchmark}: the race goes without it",),
            )
        names = {
            name: current
            for name in candidates
            if (current := current_name(store, benchmark, name, matrix.agents)) != name
        }
        others = other_outcomes(store, benchmark, request.as_of)
        say_undated(store, benchmark, request.as_of)
    notes = tuple(f"the history calls {old} {new}" for old, new in names.items())
    return _Found(matrix=matrix, others=others, names=names, notes=notes)


def race_facts(made: "RacePlan", output: Path) -> dict[str, object]:
    """Return what a person wants to know of the plan of a race before it costs anything."""
    from midband_sampler.racing import budget_text

    known = int(made.known.size) - made.full
    return {
        "race": str(output),
        "benchmark": made.benchmark,
        "metric": made.metric.label if made.metric and made.metric.known else "unknown",
        "version": made.version or None,
        "question": made.question.text,
        "allocation": made.allocation.name,
        "budget": budget_text(made.budget) or None,
        "candidates": ", ".join(made.candidates),
        "tasks": len(made.tasks) or None,
        "full_price": _in_words(made, 1.0) if made.tasks else None,
        "known_results": known or None,
        "expected_cost": _expected_text(made),
        "reference_agents": len(made.reference_agents),
        "guarantee": _guarantee(made),
        "digest": made.digest,
    }


def _guarantee(made: "RacePlan") -> str:
    from midband_sampler.racing import EXACT

    if made.question.confidence is None:
        return "nothing is claimed: the question names no confidence"
    if made.claims_by_history and made.calibration is not None:
        return made.calibration.guarantee
    return EXACT


def _usd(made: "RacePlan", share: float) -> float:
    """Return what a share of the full price is expected to cost, US dollars; NaN if unknown."""
    costs = [cost for cost in made.expected_cost_usd.tolist() if not math.isnan(cost)]
    return math.nan if not costs else share * made.full * math.fsum(costs) / len(costs)


def _in_words(made: "RacePlan", share: float) -> str:
    usd = _usd(made, share)
    results = f"{round(share * made.full):,} results"
    return results if math.isnan(usd) else f"{results}, about ${usd:,.2f}"


def _expected_text(made: "RacePlan") -> str:
    if made.tasks and not made.full:
        return "nothing: the history knows every result"
    most = 1.0 if made.jobs is None else made.jobs / max(made.full, 1)
    if math.isnan(made.cost):
        if not made.tasks:
            return "unknown: no history says"
        limit = "the full price" if most == 1.0 else f"{most:.1%} of the full price"
        return f"unknown, no history says; at most {limit}: {_in_words(made, most)}"
    text = f"{made.cost:.1%} of the full price"
    if made.cost_low < made.cost_high:
        text += f" ({made.cost_low:.1%} to {made.cost_high:.1%} in 8 of 10 replays)"
    if not made.tasks:
        return text
    usd_low, usd_high = _usd(made, made.cost_low), _usd(made, made.cost_high)
    text += f": {_in_words(made, made.cost)}"
    if made.cost_low < made.cost_high and not math.isnan(usd_low):
        text += f" (${usd_low:,.2f} to ${usd_high:,.2f})"
    return text


def _costs(made: "RacePlan") -> dict[str, object]:
    """Return the expected cost as numbers: share of the full price, results and US dollars."""
    shares = {"low": made.cost_low, "mean": made.cost, "high": made.cost_high}
    return {
        "full_results": made.full,
        "cost_share": shares,
        "cost_results": {name: share * made.full for name, share in shares.items()},
        "cost_usd": {name: _usd(made, share) for name, share in shares.items()},
        "warnings": made.notes,
    }
