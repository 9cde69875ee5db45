"""Stopping rules: what stops on what, how they combine, and how they are written."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import InputError
from midband_sampler import (
    AllOf,
    AnyOf,
    Beats,
    Budget,
    Futility,
    Never,
    PairedEProcess,
    RankSettled,
    Rule,
    ScoreWithin,
    Snapshot,
    TopK,
    parse_stop,
    stop_from_dict,
)

AGENTS = ("weak", "middling", "strong", "best")
SCORES = np.array([0.2, 0.4, 0.6, 0.8])


def look(
    low: float | np.ndarray = 0.45,
    high: float | np.ndarray = 0.55,
    *,
    tasks: int = 20,
    left: int = 30,
    usd: float = float("nan"),
    seconds: float = float("nan"),
    least: float | None = None,
    evidence: dict[str, PairedEProcess] | None = None,
) -> Snapshot:
    bounds = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    return Snapshot(
        rank_low=1 + np.sum(bounds[1][..., None] < SCORES, axis=-1),
        rank_high=1 + np.sum(bounds[0][..., None] < SCORES, axis=-1),
        score_low=bounds[0],
        score_high=bounds[1],
        tasks=np.array(tasks),
        tasks_run=np.array(tasks + 1),
        tasks_left=np.array(left),
        usd=np.array(usd),
        seconds=np.array(seconds),
        reference_scores=SCORES,
        reference_agents=AGENTS,
        evidence=evidence or {},
        least_half_width=None if least is None else lambda _left: np.array(least),
    )


def said(rule: Rule, at: Snapshot) -> str | None:
    """The reason to stop, None to go on."""
    return rule.reason(at) if rule.stops(at) else None


def test_each_rule_stops_on_what_it_is_about() -> None:
    assert said(RankSettled(0.95, 0.0), look()) == "rank settled"
    assert said(RankSettled(0.95, 0.0), look(0.45, 0.65)) is None
    assert said(RankSettled(0.95, 0.2), look(0.45, 0.65)) == "rank settled"
    assert said(Beats("middling"), look()) == "better than middling"
    assert said(Beats("strong"), look()) == "worse than strong"
    assert said(Beats("strong"), look(0.45, 0.65)) is None
    assert said(TopK(3), look()) == "in the top 3"
    assert said(TopK(2), look()) == "not in the top 2"
    assert said(TopK(2), look(0.45, 0.65)) is None
    assert said(ScoreWithin(5), look()) == "score settled"
    assert said(ScoreWithin(4.9), look()) is None
    assert said(Budget(tasks=21), look()) == "budget spent"
    assert said(Budget(tasks=22), look()) is None
    assert said(Budget(usd=2.0), look(usd=2.0)) == "budget spent"
    assert said(Budget(seconds=60), look(seconds=61.0)) == "budget spent"
    assert said(Never(), look()) is None


def test_what_is_not_known_stops_nothing() -> None:
    unknown = look(float("nan"), float("nan"), least=0.0)
    for rule in (Beats("middling"), ScoreWithin(20), Futility(Beats("middling"))):
        assert not rule.stops(unknown)
    assert not Budget(usd=0.01).stops(look())
    assert not Budget(seconds=0.01).stops(look())


@pytest.mark.parametrize(
    "rule", [RankSettled(0.9, 0.0), Beats("weak"), TopK(3), ScoreWithin(10)], ids=str
)
def test_few_results_settle_nothing(rule: Rule) -> None:
    assert rule.stops(look(tasks=10))
    assert not rule.stops(look(tasks=9))


def test_evidence_decides_where_there_is_any() -> None:
    equal, ahead = PairedEProcess.nothing(), PairedEProcess.nothing()
    for _ in range(30):
        ahead = ahead.after(np.array(0.5))
    assert not Beats("middling").stops(look(evidence={"middling": equal}))
    at = look(0.1, 0.9, evidence={"middling": ahead})
    assert said(Beats("middling"), at) == "better than middling"
    assert not Beats("middling", confidence=1 - 1e-9).stops(at)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=6),
    st.sampled_from(
        [
            "rank:0.9:0",
            "beats:strong",
            "top:2",
            "score:7",
            "top:2 or score:7",
            "beats:weak and top:3",
            "rank:0.9:0 or hopeless",
            "score:4 or tasks:40 or hopeless",
        ]
    ),
    st.floats(0, 0.3),
)
def test_many_candidates_at_once_stop_as_one_by_one(
    bounds: list[tuple[float, float]], text: str, least: float
) -> None:
    rule = parse_stop(text)
    low, high = (np.array([pick(pair) for pair in bounds]) for pick in (min, max))
    at_once = rule.stops(look(low, high, least=least))
    one_by_one = [bool(rule.stops(look(a, b, least=least))) for a, b in zip(low, high, strict=True)]
    assert np.broadcast_to(at_once, low.shape).tolist() == one_by_one


def test_combinations_stop_and_claim_together() -> None:
    either = AnyOf((Budget(tasks=5), TopK(3, 0.9), Beats("strong", 0.99)))
    assert said(either, look()) == "in the top 3"
    assert [claim.text for claim in either.claims(look())] == ["in the top 3", "worse than strong"]
    assert [claim.confidence for claim in either.claims(look())] == [0.9, 0.99]
    assert either.confidence == 0.99
    wide = look(0.1, 0.9)
    assert said(either, wide) == "budget spent"
    assert either.claims(wide) == ()
    both = AllOf((Budget(tasks=50), TopK(3)))
    assert said(both, look()) is None
    assert said(AllOf((Budget(tasks=5), TopK(3))), look()) == "in the top 3"
    assert said(AllOf((Budget(tasks=5), Budget(tasks=7))), look()) == "budget spent"


def test_a_budget_does_not_set_the_confidence() -> None:
    assert parse_stop("rank:0.8 or tasks:30").confidence == 0.8
    assert parse_stop("usd:5 or tasks:30").confidence == 0.95


def test_hopeless_is_said_only_when_nothing_can_help() -> None:
    # At best the bounds end 0.06 to either side of a centre in 0.45 to 0.55.
    at = look(0.45, 0.55, least=0.06)
    assert said(Futility(ScoreWithin(5.9)), look(0.45, 0.58, least=0.06)) is not None
    assert said(Futility(ScoreWithin(6.1)), look(0.45, 0.58, least=0.06)) is None
    assert said(Futility(ScoreWithin(5)), at) is None  # settled already: no reason to give up
    wide = look(0.3, 0.5, least=0.09)
    assert said(Futility(Beats("middling")), wide) is None  # may end at 0.5 and above 0.4
    assert said(Futility(Beats("middling")), look(0.35, 0.45, least=0.09)) is not None
    assert said(Futility(RankSettled(0.9, 0.0)), look(0.35, 0.45, least=0.04)) is None
    assert said(Futility(RankSettled(0.9, 0.0)), look(0.35, 0.45, least=0.06)) is not None
    assert said(Futility(TopK(3)), look(0.35, 0.45, least=0.11)) is not None
    assert said(Futility(TopK(4)), look(0.35, 0.45, least=0.11)) is None


def test_hopeless_counts_the_bets_that_are_left() -> None:
    even = {"middling": PairedEProcess.nothing()}
    # 40 times the capital is needed; 9 tasks, all won, make 34.7 of it, 10 make 60.8.
    beats = Beats("middling")
    assert said(Futility(beats), look(left=9, least=0.0, evidence=even)) is not None
    assert said(Futility(beats), look(left=10, least=0.0, evidence=even)) is None
    # 21 tasks were run, so a budget of 30 leaves 9.
    assert said(Futility(beats, tasks=30), look(left=99, least=0.0, evidence=even)) is not None
    assert said(Futility(beats, tasks=31), look(left=99, least=0.0, evidence=even)) is None


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("rank", RankSettled()),
        ("rank:0.9", RankSettled(0.9)),
        ("rank:0.9:0.1", RankSettled(0.9, 0.1)),
        ("beats:agent-x", Beats("agent-x")),
        ("beats:agent-x:0.9", Beats("agent-x", 0.9)),
        ("beats:org/model:beta:0.9", Beats("org/model:beta", 0.9)),
        ("beats:'My agent or so: 2.0':0.9", Beats("My agent or so: 2.0", 0.9)),
        ('beats:"Bob\'s agent"', Beats("Bob's agent")),
        ("top:3", TopK(3)),
        ("top:3:0.8", TopK(3, 0.8)),
        ("score:2.5:0.9", ScoreWithin(2.5, 0.9)),
        ("tasks:30", Budget(tasks=30)),
        ("usd:20", Budget(usd=20.0)),
        ("seconds:3600", Budget(seconds=3600.0)),
        ("none", Never()),
        ("rank:0.95:0.2 or usd:20", AnyOf((RankSettled(), Budget(usd=20.0)))),
        ("beats:x and tasks:30", AllOf((Beats("x"), Budget(tasks=30)))),
        (
            "top:1 or beats:x and tasks:30",
            AnyOf((TopK(1), AllOf((Beats("x"), Budget(tasks=30))))),
        ),
        (
            "rank or hopeless or tasks:9",
            AnyOf((RankSettled(), Budget(tasks=9), Futility(RankSettled(), 9))),
        ),
        (
            "rank or hopeless or top:2",
            AnyOf((RankSettled(), TopK(2), Futility(AnyOf((RankSettled(), TopK(2)))))),
        ),
    ],
)
def test_rules_are_read_and_kept(text: str, rule: Rule) -> None:
    assert parse_stop(text) == rule
    assert stop_from_dict(rule.to_dict()) == rule


@pytest.mark.parametrize(
    "text",
    [
        "",
        "or",
        "rank or",
        "rank rank",
        "rank xor top:3",
        "hopeless",
        "tasks:30 or hopeless",
        "rank and hopeless",
        "beats",
        "top:2.5",
        "top",
        "score",
        "tasks:many",
        "tasks:nan",
        "none:0.9:0.1",
        "rank:0.9:0.1:3:4",
        "beats:my agent",
        "beats:bob's",
        "best",
    ],
)
def test_other_texts_are_refused_with_the_forms_there_are(text: str) -> None:
    with pytest.raises(InputError, match=r"expected a stopping rule.*beats:AGENT"):
        parse_stop(text)


@pytest.mark.parametrize(
    "text",
    ["rank:95", "beats:x:0.3", "top:0", "score:0", "score:60", "tasks:0", "usd:-1", "beats:"],
)
def test_bad_settings_say_what_was_expected(text: str) -> None:
    with pytest.raises(InputError, match="expected"):
        parse_stop(text)


def test_a_rule_of_a_plugin_joins_the_others() -> None:
    def build(tasks: str) -> Budget:
        return Budget(tasks=int(tasks))

    rule = parse_stop("rank:0.9 or patience:12", {"patience": build})
    assert rule == AnyOf((RankSettled(0.9), Budget(tasks=12)))
