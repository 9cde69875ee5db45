"""A plan as plain values for JSON, and back; each value is checked before it is used."""

import base64
import json
import math
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from types import MappingProxyType, SimpleNamespace
from typing import Any

import numpy as np

from midband_history import FloatArray, Metric
from midband_sampler.bounds.calibrated import CALIBRATED_BOUNDS
from midband_sampler.calibration import Calibration
from midband_sampler.errors import PlanError
from midband_sampler.estimators import ESTIMATORS
from midband_sampler.model.dispersion import Dispersion
from midband_sampler.model.prediction import Attempts, PredictionModel
from midband_sampler.settings import Candidate
from midband_sampler.stopping.base import check_confidence
from midband_sampler.stopping.parse import Build, stop_from_dict
from midband_sampler.strategies.base import Band, Strategy, present_name, strategies

MOST_BYTES = 1 << 28  # of a plan file, and of each array in it
_SHOWN = 60


def parse(text: str) -> Mapping[str, Any]:
    """Parse JSON text that holds an object.

    Raises
    ------
    ValueError
        It is no JSON, or holds something else, or is nested too deeply.
    """
    try:
        data = json.loads(text)
    except RecursionError:
        msg = "values nested too deeply"
        raise ValueError(msg) from None
    if not isinstance(data, dict):
        msg = f"a {type(data).__name__}"
        raise TypeError(msg)
    return data


def text(data: Mapping[str, Any], name: str) -> str:
    """Return a text."""
    value = data[name]
    if not isinstance(value, str):
        raise _wrong(name, "a text", value)
    value.encode()  # an unpaired surrogate can be neither written nor digested
    return value


def texts(data: Mapping[str, Any], name: str, *, distinct: bool = False) -> tuple[str, ...]:
    """Return a list of texts, each once if they have to be distinct."""
    values = data[name]
    if not isinstance(values, list) or not all(isinstance(each, str) for each in values):
        raise _wrong(name, "a list of texts", values)
    "".join(values).encode()
    if distinct and len(set(values)) != len(values):
        raise _wrong(name, "distinct texts", values)
    return tuple(values)


def mapping(data: Mapping[str, Any], name: str, *, of_texts: bool = False) -> Mapping[str, Any]:
    """Return an object, of texts if asked for."""
    value = data[name]
    if not isinstance(value, dict):
        raise _wrong(name, "an object", value)
    if of_texts:
        for each in value:
            text(value, each)
    return value


def number(
    data: Mapping[str, Any], name: str, *, low: float = -math.inf, high: float = math.inf
) -> float:
    """Return a finite number within the limits, both included, as it was written."""
    value = data[name]
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise _wrong(name, "a number", value)
    if not (abs(value) < 1e300 and low <= value <= high):
        raise _wrong(name, f"a number from {low:g} to {high:g}", value)
    return value


def whole(data: Mapping[str, Any], name: str, *, low: int = 0) -> int:
    """Return an integer of at least `low`."""
    value = data[name]
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise _wrong(name, f"an integer of at least {low}", value)
    return value


def flag(data: Mapping[str, Any], name: str) -> bool:
    """Return true or false."""
    value = data[name]
    if not isinstance(value, bool):
        raise _wrong(name, "true or false", value)
    return value


def pack(values: FloatArray) -> str:
    """Return an array as text: little-endian float64, zlib, base64."""
    return base64.b64encode(zlib.compress(values.astype("<f8").tobytes(), 6)).decode("ascii")


def array(
    data: Mapping[str, Any],
    name: str,
    *shape: int,
    low: float = -1e300,
    high: float = 1e300,
    unknown: bool = False,
) -> FloatArray:
    """Return the array that `pack` wrote.

    No more is unpacked than the shape asks for, whatever the text would unpack to.

    Parameters
    ----------
    data : mapping
    name : str
    *shape : int
    low, high : float
        Limits of the values, both included.
    unknown : bool
        Whether NaN may stand among them.
    """
    size = 8 * math.prod(shape)
    if size > MOST_BYTES:
        raise _wrong(name, f"at most {MOST_BYTES} bytes", f"shape {shape}")
    unpacker = zlib.decompressobj()
    raw = unpacker.decompress(base64.b64decode(text(data, name), validate=True), size + 1)
    if len(raw) != size or not (unpacker.eof or unpacker.decompress(b"", 1) == b""):
        raise _wrong(name, f"an array of shape {shape}", f"{len(raw)} bytes or more")
    values = np.frombuffer(raw, dtype="<f8").reshape(shape).astype(np.float64)
    inside = (values >= low) & (values <= high)
    if not np.all(inside | np.isnan(values) if unknown else inside):
        raise _wrong(name, f"values from {low:g} to {high:g}", "others")
    return values


def _wrong(name: str, expected: str, value: object) -> ValueError:
    shown = value if isinstance(value, str) else f"{type(value).__name__} {str(value)[:_SHOWN]}"
    return ValueError(f"{name}: expected {expected}, got {shown[:_SHOWN]!r}")


