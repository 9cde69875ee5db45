"""Keep the best checkpoint of a training run, with few tasks for each new one.

Run it as it is for a simulated training run. To use it, copy `BestCheckpoint` and call `offer` from
a callback of your training framework; docs/python.md shows where.
"""

from collections.abc import Callable, Sequence

from midband_sampler.racing import Race, RaceVerdict, make_race


class BestCheckpoint:
    """The best checkpoint so far, and the comparison that a new one has to win.

    Parameters
    ----------
    tasks : sequence of str
        Ids of the tasks.
    run : callable
        Runs a checkpoint on a task; returns a score in [0, 1].
    confidence : float
        Chance that every promotion is right, over all checkpoints and however often each comparison
        is looked at.
    share : float
        A comparison ends undecided at this share of its full price; the old checkpoint then stays.
    seed : int
    """

    def __init__(
        self,
        tasks: Sequence[str],
        run: Callable[[str, str], float],
        *,
        confidence: float = 0.95,
        share: float = 0.5,
        seed: int = 0,
    ) -> None:
        self.tasks, self.confidence, self.share, self.seed = tasks, confidence, share, seed
        self.best = ""
        self.offered = 0
        self.runs = 0
        self._run = run
        self._known: dict[tuple[str, str], float] = {}

    def offer(self, checkpoint: str) -> RaceVerdict | None:
        """Compare a new checkpoint with the best so far; None for the very first.

        It takes the place of the best only if it is claimed to be better.
        """
        if not self.best:
            self.best = checkpoint
            return None
        self.offered += 1
        # All comparisons together may err with chance 1 - confidence, and nobody knows how many
        # there will be: the k-th gets the share 1 / (k (k + 1)), and these shares add up to 1.
        error = (1.0 - self.confidence) / (self.offered * (self.offered + 1))
        plan = make_race(
            None,
            [self.best, checkpoint],
            question=f"top:1:{1.0 - error:.12g}",
            budget=self.share,
            seed=self.seed + self.offered,  # an order that no earlier comparison has seen
        )
        race = Race(plan.with_tasks(self.tasks))
        while jobs := race.ask(2):
            for candidate, task in jobs:
                race.tell(candidate, task, score=self._score(candidate, task))
        verdict = race.verdict()
        if verdict.settled and verdict.best == (checkpoint,):
            self.best = checkpoint
        return verdict

    def _score(self, checkpoint: str, task: str) -> float:
        """Run a task once: what the best checkpoint has run before costs nothing again."""
        key = (checkpoint, task)
        if key not in self._known:
            self._known[key] = self._run(checkpoint, task)
            self.runs += 1
        return self._known[key]


def simulate(steps: int = 8, tasks: int = 200) -> BestCheckpoint:
    """Offer the checkpoints of a simulated training run, which improves and then overfits."""
    import random

    quality = [0.25 + 0.6 * min(step, 5) / 5 - 0.15 * max(0, step - 5) for step in range(steps)]

    def run(checkpoint: str, task: str) -> float:
        step = int(checkpoint.removeprefix("step-"))
        return float(random.Random(f"{checkpoint} {task}").random() < quality[step])

    keeper = BestCheckpoint([f"task-{place}" for place in range(tasks)], run)
    for step in range(steps):
        before = keeper.runs
        verdict = keeper.offer(f"step-{step}")
        said = "the first checkpoint" if verdict is None else verdict.answer
        print(f"step-{step}: {keeper.runs - before} tasks run. {said} Best: {keeper.best}.")
    full = steps * tasks
    print(f"{keeper.runs} results instead of {full}; the best checkpoint is {keeper.best}.")
    return keeper


if __name__ == "__main__":
    simulate()
