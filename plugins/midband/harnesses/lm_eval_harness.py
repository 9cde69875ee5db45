"""lm-evaluation-harness: its samples files, and its command and library on a subset."""

import json
import re
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
from midband.harnesses._lm_eval_files import HARNESS, WHAT, sniff
from midband.harnesses._lm_eval_samples import read
from midband.hookspecs import hookimpl
from midband_history import InputError, Record

if TYPE_CHECKING:
    from midband.descriptors import Harness, RoundRunner
    from midband_sampler import Plan

SUBSET = "samples.json"
OUTPUT = "out"
# What midband sets itself, and what would make a round other than it seems.
REFUSED = {
    "--samples": "midband names the documents",
    "-E": "midband names the documents",
    "--limit": "midband names the documents",
    "-L": "midband names the documents",
    "--tasks": "the task is the plan's benchmark, and any other would run in full",
    "-t": "the task is the plan's benchmark, and any other would run in full",
    "--output_path": "midband says where the results go",
    "-o": "midband says where the results go",
    "--cache_requests": "it would give each round the documents of the one before",
    "--predict_only": "nothing would be scored",
    "-x": "nothing would be scored",
    "--config": "it may hold --cache_requests, --limit or other tasks: give each by itself",
    "-C": "it may hold --cache_requests, --limit or other tasks: give each by itself",
}
# By these the harness names the model; without one it invents a name for every run.
_NAMED = re.compile(r'(?:^|[,{\s])"?(?:peft|delta|pretrained|model|path|engine)"?\s*[=:]')


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness to ``midband export`` and ``midband run``."""
    return [LmEvalHarness()]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name=HARNESS,
            sniff=sniff,
            read=read,
            suffixes=(".jsonl", ".json"),
            summary="lm-evaluation-harness samples_*.jsonl, as written with --log_samples.",
            version=2,
            former_names=("lm_eval_harness",),
        )
    ]


@dataclass(frozen=True, kw_only=True)
class LmEvalHarness:
    """``lm_eval run --samples``, or ``simple_evaluate`` in this process.

    A task of the plan is a document of the harness's task, by its number; the plan's benchmark is
    the harness's task. A group of tasks is none: it would run in full.
    """

    name: str = HARNESS
    summary: str = "lm-evaluation-harness: --samples FILE, in rounds, also in process."
    tested_versions: tuple[str, ...] = ("0.4.13",)
    capabilities: Capabilities = Capabilities(subset=True, rounds=True, in_process=True)  # noqa: RUF009 - frozen

    def probe(self) -> Probe:
        """Look for the ``lm_eval`` command."""
        return look_for("lm_eval", package="lm_eval", hint="pip install lm-eval")

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> Iterator[Record]:
        """Yield the documents of the samples files below `path`."""
        return read_below(path, sniff, read, benchmark=benchmark, what=WHAT, options=options)

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write ``samples.json``: the numbers of the documents, which the harness needs sorted."""
        numbers = documents(subset_of(plan, tasks))
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / SUBSET
        path.write_text(json.dumps({plan.benchmark: numbers}) + "\n", encoding="utf-8")
        return (path,)

    def build_command(self, batch: Round) -> Command:
        """Return ``lm_eval run``; without arguments, capitals stand for what is missing."""
        check(batch)
        missing = ("--model", "MODEL", "--model_args", "pretrained=NAME")
        output = batch.directory / OUTPUT
        command = (
            *("lm_eval", "run", "--tasks", batch.plan.benchmark),
            *("--samples", str(batch.directory / SUBSET)),
            *("--output_path", str(output), "--log_samples"),
            *(batch.arguments or missing),
        )
        return Command(steps=(command,), results=output)

    def start(self, arguments: Sequence[str]) -> "RoundRunner":
        """Load the model that the arguments name, once for all rounds."""
        from midband.harnesses._lm_eval_in_process import InProcess

        refuse(arguments, REFUSED)
        return InProcess(tuple(arguments))


def documents(tasks: Sequence[str]) -> list[int]:
    """Return the numbers of documents, sorted: given unsorted, the harness mislabels them.

    Raises
    ------
    InputError
        An id is no number of a document.
    """
    refuse_ids(
        tasks,
        lambda task: not (task.isascii() and task.isdigit() and str(int(task)) == task),
        why="that are numbers of documents, as lm-evaluation-harness writes them in doc_id",
    )
    return sorted(int(task) for task in tasks)


def check(batch: Round) -> None:
    """Refuse a round that the harness would run otherwise than planned.

    Raises
    ------
    InputError
        See the lines.
    """
    documents(tasks_of(batch))
    refuse(batch.arguments, REFUSED)
    if batch.attempts != 1:
        msg = (
            f"expected one attempt a round, got {batch.attempts}: the harness runs a document once"
        )
        raise InputError(msg)
    values = [word for word in batch.arguments if not word.startswith("-")]
    if batch.arguments and not any(_NAMED.search(value) for value in values):
        msg = (
            "expected the model's name in --model_args, such as pretrained=NAME or model=NAME,"
            " got none: the harness would invent another name for each round"
        )
        raise InputError(msg)
