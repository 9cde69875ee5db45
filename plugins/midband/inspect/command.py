"""Inspect by its command line: the flags ``--adaptive`` and ``--race``."""

import json
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from midband.text import one_line
from midband_history import InputError, MidbandError

COMMANDS = ("eval", "eval-set")
# Names the file to which a running eval writes where its logs are.
LOGS = "MIDBAND_LOGS"
# Lists the tasks of a suite that run by the names `SUITE_TASK` with a number.
SUITE_TASKS, SUITE_TASK = "MIDBAND_SUITE_TASKS", "midband/suite-"
MAX_SAMPLES = 4
_TOTALS = {f"--total-{unit}": f"total_{unit}" for unit in ("usd", "seconds", "tokens")}
# Options of ours that take a value, by the task argument that they become.
_VALUES = {
    "--adaptive": {
        "--metric": "plan_metric",
        "--max-errors": "plan_max_errors",
        **{option: f"plan_{name}" for option, name in _TOTALS.items()},
    },
    "--race": {
        "--metric": "race_metric",
        "--budget": "race_budget",
        "--allocation": "race_allocation",
        **{option: f"race_{name}" for option, name in _TOTALS.items()},
    },
}
_RACE = ("race", "race_id", "race_digest", "race_models", *_VALUES["--race"].values())
_OURS = ("task", "plan", "allow_changed", "plan_digest", *_VALUES["--adaptive"].values(), *_RACE)
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
    from midband.inspect.race_command import needs_verdict, run_for_verdict
    from midband.inspect.race_retry import are_of_one_race

    try:
        arguments = inspect_argv(argv)
        for warning in warnings_for(argv):
            print(f"midband: {one_line(warning)}", file=sys.stderr)
    except MidbandError as error:
        print(f"midband: {one_line(str(error))}", file=sys.stderr)
        return 2
    together = are_of_one_race(arguments)
    os.environ.pop(SUITE_TASKS, None)
    if tasks := suite_tasks(argv):
        os.environ[SUITE_TASKS] = json.dumps(tasks)
    program = ["-P", "-m", "midband.inspect.race_retry"] if together else inspect_program()
    command = [sys.executable, *program, *arguments]
    environment = os.environ if logs is None else {**os.environ, LOGS: str(logs)}
    if needs_verdict(arguments):
        return run_for_verdict(command, environment)
    if logs is not None:
        return subprocess.call(command, env=environment)
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

    Without ``--adaptive`` and ``--race`` everything passes through. With one of them, ``eval`` and
    ``eval-set`` run the registered task ``midband/adaptive`` or ``midband/race`` in place of TASK,
    four samples at a time unless a width is given: more at once means more that run after the
    verdict is in.

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
    variables = os.environ if environment is None else environment
    tasks = [_absolute(task) for task in found.task_words()]
    width: list[str] = []
    if found.flag == "--race":
        from midband.inspect.race_command import race_arguments

        named = found.value("--model") or variables.get("INSPECT_EVAL_MODEL") or ""
        ours, models = race_arguments(
            found.plan, named, found.values, again=found.command == "eval-set"
        )
        width = [] if named else ["--model", ",".join(models)]
    else:
        plan = Path(found.plan).absolute()
        ours = {"plan": str(plan), "plan_digest": _digest(plan)}
    one = {"task": tasks[0]} if len(tasks) == 1 else {}
    ours = {**one, **ours, **found.ours()}
    settings = [f"{name}={_yaml(value)}" for name, value in ours.items()]
    if found.allow_changed:
        settings.append("allow_changed=true")
    if found.value("--max-samples") is None and not variables.get("INSPECT_EVAL_MAX_SAMPLES"):
        width += ["--max-samples", str(MAX_SAMPLES)]
    pairs = [word for setting in settings for word in ("-T", setting)]
    runs = ["midband/race" if found.flag == "--race" else "midband/adaptive"]
    if not one:
        runs = [f"{SUITE_TASK}{place}" for place in range(1, len(tasks) + 1)]
    return [found.command, *runs, *pairs, *width, *found.rest]


def suite_tasks(argv: Sequence[str]) -> list[str]:
    """Return the tasks that run by a suite where there are several; `_registry` registers them."""
    found = _Arguments.of(argv)
    tasks = found.task_words() if found.plan is not None else []
    return [_absolute(task) for task in tasks] if len(tasks) > 1 else []


def _digest(plan: Path) -> str:
    from midband.choices import read_plan
    from midband.suite import Suite, is_suite

    return Suite.read(plan).digest if is_suite(plan) else read_plan(plan).digest


def parsed(argv: Sequence[str]) -> "_Arguments":
    """Return the words of one command line of ``midband inspect``, sorted by what they are."""
    return _Arguments.of(argv)


