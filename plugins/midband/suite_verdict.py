"""The verdict of a suite: a row for each benchmark, and what may be said of all rows together."""

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from midband.suite import NotPlanned, joint_confidence

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from midband_sampler import Decision

NOT_RUN = "not run"
ENDED = "ended before the stopping rule was met"


@dataclass(frozen=True, kw_only=True)
class SuiteRow:
    """The verdict on one agent on one benchmark of a suite.

    Parameters
    ----------
    benchmark, agent : str
        The agent is empty where nobody ran the benchmark.
    rank : int or None
    low, high : int or None
        Bounds of the rank.
    of : int or None
        Agents that are ranked, the new one among them.
    confidence : float
        Of this interval by itself; NaN without one.
    holds : bool
        Whether the interval has that confidence where it stands: an always-valid one anywhere, a
        calibrated one once its rule has stopped the run, or everything has run.
    target, guarantee, reason : str
    tasks_run, tasks_planned, tasks_without_result : int or None
    spent_usd, spent_seconds, spent_tokens : float
        Of the judged tasks; NaN where not known.
    warnings : tuple of str
    """

    benchmark: str
    agent: str = ""
    rank: int | None = None
    low: int | None = None
    high: int | None = None
    of: int | None = None
    confidence: float = math.nan
    holds: bool = False
    target: str = ""
    guarantee: str = ""
    reason: str = NOT_RUN
    tasks_run: int | None = None
    tasks_planned: int | None = None
    tasks_without_result: int | None = None
    spent_usd: float = math.nan
    spent_seconds: float = math.nan
    spent_tokens: float = math.nan
    warnings: tuple[str, ...] = ()

    @classmethod
    def of_decision(cls, benchmark: str, agent: str, decision: "Decision") -> "SuiteRow":
        """Return the row of a decision."""
        return cls(
            benchmark=benchmark,
            agent=agent,
            rank=decision.rank,
            low=decision.low,
            high=decision.high,
            of=decision.n_reference + 1,
            confidence=decision.confidence,
            holds=decision.holds,
            target=decision.target,
            guarantee=decision.guarantee,
            reason=decision.reason if decision.stop else ENDED,
            tasks_run=decision.tasks_run,
            tasks_planned=decision.tasks_planned,
            tasks_without_result=decision.tasks_without_result,
            spent_usd=decision.spent_usd,
            spent_seconds=decision.spent_seconds,
            spent_tokens=decision.spent_tokens,
            warnings=decision.warnings,
        )

    @property
    def interval(self) -> str:
        """The bounds of the rank in words; empty where none are known."""
        if self.rank is None:
            return ""
        return f"{self.low} to {self.high} of {self.of} at {100 * self.confidence:.3g} %"


@dataclass(frozen=True, kw_only=True)
class SuiteVerdict:
    """The verdict on a suite.

    Parameters
    ----------
    rows : tuple of SuiteRow
        In the order of the suite, one for each agent of a benchmark.
    not_planned : tuple of NotPlanned
    digest : str
        Of the suite.
    """

    rows: tuple[SuiteRow, ...]
    not_planned: tuple[NotPlanned, ...] = ()
    digest: str = ""

    @property
    def agents(self) -> tuple[str, ...]:
        """Agents with a result on any benchmark, in the order of their first row."""
        return tuple(dict.fromkeys(row.agent for row in self.rows if row.agent))

    def joint(self, agent: str) -> float:
        """Return with what confidence all of an agent's intervals that hold do so together.

        NaN where fewer than two of them hold, so that there is nothing to join.
        """
        holding = [row.confidence for row in self.rows if row.agent == agent and row.holds]
        return joint_confidence(holding) if len(holding) > 1 else math.nan

    def spent(self, unit: str) -> float:
        """Return what all rows spent; NaN where one of them does not say."""
        return math.fsum(getattr(row, f"spent_{unit}") for row in self.rows if row.agent)

    def statements(self) -> tuple[str, ...]:
        """Say in full sentences what may be said of the rows together."""
        said = ["Each row's confidence is of its own interval."]
        for agent in self.agents:
            mine = [row for row in self.rows if row.agent == agent]
            holding = [row for row in mine if row.holds]
            whose = f" of {agent}" if len(self.agents) > 1 else ""
            joint = self.joint(agent)
            if len(holding) < 2:
                continue
            if joint > 0.0:
                said.append(
                    f"The {len(holding)} intervals{whose} hold together with at least"
                    f" {100 * joint:.3g} % confidence (Bonferroni's inequality), under what each of"
                    " them rests on."
                )
            else:
                said.append(
                    f"No joint confidence is claimed for the {len(holding)} intervals{whose}: the"
                    " chances that each of them is wrong add up to 100 % or more. Plan the suite"
                    " with a higher confidence."
                )
            rest = [row.benchmark for row in mine if not row.holds]
            if rest:
                said.append(
                    f"That leaves out {', '.join(rest)}: the run there ended before its stopping"
                    " rule was met."
                )
        gone = [row.benchmark for row in self.rows if not row.agent]
        if gone:
            said.append(f"Nothing was run of {', '.join(gone)}.")
        if self.not_planned:
            names = ", ".join(each.benchmark for each in self.not_planned)
            said.append(f"Nothing is said of {names}, which could not be planned.")
        return tuple(said)

    def table(self) -> list[dict[str, object]]:
        """Return the rows as a table shows them, those that could not be planned at the end."""
        found: list[dict[str, object]] = [
            {
                "benchmark": row.benchmark,
                "agent": row.agent or None,
                "rank": row.rank,
                "interval": row.interval or None,
                "target": row.target or None,
                "tasks": None if not row.agent else f"{row.tasks_run} of {row.tasks_planned}",
                "spent_usd": row.spent_usd,
                "spent_tokens": row.spent_tokens,
                "reason": row.reason,
            }
            for row in self.rows
        ]
        found += [
            {"benchmark": each.benchmark, "reason": f"not planned: {each.reason}"}
            for each in self.not_planned
        ]
        return found

    def warnings(self) -> tuple[str, ...]:
        """Return what a reader must know, each with its benchmark and agent."""
        several = len(self.agents) > 1
        return tuple(
            f"{row.benchmark}{f', {row.agent}' if several else ''}: {warning}"
            for row in self.rows
            for warning in row.warnings
        )

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; unknown numbers become None."""

        def plain(value: object) -> object:
            return None if isinstance(value, float) and math.isnan(value) else value

        rows = [{name: plain(each) for name, each in asdict(row).items()} for row in self.rows]
        return {
            "suite_digest": self.digest,
            "benchmarks": rows,
            "not_planned": [asdict(each) for each in self.not_planned],
            "joint_confidence": {agent: plain(self.joint(agent)) for agent in self.agents},
            "statements": list(self.statements()),
            **{f"spent_{unit}": plain(self.spent(unit)) for unit in ("usd", "seconds", "tokens")},
        }


def suite_rows(
    decisions: "Mapping[str, Sequence[tuple[str, Decision]]]",
) -> tuple[SuiteRow, ...]:
    """Return the rows of benchmarks, each with its agents' decisions; one at least a benchmark."""
    rows: list[SuiteRow] = []
    for benchmark, found in decisions.items():
        rows += [SuiteRow.of_decision(benchmark, agent, each) for agent, each in found]
        if not found:
            rows.append(SuiteRow(benchmark=benchmark))
    return tuple(rows)
