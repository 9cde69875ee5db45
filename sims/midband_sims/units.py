"""Units: pure pieces of a study, some replays each, the same wherever they run."""

import functools
import hashlib
import io
import json
import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from midband_history import InputError, OutcomeMatrix
from midband_sampler import (
    PlanError,
    PlanSettings,
    Rule,
    Strategy,
    check_strategy,
    make_plan,
    parse_stop,
    sequential_bounds,
)
from midband_sims.protocols import Split, draw_candidate
from midband_sims.replaying import replay


def _own(name: str) -> str:
    check_strategy(name)
    return name


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a study finds strategies and rules, in every process that replays some of it.

    Parameters
    ----------
    strategy : callable
        From a name to a strategy, or to the name of one of the sampler's; a function of a module,
        for the processes of a study import it.
    stop : callable
        From a text to a stopping rule; a function of a module too.
    version : str
        Of what these find besides the sampler's own. A study continues only from results of the
        same version.
    """

    strategy: Callable[[str], str | Strategy] = _own
    stop: Callable[[str], Rule] = parse_stop
    version: str = ""

    def check(self, strategies: tuple[str, ...], stops: tuple[str, ...]) -> None:
        """Raise an error that lists what there is unless every name is known."""
        for name in strategies:
            found = self.strategy(name)
            if isinstance(found, str):
                check_strategy(found)
        for text in stops:
            self.stop(text)


@dataclass(frozen=True)
class Payload:
    """A packed matrix and the digest of its content."""

    digest: str
    data: bytes


def pack(matrix: OutcomeMatrix) -> Payload:
    """Pack a matrix; arrays that hold nothing but NaN take no room."""
    arrays = {
        "attempt_scores": matrix.attempt_scores,
        "scores": matrix.scores,
        "run_cost_usd": matrix.run_cost_usd,
        "dates": matrix.dates.astype("datetime64[s]").astype(np.int64),
    }
    for name in ("cost_usd", "duration_s"):
        values = getattr(matrix, name)
        if not np.isnan(values).all():
            arrays[name] = values
    labels = json.dumps(
        [matrix.benchmark, matrix.agents, matrix.tasks, matrix.models, matrix.scaffolds,
         matrix.task_digests]
    )  # fmt: skip
    buffer = io.BytesIO()
    np.savez(buffer, labels=np.frombuffer(labels.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    hasher = hashlib.sha256(labels.encode())
    for name in sorted(arrays):
        hasher.update(name.encode())
        hasher.update(np.ascontiguousarray(arrays[name]).tobytes())
    return Payload(hasher.hexdigest(), zlib.compress(buffer.getvalue(), 1))


@functools.lru_cache(maxsize=16)
def unpack(payload: Payload) -> OutcomeMatrix:
    """Rebuild the matrix; the last sixteen stay at hand in each process."""
    with np.load(io.BytesIO(zlib.decompress(payload.data)), allow_pickle=False) as stored:
        benchmark, agents, tasks, models, scaffolds, digests = json.loads(
            stored["labels"].tobytes().decode()
        )
        each = stored["attempt_scores"]
        nothing = np.full(each.shape[:2], np.nan)
        return OutcomeMatrix(
            benchmark=benchmark,
            agents=tuple(agents),
            tasks=tuple(tasks),
            scores=stored["scores"],
            attempts=np.sum(~np.isnan(each), axis=2).astype(np.int64),
            models=tuple(models),
            scaffolds=tuple(scaffolds),
            dates=stored["dates"].astype("datetime64[s]"),
            cost_usd=stored.get("cost_usd", nothing),
            duration_s=stored.get("duration_s", nothing),
            run_cost_usd=stored["run_cost_usd"],
            task_digests=tuple(digests),
            attempt_scores=each,
        )


FORMAT = 2
UNIT_REPLAYS = 16
BAND = "band"
PlanVariant = tuple[tuple[str, Any], ...]
# The literal reading of a mid-difficulty run: the band, stopped on bootstrap rank confidence.
BAND_BY_BOOTSTRAP: tuple[str, PlanVariant] = (BAND, (("guarantee", "bootstrap"),))


@dataclass(frozen=True, kw_only=True)
class Policy:
    """A policy: a strategy, a stopping rule, and the most tasks it may run.

    Parameters
    ----------
    strategy, stop : str
        By the names that `midband plan` takes.
    budget : str
        ``"40"`` tasks, ``"0.25"`` or ``"25%"`` of the benchmark, ``"band"`` for as many as have a
        pass rate of 30-70 % among the references; empty for the size that the strategy chooses.
    plan : tuple of (str, object)
        Further settings of the plan, by their names in `PlanSettings`.
    """

    strategy: str = "band"
    stop: str = "rank:0.95:0.2"
    budget: str = ""
    plan: tuple[tuple[str, Any], ...] = ()

    @property
    def variant(self) -> str:
        """The further settings as text; empty where there are none."""
        texts = (value if isinstance(value, str) else json.dumps(value) for _, value in self.plan)
        names = (name for name, _ in self.plan)
        return ", ".join(f"{name}={text}" for name, text in zip(names, texts, strict=True))

    def settings(self, names: Names) -> PlanSettings:
        """Return the settings of the plan, but for those that depend on the split."""
        return PlanSettings.from_mapping(
            {
                **dict(self.plan),
                "strategy": names.strategy(self.strategy),
                "stop": names.stop(self.stop),
                "fallback": False,
            }
        )

    def calibrated(self, names: Names) -> bool:
        """Whether the plan takes replays of its own, which makes it costly."""
        return self.settings(names).predictive


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Settings that hold for a whole study.

    Parameters
    ----------
    seed : int
        From which all randomness descends.
    attempts : int
        Attempts a task handed to the replay; 0 for the mean of all.
    in_flight : int
        Tasks that run at once.
    resamples : int
        Bootstrap resamples of a session.
    track : bool
        Record interval widths along the runs of the first seed.
    """

    seed: int = 0
    attempts: int = 0
    in_flight: int = 1
    resamples: int = 2000
    track: bool = True


