"""``midband export``: a plan as a harness's own subset; and results as files of a format."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from midband.cli.options import FILE, examples, history_option, json_option, pairs
from midband.cli.output import (
    echo,
    echo_document,
    open_history,
    print_facts,
    print_json,
    say,
    warn,
)
from midband_history import InputError

if TYPE_CHECKING:
    from midband.descriptors import Command, Harness
    from midband_sampler import Plan


@click.command(
    epilog=examples(
        "midband export plan.json --for inspect --output subset.yaml"
        " -- gsm8k.py --model openai/gpt-5"
    ),
)
@click.argument("plan_path", metavar="PLAN", type=FILE)
@click.argument("arguments", metavar="[-- ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--for",
    "harness",
    required=True,
    help="The harness that will run the tasks, as `midband plugins --all` names it.",
)
@click.option(
    "--output",
    "-o",
    type=click.Path(allow_dash=True, path_type=Path),
    help="The file or directory to write. By default the subset is printed.",
)
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="How many times the command runs each task.",
)
@click.option(
    "--benchmark",
    metavar="NAME",
    help="What the harness calls the benchmark, if the plan calls it otherwise.",
)
@history_option
@json_option
def export(
    plan_path: Path,
    arguments: tuple[str, ...],
    harness: str,
    output: Path | None,
    attempts: int,
    benchmark: str | None,
    history_path: Path | None,
    as_json: bool,
) -> int:
    """Write the tasks of PLAN as files with which a harness runs only those tasks.

    This is for machines where midband is not installed. The command that uses the files is printed
    for you to copy, with ARGUMENTS in it. Such a run cannot stop early. Judge its results
    afterwards with `midband rank`.
    """
    from midband._manager import choose, get_plugin_manager
    from midband.choices import read_plan
    from midband.rounds import check_attempts, fixed_order, named

    able = {
        name: item
        for name, item in get_plugin_manager().harnesses().items()
        if item.capabilities.subset
    }
    chosen = choose(able, harness, kind="--for")
    check_attempts(chosen, attempts)
    plan = read_plan(plan_path)
    if plan.chooses_live:
        warn(
            f"the strategy {plan.strategy} chooses each task from the results so far, which a"
            " subset cannot: these are its tasks in the plan's fixed order, and what live choice"
            " saves is lost"
        )
    subset = _Subset(chosen, named(plan, benchmark), fixed_order(plan), attempts, arguments)
    to_screen = output is None or str(output) == "-"
    written = subset.as_text() if to_screen or output is None else subset.write(output)
    if as_json:
        print_json(written)
        return 0
    if written.text:
        echo_document(written.text)
    for file in written.files:
        say(f"wrote {file}; run it with:")
    for line in written.commands:
        echo(line, err=bool(written.text))
    return 0


@dataclass(frozen=True, kw_only=True)
class _Written:
    """What was written, and how to run it; `text` where it is to be printed."""

    harness: str
    tasks: int
    files: tuple[Path, ...] = ()
    text: str = ""
    commands: tuple[str, ...]


@dataclass(frozen=True)
class _Subset:
    """The tasks of one plan for one harness."""

    harness: "Harness"
    plan: "Plan"
    tasks: tuple[str, ...]
    attempts: int
    arguments: tuple[str, ...]

    def as_text(self) -> _Written:
        """Return the text of the only file; none where the command alone names the tasks."""
        with TemporaryDirectory() as folder:
            files, command = self._into(Path(folder))
            text = _only(files, self.harness.name).read_text(encoding="utf-8") if files else ""
            here = {str(file): file.name for file in files} | {folder: "."}
        return self._written(_renamed(command, here), text=text)

    def write(self, target: Path) -> _Written:
        """Write into a directory, or the only file under another name."""
        try:
            if target.is_dir() or not target.suffix:
                files, command = self._into(target)
                return self._written(_shell(command), files=files)
            with TemporaryDirectory(dir=target.parent, prefix=".midband-") as folder:
                files, command = self._into(Path(folder))
                only = _only(files, self.harness.name)
                only.replace(target)
        except OSError as error:
            msg = f"expected a writable place for the subset, got {target}: {error.strerror}"
            raise InputError(msg) from error
        names = {str(only): str(target), str(Path(folder)): str(target.parent)}
        return self._written(_renamed(command, names), files=(target,))

    def _into(self, folder: Path) -> "tuple[tuple[Path, ...], Command]":
        from midband.descriptors import Round

        files = self.harness.write_subset(self.plan, folder, tasks=self.tasks)
        batch = Round(
            plan=self.plan,
            tasks=self.tasks,
            directory=folder,
            name=f"midband-{self.plan.digest}",
            attempts=self.attempts,
            arguments=self.arguments,
        )
        return files, self.harness.build_command(batch)

    def _written(
        self, commands: Sequence[str], *, text: str = "", files: tuple[Path, ...] = ()
    ) -> _Written:
        return _Written(
            harness=self.harness.name,
            tasks=len(self.tasks),
            files=files,
            text=text,
            commands=tuple(commands),
        )


def _only(files: Sequence[Path], harness: str) -> Path:
    """Return the only file."""
    if len(files) != 1:
        msg = (
            f"expected one subset file of {harness}, got {len(files)}: name a directory with"
            " --output"
        )
        raise InputError(msg)
    return files[0]


def _shell(command: "Command") -> list[str]:
    """Return a line a step, quoted for a shell."""
    variables = [f"{name}={value}" for name, value in sorted(command.environment.items())]
    start = ["env", *variables] if variables else []
    return [shlex.join([*start, *step]) for step in command.steps]


def _renamed(command: "Command", names: dict[str, str]) -> list[str]:
    """Return the lines with paths replaced, the longest first."""

    def _new(text: str) -> str:
        for old in sorted(names, key=len, reverse=True):
            text = text.replace(old, names[old])
        return text

    steps = tuple(tuple(_new(word) for word in step) for step in command.steps)
    variables = {name: _new(value) for name, value in command.environment.items()}
    return _shell(replace(command, steps=steps, environment=variables))


def export_history(
    benchmark: str | None,
    history_path: Path | None,
    *,
    as_json: bool,
    output: Path | None,
    organization: str | None,
    relationship: Any,
    developers: tuple[str, ...],
) -> int:
    """Write results of the history in the format of Every Eval Ever; see `midband history`."""
    from midband.adapters.every_eval_ever.export import UNKNOWN, Publisher, export

    if output is None:
        msg = "expected --output DIR with --export, got none"
        raise click.UsageError(msg)
    publisher = Publisher(
        organization=organization or UNKNOWN,
        relationship=relationship or "other",
        developers=pairs(developers, "--developer GLOB=NAME"),
    )
    facts = {"runs": 0, "samples": 0, "without_score": 0, "runs_left_out": 0}
    nameless: set[str] = set()
    with open_history(history_path) as store:
        for done in export(
            store.records(benchmark), output, created=datetime.now(UTC), publisher=publisher
        ):
            facts["runs"] += done.aggregate is not None
            facts["runs_left_out"] += done.aggregate is None
            facts["samples"] += done.rows
            facts["without_score"] += done.not_scored
            if done.aggregate is not None and not done.developer:
                nameless.add(done.model)
    if facts["runs_left_out"]:
        warn(f"left out {facts['runs_left_out']} runs without a single score")
    if nameless:
        few = ", ".join(sorted(nameless)[:3]) + (", ..." if len(nameless) > 3 else "")
        warn(f"the developer of {few} is unknown: name it with --developer 'GLOB=NAME'")
    if as_json:
        print_json({"output": output, **facts})
    else:
        print_facts({"output": str(output), **facts})
    return 0 if facts["runs"] else 1
