"""The plan: everything a run needs to choose and to stop, frozen and self-contained."""

import hashlib
import json
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from midband_history import FloatArray, InputError, IntArray, Metric
from midband_sampler.band import Band
from midband_sampler.calibration import Calibration
from midband_sampler.errors import PlanError
from midband_sampler.model.attempts import Attempts
from midband_sampler.model.fitted import PredictionModel
from midband_sampler.plan_values import (
    MOST_BYTES,
    array,
    flag,
    mapping,
    number,
    pack,
    parse,
    text,
    texts,
    whole,
)
from midband_sampler.stopping.base import Rule, check_confidence
from midband_sampler.stopping.parse import Build, stop_from_dict
from midband_sampler.strategies.base import Strategy
from midband_sampler.strategies.exploration import Exploration
from midband_sampler.strategies.find import present_name, strategies
from midband_sampler.strategies.policy import Policy

FORMAT = 2
_SHOWN = 300
_NAMES = frozenset(
    {
        "midband_plan", "benchmark", "strategy", "stop", "band", "seed", "as_of", "warnings",
        "versions", "tasks", "all_tasks", "task_digests", "reference_agents", "reference_scores",
        "expected_cost_usd", "max_tasks", "notes", "calibration", "model", "fallback", "always",
        "explore", "attempts", "cost_unit", "task_costs", "metric", "version", "digest",
    }
)  # fmt: skip
AddedRules = Callable[[], Mapping[str, Build]]
AddedStrategies = Callable[[str], "Strategy | None"]
ALWAYS_VALID = "confidence sequence over all looks, finite population, tasks in random order"


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan:
    """What to run and when to stop, without the history it came from.

    Parameters
    ----------
    benchmark : str
    tasks : tuple of str
        Ids of the tasks to run, in order.
    all_tasks : tuple of str, length n_all_tasks
        Ids of every task of the benchmark.
    task_digests : mapping of str to str
        Content digest of each task; empty text where unknown.
    reference_agents : tuple of str, length n_reference
    reference_scores : ndarray of float64, shape (n_reference, n_all_tasks)
        Mean scores in [0, 1], NaN where never run.
    expected_cost_usd : ndarray of float64, shape (n_all_tasks,)
        Mean cost of one attempt over the reference agents, US dollars; NaN if unknown.
    strategy : str
        Name of the strategy.
    stop : Rule
    model : PredictionModel or None
        Present where the rank is predicted for the full benchmark.
    calibration : Calibration or None
        What the predicted rank's confidence rests on; None where the always-valid bound is used.
    fallback : Calibration or None
        The same for `tasks` run in order, where the strategy chooses live: see `fixed`.
    max_tasks : int or None
        A session asks for no more tasks than this.
    notes : tuple of str
        Why the plan is as it is.
    band : Band or None
        The band that was used, after any widening.
    always : tuple of str
        Guard tasks: they run first, whatever the strategy.
    explore : float
        Chance that a choice after the guard tasks is drawn uniformly from all tasks left.
    attempts : Attempts or None
        How often a session may ask for a task; None for once, further results then average.
    cost_unit : str
        ``"usd"`` or ``"seconds"``: what `task_costs` counts.
    task_costs : ndarray of float64, shape (n_all_tasks,), or None
        What the strategy weighs information against, complete and positive; None where it does
        not.
    seed : int
    as_of : str
        ISO date up to which the history was read; empty for all of it.
    warnings : tuple of str
        What a reader must know before trusting a result.
    versions : mapping of str to str
        Version of midband and of each plugin that took part.
    metric : Metric or None
        What the reference scores are scores of; None in plans of midband 0.1, which did not say.
    version : str
        The version of the benchmark; empty where its results tell no versions apart.
    added_strategy : Strategy or None
        What `strategy` names where it is not one of midband's own.
    """

    benchmark: str
    tasks: tuple[str, ...]
    all_tasks: tuple[str, ...]
    task_digests: Mapping[str, str]
    reference_agents: tuple[str, ...]
    reference_scores: FloatArray
    expected_cost_usd: FloatArray
    strategy: str
    stop: Rule
    model: PredictionModel | None = None
    calibration: Calibration | None = None
    fallback: Calibration | None = None
    max_tasks: int | None = None
    notes: tuple[str, ...] = ()
    band: Band | None = None
    always: tuple[str, ...] = ()
    explore: float = 0.0
    attempts: Attempts | None = None
    cost_unit: str = "usd"
    task_costs: FloatArray | None = None
    seed: int = 0
    as_of: str = ""
    warnings: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    metric: Metric | None = None
    version: str = ""
    added_strategy: Strategy | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        shape = (len(self.reference_agents), len(self.all_tasks))
        if self.reference_scores.shape != shape:
            msg = f"expected reference_scores of shape {shape}, got {self.reference_scores.shape}"
            raise InputError(msg)
        known = set(self.all_tasks)
        strange = [task for task in self.tasks if task not in known]
        if strange or len(set(self.tasks)) != len(self.tasks):
            found = f"unknown {strange[:3]}" if strange else "a task twice"
            msg = (
                f"expected distinct planned tasks out of all_tasks, got {found}: make the plan anew"
            )
            raise InputError(msg)
        if self.tasks[: len(self.always)] != self.always:
            msg = (
                f"expected the guard tasks {self.always} first, got"
                f" {self.tasks[: len(self.always)]}: make the plan anew"
            )
            raise InputError(msg)
        if self.calibration is not None and self.model is None:
            msg = "expected a model in a calibrated plan, got none: make the plan anew"
            raise InputError(msg)
        if not self.tasks:
            msg = "expected at least one task in the plan, got none: make the plan anew"
            raise PlanError(msg)
        check_named(self.stop.named_agents, self.reference_agents)

    @property
    def reference_full_scores(self) -> FloatArray:
        """Mean of each reference agent over the tasks it ran, shape (n_reference,)."""
        known = ~np.isnan(self.reference_scores)
        total = np.where(known, self.reference_scores, 0.0).sum(axis=1)
        return np.asarray(total / np.maximum(known.sum(axis=1), 1))

    @property
    def target(self) -> str:
        """What a rank by this plan is a rank on: ``full benchmark`` or ``planned tasks``."""
        whole = self.calibration is not None or len(self.tasks) == len(self.all_tasks)
        return "full benchmark" if whole else "planned tasks"

    @property
    def guarantee(self) -> str:
        """By what the confidence of a verdict holds."""
        return ALWAYS_VALID if self.calibration is None else self.calibration.guarantee

    @property
    def chooses_live(self) -> bool:
        """Whether the session names each next task from the results so far."""
        found = self._strategy
        return self.calibration is not None and found is not None and found.live

    @property
    def fair_bets(self) -> bool:
        """Whether the tasks run in an order that no result of a reference agent has shaped."""
        found = self._strategy
        return self.calibration is None and found is not None and found.keeps_all

    @cached_property
    def columns(self) -> IntArray:
        """Position of each planned task among all tasks, shape (n_planned,)."""
        column = {task: place for place, task in enumerate(self.all_tasks)}
        return np.array([column[task] for task in self.tasks], dtype=np.int64)

    @cached_property
    def _strategy(self) -> Strategy | None:
        """Return the strategy, ready to choose; None for one that only a plugin knows."""
        found = self.added_strategy or strategies().get(self.strategy)
        if found is None:
            return None
        return found.configured(band=self.band or Band(), costs=self.task_costs)

    @property
    def exploration(self) -> Exploration:
        """Guard tasks and randomised share, by position among all tasks."""
        column = {task: place for place, task in enumerate(self.all_tasks)}
        always = tuple(column[task] for task in self.always)
        return Exploration(always=always, explore=self.explore, seed=self.seed)

    def policy(self) -> Policy | None:
        """Return what names each next task; None where that is the plan's order."""
        found = self._strategy
        if found is None or not self.chooses_live:
            return None
        return Policy(found, self.exploration)

    def check_single(self) -> None:
        """Raise an error if a session may ask for a task again, which most harnesses cannot."""
        if self.attempts is not None:
            msg = (
                f"expected a plan of one attempt a task, got up to {self.attempts.most}: drive a"
                " `midband.Session` of your own with it, or make it without --attempts"
            )
            raise PlanError(msg)

    def fixed(self) -> "Plan":
        """Return the plan for a harness that cannot choose while it runs.

        Itself, unless the strategy chooses live; then its tasks in their order, with an interval
        that was calibrated for this order.
        """
        if not self.chooses_live:
            return self
        if self.fallback is None:
            msg = (
                f"expected a harness that can choose while it runs for strategy {self.strategy!r},"
                " whose fixed order was not calibrated: make the plan with --strategy"
                f" {self.strategy}-fixed"
            )
            raise PlanError(msg)
        found = self._strategy
        form = None if found is None else found.fixed()
        return replace(
            self,
            strategy=f"{self.strategy}-fixed" if form is None else form.name,
            added_strategy=None if self.added_strategy is None else form,
            calibration=self.fallback,
            fallback=None,
            attempts=None,
        )

    @property
    def digest(self) -> str:
        """SHA-256 over the content, first 16 hex digits: names this plan in logs."""
        return hashlib.sha256(self._body().encode()).hexdigest()[:16]

    def _body(self) -> str:
        """Return the plan's text without its digest: of a plan that was read, as it was written."""
        written: str = self.__dict__.get("_written", "")
        return written or json.dumps(plain_values(self), ensure_ascii=False, indent=1)

    def to_json(self) -> str:
        """Return the plan as JSON text that ends with its digest."""
        return f'{self._body()[:-2]},\n "digest": "{self.digest}"\n}}\n'

    def write(self, path: Path | str) -> None:
        """Write the JSON text; a half-written plan is never left behind."""
        target = Path(path)
        partial = target.with_name(f".{target.name}.part")
        try:
            partial.write_text(self.to_json(), encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            msg = f"expected a writable place for the plan, got {target}: {error.strerror}"
            raise PlanError(msg) from error

    @classmethod
    def read(
        cls,
        path: Path | str,
        *,
        rules: AddedRules | None = None,
        strategies: AddedStrategies | None = None,
    ) -> "Plan":
        """Read a plan that `write` wrote; `rules` and `strategies` as in `from_json`."""
        try:
            with Path(path).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            found = content.decode()
        except (OSError, ValueError) as error:
            msg = f"expected a plan written by `midband plan`, cannot read {path}: {error}"
            raise PlanError(msg) from error
        if len(content) > MOST_BYTES:
            msg = (
                f"expected a plan of at most {MOST_BYTES >> 20} MB, got a larger file in {path}:"
                " name the plan, or make it anew"
            )
            raise PlanError(msg)
        return cls.from_json(found, name=str(path), rules=rules, strategies=strategies)

    @classmethod
    def from_json(
        cls,
        text: str,
        *,
        name: str = "this text",
        rules: AddedRules | None = None,
        strategies: AddedStrategies | None = None,
    ) -> "Plan":
        """Rebuild a plan; a changed or foreign text is a `PlanError`.

        A plan that an earlier version wrote keeps its text, and so its digest.

        Parameters
        ----------
        text : str
        name : str
            What an error calls it.
        rules : callable, optional
            Stopping rules besides midband's own, as `stop_from_dict` takes them.
        strategies : callable, optional
            Returns a strategy besides midband's own by its name; None where there is none.
        """
        try:
            data = parse(text)
            found = whole(data, "midband_plan", low=1)
            if found > FORMAT:
                msg = f"expected plan format {FORMAT}, got {found} in {name}: update midband"
                raise PlanError(msg)
            plan = cls(**plan_fields(data, rules, strategies))
            if plan.chooses_live:
                plan.policy()  # refused here and not in the run
            digest = data["digest"]
            # Not a field: a plan derived from this one by `replace` has a text of its own.
            written = {each: value for each, value in data.items() if each != "digest"}
            plan.__dict__["_written"] = json.dumps(written, ensure_ascii=False, indent=1)
            found_digest = plan.digest
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            ArithmeticError,
            RecursionError,
            MemoryError,
            zlib.error,
        ) as error:
            what = f"no {error}" if isinstance(error, KeyError) else str(error)
            line = " ".join(what.split())
            if isinstance(error, PlanError) and what == line and len(line) <= _SHOWN:
                raise
            what = line[:_SHOWN] or type(error).__name__
            msg = (
                f"expected a plan written by `midband plan`, got something else in {name}"
                f" ({what}): name the plan, or make it anew"
            )
            raise PlanError(msg) from error
        if found_digest != digest:
            msg = (
                f"expected plan {str(digest)[:16]!r}, got {found_digest} in {name}: it was changed"
                " by hand;"
                " make it anew"
            )
            raise PlanError(msg)
        return plan

    def __eq__(self, other: object) -> bool:
        """Plans are equal when their content is."""
        return isinstance(other, Plan) and self._body() == other._body()

    def __hash__(self) -> int:
        """Hash of the digest."""
        return hash(self.digest)


