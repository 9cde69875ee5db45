"""What the golden outputs hold: plans, decisions after each result, and study cells, by case.

``python -m tests.golden.cases`` writes ``outputs.json`` anew, from the code as it stands.
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler import Plan, Session, make_plan, parse_stop
from midband_sims import Study, StudySettings

OUTPUTS = Path(__file__).with_name("outputs.json")
RULES = (
    "rank:0.8:0.2",
    "beats:agent-03:0.8",
    "top:5:0.8",
    "score:9:0.8",
    "tasks:15",
    "usd:9",
    "seconds:400",
    "none:0.8",
    "rank:0.8:0.05 or hopeless",
    "top:4:0.8 and tasks:12 or score:4:0.8",
)
ALWAYS_VALID = ("band", "random", "stratified")
CALIBRATED = (
    "information", "matched", "design", "cost", "cost-design", "band", "random", "stratified",
)  # fmt: skip
# The names of 0.1 stand in the cases; what they are called since is told here.
NEW_NAMES = {
    "design": "information-fixed",
    "cost-design": "cost-fixed",
    "matched": "difficulty-matched",
    "matched, fixed order": "difficulty-matched-fixed",
}
OPTIONS: tuple[dict[str, Any], ...] = (
    {"strategy": "random", "always": ("task-07", "task-02")},
    {"strategy": "information", "always": ("task-07", "task-02"), "explore": 0.3},
    {"strategy": "design", "explore": 0.4, "max_tasks": 20},
    {"strategy": "information", "max_tasks": 18, "seed": 3},
    {"strategy": "matched", "explore": 0.2, "seed": 5},
    {"strategy": "cost", "cost_unit": "seconds"},
    {"strategy": "auto"},
    {"strategy": "band", "seed": 9, "max_tasks": 12},
    {"strategy": "information", "attempts": 2},
)


def history(*, attempts: int = 1) -> OutcomeMatrix:
    """Make 18 agents and 36 tasks, with missing cells, costs, scaffolds and dates."""
    rng = np.random.default_rng(11)
    n_agents, n_tasks = 18, 36
    ability = np.linspace(-1.4, 1.4, n_agents)[:, None]
    chance = 1 / (1 + np.exp(-(ability - rng.normal(0, 1.2, n_tasks))))
    each = (rng.random((*chance.shape, attempts)) < chance[..., None]).astype(float)
    each[rng.random(chance.shape) < 0.03] = np.nan
    costs = rng.lognormal(-1.0, 0.8, n_tasks)
    known = ~np.isnan(each[..., 0])
    return OutcomeMatrix.from_scores(
        np.where(known, np.where(known[..., None], each, 0.0).mean(axis=2), np.nan),
        attempt_scores=each,
        agents=[f"agent-{row:02d}" for row in range(n_agents)],
        tasks=[f"task-{column:02d}" for column in range(n_tasks)],
        scaffolds=[f"scaffold-{row % 4}" for row in range(n_agents)],
        cost_usd=np.where(known, costs, np.nan),
        duration_s=np.where(known, costs[::-1] * 40, np.nan),
        dates=np.array([f"2025-{1 + row % 12:02d}-01" for row in range(n_agents)], "M8[s]"),
    )


def candidate(plan: Plan) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Return score, dollars and seconds of a new agent by task; some of each unknown."""
    rng = np.random.default_rng(23)
    out: dict[str, tuple[float | None, float | None, float | None]] = {}
    for task in plan.all_tasks:
        score, lost, silent = rng.random(3)
        out[task] = (
            None if lost < 0.06 else float(score < 0.55),
            None if silent < 0.2 else round(float(rng.random()), 3),
            round(float(20 * rng.random()), 3),
        )
    return out


def outputs() -> dict[str, Any]:
    """Compute every case."""
    return {name: value for part in (_plans(), _studies()) for name, value in part}


def _plans() -> Iterator[tuple[str, Any]]:
    matrix = history()
    wanted: list[dict[str, Any]] = [
        {"strategy": name, "stop": rule} for name in ALWAYS_VALID for rule in RULES
    ]
    wanted += [
        {"strategy": name, "stop": RULES[0], "guarantee": "calibrated"} for name in CALIBRATED
    ]
    wanted += [
        {"strategy": name, "stop": rule, "guarantee": "calibrated"}
        for name in ("information", "random")
        for rule in RULES[1:]
    ]
    wanted += [{"stop": RULES[0], **options} for options in OPTIONS]
    for settings in wanted:
        name = " ".join(f"{key}={value}" for key, value in sorted(settings.items()))
        rule = parse_stop(settings["stop"])
        tried = history(attempts=3) if settings.get("attempts", 1) > 1 else matrix
        plan = make_plan(tried, **{**settings, "stop": rule})
        yield f"plan {name}", _plan(plan)
        yield f"session {name}", _decisions(plan, Session(plan, resamples=200))
        if plan.chooses_live:
            fixed = Session(plan, resamples=200, live=False)
            yield f"fixed session {name}", _decisions(plan, fixed)
    plan = make_plan(matrix, strategy="random", stop=parse_stop(RULES[0]))
    yield "session told at once", _told_at_once(plan)


