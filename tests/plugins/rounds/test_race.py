"""Races in rounds: several candidates of the stand-in, one question, nothing paid twice."""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest
from tests.plugins.rounds.adapter import Plugin
from tests.plugins.rounds.conftest import Call, Ledger, line_with, spawned
from tests.plugins.rounds.stand_in import score
from tests.plugins.terminals import HIDES, SHOWS, drawn

from midband import get_plugin_manager
from midband.report import Page, Table, render
from midband.report.race import race_page
from midband.rounds.journal import RunJournal
from midband_history import History, Metric, Record
from midband_sampler.racing import RacePlan

OneLine = Callable[..., None]
TASKS = tuple(f"t{number:02d}" for number in range(40))
SKILLS = {"small": 40, "mid": 100, "big": 220}


@dataclass
class Track:
    """A race between stand-ins of different skill, each with a ledger of its own."""

    folder: Path
    call: Call
    skills: dict[str, int] = field(default_factory=lambda: dict(SKILLS))
    more: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: str = 'question = "top:1:0.9"\nallocation = "racing"\n'
    harness: str = "stand-in"
    directory: str = "out"

    def write(self, name: str = "race.toml") -> Path:
        """Write the file of the candidates."""
        text = self.settings
        for candidate, skill in self.skills.items():
            agent = candidate.replace("/", "-")
            words = ["--agent", agent, "--skill", str(skill), *self.more.get(candidate, ())]
            text += f"[[candidates]]\nname = {json.dumps(candidate)}\narguments = {words}\n"
        (self.folder / name).write_text(text)
        return self.folder / name

    def plan(self, *options: object, tasks: Sequence[str] = TASKS) -> tuple[int, str, str]:
        """Plan the race; by default of these tasks and without a history."""
        ids = self.folder / "tasks.txt"
        ids.write_text("".join(f"{task}\n" for task in tasks))
        words = ["--candidates", self.write(), "--output", self.folder / "race.json"]
        if "--history" not in options:
            words += ["--tasks", ids]
        return self.call("plan", "toy", *words, *map(str, options))

    def words(self, *options: object, arguments: Sequence[object] = ()) -> list[str]:
        ledgers = self.folder / "{candidate}.ledger"
        if "--round-size" not in options:
            options += ("--round-size", 4)
        return [
            *("race", self.harness, str(self.folder / "race.json")),
            *("--output", str(self.folder / self.directory), *map(str, options)),
            *("--", "--ledger", str(ledgers), *map(str, arguments)),
        ]

    def race(self, *options: object, arguments: Sequence[object] = ()) -> tuple[int, str, str]:
        """Plan it if that was not done, and run it."""
        if not (self.folder / "race.json").exists():
            code, _, error = self.plan()
            assert code == 0, error
        return self.call(*self.words(*options, arguments=arguments))

    def found(self, *options: object, arguments: Sequence[object] = ()) -> dict[str, object]:
        """Run it and return the verdict, without what differs between directories."""
        _, out, error = self.race("--json", *options, arguments=arguments)
        assert out, error
        verdict: dict[str, object] = json.loads(out)
        del verdict["directory"]
        return verdict

    def ledger(self, candidate: str) -> Ledger:
        return Ledger(self.folder / f"{candidate}.ledger")

    def paid(self) -> Counter[tuple[str, str]]:
        """Return how often each task of each candidate was paid for."""
        return Counter((name, task) for name in self.skills for task in self.ledger(name).results)


