"""Files of rows: which are read, how, and what is said of those that are not."""

import json
from pathlib import Path

import numpy as np
import pytest

from midband.descriptors import ReadOptions
from midband.importers.reading import read_records
from midband.importers.reports import ImportReport
from midband.importers.sources import import_paths
from midband_history import History, InputError, OutcomeMatrix

HEADER = "benchmark,task_id,agent,score\n"


def _import(path: Path, **options: object) -> tuple[ImportReport, OutcomeMatrix | None]:
    with History.in_memory() as history:
        report = import_paths(history, [path], options=ReadOptions(**options))  # type: ignore[arg-type]
        held = history.benchmarks()
        return report, history.outcomes(held[0].name) if held else None


def _write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("plain.csv", HEADER + "b,007,a,1\nb,7,a,0\n"),
        ("windows.csv", (HEADER + "b,007,a,1\nb,7,a,0\n").replace("\n", "\r\n")),
        ("mark.csv", "\ufeff" + HEADER + "b,007,a,1\nb,7,a,0\n"),
        ("semicolon.csv", (HEADER + "b,007,a,1\nb,7,a,0\n").replace(",", ";")),
        ("tabs.tsv", (HEADER + "b,007,a,1\nb,7,a,0\n").replace(",", "\t")),
        ("quoted.csv", HEADER + '"b","007","a","1"\n"b","7","a","0"'),
        ("blank_end.csv", HEADER + "b,007,a,1\nb,7,a,0\n\n"),
        (
            "rows.jsonl",
            '{"benchmark":"b","task_id":"007","agent":"a","score":1}\n'
            '{"benchmark":"b","task_id":7,"agent":"a","score":0.0,"other":{"x":1}}',
        ),
    ],
)
def test_ids_stay_text_in_every_layout(tmp_path: Path, name: str, content: str) -> None:
    report, matrix = _import(_write(tmp_path / name, content))
    assert (report.added, report.refused) == (2, ())
    assert matrix is not None
    assert (matrix.tasks, matrix.scores.tolist()) == (("007", "7"), [[1.0, 0.0]])


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    path = _write(tmp_path / "r.csv", "bench,instance,score,model\nb,1,ignored,m\n")
    columns = {"bench": "benchmark", "instance": "task_id", "model": "agent"}
    report, _ = _import(path, columns=columns)
    assert "score='ignored'" in report.refused[0].error
    path = _write(tmp_path / "r.csv", "bench,instance,resolved,model\nb,1,True,m\nb,2,false,m\n")
    _, matrix = _import(path, columns={**columns, "resolved": "passed"})
    assert matrix is not None
    assert (matrix.agents, matrix.scores.tolist()) == (("m",), [[1.0, 0.0]])


def test_a_benchmark_may_come_from_an_option(tmp_path: Path) -> None:
    path = _write(tmp_path / "r.csv", "task_id,agent,score\n1,a,1\n")
    report, _ = _import(path)
    assert "--benchmark" in report.refused[0].error
    _, matrix = _import(path, benchmark="it's")
    assert matrix is not None
    assert matrix.benchmark == "it's"


@pytest.mark.parametrize("score", ["NaN", ""])
def test_a_score_that_is_no_number_is_no_information(tmp_path: Path, score: str) -> None:
    path = _write(tmp_path / "r.csv", HEADER + f"b,1,a,{score}\nb,2,a,1\n")
    report, matrix = _import(path)
    assert report.added == 2
    assert "kept as missing" in report.sources[0].skipped[0]
    assert matrix is not None
    assert np.isnan(matrix.scores[0, 0])


def test_a_nan_in_jsonl_is_no_information(tmp_path: Path) -> None:
    row = {"benchmark": "b", "task_id": 1, "agent": "a", "score": float("nan")}
    path = _write(tmp_path / "r.jsonl", json.dumps(row) + "\n" + json.dumps({**row, "score": 1}))
    report, _ = _import(path)
    assert (report.added, report.refused) == (2, ())


