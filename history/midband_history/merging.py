"""How a history leaves as one file without loss, and how the results of another join it."""

import json
import os
import secrets
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband_history.aliases import plain_benchmark, set_alias
from midband_history.connection import fetch, fetch_value, quoted, run_all, statement
from midband_history.errors import InputError, StoreError, UnreadableSourceError
from midband_history.ingest import add_staged, next_source_ids
from midband_history.labels import read_aliases, read_labels
from midband_history.metrics import Metric
from midband_history.provenance import Upkeep
from midband_history.records import OUTCOME_KINDS, Incoming
from midband_history.scanning import cause

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_FORMAT = 1
_PARQUET = b"PAR1"
_PARTS = ("agents", "runs", "sources")


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeReport:
    """Result of merging another history.

    Parameters
    ----------
    added : int
        Attempts that were new.
    duplicates : int
        Attempts that the history held already.
    sources : int
        Sources of the other history.
    skipped : tuple of str
        What was kept as it is here although the other history says otherwise: one sentence each.
    refused : tuple of str
        Sources of the other of which nothing was added, each with the reason.
    """

    added: int
    duplicates: int
    sources: int
    skipped: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()


class Sharing(Upkeep):
    """The part of `History` that exchanges results with other histories."""

    def export(
        self,
        path: str | Path,
        *,
        benchmark: str | None = None,
        anonymise: bool = False,
        salt: str | None = None,
        private: bool = False,
    ) -> int:
        """Write every attempt, with all that is known of it, to one Parquet file.

        `merge` adds the file to another history without loss. A row is an attempt, in the columns
        of `TABLE_COLUMNS` and further ones for its metric, key and source, so that other programs
        can read it too. The file is there as a whole or not at all. What `forget` has removed is
        not in it, nor is the list of what was removed.

        Parameters
        ----------
        path : path
            A file that is there is replaced.
        benchmark : str, optional
            Only the results on this one.
        anonymise : bool
            Whether agents, runs and sources get made-up names, and everything else that identifies
            them is left out: model, scaffold, version, settings, options, notes, digests of
            sources and aliases. An agent has one name throughout the file. Names of
            benchmarks and tasks, times, costs and scores stay.
        salt : str, optional
            Secret text on which the made-up names depend. Two exports with one salt give an agent
            the same name. By default it is drawn at random and kept nowhere.
        private : bool
            Whether only the user may read the file (mode 0600); otherwise the umask decides.

        Returns
        -------
        int
            Attempts in the file.

        Raises
        ------
        StoreError
            The file cannot be written.
        UnknownBenchmarkError
            The history does not hold the benchmark.
        """
        if salt is not None and not (anonymise and salt):
            msg = "expected a salt that is not empty, for an anonymous export only: drop it"
            raise InputError(msg)
        path = Path(path).expanduser()
        benchmark_id = None if benchmark is None else self._id(benchmark)
        secret = sha256((salt or secrets.token_hex(32)).encode()).hexdigest() if anonymise else ""
        return _export(self._connection, path, benchmark_id, salt=secret, private=private)

    def merge(self, other: "str | Path | Sharing") -> MergeReport:
        """Add every attempt of another history, with where it comes from; all or nothing.

        An attempt that is held already, by the same key and metric, is left as it is, so that
        merging twice adds nothing. One that was scored again later takes the place of the earlier
        scoring. Aliases and what is stated of metrics are taken over, unless something else is
        stated here. A source that contradicts this history is refused as a whole.

        Parameters
        ----------
        other : path or History
            A history file, which is only read; a file that `export` has written; or an open
            history.

        Raises
        ------
        InputError
            It is this history itself, or persons have stated different things of one metric.
        UnreadableSourceError
            The file is damaged, or is no export.
        StoreError
            The other history cannot be opened.
        """
        if isinstance(other, Sharing):
            if other is self:
                msg = "expected another history to merge, got this one itself: name another"
                raise InputError(msg)
            with tempfile.TemporaryDirectory(prefix="midband-") as folder:
                file = Path(folder) / "history.parquet"
                other.export(file)
                return self._merge_file(file)
        path = Path(other).expanduser()
        if _is_parquet(path):
            return self._merge_file(path)
        if self.path is not None and path.exists() and path.samefile(self.path):
            msg = f"expected another history to merge, got this one itself, {path}: name another"
            raise InputError(msg)
        with Sharing.open(path, read_only=True) as opened:
            return self.merge(opened)

    def _merge_file(self, path: Path) -> MergeReport:
        facts, rows = _survey(self._connection, path)
        with self._writing() as connection:
            return _merge(connection, path, facts, rows)


def _is_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_PARQUET)) == _PARQUET
    except OSError:  # opening it as a history says why
        return False


