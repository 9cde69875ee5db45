"""Importers that fail and histories that cannot be written: what is refused, and what is said."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import pytest

from midband import get_plugin_manager, hookimpl
from midband.descriptors import Importer, ReadOptions
from midband.importers.reading import read_records
from midband.importers.reports import ImportEndedError
from midband.importers.sources import import_paths
from midband_history import History, Record, StoreError, Table, UnreadableSourceError

Call = Callable[..., tuple[int, str, str]]


class Odd(BaseException):
    """What no importer is expected to raise."""


ERRORS: list[BaseException] = [
    SystemExit(3),
    KeyError("missing"),
    Odd("no reason"),
    RecursionError("deep"),
    StoreError("not of the history"),
    duckdb.IOException("of its own database"),
    UnreadableSourceError("expected more"),
]


def _record(path: Path, task: int = 0) -> Record:
    return Record(benchmark="b", task_id=str(task), agent=path.stem, score=1.0)


def _importer(read: Callable[..., Any], **more: Any) -> Importer:
    return Importer(
        name="toy",
        sniff=lambda path: path.suffix == ".toy",
        read=read,
        suffixes=(".toy",),
        **more,
    )


def _files(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / f"{name}.toy").write_text(name)
    return [folder / f"{name}.toy" for name in names]


@pytest.fixture(params=ERRORS, ids=lambda error: type(error).__name__)
def failing(request: pytest.FixtureRequest) -> BaseException:
    error: BaseException = request.param
    return error


@pytest.mark.parametrize("after", [None, 0, 3, 25_000])
def test_an_importer_that_raises_refuses_its_source_alone(
    tmp_path: Path, failing: BaseException, after: int | None
) -> None:
    def read(path: Path, *, options: ReadOptions) -> Any:
        def items() -> Iterator[Record]:
            for task in range(after or 0):
                yield _record(path, task)
            raise failing

        if path.stem != "bad":
            return [_record(path)]
        if after is None:
            raise failing
        return items()

    _files(tmp_path, "a", "bad", "z")
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path], {"toy": _importer(read)})
        assert (report.imported, report.added) == (2, 2)
        (refused,) = report.refused
        assert refused.path.name == "bad.toy"
        assert "bad.toy" in refused.error
        assert "\n" not in refused.error
        assert {agent.name for agent in history.agents("b")} == {"a", "z"}


def test_a_description_of_a_table_that_raises_refuses_its_source_alone(
    tmp_path: Path, failing: BaseException
) -> None:
    def table(path: Path, *, options: ReadOptions) -> Table:
        if path.stem == "bad":
            raise failing
        return Table(path=path, format="csv")

    for path in _files(tmp_path, "a", "bad", "z"):
        path.write_text(f"benchmark,task_id,agent,score\nb,1,{path.stem},1\n")
    importer = _importer(lambda path: [], table=table)
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path], {"toy": importer})
        assert (report.imported, report.added) == (2, 2)
        assert [each.path.name for each in report.refused] == ["bad.toy"]


@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_quick_reader_that_raises_leaves_the_rest_to_the_slow_one(
    tmp_path: Path, failing: BaseException, after: int
) -> None:
    def read(path: Path, *, options: ReadOptions) -> Iterator[Record]:
        if path.stem == "bad":
            raise failing
        yield _record(path)

    def read_many(
        paths: Sequence[Path], *, options: ReadOptions
    ) -> Iterator[tuple[Path, Sequence[Record]]]:
        for path in paths[:after]:
            yield path, [_record(path)]
        raise failing

    _files(tmp_path, "a", "b", "bad", "z")
    with History.in_memory() as history:
        report = import_paths(history, [tmp_path], {"toy": _importer(read, read_many=read_many)})
        assert (report.imported, report.added) == (3, 3)
        assert [each.path.name for each in report.refused] == ["bad.toy"]


def test_reading_without_a_history_names_the_source_in_one_line(
    tmp_path: Path, failing: BaseException
) -> None:
    def read(path: Path, *, options: ReadOptions) -> Iterator[Record]:
        yield _record(path)
        raise failing

    class Plugin:
        @hookimpl
        def midband_register_importers(self) -> list[Importer]:
            return [_importer(read)]

    (path,) = _files(tmp_path, "bad")
    manager, plugin = get_plugin_manager(), Plugin()
    manager.register(plugin, name="failing")
    try:
        with pytest.raises(UnreadableSourceError):
            list(read_records([path]))
    finally:
        manager._pluggy.unregister(plugin)


def _broken_after(history: History, batches: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = history.add_sources
    calls = []

    def add_sources(sources: Any) -> Any:
        calls.append(len(sources))
        if len(calls) > batches:
            msg = "expected to write to the history, got: No space left on device"
            raise StoreError(f"{msg}; nothing was added")
        return whole(sources)

    monkeypatch.setattr(history, "add_sources", add_sources)


def _many(path: Path, *, options: ReadOptions) -> Iterator[Record]:
    return (_record(path, task) for task in range(20_000))


def test_an_import_that_ends_half_way_says_what_it_had_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _files(tmp_path, "a", "b", "c")
    with History.in_memory() as history:
        _broken_after(history, 1, monkeypatch)
        with pytest.raises(ImportEndedError) as ended:
            import_paths(history, [tmp_path], {"toy": _importer(_many)})
        message = str(ended.value)
        assert "20,000 attempts were added before" in message
        assert "2 of 3 sources were not" in message
        assert "No space left" in message
        assert "nothing was added" not in message
        assert [source.path.stem for source in ended.value.report.sources] == ["a"]
        assert history.benchmarks()[0].attempts == ended.value.report.added == 20_000


def test_an_import_that_adds_nothing_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _files(tmp_path, "a")
    with History.in_memory() as history:
        _broken_after(history, 0, monkeypatch)
        with pytest.raises(StoreError, match="nothing was added"):
            import_paths(history, [tmp_path], {"toy": _importer(_many)})


def test_the_command_lists_what_it_had_added_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    class Plugin:
        @hookimpl
        def midband_register_importers(self) -> list[Importer]:
            return [replace(_importer(_many), name="toy-of-tests")]

    whole = History.add_sources
    calls: list[int] = []

    def add_sources(self: History, sources: Any) -> Any:
        calls.append(len(sources))
        if len(calls) > 2:
            msg = "expected to write to the history, got: No space left on device"
            raise StoreError(f"{msg}; nothing was added")
        return whole(self, sources)

    monkeypatch.setattr(History, "add_sources", add_sources)
    results = tmp_path / "results"
    results.mkdir()
    _files(results, "a", "b", "c", "d")
    manager, plugin = get_plugin_manager(), Plugin()
    manager.register(plugin, name="many")
    try:
        code, out, error = call("import", results, "--history", tmp_path / "h.duckdb")
    finally:
        manager._pluggy.unregister(plugin)
    assert code == 1
    assert "imported 2 sources, added 40,000 attempts" in out
    (line,) = [line for line in error.splitlines() if "No space left" in line]
    assert "40,000 attempts were added before that, 2 of 4 sources were not" in line
