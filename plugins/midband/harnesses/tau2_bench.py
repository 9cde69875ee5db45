"""tau2-bench: result files with settings, tasks and simulations, and the command on a subset."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband._harness import Capabilities, Command, Probe, Round, subset_of
from midband.harnesses._adapting import (
    look_for,
    option,
    read_below,
    refuse,
    refuse_ids,
    tasks_of,
)
from midband.harnesses._files import (
    content_hash,
    foreign,
    head,
    list_of_objects,
    load_object,
    mapping,
    moment,
    number,
    unit_score,
)
from midband.harnesses._streams import members
from midband.hookspecs import hookimpl
from midband_history import InputError, OutcomeKind, Record

if TYPE_CHECKING:
    from midband._harness import Harness
    from midband_sampler import Plan

_WHAT = "a tau2-bench result file"
# Ends of a simulation that are not the agent's doing.
_INFRASTRUCTURE = frozenset({"infrastructure_error", "user_error", "unexpected_error"})
_TASKS = "midband names the tasks"
# What midband sets itself, and what would make a round other than it seems.
REFUSED = {
    "--task-ids": _TASKS,
    "--num-tasks": _TASKS,
    "--num-trials": "it is --attempts of midband",
    "--save-to": "midband says where the results go",
}


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness to ``midband export`` and ``midband run``."""
    return [Tau2BenchHarness()]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="tau2_bench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="tau2-bench result files, a simulation an attempt.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with the settings of a tau2-bench run."""
    if path.suffix != ".json" or not path.is_file():
        return False
    start = head(path)
    return b'"info":{' in start and b'"num_trials":' in start and b'"user_info":' in start


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record a simulation, whether they stand in the file or in a folder beside it.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides ``tau2-`` and the domain.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign.
    """
    del columns
    run: _Run | None = None
    head_of_file: dict[str, Any] = {}
    for name, value in members(path, _WHAT, stream="simulations"):
        if name != "simulations":
            head_of_file[name] = value
            continue
        if not isinstance(value, dict):
            raise foreign(path, _WHAT, "something else than a list of objects")
        if run is None:
            if "tasks" not in head_of_file:  # not the harness's own order: read it as a whole
                head_of_file = load_object(path, _WHAT)
            run = _Run(head_of_file, path, benchmark=benchmark)
        yield run.record(value)
    run = run or _Run(head_of_file, path, benchmark=benchmark)
    for beside in sorted(path.with_name("simulations").glob("*.json")):
        yield run.record(load_object(beside, "a simulation of tau2-bench"))


class _Run:
    """What all records of one result file share."""

    def __init__(self, data: dict[str, Any], path: Path, *, benchmark: str | None) -> None:
        info = mapping(data.get("info"))
        agent, user = mapping(info.get("agent_info")), mapping(info.get("user_info"))
        domain = mapping(info.get("environment_info")).get("domain_name")
        scaffold, model = str(agent.get("implementation") or ""), str(agent.get("llm") or "")
        if not (domain or benchmark) or not (scaffold or model):
            raise foreign(path, _WHAT, "none of its domain and agent")
        settings = {
            "llm_args": agent.get("llm_args"),
            "user": [user.get("implementation"), user.get("llm"), user.get("llm_args")],
            "max_steps": info.get("max_steps"),
            "max_errors": info.get("max_errors"),
        }
        self._path = path
        self._digests = {
            str(task.get("id")): content_hash(task)
            for task in list_of_objects(data.get("tasks") or [], path, _WHAT)
        }
        self._started = moment(data.get("timestamp"))
        self._shared: dict[str, Any] = {
            "benchmark": benchmark or f"tau2-{domain}",
            "agent": f"{scaffold} ({model})" if scaffold and model else scaffold or model,
            "run_id": path.parent.name if path.stem == "results" else path.stem,
            "model": model,
            "scaffold": scaffold,
            "settings": {name: value for name, value in settings.items() if value is not None},
            "harness": "tau2_bench",
            "harness_version": str(info.get("git_commit") or ""),
        }

    def record(self, simulation: dict[str, Any]) -> Record:
        """Return the record of one simulation."""
        score, kind = _outcome(simulation)
        task, trial = simulation.get("task_id"), simulation.get("trial") or 0
        if task is None or not isinstance(trial, int) or trial < 0:
            raise foreign(self._path, _WHAT, "a simulation without its task_id and trial")
        self._started = self._started or moment(simulation.get("start_time"))
        return Record(
            **self._shared,
            task_id=str(task),
            score=score,
            kind=kind,
            attempt=trial,
            started=self._started,
            cost_usd=number(simulation.get("agent_cost")),
            duration_s=number(simulation.get("duration")),
            task_digest=self._digests.get(str(task), ""),
            source_key=str(simulation.get("id") or ""),
        )


