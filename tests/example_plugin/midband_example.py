"""A plugin of midband that does a little of everything, and the harness that it drives."""

import argparse
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from shutil import which
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from midband import (
    Capabilities,
    Claim,
    Command,
    Decision,
    FullScorePosterior,
    Importer,
    InputError,
    OutcomeMatrix,
    Plan,
    Probe,
    Record,
    ReportSection,
    Round,
    Rule,
    Selection,
    Snapshot,
    Strategy,
    UnreadableSourceError,
    hookimpl,
    subset_of,
)
from midband_history import IntArray
from midband_sampler.racing import Allocation, Field

LOG = "MIDBAND_EXAMPLE_LOG"
RESULTS = "results.toy.json"
_WHAT = "results of toy-eval"


@dataclass(frozen=True)
class Separating(Strategy):
    """The tasks that some known agents solve and others do not, in random order."""

    name = "separating"
    random_order = True

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Leave out the tasks on which all agents agree; keep all if there is no other."""
        del posterior
        known = ~np.isnan(history.scores)
        lowest = np.where(known, history.scores, np.inf).min(axis=0)
        highest = np.where(known, history.scores, -np.inf).max(axis=0)
        apart = np.flatnonzero(lowest < highest)
        if apart.size == 0:
            apart = np.arange(len(history.tasks))
        return Selection(rng.permutation(apart).astype(np.int64))


@dataclass(frozen=True)
class WithinRanks(Rule):
    """Stop when the rank is known to within so many ranks.

    Parameters
    ----------
    ranks : int
        Largest difference between the bounds.
    confidence : float
        Chance that the bounds cover at the stop, over all looks.
    """

    name = "within"
    ranks: int = 1
    confidence: float = 0.95
    min_tasks: int = 10

    def met(self, snapshot: Snapshot) -> NDArray[np.bool_]:
        """Compare the bounds."""
        return np.asarray(snapshot.rank_high - snapshot.rank_low <= self.ranks)

    def claim(self, snapshot: Snapshot) -> Claim:
        """Claim the bounds."""
        low, high = int(snapshot.rank_low), int(snapshot.rank_high)
        return Claim(f"rank {low} to {high}", self.confidence)

    def reason(self, snapshot: Snapshot) -> str:
        """Say how well the rank is known."""
        return f"known to {int(snapshot.rank_high - snapshot.rank_low)} ranks"


@dataclass(frozen=True)
class ToyEval:
    """The harness ``toy-eval``, which this package brings along."""

    name: str = "toy-eval"
    summary: str = "toy-eval: --tasks FILE, in rounds."
    tested_versions: tuple[str, ...] = ("1",)
    capabilities: Capabilities = field(
        default=Capabilities(subset=True, rounds=True, attempts=True, costs=True)
    )

    def probe(self) -> Probe:
        """Look for the program."""
        if which("toy-eval") is None:
            return Probe(problem="expected toy-eval on the path: pip install midband-example")
        return Probe(version=version("midband-example"))

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        """Yield the attempts below a path."""
        for file in sorted(path.rglob(RESULTS)) if path.is_dir() else [path]:
            yield from read(file, benchmark=benchmark, columns={})

    def write_subset(
        self, plan: Plan, directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write ``tasks.json``."""
        chosen = subset_of(plan, tasks)
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / "tasks.json"
        path.write_text(json.dumps(chosen), encoding="utf-8")
        return (path,)

    def build_command(self, batch: Round) -> Command:
        """Return ``toy-eval``."""
        subset_of(batch.plan, batch.tasks)
        if "--tasks" in batch.arguments:
            msg = "expected no --tasks beside a subset, got it: midband names the tasks"
            raise InputError(msg)
        output = batch.directory / "results"
        step = (
            *("toy-eval", "--benchmark", batch.plan.benchmark, "--run", batch.name),
            *("--tasks", str(batch.directory / "tasks.json"), "--repeat", str(batch.attempts)),
            *("--output", str(output), *batch.arguments),
        )
        return Command(steps=(step,), results=output)


