"""The demonstration: simulated agents and tasks, real commands, then the check in full."""

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history import MidbandError, StoreError

if TYPE_CHECKING:
    from midband_history import Record
    from midband_sampler import Plan

BENCHMARK = "toy_benchmark"
PROVIDER = "midband_demo"
N_TASKS = 200
N_AGENTS = 24
NEW_AGENT = "agent-new"
NEW_ABILITY = 0.5
# Three more agents that no history knows, weakest first, and their abilities.
RIVALS = {"agent-red": -0.6, "agent-green": 0.3, "agent-blue": 1.5}
QUESTION = "top:1:0.9"
# Kind of report, the logs that it is about, and the page, in the directory of the demo.
REPORTS = (("run", "adaptive", "report.html"), ("race", "race-history", "race-report.html"))
COST_USD = 0.04  # what a simulated attempt would cost on average; no money is spent
_SPREAD = 2.4
MARKER = "SIMULATED.txt"
STATE = "state"
_NOTE = (
    "Everything in this directory was made by `midband demo`. The agents and the tasks are\n"
    "simulated: no model was called and no money was spent. The logs are real Inspect logs.\n"
)
_TASK_FILE = '''"""The simulated benchmark of `midband demo`, as a task file for Inspect."""

from inspect_ai import Task, task

from midband.inspect.simulated import toy_task


@task
def toy_benchmark() -> Task:
    return toy_task()
'''


class DemoError(MidbandError, RuntimeError):
    """A step of the demonstration failed."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the demonstration showed; everything in it is simulated.

    Parameters
    ----------
    adaptive : dict
        The verdict of the run that stopped early, as ``midband rank --json`` gives it.
    planned_rank, full_rank : int
        Rank by the mean over all planned tasks, and over all tasks of the benchmark: 1 + number of
        known agents strictly better. The interval of the stopped run is about the first.
    full_cost_usd, adaptive_cost_usd : float
        What the two runs would have cost; simulated.
    samples_run, samples_total : int
        Samples that Inspect scored in the stopped run (some were in flight at the stop), and in
        the full one.
    races : dict
        What came of the race of three more agents, without and with the history.
    reports : tuple of str
        The pages that say what came of it, that of the stopped run first.
    seconds : float
        Wall time of the whole demonstration.
    """

    adaptive: dict[str, object]
    planned_rank: int
    full_rank: int
    full_cost_usd: float
    adaptive_cost_usd: float
    samples_run: int
    samples_total: int
    races: dict[str, dict[str, object]]
    reports: tuple[str, ...]
    seconds: float
    simulated: bool = True


def run_demo(directory: Path, history: Path | None, say: Callable[[str], None]) -> Outcome:
    """Tell the whole story in `directory`, which is emptied first if a demo made it."""
    before = os.environ.get("MIDBAND_STATE")
    # What is simulated does not stand among the user's own runs.
    os.environ["MIDBAND_STATE"] = str(directory.absolute() / STATE)
    try:
        return _run_demo(directory, history, say)
    finally:
        if before is None:
            del os.environ["MIDBAND_STATE"]
        else:
            os.environ["MIDBAND_STATE"] = before