def _export(
    connection: "DuckDBPyConnection",
    path: Path,
    benchmark_id: int | None,
    *,
    salt: str,
    private: bool,
) -> int:
    """Write the file beside its place, then put it there."""
    import duckdb

    for part in _PARTS:
        bound: dict[str, object] = {"salt": salt} if salt else {}
        if salt and part == "agents":
            bound |= dict(zip(("agents", "persons"), _joined_agents(connection), strict=True))
        connection.execute(statement(f"{'anonymous' if salt else 'export'}_{part}"), bound or None)
    bound = {"kinds": list(OUTCOME_KINDS), "salt": salt, "benchmark_id": benchmark_id}
    counted = connection.execute(
        f"{statement('digest_of_rows')} ({statement('exported_rows')})", bound
    ).fetchall()
    facts = {
        "format": _FORMAT,
        "rows": counted[0][0],
        "digest": counted[0][1],
        "aliases": connection.execute("SELECT what, alias, name FROM aliases ORDER BY ALL")
        .fetchall() if benchmark_id is None and not salt else [],
        "metrics": fetch(connection, "exported_metrics", benchmark_id=benchmark_id),
        "sources": fetch(connection, "exported_sources") if benchmark_id is None else [],
        "labels": [] if salt else fetch(connection, "exported_labels"),
    }  # fmt: skip
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=".midband-") as folder:
            file = Path(folder) / "export.parquet"
            connection.execute(
                f"COPY ({statement('exported_rows')}) TO {quoted(str(file))} (FORMAT parquet,"
                f" COMPRESSION zstd, KV_METADATA {{midband: {quoted(_sealed(facts))}}})",
                bound,
            )
            if private:
                file.chmod(0o600)
            with file.open("rb+") as written:
                os.fsync(written.fileno())
            file.replace(path)
    except (duckdb.Error, OSError) as error:
        reason = cause(error) if isinstance(error, duckdb.Error) else error.strerror
        msg = f"expected to write {path}, got: {reason}: put that right, or name another file"
        raise StoreError(msg) from error
    finally:
        for part in _PARTS:
            connection.execute(f"DROP TABLE IF EXISTS export_{part}")
    return int(facts["rows"])


def _sealed(facts: Mapping[str, Any]) -> str:
    """Return facts as JSON that tells when it is damaged."""
    text = json.dumps(facts)
    return json.dumps({"digest": sha256(text.encode()).hexdigest(), "facts": text})


def _joined_agents(connection: "DuckDBPyConnection") -> tuple[list[int], list[int]]:
    """Return agents that an alias makes one with another, and that other, the least of them."""
    names = [str(row[0]) for row in fetch(connection, "names_of_benchmarks")]
    first: dict[tuple[str, str], int] = {}
    person: dict[int, int] = {}

    def find(agent: int) -> int:
        while person.get(agent, agent) != agent:
            agent = person[agent]
        return agent

    for (benchmark, agent_id), label in sorted(read_labels(connection, names).items()):
        one, two = find(first.setdefault((benchmark, label), agent_id)), find(agent_id)
        person[max(one, two)] = min(one, two)
    joined = {agent: find(agent) for agent in person if find(agent) != agent}
    return list(joined), list(joined.values())


def _survey(connection: "DuckDBPyConnection", path: Path) -> tuple[dict[str, Any], int]:
    """Return what a file states of itself, and its number of rows; check every row."""
    import duckdb

    try:
        stated = connection.execute(
            "SELECT value FROM parquet_kv_metadata($path)"
            " WHERE CAST(key AS VARCHAR) = 'midband'",  # of some versions of DuckDB it is bytes
            {"path": str(path)},
        ).fetchone()
        sealed = json.loads(stated[0]) if stated else None
        if not isinstance(sealed, dict):
            msg = (
                f"{path}: expected a file that `midband history export` wrote, got another Parquet"
                " file: read a table of results with `midband import`"
            )
            raise UnreadableSourceError(msg)
        facts: dict[str, Any] = json.loads(sealed["facts"])
        if _sealed(facts) != json.dumps(sealed):
            msg = f"{path}: expected the facts that were written, got others: export it again"
            raise UnreadableSourceError(msg)
        if facts["format"] > _FORMAT:
            msg = (
                f"{path}: expected format {_FORMAT} or older, got {facts['format']} of a newer"
                " midband: upgrade with `pip install -U midband`"
            )
            raise UnreadableSourceError(msg)
        bound = {"path": str(path), "kinds": list(OUTCOME_KINDS)}
        rows, digest = connection.execute(
            f"{statement('digest_of_rows')} read_parquet($path)", {"path": str(path)}
        ).fetchall()[0]
        faulty = fetch(connection, "faulty_rows", **bound)[0][0]
    except (duckdb.Error, UnicodeDecodeError, json.JSONDecodeError, KeyError) as error:
        reason = cause(error) if isinstance(error, duckdb.Error) else str(error)
        msg = f"{path}: expected a whole export of a history, got: {reason}: export it again"
        raise UnreadableSourceError(msg) from error
    if faulty or (rows, digest) != (facts["rows"], facts["digest"]):
        msg = (
            f"{path}: expected the {facts['rows']:,} attempts that were written, got {rows:,} rows"
            " that differ: the file is damaged, export the history again"
        )
        raise UnreadableSourceError(msg)
    return facts, rows