def sniff(path: Path) -> bool:
    """Whether a file is called as toy-eval calls its results."""
    return path.name == RESULTS and path.is_file()


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield the attempts of one file."""
    del columns
    try:
        found = json.loads(path.read_bytes())
        attempts, run, agent = found["attempts"], found["run"], found["agent"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        msg = f"{path}: expected {_WHAT}, got {' '.join(str(error).split())}"
        raise UnreadableSourceError(msg) from error
    for each in attempts:
        failed = each["score"] is None
        yield Record(
            benchmark=benchmark or found["benchmark"],
            task_id=each["task"],
            agent=agent,
            score=each["score"],
            kind="infra_error" if failed else "valid",
            attempt=each["attempt"],
            run_id=run,
            harness="toy-eval",
            cost_usd=each["cost_usd"],
        )


def cheapest(cells: Sequence[Mapping[str, object]]) -> str:
    """Say which cell of a study ran the smallest share of the tasks."""
    shares = {str(cell["strategy"]): float(str(cell["fraction_run"])) for cell in cells}
    best = min(shares, key=shares.__getitem__)
    return f"{best} ran the fewest tasks: {shares[best]:.0%}."


@hookimpl
def midband_register_strategies() -> Iterable[type[Strategy]]:
    """Offer ``--strategy separating``."""
    return [Separating]


@hookimpl
def midband_register_stopping_rules() -> Iterable[type[Rule]]:
    """Offer ``--stop within:RANKS:CONFIDENCE``."""
    return [WithinRanks]


class Leaders(Allocation):
    """The two candidates of a race that rank first run on."""

    name = "leaders"

    def next(self, field: Field) -> IntArray:
        """Run the first two further, once everybody has begun."""
        goal = field.begin()
        return field.further(list(field.ranking[:2])) if goal is None else goal


@hookimpl
def midband_register_allocations() -> Iterable[type[Allocation]]:
    """Offer ``--allocation leaders``."""
    return [Leaders]


@hookimpl
def midband_register_harnesses() -> Iterable[ToyEval]:
    """Offer ``--for toy-eval``."""
    return [ToyEval()]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer ``--format toy-eval``."""
    return [Importer(name="toy-eval", sniff=sniff, read=read, suffixes=(".json",))]


@hookimpl
def midband_register_report_sections() -> Iterable[ReportSection]:
    """Offer a sentence on the page of a study."""
    return [ReportSection(name="Cheapest", render=cheapest)]


@hookimpl
def midband_register_commands(cli: click.Group) -> None:
    """Add ``midband toy-tasks``."""

    @cli.command("toy-tasks")
    @click.argument("count", type=int)
    def toy_tasks(count: int) -> None:
        """Print the tasks that toy-eval has."""
        for place in range(count):
            click.echo(f"task-{place}")


@hookimpl
def midband_result_recorded(plan: Plan, task_id: str, score: float | None) -> None:
    """Note each result."""
    _note({"plan": plan.digest, "task": task_id, "score": score})


@hookimpl
def midband_run_finished(plan: Plan, decision: Decision, source: Path | None) -> None:
    """Note the end of a run."""
    _note({"plan": plan.digest, "reason": decision.reason, "source": source and str(source)})


def _note(what: dict[str, Any]) -> None:
    if place := os.environ.get(LOG):
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(json.dumps(what) + "\n")


def toy_eval(arguments: Sequence[str] | None = None) -> None:
    """Run the toy harness: an agent solves the tasks whose number is below its skill."""
    parser = argparse.ArgumentParser(prog="toy-eval")
    for name in ("--benchmark", "--run", "--agent"):
        parser.add_argument(name, required=True)
    for name in ("--tasks", "--output"):
        parser.add_argument(name, type=Path, required=True)
    for name in ("--repeat", "--skill"):
        parser.add_argument(name, type=int, default=1)
    given = parser.parse_args(arguments)
    attempts = [
        {
            "task": task,
            "attempt": attempt,
            "score": float(int(task.rpartition("-")[2]) % 100 < given.skill),
            "cost_usd": 0.25,
        }
        for task in json.loads(given.tasks.read_text(encoding="utf-8"))
        for attempt in range(given.repeat)
    ]
    given.output.mkdir(parents=True, exist_ok=True)
    found = {"agent": given.agent, "benchmark": given.benchmark, "run": given.run}
    text = json.dumps({**found, "attempts": attempts})
    (given.output / RESULTS).write_text(text, encoding="utf-8")
