"""Every Eval Ever: ``<uuid>_samples.jsonl``, with its aggregate ``<uuid>.json`` beside it."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband.harnesses._adapting import ImportOnly
from midband.harnesses._files import (
    foreign,
    head,
    list_of_objects,
    load_lines,
    load_optional,
    mapping,
    moment,
    number,
    unit_score,
)
from midband.hookspecs import hookimpl
from midband_history import OutcomeKind, Record

if TYPE_CHECKING:
    from midband._harness import Harness

_WHAT = "samples of Every Eval Ever"
_SAMPLES = "_samples.jsonl"
SOURCE_NAME = "midband history"  # what midband's own export states as its source
# The fields of an attempt without a score, which that export names in the aggregate.
NOT_SCORED = ("task_id", "kind", "attempt", "task_digest", "cost_usd", "tokens", "duration_s")


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the format to whatever reads a harness's results."""
    return [
        ImportOnly(
            name="every-eval-ever",
            summary="Every Eval Ever: read here, written by `midband history --export`.",
            sniff=sniff,
            read=read,
            why="it is a format of results, and runs nothing",
        )
    ]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="every_eval_ever",
            sniff=sniff,
            read=read,
            suffixes=(".json", _SAMPLES),
            summary="Every Eval Ever: <uuid>.json with <uuid>_samples.jsonl.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file begins like an aggregate or like samples."""
    samples = path.name.endswith(_SAMPLES)
    if not (samples or path.suffix == ".json") or not path.is_file():
        return False
    start = head(path)
    if not (start.startswith(b'{"schema_version":') and b'"evaluation_id":' in start):
        return False
    return b'"sample_id":' in start if samples else b'"source_metadata":' in start


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record a sample, by the first result that its evaluation has.

    Attempt, scaffold and cost have no field of their own: they are looked for in ``metadata``.
    What `every_eval_ever_export.export` wrote comes back as the records it was given.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the name of the evaluation.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, has fewer rows than its aggregate says, or is an aggregate
        without samples.
    """
    del columns
    if not path.name.endswith(_SAMPLES):
        if not path.with_name(path.stem + _SAMPLES).is_file():
            got = f"an aggregate without {path.stem}{_SAMPLES}: ask for the samples"
            raise foreign(path, _WHAT, got)
        return
    aggregate = load_optional(
        path.with_name(path.name.removesuffix(_SAMPLES) + ".json"), "an Every Eval Ever aggregate"
    )
    results = list_of_objects(aggregate.get("evaluation_results") or [], path, "results")
    primary: dict[str, object] = {}
    descending: set[object] = set()
    for each in results:
        result = each.get("evaluation_result_id")
        primary.setdefault(str(each.get("evaluation_name")), result)
        if mapping(each.get("metric_config")).get("lower_is_better"):
            descending.add(result)
    shared = _shared(aggregate, results)
    yield from _not_scored(path, results, shared, benchmark)
    seen: Counter[tuple[str, str]] = Counter()
    rows = 0
    for row in load_lines(path, _WHAT):
        rows += 1
        name, sample = str(row.get("evaluation_name") or ""), row.get("sample_id")
        if not name or sample is None or not row.get("model_id"):
            raise foreign(path, _WHAT, "a row without evaluation_name, sample_id and model_id")
        result = row.get("evaluation_result_id")
        if primary.setdefault(name, result) != result:
            continue
        yield _record(
            row,
            shared,
            benchmark=benchmark or name,
            attempt=seen[name, str(sample)],
            comparable=result not in descending,
        )
        seen[name, str(sample)] += 1
    stated = mapping(aggregate.get("detailed_evaluation_results")).get("total_rows")
    if isinstance(stated, int) and stated != rows:
        raise foreign(path, f"{_WHAT} in {stated} rows", f"{rows}: copy it again")


def _shared(aggregate: dict[str, Any], results: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what all samples have in common, as fields of a record."""
    library = mapping(aggregate.get("eval_library"))
    shared: dict[str, Any] = {
        "harness": _known(library.get("name")) or "every_eval_ever",
        "harness_version": _known(library.get("version")),
        "started": moment(aggregate.get("evaluation_timestamp")),
    }
    source = mapping(aggregate.get("source_metadata"))
    if source.get("source_name") != SOURCE_NAME:
        return shared
    about = mapping(mapping(aggregate.get("model_info")).get("additional_details"))
    return shared | {
        "agent": str(about.get("agent") or ""),
        "model": _known(about.get("model")),
        "scaffold": str(about.get("scaffold") or ""),
        "agent_version": str(about.get("agent_version") or ""),
        "settings": _settings(about.get("settings")),
        "run_id": str(mapping(source.get("additional_details")).get("run_id") or ""),
        "harness": _known(library.get("name")),
        "run_cost_usd": _read_number(_details(results).get("run_cost_usd")),
    }


