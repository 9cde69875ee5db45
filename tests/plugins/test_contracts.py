"""Our own strategies and rules keep the contracts, and each check can fail."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from midband.testing import StoppingRuleContract, StrategyContract
from midband_history import OutcomeMatrix
from midband_sampler import (
    Band,
    Claim,
    RankSettled,
    Rule,
    Selection,
    Snapshot,
    Strategy,
    parse_stop,
    stop_from_dict,
    strategies,
)

RULES = (
    "rank",
    "rank:0.9:0",
    "beats:agent-3",
    "not-worse:agent-3:2",
    "top:3:0.9",
    "score:2",
    "tasks:30",
    "usd:5",
    "seconds:600",
    "none",
    "top:3 and tasks:20",
    "beats:agent-3 or score:4 or usd:10",
)
GIVING_UP = ("rank or futility", "score:3:0.9 or futility or tasks:25")


class TestOurStrategies(StrategyContract):
    @pytest.fixture(autouse=True, params=sorted(strategies()))
    def _one(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param

    def make_strategy(self) -> Strategy:
        return strategies()[self.name]


class TestOurRules(StoppingRuleContract):
    @pytest.fixture(autouse=True, params=RULES)
    def _one(self, request: pytest.FixtureRequest) -> None:
        self.text = request.param

    def make_rule(self) -> Rule:
        return parse_stop(self.text)


class TestOurRulesThatGiveUp(TestOurRules):
    monotone = False

    @pytest.fixture(autouse=True, params=GIVING_UP)
    def _one(self, request: pytest.FixtureRequest) -> None:
        self.text = request.param


def test_the_contracts_are_there_without_pytest() -> None:
    code = "import sys; sys.modules['pytest'] = None; import midband.testing"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_kind_of_rule_of_ours_is_tried() -> None:
    def kinds(settings: Any) -> set[str]:
        inner = [*settings.get("rules", ()), *([settings["of"]] if "of" in settings else ())]
        return {settings["rule"]}.union(*(kinds(each) for each in inner))

    tried = set().union(*(kinds(parse_stop(text).to_dict()) for text in RULES + GIVING_UP))
    with pytest.raises(ValueError, match="among") as problem:
        stop_from_dict({"rule": "?"})
    known = str(problem.value).partition("among ")[2].partition(", got")[0].split(", ")
    assert tried == set(known)


Select = Callable[[OutcomeMatrix, Band, np.random.Generator], Any]


@dataclass(frozen=True)
class BrokenStrategy(Strategy):
    """A strategy that breaks one clause."""

    select_: Select
    name: str = "broken"
    band: Band = field(default_factory=Band)

    def configured(self, *, band: Band, costs: Any) -> Strategy:
        return replace(self, band=band)

    def order(self, history: OutcomeMatrix, posterior: Any, rng: np.random.Generator) -> Any:
        return self.select_(history, self.band, rng)


def _shuffled(matrix: OutcomeMatrix, rng: np.random.Generator) -> Any:
    return rng.permutation(len(matrix.tasks)).astype(np.int64)


def _overwrites(matrix: OutcomeMatrix, band: Band, rng: np.random.Generator) -> Selection:
    matrix.scores.setflags(write=True)
    matrix.scores[0, 0] = 1.0 - np.nan_to_num(matrix.scores[0, 0])
    return Selection(_shuffled(matrix, rng))


def _band_turned_round(matrix: OutcomeMatrix, band: Band, rng: np.random.Generator) -> Selection:
    rates = np.nan_to_num(matrix.pass_rates())
    return Selection(rng.permutation(np.flatnonzero((rates < band.low) | (rates > band.high))))


def _global(matrix: OutcomeMatrix, band: Band, rng: np.random.Generator) -> Selection:
    return Selection(np.random.permutation(len(matrix.tasks)))  # noqa: NPY002


def _nan_means(matrix: OutcomeMatrix, band: Band, rng: np.random.Generator) -> Selection:
    np.nanmean(matrix.scores, axis=0)
    return Selection(_shuffled(matrix, rng))


def _changes(matrix: OutcomeMatrix, band: Band, rng: np.random.Generator) -> Selection:
    _CALLS.append(1)
    return Selection(_shuffled(matrix, np.random.default_rng(len(_CALLS))))


_CALLS: list[int] = []


@pytest.mark.parametrize(
    ("check", "broken", "message"),
    [
        ("it_has_a_name", BrokenStrategy(lambda m, b, r: None, name="My Own"), "'My Own'"),
        (
            "it_selects_distinct_tasks_of_the_matrix",
            BrokenStrategy(lambda m, b, r: _shuffled(m, r)),
            "expected a Selection",
        ),
        (
            "it_selects_distinct_tasks_of_the_matrix",
            BrokenStrategy(lambda m, b, r: Selection(_shuffled(m, r).astype(float))),
            "whole numbers",
        ),
        (
            "it_selects_distinct_tasks_of_the_matrix",
            BrokenStrategy(lambda m, b, r: Selection(_shuffled(m, r)[:0])),
            "got none",
        ),
        (
            "it_selects_distinct_tasks_of_the_matrix",
            BrokenStrategy(lambda m, b, r: Selection(_shuffled(m, r) + 1)),
            "from 0 to 39",
        ),
        (
            "it_selects_distinct_tasks_of_the_matrix",
            BrokenStrategy(lambda m, b, r: Selection(np.repeat(_shuffled(m, r), 2))),
            "each task once",
        ),
        (
            "it_selects_distinct_tasks_of_the_matrix",
            BrokenStrategy(lambda m, b, r: Selection(_shuffled(m, r), warnings=[1])),  # type: ignore[arg-type]
            "tuple of texts",
        ),
        ("unknown_results_raise_no_alarm", BrokenStrategy(_nan_means), "RuntimeWarning"),
        ("the_seed_decides", BrokenStrategy(_global), "one order for one seed"),
        ("it_leaves_the_matrix_as_it_is", BrokenStrategy(_overwrites), "matrix unchanged"),
        (
            "a_wider_band_keeps_at_least_as_many_tasks",
            BrokenStrategy(_band_turned_round),
            "left out",
        ),
        (
            "every_prefix_is_a_fair_sample",
            BrokenStrategy(lambda m, b, r: Selection(np.arange(len(m.tasks)))),
            "as often early as late",
        ),
        (
            "a_plan_can_be_made_with_it",
            BrokenStrategy(_changes),
            "smaller plan",
        ),
        (
            "a_plan_can_be_made_with_it",
            BrokenStrategy(
                lambda m, b, r: Selection(_shuffled(m, r), band=Band(np.float32(0.3), 0.7))  # type: ignore[arg-type]
            ),
            "written and read",
        ),
    ],
)
def test_a_broken_strategy_fails(check: str, broken: Any, message: str) -> None:
    class Contract(StrategyContract):
        def make_strategy(self) -> Strategy:
            return broken  # type: ignore[no-any-return]

    with pytest.raises(AssertionError, match=message):
        getattr(Contract(), f"test_{check}")()


@dataclass(frozen=True)
class BrokenRule(RankSettled):
    """A rule that breaks one clause."""

    stops_: Callable[[RankSettled, Snapshot], Any] | None = None
    reason_: Any = "rank settled"
    claims_: Any = ()
    settings: Any = None

    def stops(self, look: Snapshot) -> Any:
        return super().stops(look) if self.stops_ is None else self.stops_(self, look)

    def reason(self, look: Snapshot) -> Any:
        return self.reason_

    def claims(self, look: Snapshot) -> Any:
        return self.claims_

    def to_dict(self) -> Any:
        plain = RankSettled(self.confidence, self.width, self.min_tasks)
        return plain.to_dict() if self.settings is None else self.settings


def _shape(look: Snapshot) -> tuple[int, ...]:
    return np.broadcast_shapes(np.shape(look.rank_low), np.shape(look.tasks))


def _first_only(rule: RankSettled, look: Snapshot) -> Any:
    """Answer every candidate of a replay as the first."""
    return np.full(_shape(look), np.ravel(look.rank_high - look.rank_low)[0] <= 2)


def _writes(rule: RankSettled, look: Snapshot) -> Any:
    look.rank_low[...] = 1
    return RankSettled.stops(rule, look)


def _moody(rule: RankSettled, look: Snapshot) -> Any:
    _CALLS.append(1)
    return np.full(_shape(look), len(_CALLS) % 2 == 0)


def _divides(rule: RankSettled, look: Snapshot) -> Any:
    return (look.usd.astype(int) > 2) & np.ones(_shape(look), dtype=bool)


@pytest.mark.parametrize(
    ("check", "broken", "message"),
    [
        ("it_states_its_confidence", {"confidence": 1}, "confidence < 1"),
        ("it_states_its_confidence", {"min_tasks": 2.5}, "whole number"),
        ("it_comes_back_from_its_settings", {"settings": {"width": 0.1}}, "name their rule"),
        (
            "it_comes_back_from_its_settings",
            {"settings": {"rule": "rank", "width": np.float32(0.1)}},
            "JSON can hold",
        ),
        (
            "it_comes_back_from_its_settings",
            {"settings": {"rule": "rank", "width": 0.1}},
            "again, got",
        ),
        (
            "it_comes_back_from_its_settings",
            {"stops_": lambda rule, look: look.rank_low > 3},
            "rebuilt rule to stop",
        ),
        ("many_candidates_are_answered_as_one", {"stops_": _first_only}, "this look alone"),
        (
            "many_candidates_are_answered_as_one",
            {"stops_": lambda rule, look: look.tasks},
            "truth values",
        ),
        (
            "many_candidates_are_answered_as_one",
            {"stops_": lambda rule, look: np.zeros(3, dtype=bool)},
            "look's shape",
        ),
        ("many_candidates_are_answered_as_one", {"stops_": _divides}, "RuntimeWarning"),
        (
            "it_goes_on_before_the_first_result",
            {"stops_": lambda rule, look: look.tasks < 5},
            "before the first result",
        ),
        (
            "knowing_more_is_no_reason_to_go_on",
            {"stops_": lambda rule, look: look.rank_high - look.rank_low > 3},
            "with narrower bounds|with the rank known",
        ),
        (
            "knowing_more_is_no_reason_to_go_on",
            {"stops_": lambda rule, look: (look.tasks < 5) & (look.rank_low > 0)},
            "with more results",
        ),
        (
            "knowing_more_is_no_reason_to_go_on",
            {"stops_": lambda rule, look: (look.usd < 5) & (look.rank_low > 0)},
            "with more spent",
        ),
        ("a_stop_has_a_reason", {"reason_": ""}, "reason of one line"),
        ("a_stop_has_a_reason", {"claims_": ["rank 1"]}, "tuple of claims"),
        ("a_stop_has_a_reason", {"claims_": (Claim("rank 1", 0.99),)}, "up to 0.95"),
        ("looking_changes_nothing", {"stops_": _writes}, "look unchanged"),
        ("looking_changes_nothing", {"stops_": _moody}, "one answer"),
    ],
)
def test_a_broken_rule_fails(check: str, broken: dict[str, Any], message: str) -> None:
    class Contract(StoppingRuleContract):
        def make_rule(self) -> Rule:
            rule = BrokenRule()
            for name, value in broken.items():  # past the checks of a rule of ours
                object.__setattr__(rule, name, value)
            return rule

    with pytest.raises(AssertionError, match=message):
        getattr(Contract(), f"test_{check}")()
