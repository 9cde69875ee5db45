"""One run of HAL's leaderboard, and the accuracies that its runs must reproduce."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midband.harnesses._quantities import Quantities, rounding
from midband_history import Metric, Record, StatedAggregate

if TYPE_CHECKING:
    from collections.abc import Collection

SUCCESS = Metric(name="success", declared="source")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A row of the leaderboard.

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

    def records(self, quantities: Quantities) -> Iterator[Record]:
        """Yield a record for every task."""
        started, cost = quantities.date(self.date), quantities.run_cost(self.cost)
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
                    harness="hal",
                    started=started,
                    run_cost_usd=cost,
                    metric=SUCCESS,
                )


def share(accuracy: float | None) -> float | None:
    """Return an accuracy as a share of 1; some of HAL's benchmarks state it in percent."""
    if accuracy is None or accuracy <= 1:
        return accuracy
    return round(accuracy / 100, 12)


def divisor(accuracy: float, solved: int, sizes: "Collection[int]") -> int | None:
    """Return the first of some numbers of tasks that explains an accuracy; None if none does."""
    for size in sizes:
        if size and abs(solved / size - accuracy) <= rounding(accuracy):
            return size
    return None


def stated_accuracies(runs: Sequence[Run]) -> Iterator[StatedAggregate]:
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
