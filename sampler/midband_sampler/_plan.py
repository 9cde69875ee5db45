"""The plan: everything a run needs to choose and to stop, frozen and self-contained."""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from midband_history import FloatArray, InputError, OutcomeMatrix
from midband_sampler._attempts import Attempts
from midband_sampler._auto import choose_calibrated
from midband_sampler._band import Band
from midband_sampler._calibration import Calibration
from midband_sampler._combined import check_named, gives_up, named_agents
from midband_sampler._costs import (
    check_cost_unit,
    choice_costs,
    expected_seconds,
    expected_usd,
)
from midband_sampler._errors import PlanError
from midband_sampler._model import PredictionModel
from midband_sampler._rule_text import Build, stop_from_dict
from midband_sampler._steering import SteeredChooser, Steering
from midband_sampler._stopping import Never, RankSettled, StoppingRule
from midband_sampler._strategies import (
    LIVE,
    PER_COST,
    PREDICTIVE,
    Chooser,
    FixedChooser,
    RandomStrategy,
    Selection,
    Strategy,
    find_chooser,
    find_strategy,
)

FORMAT = 1
_FIXED_NAMES = {"cost": "cost-design", "information": "design"}
MIN_REFERENCE = 5
MIN_COVERAGE = 0.5
_MIN_SAMPLE = 2
_REPEATING = ("cost", "information")
AddedRules = Callable[[], Mapping[str, Build]]
GUARANTEES = ("auto", "always-valid", "calibrated")


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
    stop : StoppingRule
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
    """

    benchmark: str
    tasks: tuple[str, ...]
    all_tasks: tuple[str, ...]
    task_digests: Mapping[str, str]
    reference_agents: tuple[str, ...]
    reference_scores: FloatArray
    expected_cost_usd: FloatArray
    strategy: str
    stop: StoppingRule
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
        if not self.tasks:
            msg = "expected at least one task in the plan, got none: make the plan anew"
            raise PlanError(msg)
        check_named(named_agents(self.stop), self.reference_agents)

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
    def chooses_live(self) -> bool:
        """Whether the session names each next task from the results so far."""
        return self.calibration is not None and self.strategy in LIVE

    @property
    def steering(self) -> Steering:
        """Guard tasks and randomised share, by position among all tasks."""
        column = {task: place for place, task in enumerate(self.all_tasks)}
        always = tuple(column[task] for task in self.always)
        return Steering(always=always, explore=self.explore, seed=self.seed)

    def chooser(self) -> Chooser:
        """Return what names each next task in a session that chooses live."""
        chooser = find_chooser(self.strategy, band=self.band or Band(), costs=self.task_costs)
        return self.steering.apply(chooser)

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
                " whose fixed order was not calibrated: make the plan with --strategy design"
            )
            raise PlanError(msg)
        name = _FIXED_NAMES.get(self.strategy, f"{self.strategy}, fixed order")
        return replace(self, strategy=name, calibration=self.fallback, fallback=None, attempts=None)

    @property
    def digest(self) -> str:
        """SHA-256 over the content, first 16 hex digits: names this plan in logs."""
        return hashlib.sha256(self._body().encode()).hexdigest()[:16]

    def _body(self) -> str:
        content: dict[str, object] = {
            "midband_plan": FORMAT,
            "benchmark": self.benchmark,
            "strategy": self.strategy,
            "stop": self.stop.to_dict(),
            "band": None if self.band is None else [self.band.low, self.band.high],
            "seed": self.seed,
            "as_of": self.as_of,
            "warnings": list(self.warnings),
            "versions": dict(sorted(self.versions.items())),
            "tasks": list(self.tasks),
            "all_tasks": list(self.all_tasks),
            "task_digests": [self.task_digests.get(task, "") for task in self.all_tasks],
            "reference_agents": list(self.reference_agents),
            "reference_scores": _pack(self.reference_scores),
            "expected_cost_usd": _pack(self.expected_cost_usd),
            "max_tasks": self.max_tasks,
            "notes": list(self.notes),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "model": None
            if self.model is None
            else {
                "tasks": _pack(self.model.tasks),
                "prior_centre": self.model.prior_centre,
                "binary": self.model.binary,
                "reference_full_scores": _pack(self.model.reference_full_scores),
            },
        }
        # Left out where unset, so that plans from before these options keep their digests.
        if self.fallback is not None:
            content["fallback"] = self.fallback.to_dict()
        if self.always:
            content["always"] = list(self.always)
        if self.explore:
            content["explore"] = self.explore
        if self.attempts is not None:
            content["attempts"] = asdict(self.attempts)
        if self.task_costs is not None:
            content["cost_unit"] = self.cost_unit
            content["task_costs"] = _pack(self.task_costs)
        return json.dumps(content, ensure_ascii=False, indent=1)

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
    def read(cls, path: Path | str, *, rules: AddedRules | None = None) -> "Plan":
        """Read a plan that `write` wrote; `rules` as in `from_json`."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            msg = f"expected a plan written by `midband plan`, cannot read {path}: {error}"
            raise PlanError(msg) from error
        return cls.from_json(text, name=str(path), rules=rules)

    @classmethod
    def from_json(
        cls, text: str, *, name: str = "this text", rules: AddedRules | None = None
    ) -> "Plan":
        """Rebuild a plan; a changed or foreign text is a `PlanError`.

        Parameters
        ----------
        text : str
        name : str
            What an error calls it.
        rules : callable, optional
            Stopping rules besides midband's own, as `stop_from_dict` takes them.
        """
        try:
            data = json.loads(text)
            if data["midband_plan"] > FORMAT:
                found = data["midband_plan"]
                msg = f"expected plan format {FORMAT}, got {found} in {name}: update midband"
                raise PlanError(msg)
            all_tasks = tuple(data["all_tasks"])
            agents = tuple(data["reference_agents"])
            plan = cls(
                benchmark=data["benchmark"],
                tasks=tuple(data["tasks"]),
                all_tasks=all_tasks,
                task_digests=MappingProxyType(
                    dict(zip(all_tasks, data["task_digests"], strict=True))
                ),
                reference_agents=agents,
                reference_scores=_unpack(data["reference_scores"], len(agents), len(all_tasks)),
                expected_cost_usd=_unpack(data["expected_cost_usd"], len(all_tasks)),
                strategy=data["strategy"],
                stop=stop_from_dict(data["stop"], rules),
                model=None
                if data["model"] is None
                else PredictionModel(
                    tasks=_unpack(data["model"]["tasks"], len(all_tasks), 5),
                    prior_centre=data["model"]["prior_centre"],
                    binary=data["model"]["binary"],
                    reference_full_scores=_unpack(
                        data["model"]["reference_full_scores"], len(agents)
                    ),
                ),
                calibration=None
                if data["calibration"] is None
                else Calibration(**data["calibration"]),
                fallback=Calibration(**data["fallback"]) if "fallback" in data else None,
                max_tasks=data["max_tasks"],
                notes=tuple(data["notes"]),
                band=None if data["band"] is None else Band(*data["band"]),
                always=tuple(data.get("always", ())),
                explore=data.get("explore", 0.0),
                attempts=Attempts(**data["attempts"]) if "attempts" in data else None,
                cost_unit=data.get("cost_unit", "usd"),
                task_costs=_unpack(data["task_costs"], len(all_tasks))
                if "task_costs" in data
                else None,
                seed=data["seed"],
                as_of=data["as_of"],
                warnings=tuple(data["warnings"]),
                versions=MappingProxyType(data["versions"]),
            )
            digest = data["digest"]
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            if isinstance(error, PlanError):
                raise
            msg = (
                f"expected a plan written by `midband plan`, got something else in {name}: {error}"
            )
            raise PlanError(msg) from error
        if plan.digest != digest:
            msg = (
                f"expected plan {digest}, got {plan.digest} in {name}: it was changed by hand;"
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


def make_plan(
    matrix: OutcomeMatrix,
    *,
    strategy: str | Strategy = "band",
    band: Band | None = None,
    stop: StoppingRule | None = None,
    max_tasks: int | None = None,
    seed: int = 0,
    as_of: str = "",
    versions: Mapping[str, str] | None = None,
    guarantee: str = "auto",
    always: Sequence[str] = (),
    explore: float = 0.0,
    attempts: int = 1,
    cost_unit: str = "usd",
    fallback: bool = True,
) -> Plan:
    """Choose tasks for a new agent from the results of earlier ones.

    Parameters
    ----------
    matrix : OutcomeMatrix
        History of one benchmark. Agents that ran fewer than half of the tasks count in
        the band's pass rates but are no references to rank against; a warning says how many.
    strategy : str or Strategy
        ``band``, ``random``, ``stratified``: chosen by pass rate alone. ``design``: the order
        that leaves the least variance in the predicted full score, fixed before the run;
        ``information`` and ``matched`` choose live. ``cost`` and ``cost-design``: the same two by
        the reduction per expected cost. ``auto``: the cheapest calibrated order that any harness
        can follow. Or an object of your own.
    band : Band, optional
        Default 30-70 %.
    stop : StoppingRule, optional
        Default ``RankSettled()``.
    max_tasks : int, optional
        Keep only so many tasks; a larger plan with the same seed contains the smaller one.
    seed : int
        Same history, settings and seed give the same plan.
    as_of : str
        Noted in the plan; the matrix must have been read as of it.
    versions : mapping, optional
        Versions of the plugins that took part.
    guarantee : str
        ``always-valid``: a bound over all looks at the rank on the planned tasks; needs a random
        order. ``calibrated``: the rank on the full benchmark, predicted, with an interval as wide
        as replays on the history's own agents require. ``auto``: calibrated where the strategy
        needs it.
    always : sequence of str
        Guard tasks: they run first, whatever the strategy. Being no random sample they are known
        results, and no evidence, on the others: under ``always-valid`` the bound is that for the
        other tasks.
    explore : float
        In [0, 1): chance that a choice is drawn uniformly from all tasks left, so that
        `Session.randomised_score` needs no model. For calibrated plans.
    attempts : int
        Up to so many attempts at a task, one more being asked for where it tells more than another
        task; for ``information`` and ``cost``. The full score is then that of so many attempts at
        every task, and `max_tasks` counts attempts.
    cost_unit : str
        ``usd`` or ``seconds``, for ``cost`` and ``cost-design``.
    fallback : bool
        Whether a plan that chooses live is also calibrated for its tasks in their order:
        `Plan.fixed`.

    Raises
    ------
    PlanError
        When no honest plan can be made: no results, too few mid-difficulty tasks, or no costs.
    """
    if not matrix.agents or not matrix.tasks:
        msg = (
            f"expected results of {matrix.benchmark!r} in the history, got none: import some first"
        )
        raise PlanError(msg)
    if guarantee not in GUARANTEES:
        msg = f"expected a guarantee among {', '.join(GUARANTEES)}, got {guarantee!r}"
        raise InputError(msg)
    if max_tasks is not None and max_tasks < 1:
        msg = f"expected max_tasks >= 1, got {max_tasks}"
        raise InputError(msg)
    rule = stop if stop is not None else RankSettled()
    rng = np.random.default_rng(seed)
    notes: list[str] = []
    warnings: list[str] = []
    name = strategy if isinstance(strategy, str) else strategy.name
    predictive = isinstance(strategy, str) and (
        guarantee == "calibrated" or name == "auto" or name in PREDICTIVE
    )
    steering = Steering(always=_guards(matrix, always, max_tasks), explore=explore, seed=seed)
    if explore and not predictive:
        msg = (
            f"expected a calibrated plan for explore={explore:g}, got strategy {name!r} with an"
            " always-valid bound, which needs its own random order: use --guarantee calibrated"
        )
        raise InputError(msg)
    costs = _costs_for(matrix, name, cost_unit, notes)
    reference = _reference_agents(matrix, warnings)
    tries = _attempts_for(reference, name, attempts, rule, explore=explore)
    if len(reference.agents) < MIN_REFERENCE:
        warnings.append(
            f"only {len(reference.agents)} agents to rank against, {MIN_REFERENCE} are needed:"
            " a random order without early stopping instead of a promise that cannot be kept"
        )
        name, strategy, rule = "random", RandomStrategy(), Never(rule.confidence)
    chooser: Chooser | None = None
    calibration: Calibration | None = None
    in_order: Calibration | None = None
    if predictive and isinstance(strategy, str):
        choice = choose_calibrated(
            reference,
            name,
            rule=rule,
            build=lambda each: steering.apply(find_chooser(each, band=band or Band(), costs=costs)),
            max_tasks=max_tasks,
            seed=seed,
            in_order_too=fallback,
            notes=notes,
            warnings=warnings,
            attempts=tries,
            costs=costs,
        )
        name, chooser, calibration = choice.name, choice.chooser, choice.calibration
        in_order = choice.fallback
    model: PredictionModel | None = None
    if calibration is not None and chooser is not None:
        model = PredictionModel.fit(reference)
        selection = Selection(chooser.order(reference, model.predict(), rng=rng))
        inner = chooser.chooser if isinstance(chooser, SteeredChooser) else chooser
        if isinstance(inner, FixedChooser):
            selection = inner.strategy.select(reference, band=inner.band, rng=rng)
    else:
        chosen = find_strategy(name) if isinstance(strategy, str) else strategy
        selection = chosen.select(matrix, band=band or Band(), rng=rng)
        if explore:
            warnings.append("explore is not used: the order is random, which is as fair")
            steering = replace(steering, explore=0.0)
    warnings.extend(selection.warnings)
    live = calibration is not None and name in LIVE
    arranged = steering.arrange(selection.tasks, len(matrix.tasks))
    order = arranged if live else arranged[:max_tasks]
    if calibration is None and always and len(order) < len(steering.always) + _MIN_SAMPLE:
        msg = (
            f"expected at least {_MIN_SAMPLE} planned tasks besides the {len(steering.always)}"
            f" guard tasks, got {len(order) - len(steering.always)}: they alone rank nobody"
        )
        raise PlanError(msg)
    if attempts > 1 and calibration is None:
        warnings.append(f"attempts={attempts} is not used: without a model no attempt is chosen")
    elif tries is not None:
        notes.append(
            f"up to {attempts} attempts a task: given the agent's ability, two attempts at a task"
            f" correlate by {tries.correlation:.2f} in this history"
        )
    notes.extend(_steering_notes(steering))
    return Plan(
        benchmark=matrix.benchmark,
        tasks=tuple(matrix.tasks[j] for j in order),
        all_tasks=matrix.tasks,
        task_digests=MappingProxyType(dict(zip(matrix.tasks, matrix.task_digests, strict=True))),
        reference_agents=reference.agents,
        reference_scores=np.round(reference.scores, 9),
        expected_cost_usd=expected_usd(matrix),
        strategy=name,
        stop=rule,
        model=model,
        calibration=calibration,
        fallback=in_order,
        max_tasks=max_tasks,
        notes=tuple(notes),
        band=selection.band,
        always=tuple(matrix.tasks[j] for j in steering.always),
        explore=steering.explore,
        attempts=tries if calibration is not None else None,
        cost_unit=cost_unit,
        task_costs=costs if calibration is not None else None,
        seed=seed,
        as_of=as_of,
        warnings=tuple(warnings),
        versions=MappingProxyType(dict(versions or {})),
    )


def _reference_agents(matrix: OutcomeMatrix, warnings: list[str]) -> OutcomeMatrix:
    """Keep the agents that ran enough of the benchmark to be ranked against."""
    reference = np.mean(matrix.attempts > 0, axis=1) >= MIN_COVERAGE
    if not reference.all():
        warnings.append(
            f"{int(np.sum(~reference))} of {len(matrix.agents)} agents ran fewer than half of the"
            " tasks and are not ranked against"
        )
    return matrix.select(agents=np.flatnonzero(reference))


def _guards(matrix: OutcomeMatrix, always: Sequence[str], max_tasks: int | None) -> tuple[int, ...]:
    """Positions of the guard tasks, each once, in the order given."""
    column = {task: place for place, task in enumerate(matrix.tasks)}
    unknown = [task for task in always if task not in column]
    if unknown:
        msg = (
            f"expected guard tasks of {matrix.benchmark!r}, got {', '.join(map(repr, unknown))}:"
            " `midband rates` lists its tasks"
        )
        raise InputError(msg)
    guards = tuple(dict.fromkeys(column[task] for task in always))
    if max_tasks is not None and guards and max_tasks <= len(guards):
        msg = (
            f"expected max_tasks above the {len(guards)} guard tasks, got {max_tasks}:"
            " guard tasks alone rank nobody"
        )
        raise InputError(msg)
    return guards


def _costs_for(matrix: OutcomeMatrix, name: str, unit: str, notes: list[str]) -> FloatArray | None:
    """Costs for a strategy that weighs them, with a note on what they rest on."""
    check_cost_unit(unit)
    if name not in PER_COST:
        if unit != "usd":
            msg = f"expected strategy cost or cost-design for cost unit {unit!r}, got {name!r}"
            raise InputError(msg)
        return None
    costs = choice_costs(matrix, unit=unit)
    known = expected_usd(matrix) if unit == "usd" else expected_seconds(matrix)
    note = f"costs: expected {unit} of an attempt, {costs.min():.3g} to {costs.max():.3g} a task"
    unknown = np.isnan(known)
    if unknown.any():
        middle = float(costs[unknown][0])
        note += f"; {unknown.sum()} of {known.size} tasks without one count as {middle:.3g}"
    elif np.ptp(costs) == 0.0:
        note += ": all alike, so that this is the same as without costs"
    notes.append(note)
    return costs


def _attempts_for(
    reference: OutcomeMatrix, name: str, attempts: int, rule: StoppingRule, *, explore: float
) -> Attempts | None:
    """Learn what several attempts tell, where a plan is to choose among them."""
    if attempts < 1:
        msg = f"expected attempts >= 1, got {attempts}"
        raise InputError(msg)
    if attempts == 1:
        return None
    if name not in _REPEATING:
        msg = (
            f"expected strategy {' or '.join(_REPEATING)} for attempts={attempts}, got {name!r}:"
            " only these weigh another attempt against another task"
        )
        raise InputError(msg)
    if explore or gives_up(rule):
        found = f"explore={explore:g}" if explore else "hopeless"
        msg = f"expected attempts=1 with {found}, got {attempts}: use the one or the other"
        raise InputError(msg)
    return Attempts.learn(reference, attempts) if len(reference.agents) >= MIN_REFERENCE else None


def _steering_notes(steering: Steering) -> list[str]:
    notes = []
    if steering.always:
        notes.append(
            f"{len(steering.always)} guard tasks run first; they are no random sample and count as"
            " known results, not as evidence on the other tasks"
        )
    if steering.explore:
        notes.append(
            f"{steering.explore:.0%} of the choices are drawn by chance from all tasks left: an"
            " estimate of the full score by these alone is honest even if the model is wrong"
        )
    return notes


def _pack(values: FloatArray) -> str:
    """Little-endian float64, zlib, base64."""
    return base64.b64encode(zlib.compress(values.astype("<f8").tobytes(), 6)).decode("ascii")


def _unpack(text: str, *shape: int) -> FloatArray:
    raw = zlib.decompress(base64.b64decode(text))
    return np.frombuffer(raw, dtype="<f8").reshape(shape).astype(np.float64)
