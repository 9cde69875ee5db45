"""A plan as plain values for JSON, and back."""

import base64
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from midband_history import FloatArray, Metric
from midband_sampler._attempts import Attempts
from midband_sampler._band import Band
from midband_sampler._calibration import Calibration
from midband_sampler._model import PredictionModel
from midband_sampler._rule_text import Build, stop_from_dict

if TYPE_CHECKING:
    from midband_sampler._plan import Plan

FORMAT = 1
AddedRules = Callable[[], Mapping[str, Build]]


def plain_values(plan: "Plan") -> dict[str, object]:
    """Return all that a plan holds; arrays as packed text."""
    content: dict[str, object] = {
        "midband_plan": FORMAT,
        "benchmark": plan.benchmark,
        "strategy": plan.strategy,
        "stop": plan.stop.to_dict(),
        "band": None if plan.band is None else [plan.band.low, plan.band.high],
        "seed": plan.seed,
        "as_of": plan.as_of,
        "warnings": list(plan.warnings),
        "versions": dict(sorted(plan.versions.items())),
        "tasks": list(plan.tasks),
        "all_tasks": list(plan.all_tasks),
        "task_digests": [plan.task_digests.get(task, "") for task in plan.all_tasks],
        "reference_agents": list(plan.reference_agents),
        "reference_scores": _pack(plan.reference_scores),
        "expected_cost_usd": _pack(plan.expected_cost_usd),
        "max_tasks": plan.max_tasks,
        "notes": list(plan.notes),
        "calibration": None if plan.calibration is None else plan.calibration.to_dict(),
        "model": None
        if plan.model is None
        else {
            "tasks": _pack(plan.model.tasks),
            "prior_centre": plan.model.prior_centre,
            "binary": plan.model.binary,
            "reference_full_scores": _pack(plan.model.reference_full_scores),
        },
    }
    # Left out where unset, so that plans from before these options keep their digests.
    if plan.metric is not None:
        content["metric"] = asdict(plan.metric)
    if plan.version:
        content["version"] = plan.version
    if plan.fallback is not None:
        content["fallback"] = plan.fallback.to_dict()
    if plan.always:
        content["always"] = list(plan.always)
    if plan.explore:
        content["explore"] = plan.explore
    if plan.attempts is not None:
        content["attempts"] = asdict(plan.attempts)
    if plan.task_costs is not None:
        content["cost_unit"] = plan.cost_unit
        content["task_costs"] = _pack(plan.task_costs)
    return content


def plan_fields(data: Mapping[str, Any], rules: AddedRules | None) -> dict[str, Any]:
    """Return the fields of the plan that `plain_values` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, zlib.error
        The values are another's.
    """
    all_tasks = tuple(data["all_tasks"])
    agents = tuple(data["reference_agents"])
    return {
        "benchmark": data["benchmark"],
        "tasks": tuple(data["tasks"]),
        "all_tasks": all_tasks,
        "task_digests": MappingProxyType(dict(zip(all_tasks, data["task_digests"], strict=True))),
        "reference_agents": agents,
        "reference_scores": _unpack(data["reference_scores"], len(agents), len(all_tasks)),
        "expected_cost_usd": _unpack(data["expected_cost_usd"], len(all_tasks)),
        "strategy": data["strategy"],
        "stop": stop_from_dict(data["stop"], rules),
        "model": None
        if data["model"] is None
        else PredictionModel(
            tasks=_unpack(data["model"]["tasks"], len(all_tasks), 5),
            prior_centre=data["model"]["prior_centre"],
            binary=data["model"]["binary"],
            reference_full_scores=_unpack(data["model"]["reference_full_scores"], len(agents)),
        ),
        "calibration": None if data["calibration"] is None else Calibration(**data["calibration"]),
        "fallback": Calibration(**data["fallback"]) if "fallback" in data else None,
        "max_tasks": data["max_tasks"],
        "notes": tuple(data["notes"]),
        "band": None if data["band"] is None else Band(*data["band"]),
        "always": tuple(data.get("always", ())),
        "explore": data.get("explore", 0.0),
        "attempts": Attempts(**data["attempts"]) if "attempts" in data else None,
        "cost_unit": data.get("cost_unit", "usd"),
        "task_costs": _unpack(data["task_costs"], len(all_tasks)) if "task_costs" in data else None,
        "metric": Metric(**data["metric"]) if "metric" in data else None,
        "version": data.get("version", ""),
        "seed": data["seed"],
        "as_of": data["as_of"],
        "warnings": tuple(data["warnings"]),
        "versions": MappingProxyType(data["versions"]),
    }


def _pack(values: FloatArray) -> str:
    """Little-endian float64, zlib, base64."""
    return base64.b64encode(zlib.compress(values.astype("<f8").tobytes(), 6)).decode("ascii")


def _unpack(text: str, *shape: int) -> FloatArray:
    raw = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(raw, dtype="<f8").reshape(shape).astype(np.float64)
