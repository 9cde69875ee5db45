"""The race study: races drawn from a history, each allocation beside published baselines."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from midband_history import Column, Frames, InputError, OutcomeMatrix, Rows
from midband_sampler import racing
from midband_sims.cells import described
from midband_sims.measures import clopper_pearson, mean_known, quartiles
from midband_sims.racing.baselines import baselines
from midband_sims.racing.draws import RANDOM, SPLITS, Draw, Pool, draw_fields, pool_of
from midband_sims.racing.replays import RaceUnit, asked, results_in, run_races
from midband_sims.storage import run_journaled, write_results
from midband_sims.units import Payload, pack

BASELINE_DRAWS = 25
WITH_BUDGET = (
    "halving", "contested", "sysrs", "successive-halving", "ucb-e", "top-two-thompson", "random",
)  # fmt: skip
WITHOUT_BUDGET = ("contested", "racing", "uniform")
Progress = Callable[[int, int], None]


@dataclass(frozen=True, kw_only=True)
class RaceSettings:
    """A grid: every question with every budget and allocation, on every benchmark.

    Parameters
    ----------
    questions : tuple of str
        Such as ``top:3:0.9``.
    candidates : int
        In each race; 0 for half of the agents, or all of them without a history.
    allocations : tuple of str
        Of races, or names of baselines; none for a set of both that suits the question: without a
        budget `WITHOUT_BUDGET`, otherwise `WITH_BUDGET`.
    budgets : tuple of str
        Shares of the full price (``5%``, ``0.05``) or results (``tasks:300``); none for no limit.
    draws : int
        Races of each cell.
    history : bool
        Whether the other agents are the history of the race.
    split : str
        ``random`` or ``temporal``: see `draw_fields`.
    within : float
        Indifference zone of all questions in points; 0 for what each question says.
    replayed : bool
        Whether races without a confidence say how often such guesses are right, by replays of
        their own in each of them. That takes about 25 times as long.
    seed : int
        From which all randomness descends.
    """

    questions: tuple[str, ...]
    candidates: int = 0
    allocations: tuple[str, ...] = ()
    budgets: tuple[str, ...] = ()
    draws: int = 20
    history: bool = True
    split: str = RANDOM
    within: float = 0.0
    replayed: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.questions:
            msg = "expected at least one question, got none: try top:1:0.9"
            raise InputError(msg)
        if self.draws < 1:
            msg = f"expected draws >= 1, got {self.draws}"
            raise InputError(msg)
        if self.candidates and self.candidates < 2:
            msg = f"expected 2 or more candidates, got {self.candidates}: a race needs two"
            raise InputError(msg)
        if self.split not in SPLITS:
            msg = f"expected a split of {', '.join(SPLITS)}, got {self.split!r}"
            raise InputError(msg)
        if not 0.0 <= self.within < 100.0:
            msg = f"expected --within of 0 to 100 points, got {self.within:g}: 1 is one point"
            raise InputError(msg)
        for text in self.questions:
            question = asked(text, self.within / 100.0)
            if question.confidence is None and not self.budgets:
                msg = (
                    f"expected a budget for {text!r}, which claims nothing, got none: try a budget"
                    " of 5%, or a confidence"
                )
                raise InputError(msg)
        for budget in self.budgets:
            results_in(budget, 1000)


@dataclass(frozen=True, kw_only=True)
class RaceStudyResult(Frames):
    """Result of a race study.

    Parameters
    ----------
    cells : tuple of dict
        One a benchmark, question, budget and allocation.
    replays : tuple of dict
        One a race, with the names of its cell.
    seconds : float
    """

    cells: tuple[dict[str, object], ...]
    replays: tuple[dict[str, object], ...]
    seconds: float

    def frame(self) -> Mapping[str, Column]:
        """Return a row a cell; `Rows(result.replays)` is the table of the replays."""
        return Rows(self.cells).frame()


@dataclass(frozen=True, eq=False, kw_only=True)
class _Cell:
    head: dict[str, object]
    units: tuple[RaceUnit, ...]


class RaceStudy:
    """A grid of races laid out over some benchmarks, ready to run.

    Parameters
    ----------
    matrices : sequence of OutcomeMatrix
    settings : RaceSettings
    others : sequence of OutcomeMatrix
        Further benchmarks of the history, which races with a history draw on to calibrate.
    find : callable
        From a name to an allocation, for those that plugins add; a function of a module.

    Attributes
    ----------
    skipped : list of str
        What the data could not serve, and what was left out.

    Raises
    ------
    InputError
        The data can serve none of the races, or an allocation is unknown.
    """

    def __init__(
        self,
        matrices: Sequence[OutcomeMatrix],
        settings: RaceSettings,
        *,
        others: Sequence[OutcomeMatrix] = (),
        find: Callable[[str], racing.Allocation] = racing.find_allocation,
    ) -> None:
        self.settings = settings
        self.skipped: list[str] = []
        self._cells: list[_Cell] = []
        self._described = [described(matrix) for matrix in matrices]
        self._find = find
        if not matrices:
            msg = "expected at least one benchmark to study, got none: import results first"
            raise InputError(msg)
        self._check()
        payloads = [pack(matrix) for matrix in (*matrices, *others)] if settings.history else []
        for place, matrix in enumerate(matrices):
            rest = (*payloads[:place], *payloads[place + 1 :])
            try:
                pool = pool_of(matrix)
            except InputError as error:
                self.skipped.append(str(error))
                continue
            if pool.left_out:
                self.skipped.append(pool.left_out)
            self._lay_out(pool, rest)
        if not self._cells:
            raise InputError("; ".join(self.skipped))

    def _check(self) -> None:
        known = baselines()
        for name in self.settings.allocations:
            if name in known:
                planned = True
            else:
                try:
                    planned = self._find(name).needs_budget
                except InputError as error:
                    msg = f"{error}; baselines are {', '.join(known)}"
                    raise InputError(msg) from None
            if planned and not self.settings.budgets:
                msg = f"expected a budget for {name}, which spends a fixed one, got none: try 5%"
                raise InputError(msg)

    def _lay_out(self, pool: Pool, others: tuple[Payload, ...]) -> None:
        settings = self.settings
        payload = pack(pool.matrix)
        for text in dict.fromkeys(settings.questions):
            question = asked(text, settings.within / 100.0)
            try:
                draws = draw_fields(
                    pool,
                    question,
                    candidates=settings.candidates,
                    history=settings.history,
                    split=settings.split,
                    draws=settings.draws,
                    seed=settings.seed,
                )
            except InputError as error:
                self.skipped.append(str(error))
                continue
            for budget in dict.fromkeys(settings.budgets or ("",)):
                usual = WITH_BUDGET if budget else WITHOUT_BUDGET
                names = tuple(dict.fromkeys(settings.allocations or usual))
                unit = RaceUnit(
                    payload=payload,
                    others=others,
                    question=text,
                    within=settings.within / 100.0,
                    allocations=tuple(name for name in names if name not in baselines()),
                    budget=budget,
                    replayed=settings.replayed,
                    draws=draws,
                    find=self._find,
                )
                self._cells.extend(self._grid(unit, names, pool, question))

    def _grid(
        self, unit: RaceUnit, names: Sequence[str], pool: Pool, question: racing.Question
    ) -> list[_Cell]:
        """Lay out one cell an allocation; races of one draw are replayed together."""
        first = unit.draws[0]
        races = tuple(replace(unit, draws=(draw,)) for draw in unit.draws)
        cells = []
        for name in names:
            alone = replace(unit, allocations=(name,), others=())
            units = (
                tuple(replace(alone, draws=part) for part in _parts(unit.draws, BASELINE_DRAWS))
                if name in baselines()
                else races
            )
            head: dict[str, object] = {
                "benchmark": pool.matrix.benchmark,
                "allocation": name,
                "question": unit.question,
                "within": 100.0 * question.within,
                "budget": unit.budget or None,
                "split": self.settings.split,
                "n_candidates": len(first.candidates),
                "n_reference": len(first.references),
                "n_tasks": len(pool.matrix.tasks),
                "nominal": question.confidence,
            }
            cells.append(_Cell(head=head, units=units))
        return cells

    def _about(self) -> dict[str, object]:
        """Return what is studied, and which units make which cell."""
        return {
            "kind": "race study",
            "settings": asdict(self.settings),
            "skipped": self.skipped,
            "benchmarks": self._described,
            "cells": [
                {"head": cell.head, "units": [unit.key for unit in cell.units]}
                for cell in self._cells
            ],
        }

    @property
    def replays(self) -> int:
        """Number of races in the grid."""
        return sum(len(unit.draws) for cell in self._cells for unit in cell.units)

    def run(
        self,
        *,
        workers: str = "1",
        output: Path | None = None,
        progress: Progress | None = None,
        about: Mapping[str, object] | None = None,
    ) -> RaceStudyResult:
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
        """
        begun = time.perf_counter()
        units = {unit.key: unit for cell in self._cells for unit in cell.units}
        cells: list[dict[str, object]] = []
        replays: list[dict[str, object]] = []
        with run_journaled(
            run_races,
            units,
            workers=workers,
            output=output,
            progress=progress,
            about={**self._about(), **(about or {})},
        ) as done:
            for cell in self._cells:
                keys = [unit.key for unit in cell.units]
                rows = rows_of(cell.head, [done.results[key]["rows"] for key in keys])
                cells.append({**cell.head, **summarise_races(rows)})
                names = ("benchmark", "question", "within", "budget", "split")
                replays.extend({**{name: cell.head[name] for name in names}, **row} for row in rows)
            if output is not None:
                write_results(output, cells=cells, replays=replays)
        return RaceStudyResult(
            cells=tuple(cells), replays=tuple(replays), seconds=time.perf_counter() - begun
        )


