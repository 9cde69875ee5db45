"""tau2-bench: result files with settings, tasks and simulations, and the command on a subset."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.descriptors import (
    Capabilities,
    Command,
    Importer,
    Probe,
    ReadOptions,
    Round,
    subset_of,
)
from midband.harnesses._adapting import (
    check_metric,
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
    number,
)
from midband.harnesses._quantities import Quantities, attempt_number, rounding
from midband.harnesses._streams import members
from midband.harnesses.tau_bench import REWARD
from midband.hookspecs import hookimpl
from midband_history import InputError, Note, OutcomeKind, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import Harness, ReadItem
    from midband_sampler import Plan

_WHAT = "a tau2-bench result file"
_LEFT_OUT = "infrastructure_error"  # the only end that tau2's metrics leave out
_ERRORS = frozenset({"user_error", "unexpected_error"})  # not the agent's doing, and counted
_JUDGED = frozenset({"user_stop", "agent_stop"})  # after any other end the reward is 0 unseen
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
            name="tau2-bench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            version=2,
            summary="tau2-bench result files, a simulation an attempt.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with the settings of a tau2-bench run."""
    if path.suffix != ".json" or not path.is_file():
        return False
    start = head(path)
    return b'"info":{' in start and b'"num_trials":' in start and b'"user_info":' in start


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record a simulation, whether they stand in the file or in a folder beside it.

    The metrics of tau2 leave out only what ended by an error of the infrastructure. Every other
    end counts by its reward, and one before its time that was never judged counts as failed.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Of which `benchmark` overrides ``tau2-`` and the domain.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign.
    """
    check_metric(path, options, REWARD.name)
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
            run = _Run(head_of_file, path, options)
        yield run.record(value)
    run = run or _Run(head_of_file, path, options)
    for beside in sorted(path.with_name("simulations").glob("*.json")):
        yield run.record(load_object(beside, "a simulation of tau2-bench"))
    yield from run.notes()
    yield from _of_index(head_of_file.get("simulation_index"))
    yield from _of_submission(path, run.domain, graded=run.graded)


class _Run:
    """What all records of one result file share."""

    def __init__(self, data: dict[str, Any], path: Path, options: ReadOptions) -> None:
        info = mapping(data.get("info"))
        agent, user = mapping(info.get("agent_info")), mapping(info.get("user_info"))
        self.domain = str(mapping(info.get("environment_info")).get("domain_name") or "")
        scaffold, model = str(agent.get("implementation") or ""), str(agent.get("llm") or "")
        if not (self.domain or options.benchmark):
            raise foreign(path, _WHAT, "none of its domain: use --benchmark NAME")
        if not (scaffold or model or options.agent):
            raise foreign(path, _WHAT, "none of its agent: use --agent NAME")
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
        self._quantities = Quantities()
        self._started = self._quantities.date(data.get("timestamp"))
        self._errors = 0
        self._noted = options.errors == "source"
        self.graded = False
        named = f"{scaffold} ({model})" if scaffold and model else scaffold or model
        self._shared: dict[str, Any] = {
            "benchmark": options.benchmark or f"tau2-{self.domain}",
            "agent": named or options.agent,
            "run_id": path.parent.name if path.stem == "results" else path.stem,
            "model": model,
            "scaffold": scaffold,
            "settings": {name: value for name, value in settings.items() if value is not None},
            "harness": "tau2-bench",
            "harness_version": str(info.get("git_commit") or ""),
            "metric": REWARD,
            "part": self.domain,
        }

    def record(self, simulation: dict[str, Any]) -> Record:
        """Return the record of one simulation."""
        score, kind, errored = _outcome(simulation)
        task, trial = simulation.get("task_id"), attempt_number(simulation.get("trial"))
        if task is None or trial is None:
            raise foreign(self._path, _WHAT, "a simulation without its task_id and trial")
        self._errors += errored and kind == "valid"
        self.graded = self.graded or (score is not None and score not in (0.0, 1.0))
        quantities = self._quantities
        self._started = self._started or quantities.date(simulation.get("start_time"))
        return Record(
            **self._shared,
            task_id=str(task),
            score=score,
            kind=kind,
            attempt=trial,
            started=self._started,
            cost_usd=quantities.cost(simulation.get("agent_cost")),
            duration_s=quantities.seconds(simulation.get("duration")),
            task_digest=self._digests.get(str(task), ""),
            source_key=str(simulation.get("id") or ""),
            errored=errored,
        )

    def notes(self) -> Iterator[Note]:
        """Yield what a reader of all records must know."""
        if self._errors and self._noted:
            text = (
                f"{self._errors} simulations ended by an error of the user or an unexpected one, or"
                " were never judged; tau2 counts them: --errors missing leaves them out"
            )
            yield Note(code="errors-counted", text=text)
        yield from self._quantities.notes()


def _outcome(simulation: dict[str, Any]) -> tuple[float | None, OutcomeKind, bool]:
    """Return score and kind by tau2's own metric, and whether the simulation ended in an error."""
    told = simulation.get("termination_reason")
    end = None if told is None else str(told)
    if end == _LEFT_OUT:
        return None, "infra_error", True
    judged = mapping(simulation.get("reward_info"))
    reward = judged.get("reward")
    score = float(reward) if isinstance(reward, bool) else number(reward)
    errored = end in _ERRORS or bool(mapping(judged.get("info")).get("error"))
    if score is not None:
        return score, "valid", errored
    if end is None or end in _JUDGED:  # it ran to its end, and nobody has judged it
        return None, "missing", errored
    return 0.0, "valid", True


def _of_index(index: object) -> Iterator[StatedAggregate]:
    """Yield what the index of a file says about the simulations in the folder beside it."""
    if not isinstance(index, list) or not index:
        return
    entries = [mapping(each) for each in index]
    solved = sum(
        (number(each.get("reward")) or 0.0) >= 1.0 and each.get("termination_reason") != _LEFT_OUT
        for each in entries
    )
    name = "simulation_index"
    yield StatedAggregate(name=name, value=float(len(entries)), statistic="attempts")
    yield StatedAggregate(name=f"rewards of 1 in {name}", value=float(solved), statistic="passed")


def _of_submission(path: Path, domain: str, *, graded: bool) -> Iterator[StatedAggregate]:
    """Yield what the ``submission.json`` above a leaderboard's trajectories says of this file."""
    for folder in path.absolute().parents[:3]:
        if (folder / "submission.json").is_file():
            break
    else:
        return
    submission = load_object(folder / "submission.json", "the submission.json of tau2-bench")
    named = mapping(submission.get("trajectory_files")).get(domain)
    own = (path.name, path.parent.name)
    if named is not None and Path(str(named)).name not in own and str(named) not in own:
        return
    for name, stated in mapping(mapping(submission.get("results")).get(domain)).items():
        percent = number(stated)
        if percent is None or not name.startswith("pass_"):
            continue
        why = ""
        if name != "pass_1":
            why = "it is of several attempts at once"
        elif graded:
            why = "it counts rewards of 1 only, and there are others"
        yield StatedAggregate(
            name=f"{name} in submission.json",
            value=percent / 100,
            per_task=True,
            tolerance=rounding(percent) / 100,
            not_checkable=why,
        )


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

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> Iterator[Record]:
        """Yield the simulations of the result files below `path`."""
        return read_below(path, sniff, read, benchmark=benchmark, what=_WHAT, options=options)

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