@dataclass(frozen=True, kw_only=True)
class Unit:
    """Some replays: the candidates of some splits, under one policy and one seed.

    `others` are the other benchmarks of the history, which a calibrated plan draws on.
    """

    payload: Payload
    policy: Policy
    setting: Setting
    seed_index: int
    max_tasks: int | None
    splits: tuple[Split, ...]
    names: Names = field(default_factory=Names)
    others: tuple[Payload, ...] = ()

    @property
    def key(self) -> str:
        """Digest of all that determines the result."""
        content = [
            FORMAT, self.payload.digest, _content(self.policy), asdict(self.setting),
            self.seed_index, self.max_tasks, [asdict(split) for split in self.splits],
            *([self.names.version] if self.names.version else []),
            *([[each.digest for each in self.others]] if self.others else []),
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:24]


def pieces(splits: Sequence[Split], *, whole: bool = False) -> list[tuple[Split, ...]]:
    """Cut splits into pieces of at most `UNIT_REPLAYS` candidates, in order.

    With `whole` no split is cut: its plan is costly to make.
    """
    out: list[tuple[Split, ...]] = []
    batch: list[Split] = []
    size = 0
    for split in splits:
        step = max(len(split.candidates), 1) if whole else UNIT_REPLAYS
        for start in range(0, len(split.candidates), step):
            part = split.candidates[start : start + step]
            if size and size + len(part) > UNIT_REPLAYS:
                out.append(tuple(batch))
                batch, size = [], 0
            batch.append(replace(split, candidates=part))
            size += len(part)
    if batch:
        out.append(tuple(batch))
    return out


