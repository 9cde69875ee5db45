"""Old names of strategies and rules are still read, with a note; plans of 0.1 stay as they are."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from midband_history import OutcomeMatrix
from midband_sampler import (
    Plan,
    Session,
    make_plan,
    parse_stop,
    renamed_rules,
    stop_from_dict,
)

PLANS = Path(__file__).parent / "plans"


def history() -> OutcomeMatrix:
    rng = np.random.default_rng(2)
    chance = 1 / (1 + np.exp(-np.linspace(-1.5, 1.5, 14)[:, None] - rng.normal(0, 1, 30)))
    scores = (rng.random(chance.shape) < chance).astype(float)
    return OutcomeMatrix.from_scores(scores, cost_usd=np.ones(scores.shape))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("design", "information-fixed"),
        ("cost-design", "cost-fixed"),
        ("matched", "difficulty-matched"),
    ],
)
def test_an_old_strategy_name_makes_the_same_plan_and_says_the_new_one(old: str, new: str) -> None:
    rule = parse_stop("rank:0.8:0.2")
    one, other = (make_plan(history(), strategy=name, stop=rule) for name in (old, new))
    assert one.strategy == other.strategy == new
    (note,) = set(one.notes) - set(other.notes)
    assert repr(old) in note
    assert repr(new) in note
    assert replace(one, notes=other.notes) == other


def test_an_old_rule_name_is_the_same_rule() -> None:
    old, new = (parse_stop(f"rank:0.8 or tasks:20 or {name}") for name in ("hopeless", "futility"))
    assert old == new
    assert stop_from_dict({"rule": "hopeless", "of": {"rule": "rank"}, "tasks": None}) is not None
    assert len(renamed_rules("rank or hopeless")) == 1
    assert renamed_rules("rank or futility") == ()


@pytest.mark.parametrize("name", ["always_valid", "calibrated", "old_names"])
def test_a_plan_of_0_1_keeps_its_digest_and_is_written_as_it_was(name: str, tmp_path: Path) -> None:
    text = (PLANS / f"{name}.json").read_text(encoding="utf-8")
    plan = Plan.from_json(text)
    assert plan.to_json() == text
    plan.write(tmp_path / "again.json")
    assert Plan.read(tmp_path / "again.json") == plan
    assert plan.digest in text
    changed = replace(plan, seed=plan.seed + 1)
    assert changed.digest != plan.digest
    assert Plan.from_json(changed.to_json()) == changed


def test_a_plan_of_0_1_with_old_names_runs() -> None:
    plan = Plan.read(PLANS / "old_names.json")
    assert plan.strategy == "difficulty-matched"
    assert plan.chooses_live
    session = Session(plan)
    while tasks := session.ask(1):
        session.tell(tasks[0], score=1.0)
    assert session.decision().plan_digest == plan.digest
    assert plan.fixed().strategy == "difficulty-matched-fixed"
