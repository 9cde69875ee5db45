"""Results leave as Every Eval Ever files and come back as they were; its validator agrees."""

import json
import shlex
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.environments import ROOT, run
from tests.plugins.adapters.conftest import Environment
from tests.plugins.conftest import Call, OneLine

from midband.adapters.every_eval_ever import read
from midband.adapters.every_eval_ever.export import Export, Publisher, export
from midband.descriptors import ReadOptions
from midband.importers.sources import import_paths
from midband_history import (
    OUTCOME_KINDS,
    History,
    InputError,
    Metric,
    OutcomeMatrix,
    Reconciliation,
    Record,
    StatedAggregate,
    UnreadableSourceError,
)

CREATED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
VALIDATOR = "every_eval_ever==0.3.0"
NAMES = st.text("ab/. é:*", min_size=1, max_size=5).filter(str.strip)
KNOWN = st.none() | st.floats(0, 1e6)


@st.composite
def runs(draw: st.DrawFn) -> list[Record]:
    """Draw the attempts of one run."""
    model, scaffold = draw(st.sampled_from(["", "openai/gpt-5", "m"])), draw(st.just("") | NAMES)
    like = Record(
        benchmark=draw(NAMES),
        task_id="t",
        agent=draw(NAMES),
        score=0.5,
        run_id=draw(st.sampled_from(["", "r1"])),
        model=model,
        scaffold=scaffold,
        agent_version=draw(st.sampled_from(["", "1.2"])),
        settings=draw(st.dictionaries(NAMES, st.integers() | NAMES, max_size=2)),
        harness=draw(st.sampled_from(["", "harbor"])),
        started=draw(st.none() | st.datetimes(datetime(2024, 1, 1), datetime(2026, 1, 1))),
        run_cost_usd=draw(KNOWN),
    )
    tries = draw(st.lists(st.tuples(NAMES, st.integers(0, 2)), min_size=1, max_size=6, unique=True))
    found = []
    for place, (task, attempt) in enumerate(tries):
        kind = draw(st.sampled_from(OUTCOME_KINDS)) if place else "valid"
        valid = kind == "valid"
        found.append(
            replace(
                like,
                task_id=task,
                attempt=attempt,
                kind=kind,
                score=draw(st.floats(0, 1)) if valid else None,
                passed=draw(st.booleans()) if valid else None,
                cost_usd=draw(KNOWN),
                tokens=draw(KNOWN),
                duration_s=draw(KNOWN),
                task_digest=f"digest of {task}",
            )
        )
    return found


def _run_of(batch: list[Record]) -> tuple[object, ...]:
    first = batch[0]
    return (first.benchmark, first.agent, first.run_id, first.started, repr(first.settings))


def _write(history: History, directory: Path, **who: Any) -> list[Export]:
    return list(export(history.records(), directory, created=CREATED, publisher=Publisher(**who)))


def _text(each: Record) -> str:
    return json.dumps(
        {name: getattr(each, name) for name in Record.__slots__}, sort_keys=True, default=str
    )


def _same(one: OutcomeMatrix, two: OutcomeMatrix) -> bool:
    return (
        (one.agents, one.tasks, one.models, one.scaffolds, one.task_digests)
        == (two.agents, two.tasks, two.models, two.scaffolds, two.task_digests)
        and np.array_equal(one.scores, two.scores, equal_nan=True)
        and np.array_equal(one.attempts, two.attempts)
        and np.array_equal(one.cost_usd, two.cost_usd, equal_nan=True)
    )


@settings(deadline=None, max_examples=12)
@given(st.lists(runs(), max_size=3, unique_by=_run_of))
def test_what_is_exported_comes_back_as_it_was(batches: list[list[Record]]) -> None:
    with TemporaryDirectory() as folder, History.in_memory() as one, History.in_memory() as two:
        one.add([record for batch in batches for record in batch])
        written = _write(one, Path(folder))
        assert len({each.aggregate for each in written}) == len(written)
        if written:
            assert import_paths(two, [Path(folder)]).refused == ()
        assert sorted(map(_text, one.records())) == sorted(map(_text, two.records()))
        again = one.add(two.records())
        assert again.added == 0


