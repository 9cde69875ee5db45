"""lm-evaluation-harness: the metric that scores every document, and its aggregates beside it."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from midband.adapters.lm_eval_harness import LmEvalHarness
from midband.adapters.lm_eval_harness import samples as _lm_eval_samples
from midband.adapters.lm_eval_harness.files import sniff
from midband.adapters.lm_eval_harness.samples import read
from midband.descriptors import ReadOptions
from midband_history import Note, Reconciliation, Record, StatedAggregate, UnreadableSourceError

WHEN = "2025-03-01T10-00-00.000001"


def _row(document: int, filter_name: str = "none", **metrics: Any) -> dict[str, Any]:
    return {
        "doc_id": document,
        "doc": {"q": document},
        "target": "x",
        "filter": filter_name,
        "metrics": list(metrics),
        "doc_hash": f"h{document}",
    } | metrics


def _results(task: str = "t", **more: Any) -> dict[str, Any]:
    return {
        "results": {task: {"alias": task, **more.pop("stated", {})}},
        "configs": {task: {"task": task, **more.pop("config", {})}},
        "versions": {task: 2.0},
        "higher_is_better": {task: more.pop("higher", {})},
        "n-samples": {task: more.pop("counts", {})},
        "model_name": "org/m",
        "lm_eval_version": "0.4.9",
        "date": 1740823200.0,
    } | more


def _tree(
    folder: Path, rows: list[dict[str, Any]], results: dict[str, Any] | None = None
) -> Path:  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    if results is not None:
        (folder / f"results_{WHEN}.json").write_text(json.dumps(results))
    path = folder / f"samples_t_{WHEN}.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Read:
    """What one source gave."""

    def __init__(self, path: Path, **options: Any) -> None:
        assert sniff(path)
        items = list(read(path, options=ReadOptions(**options)))
        self.records = [each for each in items if isinstance(each, Record)]
        self.notes = {each.code: each.text for each in items if isinstance(each, Note)}
        self.stated = [each for each in items if isinstance(each, StatedAggregate)]
        check = Reconciliation()
        for record in self.records:
            check.see(record)
        self.explained, self.unexplained = check.judge(self.stated)

    @property
    def scores(self) -> dict[str, float | None]:
        return {each.task_id: each.score for each in self.records}


def test_the_default_is_the_first_metric_from_0_to_1_that_scores_every_document(
    tmp_path: Path,
) -> None:
    rows = [
        _row(0, bleu_max=31.5, mcc=[0, 1], perplexity=-2.5, bleu_acc=1.0, rouge1_acc=0.0),
        _row(1, bleu_max=12.5, mcc=[1, 1], perplexity=-0.5, bleu_acc=0.0, rouge1_acc=0.0),
    ]
    stated = {"bleu_max,none": 22.0, "bleu_acc,none": 0.5, "mcc,none": 0.3, "perplexity,none": 4.5}
    path = _tree(tmp_path, rows, _results(stated=stated, counts={"original": 2, "effective": 2}))
    found = Read(path)
    assert found.scores == {"0": 1.0, "1": 0.0}
    assert found.records[0].metric.label == "bleu_acc"
    assert found.notes["other-metrics"].endswith("bleu_max, mcc, perplexity, rouge1_acc")
    assert {each.name for each in found.stated} == {"bleu_acc,none", "n-samples"}
    assert (found.explained, found.unexplained) == ([], [])
    raw = Read(path, metric="bleu_max")
    assert raw.scores == {"0": 31.5, "1": 12.5}
    assert (raw.records[0].metric.declared, raw.unexplained) == ("", [])


@pytest.mark.parametrize("name", ["mcc", "perplexity"])
def test_a_metric_of_the_whole_corpus_is_refused_by_name(tmp_path: Path, name: str) -> None:
    row = _row(0, mcc=[0, 1], perplexity=-2.5, acc=1.0)
    path = _tree(tmp_path, [row], _results())
    with pytest.raises(UnreadableSourceError, match=rf"{name}.*whole corpus only: choose one of a"):
        Read(path, metric=name)
    only = _tree(tmp_path / "only", [_row(0, word_perplexity=[-3.0, 7])])
    with pytest.raises(UnreadableSourceError, match="word_perplexity"):
        Read(only, agent="a")


def test_a_metric_that_is_not_there_is_refused_with_the_list(tmp_path: Path) -> None:
    config = {"filter_list": [{"name": "strict"}, {"name": "flexible"}]}
    rows = [_row(0, "strict", exact_match=0.0), _row(0, "flexible", exact_match=1.0)]
    path = _tree(tmp_path, rows, _results(config=config))
    with pytest.raises(UnreadableSourceError, match=r"exact_match\.strict, exact_match\.flexible"):
        Read(path, metric="accuracy")


@pytest.mark.parametrize(
    ("metric", "score"),
    [
        ("", 0.0),
        ("exact_match", 0.0),
        ("exact_match.flexible", 1.0),
        ("exact_match,flexible", 1.0),
    ],
)
def test_name_dot_filter_chooses_the_filter(tmp_path: Path, metric: str, score: float) -> None:
    config = {"filter_list": [{"name": "strict"}, {"name": "flexible"}]}
    rows = [_row(each, "flexible", exact_match=1.0) for each in range(3)]
    rows += [_row(each, "strict", exact_match=0.0) for each in range(3)]
    stated = {"exact_match,strict": 0.0, "exact_match,flexible": 1.0}
    found = Read(_tree(tmp_path, rows, _results(config=config, stated=stated)), metric=metric)
    assert set(found.scores.values()) == {score}
    assert found.records[0].metric.label == f"exact_match.{'flexible' if score else 'strict'}"
    other = "strict" if score else "flexible"
    assert found.notes["other-metrics"].endswith(f"exact_match.{other}")
    assert [each.value for each in found.stated] == [score]
    assert found.unexplained == []


def test_rows_of_before_the_filter_had_a_name_stand_in_the_order_of_filters(tmp_path: Path) -> None:
    config = {"filter_list": [{"name": "strict"}, {"name": "flexible"}]}
    rows = [{"doc_id": 0, "doc": {}, "target": "x", "em": each} for each in (0.0, 1.0)]
    path = _tree(tmp_path, rows, _results(config=config))
    assert (Read(path).scores, Read(path, metric="em.flexible").scores) == ({"0": 0.0}, {"0": 1.0})


def test_the_direction_is_the_harness_s_word(tmp_path: Path) -> None:
    path = _tree(tmp_path, [_row(0, wrong=0.25)], _results(higher={"wrong": False}))
    assert Read(path).records[0].metric.lower_is_better
    config = {"metric_list": [{"metric": "wrong", "higher_is_better": False}]}
    path = _tree(tmp_path / "old", [_row(0, wrong=0.25)], _results(config=config))
    assert Read(path).records[0].metric.lower_is_better
    path = _tree(tmp_path / "none", [_row(0, wrong=0.25)], _results())
    assert not Read(path).records[0].metric.lower_is_better


def test_values_written_as_text_are_scores_and_nan_is_none(tmp_path: Path) -> None:
    values = ["True", "0.5", float("nan"), None, True]
    rows = [_row(each, acc=value) for each, value in enumerate(values)]
    found = Read(_tree(tmp_path, rows, _results()))
    assert list(found.scores.values()) == [1.0, 0.5, None, None, 1.0]
    assert [each.kind for each in found.records].count("missing") == 2


def test_a_value_outside_a_scale_of_the_harness_is_refused_until_it_is_stated(
    tmp_path: Path,
) -> None:
    path = _tree(tmp_path, [_row(0, acc=55.0)], _results())
    with pytest.raises(UnreadableSourceError, match=r"got 55: .*--scale LOW HIGH"):
        Read(path)
    assert Read(path, scale=(0.0, 100.0)).scores == {"0": 55.0}


def test_subjects_of_a_group_are_parts_with_their_documents(tmp_path: Path) -> None:
    for task in ("mmlu_a", "mmlu_b"):
        path = tmp_path / f"samples_{task}_{WHEN}.jsonl"
        path.write_text(json.dumps(_row(0, acc=1.0) | {"doc_hash": task}) + "\n")
        (record,) = Read(path, benchmark="mmlu", agent="a").records
        assert (record.benchmark, record.part, record.task_digest) == ("mmlu", task, task)


def test_a_whole_run_says_so_and_a_version_too(tmp_path: Path) -> None:
    counts = {"original": 3, "effective": 3}
    rows = [_row(each, acc=1.0) for each in range(3)]
    whole = Read(_tree(tmp_path, rows, _results(counts=counts, stated={"acc,none": 1.0})))
    assert whole.records[0].whole_benchmark
    assert whole.records[0].benchmark_version == "2.0"
    # Several versions count every document although only those of --samples were run.
    part = Read(_tree(tmp_path / "p", rows[:2], _results(counts=counts, stated={"acc,none": 1.0})))
    assert not part.records[0].whole_benchmark
    assert part.notes["results-absent"].startswith("the samples file holds 2 of 3 documents")
    assert (part.explained, part.unexplained) == ([], [])


def test_a_cut_file_is_not_blamed_for_the_aggregate_of_the_whole(tmp_path: Path) -> None:
    counts = {"original": 9, "effective": 9}
    results = _results(counts=counts, stated={"acc,none": 1 / 3})
    found = Read(_tree(tmp_path, [_row(0, acc=1.0)], results))
    assert [each.code for each in found.explained] == ["not-checkable"]
    assert found.unexplained == []


def test_an_aggregate_by_a_function_of_the_task_is_not_checkable(tmp_path: Path) -> None:
    config = {"metric_list": [{"metric": "acc", "aggregation": "def macro(items): ..."}]}
    results = _results(config=config, stated={"acc,none": 0.9})
    found = Read(_tree(tmp_path, [_row(0, acc=1.0), _row(1, acc=0.0)], results))
    assert "def macro" in found.explained[0].text
    assert found.unexplained == []


@pytest.mark.parametrize(("stated", "differs"), [(0.667, False), (2 / 3, False), (0.66, True)])
def test_rounding_explains_what_it_can(tmp_path: Path, stated: float, differs: bool) -> None:
    rows = [_row(each, acc=float(each > 0)) for each in range(3)]
    found = Read(_tree(tmp_path, rows, _results(stated={"acc,none": stated})))
    assert bool(found.unexplained) == differs


def test_a_planted_misreading_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [_row(each, acc=float(each < 5)) for each in range(8)]
    counts = {"original": 8, "effective": 8}
    path = _tree(tmp_path, rows, _results(stated={"acc,none": 0.625}, counts=counts))
    assert Read(path).unexplained == []
    rows[7]["acc"] = 1.0
    assert Read(_tree(tmp_path, rows)).unexplained != []
    rows[7]["acc"] = 0.0
    _tree(tmp_path, rows)
    monkeypatch.setattr(_lm_eval_samples, "score_of", lambda value: 1.0 - value)
    assert Read(path).unexplained != []


@pytest.mark.parametrize("shape", ["lines", "array"])
def test_files_of_before_0_4_3_have_no_date(tmp_path: Path, shape: str) -> None:
    rows = [
        {"doc_id": each, "doc": {"q": each}, "target": "x", "resps": [], "acc": 1.0}
        for each in range(3)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    folder = tmp_path / "org__m"
    folder.mkdir()
    path = folder / "samples_arc_easy.jsonl"
    path.write_text(lines if shape == "lines" else json.dumps(rows, indent=2))
    found = Read(path)
    assert [each.benchmark for each in found.records] == ["arc_easy"] * 3
    assert (found.records[0].agent, found.records[0].metric.label) == ("org/m", "acc")
    # The digest is the one that the harness itself writes today.
    digest = sha256(json.dumps({"q": 0}, indent=2).encode()).hexdigest()
    assert found.records[0].task_digest == digest


def test_the_agent_of_an_undated_file_is_its_folder_s_or_asked_for(tmp_path: Path) -> None:
    row = json.dumps({"doc_id": 0, "doc": {}, "target": "x", "acc": 1.0}) + "\n"
    for folder in ("my-model", "out"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "samples_t.jsonl").write_text(row)
    found = Read(tmp_path / "my-model" / "samples_t.jsonl")
    assert (found.records[0].agent, found.records[0].model) == ("my-model", "")
    assert "my-model" in found.notes["agent-from-folder"]
    assert found.records[0].task_digest == ""  # an empty document is no content
    path = tmp_path / "out" / "samples_t.jsonl"
    with pytest.raises(UnreadableSourceError, match="--agent NAME"):
        Read(path)
    assert Read(path, agent="m").records[0].agent == "m"


@pytest.mark.parametrize("name", ["results.json", "results_2024-05-04T10-00-00.json"])
def test_results_beside_an_undated_file_name_its_agent(tmp_path: Path, name: str) -> None:
    row = {"doc_id": 0, "doc": {"q": 1}, "target": "x", "acc": 1.0}
    (tmp_path / "samples_t.jsonl").write_text(json.dumps(row) + "\n")
    results = _results(stated={"acc,none": 1.0}) | {"model_name": None}
    results["config"] = {"model_args": "dtype=float,pretrained=org/m"}
    (tmp_path / name).write_text(json.dumps(results))
    found = Read(tmp_path / "samples_t.jsonl")
    assert (found.records[0].agent, found.records[0].benchmark_version) == ("org/m", "2.0")
    assert (len(found.stated), found.unexplained, found.notes) == (1, [], {})


def test_a_file_named_by_the_arguments_of_its_model(tmp_path: Path) -> None:
    rows = [{"doc_id": 0, "doc": {"q": 1}, "target": "x", "acc": 1.0}]
    path = tmp_path / "pretrained=org__m,dtype=float_arc_easy.jsonl"
    path.write_text(json.dumps(rows, indent=2))
    with pytest.raises(UnreadableSourceError, match="--benchmark NAME"):
        Read(path)
    results = _results("arc_easy", stated={"acc,none": 1.0}) | {"model_name": None}
    (tmp_path / "results.json").write_text(json.dumps(results))
    found = Read(path)
    assert (found.records[0].benchmark, found.records[0].agent) == ("arc_easy", "org/m")
    assert (len(found.stated), found.unexplained) == (1, [])
    assert list(read(tmp_path / "results.json", options=ReadOptions())) == []


@pytest.mark.parametrize(
    "text",
    ['{"doc_id": 1, "score": 0.5}\n', "doc_id,doc\n1,2\n", '{"task_id": 1, "doc": {}}\n', ""],
)
def test_other_files_are_left_to_others(tmp_path: Path, text: str) -> None:
    for name in ("samples_t.jsonl", "other.jsonl", "results.json"):
        (tmp_path / name).write_text(text)
        assert not sniff(tmp_path / name)


def test_the_aggregate_is_never_used_and_alone_refused(tmp_path: Path) -> None:
    path = _tree(tmp_path, [_row(0, acc=0.0)], _results())
    aggregate = tmp_path / f"results_{WHEN}.json"
    assert sniff(aggregate)
    assert list(read(aggregate, options=ReadOptions())) == []
    path.unlink()
    with pytest.raises(UnreadableSourceError, match="--log_samples"):
        list(read(aggregate, options=ReadOptions()))


def test_two_documents_under_one_number_are_refused(tmp_path: Path) -> None:
    rows = [_row(0, acc=0.0), _row(0, acc=1.0) | {"doc_hash": "other"}]
    with pytest.raises(UnreadableSourceError, match="sorted --samples"):
        Read(_tree(tmp_path, rows, _results()))


def test_a_run_directory_gives_records_alone(tmp_path: Path) -> None:
    _tree(tmp_path / "out", [_row(0, acc=0.0, f1=1.0)], _results())
    (record,) = LmEvalHarness().read_results(tmp_path, benchmark="b")
    assert (record.benchmark, record.score) == ("b", 0.0)