def _outcome(simulation: dict[str, Any]) -> tuple[float | None, OutcomeKind]:
    if simulation.get("termination_reason") in _INFRASTRUCTURE:
        return None, "infra_error"
    reward = mapping(simulation.get("reward_info"))
    if mapping(reward.get("info")).get("error"):
        return None, "infra_error"
    score = unit_score(reward.get("reward"))
    return score, "missing" if score is None else "valid"


@dataclass(frozen=True, kw_only=True)
class Tau2BenchHarness:
    """``tau2 run --task-ids ...``; the plan's benchmark is ``tau2-`` and the domain."""

    name: str = "tau2-bench"
    summary: str = "tau2-bench: --task-ids, in rounds."
    tested_versions: tuple[str, ...] = ("1.0.1",)
    capabilities: Capabilities = Capabilities(subset=True, rounds=True, attempts=True, costs=True)  # noqa: RUF009 - frozen

    def probe(self) -> Probe:
        """Look for the ``tau2`` command."""
        hint = "install tau2-bench as its own guide says; the index's tau2 is another package"
        return look_for("tau2", package="tau2", hint=hint)

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        """Yield the simulations of the result files below `path`."""
        return read_below(path, sniff, read, benchmark=benchmark, what=_WHAT)

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write nothing: the command names the tasks."""
        _check_ids(subset_of(plan, tasks))
        directory.mkdir(parents=True, exist_ok=True)
        return ()

    def build_command(self, batch: Round) -> Command:
        """Return ``tau2 run``; without arguments, capitals stand for what is missing.

        Where a round is taken up again, the ids of its result file go along: the harness refuses
        a file with tasks that it is not given, and runs again only what is missing.
        """
        tasks = tasks_of(batch)
        refuse(batch.arguments, REFUSED)
        domain = option(batch.arguments, "--domain", "-d")
        named = batch.plan.benchmark.removeprefix("tau2-")
        if domain is None and named == batch.plan.benchmark:
            msg = f"expected a benchmark such as tau2-retail, got {named!r}: add -- --domain NAME"
            raise InputError(msg)
        folder = batch.directory / batch.name
        tasks = tuple(sorted({*tasks, *_begun(folder / "results.json", batch.arguments)}))
        _check_ids(tasks)
        command = (
            *("tau2", "run", *(() if domain else ("--domain", named))),
            *("--task-ids", *tasks, "--num-trials", str(batch.attempts)),
            *("--save-to", str(folder.resolve()), "--auto-resume"),
            *(batch.arguments or ("--agent-llm", "MODEL", "--user-llm", "MODEL")),
        )
        return Command(steps=(command,), results=batch.directory)


def _check_ids(tasks: Sequence[str]) -> None:
    refuse_ids(tasks, lambda task: not task or task.startswith("-"), why="not beginning with -")


def _begun(path: Path, arguments: Sequence[str]) -> list[str]:
    """Return the tasks of a result file there is already, of the same agent."""
    if not path.is_file():
        return []
    data = load_object(path, _WHAT)
    agent = mapping(mapping(data.get("info")).get("agent_info"))
    for name, value in (("--agent-llm", "llm"), ("--agent", "implementation")):
        asked, found = option(arguments, name), agent.get(value)
        if asked is not None and found is not None and asked != found:
            msg = (
                f"expected {name} {found} as in {path}, got {asked}: the harness would mix both,"
                " use another directory"
            )
            raise InputError(msg)
    return [str(task.get("id")) for task in list_of_objects(data.get("tasks") or [], path, _WHAT)]
