"""Plans, decisions and races in a notebook: a sentence, an interval and a small table.

What is shown is imported by none of these functions, since its module imports them.
"""

import math
from collections.abc import Mapping
from typing import Any

from midband_history import Bar, notebook_html


def decision_html(decision: Any) -> str:
    """Return the verdict on a candidate as HTML."""
    of = decision.n_reference + 1
    held = _held(decision)
    place = "Rank unknown" if decision.rank is None else f"Rank {decision.rank}"
    caption = f"{place} of {of} on the {decision.target} ({held}): {decision.reason}."
    score = "unknown"
    if not math.isnan(decision.target_score):
        low, high = decision.target_score_low, decision.target_score_high
        score = f"{_percent(decision.target_score)} ({100 * low:.1f} to {_percent(high)})"
        score += f" of the scale {decision.scale}" if decision.scale else ""
    counts = f"{decision.results} results, {decision.errors} errors"
    counts += f", {decision.unscored} unscored" if decision.unscored else ""
    rows: list[tuple[str, str]] = [
        ("estimated score", score),
        ("tasks", f"{decision.tasks_run} of {decision.tasks_total} ({counts})"),
    ]
    if not math.isnan(decision.spent_usd):
        rows.append(("spent", f"${decision.spent_usd:,.2f}"))
    if not math.isnan(decision.cost_saved_usd):
        rows.append(("expected for tasks not run", f"${decision.cost_saved_usd:,.2f}"))
    if decision.claims:
        claims = (f"{each.text} ({each.confidence:.0%})" for each in decision.claims[:5])
        more = f"; {len(decision.claims) - 5} more" if len(decision.claims) > 5 else ""
        rows.append(("claimed", "; ".join(claims) + more))
    rows += [("rests on", decision.guarantee), ("plan", decision.plan_digest)]
    rank = math.nan if decision.rank is None else float(decision.rank)
    drawn = Bar(low=decision.low, high=decision.high, estimate=rank, first=1, last=of)
    bar = drawn if decision.holds else None
    notes = [f"Warning: {each}" for each in decision.warnings]
    return notebook_html(caption, rows=rows, bar=bar, notes=notes)


def decision_repr(decision: Any) -> str:
    """Return a decision on one line."""
    rank = "unknown" if decision.rank is None else str(decision.rank)
    return (
        f"<Decision: rank {rank} of {decision.n_reference + 1} on the {decision.target}"
        f" ({_held(decision)}), {decision.tasks_run} of {decision.tasks_total} tasks:"
        f" {decision.reason}>"
    )


def _held(decision: Any) -> str:
    """Return the interval with its confidence, or that none is claimed."""
    if not decision.holds:
        return "no confidence claimed"
    return f"{decision.low} to {decision.high} at {decision.confidence * 100:.3g} %"


def plan_html(plan: Any) -> str:
    """Return a plan as HTML."""
    most = len(plan.tasks) if plan.max_tasks is None else min(plan.max_tasks, len(plan.tasks))
    live = "chosen while the run continues" if plan.chooses_live else "in the plan's order"
    caption = (
        f"Plan for {plan.benchmark}: at most {most} of {len(plan.all_tasks)} tasks, {live},"
        f" compared with {len(plan.reference_agents)} reference agents."
    )
    rows = [
        ("strategy", plan.strategy),
        ("stops when", rule_text(plan.stop.to_dict())),
        ("ranks on", plan.target),
        ("rests on", plan.guarantee),
        ("metric", "unknown" if plan.metric is None else plan.metric.label),
    ]
    cost = float(plan.expected_cost_usd.sum())
    if not math.isnan(cost):
        rows.append(("expected cost of all tasks", f"${cost:,.2f} an attempt"))
    rows += [("first tasks", ", ".join(plan.tasks[:5])), ("digest", plan.digest)]
    if plan.as_of:
        rows.append(("history until", plan.as_of))
    notes = [f"Warning: {each}" for each in plan.warnings] + list(plan.notes)
    return notebook_html(caption, rows=rows, notes=notes)


def plan_repr(plan: Any) -> str:
    """Return a plan on one line."""
    return (
        f"<Plan for {plan.benchmark!r}: {plan.strategy}, {len(plan.tasks)} of"
        f" {len(plan.all_tasks)} tasks, {len(plan.reference_agents)} reference agents>"
    )


def race_plan_html(plan: Any) -> str:
    """Return a planned race as HTML."""
    where = f" on {plan.benchmark}" if plan.benchmark else ""
    caption = f"Race of {len(plan.candidates)} candidates{where}: {plan.question.text}."
    rows = [
        ("candidates", ", ".join(plan.candidates)),
        ("allocation", plan.allocation.name),
        ("tasks", str(len(plan.tasks)) if plan.tasks else "those of the harness"),
        ("reference agents", str(len(plan.reference_agents))),
        ("full price", f"{plan.full} results" if plan.tasks else "unknown"),
    ]
    if not math.isnan(plan.cost):
        low, high = plan.cost_low, plan.cost_high
        spread = "" if math.isnan(low) else f" (from {low:.0%} to {high:.0%} in four of five races)"
        rows.append(("expected cost", f"{plan.cost:.0%} of the full price{spread}"))
    rows += [("metric", "unknown" if plan.metric is None else plan.metric.label)]
    rows += [("digest", plan.digest)]
    return notebook_html(caption, rows=rows, notes=plan.notes)


def race_plan_repr(plan: Any) -> str:
    """Return a planned race on one line."""
    return (
        f"<RacePlan {plan.question.text!r} on {plan.benchmark!r}: {len(plan.candidates)}"
        f" candidates, {len(plan.tasks)} tasks>"
    )


def race_verdict_html(verdict: Any) -> str:
    """Return what a race has come to as HTML."""
    table = set(verdict.table())
    first, *rest = [line for line in verdict.lines() if line not in table]
    columns = ("rank", "candidate", "score", "tasks", "errors", "state", "US dollars")
    rows = [
        (
            each.rank_text,
            each.candidate,
            "unknown" if math.isnan(each.score) else _percent(each.score),
            f"{each.tasks} of {each.total}",
            each.errors,
            each.state,
            each.usd,
        )
        for each in verdict.ranked
    ]
    return notebook_html(first, columns=columns, rows=rows, notes=rest)


def race_verdict_repr(verdict: Any) -> str:
    """Return what a race has come to on one line."""
    return (
        f"<RaceVerdict {verdict.question!r}: {verdict.answer} {verdict.results} of {verdict.full}"
        f" results, {verdict.reason}>"
    )


def rule_text(values: Mapping[str, Any]) -> str:
    """Say a stopping rule in words, from what `Rule.to_dict` returns."""
    name, rest = str(values["rule"]), {key: each for key, each in values.items() if key != "rule"}
    if parts := rest.get("rules"):
        join = " or " if name == "any" else " and "
        return join.join(rule_text(each) for each in parts)
    hidden = {
        "min_tasks",
        "of",
        *(("confidence",) if name == "budget" else ()),
    }  # it claims nothing
    settings = [
        f"{key.replace('_', ' ')} {each:g}" if isinstance(each, float) else f"{key} {each}"
        for key, each in rest.items()
        if key not in hidden and each is not None
    ]
    return f"{name} ({', '.join(settings)})" if settings else name


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