def run_unit(unit: Unit) -> dict[str, object]:
    """Run the replays of a unit; the rows are plain values, NaN where unknown.

    The plan seed descends from the study's seed, the seed's index and the benchmark alone, so that
    policies are compared on common random numbers; attempts are drawn for each candidate by name.
    """
    started = time.perf_counter()
    matrix = unpack(unit.payload)
    setting = unit.setting
    seed = plan_seed(setting.seed, unit.seed_index, matrix.benchmark)
    rows: list[dict[str, object]] = []
    chosen = unit.policy.settings(unit.names)
    calibrated = unit.policy.calibrated(unit.names)
    for split in unit.splits:
        known = matrix.select(agents=list(split.references))
        others = tuple(as_of_day(each, split.as_of) for each in unit.others)
        head = {"split": split.label, "seed_index": unit.seed_index}
        for scaffold, members in _situations(split, matrix, calibrated=calibrated):
            try:
                settings = replace(
                    chosen,
                    max_tasks=band_size(known) if unit.policy.budget == BAND else unit.max_tasks,
                    seed=seed,
                    as_of=split.as_of,
                    scaffold=scaffold,
                )
                plan = make_plan(known, settings, others=others)
            except PlanError as error:
                rows.extend(
                    {**head, "candidate": matrix.agents[i], "refused": str(error)} for i in members
                )
                continue
            bounds = sequential_bounds(plan) if plan.calibration is None else None
            for agent in members:
                generator = np.random.default_rng(
                    np.random.SeedSequence([seed, _number(matrix.agents[agent])])
                )
                candidate = draw_candidate(
                    matrix,
                    agent,
                    generator,
                    attempts=setting.attempts,
                    fresh_truth=split.fresh_truth,
                )
                done = replay(
                    plan,
                    candidate,
                    in_flight=setting.in_flight,
                    resamples=setting.resamples,
                    bounds=bounds,
                    track=setting.track and unit.seed_index == 0,
                )
                ran = {
                    "strategy_ran": plan.strategy,
                    "target": plan.target,
                    "warnings": list(plan.warnings),
                }
                rows.append({**head, **vars(done), **ran})
    return {"rows": rows, "seconds": time.perf_counter() - started}


def plan_seed(seed: int, index: int, benchmark: str) -> int:
    """Return the seed of the plans of a study: the same whatever the policy.

    Parameters
    ----------
    seed : int
        Of the study.
    index : int
        From 0, of the replays of each candidate.
    benchmark : str
    """
    return int(np.random.SeedSequence([seed, index, _number(benchmark)]).generate_state(1)[0])


def _situations(
    split: Split, matrix: OutcomeMatrix, *, calibrated: bool
) -> list[tuple[str, tuple[int, ...]]]:
    """Group candidates by whether their scaffold is known: a calibrated plan differs by that."""
    if not calibrated:
        return [("", split.candidates)]
    known = {matrix.scaffolds[row] for row in split.references}
    groups: dict[str, list[int]] = {}
    for row in split.candidates:
        scaffold = matrix.scaffolds[row]
        groups.setdefault("" if not scaffold else str(scaffold in known), []).append(row)
    return [(matrix.scaffolds[rows[0]], tuple(rows)) for rows in groups.values()]


@functools.lru_cache(maxsize=64)
def as_of_day(payload: Payload, day: str) -> OutcomeMatrix:
    """Return a benchmark as it was known at the end of a day; all of it for an empty text."""
    matrix = unpack(payload)
    if not day:
        return matrix
    later = matrix.dates.astype("datetime64[D]") > np.datetime64(day, "D")
    return matrix.select(agents=np.flatnonzero(~later))


def _content(policy: Policy) -> dict[str, object]:
    """All that tells a policy from another; as it was before plans could be varied."""
    content = asdict(policy)
    if not policy.plan:
        del content["plan"]
    return content


def band_size(matrix: OutcomeMatrix) -> int:
    """Return how many tasks a fixed band of 30-70 % holds, at least one."""
    rates = matrix.pass_rates()
    return max(1, int(np.sum((rates >= 0.3 - 1e-9) & (rates <= 0.7 + 1e-9))))


def budget_tasks(budget: str, n_tasks: int) -> int:
    """Read a budget: a number of tasks, or a share of them like 0.25 or 25%; at least one task."""
    text = budget.strip()
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = math.nan
    whole = text.isdecimal()
    if (whole and value >= 1) or (not whole and 0 < value <= 1):
        return min(n_tasks, int(value) if whole else max(1, round(value * n_tasks)))
    msg = f"expected a budget like 40 (tasks), 0.25, 25% (of all) or {BAND}, got {budget!r}"
    raise InputError(msg)


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def varied(data: object) -> dict[str, tuple[Any, ...]]:
    """Read the further settings of plans; a single value stands for a list of one."""
    if not isinstance(data, Mapping):
        msg = f"expected settings of plans by name, got {data!r}"
        raise InputError(msg)
    return {
        str(name): tuple(map(_frozen, value if isinstance(value, list | tuple) else (value,)))
        for name, value in data.items()
    }


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value