def _run_demo(directory: Path, history: Path | None, say: Callable[[str], None]) -> Outcome:
    began = time.monotonic()
    _prepare(directory)
    store = history or directory / "history.duckdb"
    plan = directory / "plan.json"
    task = directory / "toy_benchmark.py"
    model = f"{PROVIDER}/{NEW_AGENT}"
    say(f"1. {len(agent_names())} simulated agents run the toy benchmark in full, in real Inspect.")
    _make_history_logs(directory / "logs")
    say("2. Their logs become a history.")
    _show(["import", directory / "logs", "--history", store], say)
    say("3. The history becomes a plan: which tasks still separate agents, when to stop.")
    _show(["plan", BENCHMARK, "--output", plan, "--history", store], say)
    say(f"4. A new agent runs with that plan: {model}.")
    run: list[str | Path] = ["inspect", "eval", task, "--adaptive", plan, "--model", model]
    _show([*run, "--log-dir", directory / "adaptive"], say, live=True)
    say("5. What the stopped run says.")
    _show(["rank", plan, directory / "adaptive"], say)
    say("6. The check, which a real user would not pay for: the same agent in full.")
    _make_logs(directory / "full", [NEW_AGENT])
    rivals = ",".join(f"{PROVIDER}/{name}" for name in RIVALS)
    race: list[str | Path] = ["inspect", "eval", task, "--model", rivals]
    say("7. Three more agents: which of them is best? One Inspect command, without a history.")
    cold: list[str | Path] = [*race, "--race", QUESTION, "--log-dir", directory / "race"]
    _show(cold, say, live=True, only_verdict=True)
    say("8. The same three with the history: the race is planned, and ends sooner.")
    candidates, planned = directory / "race.toml", directory / "race.json"
    candidates.write_text(_race_file(), encoding="utf-8")
    plan_race: list[str | Path] = [
        "plan",
        BENCHMARK,
        "--candidates",
        candidates,
        "--output",
        planned,
    ]
    _show([*plan_race, "--history", store], say)
    informed: list[str | Path] = [*race, "--race", planned, "--log-dir", directory / "race-history"]
    _show(informed, say, live=True, only_verdict=True)
    say("9. A page on the stopped run and one on the race, to read in a browser and to share.")
    for kind, logs, page in REPORTS:
        _show(["report", kind, directory / logs, "--output", directory / page], say)
    return _compare(directory, seconds=time.monotonic() - began)


def _prepare(directory: Path) -> None:
    marker = directory / MARKER
    if directory.exists() and any(directory.iterdir()):
        if not marker.exists():
            msg = (
                f"expected an empty directory or one that a demo made, got {directory}:"
                " choose another with --directory"
            )
            raise StoreError(msg)
        shutil.rmtree(directory)
    directory.mkdir(parents=True, exist_ok=True)
    marker.write_text(_NOTE, encoding="utf-8")
    (directory / "toy_benchmark.py").write_text(_TASK_FILE, encoding="utf-8")


def _make_history_logs(log_dir: Path) -> None:
    """Spread the agents over two processes: one Inspect process uses one core."""
    names = agent_names()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda part: _make_logs(log_dir, names[part::2]), range(2)))


def _make_logs(log_dir: Path, agents: Sequence[str]) -> None:
    command = [sys.executable, "-P", "-m", "midband.inspect.simulated", str(log_dir), *agents]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(_why("the simulated runs", done.stdout + done.stderr))


def _show(
    arguments: Sequence[str | Path],
    say: Callable[[str], None],
    *,
    live: bool = False,
    only_verdict: bool = False,
) -> None:
    """Run one midband command as the user would type it, and show both.

    Parameters
    ----------
    arguments : sequence of str or Path
    say : callable
    live : bool
        On a terminal the command has the screen for itself.
    only_verdict : bool
        Elsewhere, leave out what Inspect says of each model.
    """
    say("   $ midband " + " ".join(str(argument) for argument in arguments))
    if live and sys.stdout.isatty():
        code = subprocess.run(_command(arguments), check=False).returncode
        text = "see above"
    else:
        environment = {**os.environ, "INSPECT_DISPLAY": "plain"}
        done = subprocess.run(
            _command(arguments), capture_output=True, text=True, check=False, env=environment
        )
        code, text = done.returncode, done.stdout + done.stderr
        lines = text.splitlines()
        first = next((n for n, line in enumerate(lines) if line.startswith("midband: race")), 0)
        for line in lines[first if only_verdict and not code else 0 :]:
            say(f"     {line}")
    if code:
        raise DemoError(_why(f"`midband {arguments[0]}`", text))


def _ask(arguments: Sequence[str | Path]) -> str:
    done = subprocess.run(_command(arguments), capture_output=True, text=True, check=False)
    if done.returncode:
        raise DemoError(_why(f"`midband {arguments[0]}`", done.stderr))
    return done.stdout


