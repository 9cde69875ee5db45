"""Runs of HAL, as its leaderboard and its uploads tell them: tasks, costs, and accuracies."""

import json
import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import option
from midband.adapters.files import foreign, load_object, mapping, moment, number, start_of
from midband.adapters.stated import Quantities, errors_counted, fits, rounding
from midband_history import Metric, Record, StatedAggregate

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from midband.descriptors import ReadItem, ReadOptions

ENDING = "_UPLOAD.json"
_WHAT = "an upload of HAL"
SUCCESS = Metric(name="success", declared="source")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A row of the leaderboard, or an upload.

    Parameters
    ----------
    benchmark, agent, model, scaffold, run_id : str
    date : object
        As the row has it.
    solved, failed : tuple of str
        Its tasks.
    cost : object
        Of the whole run in US dollars, as the row has it.
    accuracy : float or None
        What HAL states; over every task of the benchmark in some of its benchmarks, and over those
        that were run in others.
    agent_version : str
    seconds : mapping of str to object
        How long the tasks took, where known.
    errors : frozenset of str
        Failed tasks that are errors of the harness.
    """

    benchmark: str
    agent: str
    model: str
    scaffold: str
    run_id: str
    date: object
    solved: tuple[str, ...]
    failed: tuple[str, ...]
    cost: object
    accuracy: float | None
    agent_version: str = ""
    seconds: "Mapping[str, object]" = field(default_factory=dict)
    errors: frozenset[str] = frozenset()

    def records(self, quantities: Quantities) -> "Iterator[Record]":
        """Yield a record for every task."""
        started, cost = moment(self.date), quantities.run_cost(self.cost)
        for tasks, score in ((self.solved, 1.0), (self.failed, 0.0)):
            for task in tasks:
                yield Record(
                    benchmark=self.benchmark,
                    task_id=task,
                    agent=self.agent,
                    score=score,
                    run_id=self.run_id,
                    model=self.model,
                    scaffold=self.scaffold,
                    agent_version=self.agent_version,
                    harness="hal",
                    started=started,
                    duration_s=quantities.seconds(self.seconds.get(task)),
                    run_cost_usd=cost,
                    metric=SUCCESS,
                    errored=task in self.errors,
                )


def check_apart(
    solved: "Collection[str]", failed: "Collection[str]", path: Path, run_id: str
) -> None:
    """Refuse a run that names a task both solved and failed."""
    both = set(solved) & set(failed)
    if both:
        got = f"{min(both)!r} of run {run_id} both solved and failed: correct the run"
        raise foreign(path, "every task solved or failed", got)


def share(accuracy: float | None) -> float | None:
    """Return an accuracy as a share of 1; some of HAL's benchmarks state it in percent."""
    if accuracy is None or accuracy <= 1:
        return accuracy
    return round(accuracy / 100, 12)


def divisor(accuracy: float, solved: int, sizes: "Collection[int]") -> int | None:
    """Return the first of some numbers of tasks that explains an accuracy; None if none does."""
    for size in sizes:
        if size and fits(accuracy, solved / size, rounding(accuracy)):
            return size
    return None


def stated_accuracies(runs: "Sequence[Run]") -> "Iterator[StatedAggregate]":
    """Yield the accuracy of each agent on each benchmark, over all its runs.

    The benchmark has as many tasks as its runs list together, since no run need list them all.
    """
    every: dict[str, set[str]] = {}
    for run in runs:
        every.setdefault(run.benchmark, set()).update(run.solved, run.failed)
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        groups.setdefault((run.benchmark, run.agent), []).append(run)
    for (benchmark, agent), theirs in groups.items():
        size = len(every[benchmark])
        sizes, sums, slack = 0, 0.0, 0.0
        why = ""
        for run in theirs:
            listed = len(run.solved) + len(run.failed)
            if run.accuracy is None or not listed:
                why = "not every run states an accuracy and lists its tasks"
                continue
            count = divisor(run.accuracy, len(run.solved), (listed, size)) or listed
            sizes += count
            sums += run.accuracy * count
            slack += rounding(run.accuracy) * count
        if sizes:
            yield StatedAggregate(
                name=f"accuracy of {agent}",
                value=sums / sizes,
                missing="failed",
                total=sizes,
                tolerance=slack / sizes,
                agent=agent,
                benchmark=benchmark,
                not_checkable=why,
            )


def sniff_upload(path: Path) -> bool:
    """Whether a file is named like an upload, and begins like one."""
    start = start_of(path, ENDING)
    return start.startswith(b"{") and b'"config":{' in start


