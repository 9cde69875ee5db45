"""The inbox: batches of results on their way into a history, each one immutable Parquet file.

A writer never waits for another: it writes its batch under a name that no reader looks at, has the
disk confirm it, and renames it. From then on every reader of the history counts it. Whoever writes
to the history next takes in all batches; ``batches`` in the store remembers which.
"""

import hashlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from midband_history.connection import (
    connect_plain,
    fetch,
    quoted,
    run_all,
    statement,
    transaction,
)
from midband_history.damage import first_line
from midband_history.errors import StoreError
from midband_history.ingest import add_staged, next_source_ids
from midband_history.metrics import Metric
from midband_history.record_columns import copy_flat, stage_empty
from midband_history.records import Incoming, Note, Record

if TYPE_CHECKING:
    from types import TracebackType

    from duckdb import DuckDBPyConnection

_SUFFIX = ".parquet"
_FORMAT = 1
_NAME = re.compile(r"\d{20}-[0-9a-f]{32}-(?P<digest>[0-9a-f]{32})\.parquet")
_DESCRIBED = ("name", "digest", "content", "reader", "reader_version", "options")
# Batches that are taken in by one transaction.
_TOGETHER = 1_000
REFUSED = "refused"
BROKEN = "broken"


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Result of taking one batch into the history.

    Parameters
    ----------
    name : str
        Of its file.
    attempts : int
        Attempts that were new.
    refused : str
        Why a source of it was not added, or why the batch cannot be read; its file is kept. Empty
        if all was added.
    """

    name: str
    attempts: int = 0
    refused: str = ""


class Inbox:
    """The batches beside one history file, in ``inbox/<name of the file>/``.

    Examples
    --------
    >>> import tempfile
    >>> from midband_history import History
    >>> path = Path(tempfile.mkdtemp()) / "history.duckdb"
    >>> with Inbox(path) as inbox:
    ...     _ = inbox.write([Record(benchmark="toy", task_id="1", agent="a", score=1.0)])
    >>> with History.open(path, read_only=True) as history:
    ...     history.outcomes("toy").agents
    ('a',)
    """

    def __init__(self, history: Path | str) -> None:
        path = Path(history).expanduser()
        self.folder = path.parent / "inbox" / path.name
        self.shown = self.folder
        self._connection: DuckDBPyConnection | None = None

    def write(
        self, records: Iterable[Record], *, source: str = "", source_digest: str = ""
    ) -> Path | None:
        """Add the attempts of one source; when this returns, no crash can lose them.

        No other process is waited for. Whether the attempts contradict what the history holds is
        found when it takes the batch in: then it is refused as a whole, and its file is kept.

        Parameters
        ----------
        records : iterable of Record
        source, source_digest : str
            As in `History.add`.

        Returns
        -------
        path or None
            The file of the batch; None if there were no records.

        Raises
        ------
        StoreError
            The batch cannot be written; nothing of it was added.
        """
        return self.write_sources([Incoming(records=records, name=source, digest=source_digest)])

    def write_sources(self, sources: Sequence[Incoming]) -> Path | None:
        """Add several sources as one batch; otherwise as `write`."""
        import duckdb

        if self._connection is None:
            self._connection = connect_plain()
            self._connection.execute("SET threads = 1")  # a batch is small, and others write too
        connection = self._connection
        metrics: dict[Metric, int] = {}
        numbered = ((n, record) for n, source in enumerate(sources) for record in source.records)
        unfinished = self.folder / f"{uuid.uuid4().hex}.unfinished"

        def copy(rows: str) -> str:
            described = {
                "format": _FORMAT,
                "sources": [_described(each) for each in sources],
                "metrics": [asdict(each) for each in metrics],
            }
            self.folder.mkdir(parents=True, exist_ok=True)
            return (
                f"COPY ({rows}) TO {quoted(str(unfinished))} (FORMAT parquet,"
                f" COMPRESSION zstd, KV_METADATA {{midband: {quoted(json.dumps(described))}}})"
            )

        try:
            if not copy_flat(connection, numbered, metrics, copy):
                return None
            name = f"{time.time_ns():020d}-{uuid.uuid4().hex}-{_digest(unfinished)}{_SUFFIX}"
            confirm(unfinished)
            unfinished.rename(self.folder / name)
            confirm(self.folder)
        except (duckdb.Error, OSError) as error:
            with suppress(OSError):
                unfinished.unlink(missing_ok=True)
            msg = (
                f"expected to write a batch to {self.folder}, got: {first_line(error)};"
                " nothing of it was added"
            )
            raise StoreError(msg) from error
        return self.folder / name

    def names(self) -> list[str]:
        """Return the names of the batches that are there, the oldest first."""
        try:
            found = [each.name for each in self.folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            msg = f"expected to read the inbox {self.folder}, got: {first_line(error)}"
            raise StoreError(msg) from error
        return sorted(name for name in found if _NAME.fullmatch(name))

    def copied(self, history: Path) -> "Inbox":
        """Return a copy of the inbox, beside another file, that nobody takes in.

        Raises
        ------
        FileNotFoundError
            A batch was taken in meanwhile.
        """
        copy = Inbox(history)
        copy.shown = self.folder
        names = self.names()
        copy.folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            shutil.copyfile(self.folder / name, copy.folder / name)
        return copy

    def set_aside(self) -> list[Path]:
        """Return the batches that the history has refused or could not read."""
        return sorted(
            path for kind in (REFUSED, BROKEN) for path in (self.folder / kind).glob(f"*{_SUFFIX}")
        )

    def remove(self, batches: Iterable[Batch]) -> None:
        """Remove batches that the history has taken in; those it refused are kept aside."""
        for batch in batches:
            path = self.folder / batch.name
            with suppress(FileNotFoundError):
                if batch.refused:
                    whole = _NAME.fullmatch(batch.name) and _is_whole(path)
                    aside = self.folder / (REFUSED if whole else BROKEN)
                    aside.mkdir(exist_ok=True)
                    path.rename(aside / batch.name)
                else:
                    path.unlink()

    def close(self) -> None:
        """Let go of what writing needs; the inbox itself stays."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: "type[BaseException] | None",
        error: BaseException | None,
        trace: "TracebackType | None",
    ) -> None:
        self.close()


