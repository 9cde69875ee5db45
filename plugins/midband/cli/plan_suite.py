"""``midband plan --all``: a suite, one plan for each of several benchmarks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from midband.cli.output import echo, open_history, print_json, print_table, warn
from midband.cli.progress import counted
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from midband.cli.plan_request import PlanRequest
    from midband_history import History
    from midband_sampler import Plan

DEFAULT_OUTPUT = Path("suite")
_COLUMNS = ("benchmark", "file", "strategy", "target", "tasks", "tasks_in_benchmark", "reason")


def plan_suite(
    request: "PlanRequest",
    directory: Path,
    *,
    names: Sequence[str],
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Plan every benchmark that can be planned, and say of the others why they cannot be.

    Parameters
    ----------
    request : PlanRequest
    directory : Path
        Where the suite goes; made if it is not there.
    names : sequence of str
        Benchmarks or Inspect tasks; empty for all benchmarks of the history.
    history_path : Path or None
    as_json : bool

    Returns
    -------
    int
        0; 1 if no benchmark could be planned.

    Raises
    ------
    InputError
        The directory cannot be used, or the history is empty.
    """
    from midband.rounds.race_state import folders
    from midband.suite import NotPlanned, Planned, Suite

    made: dict[str, Plan] = {}
    refused: dict[str, str] = {}
    with open_history(history_path) as store:
        wanted = _wanted(store, names)
        with counted("benchmark") as advance:
            for place, name in enumerate(wanted):
                advance(place, len(wanted))
                try:
                    made[name], _ = request.make(store, name)
                except MidbandError as problem:
                    refused[name] = " ".join(str(problem).split())
    _make_directory(directory)
    files = [f"{name}.json" for name in folders(tuple(made))]
    files = [f"plan-{name}" if name == "suite.json" else name for name in files]
    for name, plan in zip(files, made.values(), strict=True):
        plan.write(directory / name)
    suite = Suite(
        directory=directory,
        planned=tuple(
            Planned(benchmark=benchmark, file=name, digest=plan.digest)
            for name, (benchmark, plan) in zip(files, made.items(), strict=True)
        ),
        not_planned=tuple(NotPlanned(benchmark=name, reason=why) for name, why in refused.items()),
    )
    path = suite.write()
    for name, plan in made.items():
        for warning in plan.warnings:
            warn(f"{name}: {warning}")
    for name, why in refused.items():
        warn(f"{name} is not planned: {why}")
    rows = [_row(each.benchmark, each.file, made[each.benchmark]) for each in suite.planned]
    rows += [{"benchmark": name, "reason": f"not planned: {why}"} for name, why in refused.items()]
    if as_json:
        print_json({"suite": str(path), "digest": suite.digest, "benchmarks": rows})
    else:
        print_table(_COLUMNS, [[row.get(name) for name in _COLUMNS] for row in rows])
        echo(f"suite: {directory} ({len(made)} of {len(wanted)} benchmarks planned)")
    return 0 if made else 1


def _wanted(store: "History", names: Sequence[str]) -> list[str]:
    """Return the benchmarks that are named, by the names that the history has for them."""
    known = sorted(each.name for each in store.benchmarks())
    if not known:
        msg = "expected results in the history, got none: import some with `midband import PATH`"
        raise InputError(msg)
    found = [_known_as(name, known) for name in names]
    return list(dict.fromkeys(found)) or known


def _known_as(name: str, known: Sequence[str]) -> str:
    """Return the benchmark of a name, an Inspect task or ``file.py@task``; the name if unknown."""
    path, at, task = name.rpartition("@")
    plain = task if at else name
    if not at and name.endswith(".py"):
        plain = Path(name).stem
    for each in (name, plain, plain.rpartition("/")[2]):
        if each in known:
            return each
    return name if not path else plain


def _row(benchmark: str, file: str, plan: "Plan") -> dict[str, object]:
    return {
        "benchmark": benchmark,
        "file": file,
        "digest": plan.digest,
        "strategy": plan.strategy,
        "target": plan.target,
        "guarantee": plan.guarantee,
        "confidence": plan.stop.confidence,
        "tasks": len(plan.tasks),
        "tasks_in_benchmark": len(plan.all_tasks),
        "reference_agents": len(plan.reference_agents),
        "warnings": plan.warnings,
    }


def _make_directory(directory: Path) -> None:
    from midband.suite import FILE

    try:
        directory.mkdir(parents=True, exist_ok=True)
        strange = [each.name for each in directory.iterdir()]
    except OSError as problem:
        msg = f"expected a directory to write the suite to, got {directory}: {problem.strerror}"
        raise InputError(msg) from problem
    if strange and FILE not in strange:
        msg = (
            f"expected an empty directory or an earlier suite, got {directory}, which holds"
            f" {sorted(strange)[0]!r}: name another with --output"
        )
        raise InputError(msg)
