"""What import, rank and history say of results: counts, notes, metrics, and what is put right."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from midband_history import History

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]


def _rows(path: Path, rows: list[dict[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _scores(path: Path, scores: Sequence[float | None], agent: str = "a", **more: object) -> Path:
    return _rows(
        path,
        [
            {"benchmark": "b", "task_id": f"t{i}", "agent": agent, "score": score, **more}
            for i, score in enumerate(scores)
        ],
    )


def _lm_eval(folder: Path, model: str, accuracies: list[int], stated: float) -> Path:
    """Write the results of lm-eval on one task, with the mean that it states."""
    where = folder / model
    where.mkdir(parents=True)
    stamp = "2026-01-21T03-44-18.458309"
    aggregate = {
        "results": {"toy": {"alias": "toy", "acc,none": stated}},
        "configs": {"toy": {"metric_list": [{"metric": "acc", "higher_is_better": True}]}},
        "higher_is_better": {"toy": {"acc": True}},
        "n-samples": {"toy": {"original": len(accuracies), "effective": len(accuracies)}},
        "model_name": model,
        "date": 1769000000.0,
    }
    (where / f"results_{stamp}.json").write_text(json.dumps(aggregate))
    _rows(
        where / f"samples_toy_{stamp}.jsonl",
        [
            {
                "doc_id": i,
                "doc": {"question": f"q{i}"},
                "target": "x",
                "arguments": {},
                "resps": [["x"]],
                "filtered_resps": ["x"],
                "filter": "none",
                "metrics": ["acc"],
                "doc_hash": f"{i:064x}",
                "prompt_hash": "p",
                "target_hash": "t",
                "acc": accuracy,
            }
            for i, accuracy in enumerate(accuracies)
        ],
    )
    return where


def test_import_counts_what_the_attempts_are(tmp_path: Path, call: Call) -> None:
    rows: list[dict[str, object]] = [
        {"benchmark": "b", "task_id": "1", "agent": "a", "score": 1},
        {"benchmark": "b", "task_id": "2", "agent": "a", "score": 0},
        {"benchmark": "b", "task_id": "3", "agent": "a", "kind": "infra_error"},
        {"benchmark": "b", "task_id": "4", "agent": "a"},
        {"benchmark": "b", "task_id": "1", "agent": "z", "score": 1},
    ]
    path, store = _rows(tmp_path / "t.jsonl", rows), tmp_path / "h.duckdb"
    code, out, error = call("import", path, "--history", store, "--json")
    assert code == 0, error
    found = json.loads(out)
    assert found["added"] == 5
    assert found["counts"] == [
        {"benchmark": "b", "agent": "a", "metric": "", "valid": 2, "passed": 1, "errors": 1,
         "unscored": 1, "out_of_range": 0},
        {"benchmark": "b", "agent": "z", "metric": "", "valid": 1, "passed": 1, "errors": 0,
         "unscored": 0, "out_of_range": 0},
    ]  # fmt: skip
    assert {tuple(sorted(note)) for note in found["notes"]} == {("code", "source", "text")}
    assert any("1 rows have no score" in note["text"] for note in found["notes"])
    assert {note["source"] for note in found["notes"]} == {str(path)}
    code, out, _ = call("history", "b", "--history", store, "--json")
    assert [row["without_score"] for row in json.loads(out)] == [2, 0]
    code, out, _ = call("history", "--history", store, "--json")
    assert [(row["attempts"], row["without_score"]) for row in json.loads(out)] == [(5, 2)]
    code, out, _ = call("rates", "b", "--history", store, "--json")
    assert [row["without_score"] for row in json.loads(out)] == [0, 0, 1, 1]


def test_a_table_of_counts_names_the_metric(tmp_path: Path, call: Call) -> None:
    path = _scores(tmp_path / "t.jsonl", [1, 0])
    code, out, _ = call(
        "import", path, "--metric", "exact", "--agent", "me", "--history", tmp_path / "h.duckdb"
    )
    assert code == 0
    assert ["b", "me", "exact", "2", "1", "0", "0", "0"] in [
        line.split() for line in out.splitlines()
    ]


def test_reading_the_same_with_other_options_replaces(tmp_path: Path, call: Call) -> None:
    path, store = _scores(tmp_path / "t.jsonl", [1, 0]), tmp_path / "h.duckdb"
    assert call("import", path, "--history", store)[0] == 0
    code, out, _ = call("import", path, "--agent", "right", "--history", store)
    assert code == 0
    with History.open(store, read_only=True) as history:
        assert [(one.name, one.tasks) for one in history.agents("b")] == [("right", 2)]
    code, out, _ = call("import", path, "--scale", "0", "5", "--agent", "right", "--history", store)
    assert "read 2 attempts anew" in out
    with History.open(store, read_only=True) as history:
        assert history.agents("b")[0].mean == pytest.approx(0.1)
    code, out, _ = call("import", path, "--benchmark", "other", "--history", store)
    assert "added 2 attempts" in out
    with History.open(store, read_only=True) as history:
        assert [one.name for one in history.benchmarks()] == ["b", "other"]


def test_a_reading_that_is_refused_leaves_the_earlier_one(tmp_path: Path, call: Call) -> None:
    path, store = _scores(tmp_path / "t.jsonl", [1, 0.5]), tmp_path / "h.duckdb"
    assert call("import", path, "--history", store)[0] == 0
    code, _, error = call("import", path, "--scale", "2", "3", "--history", store)
    assert code == 1
    assert "expected a score in [2, 3]" in error
    with History.open(store, read_only=True) as history:
        assert history.agents("b")[0].mean == pytest.approx(0.75)


def test_a_total_that_differs_is_refused_unless_it_is_accepted(tmp_path: Path, call: Call) -> None:
    good, bad = (
        _lm_eval(tmp_path / "r", "good", [1, 0], 0.5),
        _lm_eval(tmp_path / "r", "bad", [1, 0], 0.9),
    )
    store = tmp_path / "h.duckdb"
    code, _, error = call("import", tmp_path / "r", "--history", store)
    assert code == 1
    (line,) = [line for line in error.splitlines() if "refused" in line]
    assert str(bad) in line
    assert "0.9" in line
    assert "--accept-difference" in line
    with History.open(store, read_only=True) as history:
        assert [one.name for one in history.agents("toy")] == ["good"]
    code, out, error = call(
        "import", tmp_path / "r", "--accept-difference", "--history", store, "--json"
    )
    assert code == 0, error
    notes = [note for note in json.loads(out)["notes"] if note["code"] == "aggregate-differs"]
    assert [str(bad) in note["source"] for note in notes] == [True]
    assert str(good) not in notes[0]["source"]
    code, out, _ = call("history", "why", "toy", "0", "bad", "--history", store)
    assert "the reason is unknown" in out


def test_history_subcommands_tell_state_and_take_away(
    tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    store = tmp_path / "h.duckdb"
    one = _scores(tmp_path / "one.jsonl", [1, 1], "worst")
    two = _scores(tmp_path / "two.jsonl", [3, 2], "best")
    assert call("import", one, "--history", store)[0] == 0
    code, _, error = call("import", two, "--history", store)
    assert (code, "--scale LOW HIGH" in error) == (1, True)
    code, out, _ = call("history", "check", "--history", store)
    assert code == 1
    assert "values of its unnamed metric from 1 to 3" in out
    code, _, error = call("history", "b", "--history", store)
    one_line(error, "1 to 3", "--scale LOW HIGH")
    assert code != 0
    code, out, error = call(
        "history", "metric", "b", "--name", "rubric", "--scale", "1", "3", "--history", store
    )
    assert code == 0, error
    assert "rubric" in out
    options = ("--metric", "rubric", "--scale", "1", "3", "--history", store)
    assert call("import", two, *options)[0] == 0
    assert call("history", "check", "--history", store)[0] == 0
    code, out, _ = call("history", "b", "--history", store, "--json")
    assert [(row["name"], row["mean"]) for row in json.loads(out)] == [
        ("best", 0.75),
        ("worst", 0.0),
    ]
    code, out, _ = call("history", "why", "b", "t0", "worst", "--history", store, "--json")
    (origin,) = json.loads(out)
    assert (origin["score"], origin["source"], origin["metric"]) == (1.0, str(one), "rubric")
    code, out, _ = call("history", "alias", "agent", "worst", "best", "--history", store)
    assert (code, out.strip()) == (0, "worst is best now")
    code, out, _ = call("history", "b", "--history", store, "--json")
    assert [row["name"] for row in json.loads(out)] == ["best"]
    code, out, _ = call("history", "alias", "agent", "--history", store)
    assert "worst" in out
    code, out, _ = call("history", "forget", "--source", str(one), "--history", store)
    assert (code, "removed 2 attempts" in out) == (0, True)
    code, out, _ = call("history", "forget", "--source", str(one), "--history", store)
    assert code == 1
    code, out, _ = call("import", one, *options)
    assert "added 2 attempts" in out


def test_a_benchmark_called_like_a_subcommand_is_shown_by_show(tmp_path: Path, call: Call) -> None:
    path, store = _scores(tmp_path / "t.jsonl", [1, 0]), tmp_path / "h.duckdb"
    assert call("import", path, "--benchmark", "check", "--history", store)[0] == 0
    code, out, _ = call("history", "show", "check", "--history", store, "--json")
    assert (code, [row["name"] for row in json.loads(out)]) == (0, ["a"])
    code, out, _ = call("history", "--help")
    assert "history show check" in " ".join(out.split())


def test_an_alias_of_a_benchmark_holds_for_later_imports(tmp_path: Path, call: Call) -> None:
    store = tmp_path / "h.duckdb"
    one, two = _scores(tmp_path / "1.jsonl", [1, 0]), _scores(tmp_path / "2.jsonl", [1, 1], "z")
    call("import", one, "--history", store)
    call("import", two, "--benchmark", "B_v1", "--history", store)
    _, out, _ = call("history", "alias", "benchmark", "B_v1", "b", "--history", store)
    assert out.strip() == "B_v1 is b now, 2 attempts moved"
    three = _scores(tmp_path / "3.jsonl", [0, 0], "y")
    call("import", three, "--benchmark", "B_v1", "--history", store)
    _, out, _ = call("history", "B_v1", "--history", store, "--json")
    assert [row["name"] for row in json.loads(out)] == ["a", "y", "z"]


def test_rank_asks_once_for_an_unknown_metric_and_passes_other_benchmarks_over(
    tmp_path: Path, call: Call
) -> None:
    store, plan = tmp_path / "h.duckdb", tmp_path / "plan.json"
    for agent in range(8):
        scores = [float((task * 5 + agent) % 20 < 2 + 2 * agent) for task in range(20)]
        path = _scores(tmp_path / "past" / f"{agent}.jsonl", scores, f"a{agent}")
    assert call("import", path.parent, "--metric", "exact", "--history", store)[0] == 0
    code, _, error = call("plan", "b", "--output", plan, "--history", store)
    assert code == 0, error
    folder = tmp_path / "new"
    _scores(folder / "mine.jsonl", [1.0] * 20, "new")
    _scores(folder / "other.jsonl", [1.0] * 20, "new", benchmark="other")
    code, _, error = call("rank", plan, folder, "--history", store)
    assert code != 0
    assert "--metric exact" in error
    code, out, error = call("rank", plan, folder, "--metric", "exact", "--history", store, "--json")
    assert code == 0, error
    (row,) = json.loads(out)
    assert row["agent"] == "new"
    assert "other" in error


def test_parts_make_equal_ids_distinct(tmp_path: Path, call: Call) -> None:
    """Two subjects of one benchmark number their questions from 0."""
    store = tmp_path / "h.duckdb"
    for subject in ("law", "art"):
        where = tmp_path / "r" / subject
        _lm_eval(where, "m", [1, 0], 0.5)
        for path in (where / "m").iterdir():
            text = path.read_text().replace('"toy"', f'"mmlu_{subject}"')
            text = text.replace('"q', f'"{subject} q').replace("0" * 60, (subject + "0" * 60)[:60])
            path.with_name(path.name.replace("toy", f"mmlu_{subject}")).write_text(text)
            if "toy" in path.name:
                path.unlink()
    command = ("import", tmp_path / "r", "--benchmark", "mmlu", "--history", store)
    code, _, error = call(*command)
    assert code == 1
    assert "--parts" in error
    code, _, error = call(*command, "--parts", "--json")
    assert code == 0, error
    with History.open(store, read_only=True) as history:
        assert history.outcomes("mmlu").tasks == (
            "mmlu_art/0", "mmlu_art/1", "mmlu_law/0", "mmlu_law/1",
        )  # fmt: skip


def test_the_same_content_of_two_agents_is_the_results_of_two_agents(
    tmp_path: Path, call: Call
) -> None:
    """Whose results a file holds is often said by the file beside it, or by its name."""
    store = tmp_path / "h.duckdb"
    for model in ("one", "two"):
        where = _lm_eval(tmp_path / "r", model, [1, 0], 0.5)
        code, out, error = call("import", where, "--history", store)
        assert code == 0, error
        assert "added 2 attempts" in out
        assert call("import", where, "--history", store)[1].count("added 0 attempts") == 1
    call("import", tmp_path / "r" / "one", "--scale", "0", "2", "--history", store)
    with History.open(store, read_only=True) as history:
        assert {one.name: one.mean for one in history.agents("toy")} == {"one": 0.25, "two": 0.25}


def test_a_copy_elsewhere_of_what_was_read_otherwise_is_replaced(
    tmp_path: Path, call: Call
) -> None:
    store = tmp_path / "h.duckdb"
    here, there = (_scores(tmp_path / name / "t.jsonl", [1, 0]) for name in ("here", "there"))
    call("import", here, "--history", store)
    _, out, _ = call("import", there, "--history", store)
    assert "2 attempts known already" in out
    _, out, _ = call("import", there, "--scale", "0", "4", "--history", store)
    assert "read 2 attempts anew" in out
    with History.open(store, read_only=True) as history:
        assert history.agents("b")[0].mean == pytest.approx(0.125)
        assert history.benchmarks()[0].attempts == 2