@pytest.fixture(autouse=True)
def no_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no history of the machine take part."""
    monkeypatch.setenv("MIDBAND_HISTORY", str(tmp_path / "none.duckdb"))


@pytest.fixture
def track(tmp_path: Path, call: Call) -> Iterator[Track]:
    """Three candidates of clearly different skill."""
    plugin = Plugin()
    manager = get_plugin_manager()
    manager.register(plugin, name="stand-in-of-races")
    yield Track(tmp_path, call)
    manager._pluggy.unregister(plugin)


def test_a_person_sees_who_is_still_in(track: Track, on_terminal: Call) -> None:
    assert track.plan()[0] == 0
    words = track.words("--max-usd", 60, "--parallel", 2, arguments=("--cost", 0.5))
    code, out, error = on_terminal(*words)
    assert code == 0, error
    assert out.splitlines()[0] == "The best is big."
    assert any(line.split()[:3] == ["rank", "ranks", "candidate"] for line in out.splitlines())
    lines = drawn(error)
    assert any("of 120 results" in line for line in lines)
    assert any("3 of 3 candidates still in: small, mid, big" in line for line in lines)
    assert any("ahead: big; $" in line and "of $60.00 spent" in line for line in lines)
    assert any("big r001: running" in line for line in lines)
    assert error.rindex(SHOWS) > error.rindex(HIDES)
    words = track.words("--quiet", arguments=("--cost", 0.5))
    assert on_terminal(*words)[::2] == (0, "")


def test_a_race_settles_its_question_and_pays_for_nothing_twice(track: Track) -> None:
    code, out, error = track.race(arguments=("--cost", 0.5))
    assert code == 0, error
    lines = out.splitlines()
    assert lines[0] == "The best is big."
    assert "ended: the question is settled" in lines
    paid = track.paid()
    assert set(paid.values()) == {1}
    assert len(paid) < 3 * len(TASKS)
    assert f"spent_usd: {len(paid) / 2:g}" in lines
    assert f"{len(paid)} of 120 results" in out
    # Candidates share their tasks: what one has run is part of what another has.
    by_size = sorted(({t for n, t in paid if n == name} for name in SKILLS), key=len)
    assert all(fewer <= more for fewer, more in pairwise(by_size))
    again = track.race(arguments=("--cost", 0.5))
    assert again[:2] == (code, out)
    assert track.paid() == paid


def test_the_result_does_not_depend_on_how_many_run_at_once(track: Track) -> None:
    track.more["mid"] = ("--once", "t03", "--error", "t05", "--half", "t11")
    one = track.found("--parallel", 1, "--round-size", 3)
    for name in SKILLS:
        track.ledger(name).path.unlink()
    track.directory = "other"
    assert track.found("--parallel", 3, "--round-size", 3) == one
    assert one["best"] == ["big"]


def test_its_results_can_be_imported_as_the_last_line_says(track: Track, tmp_path: Path) -> None:
    _, out, _ = track.race()
    words = out.splitlines()[-1].removeprefix("keep the results: midband ").split()
    code, out, error = track.call(*words, "--history", tmp_path / "h.duckdb", "--json")
    assert (code, error) == (0, "")
    assert sum(each["valid"] for each in json.loads(out)["counts"]) == len(track.paid())


def test_a_candidate_whose_command_fails_is_set_apart_and_the_others_go_on(track: Track) -> None:
    track.more["small"] = ("--no-such-flag",)
    code, out, error = track.race("--json")
    verdict = json.loads(out)
    assert code == 0, error
    assert verdict["best"] == ["big"]
    assert "small is set apart: 2 rounds in a row brought no score" in error
    states = {each["candidate"]: each["state"] for each in verdict["ranked"]}
    assert states["small"] == "set apart"
    assert not track.ledger("small").results
    assert set(track.paid().values()) == {1}
    again = track.race("--json")
    assert again[:2] == (code, out)


def test_a_candidate_whose_tasks_all_end_in_errors_is_set_apart(track: Track) -> None:
    track.more["big"] = tuple(word for task in TASKS for word in ("--error", task))
    code, out, error = track.race(arguments=("--cost", 0.5))
    assert code == 0, error
    assert out.splitlines()[0] == "The best is mid."
    assert "big is set apart: 2 rounds in a row brought no score" in error
    found = track.found(arguments=("--cost", 0.5))
    apart = found["ranked"][-1]  # type: ignore[index]
    assert apart["errors"] == apart["tasks"] > 0
    assert apart["usd"] >= 0.5 * apart["errors"]
    assert found["usd"] == found["spent_usd"]
    assert len(track.ledger("big").rounds) == 2


def test_a_limit_of_errors_sets_a_candidate_apart(track: Track) -> None:
    track.more["big"] = tuple(word for task in TASKS[:20] for word in ("--error", task))
    found = track.found("--max-errors", 2)
    assert found["best"] == ["mid"]
    (apart,) = (each for each in found["ranked"] if each["state"] == "set apart")  # type: ignore[attr-defined]
    assert apart["candidate"] == "big"
    assert "where at most 2 may be" in apart["note"]
    # No journal has the limit: that it set somebody apart is kept for the page.
    page = race_page(track.folder / track.directory)
    assert page.verdict[0] == found["answer"]
    candidates = next(each for each in page.sections if each.title == "Candidates")
    assert "big is set apart" in candidates.text[0]
    assert "where at most 2 may be" in candidates.text[0]


def test_where_all_fail_nobody_is_set_apart_and_the_next_call_tries_again(track: Track) -> None:
    broken = track.folder / "none"
    track.plan()
    words = [
        word.replace(str(track.folder / "{candidate}"), str(broken / "{candidate}"))
        for word in track.words()
    ]
    code, out, error = track.call(*words)
    assert code == 1
    assert "2 rounds in a row of small, mid, big brought no score" in error
    assert "set apart" not in out + error
    broken.mkdir()
    code, out, _ = track.call(*words)
    assert code == 0
    assert out.splitlines()[0] == "The best is big."


def test_limits_end_a_race_that_goes_on_without_them(track: Track) -> None:
    code, out, _ = track.race("--max-tasks", 20)
    assert code == 3
    rows = [line for line in out.splitlines() if "/40 " in line]
    assert sum(int(row.split("/40 ")[0].split()[-1]) for row in rows) == 20
    assert "ended: task limit reached: 20 of 20 results run" in out
    assert len(track.paid()) == 20
    whole = track.found()
    track.directory = "other"
    for name in SKILLS:
        track.ledger(name).path.unlink()
    assert track.found()["ranked"] == whole["ranked"]


def test_money_is_limited_before_it_is_known_what_a_task_costs(track: Track) -> None:
    code, out, error = track.race("--max-usd", 10, arguments=("--cost", 0.5))
    assert code == 3, error
    assert len(track.paid()) == 20
    assert "ended: money limit reached: $10.00 of $10.00 spent" in out
    first = [track.ledger(name).rounds[0] for name in SKILLS]
    assert [len(tasks) for tasks in first] == [1, 1, 1]


def test_money_cannot_be_limited_where_nothing_says_what_was_spent(
    track: Track, one_line: OneLine
) -> None:
    code, _, error = track.race("--max-usd", 10)
    assert code == 2
    one_line(error.splitlines()[-1], "expected costs to keep --max-usd by", "--max-tasks")
    assert len(track.paid()) <= 3


@pytest.mark.slow
def test_a_killed_race_goes_on_and_pays_for_nothing_twice(track: Track) -> None:
    gate = track.folder / "gate"
    os.mkfifo(gate)
    track.more["mid"] = ("--gate", str(gate), "--gate-at", "t10")
    track.plan()
    running = spawned(track.words("--json", "--parallel", 2))
    with gate.open("w"):
        running.kill()
        running.communicate()
        state = json.loads((track.folder / "out" / "mid" / "r000" / ".running").read_text())
        os.killpg(state["number"], signal.SIGKILL)
    assert track.paid()
    found = track.found("--parallel", 2)
    assert set(track.paid().values()) == {1}
    assert Counter(track.ledger("mid").started).most_common(1)[0][1] <= 2
    track.directory = "other"
    for name in SKILLS:
        track.ledger(name).path.unlink()
    track.ledger("mid").path.write_text("gate\n")
    untouched = track.found("--parallel", 2)
    assert untouched["ranked"] == found["ranked"]
    assert untouched["results"] == found["results"]


@pytest.mark.slow
def test_one_ctrl_c_lets_the_running_round_finish_and_starts_no_other(track: Track) -> None:
    gate = track.folder / "gate"
    os.mkfifo(gate)
    track.more["small"] = ("--gate", str(gate))
    track.plan()
    running = spawned(track.words())
    with gate.open("w"):
        os.killpg(running.pid, signal.SIGINT)
        line_with(running.stderr, "the round will be finished")
    out, error = running.communicate(timeout=600)
    assert running.returncode == 130, error
    assert len(track.ledger("small").results) == 8
    assert not track.ledger("mid").started
    assert "ended: interrupted" in out
    assert not (track.folder / "out" / "mid" / "r000").exists()
    assert track.race()[0] == 0
    assert set(track.paid().values()) == {1}


def test_a_race_continues_for_a_sharper_question_and_more_candidates(
    track: Track, one_line: OneLine
) -> None:
    first = track.found()
    paid = track.paid()
    track.settings = track.settings.replace("0.9", "0.99")
    track.skills["huge/1"] = 255
    (track.folder / "huge").mkdir()  # of its ledger
    track.plan()
    track.directory = "sharper"
    code, out, error = track.race("--from", track.folder / "out", "--json")
    assert code == 0, error
    found = json.loads(out)
    assert found["confidence"] == 0.99
    assert found["best"] == ["huge/1"]
    assert set(track.paid().values()) == {1}
    assert found["results"] == len(track.paid())
    assert found["results"] > first["results"]
    assert paid <= track.paid()
    assert track.race("--json")[1] == out  # what it continues is in its journal
    track.directory = "third"
    code, _, error = track.race(
        "--from", track.folder / "out", arguments=("--set", "temperature=1")
    )
    assert code == 2
    one_line(error.splitlines()[-1], "expected the same arguments as in", "--from")


def test_not_worse_has_an_exit_code_for_each_end(track: Track) -> None:
    del track.skills["mid"]
    for new, old, code in (("big", "small", 0), ("small", "big", 4)):
        track.settings = f'question = "not-worse:{new}:{old}:2:0.9"\n'
        track.plan()
        track.directory = f"{new}-{old}"
        assert track.race()[0] == code
    track.directory = "open"
    assert track.race("--max-tasks", 6)[0] == 3


def test_a_gate_says_in_one_line_and_as_markdown_what_the_race_found(
    track: Track, one_line: OneLine
) -> None:
    del track.skills["mid"]
    track.settings = 'question = "not-worse:big:small:2:0.9"\n'
    track.plan()
    summary = track.folder / "summary.md"
    code, out, _ = track.race("--gate", "not-worse:small:2:0.9", "--summary", summary)
    assert code == 0
    assert out.splitlines()[-1].startswith("gate held: big is not worse than small by more than 2")
    assert summary.read_text().startswith("### Gate held")
    code, _, error = track.race("--gate", "not-worse:small:5:0.9")
    assert code == 2
    one_line(
        error.splitlines()[-1], "expected a race that asks for the gate", "not-worse:NEW:small"
    )


def test_tasks_may_be_named_at_the_start(track: Track, one_line: OneLine) -> None:
    track.write()
    planned = track.call(
        *("plan", "toy", "--candidates", track.folder / "race.toml"),
        *("--output", track.folder / "race.json"),
    )
    assert planned[0] == 0
    assert "name them with --tasks FILE" in planned[1]
    assert RacePlan.read(track.folder / "race.json").tasks == ()
    code, _, error = track.race()
    assert code == 2
    one_line(error, "expected the tasks of toy", "--tasks FILE")
    ids = track.folder / "ids.txt"
    ids.write_text("\n".join(TASKS))
    code, out, error = track.race("--tasks", ids)
    assert code == 0, error
    assert track.race()[:2] == (code, out)  # it was begun with them


@pytest.mark.parametrize(
    ("options", "harness", "parts"),
    [
        (("--round-size", "7"), "stand-in", ("expected the same round_size",)),
        ((), "inspect", ("expected a harness that runs in rounds", "--race RACE")),
        ((), "hal-eval", ("expected HARNESS",)),
        (("--from", "."), "stand-in", ("expected the directory of an earlier race",)),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    track: Track, one_line: OneLine, options: tuple[str, ...], harness: str, parts: tuple[str, ...]
) -> None:
    track.race("--max-tasks", 6)
    track.harness = harness
    if "--from" in options:
        track.directory = "new"
    code, _, error = track.race(*options)
    assert code in (1, 2)
    one_line(error.splitlines()[-1], *parts)


def test_a_directory_belongs_to_one_race_and_one_command(track: Track, one_line: OneLine) -> None:
    track.race("--max-tasks", 30)
    code, _, error = track.race(arguments=("--set", "x"))
    assert code == 2
    one_line(error.splitlines()[-1], "expected the same arguments")
    track.settings = track.settings.replace("0.9", "0.95")
    track.plan()
    code, _, error = track.race()
    assert code == 2
    one_line(error, "use that race or another directory")


def test_candidates_that_would_run_the_same_command_are_refused(
    track: Track, one_line: OneLine
) -> None:
    track.skills = {"a": 50, "b": 50}
    track.plan()
    words = [word for word in track.words() if "{candidate}" not in word and word != "--ledger"]
    text = (track.folder / "race.toml").read_text().replace("'b'", "'a'")
    (track.folder / "race.toml").write_text(text)
    track.call(
        *("plan", "toy", "--candidates", track.folder / "race.toml"),
        *("--output", track.folder / "race.json", "--tasks", track.folder / "tasks.txt"),
    )
    code, _, error = track.call(*words)
    assert code == 2
    one_line(error, "expected other arguments for each candidate", "{candidate}")


def test_candidates_that_turn_out_to_be_one_agent_are_named(track: Track) -> None:
    track.more["mid"] = ("--agent", "small")
    _, _, error = track.race()
    assert "the results of small and mid name the same agent small" in error


@pytest.fixture
def history(track: Track) -> Path:
    """Return 24 agents like the candidates on the same tasks, at half a dollar each."""
    path = track.folder / "history.duckdb"
    records = [
        Record(
            benchmark="toy",
            task_id=task,
            agent=f"known-{agent:02d}",
            score=score(task, 256 * (agent + 1) // 25),
            cost_usd=0.5,
            metric=Metric(name="reward"),
        )
        for agent in range(24)
        for task in TASKS
    ]
    with History.open(path) as store:
        store.add(records, source="test")
    return path


def test_with_a_history_a_stopped_race_goes_on_as_if_it_had_not(
    track: Track, history: Path
) -> None:
    track.settings = 'question = "top:1:0.8"\nallocation = "racing"\n'
    track.skills = {"small": 170, "mid": 200, "big": 220}
    code, _, error = track.plan("--history", history)
    assert code == 0, error
    plan = RacePlan.read(track.folder / "race.json")
    assert plan.claims_by_history
    whole = track.found("--round-size", 2)
    assert whole["best"] == ["big"]
    assert whole["settled"]
    results = len(track.paid())
    for name in SKILLS:
        track.ledger(name).path.unlink()
    track.directory = "stopped"
    for most in (results // 3, results // 2):
        assert track.race("--round-size", 2, "--max-tasks", most)[0] == 3
        assert len(track.paid()) == most
    found = track.found("--round-size", 2)
    assert found["ranked"] == whole["ranked"]
    assert set(track.paid().values()) == {1}
    track.directory = "more"
    track.settings = track.settings.replace("0.8", "0.9")
    assert track.plan("--history", history)[0] == 0
    more = track.found("--from", track.folder / "stopped", "--round-size", 2)
    assert more["best"] == ["big"]
    assert set(track.paid().values()) == {1}


def test_a_candidate_of_the_history_pays_nothing_and_takes_part(
    track: Track, history: Path
) -> None:
    track.skills = {"known-12": 133, "small": 40}
    track.plan("--history", history)
    found = track.found()
    assert found["best"] == ["known-12"]
    assert not track.ledger("known-12").started
    assert track.ledger("small").results


def test_nothing_is_claimed_of_a_candidate_that_has_not_run(track: Track, history: Path) -> None:
    track.skills = {"known-12": 133, "big": 220}
    track.plan("--history", history)
    code, out, _ = track.race("--max-tasks", 1)
    assert code == 3
    assert "The best guess is" in out


def test_attempts_of_a_task_make_one_result(track: Track) -> None:
    found = track.found("--attempts", 2, arguments=("--cost", 0.25))
    paid = track.paid()
    assert set(paid.values()) == {2}
    assert found["results"] == len(paid)
    assert found["usd"] == found["recorded_usd"] == pytest.approx(0.5 * len(paid))


def test_a_budget_ends_with_the_best_guess_and_claims_nothing(track: Track) -> None:
    track.settings = 'question = "top:1"\nbudget = "20%"\nallocation = "halving"\n'
    code, out, error = track.race()
    assert code == 0, error
    assert out.splitlines()[0] == "The best guess is big."
    assert "Nothing is claimed" in out
    assert len(track.paid()) <= 24


@pytest.mark.parametrize("budget", ["tasks:10", "tasks:40", "usd:15"])
def test_a_stopped_race_spends_its_budget_as_if_it_had_not_stopped(
    track: Track, budget: str
) -> None:
    track.settings = f'question = "top:1"\nbudget = "{budget}"\nallocation = "racing"\n'
    whole = track.found(arguments=("--cost", 0.5))
    paid = track.paid()
    # $15 are 30 results; money is known once a round is over, so up to one of 6 comes on top.
    assert len(paid) <= {"tasks:10": 10, "tasks:40": 40, "usd:15": 36}[budget]
    assert len(paid) >= 10
    for name in SKILLS:
        track.ledger(name).path.unlink()
    track.directory = "stopped"
    for most in (4, 9, 26):
        track.race("--max-tasks", most, arguments=("--cost", 0.5))
    found = track.found(arguments=("--cost", 0.5))
    assert track.paid() == paid
    assert found["ranked"] == whole["ranked"]


def test_the_page_of_a_race_is_told_by_its_directory_alone(track: Track) -> None:
    track.more["mid"] = ("--error", "t05", "--error", "t06")
    _, out, _ = track.race("--max-tasks", 30, arguments=("--cost", 0.5))
    directory = track.folder / track.directory
    before = {path: path.read_bytes() for path in directory.rglob("*.jsonl")}
    half = race_page(directory)
    assert {path: path.read_bytes() for path in directory.rglob("*.jsonl")} == before
    assert half.verdict[0] == out.splitlines()[0]
    assert "Task limit reached" in half.verdict[2]
    found = track.found(arguments=("--cost", 0.5))
    page = race_page(directory)
    assert page.verdict[0] == found["answer"] == "The best is big."
    assert f"{found['results']} of {found['full']} results" in page.verdict[2]
    table = parts_of(page)["Candidates"]
    ranked = found["ranked"]
    assert [row[1] for row in table.rows] == [each["candidate"] for each in ranked]  # type: ignore[attr-defined]
    assert [row[3] for row in table.rows] == [each["tasks"] for each in ranked]  # type: ignore[attr-defined]
    assert "Ranks still open as results came in" in parts_of(page)
    assert dict(page.facts)["Harness"] == "stand-in"


def test_the_page_of_a_race_that_is_damaged_or_going_on_shows_what_is_known(track: Track) -> None:
    track.race("--max-tasks", 30)
    directory = track.folder / track.directory
    journal = directory / "big" / "rounds.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:-1]) + lines[-1][:30])
    page = race_page(directory)
    assert any("round of big" in line and "has not ended" in line for line in page.missing)
    journal.write_bytes(b"".join(lines[:-1]) + b'{"event": 3}\n')
    page = race_page(directory)
    assert any("damaged from line" in line for line in page.missing)
    assert page.verdict
    with closing(RunJournal(directory, "race.jsonl")):
        if (page := race_page(directory)).refresh_s:  # systems without /proc/locks do not say
            assert "still running" in page.verdict[1]
    (directory / "race.jsonl").unlink()
    page = race_page(directory)
    assert any("Nothing has run yet" in line for line in page.missing)
    assert render(page)


def parts_of(page: Page) -> dict[str, Table]:
    return {part.title: part for each in page.sections for part in each.parts}  # type: ignore[misc]
