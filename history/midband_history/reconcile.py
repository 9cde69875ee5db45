"""What a source states beside its results: aggregates that are checked against the records."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from midband_history.records import Note, Record

Statistic = Literal["mean", "passed", "valid", "attempts", "tasks"]
MissingAs = Literal["left out", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatedAggregate:
    """A number that a source states about its own results.

    An importer yields it among the records. It is compared with the same number computed from the
    records of the same source.

    Parameters
    ----------
    name : str
        What the source calls it: ``accuracy``, ``resolved_instances``.
    value : float
        On the scale of the metric, for a mean; else a count.
    statistic : {"mean", "passed", "valid", "attempts", "tasks"}
        What it is: the mean of the scores, or how many attempts passed, have a score, or were
        recorded; or how many distinct tasks were.
    missing : {"left out", "failed"}
        How the source treats attempts without a score, by its own word.
    per_task : bool
        Whether a mean is over tasks, each the mean of its attempts, instead of over attempts.
    total : int or None
        How many tasks or attempts the source divides by, where it says so: absent ones count as
        failed.
    tolerance : float
        Greatest difference that rounding explains.
    agent, benchmark : str
        Whose records it is about; empty for all records of the source.
    not_checkable : str
        Why it cannot be computed from the records (``pass@k``, a corpus metric); empty if it can.
    """

    name: str
    value: float
    statistic: Statistic = "mean"
    missing: MissingAs = "left out"
    per_task: bool = False
    total: int | None = None
    tolerance: float = 1e-6
    agent: str = ""
    benchmark: str = ""
    not_checkable: str = ""


@dataclass(slots=True)
class _Tally:
    """Sums over the records of one agent on one benchmark."""

    attempts: int = 0
    valid: int = 0
    passed: int = 0
    sum: float = 0.0
    worst: float = 0.0
    by_task: dict[str, list[float]] = field(default_factory=dict)

    def add(self, record: Record) -> None:
        """Take in one record."""
        self.attempts += 1
        cell = self.by_task.setdefault(record.task_id, [0.0, 0.0, 0.0])
        cell[2] += 1
        self.worst = record.metric.high if record.metric.lower_is_better else record.metric.low
        if record.kind == "valid" and record.score is not None:
            self.valid += 1
            self.passed += bool(record.counts_as_passed)
            self.sum += record.score
            cell[0] += record.score
            cell[1] += 1


class Reconciliation:
    """Compares what a source states with what was read from it.

    Feed it the records of one source with `see`, then ask `judge`.
    """

    def __init__(self) -> None:
        self._tallies: dict[tuple[str, str], _Tally] = {}

    def see(self, record: Record) -> None:
        """Take in one record as it was read, before any choice about errors is applied."""
        key = (record.benchmark, record.agent)
        tally = self._tallies.get(key)
        if tally is None:
            tally = self._tallies[key] = _Tally()
        tally.add(record)

    def judge(self, stated: Iterable[StatedAggregate]) -> tuple[list[Note], list[Note]]:
        """Compare every stated number.

        Returns
        -------
        explained : list of Note
            Differences with a known reason, and numbers that cannot be checked.
        unexplained : list of Note
            Differences without one. They refuse the source unless the person accepts them.
        """
        explained: list[Note] = []
        unexplained: list[Note] = []
        unchecked: dict[str, list[str]] = {}
        for each in stated:
            reason = each.not_checkable
            if not (reason or math.isfinite(each.value)):
                reason = "it is no number"
            if reason:
                unchecked.setdefault(reason, []).append(f"{each.name} {each.value:g}")
                continue
            mine = [
                tally
                for (benchmark, agent), tally in self._tallies.items()
                if each.agent in ("", agent) and each.benchmark in ("", benchmark)
            ]
            known_reason = _reason(each, mine)
            if known_reason == "":
                continue
            read = _value(each, mine, missing=each.missing, total=each.total)
            known = "no mean" if read is None else f"{read:.6g}"
            text = f"the source states {each.name} {each.value:.6g}, the results read give {known}"
            if known_reason is None:
                text += " and the reason is unknown"
                unexplained.append(Note(code="aggregate-differs", text=text))
            else:
                explained.append(Note(code="aggregate-explained", text=f"{text}: {known_reason}"))
        for reason, names in unchecked.items():
            are = "is" if len(names) == 1 else "are"
            text = f"{', '.join(names)} {are} not checkable: {reason}"
            explained.append(Note(code="not-checkable", text=text))
        return explained, unexplained


def _reason(each: StatedAggregate, tallies: "list[_Tally]") -> str | None:
    """Return why the stated number differs: empty if it does not, None if nobody knows."""

    def fits(*, missing: MissingAs, total: int | None) -> bool:
        read = _value(each, tallies, missing=missing, total=total)
        return read is not None and abs(read - each.value) <= each.tolerance

    if fits(missing=each.missing, total=each.total):
        return ""
    without = sum(tally.attempts - tally.valid for tally in tallies)
    if without and fits(missing="failed", total=each.total):
        return f"it counts {without} attempts without a score as failed"
    if without and fits(missing="left out", total=each.total):
        return f"it leaves out {without} attempts without a score"
    if each.total is not None and fits(missing=each.missing, total=None):
        return f"it divides by {each.total}, among them tasks that were not read"
    return None


def _value(
    each: StatedAggregate, tallies: "list[_Tally]", *, missing: MissingAs, total: int | None
) -> float | None:
    """Compute the stated number from what was read; None where there is nothing to compute."""
    if each.statistic in ("passed", "valid", "attempts"):
        return float(sum(getattr(tally, each.statistic) for tally in tallies))
    if each.statistic == "tasks":
        return float(len({task for tally in tallies for task in tally.by_task}))
    failed = missing == "failed"
    if each.per_task:
        cells = [(cell, tally.worst) for tally in tallies for cell in tally.by_task.values()]
        means = [
            (cell[0] + worst * (cell[2] - cell[1])) / cell[2] if failed else cell[0] / cell[1]
            for cell, worst in cells
            if failed or cell[1]
        ]
        worst = tallies[0].worst if tallies else 0.0
        count = max(len(means), total or 0)
        return (sum(means) + worst * (count - len(means))) / count if count else None
    got = sum(tally.sum for tally in tallies)
    counted = sum(tally.valid for tally in tallies)
    worst = tallies[0].worst if tallies else 0.0
    if failed:
        without = sum(tally.attempts for tally in tallies) - counted
        got, counted = got + worst * without, counted + without
    if total is not None and total > counted:
        got, counted = got + worst * (total - counted), total
    return got / counted if counted else None
