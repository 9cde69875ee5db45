"""lm-evaluation-harness: its samples files, and its command and library on a subset."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband._harness import Capabilities, Command, Probe, Round, subset_of
from midband.harnesses._adapting import look_for, read_below, refuse, refuse_ids, tasks_of
from midband.harnesses._files import (
    foreign,
    head,
    load_lines,
    load_optional,
    mapping,
    moment,
    unit_score,
)
from midband.hookspecs import hookimpl
from midband_history import InputError, Record

if TYPE_CHECKING:
    from midband._harness import Harness, RoundRunner
    from midband_sampler import Plan

_WHAT = "samples of lm-evaluation-harness"
_SAMPLES = re.compile(
    r"samples_(?P<task>.+)_(?P<when>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?)\.jsonl"
)
_RESULTS = re.compile(r"results_(?P<when>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?)\.json")
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
            name="lm_eval_harness",
            sniff=sniff,
            read=read,
            suffixes=(".jsonl", ".json"),
            summary="lm-evaluation-harness samples_*.jsonl, as written with --log_samples.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is named like samples or results of the harness, and begins like them."""
    if _SAMPLES.fullmatch(path.name):
        return path.is_file() and b'"doc_id":' in head(path)
    return bool(_RESULTS.fullmatch(path.name)) and path.is_file() and _of_results(path)


def _of_results(path: Path) -> bool:
    return head(path).startswith(b'{"results":{')


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record a document, by the task's first filter and first metric in [0, 1].

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the name of the harness's task.
    columns : mapping
        ``{"exact_match": "score"}`` chooses the metric.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, is the aggregate without samples, or has two documents
        under one number, as unsorted ``--samples`` make it write.
    """
    named = _SAMPLES.fullmatch(path.name)
    if named is None:
        found = _RESULTS.fullmatch(path.name)
        if found is None or not any(path.parent.glob(f"samples_*_{found['when']}.jsonl")):
            got = "an aggregate: run with --log_samples, and import the samples_*.jsonl"
            raise foreign(path, _WHAT, got)
        return
    results = load_optional(path.with_name(f"results_{named['when']}.json"), "results of lm_eval")
    task = named["task"]
    shared = _shared(results, path, task=task, when=named["when"])
    better = mapping(mapping(results.get("higher_is_better")).get(task))
    filters = mapping(mapping(results.get("configs")).get(task)).get("filter_list") or [{}]
    primary = mapping(filters[0]).get("name") if isinstance(filters, list) else None
    chosen = next((theirs for theirs, ours in columns.items() if ours == "score"), None)
    seen: Counter[str] = Counter()
    digests: dict[str, str] = {}
    for row in load_lines(path, _WHAT):
        if row.get("doc_id") is None:
            raise foreign(path, _WHAT, "a row without doc_id")
        primary = primary or row.get("filter", "none")
        if row.get("filter", "none") != primary:
            continue
        document, digest = str(row["doc_id"]), str(row.get("doc_hash") or "")
        if digests.setdefault(document, digest) != digest:
            got = f"two documents under doc_id {document}: run again with sorted --samples"
            raise foreign(path, _WHAT, got)
        score = unit_score(row.get(chosen or _metric(row, better)))
        yield Record(
            **shared,
            benchmark=benchmark or task,
            task_id=document,
            score=score,
            kind="missing" if score is None else "valid",
            attempt=seen[document],
            task_digest=digest,
        )
        seen[document] += 1


def _metric(row: dict[str, Any], better: dict[str, Any]) -> str:
    metrics = row.get("metrics")
    names = [str(each) for each in metrics] if isinstance(metrics, list) else []
    return next((name for name in names if better.get(name) is not False), "")


def _shared(results: dict[str, Any], path: Path, *, task: str, when: str) -> dict[str, Any]:
    config = mapping(results.get("config"))
    model = str(results.get("model_name") or path.parent.name.replace("__", "/"))
    settings = {
        "gen_kwargs": config.get("gen_kwargs"),
        "num_fewshot": mapping(results.get("n-shot")).get(task),
        "system_instruction": results.get("system_instruction_sha"),
        "chat_template": results.get("chat_template_sha"),
        "fewshot_as_multiturn": results.get("fewshot_as_multiturn"),
        "model_revision": config.get("model_sha"),
    }
    date, _, clock = when.partition("T")
    return {
        "agent": model,
        "model": model,
        "settings": {name: value for name, value in settings.items() if value},
        "run_id": when,
        "harness": "lm_eval_harness",
        "harness_version": str(results.get("lm_eval_version") or ""),
        "started": moment(results.get("date")) or moment(f"{date}T{clock.replace('-', ':')}"),
    }


@dataclass(frozen=True, kw_only=True)
class LmEvalHarness:
    """``lm_eval run --samples``, or ``simple_evaluate`` in this process.

    A task of the plan is a document of the harness's task, by its number; the plan's benchmark is
    the harness's task. A group of tasks is none: it would run in full.
    """

    name: str = "lm-eval-harness"
    summary: str = "lm-evaluation-harness: --samples FILE, in rounds, also in process."
    tested_versions: tuple[str, ...] = ("0.4.13",)
    capabilities: Capabilities = Capabilities(subset=True, rounds=True, in_process=True)  # noqa: RUF009 - frozen

    def probe(self) -> Probe:
        """Look for the ``lm_eval`` command."""
        return look_for("lm_eval", package="lm_eval", hint="pip install lm-eval")

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        """Yield the documents of the samples files below `path`."""
        return read_below(path, sniff, read, benchmark=benchmark, what=_WHAT)

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
