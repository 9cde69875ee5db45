"""HELM: the main metric on the main split, and stats.json as the check of both."""

import json
from pathlib import Path
from typing import Any

import pytest

from midband.adapters import helm
from midband.adapters.helm import main_metrics, read, sniff
from midband.descriptors import ReadOptions
from midband_history import Note, Reconciliation, Record, StatedAggregate, UnreadableSourceError


def _stat(name: str, value: float | None, split: str = "test", **more: Any) -> dict[str, Any]:
    counted = {"count": 0} if value is None else {"count": 1, "mean": value}
    return {"name": {"name": name, "split": split} | more} | counted


def _row(instance: str, *stats: dict[str, Any], trial: int = 0, **more: Any) -> dict[str, Any]:
    return {"instance_id": instance, "train_trial_index": trial, "stats": list(stats)} | more


def _run(
    folder: Path,
    rows: list[dict[str, Any]],
    name: str = "narrative_qa",
    *,
    stats: list[dict[str, Any]] | None = None,
    groups: list[str] | None = None,
    **adapter: Any,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        "name": f"{name}{',' if ':' in name else ':'}model=o_m",
        "adapter_spec": {"model": "o/m", "temperature": 0.0} | adapter,
        "groups": groups or [],
    }
    (folder / "run_spec.json").write_text(json.dumps(spec))
    if stats is not None:
        (folder / "stats.json").write_text(json.dumps(stats))
    path = folder / "per_instance_stats.json"
    path.write_text(json.dumps(rows))
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


def _mixed() -> list[dict[str, Any]]:
    return [
        _row("a", _stat("exact_match", 0.0), _stat("f1_score", 0.5)),
        _row("b", _stat("exact_match", 1.0), _stat("f1_score", 1.0)),
        _row("v", _stat("exact_match", 0.0, "valid"), _stat("f1_score", 0.0, "valid")),
    ]


def _totals() -> list[dict[str, Any]]:
    worst: dict[str, Any] = {"perturbation": {"name": "robustness"}}
    return [
        _stat("f1_score", 0.1, **worst),
        _stat("f1_score", 0.75),
        _stat("f1_score", 0.0, "valid"),
        _stat("exact_match", 0.5),
        _stat("num_instances", 2.0),
    ]


def test_the_main_metric_on_the_main_split_by_helm_s_schema(tmp_path: Path) -> None:
    found = Read(_run(tmp_path, _mixed(), stats=_totals()))
    assert found.scores == {"a": 0.5, "b": 1.0}
    assert found.records[0].metric.label == "f1_score.test"
    assert "exact_match.test, exact_match.valid, f1_score.valid" in found.notes["other-metrics"]
    assert "1 of split valid" in found.notes["splits-left-out"]
    assert [each.value for each in found.stated] == [0.75, 2.0]
    assert (found.explained, found.unexplained) == ([], [])


@pytest.mark.parametrize(
    ("metric", "scores"),
    [
        ("exact_match", {"a": 0.0, "b": 1.0}),
        ("f1_score.valid", {"v": 0.0}),
        ("exact_match.valid", {"v": 0.0}),
    ],
)
def test_a_person_may_choose_metric_and_split(
    tmp_path: Path, metric: str, scores: dict[str, float]
) -> None:
    found = Read(_run(tmp_path, _mixed(), stats=_totals()), metric=metric)
    assert found.scores == scores
    assert found.unexplained == []


def test_an_unknown_scenario_or_metric_is_asked_for(tmp_path: Path) -> None:
    path = _run(tmp_path, _mixed(), "my_own")
    with pytest.raises(UnreadableSourceError, match=r"--metric NAME\.SPLIT one of exact_match"):
        Read(path)
    with pytest.raises(UnreadableSourceError, match=r"'f1_score', got several: choose one of f1"):
        Read(path, metric="f1_score")
    with pytest.raises(UnreadableSourceError, match=r"'bleu'.*f1_score\.valid"):
        Read(path, metric="bleu")
    assert Read(path, metric="f1_score.test").scores == {"a": 0.5, "b": 1.0}
    alone = _run(tmp_path / "alone", [_row("a", _stat("mine", 0.5), _stat("num_bytes", 7.0))], "my")
    assert Read(alone).scores == {"a": 0.5}
    assert "mine.test" in Read(alone).notes["metric-chosen"]


def test_a_corpus_metric_has_no_score_of_an_instance(tmp_path: Path) -> None:
    path = _run(tmp_path, _mixed(), "lex_glue")
    with pytest.raises(UnreadableSourceError, match=r"classification_macro_f1\.test, got another"):
        Read(path)


def test_the_facts_know_groups_before_scenarios_and_the_newest_word_first() -> None:
    assert main_metrics(("mmlu_anatomy",)) == (("exact_match", "test"),)
    assert main_metrics(("boolq", "mmlu")) == (("quasi_exact_match", "valid"),)
    assert main_metrics(("gsm",))[0] == ("final_number_exact_match", "test")
    assert main_metrics(("mmlu_pro",)) == (("chain_of_thought_correctness", "test"),)
    assert main_metrics(("nothing_known",)) == ()


