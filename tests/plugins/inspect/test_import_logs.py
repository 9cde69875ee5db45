import json
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai.log import (
    EvalLog,
    ProvenanceData,
    invalidate_samples,
    read_eval_log,
    write_eval_log,
)

from midband.descriptors import ReadOptions
from midband.inspect import log_file, logs
from midband.inspect.logs import (
    midband_register_importers,
    read,
    read_many,
    sniff,
)
from midband_history import (
    Note,
    Reconciliation,
    Record,
    StatedAggregate,
    UnreadableSourceError,
)

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
REAL = Path(__file__).parents[4] / "shared" / "raw_samples" / "inspect"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory, toy: Any) -> EvalLog:
    del toy
    (done,) = inspect_eval(
        TOY,
        model="toy/60",
        epochs=2,
        temperature=0.5,
        max_connections=3,
        task_args={"n": 6, "errors": "3"},
        fail_on_error=False,
        display="none",
        log_dir=str(tmp_path_factory.mktemp("logs")),
        log_level="critical",
    )
    return done


def path_of(log: EvalLog) -> Path:
    return Path(log.location.removeprefix("file://"))


def records(path: Path, **settings: Any) -> list[Record]:
    found = read(path, options=ReadOptions(**settings))
    return [each for each in found if isinstance(each, Record)]


def test_a_log_becomes_records(log: EvalLog) -> None:
    found = records(path_of(log))
    assert len(found) == 12
    assert {record.benchmark for record in found} == {"toy"}
    assert {record.agent for record in found} == {"toy/60"}
    assert {record.attempt for record in found} == {0, 1}
    assert {record.run_id for record in found} == {log.eval.task_id}
    failed = [record for record in found if record.task_id == "item-3"]
    assert [record.kind for record in failed] == ["infra_error"] * 2
    assert [record.score for record in failed] == [None, None]
    valid = [record for record in found if record.kind == "valid"]
    assert len(valid) == 10
    assert {record.score for record in valid} <= {0.0, 1.0}
    assert {record.cost_usd for record in valid} == {0.01}
    assert {record.tokens for record in valid} == {4.0}
    assert all(record.duration_s is not None for record in valid)
    assert len({record.source_key for record in found}) == 12
    assert all(record.started is not None and record.started.tzinfo for record in found)
    assert found[0].settings["generate"] == {"temperature": 0.5}
    assert found[0].scaffold == "fails_on"
    assert found[0].harness == "inspect"
    assert {record.benchmark for record in records(path_of(log), benchmark="x")} == {"x"}


def test_both_formats_give_the_same_records(log: EvalLog, tmp_path: Path) -> None:
    again = tmp_path / "log.json"
    write_eval_log(log, str(again))
    first = sorted(records(path_of(log)), key=lambda record: record.source_key)
    second = sorted(records(again), key=lambda record: record.source_key)
    assert first == second


def test_settings_tell_agents_apart(log: EvalLog, tmp_path: Path) -> None:
    other = log.model_copy(deep=True)
    other.plan.config.temperature = 0.9
    write_eval_log(other, str(tmp_path / "other.json"))
    assert records(tmp_path / "other.json")[0].settings != records(path_of(log))[0].settings
    own = log.model_copy(deep=True)
    own.eval.solver = "my_agent"
    write_eval_log(own, str(tmp_path / "own.json"))
    (record, *_) = records(tmp_path / "own.json")
    assert record.agent == "toy/60 (my_agent)"
    assert record.scaffold == "my_agent"


def test_invalidated_samples_are_no_results(log: EvalLog, tmp_path: Path) -> None:
    assert log.samples is not None
    chosen = next(sample for sample in log.samples if sample.error is None)
    assert chosen.uuid is not None
    marked = invalidate_samples(log, [chosen.uuid], ProvenanceData(author="reviewer"))
    write_eval_log(marked, str(tmp_path / "marked.eval"))
    kinds = {record.source_key: record.kind for record in records(tmp_path / "marked.eval")}
    assert kinds[chosen.uuid] == "grader_error"
    assert list(kinds.values()).count("grader_error") == 1


def test_a_cancelled_sample_is_cancelled(log: EvalLog, tmp_path: Path) -> None:
    other = log.model_copy(deep=True)
    assert other.samples is not None
    for sample in other.samples:
        if sample.error is not None:
            sample.error.message = "CancelledError('Cancelled via cancel scope 7f')"
    other.status = "cancelled"
    write_eval_log(other, str(tmp_path / "cancelled.json"))
    found = [record.kind for record in records(tmp_path / "cancelled.json")]
    assert found.count("cancelled") == 2
    assert found.count("valid") == 10


