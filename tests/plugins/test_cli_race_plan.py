"""The plan of a race: what it says before anything is spent, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from midband.race_file import arguments_of, read_race_file
from midband_history import History, InputError, Record
from midband_sampler.racing import RacePlan, find_allocation

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]
QUESTION = 'question = "top:1:0.9"\n'
CANDIDATES = '[[candidates]]\nname = "a"\n[[candidates]]\nname = "b"\narguments = ["--x", "1"]\n'


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def _write(text: str) -> Path:
        path = tmp_path / "race.toml"
        path.write_text(text)
        return path

    return _write


@pytest.fixture
def ids(tmp_path: Path) -> Path:
    path = tmp_path / "ids.txt"
    path.write_text("".join(f"t{task:02d}\n" for task in range(20)))
    return path


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (CANDIDATES, ("expected a question, got none", "question = 'top:1:0.9'")),
        (QUESTION, ("expected at least two candidates, got none",)),
        (QUESTION + '[[candidates]]\nname = "a"\n', ("at least two candidates, got 1",)),
        (
            QUESTION + CANDIDATES + '[[candidates]]\nname = "a"\n',
            ("expected candidates of different names, got 'a' twice",),
        ),
        ('qestion = "top:1"\n' + CANDIDATES, ("got 'qestion'", "did you mean question?")),
        (QUESTION + CANDIDATES + 'modle = "x"\n', ("of a candidate", "got 'modle'")),
        (QUESTION + CANDIDATES + "[[candidates]]\n", ("name of every candidate, got none",)),
        (QUESTION + CANDIDATES + '[[candidates]]\nname = "c\\nd"\n', ("printable name",)),
        (
            QUESTION + CANDIDATES.replace('["--x", "1"]', '"--x 1"'),
            ("arguments of 'b' as a list of texts", 'arguments = ["--model", "NAME"]'),
        ),
        (QUESTION + "budget = true\n" + CANDIDATES, ("expected a budget as text, got True",)),
        (QUESTION + 'budget = "lots"\n' + CANDIDATES, ("expected a budget like 5%", "'lots'")),
        (QUESTION + "budget = 20\n" + CANDIDATES, ("expected a budget like 5%", "'20'")),
        (QUESTION + 'allocation = "best"\n' + CANDIDATES, ("expected an allocation among",)),
        (QUESTION + "allocation = 3\n" + CANDIDATES, ("expected an allocation by name",)),
        (QUESTION + "within = 100\n" + CANDIDATES, ("within as points from 0 to 100",)),
        (
            'question = "top:1:0.9:2"\nwithin = 1\n' + CANDIDATES,
            ("expected no key within beside the question",),
        ),
        ('question = "top:2:0.9"\n' + CANDIDATES, ("expected a top smaller than the 2",)),
        ('question = "best"\n' + CANDIDATES, ("expected a question like", "'best'")),
        ('question = "top:1"\n' + CANDIDATES, ("expected a budget for a question without",)),
        (QUESTION + 'budget = "tasks:1"\n' + CANDIDATES, ("at least 2 results", "got 1")),
        (QUESTION + "[[candidates\n", ("expected a TOML file", "cannot read")),
    ],
)
def test_a_file_that_is_no_race_is_refused_in_one_line(
    write: Callable[[str], Path],
    ids: Path,
    call: Call,
    one_line: OneLine,
    monkeypatch: pytest.MonkeyPatch,
    text: str,
    parts: tuple[str, ...],
) -> None:
    monkeypatch.setenv("MIDBAND_HISTORY", str(ids.with_name("none.duckdb")))
    output = ids.with_name("race.json")
    code, _, error = call(
        *("plan", "other", "--candidates", write(text), "--tasks", ids),
        *("--output", output),
    )
    assert code == 2
    one_line(error, *parts)
    assert not output.exists()


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--stop", "none"), ("expected no --stop beside --candidates",)),
        (("--max-tasks", "5"), ("expected no --max-tasks beside --candidates",)),
        (("--version", "2"), ("expected",)),
    ],
)
def test_settings_that_no_race_has_are_refused(
    write: Callable[[str], Path],
    store: Path,
    call: Call,
    one_line: OneLine,
    options: tuple[str, ...],
    parts: tuple[str, ...],
) -> None:
    path = write(QUESTION + CANDIDATES)
    output = path.with_name("race.json")
    words = ("plan", "toy", "--candidates", path, "--history", store, "--output", output)
    code, _, error = call(*words, *options)
    assert code == 2
    one_line(error, *parts)


def test_tasks_of_a_file_are_of_races_alone(store: Path, ids: Path, call: Call) -> None:
    code, _, error = call("plan", "toy", "--tasks", ids, "--history", store)
    assert code == 2
    assert "expected --candidates FILE beside --tasks" in error


def test_the_expected_cost_is_known_before_anything_is_spent(
    tmp_path: Path, call: Call, write: Callable[[str], Path]
) -> None:
    store, path = history(tmp_path), tmp_path / "race.json"
    file = write(QUESTION.replace("0.9", "0.6") + CANDIDATES)
    words = ("plan", "toy", "--candidates", file, "--history", store, "--output", path)
    code, out, error = call(*words, "--json")
    assert code == 0, error
    found, made = json.loads(out), RacePlan.read(path)
    assert found["digest"] == made.digest
    assert found["full_results"] == 80
    low, mean, high = (found["cost_share"][name] for name in ("low", "mean", "high"))
    assert 0.0 < low <= mean <= high <= 1.0
    assert found["cost_results"]["mean"] == pytest.approx(80 * mean)
    assert found["cost_usd"]["high"] == pytest.approx(80 * high * 0.5)
    code, out, _ = call(*words)
    (line,) = (line for line in out.splitlines() if line.startswith("expected_cost: "))
    assert f"{mean:.1%} of the full price" in line
    assert "in 8 of 10 replays" in line
    assert "$" in line


def test_results_that_candidates_bring_count(
    store: Path, tmp_path: Path, call: Call, write: Callable[[str], Path]
) -> None:
    path = tmp_path / "race.json"
    file = write(QUESTION + CANDIDATES.replace('"a"', '"a03"'))
    words = ("plan", "toy", "--candidates", file, "--history", store, "--output", path)
    code, out, error = call(*words)
    assert code == 0, error
    assert "a03 is in the history: what was run already counts and is not paid for again" in out
    assert "known_results: 40" in out
    assert RacePlan.read(path).full == 40
    write(QUESTION + CANDIDATES.replace('"a"', '"a03"').replace('"b"', '"a05"'))
    code, out, error = call(*words)
    assert code == 0, error
    assert "expected_cost: nothing: the history knows every result" in out


def test_without_results_of_the_benchmark_it_goes_without_a_history(
    store: Path, tmp_path: Path, ids: Path, call: Call, write: Callable[[str], Path]
) -> None:
    path = tmp_path / "race.json"
    words = ("plan", "tyo", "--candidates", write(QUESTION + CANDIDATES), "--output", path)
    code, out, _ = call(*words, "--history", store, "--tasks", ids)
    assert code == 0
    assert "the history has no results of tyo (it holds toy): the race goes without" in out
    assert "expected_cost: unknown" in out
    assert "at most the full price: 40 results" in out
    plan = RacePlan.read(path)
    assert plan.model is None
    assert len(plan.tasks) == 20


def test_without_any_history_nobody_needs_one(
    tmp_path: Path,
    ids: Path,
    call: Call,
    write: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MIDBAND_HISTORY", str(tmp_path / "none.duckdb"))
    monkeypatch.chdir(tmp_path)
    words = ("plan", "toy", "--candidates", write(QUESTION + CANDIDATES), "--tasks", ids)
    code, out, _ = call(*words)
    assert code == 0
    assert "the race goes without" in out
    assert (tmp_path / "race.json").exists()
    assert not (tmp_path / "none.duckdb").exists()
    code, _, error = call(*words, "--history", tmp_path / "none.duckdb")
    assert code == 1
    assert "expected a history at" in error


def test_the_plan_is_printed_as_it_would_be_written(
    store: Path, ids: Path, call: Call, write: Callable[[str], Path]
) -> None:
    words = ("plan", "new", "--candidates", write(QUESTION + CANDIDATES), "--tasks", ids)
    texts = {call(*words, "--output", "-", "--history", store, "--seed", 3)[1] for _ in range(2)}
    (text,) = texts
    assert RacePlan.from_json(text).seed == 3


def test_a_name_in_the_arguments_stands_for_the_candidate(write: Callable[[str], Path]) -> None:
    said = read_race_file(write(QUESTION + "within = 1.5\nbudget = 0.2\n" + CANDIDATES))
    assert said.question.text == "top:1:0.9:1.5"
    assert said.budget == 0.2
    plan = RacePlan(
        benchmark="toy",
        candidates=said.candidates,
        question=said.question,
        allocation=find_allocation("racing"),
        arguments=said.arguments,
    )
    assert arguments_of(plan, ["--model", "x/{candidate}", "{}"]) == {
        "a": ("--model", "x/a", "{}"),
        "b": ("--model", "x/b", "{}", "--x", "1"),
    }
    with pytest.raises(InputError, match="got the same for 'a' and 'c'"):
        arguments_of(
            RacePlan(
                benchmark="toy",
                candidates=("a", "b", "c"),
                question=said.question,
                allocation=find_allocation("racing"),
                arguments=said.arguments,
            ),
            ["--fast"],
        )


def history(folder: Path) -> Path:
    """Return a history of 24 agents on the benchmark ``toy`` of 40 tasks at half a dollar."""
    records = [
        Record(
            benchmark="toy",
            task_id=f"t{task:02d}",
            agent=f"a{agent:02d}",
            score=float((task * 7 + agent) % 40 < 1.6 * (agent + 1)),
            cost_usd=0.5,
        )
        for agent in range(24)
        for task in range(40)
    ]
    path = folder / "large.duckdb"
    with History.open(path) as found:
        found.add(records, source="test")
    return path
