"""Results of an earlier directory, for which a run or a race that continues it does not pay."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midband.choices import read_plan
from midband.race_file import read_race
from midband.rounds.agent_run import PLAN
from midband.rounds.journal import FILE, AttemptResult, RunJournal, by_task
from midband.rounds.race_state import RACE, RACE_JOURNAL, folders
from midband.rounds.state import RunState
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from midband_history import Metric
    from midband_sampler import Plan
    from midband_sampler.racing import RacePlan


@dataclass(frozen=True, kw_only=True)
class EarlierRun:
    """What one agent has brought in an earlier directory.

    Parameters
    ----------
    directory : Path
    header : mapping
        How it was begun.
    results : tuple of AttemptResult
        Those with a score: what ended without one is run again.
    tasks : tuple of str
        All that were run, in their order.
    """

    directory: Path
    header: Mapping[str, object]
    results: tuple[AttemptResult, ...]
    tasks: tuple[str, ...] = ()

    def ordered(self, plan: "Plan") -> "EarlierRun":
        """Return the run with its results in the order of a plan that runs the same tasks first.

        Raises
        ------
        InputError
            The plan runs others first: its verdict would rest on tasks that another plan chose.
        """
        order = plan.fixed().tasks
        if plan.chooses_live or set(order[: len(self.tasks)]) != set(self.tasks):
            msg = (
                f"expected a plan that runs the {len(self.tasks)} tasks of {self.directory} first,"
                " got one that chooses others: make it with the same history, strategy and seed"
            )
            raise InputError(msg)
        place = {task: number for number, task in enumerate(order)}
        results = sorted(self.results, key=lambda each: place[each.task])
        return replace(self, results=tuple(results))

    def check(self, header: Mapping[str, object]) -> None:
        """Refuse a continuation that would run something else.

        Raises
        ------
        InputError
            Harness, arguments, attempts or benchmark differ.
        """
        for name in ("harness", "arguments", "attempts", "benchmark"):
            if self.results and self.header[name] != header[name]:
                got = "others" if name == "arguments" else repr(header[name])
                msg = (
                    f"expected the same {name} as in {self.directory}, which is continued, got"
                    f" {got}: repeat them, or leave out --from"
                )
                raise InputError(msg)


@dataclass(frozen=True, kw_only=True)
class EarlierRace:
    """What the candidates of an earlier race have brought.

    Parameters
    ----------
    runs : mapping of str to EarlierRun
        By candidate.
    order : tuple of str
        The shared order of tasks so far.
    measured : mapping or None
        The metric that its results named first, where its plan knew none.
    """

    runs: Mapping[str, EarlierRun]
    order: tuple[str, ...]
    measured: Mapping[str, object] | None = None


@dataclass
class _Collector:
    """Takes in what a state tells, and asks for nothing."""

    results: list[AttemptResult] = field(default_factory=list)
    tasks: list[str] = field(default_factory=list)

    def next_task(self) -> str | None:
        """Name none."""
        return None

    def starts(self, task: str) -> None:
        """Note nothing."""

    def told(self, task: str, results: Sequence[AttemptResult]) -> None:
        """Keep those with a score."""
        self.tasks.append(task)
        self.results += [each for each in results if each.score is not None]


def earlier_run(directory: Path, *, benchmark: str, note: Callable[[str], None]) -> EarlierRun:
    """Read the directory of a run by ``midband run``.

    Raises
    ------
    InputError
        It is none, or of another benchmark.
    """
    path = directory / PLAN
    if not path.exists():
        msg = (
            f"expected the directory of an earlier run after --from, got {directory}: name that one"
        )
        raise InputError(msg)
    plan = read_plan(path)
    _check_benchmark(directory, plan.benchmark, benchmark)
    return _run(directory, plan.all_tasks, note)


def earlier_race(directory: Path, plan: "RacePlan", *, note: Callable[[str], None]) -> EarlierRace:
    """Read the directory of a race by ``midband race``.

    Parameters
    ----------
    directory : Path
    plan : RacePlan
        Of the race that continues it.
    note : callable
        Told where results are left out.

    Raises
    ------
    InputError
        It is none, or of another benchmark, version or metric.
    """
    from midband_sampler.racing import Race

    path = directory / RACE
    if not path.exists():
        msg = f"expected the directory of an earlier race after --from, got {directory}: name one"
        raise InputError(msg)
    before = read_race(path)
    _check_benchmark(directory, before.benchmark, plan.benchmark)
    _check_same(directory, before, plan)
    with closing(RunJournal(directory, RACE_JOURNAL)) as journal:
        begun = journal.begun
    race = Race(before, step=int(begun.get("round_size", 1)), order=begun.get("order", ()))
    runs: dict[str, EarlierRun] = {}
    for name, folder in zip(before.candidates, folders(before.candidates), strict=True):
        found = _run(directory / folder, before.tasks, note)
        runs[name] = found
        for task, results in by_task(found.results).items():
            scores = [each.score for each in results if each.score is not None]
            race.tell(name, task, score=sum(scores) / len(scores))
    if before.model is None and (before.seed, before.tasks) != (plan.seed, plan.tasks):
        note(f"{directory} ran other tasks or another seed, so that few of its results may count")
    return EarlierRace(runs=runs, order=race.order, measured=begun.get("measured"))


def _run(directory: Path, tasks: Sequence[str], note: Callable[[str], None]) -> EarlierRun:
    if not (directory / FILE).exists():
        return EarlierRun(directory=directory, header={}, results=())
    found = _Collector()
    state = RunState(found, tasks)
    with closing(RunJournal(directory)) as journal:
        _restore(state, journal)
        if state.open_round is not None:
            note(f"{directory} has a round that is not read yet: repeat its own command first")
        return EarlierRun(
            directory=directory,
            header=journal.begun,
            results=tuple(found.results),
            tasks=tuple(found.tasks),
        )


def state_of(directory: Path, tasks: Sequence[str]) -> RunState | None:
    """Return the state that the rounds in a directory left; None where none was begun.

    Raises
    ------
    StoreError
        The journal does not fit.
    """
    if not (directory / FILE).exists():
        return None
    state = RunState(_Collector(), tasks)
    with closing(RunJournal(directory)) as journal:
        _restore(state, journal)
    return state


def _restore(state: RunState, journal: RunJournal) -> None:
    for number, event in enumerate(journal.events, start=1):
        try:
            state.restore(event, lambda line: None)
        except (MidbandError, ValueError) as error:
            what = f"what does not fit ({' '.join(str(error).split())})"
            raise journal.damaged(number, what) from error


def _check_benchmark(directory: Path, before: str, benchmark: str) -> None:
    if before != benchmark:
        msg = f"expected results of {benchmark} after --from, got {before} in {directory}"
        msg += ": name a directory of the same benchmark"
        raise InputError(msg)


def _check_same(directory: Path, before: "RacePlan", plan: "RacePlan") -> None:
    def label(metric: "Metric | None") -> str:
        return metric.label if metric is not None else ""

    pairs = (
        ("version", before.version, plan.version),
        ("metric", label(before.metric), label(plan.metric)),
    )
    for what, old, new in pairs:
        if old and new and old != new:
            msg = (
                f"expected results of {what} {new} after --from, got {old} in {directory}: plan the"
                f" race for {old}"
            )
            raise InputError(msg)