@pytest.mark.parametrize(
    "metric",
    [
        Metric(name="judge", low=1, high=10, declared="source"),
        Metric(name="wer", key="test", lower_is_better=True),
        Metric(name="rubric", low=-1, high=3, declared="user"),
        Metric(),
    ],
)
def test_the_metric_its_values_and_what_is_of_a_version_come_back(
    tmp_path: Path, metric: Metric
) -> None:
    values = [float(metric.low), (metric.low + metric.high) / 2, float(metric.high), None]
    records = [
        Record(
            benchmark="inspect_evals/b",
            task_id=f"t{place}",
            agent="a",
            score=value,
            kind="missing" if value is None else "valid",
            passed=None if value is None else place == 0,
            metric=metric,
            part="domain",
            benchmark_version="2.1",
            whole_benchmark=True,
            scored_at=CREATED,
        )
        for place, value in enumerate(values)
    ]
    (done,) = export(records, tmp_path, created=CREATED, publisher=Publisher())
    assert done.aggregate is not None
    aggregate, samples = _read(done.aggregate)
    (result,) = aggregate["evaluation_results"]
    config = result["metric_config"]
    assert [row["evaluation"]["score"] for row in samples] == values[:3]
    assert (config["min_score"], config["max_score"]) == (metric.low, metric.high)
    assert config["lower_is_better"] == metric.lower_is_better
    assert result["score_details"]["score"] == pytest.approx(values[1])
    (path,) = tmp_path.rglob("*_samples.jsonl")
    items = list(read(path, options=ReadOptions()))
    back = [each for each in items if isinstance(each, Record)]
    assert sorted(map(_text, back)) == sorted(map(_text, records))
    check = Reconciliation()
    for record in back:
        check.see(record)
    stated = [each for each in items if isinstance(each, StatedAggregate)]
    assert (len(stated), check.judge(stated)) == (1, ([], []))


def test_no_bounds_are_stated_that_the_values_contradict(tmp_path: Path) -> None:
    metric = Metric(name="points")
    records = [
        Record(benchmark="b", task_id=f"t{value}", agent="a", score=value, metric=metric)
        for value in (0.0, 42.0)
    ]
    (done,) = export(records, tmp_path, created=CREATED, publisher=Publisher())
    aggregate, _ = _read(done.aggregate)
    (result,) = aggregate["evaluation_results"]
    assert not {"min_score", "max_score", "score_type"} & set(result["metric_config"])
    assert result["score_details"]["score"] == 21.0


def test_two_metrics_of_a_run_are_two_pairs_of_files(tmp_path: Path) -> None:
    records = [
        Record(benchmark="b", task_id="t", agent="a", score=0.5, metric=Metric(name=name))
        for name in ("acc", "f1")
    ]
    written = list(export(records, tmp_path, created=CREATED, publisher=Publisher()))
    assert len({each.aggregate for each in written}) == 2


@pytest.fixture
def history() -> Iterator[History]:
    with History.in_memory() as made:
        made.add(
            Record(
                benchmark="toy",
                task_id=f"t{task}",
                agent=f"{scaffold} ({model})" if scaffold else model,
                model=model,
                scaffold=scaffold,
                score=None if task == attempt == 1 else task / 3,
                kind="infra_error" if task == attempt == 1 else "valid",
                attempt=attempt,
                run_id="r1",
                started=CREATED - timedelta(days=1),
                cost_usd=0.25 if scaffold else None,
            )
            for model, scaffold in (("openai/gpt-5", "swe"), ("claude-4", ""))
            for task in range(4)
            for attempt in range(2)
        )
        yield made


def _read(path: Path | None) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    assert path is not None
    samples = path.with_name(f"{path.stem}_samples.jsonl")
    return json.loads(path.read_text()), [
        json.loads(line) for line in samples.read_text().splitlines()
    ]


def test_the_files_say_what_is_known_and_no_more(history: History, tmp_path: Path) -> None:
    second, first = _write(history, tmp_path, developers={"claude-*": "anthropic"})
    assert (first.developer, second.developer) == ("openai", "anthropic")
    assert first.aggregate is not None
    assert first.aggregate.parent == tmp_path / "data" / "toy" / "openai" / "gpt-5"
    aggregate, samples = _read(first.aggregate)
    (result,) = aggregate["evaluation_results"]
    details = result["score_details"]["details"]
    assert result["score_details"]["score"] == pytest.approx(0.5)
    assert (details["tasks"], details["attempts"], details["cost_usd"]) == ("4", "7", "2.0")
    assert "run_cost_usd" not in details
    assert len(samples) == aggregate["detailed_evaluation_results"]["total_rows"] == first.rows == 7
    assert samples[1]["metadata"] == {"attempt": "1", "scaffold": "swe", "cost_usd": "0.25"}
    assert samples[0]["interaction_type"] == "agentic"
    # The error is named, and is no sample: the format wants a score of every sample.
    assert [row["sample_id"] for row in samples].count("t1") == 1
    (lost,) = json.loads(details["midband_not_scored"])
    assert (lost["task_id"], lost["kind"]) == ("t1", "infra_error")
    aggregate, samples = _read(second.aggregate)
    assert aggregate["model_info"]["developer"] == "anthropic"
    assert samples[0]["metadata"] == {"attempt": "0"}
    assert "cost_usd" not in aggregate["evaluation_results"][0]["score_details"]["details"]
    assert "token_usage" not in samples[0]
    assert "performance" not in samples[0]


