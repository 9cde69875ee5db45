"""tau2-bench: result files with settings, tasks and simulations, and the command on a subset."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import (
    Adapter,
    CommandHarness,
    option,
)
from midband.adapters.files import (
    content_hash,
    foreign,
    list_of_objects,
    load_object,
    mapping,
    members,
    moment,
    number,
    start_of,
    truth_or_number,
)
from midband.adapters.stated import (
    Quantities,
    attempt_number,
    choose_metric,
    counted,
    errors_counted,
    rounding,
)
from midband.adapters.tau_bench import REWARD
from midband.descriptors import Capabilities, Command, Importer, ReadOptions, Round
from midband_history import InputError, Note, OutcomeKind, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

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


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with the settings of a tau2-bench run."""
    start = start_of(path, ".json")
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
    choose_metric(path, options, REWARD.name)
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
        self._started = moment(data.get("timestamp"))
        self._errors = 0
        self._options = options
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
        self._started = self._started or moment(simulation.get("start_time"))
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
        what = (
            "simulations ended by an error of the user or an unexpected one, or were never judged"
        )
        yield from errors_counted(self._errors, f"{what}; tau2 counts them", self._options)
        yield from self._quantities.notes()


def _outcome(simulation: dict[str, Any]) -> tuple[float | None, OutcomeKind, bool]:
    """Return score and kind by tau2's own metric, and whether the simulation ended in an error."""
    told = simulation.get("termination_reason")
    end = None if told is None else str(told)
    if end == _LEFT_OUT:
        return None, "infra_error", True
    judged = mapping(simulation.get("reward_info"))
    score = truth_or_number(judged.get("reward"))
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
    yield from counted(name, len(entries), "attempts")
    yield from counted(f"rewards of 1 in {name}", solved, "passed")


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


IMPORTER = Importer(
    name="tau2-bench",
    sniff=sniff,
    read=read,
    suffixes=(".json",),
    version=2,
    summary="tau2-bench result files, a simulation an attempt.",
)


class Tau2BenchHarness(CommandHarness):
    """``tau2 run --task-ids ...``; the plan's benchmark is ``tau2-`` and the domain."""

    name = "tau2-bench"
    summary = "tau2-bench: --task-ids, in rounds."
    tested_versions = ("1.0.1",)
    capabilities = Capabilities(subset=True, rounds=True, attempts=True, costs=True)
    importer = IMPORTER
    results = _WHAT
    program = package = "tau2"
    hint = "install tau2-bench as its own guide says; the index's tau2 is another package"
    refused = REFUSED
    ids = "not beginning with -"

    def fits(self, task: str) -> bool:
        """Whether the command would not take an id for a flag."""
        return bool(task) and not task.startswith("-")

    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        """Return ``tau2 run``.

        Where a round is taken up again, the ids of its result file go along: the harness refuses
        a file with tasks that it is not given, and runs again only what is missing.
        """
        domain = option(batch.arguments, "--domain", "-d")
        named = batch.plan.benchmark.removeprefix("tau2-")
        if domain is None and named == batch.plan.benchmark:
            msg = f"expected a benchmark such as tau2-retail, got {named!r}: add -- --domain NAME"
            raise InputError(msg)
        folder = batch.directory / batch.name
        begun = _begun(folder / "results.json", batch.arguments)
        command = (
            *("tau2", "run", *(() if domain else ("--domain", named))),
            *("--task-ids", *self.fitting(sorted({*tasks, *begun}))),
            *("--num-trials", str(batch.attempts)),
            *("--save-to", str(folder.resolve()), "--auto-resume"),
            *(batch.arguments or ("--agent-llm", "MODEL", "--user-llm", "MODEL")),
        )
        return Command(steps=(command,), results=batch.directory)


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


ADAPTER = Adapter(IMPORTER, harnesses=[Tau2BenchHarness()])
