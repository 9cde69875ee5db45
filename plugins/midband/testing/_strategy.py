"""What every strategy must keep to, so that an interval that rests on its order holds."""

import random
import warnings

import numpy as np

from midband.testing._checks import SEED, check, check_name, make_matrix
from midband_history import OutcomeMatrix
from midband_sampler import (
    Band,
    Never,
    Plan,
    PredictionModel,
    Selection,
    Strategy,
    make_plan,
)

_TASKS = tuple(f"task-{place:02d}" for place in range(40))
_SEEDS = 400
# Standard errors of a share of 400 draws; 40 tasks then fail by chance once in 30,000 runs.
_STANDARD_ERRORS = 5.0


class StrategyContract:
    """Checks of a `midband_sampler.Strategy`; subclass it, and say how yours is made.

    Attributes
    ----------
    fair_prefix : bool
        Whether each prefix of the order is a fair sample of what is selected: every task is then
        as often among the first half as in the second. The always-valid bound rests on it; set it
        to False only for a strategy that is never used for one.
    """

    fair_prefix: bool = True

    def make_strategy(self) -> Strategy:
        """Return a new strategy."""
        raise NotImplementedError

    def test_it_has_a_name(self) -> None:
        """It has one name, which plans state."""
        check_name(self.make_strategy().name)
        check(
            self.make_strategy().name == self.make_strategy().name,
            "expected one name, got another from a second instance",
        )

    def test_it_selects_distinct_tasks_of_the_matrix(self) -> None:
        """Positions are whole numbers within the matrix, each once, at least one."""
        for holes in (False, True):
            matrix = make_matrix(_TASKS, holes=holes)
            chosen = self._select(matrix)
            check(isinstance(chosen, Selection), f"expected a Selection, got {chosen!r}")
            tasks = chosen.tasks
            check(
                isinstance(tasks, np.ndarray) and tasks.ndim == 1 and tasks.dtype.kind == "i",
                f"expected a one-dimensional array of whole numbers, got {tasks!r}",
            )
            check(tasks.size > 0, "expected at least one task, got none")
            check(
                bool(np.all((tasks >= 0) & (tasks < len(_TASKS)))),
                f"expected positions from 0 to {len(_TASKS) - 1}, got {tasks}",
            )
            check(np.unique(tasks).size == tasks.size, f"expected each task once, got {tasks}")
            check(
                isinstance(chosen.warnings, tuple)
                and all(isinstance(text, str) for text in chosen.warnings),
                f"expected warnings to be a tuple of texts, got {chosen.warnings!r}",
            )

    def test_unknown_results_raise_no_alarm(self) -> None:
        """Cells that are NaN, and a task nobody ran, are taken without a warning of numpy's."""
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                self._select(make_matrix(_TASKS, holes=True))
            except Warning as warning:
                msg = (
                    f"expected unknown results to be taken, got {type(warning).__name__}: {warning}"
                )
                raise AssertionError(msg) from warning

    def test_the_seed_decides(self) -> None:
        """The same generator gives the same order, whatever numpy's or Python's global state."""
        matrix = make_matrix(_TASKS)
        orders = []
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        try:
            for seed in (1, 2):
                np.random.seed(seed)  # noqa: NPY002
                random.seed(seed)
                orders.append(self._select(matrix).tasks.tolist())
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
        check(orders[0] == orders[1], "expected one order for one seed, got two")

    def test_it_leaves_the_matrix_as_it_is(self) -> None:
        """Nothing is written into the results."""
        matrix = make_matrix(_TASKS, holes=True)
        before = [matrix.scores.tobytes(), matrix.attempts.tobytes(), matrix.cost_usd.tobytes()]
        self._select(matrix)
        after = [matrix.scores.tobytes(), matrix.attempts.tobytes(), matrix.cost_usd.tobytes()]
        check(before == after, "expected the matrix unchanged, got other values in it")

    def test_a_wider_band_keeps_at_least_as_many_tasks(self) -> None:
        """What a narrow band holds a wider one holds too."""
        matrix = make_matrix(_TASKS)
        narrow = set(self._select(matrix, band=Band(0.3, 0.7)).tasks.tolist())
        wide = set(self._select(matrix, band=Band(0.1, 0.9)).tasks.tolist())
        lost = sorted(narrow - wide)
        check(not lost, f"expected a wider band to keep {lost}, got it left out")

    def test_every_prefix_is_a_fair_sample(self) -> None:
        """Over many seeds every selected task is as often early as late."""
        if not self.fair_prefix or self.make_strategy().needs_model:
            return
        matrix = make_matrix(_TASKS)
        strategy = self.make_strategy()
        early, late = np.zeros(len(_TASKS)), np.zeros(len(_TASKS))
        for seed in np.random.SeedSequence(SEED).spawn(_SEEDS):
            tasks = strategy.order(matrix, None, np.random.default_rng(seed)).tasks
            half = tasks.size // 2
            early[tasks[:half]] += 1
            late[tasks[tasks.size - half :]] += 1
        seen = early + late
        share = np.divide(early, seen, out=np.full(len(_TASKS), 0.5), where=seen > 0)
        error = np.sqrt(0.25 / np.maximum(seen, 1))
        unfair = np.flatnonzero(np.abs(share - 0.5) > _STANDARD_ERRORS * error)
        check(
            unfair.size == 0,
            f"expected each task as often early as late, got tasks {unfair[:5].tolist()} early in"
            f" {np.round(share[unfair[:5]], 2).tolist()} of {_SEEDS} seeds",
        )

    def test_a_plan_can_be_made_with_it(self) -> None:
        """A plan with it is written and reads back the same; a smaller one is its beginning."""
        matrix = make_matrix(_TASKS, costs=self.make_strategy().needs_costs)
        whole = make_plan(matrix, strategy=self.make_strategy(), stop=Never(0.8), seed=SEED)
        try:
            again = Plan.from_json(whole.to_json(), strategies=lambda _: self.make_strategy())
        except (TypeError, ValueError) as error:
            msg = (
                f"expected a plan that can be written and read, got {type(error).__name__}: {error}"
            )
            raise AssertionError(msg) from error
        check(again == whole, "expected the plan to read back the same, got another")
        few = max(len(whole.tasks) // 2, 1)
        part = make_plan(
            matrix, strategy=self.make_strategy(), stop=Never(0.8), seed=SEED, max_tasks=few
        )
        check(
            part.tasks[:few] == whole.tasks[:few],
            f"expected a smaller plan to begin the larger, got {part.tasks[:3]}",
        )

    def test_a_live_strategy_chooses_what_may_run(self) -> None:
        """Each choice is a task that may run next, and the same for the same results."""
        strategy = self.make_strategy()
        if not strategy.live:
            return
        matrix = make_matrix(_TASKS)
        posterior = PredictionModel.fit(matrix).predict(candidates=2)
        costs = np.linspace(1.0, 2.0, len(_TASKS)) if strategy.needs_costs else None
        ready = strategy.configured(band=Band(), costs=costs)
        rows = np.arange(2)
        for step in range(len(_TASKS)):
            available = posterior.available.copy()
            chosen = ready.choose(posterior, available, step).tasks
            check(
                chosen.shape == (2,) and bool(available[rows, chosen].all()),
                f"expected a task that may run for each of two candidates, got {chosen}",
            )
            again = ready.choose(posterior, available, step).tasks
            check(bool(np.array_equal(again, chosen)), "expected one choice, got two")
            posterior.observe(rows, chosen, np.array([1.0, 0.0]))

    def _select(self, matrix: OutcomeMatrix, *, band: Band | None = None) -> Selection:
        strategy = self.make_strategy()
        costs = np.linspace(1.0, 2.0, len(matrix.tasks)) if strategy.needs_costs else None
        ready = strategy.configured(band=band or Band(), costs=costs)
        posterior = PredictionModel.fit(matrix).predict() if strategy.needs_model else None
        return ready.order(matrix, posterior, np.random.default_rng(SEED))