def plain_values(plan: Plan) -> dict[str, object]:
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
        "reference_scores": pack(plan.reference_scores),
        "expected_cost_usd": pack(plan.expected_cost_usd),
        "max_tasks": plan.max_tasks,
        "notes": list(plan.notes),
        "calibration": None if plan.calibration is None else plan.calibration.to_dict(),
        "model": None
        if plan.model is None
        else {
            "tasks": pack(plan.model.tasks),
            "prior_centre": plan.model.prior_centre,
            "binary": plan.model.binary,
            "reference_full_scores": pack(plan.model.reference_full_scores),
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
        content["task_costs"] = pack(plan.task_costs)
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
        "added_strategy": None if own or added is None else added(strategy),
        "stop": stop_from_dict(mapping(data, "stop"), rules),
        "model": None
        if data["model"] is None
        else _model(mapping(data, "model"), n_agents, n_tasks),
        "calibration": None
        if data["calibration"] is None
        else _calibration(mapping(data, "calibration")),
        "fallback": _calibration(mapping(data, "fallback")) if "fallback" in data else None,
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
        "metric": _metric(mapping(data, "metric")) if "metric" in data else None,
        "version": text(data, "version") if "version" in data else "",
        "seed": whole(data, "seed"),
        "as_of": text(data, "as_of"),
        "warnings": texts(data, "warnings"),
        "versions": MappingProxyType(mapping(data, "versions", of_texts=True)),
    }


