"""The gate: whether a new agent is worse than a baseline by more than a margin, in one line."""

import math
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING

from midband.text import marked, one_line
from midband_history import InputError
from midband_sampler import NotWorse, parse_stop

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from midband_sampler import Decision, Plan, Rule
    from midband_sampler.racing import RacePlan, RaceVerdict

HELD, FAILED, UNDECIDED = "held", "failed", "undecided"
EXIT_CODES = {HELD: 0, UNDECIDED: 3, FAILED: 4}
FORM = "not-worse:BASELINE:POINTS[:CONFIDENCE]"


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """Result of a gate.

    Parameters
    ----------
    rule : NotWorse
    result : str
        ``held``, ``failed`` or ``undecided``.
    candidate, baseline, benchmark : str
    difference, low, high : float
        Candidate minus baseline in percentage points, and its bounds; NaN while too little is
        known.
    tasks : int
        Tasks that the comparison rests on.
    tasks_in_target : int or None
        Tasks of the target, where a plan is judged.
    clusters : int or None
        Where tasks count by clusters.
    target : str
        What the difference is one on.
    basis : str
        What the bounds rest on.
    reason : str
        Why the run ended, where a plan is judged.
    warnings : tuple of str
    """

    rule: NotWorse
    result: str
    candidate: str
    baseline: str
    benchmark: str
    difference: float
    low: float
    high: float
    tasks: int
    tasks_in_target: int | None = None
    clusters: int | None = None
    target: str
    basis: str
    reason: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 held, 3 undecided, 4 did not hold."""
        return EXIT_CODES[self.result]

    @property
    def margin_text(self) -> str:
        """The margin in words."""
        return f"{self.rule.points:g} point{'' if self.rule.points == 1.0 else 's'}"

    def line(self) -> str:
        """Return the result as one line, for a pull request."""
        than = f"worse than {self.baseline} by more than {self.margin_text}"
        said = {
            HELD: f"gate held: {self.candidate} is not {than}",
            FAILED: f"gate did not hold: {self.candidate} is {than}",
            UNDECIDED: f"gate undecided: whether {self.candidate} is {than} is open",
        }[self.result]
        parts = [self._numbers(), self._tasks(), self.target]
        if self.result == UNDECIDED and self.reason:
            parts.append(self.reason)
        return one_line(f"{said} ({'; '.join(parts)})")

    def _numbers(self) -> str:
        if math.isnan(self.low) and math.isnan(self.difference):
            return "difference unknown"
        known = "unknown" if math.isnan(self.difference) else f"{self.difference:+.1f}"
        if math.isnan(self.low):
            return f"estimated difference {known} points"
        return f"difference {known} points, {self._bounds()}"

    def _bounds(self) -> str:
        return f"{self.low:+.1f} to {self.high:+.1f} at {100 * self.rule.confidence:.3g} %"

    def _tasks(self) -> str:
        of = "" if self.tasks_in_target is None else f" of {self.tasks_in_target}"
        noun = "task" if self.tasks == 1 and not of else "tasks"
        text = f"{self.tasks}{of} {noun} of {self.benchmark}"
        return text if self.clusters is None else f"{text} in {self.clusters} clusters"

    def markdown(self) -> str:
        """Return the result as a section of Markdown, for the summary of a CI step."""
        head = {HELD: "held", FAILED: "did not hold", UNDECIDED: "undecided"}[self.result]
        unknown = math.isnan(self.low)
        known = "unknown" if math.isnan(self.difference) else f"{self.difference:+.1f} points"
        rows = {
            "candidate": self.candidate,
            "baseline": self.baseline,
            "margin": self.margin_text,
            "difference": known,
            "bounds": "unknown"
            if unknown
            else f"{self._bounds()}, in points, each bound by itself",
            "tasks": self._tasks(),
            "target": self.target,
            "rests on": self.basis,
            "ended": self.reason,
        }
        lines = [f"### Gate {head}", "", f"{marked(self.line())}.", "", "| | |", "|---|---|"]
        lines += [f"| {name} | {marked(text)} |" for name, text in rows.items() if text]
        lines += ["", *(f"- warning: {marked(each)}" for each in self.warnings)]
        return "\n".join(lines).rstrip() + "\n"

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; unknown numbers become None."""
        numbers = {name: getattr(self, name) for name in ("difference", "low", "high")}
        return {
            "rule": self.rule.name,
            "result": self.result,
            "candidate": self.candidate,
            "baseline": self.baseline,
            "benchmark": self.benchmark,
            **{name: None if math.isnan(value) else value for name, value in numbers.items()},
            "margin": self.rule.points,
            "confidence": self.rule.confidence,
            "tasks": self.tasks,
            "tasks_in_target": self.tasks_in_target,
            "clusters": self.clusters,
            "target": self.target,
            "basis": self.basis,
            "reason": self.reason,
            "exit_code": self.exit_code,
            "warnings": list(self.warnings),
        }


