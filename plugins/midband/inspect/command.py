"""Inspect by its command line: the flag ``--adaptive``, and a subset as a run-config file."""

import glob
import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from midband.descriptors import Capabilities, Command, Probe, Round, subset_of
from midband.text import one_line
from midband_history import InputError, MidbandError

if TYPE_CHECKING:
    from midband._ranking import LiveOrder
    from midband.descriptors import ReadOptions
    from midband.rounds.run_settings import LiveSettings
    from midband_history import Record
    from midband_sampler import Plan

COMMANDS = ("eval", "eval-set")
# Names the file to which a running eval writes where its logs are.
LOGS = "MIDBAND_LOGS"
MAX_SAMPLES = 4
_OURS = ("task", "plan", "allow_changed", "plan_digest", "plan_metric", "plan_max_errors")
# Options of ours that take a value, by the task argument that they become.
_VALUES = {"--metric": "plan_metric", "--max-errors": "plan_max_errors"}
_PLAIN = re.compile(r"[A-Za-z_./\\][A-Za-z0-9_./\\@+-]*")


def main(argv: Sequence[str], *, logs: Path | None = None) -> int:
    """Run Inspect with the flag translated; on POSIX this process becomes Inspect's.

    Parameters
    ----------
    argv : sequence of str
        What stands after ``midband inspect``.
    logs : Path, optional
        A file to which the eval writes where its logs are, a line each; this process then waits for
        its end.

    Returns
    -------
    int
        Inspect's exit code, or 2 after one line on stderr if the arguments cannot be used.
    """
    try:
        arguments = inspect_argv(argv)
        for warning in warnings_for(argv):
            print(f"midband: {one_line(warning)}", file=sys.stderr)
    except MidbandError as error:
        print(f"midband: {one_line(str(error))}", file=sys.stderr)
        return 2
    command = [sys.executable, *inspect_program(), *arguments]
    if logs is not None:
        return subprocess.call(command, env={**os.environ, LOGS: str(logs)})
    if os.name == "posix":
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(sys.executable, command)
    return subprocess.call(command)


def inspect_program() -> list[str]:
    """Return how Python runs Inspect, with the import path of its own ``inspect`` command.

    ``-m`` would put the current directory first on it, and midband itself may have been started
    with a path that is not the user's.
    """
    script = Path(sysconfig.get_path("scripts"), "inspect")
    return [str(script)] if script.is_file() else ["-P", "-m", "inspect_ai"]