def _record(
    row: dict[str, Any],
    shared: dict[str, Any],
    *,
    benchmark: str,
    attempt: int,
    comparable: bool,
) -> Record:
    metadata = mapping(row.get("metadata"))
    evaluation = mapping(row.get("evaluation"))
    score = unit_score(evaluation.get("score")) if comparable else None
    kind: OutcomeKind = "missing" if score is None else "valid"
    if row.get("error"):
        kind = "infra_error"
    scaffold, model = str(metadata.get("scaffold") or ""), str(row["model_id"])
    numbered = _read_number(metadata.get("attempt"))
    passed = evaluation.get("is_correct")
    latency = number(mapping(row.get("performance")).get("latency_ms"))
    fields: dict[str, Any] = {
        "agent": f"{scaffold} ({model})" if scaffold else model,
        "model": model,
        "scaffold": scaffold,
        "run_id": str(row.get("evaluation_id") or ""),
        "tokens": number(mapping(row.get("token_usage")).get("total_tokens")),
        "duration_s": None if latency is None else latency / 1000,
        "task_digest": str(row.get("sample_hash") or ""),
    } | shared
    if "agent" in shared:
        fields |= {
            "passed": passed if kind == "valid" and isinstance(passed, bool) else None,
            "tokens": _read_number(metadata.get("tokens")),
            "duration_s": _read_number(metadata.get("duration_s")),
            "task_digest": str(metadata.get("task_digest") or ""),
        }
    return Record(
        benchmark=benchmark,
        task_id=str(row["sample_id"]),
        score=score if kind == "valid" else None,
        kind=kind,
        attempt=attempt if numbered is None or numbered < 0 else int(numbered),
        cost_usd=_read_number(metadata.get("cost_usd")),
        **fields,
    )


def _not_scored(
    path: Path, results: list[dict[str, Any]], shared: dict[str, Any], benchmark: str | None
) -> Iterator[Record]:
    """Yield the attempts without a score, which only midband's own aggregates name."""
    if "agent" not in shared:
        return
    named = benchmark or str(results[0].get("evaluation_name"))
    try:
        for entry in json.loads(_details(results).get("midband_not_scored") or "[]"):
            fields = {name: entry[name] for name in NOT_SCORED if name in entry}
            yield Record(benchmark=named, score=None, **fields, **shared)
    except (TypeError, ValueError) as error:
        raise foreign(path, "midband's attempts without a score", str(error)) from error


def _details(results: list[dict[str, Any]]) -> dict[str, Any]:
    first = mapping(results[0].get("score_details")) if results else {}
    return mapping(first.get("details"))


def _settings(text: object) -> dict[str, Any]:
    try:
        return mapping(json.loads(str(text or "{}")))
    except ValueError:
        return {}


def _read_number(value: object) -> float | None:
    """Return a number, which metadata may hold as text."""
    try:
        return number(float(value) if isinstance(value, str) else value)
    except ValueError:
        return None


def _known(value: object) -> str:
    return "" if value in (None, "unknown") else str(value)