@pytest.mark.parametrize("keep", [0, 10, 0.5, 0.98])
@pytest.mark.parametrize("suffix", [".eval", ".json"])
def test_a_truncated_log_is_refused_in_one_line(
    log: EvalLog, tmp_path: Path, suffix: str, keep: float
) -> None:
    whole = tmp_path / f"whole{suffix}"
    write_eval_log(log, str(whole))
    data = whole.read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(keep * len(data)) if keep < 1 else int(keep)])
    with pytest.raises(UnreadableSourceError) as caught:
        records(cut)
    assert str(cut) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "truncated" in str(caught.value)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps({"results": [1, 2]}))
    archive = tmp_path / "archive.eval"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("readme.txt", "nothing of Inspect's")
    for path in (foreign, archive, tmp_path / "none.eval", tmp_path):
        with pytest.raises(UnreadableSourceError) as caught:
            records(path)
        assert "\n" not in str(caught.value)


def test_an_archive_that_unpacks_to_gigabytes_is_refused(
    log: EvalLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_file, "_MOST_BYTES", 100)
    with pytest.raises(UnreadableSourceError, match="unpacks to 0 MB"):
        records(path_of(log))


def test_sniffing(log: EvalLog, tmp_path: Path) -> None:
    assert sniff(path_of(log))
    write_eval_log(log, str(tmp_path / "log.json"))
    assert sniff(tmp_path / "log.json")
    (tmp_path / "plan.json").write_text('{"midband_plan": 1}')
    (tmp_path / "table.csv").write_text("a,b")
    for name in ("plan.json", "table.csv", "none.eval", "none.json", ""):
        assert not sniff(tmp_path / name)


def test_the_importer_is_registered() -> None:
    (importer,) = midband_register_importers()
    assert importer.name == "inspect"
    assert importer.suffixes == (".eval", ".json")


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_many_logs_in_order_and_a_bad_one_among_them(
    log: EvalLog, tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "WORTH_WORKERS", 2)
    paths = []
    for place in range(3):
        link = tmp_path / f"{place:03d}.eval"
        os.link(path_of(log), link)
        paths.append(link)
    paths[1] = tmp_path / "broken.eval"
    paths[1].write_bytes(b"PK")
    found = list(read_many(paths, workers=workers))
    assert [path for path, _ in found] == paths
    assert isinstance(found[1][1], UnreadableSourceError)
    lengths = {
        sum(isinstance(each, Record) for each in result)
        for _, result in found
        if isinstance(result, list)
    }
    assert lengths == {12}


REAL_LOGS = {
    "log_formats.eval": ("popularity", "ollama/llama3.1", ["valid"]),
    "log_formats.json": ("popularity", "ollama/llama3.1", ["valid"]),
    "mmlu-summary-choices.eval": ("mmlu_0_shot", "openai/gpt-4o", ["valid"]),
    "data_cyse2_vuln_exploit_challenges.json": (
        "cyse2_vulnerability_exploit",
        "mistral/mistral-large-latest",
        ["valid"],
    ),
    "2025-05-12T20-28-13-04-00_popularity.json": (
        "popularity",
        "openai/gpt-4o-mini",
        ["valid"] * 3,
    ),
}


@pytest.fixture
def real() -> Path:
    if not REAL.exists():
        assert not os.environ.get("CI"), f"expected {REAL} in CI"
        pytest.skip(f"no real logs at {REAL}")
    return REAL


@pytest.mark.parametrize("name", REAL_LOGS)
def test_real_logs(real: Path, name: str) -> None:
    found = records(real / name)
    benchmark, agent, kinds = REAL_LOGS[name]
    assert {record.benchmark for record in found} == {benchmark}
    assert {record.agent for record in found} == {agent}
    assert [record.kind for record in found] == kinds
    assert all(record.task_digest for record in found)


def test_the_same_real_sample_in_two_logs_has_one_key(real: Path) -> None:
    (one,) = records(real / "log_formats.eval")
    (other,) = records(real / "log_formats.json")
    assert one.source_key == other.source_key != ""
    assert one.task_digest == other.task_digest


def test_real_epochs_are_attempts(real: Path) -> None:
    found = records(real / "log_streaming.eval")
    assert sorted((record.task_id, record.attempt) for record in found) == [
        ("1", 0), ("1", 1), ("2", 0), ("2", 1),
    ]  # fmt: skip


def test_a_real_failed_run_is_no_failure_of_the_agent(real: Path) -> None:
    (path,) = (real / "cyber_horizons").glob("*.eval")
    (record,) = records(path)
    assert (record.kind, record.score) == ("infra_error", None)
    assert read_eval_log(str(path), header_only=True).status == "error"


def test_every_real_log_is_read_and_agrees_with_what_it_states(real: Path) -> None:
    for path in sorted(real.rglob("*.*")):
        items = list(read(path, options=ReadOptions()))
        judge = Reconciliation()
        for item in items:
            if isinstance(item, Record):
                judge.see(item)
        stated = [item for item in items if isinstance(item, StatedAggregate)]
        assert judge.judge(stated)[1] == [], path.name
        absent = any(isinstance(item, Note) and item.code == "samples-absent" for item in items)
        assert absent == path.name.startswith("data_"), path.name
