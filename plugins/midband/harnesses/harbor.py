"""Harbor: a ``result.json`` a trial, the job's own only compared; and a job a round."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midband.descriptors import (
    Capabilities,
    Command,
    Importer,
    Probe,
    ReadOptions,
    Round,
    subset_of,
)
from midband.harnesses._adapting import look_for, read_below, refuse, refuse_ids, tasks_of
from midband.harnesses._files import head, load_object
from midband.harnesses._harbor_jobs import read_job
from midband.harnesses._harbor_trials import WHAT, read_trial
from midband.hookspecs import hookimpl
from midband_history import InputError, Record

if TYPE_CHECKING:
    from midband.descriptors import Harness, ReadItem
    from midband_sampler import Plan

_TASKS = "midband names the tasks"
_SELF = "midband sets it"
_NO_RESULT = "there would be no results to read"
# What midband sets itself, and what would make a round other than it seems.
REFUSED = {
    **dict.fromkeys(("--include-task-name", "-i", "--exclude-task-name", "-x"), _TASKS),
    **dict.fromkeys(("--n-tasks", "-l", "--task", "-t"), _TASKS),
    **dict.fromkeys(("--n-attempts", "-k"), "it is --attempts of midband"),
    **dict.fromkeys(("--job-name", "--jobs-dir", "-o"), _SELF),
    **dict.fromkeys(("--launch", "--dry-run", "--print-config", "--install-only"), _NO_RESULT),
    "--disable-verification": _NO_RESULT,
    "--diff": "it would take results of another job for the round's",
}
_DATASETS = ("-d", "--dataset", "-p", "--path", "--repo")


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness to ``midband export`` and ``midband run``."""
    return [HarborHarness()]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="harbor",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            version=2,
            summary="Harbor jobs, a result.json a trial (terminal-bench 2).",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is the result of a trial or of a job."""
    if path.name != "result.json" or not path.is_file():
        return False
    start = head(path)
    return (b'"task_name":' in start and b'"trial_name":' in start) or _of_job(start)


def _of_job(start: bytes) -> bool:
    return b'"n_total_trials":' in start and b'"stats":{' in start


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Read one trial; of a job's own file, no results, but its means are compared.

    Harbor does not number attempts: trials of one task are numbered in order of their names, and
    known again by their ids. Whether a reward counts after an exception is Harbor's own policy,
    which the file states as of 0.26.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Of which `benchmark` overrides the name of the data set, and `metric` names the reward.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, is an aggregate without its trials or in contradiction to
        them, or holds several rewards of which none is chosen.
    """
    if _of_job(head(path)):
        yield from read_job(path, options)
    else:
        yield from read_trial(path, load_object(path, WHAT), options)


@dataclass(frozen=True, kw_only=True)
class HarborHarness:
    """``harbor run -i TASK ...``, a job a round."""

    name: str = "harbor"
    summary: str = "Harbor (terminal-bench 2): a job a round, each task by its name."
    tested_versions: tuple[str, ...] = ("0.24.0",)
    capabilities: Capabilities = Capabilities(subset=True, rounds=True, attempts=True, costs=True)  # noqa: RUF009 - frozen

    def probe(self) -> Probe:
        """Look for the ``harbor`` command."""
        hint = "pip install harbor, with Python 3.12 or newer"
        return look_for("harbor", package="harbor", hint=hint)

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> Iterator[Record]:
        """Yield the trials below `path`."""
        return read_below(path, sniff, read, benchmark=benchmark, what=WHAT, options=options)

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write nothing: the command names the tasks."""
        _check_ids(subset_of(plan, tasks))
        directory.mkdir(parents=True, exist_ok=True)
        return ()

    def build_command(self, batch: Round) -> Command:
        """Return ``harbor run``; without arguments, capitals stand for what is missing.

        Harbor goes on with a job of that name only where nothing was changed: where there is one,
        a round that is run again gets a job of its own.
        """
        tasks = tasks_of(batch)
        _check_ids(tasks)
        refuse(batch.arguments, REFUSED, abbreviated=False)
        given = {word.partition("=")[0] for word in batch.arguments}
        if batch.arguments and not given.intersection(_DATASETS):
            msg = (
                "expected -d DATASET or -p PATH for harbor run, got neither: say whose tasks to run"
            )
            raise InputError(msg)
        # fnmatch reads the names: a bracket in one is no pattern.
        patterns = [word for task in tasks for word in ("-i", glob.escape(task))]
        command = (
            *("harbor", "run", "--jobs-dir", str(batch.directory), "--job-name", _free_name(batch)),
            *("-k", str(batch.attempts), *patterns, "-y", "-q"),
            *(batch.arguments or ("-d", "DATASET", "-a", "AGENT", "-m", "MODEL")),
        )
        return Command(steps=(command,), results=batch.directory)


def _check_ids(tasks: Sequence[str]) -> None:
    refuse_ids(tasks, lambda task: not task, why="that Harbor can be given")


def _free_name(batch: Round) -> str:
    name, number = batch.name, 1
    while (batch.directory / name).exists():
        number += 1
        name = f"{batch.name}-{number}"
    return name
