"""The study: a grid of benchmarks, protocols and policies, run anywhere, resumed after a kill."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from midband_history import Column, Frames, InputError, OutcomeMatrix, Rows
from midband_sampler import PlanSettings
from midband_sims.cells import described, head_of, summarise
from midband_sims.executors import workers_of
from midband_sims.protocols import Split, parse_protocol, too_few_tasks
from midband_sims.storage import cells_html, run_journaled, write_results
from midband_sims.units import (
    BAND,
    Names,
    Payload,
    PlanVariant,
    Policy,
    Setting,
    Unit,
    budget_tasks,
    pack,
    pieces,
    run_unit,
    varied,
)

Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class StudySettings:
    """A grid: every protocol with every strategy, rule and budget, on every benchmark.

    Parameters
    ----------
    protocols : tuple of str
        Of loao, loso, temporal, random and self.
    cuts : tuple of str
        Dates for temporal, or ``"half"``; none for an expanding window.
    strategies, stops : tuple of str
        By the names of `midband plan`.
    budgets : tuple of str
        Tasks (``"40"``), shares (``"0.25"``, ``"25%"``) or ``"band"``; none for each strategy's own
        size.
    seeds : int
        Replays of each candidate, in other orders and with other draws.
    seed : int
        From which all randomness of the study descends.
    folds : int
        Groups of protocols loso (with more scaffolds) and random.
    attempts : int
        Attempts a task that a replay is handed, 0 for the mean of all.
    in_flight : int
        Tasks that run at once.
    resamples, draws : int
        Bootstrap resamples of a session; draws of the random and ceiling baselines.
    plan : mapping of str to tuple
        Further settings of the plans by their names in `PlanSettings`, each with the values to
        try, as texts or as they are: ``{"explore": (0.0, 0.1)}``. Those that `Option.varied`
        allows.
    """

    protocols: tuple[str, ...] = ("loao",)
    cuts: tuple[str, ...] = ()
    strategies: tuple[str, ...] = ("auto",)
    stops: tuple[str, ...] = ("rank:0.95:0.2",)
    budgets: tuple[str, ...] = ()
    seeds: int = 1
    seed: int = 0
    folds: int = 5
    attempts: int = 0
    in_flight: int = 1
    resamples: int = 2000
    draws: int = 100
    plan: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("seeds", "in_flight", "resamples", "draws"):
            if getattr(self, name) < 1:
                msg = f"expected {name} >= 1, got {getattr(self, name)}"
                raise InputError(msg)
        for name in ("protocols", "strategies", "stops"):
            if not getattr(self, name):
                msg = f"expected at least one of {name}, got none"
                raise InputError(msg)
        for protocol in self.protocols:
            for cut in self.cuts or ("",):
                parse_protocol(protocol, cut=cut, folds=self.folds)
        for budget in self.budgets:
            if budget != BAND:
                budget_tasks(budget, 100)
        own = {each.name for each in PlanSettings.options() if not each.varied}
        if taken := sorted(set(self.plan) & own):
            msg = f"expected {taken[0]} as a setting of the study, got it as one of its plans"
            raise InputError(msg)
        for settings in self.variants():
            PlanSettings.from_mapping(dict(settings))

    def variants(self) -> list[tuple[tuple[str, Any], ...]]:
        """Return every combination of the further settings of plans, by name."""
        names = sorted(self.plan)
        values = (self.plan[name] for name in names)
        return [tuple(zip(names, each, strict=True)) for each in itertools.product(*values)]

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> "StudySettings":
        """Build settings from plain values; a single value stands for a list of one."""
        names = {each.name: each.default for each in fields(cls)}
        strange = sorted(set(data) - set(names))
        if strange:
            msg = f"expected settings of {', '.join(names)}, got {', '.join(strange)}"
            raise InputError(msg)
        values: dict[str, Any] = {}
        for name, value in data.items():
            if name == "plan":
                values[name] = varied(value)
            elif isinstance(names[name], tuple):
                items = value if isinstance(value, list | tuple) else [value]
                values[name] = tuple(str(item) for item in items)
            elif isinstance(value, int) and not isinstance(value, bool):
                values[name] = value
            else:
                msg = f"expected a whole number for {name}, got {value!r}"
                raise InputError(msg)
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class StudyResult(Frames):
    """Result of a study.

    Parameters
    ----------
    cells : tuple of dict
        One a benchmark, protocol, split and policy; NaN where unknown.
    replays : tuple of dict
        One a replay, with the names of its cell.
    skipped : tuple of str
        What the data could not serve, and what is missing.
    units_run, units_found : int
        Units run now, and found finished from before.
    seconds : float
    """

    cells: tuple[dict[str, object], ...]
    replays: tuple[dict[str, object], ...]
    skipped: tuple[str, ...]
    units_run: int
    units_found: int
    seconds: float

    def frame(self) -> Mapping[str, Column]:
        """Return a row a cell; `Rows(result.replays)` is the table of the replays."""
        return Rows(self.cells).frame()

    def __repr__(self) -> str:
        return f"<StudyResult: {len(self.cells)} cells, {len(self.replays)} replays>"

    def _repr_html_(self) -> str:
        return cells_html(self.cells, replays=len(self.replays), skipped=self.skipped)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Cell:
    matrix: OutcomeMatrix
    payload: Payload
    protocol: str
    label: str
    splits: tuple[Split, ...]
    policy: Policy
    units: tuple[Unit, ...]


class Study:
    """A grid laid out over some benchmarks, ready to run.

    Parameters
    ----------
    matrices : sequence of OutcomeMatrix
    settings : StudySettings
    names : Names, optional
        What its strategies and rules are called; the sampler's own by default.
    others : sequence of OutcomeMatrix
        Further benchmarks of the history, which plans draw on besides those that are studied.
    further : sequence of (str, tuple of (str, object))
        Strategies with settings of plans that stand beside the grid, such as `BAND_BY_BOOTSTRAP`.

    Raises
    ------
    InputError
        When the data can serve none of the protocols, or a strategy or rule is unknown.
    """

    def __init__(
        self,
        matrices: Sequence[OutcomeMatrix],
        settings: StudySettings,
        *,
        names: Names | None = None,
        others: Sequence[OutcomeMatrix] = (),
        further: Sequence[tuple[str, PlanVariant]] = (),
    ) -> None:
        self._further = tuple(further)
        self.settings = settings
        self.names = names or Names()
        self.names.check(settings.strategies, settings.stops)
        self.skipped: list[str] = []
        self._cells: list[_Cell] = []
        if not matrices:
            msg = "expected at least one benchmark to study, got none: import results first"
            raise InputError(msg)
        self._payloads = [pack(matrix) for matrix in (*matrices, *others)]
        for matrix, payload in zip(matrices, self._payloads, strict=False):
            self._lay_out(matrix, payload)
        if not self._cells:
            raise InputError("; ".join(self.skipped))

    def _lay_out(self, matrix: OutcomeMatrix, payload: Payload) -> None:
        settings = self.settings
        if few := int(too_few_tasks(matrix).sum()):
            self.skipped.append(
                f"{few} of {len(matrix.agents)} agents of {matrix.benchmark} ran fewer than half of"
                " the tasks: they are known agents, and play no new one"
            )
        for name in dict.fromkeys(settings.protocols):
            for cut in settings.cuts or ("",) if name == "temporal" else ("",):
                protocol = parse_protocol(name, cut=cut, folds=settings.folds)
                try:
                    splits = protocol.splits(matrix, seed=settings.seed)
                except InputError as error:
                    self.skipped.append(str(error))
                    continue
                groups = {"all": splits} if protocol.pooled else {s.label: (s,) for s in splits}
                if cut:
                    groups = {splits[0].label: splits}
                for label, group in groups.items():
                    self._cells.extend(self._policies(matrix, payload, name, label, group))

    def _policies(
        self,
        matrix: OutcomeMatrix,
        payload: Payload,
        protocol: str,
        label: str,
        splits: tuple[Split, ...],
    ) -> list[_Cell]:
        settings = self.settings
        setting = Setting(
            seed=settings.seed,
            attempts=settings.attempts,
            in_flight=settings.in_flight,
            resamples=settings.resamples,
        )
        cells = []
        plans = [*itertools.product(settings.strategies, settings.variants()), *self._further]
        for (strategy, variant), stop, budget in itertools.product(
            plans, settings.stops, settings.budgets or ("",)
        ):
            policy = Policy(strategy=strategy, stop=stop, budget=budget, plan=variant)
            limit = budget_tasks(budget, len(matrix.tasks)) if budget not in ("", BAND) else None
            calibrated = policy.calibrated(self.names)
            others = tuple(each for each in self._payloads if each is not payload)
            units = tuple(
                Unit(
                    payload=payload,
                    policy=policy,
                    setting=setting,
                    seed_index=index,
                    max_tasks=limit,
                    splits=piece,
                    names=self.names,
                    others=others if calibrated else (),
                )
                for index in range(settings.seeds)
                for piece in pieces(splits, whole=calibrated)
            )
            cells.append(
                _Cell(
                    matrix=matrix,
                    payload=payload,
                    protocol=protocol,
                    label=label,
                    splits=splits,
                    policy=policy,
                    units=units,
                )
            )
        return cells

    @property
    def replays(self) -> int:
        """Number of replays in the grid."""
        return sum(
            len(split.candidates)
            for cell in self._cells
            for unit in cell.units
            for split in unit.splits
        )

    def estimate_hours(self, *, workers: str = "1") -> float:
        """Reckon how long the grid will take, from one unit of each kind.

        A kind is a benchmark and a policy. Trying each costs up to half a second of the study, and
        nothing where the grid is small.
        """
        kinds: dict[tuple[str, Policy], list[Unit]] = {}
        for cell in self._cells:
            kinds.setdefault((cell.payload.digest, cell.policy), []).extend(cell.units)
        seconds = 0.0
        for units in kinds.values():
            one = _first_replay(units[0])
            begun = time.perf_counter()
            run_unit(one)
            each = time.perf_counter() - begun
            seconds += each * sum(len(s.candidates) for unit in units for s in unit.splits)
        return seconds / workers_of(workers) / 3600

    def run(
        self,
        *,
        workers: str = "1",
        output: Path | None = None,
        progress: Progress | None = None,
        about: Mapping[str, object] | None = None,
    ) -> StudyResult:
        """Run what is not yet done and sum it up.

        Parameters
        ----------
        workers : str
            See `run_units`. The numbers do not depend on it.
        output : Path, optional
            Directory for ``units.jsonl`` (the journal), ``study.json`` (what is studied),
            ``cells.parquet``, ``replays.parquet`` and ``cells.json``. A study that was killed goes
            on from the journal when run again.
        progress : callable, optional
            Called with units done and units in all.
        about : mapping, optional
            What ``study.json`` says besides, such as the command.

        Raises
        ------
        InputError
            Another study is at work in the directory.
        """
        begun = time.perf_counter()
        units = {unit.key: unit for cell in self._cells for unit in cell.units}
        with run_journaled(
            run_unit,
            units,
            workers=workers,
            output=output,
            progress=progress,
            about={**self._about(), **(about or {})},
        ) as done:
            cells, replays = self._collect(done.results)
            if output is not None:
                write_results(output, cells=cells, replays=replays)
        return StudyResult(
            cells=tuple(cells),
            replays=tuple(replays),
            skipped=tuple(self.skipped),
            units_run=done.run,
            units_found=done.found,
            seconds=time.perf_counter() - begun,
        )

    def _about(self) -> dict[str, object]:
        """Return what is studied, and which units make which cell."""
        matrices = {cell.payload.digest: cell.matrix for cell in self._cells}
        return {
            "kind": "study",
            "settings": asdict(self.settings),
            "skipped": self.skipped,
            "benchmarks": [described(each) for each in matrices.values()],
            "cells": [
                {
                    "head": head_of(
                        cell.matrix,
                        protocol=cell.protocol,
                        split=cell.label,
                        policy=cell.policy,
                        nominal=self.names.stop(cell.policy.stop).confidence,
                    ),
                    "units": [unit.key for unit in cell.units],
                }
                for cell in self._cells
            ],
        }

    def _collect(
        self, results: Mapping[str, Mapping[str, Any]]
    ) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
        cells: list[dict[str, object]] = []
        replays: list[dict[str, object]] = []
        for cell in self._cells:
            rows: list[dict[str, object]] = []
            seconds = 0.0
            for unit in cell.units:
                rows.extend(results[unit.key]["rows"])
                seconds += float(results[unit.key]["seconds"])
            cells.append(
                summarise(
                    cell.matrix,
                    protocol=cell.protocol,
                    split=cell.label,
                    splits=cell.splits,
                    policy=cell.policy,
                    nominal=self.names.stop(cell.policy.stop).confidence,
                    rows=rows,
                    seed=self.settings.seed,
                    draws=self.settings.draws,
                    seconds=seconds,
                )
            )
            names = {
                "benchmark": cell.matrix.benchmark,
                "protocol": cell.protocol,
                "cell": cell.label,
                "strategy": cell.policy.strategy,
                "stop": cell.policy.stop,
                "budget": cell.policy.budget or None,
                "plan": cell.policy.variant or None,
            }
            replays.extend({**names, **row} for row in rows)
        return cells, replays


def _first_replay(unit: Unit) -> Unit:
    first = unit.splits[0]
    return replace(unit, splits=(replace(first, candidates=first.candidates[:1]),))
