"""An open history and its upkeep: where numbers come from, what is stated of them, what goes."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from midband_history.connection import (
    connect,
    default_path,
    fetch,
    fetch_dicts,
    fetch_value,
    run_all,
    transaction,
    utc,
)
from midband_history.errors import (
    InputError,
    StoreError,
    UnknownBenchmarkError,
    UnknownTaskError,
    nearest,
)
from midband_history.frames import Rows
from midband_history.labels import read_aliases, read_labels
from midband_history.metrics import Metric, declare_metric, joinable, read_metrics
from midband_history.records import OUTCOME_KINDS, Note
from midband_history.summaries import Origin, Removed, SourceFault

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_ALL = 2**31 - 1  # above the id of every source


class Upkeep:
    """The part of `History` that opens its file and looks after what it holds."""

    def __init__(self, connection: "DuckDBPyConnection", path: Path | None) -> None:
        self._open_connection: DuckDBPyConnection | None = connection
        self.path = path

    @classmethod
    def open(cls, path: str | Path | None = None, *, read_only: bool = False) -> Self:
        """Open the history file, and create it when it is opened for writing and missing.

        Parameters
        ----------
        path : path, optional
            By default MIDBAND_HISTORY, else a file in the user's data directory.
        read_only : bool
            Several processes can read one file at a time.

        Raises
        ------
        StoreError
            The file is in use, read-only, of another kind, or newer than this midband.
        """
        where = default_path() if path is None else Path(path).expanduser()
        return cls(connect(where, read_only=read_only), where)

    @classmethod
    def in_memory(cls) -> Self:
        """Open an empty history that is gone when it is closed."""
        return cls(connect(None, read_only=False), None)

    def close(self) -> None:
        """Let go of the file; closing twice is harmless."""
        if self._open_connection is not None:
            self._open_connection.close()
            self._open_connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def benchmark_name(self, name: str) -> str:
        """Return the name that the history uses for a benchmark: of an alias, what it stands for.

        >>> from midband_history import History
        >>> with History.in_memory() as history:
        ...     history.benchmark_name("inspect_evals/gsm8k")
        'gsm8k'
        """
        plain = plain_benchmark(name)
        aliases = read_aliases(self._connection, "benchmark")
        return aliases.get(name, aliases.get(plain, plain))

    @property
    def _connection(self) -> "DuckDBPyConnection":
        if self._open_connection is None:
            msg = "expected an open history, got a closed one: open it again"
            raise StoreError(msg)
        return self._open_connection

    def _id(self, benchmark: str) -> int:
        connection = self._connection
        number = _benchmark_id(connection, self.benchmark_name(benchmark))
        if number is not None:
            return number
        names = [name for (name,) in fetch(connection, "names_of_benchmarks")]
        held = nearest(benchmark, names)
        msg = f"expected a benchmark of the history, got {benchmark!r}: " + (
            f"it holds {held}" if names else "it is empty, import results first"
        )
        raise UnknownBenchmarkError(msg)

    def known_sources(self, digests: Iterable[str]) -> dict[str, tuple[tuple[int, ...], int]]:
        """Return those digests under which sources were added, with their ids and reader's version.

        Copies of one file are several sources of one digest; the version is that of the oldest
        reader.
        """
        found = self._connection.execute(
            "SELECT digest, list(source_id ORDER BY source_id), min(reader_version) FROM sources"
            " WHERE digest <> '' AND digest IN (SELECT unnest(?::VARCHAR[])) GROUP BY digest",
            [list(digests)],
        )
        return {row[0]: (tuple(row[1]), int(row[2])) for row in found.fetchall()}

    def source_names(self, ids: Iterable[int]) -> dict[int, str]:
        """Return the names of sources: the files or directories that they were imported from."""
        found = self._connection.execute(
            "SELECT source_id, name FROM sources WHERE source_id IN (SELECT unnest(?::INTEGER[]))",
            [list(ids)],
        )
        return {int(number): str(name) for number, name in found.fetchall()}

    def readings_of(
        self, contents: Iterable[str], *, benchmark: str, metric: str
    ) -> dict[str, list[int]]:
        """Return the ids of sources with one of these very contents, whatever their other options.

        Parameters
        ----------
        contents : iterable of str
            Digests of the contents alone.
        benchmark, metric : str
            The names that the person gave, or empty text: a reading under another name stands.
        """
        found = self._connection.execute(
            "SELECT content, source_id, options FROM sources WHERE content <> ''"
            " AND content IN (SELECT unnest(?::VARCHAR[])) ORDER BY source_id",
            [list(contents)],
        )
        readings: dict[str, list[int]] = {}
        for content, number, options in found.fetchall():
            if _named(options) == (benchmark, metric):
                readings.setdefault(content, []).append(int(number))
        return readings

    def declare_metric(
        self,
        benchmark: str,
        metric: str = "",
        *,
        name: str | None = None,
        scale: tuple[float, float] | None = None,
        lower_is_better: bool | None = None,
    ) -> Metric:
        """State what a metric of a benchmark is; the results themselves are not changed.

        Parameters
        ----------
        metric : str
            ``NAME`` or ``NAME.KEY`` of a metric that is held; empty for the unnamed one.
        name : str, optional
            A name for the unnamed metric; a metric of that name that is held joins it.
        scale : tuple of float, optional
            The least and the greatest value that the metric can give.
        lower_is_better : bool, optional
            Whether the least value is the best.

        Raises
        ------
        InputError
            No such metric is held, or values lie outside the scale.
        """
        with transaction(self._connection):
            return declare_metric(
                self._connection,
                benchmark,
                self._id(benchmark),
                metric,
                name=name,
                scale=scale,
                lower_is_better=lower_is_better,
            )

    def why(self, benchmark: str, task: str, agent: str | None = None) -> Rows[Origin]:
        """Return every attempt behind the numbers of a task, with where it comes from.

        Parameters
        ----------
        agent : str, optional
            A label or glob; every agent by default.

        Raises
        ------
        UnknownTaskError
            The benchmark has no such task.
        InputError
            No such agent ran it.
        """
        name, benchmark_id = self.benchmark_name(benchmark), self._id(benchmark)
        labels = read_labels(self._connection, [name])
        rows = fetch_dicts(self._connection, "why", benchmark_id=benchmark_id, task=task)
        if not rows:
            held = fetch(self._connection, "names_of_tasks", benchmark_id=benchmark_id)
            known = nearest(task, [row[0] for row in held])
            msg = f"expected a task of {name}, got {task!r}: it holds {known}"
            raise UnknownTaskError(msg)
        found = [_origin(row, labels[name, row.pop("agent_id")]) for row in rows]
        kept = [each for each in found if agent is None or _fits(each.agent, agent)]
        if agent is not None and not kept:
            known = nearest(agent, sorted({each.agent for each in found}))
            msg = f"expected an agent that ran {task!r}, got {agent!r}: these did: {known}"
            raise InputError(msg)
        return Rows(kept, of=Origin)

    def check(self, readers: Mapping[str, int]) -> tuple[list[SourceFault], list[str]]:
        """Return what is wrong with the history.

        Parameters
        ----------
        readers : mapping of str to int
            The version of every importer.

        Returns
        -------
        stale : list of SourceFault
            Sources that an older importer has read, which may have misread them.
        broken : list of str
            What contradicts itself; nothing, in a sound history.
        """
        stale = [
            SourceFault(source=name, attempts=attempts, fault=fault)
            for _, name, reader, version, attempts in fetch(self._connection, "old_sources")
            if (fault := _staleness(name, reader, version, readers))
        ]
        broken = [
            f"{number:,} {fault}" for fault, number in fetch(self._connection, "faults") if number
        ]
        return stale, broken

    def forget(
        self,
        *,
        source: str | None = None,
        run: str | None = None,
        agent: str | None = None,
        benchmark: str | None = None,
    ) -> Rows[Removed]:
        """Remove the attempts that fit all that is named; their sources can be imported again.

        Parameters
        ----------
        source, agent : str, optional
            The path of a source, and the label of an agent; globs are understood.
        run, benchmark : str, optional
            The id of a run, and the name of a benchmark.

        Raises
        ------
        InputError
            Nothing is named.
        """
        what = {"source": source, "run": run, "agent": agent, "benchmark": benchmark}
        named = {name: text for name, text in what.items() if text is not None}
        if not named:
            msg = "expected a source, run, agent or benchmark to forget, got none: name one"
            raise InputError(msg)
        with transaction(self._connection):
            benchmark_id = None if benchmark is None else self._id(benchmark)
            rows = fetch(self._connection, "forgettable", benchmark_id=benchmark_id, run=run)
            labels = read_labels(self._connection, sorted({row[3] for row in rows}))
            chosen = [
                (run_id, source_id, (name, label, where), attempts)
                for run_id, agent_id, source_id, name, where, attempts in rows
                for label in [labels[name, agent_id]]
                if (source is None or _fits(where, source))
                and (agent is None or _fits(label, agent))
            ]
            if chosen:
                _forget(self._connection, [each[:2] for each in chosen])
                self._connection.execute(
                    "INSERT INTO removals"
                    " VALUES (CAST(get_current_timestamp() AS TIMESTAMP), ?, ?)",
                    [json.dumps(named), sum(each[3] for each in chosen)],
                )
        sums: Counter[tuple[str, str, str]] = Counter()
        for *_, place, attempts in chosen:
            sums[place] += attempts
        removed = [
            Removed(benchmark=name, agent=label, source=where, attempts=attempts)
            for (name, label, where), attempts in sorted(sums.items())
        ]
        return Rows(removed, of=Removed)

    def alias(self, what: Literal["agent", "benchmark"], alias: str, name: str) -> int:
        """Let `alias` stand for `name`, for what is held and for what will be imported.

        Two agents of which one is an alias of the other are one agent. A benchmark that becomes an
        alias moves its results to the other.

        Returns
        -------
        int
            Attempts that were moved to another benchmark.
        """
        with transaction(self._connection):
            return set_alias(self._connection, what, alias, name)

    def aliases(self, what: Literal["agent", "benchmark"]) -> dict[str, str]:
        """Return the aliases of agents or benchmarks, each with the name that it stands for."""
        return read_aliases(self._connection, what)


def plain_benchmark(name: str) -> str:
    """Return a benchmark's name without the package of evaluations that it was run from.

    >>> plain_benchmark("inspect_evals/gsm8k")
    'gsm8k'
    """
    return name.removeprefix("inspect_evals/")


def _named(options: str) -> tuple[str, str]:
    """Return the benchmark and the metric that the options of a source name."""
    said = json.loads(options) if options else {}
    return str(said.get("benchmark") or ""), str(said.get("metric") or "")


def _benchmark_id(connection: "DuckDBPyConnection", name: str) -> int | None:
    found = fetch_value(connection, "SELECT benchmark_id FROM benchmarks WHERE name = ?", name)
    return None if found is None else int(found)


def _origin(row: dict[str, Any], label: str) -> Origin:
    """Return one attempt and where it comes from, of a row of ``why``."""
    reader, version = row.pop("reader"), row.pop("reader_version")
    for name in ("started", "scored_at", "imported_at"):
        row[name] = utc(row[name])
    row["kind"] = OUTCOME_KINDS[row["kind"]]
    row["metric"] = Metric(name=row["metric"], key=row.pop("key")).label
    row["options"] = json.loads(row["options"] or "{}")
    row["notes"] = tuple(Note(code=code, text=text) for code, text in json.loads(row["notes"]))
    return Origin(agent=label, reader=f"{reader} {version}" if reader else "midband 0.1", **row)


def _staleness(source: str, reader: str, version: int, readers: Mapping[str, int]) -> str:
    """Return why a source should be read anew; empty if it need not or cannot be."""
    if not source and not reader:
        return ""  # added from memory: there is no file to read again
    if not reader:
        return "read by midband 0.1, which misread some formats: import it again"
    now = readers.get(reader, version)
    if version >= now:
        return ""
    return f"read by version {version} of the importer {reader}, now at {now}: import it again"


def _fits(text: str, wanted: str) -> bool:
    return text == wanted or fnmatchcase(text, wanted)


def _forget(connection: "DuckDBPyConnection", pairs: Sequence[tuple[int, int]]) -> None:
    """Remove the attempts of pairs of a run and a source, and what then has none left."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE forgotten AS SELECT unnest($1::INTEGER[]) AS run_id,"
        " unnest($2::INTEGER[]) AS source_id",
        [list(ids) for ids in zip(*pairs, strict=True)],
    )
    steps = ("forget_outcomes", "see_again", "forget_sources", "drop_orphans")
    run_all(connection, *steps, bound={"first": _ALL})
    for table in ("taken_away", "forgotten"):
        connection.execute(f"DROP TABLE {table}")