def read_upload(
    path: Path, *, options: "ReadOptions", naming: re.Pattern[str]
) -> "Iterator[ReadItem]":
    """Yield a record for every task that the run solved or failed.

    Some of HAL's benchmarks list every task they have as failed, whatever was run: only those
    count that were submitted, or else that the run's own ``--task_ids`` names. HAL counts a task
    whose submission is an error of the harness as failed.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Of which `benchmark` overrides the name of the benchmark, and `agent` stands in for one.
    naming : re.Pattern
        Takes an agent's name apart into ``scaffold`` and ``model``.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or names a task both solved and failed.
    """
    data = load_object(path, _WHAT)
    config, results = mapping(data.get("config")), mapping(data.get("results"))
    run_id = str(config.get("run_id") or "")
    agent = str(config.get("agent_name") or options.agent)
    benchmark = options.benchmark or str(config.get("benchmark_name") or "")
    needed = {"run_id": run_id, "agent_name": agent, "benchmark_name": benchmark}
    lacking = [name for name, value in needed.items() if not value]
    if lacking:
        raise foreign(path, f"{_WHAT} with a config", f"one without {', '.join(lacking)}")
    solved = _ids(results.get("successful_tasks"), path)
    failed = _ids(results.get("failed_tasks"), path)
    check_apart(solved, failed, path, run_id)
    submitted = _submitted(path.with_name(f"{run_id}_RAW_SUBMISSIONS.jsonl"))
    asked = _asked(str(config.get("run_command") or ""))
    ran = set(submitted) or asked
    clocks = mapping(data.get("wall_clock_times"))
    parts = naming.fullmatch(agent)
    scaffold, model = (parts["scaffold"], parts["model"]) if parts else ("", "")
    model = str(mapping(config.get("agent_args")).get("model_name") or model)
    wrong = (task for task in failed if _is_error(submitted.get(task)))
    run = Run(
        benchmark=benchmark,
        agent=agent,
        model=model,
        scaffold=scaffold,
        run_id=run_id,
        date=config.get("date"),
        solved=tuple(task for task in solved if not ran or task in ran),
        failed=tuple(task for task in failed if not ran or task in ran),
        cost=results.get("total_cost"),
        accuracy=share(number(results.get("accuracy"))),
        agent_version=str(config.get("agent_version") or ""),
        seconds=clocks,
        errors=frozenset(task for task in wrong if not ran or task in ran),
    )
    quantities = Quantities()
    yield from run.records(quantities)
    what = "submissions are errors of the harness, and HAL counts them as failed"
    yield from errors_counted(len(run.errors), what, options)
    yield from quantities.notes()
    if run.accuracy is not None:
        known = {*solved, *failed, *submitted, *map(str, clocks)}
        sizes = (len(solved) + len(failed), len(known))
        yield _stated(run.accuracy, len(solved), sizes, part=bool(asked))


def _stated(accuracy: float, solved: int, sizes: tuple[int, int], *, part: bool) -> StatedAggregate:
    """Return the accuracy of a run; `part` is whether it was of chosen tasks only."""
    size = divisor(accuracy, solved, sizes)
    why = ""
    if size is None and part:
        why = "HAL divides by every task of the benchmark, and the file does not say how many"
    return StatedAggregate(
        name="accuracy",
        value=accuracy,
        missing="failed",
        total=size or max(sizes),
        tolerance=rounding(accuracy),
        not_checkable=why,
    )


def _ids(value: object, path: Path) -> dict[str, None]:
    if not isinstance(value, list):
        raise foreign(path, _WHAT, "no lists of successful_tasks and failed_tasks")
    return dict.fromkeys(str(task) for task in value)


def _submitted(path: Path) -> dict[str, Any]:
    """Return the last submission of each task; a line that HAL itself skips is skipped."""
    found: dict[str, Any] = {}
    try:
        there = path.is_file()
    except (OSError, ValueError):  # the run's id makes no name of a file
        there = False
    if not there:
        return found
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                found.update(row)
    return found


def _asked(command: str) -> set[str]:
    """Return the tasks of the run's own command line; none where it names none."""
    try:
        words: Sequence[str] = shlex.split(command)
    except ValueError:
        words = command.split()
    named = option(words, "--task_ids")
    return {task.strip() for task in named.split(",")} if named else set()


def _is_error(submission: object) -> bool:
    """Whether a submission is an error of the harness, the end of the task's time aside."""
    trouble = isinstance(submission, str) and submission.startswith("ERROR")
    return trouble and "timed out" not in str(submission)
