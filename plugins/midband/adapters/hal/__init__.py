"""HAL: the leaderboard's SQLite files, a row a run; uploads of runs; the command on a subset."""

import ast
import re
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.base import Adapter, CommandHarness, option, run_name
from midband.adapters.files import foreign, number
from midband.adapters.hal.runs import (
    SUCCESS,
    Run,
    check_apart,
    read_upload,
    share,
    sniff_upload,
    stated_accuracies,
)
from midband.adapters.stated import Quantities, choose_metric
from midband.descriptors import Command, Importer, ReadOptions, Round
from midband_history import Note

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

SUFFIXES = (".db", ".sqlite", ".sqlite3")
_MAGIC = b"SQLite format 3\0"
_NEEDED = ("benchmark_name", "agent_name", "date", "run_id", "successful_tasks", "failed_tasks")
# "CORE-Agent (Claude Haiku 4.5 (October 2025))": what stands before the first bracket is scaffold.
_SCAFFOLD_AND_MODEL = re.compile(r"(?P<scaffold>.+?) \((?P<model>.+)\)")
_TASKS = "midband names the tasks"
# What midband sets itself, and what would make a round other than it seems.
REFUSED = {
    "--task_ids": _TASKS,
    "--max_tasks": _TASKS,
    "--run_id": "midband names the run",
    "--results_dir": "midband says where the results go",
    "--continue_run": "midband says when a run is taken up again",
    "--prompt_sensitivity": "its scores are of several prompts at once",
}


def sniff(path: Path) -> bool:
    """Whether a file is an SQLite database or an upload."""
    if sniff_upload(path):
        return True
    if path.suffix.lower() not in SUFFIXES or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record for every task that a run solved or failed; an upload as `read_upload`.

    HAL knows the cost of whole runs only. Where the name of an agent does not tell its model, the
    models that the run used stand in its name: HAL calls runs of several models alike.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Of which `benchmark` overrides the name of the benchmark.

    Raises
    ------
    UnreadableSourceError
        The file is truncated, is another database, or names a task both solved and failed.
    """
    choose_metric(path, options, SUCCESS.name)
    if path.suffix == ".json":
        yield from read_upload(path, options=options, naming=_SCAFFOLD_AND_MODEL)
        return
    # No lock and no side file: the database may stand in a directory that is read-only.
    safe = "mode=ro" if path.with_name(path.name + "-wal").exists() else "mode=ro&immutable=1"
    quantities = Quantities()
    runs = []
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?{safe}", uri=True)) as database:
            database.row_factory = sqlite3.Row
            _check(database, path)
            models = _models(database)
            for row in database.execute("SELECT * FROM parsed_results ORDER BY rowid"):
                run = _run(row, path, options=options, models=models)
                runs.append(run)
                yield from run.records(quantities)
    except sqlite3.Error as error:
        raise foreign(path, "a HAL database", f"a truncated or foreign file ({error})") from error
    nameless = {run.agent for run in runs if not run.model}
    if nameless:
        text = f"no model is named for {len(nameless)} agents, such as {min(nameless)}"
        yield Note(code="model-unknown", text=f"{text}: runs of several models may be mixed")
    yield from quantities.notes()
    yield from stated_accuracies(runs)


def _check(database: sqlite3.Connection, path: Path) -> None:
    found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise foreign(path, "a whole SQLite database", "a damaged one: copy it again")
    names = {row["name"] for row in database.execute("PRAGMA table_info(parsed_results)")}
    missing = [name for name in _NEEDED if name not in names]
    if missing:
        raise foreign(
            path,
            f"a HAL database with a table parsed_results of {', '.join(_NEEDED)}",
            f"one without {', '.join(missing)}",
        )


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
    row: sqlite3.Row, path: Path, *, options: ReadOptions, models: Mapping[tuple[str, str], str]
) -> Run:
    name, run_id = str(row["agent_name"]), str(row["run_id"])
    parts = _SCAFFOLD_AND_MODEL.fullmatch(name)
    if parts is not None:
        agent, scaffold, model = name, parts["scaffold"], parts["model"]
    else:
        scaffold, model = name, models.get((name, run_id), "")
        agent = f"{name} ({model})" if model else name
    solved = _tasks(row["successful_tasks"], path, run_id)
    failed = _tasks(row["failed_tasks"], path, run_id)
    check_apart(solved, failed, path, run_id)
    about = dict(zip(row.keys(), row, strict=True))
    return Run(
        benchmark=options.benchmark or str(row["benchmark_name"]),
        agent=agent,
        model=model,
        scaffold=scaffold,
        run_id=run_id,
        date=row["date"],
        solved=tuple(solved),
        failed=tuple(failed),
        cost=about.get("total_cost"),
        accuracy=share(number(about.get("accuracy"))),
    )


def _tasks(text: object, path: Path, run_id: str) -> dict[str, None]:
    """Read a list of task ids, written as Python or JSON; each once, in order."""
    refusal = foreign(path, f"a list of tasks in run {run_id}", f"{str(text)[:40]!r}")
    try:
        found = [] if text in (None, "") else ast.literal_eval(str(text))
    except (ValueError, SyntaxError, MemoryError, RecursionError) as error:
        raise refusal from error
    if not isinstance(found, list):
        raise refusal
    return dict.fromkeys(str(task) for task in found)


IMPORTER = Importer(
    name="hal",
    sniff=sniff,
    read=read,
    suffixes=(*SUFFIXES, ".json"),
    version=2,
    summary="HAL leaderboard databases (SQLite, table parsed_results), *_UPLOAD.json.",
)


class HalHarness(CommandHarness):
    """``hal-eval --task_ids ...``; the plan's benchmark is HAL's, unless ``--benchmark`` is."""

    name = "hal"
    summary = "HAL: hal-eval --task_ids, in rounds."
    importer = IMPORTER
    results = "an upload of HAL"
    program = "hal-eval"
    package = "hal"
    hint = "install the HAL harness from its source"
    refused = REFUSED
    abbreviated = False
    ids = "without commas or blanks at their ends, which HAL takes apart"
    once = "HAL runs a task once"

    def fits(self, task: str) -> bool:
        """Whether HAL would not take an id apart."""
        return bool(task) and "," not in task and task == task.strip()

    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        """Return ``hal-eval``.

        A round that is taken up again is continued: HAL's upload would else lose what it had.
        """
        given = option(batch.arguments, "--benchmark")
        run_id = run_name(batch)
        begun = batch.directory / (given or batch.plan.benchmark) / run_id
        command = (
            *("hal-eval", *(() if given else ("--benchmark", batch.plan.benchmark))),
            *("--task_ids", ",".join(tasks), "--run_id", run_id),
            *("--results_dir", str(batch.directory)),
            *(("--continue_run",) if (begun / f"{run_id}_RAW_SUBMISSIONS.jsonl").exists() else ()),
            *(batch.arguments or ("--agent_name", "NAME", "--agent_function", "MODULE.FUNCTION")),
        )
        return Command(steps=(command,), results=batch.directory)


ADAPTER = Adapter(IMPORTER, harnesses=[HalHarness()])