FORMAT = 2
_NAMES = frozenset(
    {
        "midband_plan", "benchmark", "strategy", "stop", "band", "seed", "as_of", "warnings",
        "versions", "tasks", "all_tasks", "task_digests", "reference_agents", "reference_scores",
        "expected_cost_usd", "max_tasks", "notes", "calibration", "model", "fallback", "always",
        "explore", "attempts", "cost_unit", "task_costs", "metric", "version", "live",
        "candidate", "estimator", "in_order", "mean_tokens", "digest",
    }
)  # fmt: skip
AddedRules = Callable[[], Mapping[str, Build]]
AddedStrategies = Callable[[str], Strategy | None]


def plain_values(fields: Mapping[str, Any]) -> dict[str, object]:
    """Return all that a plan holds, given its fields by name; arrays as packed text."""
    plan = SimpleNamespace(**fields)
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
        "reference_scores": pack(plan.reference_scores),
        "expected_cost_usd": pack(plan.expected_cost_usd),
        "max_tasks": plan.max_tasks,
        "notes": list(plan.notes),
        "calibration": None if plan.calibration is None else plan.calibration.to_dict(),
        "model": None if plan.model is None else model_values(plan.model),
    }
    # Left out where unset, so that plans from before these options keep their digests.
    weighs_costs = plan.task_costs is not None
    optional = {
        "live": plan.added_strategy is not None and plan.added_strategy.live,
        "metric": None if plan.metric is None else asdict(plan.metric),
        "version": plan.version,
        "candidate": None if plan.candidate is None else asdict(plan.candidate),
        "estimator": "" if plan.estimator == "auto" else plan.estimator,
        "fallback": None if plan.fallback is None else plan.fallback.to_dict(),
        "in_order": plan.in_order,
        "mean_tokens": 0.0 if math.isnan(plan.mean_tokens) else plan.mean_tokens,
        "always": list(plan.always),
        "explore": plan.explore,
        "attempts": None if plan.attempts is None else _attempts_values(plan.attempts),
        "cost_unit": plan.cost_unit if weighs_costs else "",
        "task_costs": pack(plan.task_costs) if weighs_costs else "",
    }
    return {**content, **{name: value for name, value in optional.items() if value}}


def model_values(model: PredictionModel) -> dict[str, object]:
    """Return a fitted model as plain values."""
    content: dict[str, object] = {
        "tasks": pack(model.tasks),
        "prior_centre": model.prior_centre,
        "binary": model.binary,
        "reference_full_scores": pack(model.reference_full_scores),
        **_dispersion_values(model.dispersion),
    }
    if model.reference_deviations is not None:  # plans without them keep their digests
        content["reference_deviations"] = pack(model.reference_deviations)
    return content


def plan_fields(
    data: Mapping[str, Any], rules: AddedRules | None, added: AddedStrategies | None
) -> dict[str, Any]:
    """Return the fields of the plan that `plain_values` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError, AttributeError, zlib.error
        The values are another's, or such as no plan can have.
    """
    if strange := sorted(set(data) - _NAMES):
        msg = f"unknown field {strange[0][:60]!r}"
        raise ValueError(msg)
    all_tasks = texts(data, "all_tasks", distinct=True)
    agents = texts(data, "reference_agents", distinct=True)
    digests = texts(data, "task_digests")
    n_tasks, n_agents = len(all_tasks), len(agents)
    strategy = present_name(text(data, "strategy"))
    own = strategy in strategies()
    added_strategy = None if own or added is None else added(strategy)
    if "live" in data and flag(data, "live") and added_strategy is None:
        msg = f"expected the strategy {strategy!r}, which chooses live: install the plugin it is of"
        raise PlanError(msg)
    return {
        "benchmark": text(data, "benchmark"),
        "tasks": texts(data, "tasks"),
        "all_tasks": all_tasks,
        "task_digests": MappingProxyType(dict(zip(all_tasks, digests, strict=True))),
        "reference_agents": agents,
        "reference_scores": array(
            data, "reference_scores", n_agents, n_tasks, low=0.0, high=1.0, unknown=True
        ),
        "expected_cost_usd": array(data, "expected_cost_usd", n_tasks, unknown=True),
        "strategy": strategy,
        "added_strategy": added_strategy,
        "stop": stop_from_dict(mapping(data, "stop"), rules),
        "model": model_of(data, n_agents, n_tasks),
        "calibration": None
        if data["calibration"] is None
        else _calibration(mapping(data, "calibration")),
        "fallback": _calibration(mapping(data, "fallback")) if "fallback" in data else None,
        "in_order": _strategy_name(text(data, "in_order")) if "in_order" in data else "",
        "max_tasks": None if data["max_tasks"] is None else whole(data, "max_tasks", low=1),
        "notes": texts(data, "notes"),
        "band": None if data["band"] is None else _band(data["band"]),
        "always": texts(data, "always") if "always" in data else (),
        "explore": number(data, "explore", low=0.0, high=1.0) if "explore" in data else 0.0,
        "attempts": _attempts(mapping(data, "attempts")) if "attempts" in data else None,
        "cost_unit": text(data, "cost_unit") if "cost_unit" in data else "usd",
        "task_costs": array(data, "task_costs", n_tasks, low=1e-300)
        if "task_costs" in data
        else None,
        "metric": metric_of(data) if "metric" in data else None,
        "version": text(data, "version") if "version" in data else "",
        "candidate": Candidate(**mapping(data, "candidate", of_texts=True))
        if "candidate" in data
        else None,
        "estimator": _estimator(text(data, "estimator")) if "estimator" in data else "auto",
        "mean_tokens": number(data, "mean_tokens", low=0.0) if "mean_tokens" in data else math.nan,
        "seed": whole(data, "seed"),
        "as_of": text(data, "as_of"),
        "warnings": texts(data, "warnings"),
        "versions": MappingProxyType(mapping(data, "versions", of_texts=True)),
    }


