"""The fields of Every Eval Ever rows and aggregates, as fields of a record."""

import hashlib
import json
from pathlib import Path
from typing import Any

from midband.harnesses._files import foreign, mapping, moment, number

NAME = "every-eval-ever"
WHAT = "samples of Every Eval Ever"


def names_of(row: dict[str, Any], path: Path) -> tuple[str, str, str]:
    """Return evaluation, result id and sample of a row, or refuse the file."""
    name, sample = str(row.get("evaluation_name") or ""), row.get("sample_id")
    if not name or sample in (None, "") or not row.get("model_id"):
        raise foreign(path, WHAT, "a row without evaluation_name, sample_id and model_id")
    return name, str(row.get("evaluation_result_id") or ""), str(sample)


def score_of(row: dict[str, Any]) -> float | None:
    value = mapping(row.get("evaluation")).get("score")
    return float(value) if isinstance(value, bool) else number(value)


def seconds_of(row: dict[str, Any], library: str) -> float | None:
    """Return how long a sample took."""
    times = mapping(row.get("performance"))
    latency, working = number(times.get("latency_ms")), number(times.get("generation_time_ms"))
    if latency is None:
        return None
    if library == "inspect_ai" and working is not None:  # its converter parts the two
        latency += working
    return latency / 1000


def digest_of(row: dict[str, Any]) -> str:
    """Return the harness's own digest, else one of input and reference by the format's recipe."""
    own = mapping(row.get("metadata")).get("doc_hash")  # as lm-evaluation-harness writes it
    given = mapping(row.get("input"))
    if own:
        return str(own)
    if not given.get("raw"):
        return str(row.get("sample_hash") or "")
    content = {"raw": given.get("raw"), "reference": given.get("reference") or []}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def shared_fields(aggregate: dict[str, Any], *, own: bool) -> dict[str, Any]:
    """Return what all samples have in common, as fields of a record."""
    library = mapping(aggregate.get("eval_library"))
    shared: dict[str, Any] = {
        "harness": _known(library.get("name")) or NAME,
        "harness_version": _known(library.get("version")),
        "started": moment(aggregate.get("evaluation_timestamp")),
    }
    if not own:
        return shared | {"settings": _generation(aggregate)}
    source, details = mapping(aggregate.get("source_metadata")), details_of(aggregate)
    about = mapping(mapping(aggregate.get("model_info")).get("additional_details"))
    return shared | {
        "agent": str(about.get("agent") or ""),
        "model": _known(about.get("model")),
        "scaffold": str(about.get("scaffold") or ""),
        "agent_version": str(about.get("agent_version") or ""),
        "settings": _settings(about.get("settings")),
        "run_id": str(mapping(source.get("additional_details")).get("run_id") or ""),
        "harness": _known(library.get("name")),
        "run_cost_usd": read_number(details.get("run_cost_usd")),
        "benchmark_version": str(details.get("benchmark_version") or ""),
        "whole_benchmark": details.get("whole_benchmark") == "True",
    }


def details_of(aggregate: dict[str, Any]) -> dict[str, Any]:
    results = aggregate.get("evaluation_results")
    first = mapping(results[0]) if isinstance(results, list) and results else {}
    return mapping(mapping(first.get("score_details")).get("details"))


def _generation(aggregate: dict[str, Any]) -> dict[str, Any]:
    """Return how the model was called, where every result says the same."""
    results = aggregate.get("evaluation_results")
    said = [
        mapping(mapping(mapping(each).get("generation_config")).get("generation_args"))
        for each in (results if isinstance(results, list) else [])
    ]
    first = said[0] if said else {}
    return {
        name: value
        for name, value in first.items()
        if value is not None and all(each.get(name) == value for each in said)
    }


def _settings(text: object) -> dict[str, Any]:
    try:
        return mapping(json.loads(str(text or "{}")))
    except (ValueError, RecursionError):
        return {}


def read_number(value: object) -> float | None:
    """Return a number, which metadata may hold as text."""
    try:
        return number(float(value) if isinstance(value, str) else value)
    except ValueError:
        return None


def _known(value: object) -> str:
    return "" if value in (None, "unknown") else str(value)
