"""The verdict of a run in plain sentences: what is claimed, what it rests on, what to doubt."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from midband.report.course import Course, Money
from midband.report.sources import RunResults

if TYPE_CHECKING:
    from midband_sampler import Decision, Rule

_FULL = "full benchmark"


def dollars(value: float) -> str:
    """Return an amount of money, to the cent where it is small."""
    return f"${value:,.2f}" if abs(value) < 100 else f"${value:,.0f}"


def duration(seconds: float) -> str:
    """Return a time, in seconds or longer units."""
    if seconds < 120:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def percent(value: float, digits: int = 1) -> str:
    """Return a share as per cent."""
    return f"{100 * value:.{digits}f} %"


def counted(number: int, noun: str, nouns: str = "") -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def rule_text(rule: "Rule") -> str:
    """Return when a stopping rule stops, in words."""
    parts = [rule_text(each) for each in getattr(rule, "rules", ())]
    if parts:
        return f", {'and' if rule.name == 'all' else 'or'} ".join(parts)
    said = {name: value for name, value in rule.to_dict().items() if value is not None}
    level = said.get("confidence")
    sure = f" with {level * 100:.3g} % confidence" if isinstance(level, float) else ""
    width, points, agent = said.get("width"), said.get("points"), said.get("agent")
    match rule.name:
        case "rank" if isinstance(width, (int, float)):
            return f"the rank interval spans at most {100 * width:.3g} % of the ranks{sure}"
        case "score":
            return f"the score is known to within {points:g} points{sure}"
        case "top":
            return f"it is known{sure} whether the candidate is among the best {said.get('k')}"
        case "beats":
            return f"it is known{sure} whether the candidate is better or worse than {agent}"
        case "not-worse":
            return (
                f"it is known{sure} whether the candidate is worse than {agent} by more than"
                f" {points:g} points"
            )
        case "budget":
            spent = [
                f"${said[unit]:g}" if unit == "usd" else f"{said[unit]:g} {unit}"
                for unit in ("tasks", "usd", "seconds", "tokens")
                if unit in said
            ]
            return f"{' or '.join(spent)} are spent"
        case "futility":
            return "the remaining tasks can no longer change the verdict"
        case "none":
            return "all planned tasks have run"
    return f"the rule {rule.name} is met{sure}"


def headline(decision: "Decision") -> str:
    """Return the first sentence: the claim, or the rank as far as it is known."""
    from midband_sampler import ALWAYS_VALID

    of = decision.n_reference + 1
    if not decision.tasks_run:
        return "Nothing is known yet: no task has a result that can be judged."
    if decision.rank is None:
        why = "no attempt brought a usable result" if not decision.results else "too few results"
        return f"The rank among {of:,} agents is unknown: {why}."
    others = [each for each in decision.claims if not each.text.startswith("rank ")]
    if others and len(others) == len(decision.claims):
        first = "; ".join(
            f"{each.text} with {each.confidence * 100:.3g} % confidence" for each in others[:3]
        )
        more = f" ({len(others) - 3} more claims)" if len(others) > 3 else ""
        return f"{first[0].upper()}{first[1:]} at the stop{more}."
    where = "" if decision.target == _FULL else f" on the {decision.target}"
    so_far = "" if decision.stop else " so far"
    text = f"Rank {decision.rank:,} of {of:,}{where}{so_far}"
    confidence = decision.held_confidence
    if decision.low != decision.high:
        text += f", between {decision.low:,} and {decision.high:,}"
    if math.isnan(confidence):
        return f"{text}; no confidence is claimed{'' if decision.stop else ' yet'}."
    level = f"{confidence * 100:.3g} % confidence"
    always = decision.guarantee == ALWAYS_VALID and not decision.claims
    when = "at every look" if always else "at the stop"
    return f"{text} with {level} {when}."


def basis(course: Course) -> str:
    """Return the second sentence: what ran, and what it cost."""
    decision = course.decision
    ran = len(course.runs)
    without = sum(math.isnan(each.score) for each in course.runs)
    text = f"{ran:,} of {counted(decision.tasks_total, 'task')} ran"
    text += f", {without:,} without a result" if without else ""
    return f"{text}; {spending(course.money)}."


def spending(money: Money) -> str:
    """Say what was spent of what a full run would have cost."""
    if math.isnan(money.spent):
        return "what it cost is not known"
    about = "about " if money.is_guessed or money.left > 0 else ""
    of = "" if math.isnan(money.whole) else f" of {dollars(money.whole)}"
    return f"{about}{dollars(money.spent)}{of} spent"


def rests_on(found: RunResults, course: Course) -> str:
    """Say in a paragraph what the verdict rests on."""
    decision = course.decision
    parts = [_ended(course)]
    if not math.isnan(decision.target_score):
        low, high = decision.target_score_low, decision.target_score_high
        scale = f" of the scale {decision.scale}" if decision.scale else ""
        parts.append(
            f"The estimated score on the {decision.target} is"
            f" {percent(decision.target_score)}{scale}, between {percent(low)} and {percent(high)}."
        )
    claimed = [each.text for each in decision.claims]
    if decision.rank is not None and claimed and not any(t.startswith("rank ") for t in claimed):
        parts.append(
            f"The rank is {decision.rank:,} of {decision.n_reference + 1:,} on the"
            f" {decision.target}, between {decision.low:,} and {decision.high:,}."
        )
    judged = decision.results + decision.errors + decision.unscored
    if judged:
        rest = [counted(decision.results, "result"), counted(decision.errors, "error")]
        if decision.unscored:
            rest.append(counted(decision.unscored, "unscored attempt"))
        parts.append(f"It rests on {', '.join(rest[:-1])} and {rest[-1]}.")
    late = sum(not each.judged for each in course.runs)
    if late and decision.stop:
        parts.append(
            f"{counted(late, 'more task')} ended after the stop and {'is' if late == 1 else 'are'}"
            " not judged."
        )
    return " ".join(part for part in parts if part)


def _ended(course: Course) -> str:
    decision = course.decision
    if not decision.stop:
        return "The stopping rule has not been met." if decision.tasks_run else ""
    text = f"The run stopped after {counted(decision.tasks_run, 'task')}: {decision.reason}."
    return text if decision.claims else f"{text} Its stopping rule claims nothing."


def believe(found: RunResults, course: Course) -> Iterator[str]:
    """Say what the verdict holds for, paragraph by paragraph."""
    decision, plan = course.decision, course.plan
    if decision.target == _FULL:
        what = "The rank is about the full benchmark."
        if plan.predicts:
            what += (
                " A response model predicts the tasks that did not run, from the results of the"
                " reference agents on them."
            )
        yield what
    else:
        yield (
            f"The rank is about the {counted(len(plan.tasks), 'planned task')} of"
            f" {len(plan.all_tasks):,}. It says nothing of the tasks that are not in the plan, and"
            " is no rank on the full benchmark."
        )
    yield f"The guarantee: {decision.guarantee}."
    made = plan.calibration
    if made is not None and made.replays:
        yield (
            "Calibrated means: the known agents were replayed as if they were new, and the interval"
            " is as wide as they needed. It holds for agents like those. A new kind of agent can"
            " break it; midband warns where the results suggest one."
        )
    elif made is None:
        yield (
            "Always-valid means: the interval needs no model of the agents, and looking at it often"
            " does not weaken it. It treats the recorded scores of the reference agents as exact"
            " and ignores their run-to-run noise."
        )
    missing = sum(math.isnan(each.score) for each in course.runs)
    if missing:
        yield (
            f"{counted(missing, 'task')} that ran {'has' if missing == 1 else 'have'} no result."
            " That does not count as failure: the bounds hold whether every missing result would"
            " have been a failure or a pass."
        )
    if not decision.claims:
        yield (
            "The stopping rule claims nothing, because it was not met. The interval is what is"
            " known so far."
        )
    yield _checked(found, course)


def _checked(found: RunResults, course: Course) -> str:
    results = counted(len(found.results), "result")
    if found.recorded is None or "low" not in found.recorded:
        return (
            f"This page tells the plan the {results} again, one after the other. The run keeps no"
            " verdict of its own to compare with."
        )
    if course.differences:
        return (
            f"This page tells the plan the {results} again, and comes to another verdict than the"
            " run stated; the warnings say which."
        )
    return (
        f"This page tells the plan the {results} again, one after the other, and comes to the very"
        " verdict that the run stated."
    )