def test_a_later_export_replaces_the_files(history: History, tmp_path: Path) -> None:
    first = _write(history, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert len(before) == 4
    assert _write(history, tmp_path) == first
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_credentials_are_not_shared(tmp_path: Path) -> None:
    settings = {
        "api_key": "QX1",
        "model_args": {"token": "QX2", "max_tokens": 512, "url": "https://me:QX3@host/v1"},
        "arguments": ["--api-key", "QX4", "--agent-kwarg", "password=QX5", "-m", "sk-QX6"],
        "temperature": 0.25,
    }
    record = Record(
        benchmark="b", task_id="t", agent="a [api_key=QX7]", scaffold="s --token=QX8",
        score=1.0, settings=settings,
    )  # fmt: skip
    list(export([record], tmp_path, created=CREATED, publisher=Publisher()))
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    text = " ".join(f"{path} {path.read_text()}" for path in files)
    assert len(files) == 2
    assert "QX" not in text
    assert "512" in text
    assert "0.25" in text


def test_a_run_without_a_score_is_left_out(tmp_path: Path) -> None:
    record = Record(benchmark="b", task_id="t", agent="a", score=None, kind="cancelled")
    (done,) = export([record], tmp_path, created=CREATED, publisher=Publisher())
    assert (done.aggregate, done.rows, done.not_scored) == (None, 0, 1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "name", ["..", "../../up", "data", "CON.x", "a" * 300, "\x00", " . ", "/", ".hidden"]
)
def test_no_name_leads_out_of_the_directory(tmp_path: Path, name: str) -> None:
    record = Record(benchmark=name, task_id="t", agent=name, model=name, score=1.0)
    (done,) = export([record], tmp_path / "x", created=CREATED, publisher=Publisher())
    assert done.aggregate is not None
    parts = done.aggregate.relative_to(tmp_path / "x").parts
    assert len(parts) == 5
    assert not any(part == "" or part.startswith(".") for part in parts)
    assert "data" not in parts[1:]
    assert done.aggregate.resolve() == done.aggregate


def test_torn_notes_on_what_has_no_score_are_refused(history: History, tmp_path: Path) -> None:
    (done, _) = _write(history, tmp_path)
    assert done.aggregate is not None
    text = done.aggregate.read_text()
    done.aggregate.write_text(text.replace("infra_error", "no such kind"))
    with History.in_memory() as other:
        (refused,) = import_paths(other, [tmp_path]).refused
        assert "without a score" in refused.error
        assert "no such kind" in refused.error


def test_an_interrupted_export_leaves_no_half_file(tmp_path: Path) -> None:
    def breaks() -> Iterator[Record]:
        yield Record(benchmark="b", task_id="t", agent="a", score=1.0)
        raise UnreadableSourceError("gone")

    with pytest.raises(UnreadableSourceError):
        list(export(breaks(), tmp_path, created=CREATED, publisher=Publisher()))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_an_unknown_relationship_is_refused() -> None:
    with pytest.raises(InputError, match=r"first_party.*'friend'"):
        Publisher(relationship="friend")  # type: ignore[arg-type]


def _many(runs: int) -> Iterator[Record]:
    for place in range(runs):
        for task in range(50):
            yield Record(benchmark="b", task_id=f"t{task}", agent=f"a{place}", score=task / 49)


def _peak(use: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        kept = use()
        del kept
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_runs(tmp_path: Path) -> None:
    def write() -> None:
        for _ in export(_many(80), tmp_path, created=CREATED, publisher=Publisher()):
            pass

    write()
    assert _peak(write) < _peak(lambda: list(_many(80))) / 5


def test_the_command_writes_says_how_much_and_warns(
    call: Call, store: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    code, out, err = call(
        "history", "toy", "--export", "every-eval-ever", "--output", target, "--history", store,
        "--organization", "Lab", "--relationship", "first_party", "--json",
    )  # fmt: skip
    assert code == 0
    facts = json.loads(out)
    assert (facts["runs"], facts["samples"], facts["without_score"]) == (12, 480, 0)
    assert "developer of a00, a01, a02, ... is unknown" in err
    aggregate, _ = _read(next(iter(sorted((target / "data").rglob("*.json")))))
    assert aggregate["source_metadata"]["source_organization_name"] == "Lab"
    assert aggregate["source_metadata"]["evaluator_relationship"] == "first_party"
    code, out, err = call(
        "history", "--export", "every-eval-ever", "-o", target, "--history", store,
        "--developer", "a*=us",
    )  # fmt: skip
    assert (code, err) == (0, "")
    with History.open(store, read_only=True) as one, History.in_memory() as two:
        import_paths(two, [target / "data" / "toy" / "us"])
        assert _same(one.outcomes("toy"), two.outcomes("toy"))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--output", "x"], "--output only with --export"),
        (["--developer", "a=b"], "--developer only with --export"),
        (["--export", "every-eval-ever"], "expected --output DIR"),
        (["--export", "every-eval-ever", "-o", "x", "--developer", "a"], "GLOB=NAME"),
    ],
)
def test_bad_usage_is_one_line(
    call: Call, one_line: OneLine, store: Path, arguments: list[str], expected: str
) -> None:
    code, _, err = call("history", "--history", store, *arguments)
    assert code == 2
    one_line(err, expected)


@pytest.fixture(scope="module")
def validator(environment: Environment) -> Path:
    return environment(VALIDATOR, minimum=(3, 12)) / "every_eval_ever"


def _validate(validator: Path, directory: Path) -> list[dict[str, Any]]:
    paths = sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
    done = run(validator, "validate", "--format", "json", *paths, cwd=directory, check=False)
    assert done.stdout, done.stderr
    reports: list[dict[str, Any]] = json.loads(done.stdout)
    assert len(reports) == len(paths)
    return reports


@pytest.mark.slow
def test_the_formats_own_validator_finds_nothing(
    validator: Path, history: History, tmp_path: Path
) -> None:
    history.add(
        [
            Record(benchmark=name, task_id=name, agent=name, score=1.0, duration_s=2.5, tokens=9.0)
            for name in ("a/b:c", "..", "CON", "é" * 150)
        ]
    )
    history.add(
        Record(benchmark="m", task_id=str(value), agent="a", score=value, metric=metric)
        for metric in (Metric(name="j", low=1, high=10, declared="source"),)
        for value in (1.0, 5.5, 10.0)
    )
    _write(history, tmp_path, developers={"*": "us"})
    reports = _validate(validator, tmp_path)
    assert len(reports) == 14
    assert [each for each in reports if each["errors"]] == []
    plain = [each for each in reports if each["file"].startswith("data/toy/")]
    assert [each for each in plain if each["warnings"]] == []
    (broken,) = (tmp_path / "data" / "toy" / "us" / "claude-4").glob("*.json")
    broken.write_text(broken.read_text().replace('"lower_is_better": false,', ""))
    assert sum(not each["valid"] for each in _validate(validator, tmp_path)) == 1


@pytest.mark.slow
def test_real_results_go_out_and_come_back(validator: Path, tmp_path: Path) -> None:
    shared = Path(__file__).parents[4] / "shared" / "raw_samples"
    if not shared.is_dir():
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    with History.in_memory() as one, History.in_memory() as two:
        import_paths(one, [shared / "harbor", shared / "tau_bench", shared / "hal"])
        names = [each.name for each in one.benchmarks()]
        assert len(names) >= 3
        written = _write(one, tmp_path)
        assert sum(each.rows for each in written) > 100
        assert import_paths(two, [tmp_path]).refused == ()
        for name in names:
            assert _same(one.outcomes(name), two.outcomes(name)), name
    assert [each for each in _validate(validator, tmp_path) if each["errors"]] == []


def test_the_page_runs_as_written(
    call: Call, tmp_path: Path, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with History.open(store, read_only=True) as one:
        held = list(one.records("toy"))
    new = [each for each in held if each.agent == "a07"]
    everyone = [each for each in held if each.agent != "a07"]
    for records, place in ((everyone, "datastore"), (new, "new")):
        list(export(records, Path(place), created=CREATED, publisher=Publisher()))
    monkeypatch.setenv("MIDBAND_HISTORY", str(tmp_path / "own.duckdb"))
    page = (ROOT / "docs" / "harnesses" / "every-eval-ever.md").read_text()
    commands = [
        shlex.split(line.removeprefix("$ midband "))
        for line in page.splitlines()
        if line.startswith("$ midband ")
    ]
    assert [words[0] for words in commands] == ["import", "history", "rank"]
    for words in commands:
        if words[0] == "rank":
            assert call("plan", "toy", "--output", "plan.json", "--strategy", "random")[0] == 0
        code, out, err = call(*words)
        assert code == 0, err
    assert "a07" in out
    assert len(list(Path("shared").rglob("*_samples.jsonl"))) == 11
