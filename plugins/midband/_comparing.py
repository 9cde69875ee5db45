"""Finished results of two agents, brought together task by task."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from midband._gate import FAILED, HELD, UNDECIDED, GateResult
from midband_history import InputError, UnreadableSourceError, plain_benchmark
from midband_sampler import DigestMismatchError, compare_results

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import numpy as np

    from midband.descriptors import ReadOptions
    from midband_history import Metric, Record
    from midband_sampler import NotWorse, PairedSample

_TARGETS = {"sample": "tasks as a sample", "tasks": "these tasks"}
_WARN_ABOVE = 0.05
_PART = "part"
_SPARE = "harness_version"  # a column of text that a comparison does not look at


def gate_of_results(
    rule: "NotWorse",
    candidate: "Sequence[Record]",
    baseline: "Sequence[Record]",
    *,
    target: Literal["sample", "tasks"] = "sample",
    clusters: "Mapping[str, str] | None" = None,
    cluster_name: str = "",
    allow_changed: bool = False,
) -> GateResult:
    """Compare the finished results of two agents on the tasks that both ran.

    Parameters
    ----------
    rule : NotWorse
    candidate, baseline : sequence of Record
        Each of one agent and one benchmark.
    target : {"sample", "tasks"}
        Whether the tasks count as a sample of tasks like them, or are all that is asked about.
    clusters : mapping of str to str, optional
        The cluster of each task.
    cluster_name : str
        What an error calls it.
    allow_changed : bool
        Accept tasks whose content differs between the two.

    Raises
    ------
    InputError
        The two cannot be compared.
    DigestMismatchError
        A task's content differs.
    """
    import numpy as np

    _check_alike(candidate, baseline)
    ours, theirs = _attempts(candidate), _attempts(baseline)
    common = sorted(set(ours) & set(theirs))
    names = candidate[0].agent, baseline[0].agent
    if not common:
        msg = (
            f"expected tasks that both agents ran, got {len(ours)} of {names[0]} such as"
            f" {next(iter(ours))!r} and {len(theirs)} of {names[1]} such as"
            f" {next(iter(theirs))!r}: check the task ids"
        )
        raise InputError(msg)
    if 2 * len(common) < len(theirs):
        msg = (
            f"expected results of {names[0]} on at least half of the {len(theirs)} tasks that"
            f" {names[1]} ran, got them on {len(common)}: run the others first"
        )
        raise InputError(msg)
    if not allow_changed:
        _check_contents(common, candidate, baseline)
    groups = None
    if clusters is not None:
        lacking = [task for task in common if not clusters.get(task)]
        if lacking:
            msg = (
                f"expected a value of {cluster_name} for every task, got none for {lacking[0]!r}"
                f" and {len(lacking) - 1} more: fill the column, or leave --cluster out"
            )
            raise InputError(msg)
        groups = [clusters[task] for task in common]

    def told(cells: "dict[str, list[float]]", value: float) -> "np.ndarray":
        filled = ([value if math.isnan(one) else one for one in cells[task]] for task in common)
        return np.array([math.nan if not one else sum(one) / len(one) for one in filled])

    def known(cells: "dict[str, list[float]]") -> "np.ndarray":
        kept = ([one for one in cells[task] if not math.isnan(one)] for task in common)
        return np.array([math.nan if not one else sum(one) / len(one) for one in kept])

    found = compare_results(
        (known(ours), told(ours, 0.0), told(ours, 1.0)),
        (known(theirs), told(theirs, 0.0), told(theirs, 1.0)),
        confidence=rule.confidence,
        target=target,
        clusters=groups,
    )
    return GateResult(
        rule=rule,
        result=_side(rule, found),
        candidate=names[0],
        baseline=names[1] if names[0] != names[1] else f"{names[1]} (baseline)",
        benchmark=plain_benchmark(candidate[0].benchmark),
        difference=100.0 * found.estimate,
        low=100.0 * found.low,
        high=100.0 * found.high,
        tasks=found.tasks,
        tasks_in_target=len(theirs) if len(common) < len(theirs) else None,
        clusters=found.clusters,
        target=_TARGETS[target],
        basis=found.basis,
        warnings=tuple(_oddities(names, ours, theirs, common, found.clusters)),
    )


def _side(rule: "NotWorse", found: "PairedSample") -> str:
    if rule.held(found.low):
        return HELD
    return FAILED if rule.failed(found.high) else UNDECIDED


def _oddities(
    names: tuple[str, str],
    ours: "Mapping[str, list[float]]",
    theirs: "Mapping[str, list[float]]",
    common: "Sequence[str]",
    clusters: int | None,
) -> "Iterator[str]":
    for name, cells, others in ((names[0], theirs, names[1]), (names[1], ours, names[0])):
        alone = len(cells) - len(common)
        if alone:
            yield f"{name} has no result on {alone} tasks of {others}: they are left out"
    for name, cells in zip(names, (ours, theirs), strict=True):
        attempts = [one for task in common for one in cells[task]]
        missing = sum(map(math.isnan, attempts))
        if missing > _WARN_ABOVE * len(attempts):
            yield (
                f"{missing} of {len(attempts)} attempts of {name} have no usable result: the bounds"
                " hold whatever they would have been"
            )
    if clusters is not None and clusters < 10:
        yield f"{clusters} clusters are few to tell tasks like these apart from others"


def _attempts(records: "Iterable[Record]") -> dict[str, list[float]]:
    """Return the scores in [0, 1] of each task's attempts; NaN without a usable result.

    One attempt in two places counts once, and one that was made good later as the later one.
    """
    seen: set[str] = set()
    usable: set[tuple[str, str, int]] = set()
    in_vain: dict[tuple[str, str, int], str] = {}
    cells: dict[str, list[float]] = {}
    for record in records:
        if record.source_key and record.source_key in seen:
            continue
        seen.add(record.source_key)
        key = (record.run_id, record.task_id, record.attempt)
        cell = cells.setdefault(record.task_id, [])
        if record.kind == "valid" and record.score is not None:
            usable.add(key)
            cell.append(record.metric.unit(record.score))
        elif record.run_id:
            in_vain[key] = record.task_id
        else:
            cell.append(math.nan)
    for key, task in in_vain.items():
        if key not in usable:
            cells[task].append(math.nan)
    return {task: cell for task, cell in cells.items() if cell}


def _check_alike(candidate: "Sequence[Record]", baseline: "Sequence[Record]") -> None:
    """Refuse results of other benchmarks, versions or metrics."""
    ours, theirs = _metrics(candidate), _metrics(baseline)
    if len(ours) > 1 or len(theirs) > 1:
        labels = sorted({each.label for each in ours + theirs})
        msg = f"expected results by one metric, got {', '.join(labels)}: choose one with --metric"
        raise InputError(msg)
    for mine, other in zip(ours, theirs, strict=False):
        scales = [(each.low, each.high, each.lower_is_better) for each in (mine, other)]
        declared = mine.declared and other.declared
        if mine.label != other.label or (declared and scales[0] != scales[1]):
            said = [
                f"{each.label or 'an unnamed metric'} on {each.scale_text()}"
                for each in (mine, other)
            ]
            msg = (
                f"expected both results by one metric, got {said[0]} of the candidate and"
                f" {said[1]} of the baseline: choose it with --metric NAME or --scale LOW HIGH"
            )
            raise InputError(msg)
    versions = [
        {each.benchmark_version for each in records if each.benchmark_version}
        for records in (candidate, baseline)
    ]
    if all(versions) and versions[0] != versions[1]:
        said = [", ".join(sorted(each)) for each in versions]
        msg = (
            f"expected both results on one version of the benchmark, got {said[0]} of the candidate"
            f" and {said[1]} of the baseline: run the baseline again"
        )
        raise InputError(msg)


def _metrics(records: "Iterable[Record]") -> "list[Metric]":
    return list(
        {each.metric.label: each.metric for each in records if each.score is not None}.values()
    )


def _check_contents(
    tasks: "Iterable[str]", candidate: "Iterable[Record]", baseline: "Iterable[Record]"
) -> None:
    digests: list[dict[str, set[str]]] = []
    for records in (candidate, baseline):
        found: dict[str, set[str]] = {}
        for each in records:
            if each.task_digest:
                found.setdefault(each.task_id, set()).add(each.task_digest)
        digests.append(found)
    for task in tasks:
        ours, theirs = (found.get(task, set()) for found in digests)
        if ours and theirs and not ours & theirs:
            msg = (
                f"expected task {task!r} with one content in both results, got another in the"
                " baseline's: they are of other versions; pass --allow-changed if they are not"
            )
            raise DigestMismatchError(msg)


def clusters_of(
    column: str,
    paths: "Sequence[Path]",
    records: "Sequence[Record]",
    *,
    options: "ReadOptions",
    format_name: str | None = None,
) -> dict[str, str]:
    """Return the cluster of each task.

    Parameters
    ----------
    column : str
        A column of the tables among the results, a key of the samples' metadata in Inspect logs,
        ``part``, or ``FILE:COLUMN`` of a table of task_id and COLUMN.
    paths : sequence of Path
        The results.
    records : sequence of Record
        What was read of them.
    options : ReadOptions
    format_name : str or None

    Raises
    ------
    InputError
        There is no such column, or a task is of two clusters.
    """
    file, colon, name = column.rpartition(":")
    if colon and Path(file).is_file():
        pairs = list(_rows(Path(file), name))
    elif column == _PART:
        pairs = [(each.task_id, each.part) for each in records if each.part]
    else:
        pairs = list(_column(column, paths, options, format_name))
    if not pairs:
        msg = (
            f"expected a column {column!r} in a table of the results, found none: name one, or"
            " FILE:COLUMN of a table of task_id and COLUMN"
        )
        raise InputError(msg)
    found: dict[str, str] = {}
    for task, cluster in pairs:
        if found.setdefault(task, cluster) != cluster:
            msg = (
                f"expected one {column} for each task, got {found[task]!r} and {cluster!r} for"
                f" {task!r}: put that right"
            )
            raise InputError(msg)
    return found


def _column(
    column: str, paths: "Sequence[Path]", options: "ReadOptions", format_name: str | None
) -> "Iterator[tuple[str, str]]":
    """Yield a task and its value, for each row or sample of the sources that have the column."""
    from midband._manager import get_plugin_manager
    from midband.importers.reading import ReadingFailedError, described_table
    from midband.importers.unpacking import opened_sources
    from midband.inspect import FORMAT, metadata_in
    from midband_history import read_table

    importers = get_plugin_manager().importers()
    columns = {**options.columns, column: _SPARE}
    options = replace(options, columns=columns, agent=options.agent or "any")
    with opened_sources(paths, importers, format_name=format_name) as found:
        for source in found.sources:
            if source.importer.name == FORMAT:
                yield from metadata_in(source.path, column)
            if source.importer.table is None:
                continue
            try:
                rows = list(read_table(described_table(source.importer, source.path, options)))
            except (UnreadableSourceError, InputError, ReadingFailedError):
                continue  # without the column; what else is wrong was said before
            yield from ((each.task_id, each.harness_version) for each in rows)


def _rows(path: Path, column: str) -> "Iterator[tuple[str, str]]":
    """Yield a task and its value of a column, for each row of a CSV, TSV or JSONL file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            rows: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines() if line]
        else:
            comma = "\t" if path.suffix.lower() == ".tsv" else ","
            rows = list(csv.DictReader(text.splitlines(), delimiter=comma))
    except (OSError, ValueError, csv.Error) as problem:
        msg = (
            f"expected a CSV, TSV or JSONL file of task_id and {column}, cannot read {path}:"
            f" {problem}"
        )
        raise InputError(msg) from problem
    if any(not isinstance(row, dict) or not {"task_id", column} <= set(row) for row in rows):
        msg = f"expected the columns task_id and {column} in {path}, got others: name them so"
        raise InputError(msg)
    yield from ((str(row["task_id"]), str(row[column] or "")) for row in rows)