def _command(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-P", "-m", "midband", *(str(argument) for argument in arguments)]


def _why(step: str, text: str) -> str:
    last = next((line for line in reversed(text.splitlines()) if line.strip()), "no output")
    return f"expected {step} to succeed, got: {last.strip()}"


def _compare(directory: Path, *, seconds: float) -> Outcome:
    from midband.importers.reading import read_records
    from midband_sampler import Plan

    plan = Plan.read(directory / "plan.json")
    verdicts = _ask(["rank", directory / "plan.json", directory / "adaptive", "--json"])
    stopped_run, full_run = (
        list(read_records([directory / name])) for name in ("adaptive", "full")
    )
    scores = {record.task_id: record.score or 0.0 for record in full_run}
    return Outcome(
        adaptive=json.loads(verdicts)[0],
        planned_rank=_rank(plan, plan.tasks, scores),
        full_rank=_rank(plan, plan.all_tasks, scores),
        adaptive_cost_usd=_total_cost(stopped_run),
        full_cost_usd=_total_cost(full_run),
        samples_run=len(stopped_run),
        samples_total=len(full_run),
        races={name: _race_of(directory / name) for name in ("race", "race-history")},
        reports=tuple(str(directory / page) for _, _, page in REPORTS),
        seconds=seconds,
    )


def _race_file() -> str:
    """Return the file that names the candidates of the planned race."""
    lines = [f'question = "{QUESTION}"', 'allocation = "racing"']
    for name in RIVALS:
        lines += ["", "[[candidates]]", f'name = "{PROVIDER}/{name}"']
    return "\n".join(lines) + "\n"


def _race_of(logs: Path) -> dict[str, object]:
    """Return what the logs of a race say came of it."""
    from inspect_ai.log import list_eval_logs, read_eval_log

    from midband.inspect.race_source import race_report

    headers = [read_eval_log(each, header_only=True) for each in list_eval_logs(str(logs))]
    verdict = race_report(headers)["verdict"]
    told = ("best", "settled", "results", "full", "cost_share", "usd")
    return {name: verdict[name] for name in told}


def _rank(plan: "Plan", tasks: "Sequence[str]", scores: "Mapping[str, float]") -> int:
    """Rank by the mean over these tasks; every simulated agent has run them all."""
    columns = [plan.all_tasks.index(task) for task in tasks]
    candidate = math.fsum(scores[task] for task in tasks) / len(tasks)
    return 1 + int((plan.reference_scores[:, columns].mean(axis=1) > candidate + 1e-9).sum())


def _total_cost(records: "Sequence[Record]") -> float:
    """Sum of the costs; NaN if one is unknown."""
    return math.fsum(math.nan if each.cost_usd is None else each.cost_usd for each in records)


@dataclass(frozen=True)
class Attempt:
    """What a simulated agent does on a simulated task.

    Parameters
    ----------
    solved : bool
    tokens : int
    cost_usd : float
    """

    solved: bool
    tokens: int
    cost_usd: float


def agent_names() -> tuple[str, ...]:
    """Return the known agents, weakest first."""
    return tuple(f"agent-{place:02d}" for place in range(1, N_AGENTS + 1))


def ability(agent: str) -> float:
    """Return an agent's ability in logits; agents are evenly spread."""
    if agent == NEW_AGENT:
        return NEW_ABILITY
    if agent in RIVALS:
        return RIVALS[agent]
    place = int(agent.rpartition("-")[2])
    return -_SPREAD + 2 * _SPREAD * (place - 1) / (N_AGENTS - 1)


def difficulty(task: int) -> float:
    """Return a task's difficulty in logits: near-normal, fixed for ever."""
    return 1.6 * sum(_uniform(f"difficulty {task} {part}") - 0.5 for part in range(12))


def attempt(agent: str, task: int) -> Attempt:
    """Return what the agent does: the same every time it is asked."""
    chance = 1 / (1 + math.exp(difficulty(task) - ability(agent)))
    size = 0.5 + _uniform(f"size {agent} {task}")
    return Attempt(
        solved=_uniform(f"attempt {agent} {task}") < chance,
        tokens=round(4000 * size),
        cost_usd=round(COST_USD * size, 6),
    )


def answer(task: int) -> int:
    """Return the right answer of a task."""
    return int(_uniform(f"answer {task}") * 9000) + 1000


def _uniform(text: str) -> float:
    """Return a number in [0, 1) that depends on nothing but the text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big") / 2**56