def pending(connection: "DuckDBPyConnection", names: Sequence[str]) -> list[str]:
    """Return those batches that an open store has not yet taken in."""
    if not names:
        return []
    held = {name for (name,) in fetch(connection, "folded", names=list(names))}
    return [name for name in names if name not in held]


def fold(
    connection: "DuckDBPyConnection", inbox: Inbox, *, keep_broken: bool = False
) -> list[Batch]:
    """Take in every batch of the inbox that the store does not hold yet.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Open for writing, outside a transaction. The files of the inbox are left as they are.
    keep_broken : bool
        Whether a batch that cannot be read is refused; else it is an error, as for a reader who
        must not pass over results in silence.

    Returns
    -------
    list of Batch
        All batches whose files can be removed once the store is safe on the disk.

    Raises
    ------
    StoreError
        A batch cannot be read.
    FileNotFoundError
        A batch has gone since: another process has taken it in.
    """
    there = inbox.names()  # once: what arrives after this is of the next fold
    names = pending(connection, there)
    done = [Batch(name=name) for name in sorted(set(there).difference(names))]
    rest = iter(names)
    while group := list(islice(rest, _TOGETHER)):
        whole, broken = [], []
        for name in group:
            if _is_whole(inbox.folder / name):
                whole.append(name)
                continue
            reason = (
                f"expected the whole batch {inbox.shown / name}, got a damaged file: set it aside"
                " with `midband history compact`, and import its source again"
            )
            if not keep_broken:
                raise StoreError(reason)
            broken.append(Batch(name=name, refused=reason))
        with transaction(connection):
            done += _take_in(connection, inbox, whole)
        done += broken
    return done


def _take_in(connection: "DuckDBPyConnection", inbox: Inbox, names: list[str]) -> list[Batch]:
    """Add whole batches within the caller's transaction."""
    if not names:
        return []
    paths = [str(inbox.folder / name) for name in names]
    described = dict(
        connection.execute(
            "SELECT file_name, decode(value) FROM parquet_kv_metadata($paths)"
            " WHERE key = 'midband'",
            {"paths": paths},
        ).fetchall()
    )
    sources: list[Incoming] = []
    metrics: dict[Metric, int] = {}
    # For each number of a source or metric within a batch, the one here.
    renumbered: dict[str, list[tuple[str, int, int]]] = {"source": [], "metric": []}
    batch_of: list[int] = []
    for place, path in enumerate(paths):
        said = json.loads(described[path])
        if said["format"] > _FORMAT:
            msg = (
                f"expected batches of format {_FORMAT} or older in {inbox.shown}, got format"
                f" {said['format']} of a newer midband: upgrade with `pip install -U midband`"
            )
            raise StoreError(msg)
        for number, each in enumerate(said["sources"]):
            renumbered["source"].append((path, number, len(sources)))
            batch_of.append(place)
            sources.append(_incoming(each))
        for number, values in enumerate(said["metrics"]):
            metric = Metric(**values)
            mine = metrics.setdefault(metric, len(metrics))
            renumbered["metric"].append((path, number, mine))
    ids = next_source_ids(connection, len(sources))
    stage_empty(connection)
    bound: dict[str, object] = {"paths": paths, "first": ids[0]}
    for kind, rows in renumbered.items():
        files, theirs, ours = zip(*rows, strict=True) if rows else ((), (), ())
        bound |= {f"{kind}_files": list(files), f"{kind}_old": list(theirs)}
        bound[f"{kind}_new"] = list(ours)
    connection.execute(statement("stage_batches"), bound)
    run_all(connection, "name_batches")
    there, staged = fetch(connection, "batch_rows_staged", paths=paths)[0]
    if staged != there:
        msg = f"expected {there} attempts in the batches of {inbox.shown}, got {staged}: report it"
        raise StoreError(msg)
    reports = add_staged(connection, ids, sources, metrics)
    found = [Batch(name=name) for name in names]
    for place, source, report in zip(batch_of, sources, reports, strict=True):
        batch = found[place]
        reason = f"{source.name}: {report.refused}".removeprefix(": ") if report.refused else ""
        found[place] = replace(
            batch, attempts=batch.attempts + report.added, refused=batch.refused or reason
        )
    connection.execute(
        statement("note_batches"),
        {
            "names": [each.name for each in found],
            "attempts": [each.attempts for each in found],
            "refused": [each.refused for each in found],
        },
    )
    return found


def _described(source: Incoming) -> dict[str, Any]:
    said: dict[str, Any] = {name: getattr(source, name) for name in _DESCRIBED}
    return {**said, "notes": [[note.code, note.text] for note in source.notes]}


def _incoming(said: dict[str, Any]) -> Incoming:
    notes = [Note(code=code, text=text) for code, text in said.pop("notes")]
    return Incoming(**said, notes=notes)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _is_whole(path: Path) -> bool:
    """Whether a batch holds what its name says it does; Parquet itself would not notice."""
    found = _NAME.fullmatch(path.name)
    try:
        return found is not None and _digest(path) == found["digest"]
    except FileNotFoundError:
        raise
    except OSError:
        return False


def confirm(path: Path) -> None:
    """Wait until a file, or the names in a directory, are on the disk."""
    if path.is_dir() and os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
