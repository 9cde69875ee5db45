"""The HAL leaderboard's SQLite files: one row a run, with the tasks it solved and failed."""

import ast
import re
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from midband._descriptors import Importer
from midband.hookspecs import hookimpl
from midband_history import Record, UnreadableSourceError

SUFFIXES = (".db", ".sqlite", ".sqlite3")
_MAGIC = b"SQLite format 3\0"
_NEEDED = ("benchmark_name", "agent_name", "date", "run_id", "successful_tasks", "failed_tasks")
# "CORE-Agent (Claude Haiku 4.5 (October 2025))": what stands before the first bracket is scaffold.
_SCAFFOLD_AND_MODEL = re.compile(r"(?P<scaffold>.+?) \((?P<model>.+)\)")


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="hal",
            sniff=sniff,
            read=read,
            suffixes=SUFFIXES,
            summary="HAL leaderboard databases (SQLite, table parsed_results).",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is an SQLite database."""
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record for every task that a run solved or failed.

    HAL knows the cost of whole runs only. Where the name of an agent does not tell its model, the
    models that the run used stand in its name: HAL calls runs of several models alike.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the name of the benchmark.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        The file is truncated, is another database, or names a task both solved and failed.
    """
    del columns
    # No lock and no side file: the database may stand in a directory that is read-only.
    safe = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{safe}", uri=True)) as database:
            database.row_factory = sqlite3.Row
            _check(database, path)
            models = _models(database)
            for row in database.execute("SELECT * FROM parsed_results ORDER BY rowid"):
                yield from _run(row, path, benchmark=benchmark, models=models)
    except sqlite3.Error as error:
        msg = f"{path}: expected a HAL database, got a truncated or foreign file ({error})"
        raise UnreadableSourceError(msg) from error


def _check(database: sqlite3.Connection, path: Path) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        msg = f"{path}: expected a whole SQLite database, got a damaged one: copy it again"
        raise UnreadableSourceError(msg)
    names = {row["name"] for row in database.execute("PRAGMA table_info(parsed_results)")}
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        msg = (
            f"{path}: expected a HAL database with a table parsed_results of {', '.join(_NEEDED)},"
            f" got one without {', '.join(missing)}"
        )
        raise UnreadableSourceError(msg)


def _models(database: sqlite3.Connection) -> dict[tuple[str, str], str]:
    """Return the models that each run of each agent used, joined; of runs that tell."""
    if not database.execute("PRAGMA table_info(token_usage)").fetchall():
        return {}
    used: dict[tuple[str, str], list[str]] = {}
    for row in database.execute(
        "SELECT DISTINCT agent_name, run_id, model_name FROM token_usage"
        " WHERE model_name IS NOT NULL ORDER BY model_name"
    ):
        used.setdefault((row["agent_name"], row["run_id"]), []).append(row["model_name"])
    return {run: "+".join(names) for run, names in used.items()}


def _run(
    row: sqlite3.Row, path: Path, *, benchmark: str | None, models: Mapping[tuple[str, str], str]
) -> Iterator[Record]:
    name, run_id = str(row["agent_name"]), str(row["run_id"])
    parts = _SCAFFOLD_AND_MODEL.fullmatch(name)
    if parts is not None:
        agent, scaffold, model = name, parts["scaffold"], parts["model"]
    else:
        scaffold, model = name, models.get((name, run_id), "")
        agent = f"{name} ({model})" if model else name
    solved = _tasks(row["successful_tasks"], path, run_id)
    failed = _tasks(row["failed_tasks"], path, run_id)
    both = solved.keys() & failed.keys()
    if both:
        msg = (
            f"{path}: expected every task solved or failed, got {min(both)!r} of run {run_id}"
            " in both lists: correct the run"
        )
        raise UnreadableSourceError(msg)
    cost = row["total_cost"] if "total_cost" in row.keys() else None  # noqa: SIM118 - a Row is no mapping
    for tasks, score in ((solved, 1.0), (failed, 0.0)):
        for task in tasks:
            yield Record(
                benchmark=benchmark or str(row["benchmark_name"]),
                task_id=task,
                agent=agent,
                score=score,
                run_id=run_id,
                model=model,
                scaffold=scaffold,
                harness="hal",
                started=_date(row["date"]),
                run_cost_usd=None if cost is None else float(cost),
            )


def _tasks(text: object, path: Path, run_id: str) -> dict[str, None]:
    """Read a list of task ids, written as Python or JSON; each once, in order."""
    if text is None or text == "":
        return {}
    try:
        found = ast.literal_eval(str(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        msg = f"{path}: expected a list of tasks in run {run_id}, got {str(text)[:40]!r}"
        raise UnreadableSourceError(msg) from error
    if not isinstance(found, list):
        msg = f"{path}: expected a list of tasks in run {run_id}, got {str(text)[:40]!r}"
        raise UnreadableSourceError(msg)
    return dict.fromkeys(str(task) for task in found)


def _date(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
