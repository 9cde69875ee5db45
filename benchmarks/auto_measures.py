"""What `auto_study.py` counts as early, below, above and met, and how it tests that."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from midband_sims import clopper_pearson

FloatArray = NDArray[np.float64]
Row = Mapping[str, Any]
LEVEL = 0.05
NOMINAL = 0.9
FEW_DRAWS = 10


def by(rows: Iterable[Row], *names: str) -> dict[tuple[Any, ...], list[Row]]:
    """Group rows by some of their entries, in the order in which groups first occur."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return groups


def played(rows: Iterable[Row]) -> list[Row]:
    """Return the rows of replays for which a plan could be made."""
    return [row for row in rows if not row.get("refused")]


def count_refused(rows: Iterable[Row]) -> int:
    """Count the replays for which no plan could be made: they are in no other number."""
    return sum(bool(row.get("refused")) for row in rows)


def refused_text(refused: int) -> str:
    """Say how many replays were refused; nothing where none was."""
    return f"; {refused} refused" if refused else ""


def pair_accuracy(
    estimate: FloatArray, references: FloatArray, truth: float, true_references: FloatArray
) -> FloatArray:
    """Return the share of reference agents that are put on the right side of the candidate.

    True ties count as right, tied estimates as half, as in the aims of this table.

    Parameters
    ----------
    estimate : ndarray of float, shape (draws,)
    references : ndarray of float, shape (draws, n_references)
        NaN where nothing is known; such a pair counts as half.
    truth : float
    true_references : ndarray of float, shape (n_references,)
    """
    gap = truth - true_references
    gap = np.where(np.abs(gap) <= 1e-9, 0.0, np.sign(gap))
    lead = np.sign(np.round(estimate[:, None] - references, 9))
    unknown = np.isnan(lead) | (lead == 0)
    right = np.where(unknown, 0.5, lead == gap)
    return np.asarray(np.where(gap == 0, 1.0, right).mean(axis=1))


def replay_accuracy(row: Row) -> float:
    """Return the same share from the counts of a replay, which leave true ties out."""
    tied = int(row["n_reference"]) - sum(row["pairs_total"])
    return float((sum(row["pairs_right"]) + tied) / int(row["n_reference"]))


def is_covered(row: Row) -> bool:
    """Whether the interval meets the tied range of true ranks on the target of the plan."""
    target = "planned" if np.isnan(row["full_score"]) else "true"
    return bool(row["low"] <= row[f"{target}_high"] and row["high"] >= row[f"{target}_low"])


def is_early(row: Row) -> bool:
    """Whether the rule ended the run before the last task of the benchmark."""
    return bool(row["conclusive"]) and int(row["tasks_run"]) < int(row["tasks_total"])


def share_run(rows: Sequence[Row]) -> float:
    """Return the mean share of the tasks that ran; NaN without a row."""
    if not rows:
        return float("nan")
    return float(np.mean([row["tasks_run"] / row["tasks_total"] for row in rows]))


def holm(p_values: Mapping[str, float]) -> list[str]:
    """Return the hypotheses that Holm's step-down procedure rejects at `LEVEL`."""
    rejected = []
    for place, name in enumerate(sorted(p_values, key=lambda each: p_values[each])):
        if p_values[name] > LEVEL / (len(p_values) - place):
            break
        rejected.append(name)
    return rejected


def below_nominal(cells: Mapping[str, tuple[int, int]], *, nominal: float = NOMINAL) -> list[str]:
    """Return the cells whose coverage is below nominal by the exact binomial test, after Holm.

    Parameters
    ----------
    cells : mapping of str to (int, int)
        Intervals that covered, and all intervals.
    """
    return holm(
        {
            name: float(stats.binomtest(hits, n, nominal, alternative="less").pvalue)
            for name, (hits, n) in cells.items()
            if n
        }
    )


def losses(cells: Mapping[str, FloatArray]) -> list[str]:
    """Return the cells whose mean gain is below 0 by a one-sided paired t test, after Holm.

    Parameters
    ----------
    cells : mapping of str to ndarray of float
        Gain over the comparison for each independent unit: a draw, or a candidate. Where all gains
        are equal, the p-value is that of the sign test.
    """
    return holm({name: _loss(gains[~np.isnan(gains)]) for name, gains in cells.items()})


def _loss(gains: FloatArray) -> float:
    if gains.size < 2 or gains.mean() >= 0:
        return 1.0
    if np.ptp(gains) < 1e-12:
        return float(0.5**gains.size)
    return float(stats.ttest_1samp(gains, 0.0, alternative="less").pvalue)


def unit_means(rows: Sequence[Row], name: str) -> FloatArray:
    """Return the mean of one entry for each independent unit of a cell, in order of the units.

    Units are the draws where there are at least `FEW_DRAWS` of them, since the same agents repeat
    in several; else the candidates.
    """
    unit = "draw" if len({row["draw"] for row in rows}) >= FEW_DRAWS else "candidate"
    groups = by(sorted(rows, key=lambda row: str(row[unit])), unit)
    return np.array([np.mean([row[name] for row in group]) for group in groups.values()])


def count_text(hits: int, n: int) -> str:
    """Return ``.950 (19 of 20)``; an empty count has no share."""
    return f"{hits / n:.3f} ({hits} of {n})" if n else "none"


def covered_of(rows: Sequence[Row]) -> tuple[int, int]:
    """Return the intervals that covered, and all of them."""
    return sum(is_covered(row) for row in rows), len(rows)


def coverage_cells(
    rows: Sequence[Row], *names: str, early: bool = False
) -> tuple[dict[str, tuple[int, int]], list[dict[str, Any]]]:
    """Count a row of the table by cell; return the counts that are tested, and all numbers.

    With `early` only runs that the rule ended before the last task are tested.
    """
    counts: dict[str, tuple[int, int]] = {}
    table = []
    for key, group in by(rows, *names).items():
        stopped = [row for row in group if is_early(row)]
        name = " / ".join(map(str, key))
        counts[name] = covered_of(stopped if early else group)
        bounds = clopper_pearson(counts[name][0] / max(counts[name][1], 1), counts[name][1])
        table.append(
            {
                "cell": name,
                "covered": "{} of {}".format(*covered_of(group)),
                "early stops": "{} of {}".format(*covered_of(stopped)),
                "95 % from": bounds.low,
                "to": bounds.high,
                "tasks run": share_run(group),
            }
        )
    return counts, table