def set_alias(connection: "DuckDBPyConnection", what: str, alias: str, name: str) -> int:
    """Let one name stand for another, in the caller's transaction; return how many attempts move.

    Raises
    ------
    InputError
        The alias is the name, or would lead in a circle.
    """
    held = read_aliases(connection, what)
    name = held.get(name, name)
    if what == "benchmark":
        name = plain_benchmark(name)
        plain = plain_benchmark(alias)
        alias = alias if plain == name else plain
    if alias == name:
        msg = f"expected two names of one {what}, got {alias!r} twice"
        raise InputError(msg)
    connection.execute(
        "DELETE FROM aliases WHERE what = $what AND alias = $alias", {"what": what, "alias": alias}
    )
    connection.execute("INSERT INTO aliases VALUES (?, ?, ?)", [what, alias, name])
    connection.execute(
        "UPDATE aliases SET name = $name WHERE what = $what AND name = $alias",
        {"what": what, "alias": alias, "name": name},
    )
    if what != "benchmark":
        return 0
    old, new = _benchmark_id(connection, alias), _benchmark_id(connection, name)
    if old is None:
        return 0
    counted = "SELECT count(*) FROM outcomes JOIN runs USING (run_id) WHERE benchmark_id = ?"
    moved = fetch_value(connection, counted, old)
    if new is None:
        connection.execute("UPDATE benchmarks SET name = ? WHERE benchmark_id = ?", [name, old])
    else:
        _check_scales(connection, (alias, name), old, new)
        steps = ("merge_tasks", "merge_metrics", "merge_runs", "drop_orphans")
        run_all(connection, *steps, bound={"old": old, "new": new})
    return int(moved)


def _check_scales(
    connection: "DuckDBPyConnection", names: tuple[str, str], old: int, new: int
) -> None:
    """Refuse to join two benchmarks that differ in what one metric is."""
    theirs = [one.metric for _, _, one in read_metrics(connection, old)]
    ours = [one.metric for _, _, one in read_metrics(connection, new)]
    for one in theirs:
        for other in ours:
            if one.same_as(other) and not joinable(one, other):
                alias, name = names
                said = f"{alias} {one.label}".rstrip()
                msg = (
                    f"expected {one.label or 'the unnamed metric'} of {alias} to be that of"
                    f" {name}, got {one.scale_text()} and {other.scale_text()}: settle it with"
                    f" `midband history metric {said} --scale LOW HIGH`, and --lower-is-better"
                    " if it is"
                )
                raise InputError(msg)
