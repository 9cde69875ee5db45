"""The plan: a frozen record of everything that a run needs to choose tasks and to stop."""

import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from midband_history import Column, FloatArray, Frames, InputError, IntArray, Metric
from midband_sampler.bounds.sequential import ALWAYS_VALID, NOT_RANDOM
from midband_sampler.calibration import Calibration
from midband_sampler.errors import PlanError
from midband_sampler.model.prediction import Attempts, PredictionModel
from midband_sampler.notebook import plan_html, plan_repr
from midband_sampler.plan_text import (
    FORMAT,
    MOST_BYTES,
    AddedRules,
    AddedStrategies,
    parse,
    plain_values,
    plan_fields,
    whole,
)
from midband_sampler.settings import Candidate
from midband_sampler.stopping.base import Rule, check_named
from midband_sampler.strategies.base import Band, Strategy, strategies
from midband_sampler.strategies.policy import Exploration, Policy

_SHOWN = 300


@dataclass(frozen=True, eq=False, kw_only=True)
class Plan(Frames):
    """What to run and when to stop; a plan does not need the history that it was made from.

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
        The response model, if the rank is predicted for the full benchmark.
    calibration : Calibration or None
        The replays on which the confidence rests; None if the plan uses the always-valid bound.
    fallback : Calibration or None
        If the strategy chooses live, the calibration of running `tasks` in order; see `fixed`.
    in_order : str
        Name of the strategy that ordered `tasks`, if `strategy` chooses live and another strategy
        gives a better order. Empty for the fixed form of `strategy`.
    max_tasks : int or None
        Largest number of tasks that a session asks for.
    notes : tuple of str
        Explanations of how the plan was made.
    band : Band or None
        The band that was used, after any widening.
    always : tuple of str
        Guard tasks, which run first with every strategy.
    explore : float
        Chance that a choice after the guard tasks is drawn uniformly from all remaining tasks.
    attempts : Attempts or None
        How often a session may ask for a task. None means once; further results are then averaged.
    cost_unit : str
        Unit of `task_costs`: ``"usd"`` or ``"seconds"``.
    task_costs : ndarray of float64, shape (n_all_tasks,), or None
        Costs that the strategy weighs information against, complete and positive. None if the
        strategy does not weigh costs.
    seed : int
    as_of : str
        ISO date up to which the history was read; empty for all of it.
    warnings : tuple of str
        Facts that a reader must know before trusting a result.
    versions : mapping of str to str
        Version of midband and of each plugin that took part.
    metric : Metric or None
        Metric of the reference scores; None in plans of midband 0.1, which did not record it.
    version : str
        Version of the benchmark; empty if the results do not distinguish versions.
    candidate : Candidate or None
        The new agent that the plan was made for; None if it was not described.
    estimator : str
        How the score on the target is estimated; see `PlanSettings`.
    mean_tokens : float
        Mean number of tokens of an attempt in the history; NaN if the history has no token counts.
    added_strategy : Strategy or None
        The strategy object that `strategy` names, if it is not one of midband's own.
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
    in_order: str = ""
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
    candidate: Candidate | None = None
    estimator: str = "auto"
    mean_tokens: float = math.nan
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
        made = self.calibration
        if made is not None and self.model is None and (not made.bound or self.chooses_live):
            msg = "expected a model in a calibrated plan, got none: make the plan anew"
            raise InputError(msg)
        if not self.tasks:
            msg = "expected at least one task in the plan, got none: make the plan anew"
            raise PlanError(msg)
        check_named(self.stop.named_agents, self.reference_agents)

    @property
    def reference_full_scores(self) -> FloatArray:
        """Mean of each reference agent over the tasks it ran, shape (n_reference,)."""
        return _mean_known(self.reference_scores)

    def frame(self) -> dict[str, Column]:
        """Return one row for each task of the benchmark; planned tasks have a place from 1."""
        place = {task: number for number, task in enumerate(self.tasks, 1)}
        known = ~np.isnan(self.reference_scores).all(axis=0)
        rates = np.where(known, _mean_known(self.reference_scores.T), np.nan)
        return {
            "task_id": Column("text", list(self.all_tasks)),
            "place": Column("count", [place.get(task) for task in self.all_tasks]),
            "always": Column("flag", [task in self.always for task in self.all_tasks]),
            "pass_rate": Column("number", rates),
            "expected_cost_usd": Column("number", self.expected_cost_usd),
            "task_digest": Column("text", [self.task_digests.get(t, "") for t in self.all_tasks]),
        }

    def scores_on(self, tasks: NDArray[np.bool_]) -> tuple[FloatArray, FloatArray]:
        """Return the mean score of each reference agent on some tasks, and its standard deviation.

        With a model, missing results of an agent are predicted. Without one they are left out: the
        mean is over the tasks that the agent ran, and the deviation is 0.

        Parameters
        ----------
        tasks : ndarray of bool, shape (n_all_tasks,)
            True for each task that counts.
        """
        if self.model is not None:
            if tasks.all():
                errors = self.model.reference_deviations
                known = self.model.reference_full_scores
                return known, np.zeros_like(known) if errors is None else errors
            found = self.model.complete(self.reference_scores, tasks[None])
            return found.scores[0], found.deviations[0]
        means = _mean_known(self.reference_scores[:, tasks])
        return means, np.zeros_like(means)

    @property
    def target(self) -> str:
        """The tasks that a rank by this plan is about: ``full benchmark`` or ``planned tasks``."""
        whole = self.predicts or len(self.tasks) == len(self.all_tasks)
        return "full benchmark" if whole else "planned tasks"

    @property
    def predicts(self) -> bool:
        """Whether a model predicts the results of the tasks that do not run."""
        return self.calibration is not None and self.model is not None

    @property
    def guarantee(self) -> str:
        """What the confidence of a verdict rests on.

        Old plans may hold a stratified order, for which the always-valid bound does not hold.
        """
        exact = self._strategy is None or self._strategy.random_order
        always_valid = ALWAYS_VALID if exact else NOT_RANDOM
        return always_valid if self.calibration is None else self.calibration.guarantee

    @property
    def chooses_live(self) -> bool:
        """Whether the session chooses each next task from the results so far."""
        found = self._strategy
        return self.calibration is not None and found is not None and found.live

    @property
    def fair_bets(self) -> bool:
        """Whether no result of a reference agent influenced which tasks run, or their order."""
        found = self._strategy
        return self.calibration is None and found is not None and found.keeps_all

    @cached_property
    def columns(self) -> IntArray:
        """Position of each planned task among all tasks, shape (n_planned,)."""
        column = {task: place for place, task in enumerate(self.all_tasks)}
        return np.array([column[task] for task in self.tasks], dtype=np.int64)

    @cached_property
    def _strategy(self) -> Strategy | None:
        """Return the strategy, ready to choose; None if only a missing plugin knows it."""
        found = self.added_strategy or strategies().get(self.strategy)
        if found is None:
            return None
        return self._ready(found)

    def _ready(self, strategy: Strategy) -> Strategy:
        ready = strategy.configured(band=self.band or Band(), costs=self.task_costs)
        return ready.seeded(self.seed)

    @property
    def exploration(self) -> Exploration:
        """The guard tasks, by position among all tasks, and the share of random choices."""
        column = {task: place for place, task in enumerate(self.all_tasks)}
        always = tuple(column[task] for task in self.always)
        return Exploration(always=always, explore=self.explore, seed=self.seed)

    def policy(self) -> Policy | None:
        """Return the policy that chooses each next task; None if the plan's order does."""
        found = self._strategy
        if found is None or not self.chooses_live:
            return None
        return Policy(found, self.exploration)

    def check_single(self) -> None:
        """Raise an error if a session may ask for a task again, which most harnesses cannot do."""
        if self.attempts is not None:
            msg = (
                f"expected a plan of one attempt a task, got up to {self.attempts.most}: drive a"
                " `midband.Session` of your own with it, or make it without --attempts"
            )
            raise PlanError(msg)

    def fixed(self) -> "Plan":
        """Return the plan for a harness that cannot choose while it runs.

        This is the plan itself, unless its strategy chooses live. In that case, the returned plan
        runs the same tasks in their order, with an interval that was calibrated for this order.
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
        if self.in_order:
            form = strategies().get(self.in_order, form)
        return replace(
            self,
            strategy=f"{self.strategy}-fixed" if form is None else form.name,
            added_strategy=None if self.added_strategy is None else form,
            calibration=self.fallback,
            fallback=None,
            in_order="",
            attempts=None,
        )

    @property
    def digest(self) -> str:
        """The first 16 hex digits of the content's SHA-256, which identify this plan in logs."""
        return hashlib.sha256(self._body().encode()).hexdigest()[:16]

    def _body(self) -> str:
        """Return the plan's text without its digest; a plan that was read keeps its text."""
        written: str = self.__dict__.get("_written", "")
        return written or json.dumps(plain_values(vars(self)), ensure_ascii=False, indent=1)

    def to_json(self) -> str:
        """Return the plan as JSON text that ends with its digest."""
        return f'{self._body()[:-2]},\n "digest": "{self.digest}"\n}}\n'

    def write(self, path: Path | str) -> None:
        """Write the JSON text; an interrupted write leaves no partial plan at `path`."""
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
            why = (getattr(error, "strerror", None) or str(error)).lower()
            msg = f"expected a plan written by `midband plan`, cannot read {path} ({why}):"
            msg += " check the path, or make one with `midband plan`"
            raise PlanError(msg) from error
        if len(content) > MOST_BYTES:
            msg = f"expected a plan of at most {MOST_BYTES >> 20} MB, got a larger file in {path}:"
            msg += " name the plan, or make it anew"
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
        """Rebuild a plan from its JSON text.

        A plan that an earlier version wrote keeps its text, and therefore its digest.

        Parameters
        ----------
        text : str
        name : str
            Name of the text in error messages.
        rules : callable, optional
            Stopping rules besides midband's own, as `stop_from_dict` takes them.
        strategies : callable, optional
            Returns a strategy besides midband's own by its name, or None if there is none.

        Raises
        ------
        PlanError
            The text is not a plan, or it was changed after midband wrote it.
        """
        try:
            data = parse(text)
            found = whole(data, "midband_plan", low=1)
            if found > FORMAT:
                msg = f"expected plan format {FORMAT}, got {found} in {name}: update midband"
                raise PlanError(msg)
            plan = cls(**plan_fields(data, rules, strategies))
            plan.policy()  # an unusable policy is an error here, not later in the run
            digest = data["digest"]
            # This is not a field, so that `replace` does not copy the text to a derived plan.
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
                " by hand; make it anew"
            )
            raise PlanError(msg)
        return plan

    def __eq__(self, other: object) -> bool:
        """Compare the content of two plans."""
        return isinstance(other, Plan) and self._body() == other._body()

    def __hash__(self) -> int:
        """Hash of the digest."""
        return hash(self.digest)

    def __repr__(self) -> str:
        return plan_repr(self)

    def _repr_html_(self) -> str:
        return plan_html(self)


def _mean_known(scores: FloatArray) -> FloatArray:
    """Return the mean of each row's known scores; 0 if none is known."""
    known = ~np.isnan(scores)
    total = np.where(known, scores, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))