def metric_of(data: Mapping[str, Any]) -> Metric | None:
    """Return the metric that `asdict` wrote under that name; None for none."""
    if data["metric"] is None:
        return None
    data = mapping(data, "metric")
    for name in ("name", "key", "declared"):
        text(data, name)
    for name in ("low", "high"):
        number(data, name)
    flag(data, "lower_is_better")
    return Metric(**data)


def model_of(data: Mapping[str, Any], n_agents: int, n_tasks: int) -> PredictionModel | None:
    """Return the model that `model_values` wrote under that name; None for none."""
    if data["model"] is None:
        return None
    data = mapping(data, "model")
    return PredictionModel(
        tasks=array(data, "tasks", n_tasks, 5, low=-1e6, high=1e6),
        prior_centre=number(data, "prior_centre", low=-1e6, high=1e6),
        binary=flag(data, "binary"),
        reference_full_scores=array(data, "reference_full_scores", n_agents, low=0.0, high=1.0),
        reference_deviations=array(data, "reference_deviations", n_agents, low=0.0, high=1.0)
        if "reference_deviations" in data
        else None,
        dispersion=_dispersion(mapping(data, "dispersion"), n_tasks)
        if "dispersion" in data
        else None,
    )


def _dispersion_values(dispersion: Dispersion | None) -> dict[str, object]:
    """Return nothing for passes and fails: such plans keep their digests."""
    if dispersion is None:
        return {}
    per_task = pack(dispersion.per_task)
    return {"dispersion": {"per_task": per_task, "attempts": dispersion.attempts}}


def _dispersion(data: Mapping[str, Any], n_tasks: int) -> Dispersion:
    return Dispersion(
        per_task=array(data, "per_task", n_tasks, low=1e-3, high=1.0),
        attempts=whole(data, "attempts"),
    )


def _calibration(data: Mapping[str, Any]) -> Calibration:
    number(data, "multiplier", low=0.0)
    number(data, "confidence", low=0.0, high=1.0)
    whole(data, "replays")
    whole(data, "covered")
    number(data, "fraction_run", low=0.0)
    text(data, "held_out")
    if "surprise" in data:
        number(data, "surprise", low=0.0)
    if "bound" in data and text(data, "bound") not in CALIBRATED_BOUNDS:
        field = "bound"
        raise _wrong(field, f"one of {', '.join(filter(None, CALIBRATED_BOUNDS))}", data["bound"])
    if "benchmarks" in data:
        whole(data, "benchmarks")
    if "spread" in data:
        number(data, "spread", low=0.0, high=10.0)
    made = Calibration(**data)
    check_confidence(made.confidence)
    return made


def _band(limits: object) -> Band:
    if not isinstance(limits, list) or len(limits) != 2:
        msg = f"band: expected two numbers, got {str(limits)[:60]!r}"
        raise ValueError(msg)
    named = dict(zip(("low", "high"), limits, strict=True))
    return Band(number(named, "low"), number(named, "high"))


def _strategy_name(name: str) -> str:
    field = "in_order"
    if name not in strategies():
        raise _wrong(field, f"one of {', '.join(strategies())}", name)
    return name


def _estimator(name: str) -> str:
    field = "estimator"
    if name not in ESTIMATORS:
        raise _wrong(field, f"one of {', '.join(ESTIMATORS)}", name)
    return name


def _attempts_values(attempts: Attempts) -> dict[str, object]:
    plain = asdict(attempts)
    if attempts.dispersion == 1.0:  # plans of passes and fails keep their digests
        del plain["dispersion"]
    return plain


def _attempts(data: Mapping[str, Any]) -> Attempts:
    whole(data, "most", low=1)
    number(data, "correlation", low=0.0, high=1.0)
    if "dispersion" in data:
        number(data, "dispersion", low=1e-3, high=1.0)
    return Attempts(**data)
