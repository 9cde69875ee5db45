"""What every stopping rule must keep to, so that sessions and replays stop alike."""

import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from midband.testing._checks import N_AGENTS, SEED, check, make_matrix
from midband_sampler import Claim, Plan, Rule, Snapshot, make_plan, stop_from_dict

_SHAPE = (40, 7)
_AGENTS = tuple(f"agent-{place}" for place in range(N_AGENTS))
_TASKS = tuple(f"task-{place:02d}" for place in range(40))
_ARRAYS = (
    "rank_low", "rank_high", "score_low", "score_high", "tasks", "tasks_run", "tasks_left", "usd",
    "seconds",
)  # fmt: skip


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
        try:
            stored = json.loads(json.dumps(settings, allow_nan=False))
        except (TypeError, ValueError) as error:
            msg = f"expected settings that JSON can hold, got {settings}: {error}"
            raise AssertionError(msg) from error
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
        """Where it stops it stops too with narrower bounds, more results and more spent."""
        if not self.monotone:
            return
        rule, look = self.make_rule(), _looks()
        stops = self._stops(rule, look)
        for what, more in _knowing_more(look):
            lost = np.argwhere(stops & ~self._stops(rule, more))
            check(
                lost.size == 0,
                f"expected to stop with {what} where it stopped without, got a run going on at"
                f" {lost[:1].tolist()}",
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
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            try:
                stops = rule.stops(look)
            except Warning as warning:
                msg = (
                    f"expected unknown numbers to be taken, got {type(warning).__name__}: {warning}"
                )
                raise AssertionError(msg) from warning
        shape = np.broadcast_shapes(*(np.shape(getattr(look, name)) for name in _ARRAYS))
        check(
            isinstance(stops, np.ndarray | np.bool_) and stops.dtype == np.bool_,
            f"expected an array of truth values, got {stops!r}",
        )
        try:
            return np.broadcast_to(stops, shape)
        except ValueError as error:
            msg = f"expected the look's shape {shape}, got {stops.shape}"
            raise AssertionError(msg) from error

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