def test_kinds_are_kept_and_a_score_beside_an_error_is_none(tmp_path: Path) -> None:
    rows = "b,1,a,1,\nb,2,a,,infra_error\nb,3,a,0,infra_error\nb,4,a,0,valid\n"
    path = _write(tmp_path / "r.csv", "benchmark,task_id,agent,score,kind\n" + rows)
    _, matrix = _import(path)
    assert matrix is not None
    assert matrix.attempts.tolist() == [[1, 0, 0, 1]]


def test_times_are_utc_and_zones_are_followed(tmp_path: Path) -> None:
    rows = "b,1,a,1,2025-02-03T01:00:00+05:30\nb,1,c,1,2025-02-03\nb,1,d,1,2025-02-03T04:05:06Z\n"
    path = _write(tmp_path / "r.csv", "benchmark,task_id,agent,score,run_date\n" + rows)
    _, matrix = _import(path)
    assert matrix is not None
    assert [str(date) for date in matrix.dates] == [
        "2025-02-02T19:30:00",
        "2025-02-03T00:00:00",
        "2025-02-03T04:05:06",
    ]


def test_attempts_without_numbers_are_counted_down_the_file(tmp_path: Path) -> None:
    path = _write(tmp_path / "r.csv", HEADER + "b,1,a,1\nb,1,a,0\nb,1,a,1\n")
    _, matrix = _import(path)
    assert matrix is not None
    assert matrix.attempt_scores.tolist() == [[[1.0, 0.0, 1.0]]]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("torn.jsonl", '{"benchmark":"b","task_id":1,"agent":"a","score":1}\n{"bench', "JSON"),
        ("torn.csv", HEADER + "b,1,a,1\nb,2,", "whole csv"),
        ("torn.parquet", b"PAR1" + b"\0" * 40, "whole parquet"),
        ("empty.csv", "", "empty"),
        ("bytes.csv", b"\xff\xfe\x00\x01", "utf-8"),
        ("twice.csv", "task_id,task_id,agent,score\n1,1,a,1\n", "distinct"),
        ("word.csv", HEADER + "b,1,a,1\nb,2,a,C\n", "row 2"),
        ("range.csv", HEADER + "b,1,a,85\n", "score='85'"),
        ("dict.jsonl", '{"benchmark":"b","task_id":1,"agent":"a","score":{"x":1}}', "score"),
        ("no_task.csv", HEADER + "b,,a,1\n", "a task id"),
        ("kind.csv", "benchmark,task_id,agent,kind\nb,1,a,crash\n", "infra_error"),
        ("date.csv", HEADER.strip() + ",run_date\nb,1,a,1,yesterday\n", "ISO date"),
        ("attempt.csv", HEADER.strip() + ",attempt\nb,1,a,1,-1\n", "whole number"),
        ("cost.csv", HEADER.strip() + ",cost_usd\nb,1,a,1,cheap\n", "a number"),
        ("foreign.csv", "name,price\nx,1\n", "'task_id'"),
        ("no_score.csv", "benchmark,task_id,agent\nb,1,a\n", "'score' or 'passed'"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name_with_the_reason(
    tmp_path: Path, name: str, content: str | bytes, words: str
) -> None:
    report, matrix = _import(_write(tmp_path / name, content))
    (refused,) = report.refused
    assert words in refused.error
    assert name in refused.error
    assert "\n" not in refused.error
    assert (report.added, matrix) == (0, None)


def test_a_mapping_to_no_column_of_ours_is_wrong_usage(tmp_path: Path) -> None:
    path = _write(tmp_path / "r.csv", HEADER)
    with pytest.raises(InputError, match="got 'tasks'"):
        _import(path, columns={"id": "tasks"})


def test_rows_can_be_read_without_a_history(tmp_path: Path) -> None:
    path = _write(tmp_path / "r.csv", HEADER + "b,1,a,1\n")
    (record,) = read_records([path])
    assert (record.benchmark, record.task_id, record.agent, record.score) == ("b", "1", "a", 1.0)


def test_errors_of_a_table_count_as_the_person_says(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "r.csv",
        "benchmark,task_id,agent,score,kind\nb,1,a,1,valid\nb,2,a,,infra_error\nb,3,a,,cancelled\n",
    )
    for errors, mean, counted in (("source", 1.0, 1), ("missing", 1.0, 1), ("failed", 0.5, 2)):
        report, matrix = _import(path, errors=errors)
        assert matrix is not None
        assert float(np.nanmean(matrix.scores)) == mean
        assert report.counts[0].valid == counted


def test_the_metric_of_a_table_may_be_one_of_its_columns(tmp_path: Path) -> None:
    path = _write(
        tmp_path / "r.csv", "benchmark,task_id,agent,exact,f1\nb,1,a,1,0.5\nb,2,a,0,0.25\n"
    )
    for metric, scores in (("exact", [1.0, 0.0]), ("f1", [0.5, 0.25])):
        report, matrix = _import(path, metric=metric)
        assert matrix is not None
        assert (report.counts[0].metric, matrix.scores[0].tolist()) == (metric, scores)
    _, matrix = _import(path, metric="f1", columns={"exact": "score"})  # --map says more
    assert matrix is not None
    assert matrix.scores[0].tolist() == [1.0, 0.0]


@pytest.mark.parametrize("first", ["", "1"])
def test_a_version_can_be_named_also_when_results_are_read_anew(tmp_path: Path, first: str) -> None:
    path = _write(tmp_path / "r.csv", HEADER + "b,1,a,1\nb,2,a,0\n")
    with History.in_memory() as history:
        import_paths(history, [path], options=ReadOptions(benchmark_version=first))
        report = import_paths(history, [path], options=ReadOptions(benchmark_version="2"))
        assert (report.added, report.replaced) == (0, 2)
        assert [each.label for each in history.versions("b")] == ["2"]
        assert history.outcomes("b", version="2").scores.tolist() == [[1.0, 0.0]]


def _metrics(path: Path, history: History, *, metric: str = "", **columns: str) -> ImportReport:
    return import_paths(history, [path], options=ReadOptions(metric=metric, columns=columns))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
def test_a_metric_that_is_a_column_is_read_from_it(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"results.{ending}"
    rows = [("1", 0.25, 1.0), ("2", 0.75, 0.0)]
    if ending == "csv":
        lines = ["benchmark,task_id,agent,f1,score", *(f"b,{t},x,{f},{s}" for t, f, s in rows)]
    else:
        lines = [
            json.dumps({"benchmark": "b", "task_id": t, "agent": "x", "f1": f, "score": s})
            for t, f, s in rows
        ]
    path.write_text("\n".join(lines) + "\n")
    with History.in_memory() as history:
        report = _metrics(path, history, metric="f1")
        assert (report.added, report.refused) == (2, ())
        assert [each.metric.label for each in history.metrics("b")] == ["f1"]
        assert history.outcomes("b").scores.tolist() == [[0.25, 0.75]]
        _metrics(path, history, metric="score")
        assert history.outcomes("b", metric="score").scores.tolist() == [[1.0, 0.0]]


def test_a_metric_that_is_no_column_names_the_score(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("benchmark,task_id,agent,score\nb,1,x,0.5\n")
    with History.in_memory() as history:
        assert _metrics(path, history, metric="accuracy").added == 1
        assert [each.metric.label for each in history.metrics("b")] == ["accuracy"]


def test_a_column_that_is_mapped_to_the_score_stays_it(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("benchmark,task_id,agent,f1,mine\nb,1,x,0.5,1\n")
    with History.in_memory() as history:
        _metrics(path, history, metric="f1", mine="score")
        assert history.outcomes("b").scores.tolist() == [[1.0]]


def test_an_unknown_metric_lists_the_columns_with_numbers(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text("benchmark,task_id,agent,f1,words,bleu\nb,1,x,0.5,long,\nb,2,x,,text,0.25\n")
    with History.in_memory() as history:
        (refused,) = _metrics(path, history, metric="rouge").refused
    assert "'rouge'" in refused.error
    assert "numbers: f1, bleu:" in refused.error
    assert "words" not in refused.error