def check_gate_of_race(plan: "RacePlan", rule: NotWorse) -> None:
    """Refuse a gate that the race does not ask for.

    Raises
    ------
    InputError
        The question of the race is another one.
    """
    from midband_sampler.racing import NotWorse as Asked

    asked = plan.question
    same = isinstance(asked, Asked) and (
        asked.baseline == rule.agent
        and abs(100.0 * asked.margin - rule.points) < 1e-9
        and asked.confidence == rule.confidence
    )
    if not same:
        wanted = f"not-worse:NEW:{rule.agent}:{rule.points:g}:{rule.confidence:g}"
        msg = (
            f"expected a race that asks for the gate, got one that asks {asked.text}: plan it with"
            f" the question {wanted}"
        )
        raise InputError(msg)


def gate_of_race(plan: "RacePlan", rule: NotWorse, verdict: "RaceVerdict") -> GateResult:
    """Return what the verdict of a race says of its gate; `check_gate_of_race` comes first."""
    names = [name for name in plan.candidates if name != rule.agent]
    scores = {each.candidate: each.score for each in verdict.ranked}
    held = verdict.not_worse
    return GateResult(
        rule=rule,
        result=UNDECIDED if held is None else HELD if held else FAILED,
        candidate=names[0],
        baseline=rule.agent,
        benchmark=plan.benchmark,
        difference=100.0 * (scores[names[0]] - scores[rule.agent]),
        low=math.nan,
        high=math.nan,
        tasks=min(each.tasks for each in verdict.ranked),
        tasks_in_target=len(plan.tasks),
        target="the benchmark",
        basis=verdict.guarantee,
        reason=verdict.reason,
        warnings=verdict.warnings,
    )


def read_gate(text: str) -> NotWorse:
    """Read ``not-worse:BASELINE:POINTS[:CONFIDENCE]``; a name may hold spaces and colons.

    Raises
    ------
    InputError
        The text is another one.
    """
    name, _, rest = text.strip().partition(":")
    rule: Rule | None = None
    try:
        if name == NotWorse.name and not set("\"'") & set(rest):
            rule = NotWorse.parse(*rest.split(":"))
        elif name == NotWorse.name:
            rule = parse_stop(text)
    except InputError as problem:
        if "the forms are" not in str(problem):
            raise
    except ValueError:
        rule = None
    if not isinstance(rule, NotWorse):
        msg = f"expected a gate {FORM}, got {text!r}: not-worse:my-agent:2 allows two points"
        raise InputError(msg)
    return rule


def unknown_baseline(name: str, agents: "Sequence[str]", *, where: str) -> InputError:
    """Return the error about a baseline that is not there, with the nearest names."""
    near = get_close_matches(name, agents, 3, 0.3) or list(agents[:3])
    shown = ", ".join(repr(each) for each in near) or "nobody"
    return InputError(
        f"expected the baseline {name!r} among the agents of {where}, which include {shown}:"
        " name one of them in --gate"
    )


def gated_plan(plan: "Plan", rule: NotWorse, *, ahead: bool) -> "tuple[Plan, NotWorse]":
    """Return a plan that settles the gate, and the gate as this plan states it.

    Parameters
    ----------
    plan : Plan
    rule : NotWorse
        Its agent is one of the plan's.
    ahead : bool
        Whether the run is still to come: it stops as its plan says, and by nothing else.

    Raises
    ------
    InputError
        The plan does not settle it.
    """
    if rule.agent not in plan.reference_agents:
        raise unknown_baseline(rule.agent, plan.reference_agents, where="the plan")
    own = [each for each in _rules(plan.stop) if isinstance(each, NotWorse)]
    for each in own:
        same = (each.agent, each.points) == (rule.agent, rule.points)
        if same and each.confidence >= rule.confidence:
            return plan, each
    if plan.calibration is None and not ahead:
        # Always valid: whatever else stopped the run, the bounds hold where it did.
        return replace(plan, stop=rule), rule
    held = ", ".join(f"not-worse:{each.agent}:{each.points:g}:{each.confidence:g}" for each in own)
    text = f"not-worse:{rule.agent}:{rule.points:g}:{rule.confidence:g}"
    quoted = text if " " not in text else f"not-worse:'{rule.agent}':{rule.points:g}"
    msg = (
        f"expected a plan that stops by {text}, got one that stops by {held or 'other rules'}:"
        f' make it with --stop "{quoted}"'
    )
    raise InputError(msg)


def _rules(rule: "Rule") -> "Iterator[Rule]":
    yield rule
    for each in getattr(rule, "rules", ()):
        yield from _rules(each)


def gate_of_decision(
    plan: "Plan", rule: NotWorse, decision: "Decision", *, candidate: str
) -> GateResult:
    """Return what a decision says of the gate, which the plan's rule holds."""
    claims = {each.text for each in decision.claims}
    sides = {rule.held_text: HELD, rule.failed_text: FAILED}
    result = next((side for text, side in sides.items() if text in claims), UNDECIDED)
    found = decision.differences.get(rule.agent, {})
    return GateResult(
        rule=rule,
        result=result,
        candidate=candidate,
        baseline=rule.agent,
        benchmark=plan.benchmark,
        difference=100.0 * found.get("estimate", math.nan),
        low=100.0 * found.get("low", math.nan),
        high=100.0 * found.get("high", math.nan),
        tasks=decision.tasks_run,
        tasks_in_target=decision.tasks_total
        if decision.target == "full benchmark"
        else decision.tasks_planned,
        target=decision.target,
        basis=decision.guarantee,
        reason=decision.reason,
        warnings=decision.warnings,
    )
