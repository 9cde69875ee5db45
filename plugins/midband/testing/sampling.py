"""The contracts of strategies and stopping rules, on which the claims of a run rest."""

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midband.testing.checks import (
    N_AGENTS,
    SEED,
    check,
    check_name,
    expecting,
    make_matrix,
    unknown_is_taken,
)
from midband_history import OutcomeMatrix
from midband_sampler import (
    Band,
    Claim,
    Never,
    Plan,
    PredictionModel,
    Rule,
    Selection,
    Snapshot,
    Strategy,
    make_plan,
    stop_from_dict,
)

_SHAPE = (40, 7)
_AGENTS = tuple(f"agent-{place}" for place in range(N_AGENTS))
_TASKS = tuple(f"task-{place:02d}" for place in range(40))
_ARRAYS = (
    "rank_low", "rank_high", "score_low", "score_high", "tasks", "tasks_run", "tasks_left", "usd",
    "seconds",
)  # fmt: skip
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
        with unknown_is_taken("results"):
            self._select(make_matrix(_TASKS, holes=True))

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
        """A wider band holds all that a narrow one holds."""
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
        with expecting("a plan that can be written and read", (TypeError, ValueError)):
            again = Plan.from_json(whole.to_json(), strategies=lambda _: self.make_strategy())
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


class StoppingRuleContract:
    """Checks of a `midband_sampler.Rule`; subclass it, and say how yours is made.

    The reference agents are called ``agent-0`` to ``agent-11``.

    Attributes
    ----------
    monotone : bool
        Whether a rule that stops would stop too if more were known: narrower bounds within the
        present ones, more results, more spent. So it is for a rule that asks whether enough is
        known; not for one that gives up.
    """

    monotone: bool = True

    def make_rule(self) -> Rule:
        """Return a new rule."""
        raise NotImplementedError

    def restore(self, **settings: object) -> Rule:
        """Rebuild a rule from its settings, as `NamedFactory.restore`; unused for midband's own."""
        return type(self.make_rule()).from_settings(**settings)

    def test_it_states_its_confidence(self) -> None:
        """Confidence lies above one half and below one; the fewest results are a whole number."""
        rule = self.make_rule()
        check(
            isinstance(rule.confidence, float) and 0.5 < rule.confidence < 1.0,
            f"expected 0.5 < confidence < 1, got {rule.confidence!r}",
        )
        check(
            isinstance(rule.min_tasks, int) and rule.min_tasks >= 0,
            f"expected min_tasks to be a whole number from 0, got {rule.min_tasks!r}",
        )

    def test_it_comes_back_from_its_settings(self) -> None:
        """Settings pass through JSON and make the same rule, alone and in a plan."""
        rule = self.make_rule()
        settings = rule.to_dict()
        check(
            isinstance(settings.get("rule"), str) and settings["rule"],
            f"expected the settings to name their rule, got {settings}",
        )
        with expecting("settings that JSON can hold", (TypeError, ValueError)):
            stored = json.loads(json.dumps(settings, allow_nan=False))
        again = stop_from_dict(stored, self._added)
        check(
            again.to_dict() == settings,
            f"expected the settings {settings} again, got {again.to_dict()}",
        )
        look = _looks()
        check(
            np.array_equal(again.stops(look), rule.stops(look)),
            "expected the rebuilt rule to stop as the first, got another answer",
        )
        plan = make_plan(make_matrix(_TASKS), strategy="random", stop=rule, seed=SEED)
        check(
            Plan.from_json(plan.to_json(), rules=self._added) == plan,
            "expected a plan with the rule to read back the same, got another",
        )

    def test_many_candidates_are_answered_as_one(self) -> None:
        """`stops` of arrays is `stops` of each of their elements."""
        rule, look = self.make_rule(), _looks()
        stops = self._stops(rule, look)
        for place, single in _each(look):
            alone = self._stops(rule, single)
            check(
                bool(alone) == bool(stops[place]),
                f"expected {bool(alone)} at {place} as for this look alone, got {stops[place]}",
            )

    def test_it_goes_on_before_the_first_result(self) -> None:
        """With nothing run and nothing known it does not stop."""
        nothing = _look(
            rank_low=1, rank_high=N_AGENTS + 1, score_low=np.nan, score_high=np.nan,
            tasks=0, tasks_run=0, tasks_left=len(_TASKS), usd=0.0, seconds=0.0,
        )  # fmt: skip
        check(
            not bool(self._stops(self.make_rule(), nothing)),
            "expected to go on before the first result, got a stop",
        )

    def test_knowing_more_is_no_reason_to_go_on(self) -> None:
        """A rule that stops also stops with narrower bounds, more results and more spent."""
        if not self.monotone:
            return
        rule, look = self.make_rule(), _looks()
        stops = self._stops(rule, look)
        for what, more in _knowing_more(look):
            lost = np.argwhere(stops & ~self._stops(rule, more))
            check(
                lost.size == 0,
                f"expected to stop with {what} where it stopped without, got a run that"
                f" continues at {lost[:1].tolist()}",
            )

    def test_a_stop_has_a_reason(self) -> None:
        """At a stop it says why, on one line, and what is then claimed."""
        rule = self.make_rule()
        for place, look in _each(_looks()):
            if not bool(rule.stops(look)):
                continue
            reason, claims = rule.reason(look), rule.claims(look)
            check(
                isinstance(reason, str) and len(reason.splitlines()) == 1,
                f"expected a reason of one line at {place}, got {reason!r}",
            )
            check(
                isinstance(claims, tuple) and all(isinstance(each, Claim) for each in claims),
                f"expected a tuple of claims at {place}, got {claims!r}",
            )
            for claim in claims:
                check(
                    bool(claim.text) and 0.5 < claim.confidence <= rule.confidence,
                    f"expected a text with a confidence up to {rule.confidence:g}, got {claim}",
                )

    def test_looking_changes_nothing(self) -> None:
        """The look stays as it is, and the answer is the same when asked again."""
        rule, look = self.make_rule(), _looks()
        before = [np.array(getattr(look, name)) for name in _ARRAYS]
        first = self._stops(rule, look).copy()
        second = self._stops(rule, look)
        after = [np.array(getattr(look, name)) for name in _ARRAYS]
        check(
            all(np.array_equal(a, b, equal_nan=True) for a, b in zip(before, after, strict=True)),
            "expected the look unchanged, got other values in it",
        )
        check(np.array_equal(first, second), "expected one answer to one look, got two")

    def _stops(self, rule: Rule, look: Snapshot) -> NDArray[np.bool_]:
        with unknown_is_taken("numbers"):
            stops = rule.stops(look)
        shape = np.broadcast_shapes(*(np.shape(getattr(look, name)) for name in _ARRAYS))
        check(
            isinstance(stops, np.ndarray | np.bool_) and stops.dtype == np.bool_,
            f"expected an array of truth values, got {stops!r}",
        )
        with expecting(f"the look's shape {shape}", ValueError):
            return np.broadcast_to(stops, shape)

    def _added(self) -> Mapping[str, Callable[..., object]]:
        return {str(self.make_rule().to_dict()["rule"]): self.restore}


