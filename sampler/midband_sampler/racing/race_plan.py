"""The plan of a race: candidates, question, allocation, budget, and what the history says."""

import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from midband_history import FloatArray, InputError, Metric
from midband_sampler import plan_text as read
from midband_sampler.errors import PlanError
from midband_sampler.model.prediction import PredictionModel
from midband_sampler.notebook import race_plan_html, race_plan_repr
from midband_sampler.racing.allocations.base import Allocation, find_allocation
from midband_sampler.racing.calibration import RaceCalibration
from midband_sampler.racing.question import Question, check_candidates
from midband_sampler.racing.questions import parse_question
from midband_sampler.stopping.budget import UNITS, Budget

FORMAT = 1


@dataclass(frozen=True, eq=False, kw_only=True)
class RacePlan:
    """All that a race needs, without the history that it came from.

    Parameters
    ----------
    benchmark : str
    candidates : tuple of str
    question : Question
    allocation : Allocation
    budget : float or Budget or None
        A share of the full price in (0, 1], or tasks, dollars, seconds or tokens.
    tasks : tuple of str
        Tasks of the benchmark; empty where a race without a history takes them from the harness.
    task_digests : mapping of str to str
        Content digest of each task; empty text where unknown.
    known : ndarray of float64, shape (candidates, n_tasks)
        Scores in [0, 1] that the candidates bring from the history; NaN where there is none.
    reference_agents : tuple of str
        Other agents of the history.
    model : PredictionModel or None
        Fitted to their results; None for a race that does not use the history.
    calibration : RaceCalibration or None
        What replayed races of the history's own agents showed; None without a history.
    arguments : mapping of str to tuple of str
        What a harness is given besides for each candidate.
    expected_cost_usd : ndarray of float64, shape (n_tasks,)
        Mean cost of one attempt in the history, US dollars; NaN where unknown.
    metric : Metric or None
    version : str
        Of the benchmark.
    seed : int
    notes : tuple of str
        Why the plan is as it is.
    versions : mapping of str to str
        Version of midband and of each plugin that took part.
    """

    benchmark: str
    candidates: tuple[str, ...]
    question: Question
    allocation: Allocation
    budget: float | Budget | None = None
    tasks: tuple[str, ...] = ()
    task_digests: Mapping[str, str] = field(default_factory=dict)
    known: FloatArray = field(default_factory=lambda: np.zeros((0, 0)))
    reference_agents: tuple[str, ...] = ()
    model: PredictionModel | None = None
    calibration: RaceCalibration | None = None
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    expected_cost_usd: FloatArray = field(default_factory=lambda: np.zeros(0))
    metric: Metric | None = None
    version: str = ""
    seed: int = 0
    notes: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = (len(self.candidates), len(self.tasks))
        if not self.known.size:
            object.__setattr__(self, "known", np.full(shape, np.nan))
        if not self.expected_cost_usd.size:
            object.__setattr__(self, "expected_cost_usd", np.full(shape[1:], np.nan))
        names = self.question.check(check_candidates(self.candidates))
        if self.known.shape != shape:
            msg = f"expected known scores of shape {shape}, got {self.known.shape}"
            raise InputError(msg)
        rows = [self.candidates.index(name) for name in names]
        object.__setattr__(self, "known", self.known[rows])
        object.__setattr__(self, "candidates", names)
        if len(set(self.tasks)) != len(self.tasks):
            msg = "expected every task once, got one twice: list each task once"
            raise InputError(msg)
        _ = self.jobs  # a budget that is too small is refused here and not in the run

    def __repr__(self) -> str:
        return race_plan_repr(self)

    def _repr_html_(self) -> str:
        return race_plan_html(self)

    @property
    def full(self) -> int:
        """The full price: results of all candidates on all tasks that are not known before."""
        return int(np.isnan(self.known).sum())

    @property
    def claims_by_history(self) -> bool:
        """Whether claims rest on the history's model, as its replays allow."""
        return self.model is not None

    @cached_property
    def jobs(self) -> int | None:
        """Results that may be paid for; None where that is not limited, or tasks are not known."""
        budget = self.budget
        needs = self.allocation.needs_budget
        if budget is None:
            if needs or self.question.confidence is None:
                what = (
                    f"the allocation {self.allocation.name!r}"
                    if needs
                    else "a question without a confidence"
                )
                msg = f"expected a budget for {what}, got none: try a budget of 10%"
                raise InputError(msg)
            return None
        if isinstance(budget, Budget):
            if not budget.counts("tasks"):
                if needs:
                    msg = (
                        f"expected a budget in results for {self.allocation.name!r}, which plans"
                        f" them, got {budget_text(budget)}: try 10%"
                    )
                    raise InputError(msg)
                return None
            jobs = int(budget.tasks or 0)
        else:
            if not 0.0 < budget <= 1.0:
                msg = f"expected a budget above 0 and at most 1, got {budget:g}: 0.05 is 5 %"
                raise InputError(msg)
            jobs = int(budget * self.full + 1e-9)
        if not self.tasks:
            return None
        least = int(np.isnan(self.known).any(axis=1).sum())
        if jobs < least:
            msg = (
                f"expected a budget of at least {least} results, one of each candidate that has to"
                f" run ({least / max(self.full, 1):.1%} of the full price of {self.full}), got"
                f" {jobs}: raise it"
            )
            raise InputError(msg)
        return jobs

    @property
    def cost(self) -> float:
        """Expected share of the full price; NaN where nothing says."""
        return self._expected(1)

    @property
    def cost_low(self) -> float:
        """Share of the full price that one race in ten stays below; NaN where nothing says."""
        return self._expected(0)

    @property
    def cost_high(self) -> float:
        """Share of the full price that one race in ten exceeds; NaN where nothing says."""
        return self._expected(2)

    def _expected(self, place: int) -> float:
        most = 1.0 if self.jobs is None else self.jobs / max(self.full, 1)
        if self.question.confidence is None:
            return most
        if self.calibration is None:
            return math.nan
        return min(self.calibration.costs[place], most)

    def with_tasks(
        self, tasks: Sequence[str], digests: Mapping[str, str] | None = None
    ) -> "RacePlan":
        """Return the plan for the harness's own tasks, where it has none yet.

        Raises
        ------
        InputError
            The plan has tasks.
        """
        if self.tasks:
            msg = f"expected a race without tasks, got one with {len(self.tasks)}: it keeps them"
            raise InputError(msg)
        none = np.zeros((0, 0))
        return replace(
            self,
            tasks=tuple(tasks),
            task_digests=dict(digests or {}),
            known=none,
            expected_cost_usd=np.zeros(0),
        )

    @property
    def digest(self) -> str:
        """SHA-256 over the content, first 16 hex digits: names this plan in logs."""
        return hashlib.sha256(self._body().encode()).hexdigest()[:16]

    def _body(self) -> str:
        return json.dumps(self._values(), ensure_ascii=False, indent=1)

    def _values(self) -> dict[str, object]:
        return {
            "midband_race": FORMAT,
            "benchmark": self.benchmark,
            "version": self.version,
            "metric": None if self.metric is None else asdict(self.metric),
            "question": self.question.text,
            "allocation": self.allocation.name,
            "budget": budget_text(self.budget),
            "candidates": list(self.candidates),
            "arguments": {name: list(each) for name, each in self.arguments.items()},
            "tasks": list(self.tasks),
            "task_digests": [self.task_digests.get(task, "") for task in self.tasks],
            "known": read.pack(self.known),
            "expected_cost_usd": read.pack(self.expected_cost_usd),
            "reference_agents": list(self.reference_agents),
            "model": None if self.model is None else read.model_values(self.model),
            "calibration": None if self.calibration is None else self.calibration.to_dict(),
            "seed": self.seed,
            "notes": list(self.notes),
            "versions": dict(sorted(self.versions.items())),
        }

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
            msg = f"expected a place to write the race to, cannot write {path}: {error}"
            raise InputError(msg) from error
        finally:
            partial.unlink(missing_ok=True)

    @classmethod
    def read(
        cls, path: Path | str, *, allocations: Mapping[str, Allocation] | None = None
    ) -> "RacePlan":
        """Read a plan that `write` wrote."""
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or str(error)).lower()
            msg = (
                f"expected a race written by `midband plan`, cannot read {path} ({why}):"
                " check the path, or make one with `midband plan --candidates`"
            )
            raise PlanError(msg) from error
        return cls.from_json(text, name=str(path), allocations=allocations)

    @classmethod
    def from_json(
        cls,
        text: str,
        *,
        name: str = "this text",
        allocations: Mapping[str, Allocation] | None = None,
    ) -> "RacePlan":
        """Rebuild a plan; a changed or foreign text is a `PlanError`.

        Parameters
        ----------
        text : str
        name : str
            What an error calls it.
        allocations : mapping of str to Allocation, optional
            Allocations besides midband's own.
        """
        try:
            data = read.parse(text)
            found = read.whole(data, "midband_race", low=1)
            if found > FORMAT:
                msg = f"expected race format {FORMAT}, got {found} in {name}: update midband"
                raise PlanError(msg)
            plan = cls(**_fields(data, allocations))
            digest = read.text(data, "digest")
        except PlanError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, zlib.error) as error:
            what = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            msg = (
                "expected a race written by `midband plan --candidates`, got something else in"
                f" {name} ({what[:300]}): name the race, or make it anew"
            )
            raise PlanError(msg) from error
        if plan.digest != digest:
            msg = (
                f"expected race {digest[:16]!r}, got {plan.digest} in {name}: it was changed by"
                " hand; make it anew"
            )
            raise PlanError(msg)
        return plan