def _metric(data: Mapping[str, Any]) -> Metric:
    for name in ("name", "key", "declared"):
        text(data, name)
    for name in ("low", "high"):
        number(data, name)
    flag(data, "lower_is_better")
    return Metric(**data)


def _model(data: Mapping[str, Any], n_agents: int, n_tasks: int) -> PredictionModel:
    return PredictionModel(
        tasks=array(data, "tasks", n_tasks, 5, low=-1e6, high=1e6),
        prior_centre=number(data, "prior_centre", low=-1e6, high=1e6),
        binary=flag(data, "binary"),
        reference_full_scores=array(data, "reference_full_scores", n_agents, low=0.0, high=1.0),
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
    made = Calibration(**data)
    check_confidence(made.confidence)
    return made


def _band(limits: object) -> Band:
    if not isinstance(limits, list) or len(limits) != 2:
        msg = f"band: expected two numbers, got {str(limits)[:60]!r}"
        raise ValueError(msg)
    named = dict(zip(("low", "high"), limits, strict=True))
    return Band(number(named, "low"), number(named, "high"))


def _attempts(data: Mapping[str, Any]) -> Attempts:
    whole(data, "most", low=1)
    number(data, "correlation", low=0.0, high=1.0)
    return Attempts(**data)


def check_named(names: Iterable[str], agents: Sequence[str]) -> None:
    """Raise unless every name is among the agents; the message offers the nearest."""
    for name in names:
        if name not in agents:
            near = get_close_matches(name, agents, 3, 0.3) or list(agents[:3])
            msg = (
                f"expected a reference agent to compare with, got {name!r}: the plan's agents"
                f" include {', '.join(repr(each) for each in near)}"
            )
            raise PlanError(msg)
