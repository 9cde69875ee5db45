"""Importing files and directories: each as a whole or refused, the rest continues, once only."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from midband._manager import get_plugin_manager
from midband.cli.root import run
from midband.descriptors import Importer, ReadOptions
from midband.importers.discovery import survey
from midband.importers.reading import read_records
from midband.importers.sources import import_paths
from midband_history import History, InputError, Metric, Record, UnreadableSourceError

HEADER = "benchmark,task_id,agent,score\n"


def _row(tasks: int, agent: str = "a") -> str:
    return HEADER + "".join(f"b,{i},{agent},1\n" for i in range(tasks))


def _importer(name: str, count: int = 1, suffix: str = ".toy") -> Importer:
    def _read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterable[Record]:
        if "bug" in path.name:
            msg = "missing"
            raise KeyError(msg)
        for i in range(count):
            if "cut" in path.name and i == count - 1:
                msg = "expected a whole file, got half of one"
                raise UnreadableSourceError(msg)
            yield Record(benchmark=benchmark or "b", task_id=str(i), agent=path.stem, score=1.0)
            if "torn" in path.name:
                msg = "expected a whole file, got half of one"
                raise UnreadableSourceError(msg)

    return Importer(
        name=name, sniff=lambda path: path.suffix == suffix, read=_read, suffixes=(suffix,)
    )


def test_a_directory_is_walked_and_what_is_broken_is_counted(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "good.csv").write_text(_row(3))
    (tmp_path / "torn.csv").write_text(HEADER + "b,1,")
    (tmp_path / "notes.txt").write_text("nothing to see")
    (tmp_path / ".hidden.csv").write_text("nothing to see")
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (report.imported, len(report.refused), report.added) == (1, 1, 3)
        assert report.refused[0].path == tmp_path / "torn.csv"
        assert "hidden" in report.notes[0].text
        assert history.benchmarks()[0].attempts == 3


def test_importing_twice_adds_nothing_and_says_so(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.csv").write_text(_row(2, agent=name))
    with History.in_memory() as history:
        first = import_paths(history, [tmp_path])
        assert (first.added, first.unchanged) == (4, 0)
        second = import_paths(history, [tmp_path, tmp_path / "one.csv"])
        assert (second.added, second.imported, second.unchanged) == (0, 2, 2)
        assert all(source.known for source in second.sources)


def test_a_copy_and_a_grown_file_add_only_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(_row(2))
    (tmp_path / "copy.csv").write_text(_row(2))
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path])
        assert (report.added, report.duplicates) == (2, 2)
        (tmp_path / "one.csv").write_text(_row(5))
        report = import_paths(history, [tmp_path / "one.csv"])
        assert (report.added, report.duplicates) == (3, 2)


def test_another_benchmark_name_is_another_import(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text(_row(2))
    with History.in_memory() as history:
        import_paths(history, [tmp_path])
        assert import_paths(history, [tmp_path], options=ReadOptions(benchmark="c")).added == 2


def test_a_broken_importer_or_source_does_not_stop_the_rest(tmp_path: Path) -> None:
    for name in ("a", "bug", "torn", "z"):
        (tmp_path / f"{name}.toy").write_text(name)
    seen = []
    with History.in_memory() as history:
        report = import_paths(
            history,
            [tmp_path],
            {"toy": _importer("toy", count=3)},
            progress=lambda done, total, path: seen.append((done, total)),
        )
        assert (report.imported, report.added) == (2, 6)
        errors = {each.path.stem: each.error for each in report.refused}
        assert "importer toy failed, KeyError" in errors["bug"]
        assert "half of one" in errors["torn"]
        assert history.outcomes("b").agents == ("a", "z")
    assert seen[-1] == (4, 4)


def test_a_large_source_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    for name in ("big", "cut"):
        (tmp_path / f"{name}.toy").write_text(name)
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path], {"toy": _importer("toy", count=21_000)})
        assert (report.added, len(report.refused)) == (21_000, 1)
        assert history.outcomes("b").agents == ("big",)


def test_what_is_missing_or_foreign_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<html>")
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path / "page.html", tmp_path / "none"])
        assert report.imported == 0
        assert [each.path.name for each in report.refused] == ["none", "page.html"]
        assert "found none" in report.refused[0].error
        assert "another kind" in report.refused[1].error
    with pytest.raises(UnreadableSourceError, match=r"page\.html"):
        list(read_records([tmp_path / "page.html"]))


def test_two_formats_that_fit_must_be_told_apart(tmp_path: Path) -> None:
    (tmp_path / "x.toy").write_text("x")
    importers = {name: _importer(name) for name in ("one", "two")}
    with History.in_memory() as history:
        assert "--format" in import_paths(history, [tmp_path], importers).refused[0].error
        assert import_paths(history, [tmp_path], importers, format="two").added == 1
        with pytest.raises(InputError, match="got 'three'"):
            import_paths(history, [tmp_path], importers, format="three")


def test_a_format_overrides_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "results.txt").write_text(_row(2))
    with History.in_memory() as history:
        assert import_paths(history, [tmp_path / "results.txt"], format="tabular").added == 2


def test_runs_of_unknown_date_that_a_date_leaves_out_are_mentioned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "b,1,a,1,2025-01-01\nb,1,c,1,\n"
    (tmp_path / "r.csv").write_text(HEADER.strip() + ",run_date\n" + rows)
    store = ["--history", str(tmp_path / "h.duckdb")]
    assert run(["import", str(tmp_path / "r.csv"), *store]) == 0
    assert run(["rates", "b", "--as-of", "2025-02-01", *store]) == 0
    assert "left out 1 runs of b of unknown date" in capsys.readouterr().err
    assert run(["rates", "b", *store]) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["toxicity_rate", "Failure Rate", "judge.wer"])
def test_a_name_of_which_less_is_mostly_better_is_pointed_out(tmp_path: Path, name: str) -> None:
    scorer, _, key = name.partition(".")

    def _read(_: Path, *, options: ReadOptions) -> Iterable[Record]:
        metric = Metric(name=scorer, key=key, lower_is_better=options.benchmark == "stated")
        yield Record(benchmark="b", task_id="1", agent="a", score=0.25, metric=metric)

    importers = {"toy": Importer(name="toy", sniff=lambda _: True, read=_read, suffixes=(".toy",))}
    (tmp_path / "a.toy").touch()
    for options, said in (
        (ReadOptions(), True),
        (ReadOptions(benchmark="stated"), False),
        (ReadOptions(lower_is_better=True), False),
        (ReadOptions(lower_is_better=False), False),
    ):
        path = tmp_path / f"h{said}{options.benchmark}{options.lower_is_better}.duckdb"
        with History.open(path) as history:
            report = import_paths(
                history, [tmp_path / "a.toy"], importers=importers, options=options
            )
        codes = [note.code for source in report.sources for note in source.notes]
        assert ("direction-unclear" in codes) == said


def test_what_helm_writes_beside_its_results_is_no_table(tmp_path: Path) -> None:
    names = ("instances.json", "display_predictions.json", "display_requests.json")
    for folder in ("run", "other"):
        (tmp_path / folder).mkdir()
        for name in names:
            (tmp_path / folder / name).write_text('[{"id": "id0", "split": "test"}]')
    (tmp_path / "run" / "per_instance_stats.json").write_text("[]")
    sources, _ = survey([tmp_path], get_plugin_manager().importers())
    tables = {source.path.parent.name for source in sources if source.importer.table}
    assert tables == {"other"}
