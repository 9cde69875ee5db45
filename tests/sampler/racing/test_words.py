"""What the verdict of a race says of ties, of nothing, and of few replays."""

from dataclasses import replace

from midband_sampler.racing import Race, make_race

TASKS = tuple(f"t{number}" for number in range(20))


def _raced(question: str, solved: "dict[str, int]") -> Race:
    race = Race(make_race(None, tuple(solved), question=question, tasks=TASKS))
    while not race.done:
        for name, task in race.ask(100):
            race.tell(name, task, score=float(int(task[1:]) < solved[name]))
    return race


def test_candidates_with_the_same_full_score_share_their_ranks() -> None:
    verdict = _raced("top:1:0.9", {"one": 18, "two": 18, "low": 0}).verdict()
    assert verdict.settled
    one, two = (each for each in verdict.ranked if each.candidate != "low")
    assert (one.rank_low, one.rank_high) == (two.rank_low, two.rank_high)
    assert one.rank_low == 1
    assert "two ended with the same full score as one" in verdict.answer
    order = _raced("order:0.9", {"one": 18, "two": 18, "low": 0}).verdict()
    assert [each.rank_text for each in order.ranked] == ["1-2", "1-2", "3"]


def test_nobody_is_named_before_anything_is_known() -> None:
    race = Race(make_race(None, ("one", "two"), question="top:1:0.9", tasks=TASKS))
    assert race.verdict().best == ()
    assert race.verdict().lines()[0].startswith("Nothing is known yet")
    assert not any("confidence" in line for line in race.verdict().lines())
    (name, task), *_ = race.ask(4)
    race.tell(name, task, outcome="infra_error")
    (told,) = (each for each in race.verdict().ranked if each.candidate == name)
    assert (told.tasks, told.errors, told.resolution) == (1, 1, "not judged")


def test_a_zone_and_the_number_of_replays_are_said() -> None:
    verdict = _raced("top:1:0.9:10", {"one": 18, "two": 17}).verdict()
    assert any("up to 10 points worse" in line for line in verdict.lines())
    guess = replace(verdict, confidence=None, chance_right=1.0, regret=0.0, replays=4)
    assert "In 4 replays on the history" in guess.lines()[1]


def test_the_table_fits_a_terminal_and_draws_the_ranks_that_are_open() -> None:
    verdict = _raced("order:0.9", {"one": 18, "two": 18, "low": 0}).verdict()
    for width in (40, 60, 80):
        lines = verdict.lines(width=width, encoding="utf-8")
        assert max(map(len, lines)) <= width
        assert any(line.split()[:1] == ["rank"] and "score" in line for line in lines)
    ranks = {row.split()[2]: row.split()[1] for row in verdict.table(encoding="ascii")[1:]}
    assert ranks == {"one": "==-", "two": "==-", "low": "--="}
    guess = replace(verdict, confidence=None)
    assert "ranks" not in guess.table()[0].split()
    assert all(line.isascii() for line in verdict.lines(width=80, encoding="cp1252"))
