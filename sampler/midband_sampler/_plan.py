"""The plan: everything a run needs to choose and to stop, frozen and self-contained."""

import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from midband_history import FloatArray, InputError, Metric
from midband_sampler._attempts import Attempts
from midband_sampler._band import Band
from midband_sampler._calibration import Calibration
from midband_sampler._combined import check_named, named_agents
from midband_sampler._errors import PlanError
from midband_sampler._model import PredictionModel
from midband_sampler._plan_text import FORMAT, AddedRules, plain_values, plan_fields
from midband_sampler._plan_values import MOST_BYTES, parse, whole
from midband_sampler._steering import Steering
from midband_sampler._stopping import StoppingRule
from midband_sampler._strategies import LIVE, Chooser, find_chooser

ALWAYS_VALID = "confidence sequence over all looks, finite population, tasks in random order"
_SHOWN = 300
_FIXED_NAMES = {"cost": "cost-design", "information": "design"}


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
    metric : Metric or None
        What the reference scores are scores of; None in plans of midband 0.1, which did not say.
    version : str
        The version of the benchmark; empty where its results tell no versions apart.
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
    metric: Metric | None = None
    version: str = ""

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
    def guarantee(self) -> str:
        """By what the confidence of a verdict holds."""
        return ALWAYS_VALID if self.calibration is None else self.calibration.guarantee

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
        return json.dumps(plain_values(self), ensure_ascii=False, indent=1)

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
            with Path(path).open("rb") as file:
                content = file.read(MOST_BYTES + 1)
            text = content.decode()
        except (OSError, ValueError) as error:
            msg = f"expected a plan written by `midband plan`, cannot read {path}: {error}"
            raise PlanError(msg) from error
        if len(content) > MOST_BYTES:
            msg = (
                f"expected a plan of at most {MOST_BYTES >> 20} MB, got a larger file in {path}:"
                " name the plan, or make it anew"
            )
            raise PlanError(msg)
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
            data = parse(text)
            found = whole(data, "midband_plan", low=1)
            if found > FORMAT:
                msg = f"expected plan format {FORMAT}, got {found} in {name}: update midband"
                raise PlanError(msg)
            plan = cls(**plan_fields(data, rules))
            if plan.chooses_live:
                plan.chooser()  # refused here and not in the run
            found_digest, digest = plan.digest, data["digest"]
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