def rows_of(
    head: Mapping[str, object], units: Sequence[Sequence[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Return the races of a cell, of units that hold those of several."""
    return [row for rows in units for row in rows if row["allocation"] == head["allocation"]]


def _parts(draws: Sequence[Draw], size: int) -> list[tuple[Draw, ...]]:
    return [tuple(draws[place : place + size]) for place in range(0, len(draws), size)]


def summarise_races(rows: Sequence[dict[str, Any]]) -> dict[str, object]:
    """Sum up the races of one cell; every number's definition is in docs/studies.md."""
    played = [row for row in rows if not row.get("refused")]
    refused = [str(row["refused"]) for row in rows if row.get("refused")]

    def values(name: str) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return np.array([math.nan if row[name] is None else float(row[name]) for row in played])

    found: dict[str, object] = {
        "draws": len(played),
        "n_refused": len(refused),
        "refused_because": refused[0] if refused else None,
        "cost_share": mean_known(values("cost_share")) if played else math.nan,
    }
    names = ("cost_share_q25", "cost_share_median", "cost_share_q75")
    found |= dict(zip(names, quartiles(values("cost_share")), strict=True))
    for name, column in (
        ("right", "right"), ("false_claims", "false_claim"), ("conclusive", "conclusive"),
    ):  # fmt: skip
        interval = clopper_pearson(mean_known(values(column)), len(played))
        found |= {name: interval.estimate, f"{name}_low": interval.low}
        found |= {f"{name}_high": interval.high}
    held = Counter(str(row["guarantee"]) for row in played)
    order = sorted(held, key=lambda each: (-held[each], each))
    return {
        **found,
        "settled": mean_known(values("settled")),
        "regret": mean_known(values("regret")),
        "chance_right": mean_known(values("chance_right")),
        "by_history": mean_known(values("by_history")),
        "guarantee": order[0] if order else None,
        "guarantees": len(order),
        "seconds": float(sum(row["seconds"] for row in rows)),
    }