def _fields(
    data: Mapping[str, Any], allocations: Mapping[str, Allocation] | None
) -> dict[str, Any]:
    candidates = read.texts(data, "candidates")
    tasks = read.texts(data, "tasks", distinct=True)
    digests = read.texts(data, "task_digests")
    agents = read.texts(data, "reference_agents", distinct=True)
    arguments = read.mapping(data, "arguments")
    return {
        "benchmark": read.text(data, "benchmark"),
        "version": read.text(data, "version"),
        "metric": read.metric_of(data),
        "question": parse_question(read.text(data, "question")),
        "allocation": find_allocation(read.text(data, "allocation"), allocations),
        "budget": parse_budget(read.text(data, "budget")),
        "candidates": candidates,
        "arguments": {each: read.texts(arguments, each) for each in arguments},
        "tasks": tasks,
        "task_digests": dict(zip(tasks, digests, strict=True)),
        "known": read.array(
            data, "known", len(candidates), len(tasks), low=0.0, high=1.0, unknown=True
        ),
        "expected_cost_usd": read.array(data, "expected_cost_usd", len(tasks), unknown=True),
        "reference_agents": agents,
        "model": read.model_of(data, len(agents), len(tasks)),
        "calibration": None
        if data["calibration"] is None
        else RaceCalibration.from_dict(read.mapping(data, "calibration")),
        "seed": read.whole(data, "seed"),
        "notes": read.texts(data, "notes"),
        "versions": dict(read.mapping(data, "versions", of_texts=True)),
    }


def budget_text(budget: float | Budget | None) -> str:
    """Return a budget in the form that the command line takes; empty for none."""
    if budget is None:
        return ""
    if isinstance(budget, Budget):
        (unit,) = (each for each in UNITS if budget.counts(each))
        return f"{unit}:{getattr(budget, unit):g}"
    return f"{100.0 * budget:.12g}%"


def parse_budget(text: str) -> float | Budget | None:
    """Read ``5%``, ``0.05``, ``tasks:N``, ``usd:X``, ``seconds:X`` or ``tokens:N``."""
    if not text:
        return None
    name, _, amount = text.partition(":")
    try:
        if amount and name in UNITS:
            value = float(amount)
            whole = name in ("tasks", "tokens")
            if whole and not value.is_integer():
                raise ValueError(amount)
            return Budget(**{name: int(value) if whole else value})  # type: ignore[arg-type]
        share = float(text[:-1]) / 100.0 if text.endswith("%") else float(text)
    except ValueError:
        share = math.nan
    if not 0.0 < share <= 1.0:
        msg = f"expected a budget like 5%, 0.05, tasks:300, usd:20, seconds:600, got {text!r}"
        raise InputError(msg)
    return share