def test_each_metric_of_a_run_writes_rows_of_its_own(tmp_path: Path) -> None:
    rows = [
        _row("a", _stat("num_prompt_tokens", 7.0), _stat("num_output_tokens", 3.0)),
        _row("b", _stat("num_prompt_tokens", 5.0)),
        _row("a", _stat("ifeval_strict_accuracy", 1.0)),
        _row("b", _stat("ifeval_strict_accuracy", None)),
    ]
    found = Read(_run(tmp_path, rows, "ifeval"))
    assert [(each.task_id, each.attempt, each.score, each.tokens) for each in found.records] == [
        ("a", 0, 1.0, 10.0),
        ("b", 0, None, 5.0),
    ]


def test_trials_are_attempts_and_perturbed_copies_are_left_out(tmp_path: Path) -> None:
    rows = [
        _row("i", _stat("exact_match", 1.0)),
        _row("i", _stat("exact_match", 0.0), trial=1),
        _row("i", _stat("exact_match", 1.0), perturbation={"name": "typos"}),
    ]
    path = _run(tmp_path, rows, "mmlu:subject=x", stats=[_stat("exact_match", 0.5)])
    found = Read(path, benchmark="mmlu")
    assert [(each.attempt, each.score) for each in found.records] == [(0, 1.0), (1, 0.0)]
    assert {(each.benchmark, each.part) for each in found.records} == {("mmlu", "subject=x")}
    assert Read(path).records[0].benchmark == "mmlu:subject=x"
    assert found.unexplained == []


def test_sub_splits_are_checked_together(tmp_path: Path) -> None:
    parts = {"a": ("toxic", 1.0), "b": ("toxic", 0.0), "c": ("fine", 1.0)}
    rows = [
        _row(name, _stat("quasi_exact_match", value, sub_split=part))
        for name, (part, value) in parts.items()
    ]
    stats = [
        _stat("quasi_exact_match", 0.5, sub_split="toxic"),
        _stat("quasi_exact_match", 1.0, sub_split="fine"),
    ]
    found = Read(_run(tmp_path, rows, "civil_comments", stats=stats))
    assert (len(found.stated), found.unexplained) == (1, [])


def test_the_content_is_the_digest(tmp_path: Path) -> None:
    def digests(text: str) -> list[str]:
        state = {
            "adapter_spec": {},
            "request_states": [
                {"instance": {"id": "a", "input": {"text": text}, "references": []}},
                {"instance": {"id": "b", "input": {"text": "same"}, "references": []}},
            ],
        }
        (tmp_path / "scenario_state.json").write_text(json.dumps(state))
        return [each.task_digest for each in Read(path).records]

    path = _run(tmp_path, _mixed())
    assert [each.task_digest for each in Read(path).records] == ["", ""]
    first, second = digests("one"), digests("two")
    assert first[0] != second[0]
    assert first[1] == second[1] != ""


def test_a_limit_that_left_nothing_out_is_a_whole_run(tmp_path: Path) -> None:
    assert Read(_run(tmp_path / "a", _mixed(), max_eval_instances=1000)).records[0].whole_benchmark
    assert not Read(_run(tmp_path / "b", _mixed(), max_eval_instances=3)).records[0].whole_benchmark


def test_lower_is_better_for_error_rates(tmp_path: Path) -> None:
    found = Read(_run(tmp_path, [_row("a", _stat("wer_score", 0.2))], "librispeech"))
    assert found.records[0].metric.lower_is_better


def test_a_planted_misreading_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _run(tmp_path, _mixed(), stats=_totals())
    assert Read(path).unexplained == []
    rows = _mixed()
    rows[0]["stats"][1]["mean"] = 1.0
    assert Read(_run(tmp_path / "altered", rows, stats=_totals())).unexplained != []
    # The first metric of the run in place of the main one is what 0.1 read.
    stated = helm._stated  # the aggregate of the main metric
    chosen = helm._Chosen(name="exact_match", split="test", notes=())
    main = helm._Chosen(name="f1_score", split="test", notes=())
    monkeypatch.setattr(helm, "_choose", lambda *_: chosen)
    monkeypatch.setattr(helm, "_stated", lambda beside, _, attempts: stated(beside, main, attempts))
    assert Read(path).unexplained != []


def test_instances_that_are_missing_from_the_file_are_named(tmp_path: Path) -> None:
    stats = [_stat("num_instances", 9.0)]
    found = Read(_run(tmp_path, _mixed(), stats=stats))
    assert found.notes["results-absent"] == "the results hold 2 of the 9 instances that HELM counts"


@pytest.mark.parametrize(
    ("file", "text", "expected"),
    [
        ("run_spec.json", None, r"run_spec\.json"),
        ("run_spec.json", "{}", r"--agent and --benchmark"),
        ("stats.json", "[{", r"stats\.json.*truncated"),
        ("scenario_state.json", '{"request_states": [{', r"scenario_state\.json.*truncated"),
        ("per_instance_stats.json", '[{"instance_id": "a", "stats": 3}]', "list of objects"),
        ("per_instance_stats.json", '[{"instance_id": null}]', "without instance_id"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(
    tmp_path: Path, file: str, text: str | None, expected: str
) -> None:
    path = _run(tmp_path, _mixed())
    if text is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_text(text)
    with pytest.raises(UnreadableSourceError, match=expected) as caught:
        Read(path)
    assert "\n" not in str(caught.value)


def test_a_run_without_its_specification_takes_the_person_s_word(tmp_path: Path) -> None:
    path = _run(tmp_path, _mixed())
    (tmp_path / "run_spec.json").unlink()
    found = Read(path, agent="me", benchmark="b", metric="f1_score.test")
    assert (found.records[0].agent, found.records[0].benchmark) == ("me", "b")