def warnings_for(argv: Sequence[str], *, environment: Mapping[str, str] | None = None) -> list[str]:
    """Return what a user should know before such a run starts."""
    found = _Arguments.of(argv)
    variables = os.environ if environment is None else environment
    off = variables.get("INSPECT_EVAL_NO_LOG_SAMPLES", "").lower() in ("1", "true", "yes")
    at_once = found.value("--max-tasks") or variables.get("INSPECT_EVAL_MAX_TASKS") or ""
    models = (found.value("--model") or "").count(",") + 1
    if found.flag == "--race" and at_once.isdecimal() and int(at_once) < models:
        return [
            f"with --max-tasks {at_once} the {models} models do not run at the same time, and those"
            " that come first run further than they would have to; leave it out"
        ]
    if found.flag == "--race":
        return []
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
    flag: str = ""
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
        flags = [flag for flag in _VALUES if _is_given(flag, words)]
        if not flags:
            found.allow_changed = "--allow-changed" in words
            found.rest = words
            return found
        if len(flags) > 1:
            msg = f"expected one of {' and '.join(flags)}, got both: a race chooses its own samples"
            raise InputError(msg)
        (found.flag,) = flags
        if found.command not in COMMANDS:
            msg = (
                f"expected {found.flag} with {' or '.join(COMMANDS)}, got {found.command!r}: a"
                " retry needs no flag, its log names the plan"
            )
            raise InputError(msg)
        values = _VALUES[found.flag]
        parts = _sort(words[1:], _value_options(found.command, found.flag).get)
        for kind, name, value, raw in parts:
            if kind == "task":
                found.tasks.append(name)
            elif name == found.flag:
                found._set_plan(value)
            elif name == "--allow-changed":
                found.allow_changed = True
            elif name in values:
                found._set_value(name, value)
            else:
                found.options.append((name, value))
                found.rest.extend(raw)
        return found

    def _set_plan(self, value: str | None) -> None:
        if not value:
            msg = f"expected {self.flag} PLAN, got no plan: name the file that `midband plan` wrote"
            raise InputError(msg)
        if self.plan is not None and self.plan != value:
            msg = f"expected one plan, got {self.plan} and {value}: run one benchmark at a time"
            raise InputError(msg)
        self.plan = value

    def _set_value(self, name: str, value: str | None) -> None:
        if not value:
            msg = f"expected a value after {name}, got none"
            raise InputError(msg)
        self.values[_VALUES[self.flag][name]] = value

    def ours(self) -> dict[str, str]:
        """Return the arguments of our task that are given, checked."""
        from midband.inspect.limits import read_limits
        from midband_sampler import parse_max_errors

        if most := self.values.get("plan_max_errors"):
            parse_max_errors(most)
        for kind in ("plan", "race"):
            read_limits({name: self.values.get(f"{kind}_{name}") for name in _TOTALS.values()})
        return self.values

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.options}

    def value(self, name: str) -> str | None:
        return next((value for option, value in self.options if option == name), None)

    def one_task(self) -> str:
        """Return the task, after a check that nothing stands in the way of the flag."""
        return self.task_words()[0]

    def task_words(self) -> list[str]:
        """Return the tasks, of which only a suite takes several; checked as in `one_task`."""
        from midband.suite import is_suite

        several = self.flag == "--adaptive" and is_suite(self.plan or "")
        if not self.tasks or (len(self.tasks) > 1 and not several):
            got = ", ".join(self.tasks) or "none"
            msg = f"expected one TASK beside {self.flag}, got {got}: a plan is for one benchmark"
            if self.flag == "--adaptive" and self.tasks:
                msg += " (`midband plan --all` makes a suite of several)"
            raise InputError(msg)
        if "--run-config" in self.names:
            msg = f"expected {self.flag} or --run-config, got both: give the settings as options"
            raise InputError(msg)
        for name, value in self.options:
            key = (value or "").partition("=")[0].replace("-", "_")
            if name == "-T" and key in _OURS:
                msg = f"expected no -T {key} beside {self.flag}, got {value!r}: midband sets it"
                raise InputError(msg)
        return self.tasks


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


def _is_given(flag: str, words: Sequence[str]) -> bool:
    return any(word == flag or word.startswith(f"{flag}=") for word in words)


def _value_options(command: str, flag: str) -> dict[str, bool]:
    """Return which options of an Inspect command take a value, read off the installed Inspect."""
    try:
        from inspect_ai._cli import eval as cli
    except ImportError as error:
        msg = f"expected inspect-ai to be installed, got {error}: pip install 'midband[inspect]'"
        raise InputError(msg) from error
    found = dict.fromkeys((flag, *_VALUES[flag]), True)
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