def _merge(
    connection: "DuckDBPyConnection", path: Path, facts: Mapping[str, Any], rows: int
) -> MergeReport:
    """Add the rows of an export to the store, within the caller's transaction."""
    skipped = _take_aliases(connection, facts["aliases"])
    last = next_source_ids(connection, 1)[0] - 1
    last_agent = fetch_value(connection, "SELECT coalesce(max(agent_id), 0) FROM agents")
    bound = {"path": str(path), "last": last, "kinds": list(OUTCOME_KINDS)}
    without = [json.dumps(each) for each in facts["sources"]]
    run_all(connection, "stage", "other_sources", bound={**bound, "without": without})
    run_all(connection, "other_metrics", bound=_metrics(connection, facts["metrics"]))
    run_all(connection, "stage_other", "name_batches", "idle_metrics", bound=bound)
    staged = fetch_value(connection, "SELECT count(*) FROM incoming")
    if staged != rows:
        msg = (
            f"{path}: expected the metric of each of {rows:,} attempts, got {staged:,}: export the"
            " history again"
        )
        raise UnreadableSourceError(msg)
    names = ("name", "digest", "content", "reader", "reader_version", "options")
    found = connection.execute(
        f"SELECT new, {', '.join(names)} FROM other_sources ORDER BY new"
    ).fetchall()
    ids = [int(row[0]) for row in found]
    sources = [Incoming(**dict(zip(names, row[1:], strict=True))) for row in found]
    reports = add_staged(connection, ids, sources, {}) if ids else []
    run_all(connection, "join_sources", "join_idle_metrics", bound=bound)
    labels = [json.dumps(each) for each in facts["labels"]]
    run_all(connection, "join_labels", bound={"last": last_agent, "labels": labels})
    for source, report in zip(sources, reports, strict=True):
        skipped += [f"{source.name or 'memory'}: {each}" for each in report.skipped]
    return MergeReport(
        added=sum(each.added for each in reports),
        duplicates=sum(each.duplicates for each in reports),
        sources=len(sources),
        skipped=tuple(skipped),
        refused=tuple(
            f"{source.name or 'memory'}: {report.refused}"
            for source, report in zip(sources, reports, strict=True)
            if report.refused
        ),
    )


def _take_aliases(connection: "DuckDBPyConnection", aliases: list[list[str]]) -> list[str]:
    """Let the aliases of the other hold here too; say which contradict those that do."""
    for what, alias, name in aliases:
        held = read_aliases(connection, what)
        if alias not in held and held.get(name, name) != alias:
            set_alias(connection, what, alias, name)
    skipped = []
    for what, alias, name in aliases:
        held = read_aliases(connection, what)
        meant = held.get(name, name)
        if held.get(alias, alias) != meant:
            here = held.get(alias, alias)
            skipped.append(f"{what} {alias} stands for {name} there and for {here} here: kept")
    return skipped


def _metrics(connection: "DuckDBPyConnection", metrics: list[list[Any]]) -> dict[str, list[Any]]:
    """Return the metrics of the other, in columns; what a person has stated here stands.

    Raises
    ------
    InputError
        Persons have stated different things of one metric.
    """
    aliases = read_aliases(connection, "benchmark")
    held = {
        (row[0], row[1], row[2]): row[3:7]
        for row in fetch(connection, "exported_metrics", benchmark_id=None)
    }
    columns: dict[str, list[Any]] = {
        name: []
        for name in (
            *("numbers", "benchmarks", "homes", "names", "keys", "lows", "highs", "ways"),
            *("declared", "seen_lows", "seen_highs"),
        )
    }
    for number, (benchmark, name, key, *said, seen_low, seen_high) in enumerate(metrics):
        plain = plain_benchmark(benchmark)
        home = aliases.get(plain, plain)
        stated = held.get((home, name, key), tuple(said))
        if stated[3] == "user":
            if said[3] == "user" and stated != tuple(said):
                raise InputError(_difference(home, name, key, stated, tuple(said)))
            said = list(stated)
        row = (number, benchmark, home, name, key, *said, seen_low, seen_high)
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
    return columns


def _difference(
    benchmark: str, name: str, key: str, ours: tuple[Any, ...], theirs: tuple[Any, ...]
) -> str:
    mine, other = (
        Metric(name=name, key=key, low=low, high=high, lower_is_better=way, declared=declared)
        for low, high, way, declared in (ours, theirs)
    )
    label = f" {mine.label}" if mine.label else ""
    return (
        f"expected metric{label} of {benchmark} from {mine.scale_text()} as stated here, got"
        f" {other.scale_text()} in the other history: state one of them in both with"
        f" `midband history metric {benchmark}{label} --scale LOW HIGH`"
    )
