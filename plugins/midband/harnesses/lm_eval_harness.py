"""lm-evaluation-harness: ``samples_<task>_<time>.jsonl``, with the run's settings beside it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from midband._descriptors import Importer
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
from midband_history import Record

_WHAT = "samples of lm-evaluation-harness"
_SAMPLES = re.compile(
    r"samples_(?P<task>.+)_(?P<when>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?)\.jsonl"
)
_RESULTS = re.compile(r"results_(?P<when>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?)\.json")


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