def _look(**values: Any) -> Snapshot:
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in values.items()}
    return Snapshot(
        **arrays,
        reference_scores=np.linspace(0.1, 0.9, N_AGENTS),
        reference_agents=_AGENTS,
        least_half_width=lambda left: 0.2 / np.sqrt(1.0 + left),
    )


def _looks() -> Snapshot:
    """Return looks of every kind: wide and narrow bounds, few and many results, costs unknown."""
    rng = np.random.default_rng(SEED)
    centre, half = rng.random(_SHAPE), rng.choice([0.0, 0.005, 0.05, 0.2, 0.6], _SHAPE)
    low, high = np.clip(centre - half, 0, 1), np.clip(centre + half, 0, 1)
    references = np.linspace(0.1, 0.9, N_AGENTS)
    run = rng.integers(1, len(_TASKS) + 1, (_SHAPE[0], 1))
    return _look(
        rank_low=1 + N_AGENTS - np.searchsorted(references, high, side="right"),
        rank_high=1 + N_AGENTS - np.searchsorted(references, low, side="left"),
        score_low=low,
        score_high=high,
        tasks=np.maximum(run - rng.integers(0, 3, run.shape), 0),
        tasks_run=run,
        tasks_left=len(_TASKS) - run,
        usd=np.where(rng.random(run.shape) < 0.3, np.nan, run * 0.5),
        seconds=np.where(rng.random(run.shape) < 0.3, np.nan, run * 60.0),
    )


def _each(look: Snapshot) -> Iterator[tuple[tuple[int, ...], Snapshot]]:
    arrays = np.broadcast_arrays(*(getattr(look, name) for name in _ARRAYS))
    for place in np.ndindex(_SHAPE):
        values: dict[str, Any] = {
            name: np.asarray(array[place]) for name, array in zip(_ARRAYS, arrays, strict=True)
        }
        yield place, replace(look, **values)


def _knowing_more(look: Snapshot) -> Iterator[tuple[str, Snapshot]]:
    middle = (look.score_low + look.score_high) / 2
    rank = (look.rank_low + look.rank_high) // 2
    yield (
        "narrower bounds",
        replace(
            look,
            score_low=(look.score_low + middle) / 2,
            score_high=(look.score_high + middle) / 2,
            rank_low=(look.rank_low + rank + 1) // 2,
            rank_high=(look.rank_high + rank) // 2,
        ),
    )
    yield "the rank known", replace(look, rank_low=rank, rank_high=rank)
    yield "more results", replace(look, tasks=look.tasks + 5, tasks_run=look.tasks_run + 5)
    yield "more spent", replace(look, usd=look.usd + 5.0, seconds=look.seconds + 600.0)