def inspect_argv(argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> list[str]:
    """Translate the arguments of ``midband inspect`` into those of ``inspect``.

    Without ``--adaptive`` everything passes through. With it, ``eval`` and ``eval-set`` run the
    registered task ``midband/adaptive`` in place of TASK, four samples at a time unless a width
    is given: more at once means more that run after the verdict is in.

    Parameters
    ----------
    argv : sequence of str
    environment : mapping, optional
        Where ``INSPECT_EVAL_MAX_SAMPLES`` is looked up; the process's by default.

    Raises
    ------
    InputError
        The flag is used where it cannot work.
    PlanError
        The plan cannot be read.
    """
    found = _Arguments.of(argv)
    if found.plan is None:
        if found.allow_changed:
            msg = "expected --adaptive PLAN beside --allow-changed, got none: name the plan"
            raise InputError(msg)
        return list(argv)
    from midband.choices import read_plan

    plan = Path(found.plan).absolute()
    task = _absolute(found.one_task())
    digest = read_plan(plan).digest
    ours = {"task": task, "plan": str(plan), "plan_digest": digest}
    settings = [f"{name}={_yaml(value)}" for name, value in ours.items()]
    settings += [f"{name}={_yaml(value)}" for name, value in found.ours().items()]
    if found.allow_changed:
        settings.append("allow_changed=true")
    variables = os.environ if environment is None else environment
    width = []
    if found.value("--max-samples") is None and not variables.get("INSPECT_EVAL_MAX_SAMPLES"):
        width = ["--max-samples", str(MAX_SAMPLES)]
    pairs = [word for setting in settings for word in ("-T", setting)]
    return [found.command, "midband/adaptive", *pairs, *width, *found.rest]


def parsed(argv: Sequence[str]) -> "_Arguments":
    """Return the words of one command line of ``midband inspect``, sorted by what they are."""
    return _Arguments.of(argv)


def warnings_for(argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> list[str]:
    """Return what a user should know before such a run starts."""
    found = _Arguments.of(argv)
    variables = os.environ if environment is None else environment
    off = variables.get("INSPECT_EVAL_NO_LOG_SAMPLES", "").lower() in ("1", "true", "yes")
    if found.plan is None or not (off or "--no-log-samples" in found.names):
        return []
    return [
        "with --no-log-samples Inspect never asks whether to skip a sample: nothing is stopped"
        " early, unless the plan chooses live, and the log holds nothing to rank; leave it out"
    ]


@dataclass
class _Arguments:
    """The words of one command line, sorted by what they are."""

    command: str = ""
    plan: str | None = None
    allow_changed: bool = False
    values: dict[str, str] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    options: list[tuple[str, str | None]] = field(default_factory=list)

    @classmethod
    def of(cls, argv: Sequence[str]) -> "_Arguments":
        found = cls(command=argv[0] if argv else "")
        words = list(argv)
        adaptive = any(word == "--adaptive" or word.startswith("--adaptive=") for word in words)
        if not adaptive:
            found.allow_changed = "--allow-changed" in words
            found.rest = words
            return found
        if found.command not in COMMANDS:
            msg = (
                f"expected --adaptive with {' or '.join(COMMANDS)}, got {found.command!r}: a retry"
                " needs no flag, its log names the plan"
            )
            raise InputError(msg)
        parts = _sort(words[1:], _value_options(found.command).get)
        for kind, name, value, raw in parts:
            if kind == "task":
                found.tasks.append(name)
            elif name == "--adaptive":
                found._set_plan(value)
            elif name == "--allow-changed":
                found.allow_changed = True
            elif name in _VALUES:
                found._set_value(name, value)
            else:
                found.options.append((name, value))
                found.rest.extend(raw)
        return found

    def _set_plan(self, value: str | None) -> None:
        if not value:
            msg = "expected --adaptive PLAN, got no plan: name the file that `midband plan` wrote"
            raise InputError(msg)
        if self.plan is not None and self.plan != value:
            msg = f"expected one plan, got {self.plan} and {value}: run one benchmark at a time"
            raise InputError(msg)
        self.plan = value

    def _set_value(self, name: str, value: str | None) -> None:
        if not value:
            msg = f"expected a value after {name}, got none"
            raise InputError(msg)
        self.values[_VALUES[name]] = value

    def ours(self) -> dict[str, str]:
        """Return the arguments of our task that are given, checked."""
        from midband_sampler import parse_max_errors

        if most := self.values.get("plan_max_errors"):
            parse_max_errors(most)
        return self.values

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.options}

    def value(self, name: str) -> str | None:
        return next((value for option, value in self.options if option == name), None)

    def one_task(self) -> str:
        """Return the task, after a check that nothing stands in the way of the flag."""
        if len(self.tasks) != 1:
            got = ", ".join(self.tasks) or "none"
            msg = f"expected one TASK beside --adaptive, got {got}: a plan is for one benchmark"
            raise InputError(msg)
        if "--run-config" in self.names:
            msg = "expected --adaptive or --run-config, got both: give the settings as options"
            raise InputError(msg)
        for name, value in self.options:
            key = (value or "").partition("=")[0].replace("-", "_")
            if name == "-T" and key in _OURS:
                msg = f"expected no -T {key} beside --adaptive, got {value!r}: midband sets it"
                raise InputError(msg)
        return self.tasks[0]


def _sort(
    words: Sequence[str], takes_value: Callable[[str], bool | None]
) -> Iterator[tuple[str, str, str | None, list[str]]]:
    """Yield (kind, name, value, words) of each task and option.

    Parameters
    ----------
    words : sequence of str
    takes_value : callable
        Whether an option's value is needed (True) or may be left out (False); None for a flag.
    """
    place = 0
    while place < len(words):
        word = words[place]
        place += 1
        if word == "--":
            for task in words[place:]:
                yield "task", task, None, [task]
            return
        if not word.startswith("-") or word == "-":
            yield "task", word, None, [word]
            continue
        name, equals, value = word.partition("=")
        if not word.startswith("--") and len(word) > 2:
            name, equals, value = word[:2], "=", word[2:].removeprefix("=")
        if equals:
            yield "option", name, value, [word]
            continue
        needed = takes_value(name)
        follows = place < len(words) and (needed is True or not words[place].startswith("-"))
        if needed is None or not follows:
            yield "option", name, None, [word]
            continue
        yield "option", name, words[place], [word, words[place]]
        place += 1


def _value_options(command: str) -> dict[str, bool]:
    """Return which options of an Inspect command take a value, read off the installed Inspect."""
    try:
        from inspect_ai._cli import eval as cli
    except ImportError as error:
        msg = f"expected inspect-ai to be installed, got {error}: pip install 'midband[inspect]'"
        raise InputError(msg) from error
    found = dict.fromkeys(("--adaptive", *_VALUES), True)
    chosen = cli.eval_set_command if command == "eval-set" else cli.eval_command
    for parameter in chosen.params:
        if parameter.param_type_name != "option" or getattr(parameter, "is_flag", False):
            continue
        optional = bool(getattr(parameter, "_flag_needs_value", False))
        for name in parameter.opts:
            found[name] = not optional
    return found


def _absolute(task: str) -> str:
    """Return a file's task with its path made absolute, a registered name as it is."""
    path, at, name = task.partition("@")
    if not (path.endswith(".py") or Path(path).exists()):
        return task
    if not Path(path).exists():
        msg = f"expected a task file, got {path}, which does not exist: check the path"
        raise InputError(msg)
    return f"{Path(path).absolute()}{at}{name}"


def _yaml(value: str) -> str:
    """Quote what YAML would read as something else than text: Inspect reads -T values as YAML."""
    return value if _PLAIN.fullmatch(value) and not _is_word(value) else json.dumps(value)


def _is_word(value: str) -> bool:
    return value.lower() in (
        "true",
        "false",
        "yes",
        "no",
        "on",
        "off",
        "null",
        "y",
        "n",
        ".nan",
        ".inf",
    )


_FILE = "subset.yaml"
# What a run-config file or midband decides; beside it these would widen or undo the subset.
_REFUSED = ("--run-config", "--sample-id", "--limit", "--sample-shuffle")


class InspectHarness:
    """Inspect AI by its run-config file; its adaptive runs go by ``midband inspect``."""

    name = "inspect"
    summary = (
        "Inspect AI: a --run-config file; adaptive with"
        " `midband inspect eval TASK --adaptive PLAN` or `midband run inspect`."
    )
    tested_versions = ("0.3.200", "0.3.250", "0.3.285")
    capabilities = Capabilities(subset=True, live=True, attempts=True, costs=True)

    def probe(self) -> Probe:
        """Look for the package, without importing it."""
        try:
            return Probe(version=version("inspect-ai"))
        except PackageNotFoundError:
            return Probe(problem="expected Inspect AI, found none: pip install 'midband[inspect]'")

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: "ReadOptions | None" = None
    ) -> "Iterator[Record]":
        """Return the samples of a log, or of the logs in a directory."""
        from midband.adapters.base import read_below
        from midband.inspect.logs import read, sniff

        return read_below(
            path, sniff, read, benchmark=benchmark, what="Inspect logs", options=options
        )

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write ``subset.yaml``."""
        from midband.inspect.command import export_run_config

        chosen = subset_of(plan, tasks)
        directory.mkdir(parents=True, exist_ok=True)
        export_run_config(plan, directory / _FILE, tasks=chosen)
        return (directory / _FILE,)

    def build_command(self, batch: Round) -> Command:
        """Return ``inspect eval``; without arguments, TASK and MODEL stand for what is missing."""
        subset_of(batch.plan, batch.tasks)
        for word in batch.arguments:
            if word.partition("=")[0] in _REFUSED:
                msg = f"expected no {word} beside a subset, got it: midband names the samples"
                raise InputError(msg)
        logs = batch.directory / "logs"
        arguments = batch.arguments or ("TASK", "--model", "MODEL")
        given = {word.partition("=")[0] for word in arguments}
        epochs = ("--epochs", str(batch.attempts)) if batch.attempts > 1 else ()
        place = () if "--log-dir" in given else ("--log-dir", str(logs))
        config = ("--run-config", str(batch.directory / _FILE))
        return Command(
            steps=(("inspect", "eval", *arguments, *config, *epochs, *place),), results=logs
        )

    def live_status(self, logs: Path) -> str:
        """Return ``finished`` or the status of the newest log; empty without any."""
        from midband.inspect.whole_run import live_status

        return live_status(logs)

    def build_live_command(self, batch: Round, settings: "LiveSettings") -> Command:
        """Return ``midband inspect eval``, or ``inspect eval-retry`` of an unfinished log."""
        from midband.inspect.whole_run import build_live_command

        return build_live_command(batch, settings)

    def live_orders(self, plan: "Plan", logs: Path) -> "Mapping[str, LiveOrder]":
        """Return the orders that the logs state, by run id."""
        from midband.inspect.logs import live_orders

        return live_orders(plan, [logs]) if logs.is_dir() else {}

    def read_live_order(self, path: Path, plan: "Plan") -> tuple[str, ...]:
        """Return the choices that a run wrote down as it made them."""
        from midband.inspect.whole_run import kept_order

        return kept_order(plan, path)


def run_config_text(plan: "Plan", *, tasks: Sequence[str] | None = None) -> str:
    """Return YAML for ``inspect eval TASK --run-config FILE``.

    Such a run has the plan's tasks, or those given, in the dataset's order and does not stop
    early; `midband rank` gives its verdict from the log. Inspect reads sample ids as patterns:
    theirs are escaped.
    """
    chosen = subset_of(plan, tasks)
    lines = [
        f"# The {len(chosen)} of {len(plan.all_tasks)} tasks of {_one_line(plan.benchmark)}"
        f" that midband plan {plan.digest} chose.",
        "# Run:   inspect eval TASK --model MODEL --run-config THIS_FILE",
        "# Judge: midband rank PLAN LOGS",
        "eval_config:",
        "  sample_id:",
        *(f"    - {json.dumps(glob.escape(task), ensure_ascii=False)}" for task in chosen),
        "metadata:",
        f"  midband_plan: {json.dumps(plan.digest)}",
        f"  midband_benchmark: {json.dumps(plan.benchmark, ensure_ascii=False)}",
    ]
    return "\n".join(lines) + "\n"


def export_run_config(
    plan: "Plan", path: Path | str, *, tasks: Sequence[str] | None = None
) -> None:
    """Write `run_config_text`; a half-written file is never left behind."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.write_text(run_config_text(plan, tasks=tasks), encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        msg = f"expected a writable place for the run config, got {target}: {error.strerror}"
        raise InputError(msg) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())