def _plan(plan: Plan) -> dict[str, Any]:
    each = {
        "strategy": NEW_NAMES.get(plan.strategy, plan.strategy),
        "tasks": [int(task.removeprefix("task-")) for task in plan.tasks],
        "references": len(plan.reference_agents),
        "band": None if plan.band is None else [plan.band.low, plan.band.high],
        "notes": sum("is called" not in note for note in plan.notes),
        "warnings": len(plan.warnings),
        "target": plan.target,
    }
    for name in ("calibration", "fallback"):
        made = getattr(plan, name)
        each[name] = None if made is None else made.to_dict()
    return each


def _decisions(plan: Plan, session: Session) -> dict[str, Any]:
    """Run to the stop; keep ranks and bounds where they change, and all that is said at times."""
    results, order = candidate(plan), []
    looks: list[list[float | None]] = []
    before: list[int | None] = []
    while tasks := session.ask(1):
        task = tasks[0]
        order.append(int(task.removeprefix("task-")))
        score, usd, seconds = results[task]
        session.tell(task, score=score, usd=usd, seconds=seconds)
        made = session.decision()
        found: list[int | None] = [made.rank, made.low, made.high]
        if found != before or made.stop:
            looks.append([made.tasks_run, *found])
            before = found
        if made.tasks_run % 8 == 0 or made.stop:
            looks.append([made.tasks_run, *_numbers(made)])
    made = session.decision()
    return {
        "order": order,
        "looks": looks,
        "reason": made.reason,
        "claims": [[each.text, each.confidence] for each in made.claims],
        "better": dict(made.better_than),
        "ties": len(made.tie_group),
        "warnings": len(made.warnings),
    }


def _numbers(made: Any) -> list[float | None]:
    names = (
        "score", "full_score", "full_score_low", "full_score_high", "naive_confidence",
        "randomised_score", "randomised_error", "spent_usd", "spent_seconds", "cost_saved_usd",
    )  # fmt: skip
    return [_known(getattr(made, name)) for name in names]


def _told_at_once(plan: Plan) -> dict[str, Any]:
    session = Session(plan, resamples=200)
    for task, (score, usd, seconds) in reversed(candidate(plan).items()):
        session.tell(task, score=score, usd=usd, seconds=seconds)
    made = session.decision()
    return {"run": made.tasks_run, "found": [made.rank, made.low, made.high, *_numbers(made)]}


def _studies() -> Iterator[tuple[str, Any]]:
    grids: dict[str, dict[str, Any]] = {
        "fixed orders": {
            "strategies": ALWAYS_VALID,
            "stops": ("rank:0.8:0.2", "none", "top:4:0.8 or tasks:20"),
            "seeds": 2,
        },
        "calibrated": {
            "protocols": ("loso",),
            "strategies": ("information", "design", "auto"),
            "stops": ("rank:0.8:0.2",),
            "budgets": ("band", "0.5"),
        },
        "in flight": {"strategies": ("random",), "in_flight": 3, "stops": ("rank:0.8:0.3",)},
        "later": {"protocols": ("temporal",), "cuts": ("half",), "strategies": ("stratified",)},
    }
    for name, settings in grids.items():
        result = Study([history()], StudySettings(draws=5, resamples=200, **settings)).run()
        for cell in result.cells:
            key = " ".join(str(cell[part]) for part in ("strategy", "stop", "budget"))
            left_out = ("seconds", "plan", "target")
            plain = {
                k: _known(v)
                for k, v in cell.items()
                if k not in left_out and not k.startswith("coverage_claimed")
            }
            plain["strategy_ran"] = NEW_NAMES.get(str(cell["strategy_ran"]), cell["strategy_ran"])
            yield f"study {name} {key}", plain


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main() -> None:
    """Write the outputs, one case a line."""
    lines = [
        f"{json.dumps(name)}: {json.dumps(value, separators=(',', ':'))}"
        for name, value in outputs().items()
    ]
    OUTPUTS.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
