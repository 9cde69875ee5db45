"""tau-bench (v1) result files: a list of runs, in which an exception stands as reward 0."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.base import Adapter, ImportOnly
from midband.adapters.files import (
    content_hash,
    entries,
    foreign,
    mapping,
    start_of,
    truth_or_number,
)
from midband.adapters.stated import attempt_number, choose_metric, errors_counted
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midband.descriptors import ReadItem

_WHAT = "a tau-bench result file"
REWARD = Metric(name="reward", declared="source")  # of both versions: a product of checks
_HEAD = re.compile(rb'\[\{"task_id":\d+,"reward":')
_DOMAIN = re.compile(r"[-_.]?(?P<domain>airline|retail)", re.IGNORECASE)
# "tool-calling-gpt-4o-0.0_range_0--1_user-gpt-4o-llm_0614120000"
_OWN_NAME = re.compile(r"(?P<agent>.+)_range_-?\d+--?\d+_user-(?P<user>.+)_\d{8,10}$")


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with a task and its reward."""
    return _HEAD.match(start_of(path, ".json")) is not None


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record a run; the file's name is all that tells agent and domain.

    A run that ended in an exception stands in the file with reward 0, and tau-bench counts it so.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Of which `benchmark` is needed unless the file's name holds ``airline`` or ``retail``: both
        count tasks from 0.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or nothing tells the domain.
    """
    choose_metric(path, options, REWARD.name)
    domains = {found["domain"].lower() for found in _DOMAIN.finditer(path.stem)}
    domain = min(domains) if len(domains) == 1 else ""
    if options.benchmark is None and not domain:
        raise foreign(path, "the domain in the file's name", "none: use --benchmark tau-airline")
    own = _OWN_NAME.match(path.stem)
    agent = own["agent"] if own else _DOMAIN.sub("", path.stem) or path.stem
    errors = 0
    for run in entries(path, _WHAT):
        info = mapping(run.get("info"))
        trial = attempt_number(run.get("trial"))
        if run.get("task_id") is None or trial is None:
            raise foreign(path, _WHAT, "a run without its task_id and trial")
        score = truth_or_number(run.get("reward"))
        task = info.get("task")
        errored = info.get("error") is not None
        errors += errored
        yield Record(
            benchmark=options.benchmark or f"tau-{domain}",
            task_id=str(run["task_id"]),
            agent=options.agent or agent,
            score=score,
            kind="missing" if score is None else "valid",
            attempt=trial,
            run_id=path.stem,
            settings={"user": own["user"]} if own else {},
            harness="tau-bench",
            task_digest=content_hash(task) if task else "",
            metric=REWARD,
            part=domain,
            errored=errored,
        )
    what = "runs ended in an exception; tau-bench counts them by their reward of 0"
    yield from errors_counted(errors, what, options)


IMPORTER = Importer(
    name="tau-bench",
    sniff=sniff,
    read=read,
    suffixes=(".json",),
    version=2,
    summary="tau-bench v1 result files; the domain from the name or --benchmark.",
)
ADAPTER = Adapter(
    IMPORTER,
    harnesses=[
        ImportOnly(
            importer=IMPORTER,
            results="tau-bench v1: its result files are read.",
            why="it has been followed by tau2-bench, which takes task ids and tells errors apart",
        )
    ],
)
