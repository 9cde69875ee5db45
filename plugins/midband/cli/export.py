"""``midband export``: a plan as a harness's own subset, and the command that runs it."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import click

from midband.cli.options import FILE, history_option, json_option
from midband.cli.output import echo, echo_document, print_json, warn
from midband_history import InputError

if TYPE_CHECKING:
    from midband._harness import Command, Harness
    from midband_sampler import Plan


@click.command(
    epilog="Example: midband export plan.json --for inspect --output subset.yaml -- gsm8k.py"
    " --model openai/gpt-5",
)
@click.argument("plan_path", metavar="PLAN", type=FILE)
@click.argument("arguments", metavar="[-- ARGUMENTS]", nargs=-1, type=click.UNPROCESSED)
@click.option("--for", "harness", required=True, help="The harness, as `midband plugins` names it.")
@click.option(
    "--output",
    "-o",
    type=click.Path(allow_dash=True, path_type=Path),
    help="The file or directory to write; standard output by default.",
)
@click.option(
    "--attempts",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="How often the command runs each task.",
)
@click.option("--benchmark", metavar="NAME", help="The benchmark, if the harness has another name.")
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
    """Write the tasks of PLAN as the files with which a harness runs only those.

    The command that uses them is printed to copy, with the harness's own ARGUMENTS in it. For
    machines where midband is not installed. Such a run cannot stop early: rank its results
    afterwards with `midband rank`.
    """
    from midband._manager import choose, get_plugin_manager
    from midband._plans import read_plan
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
        echo(f"wrote {file}; run it with:", err=True)
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
        from midband._harness import Round

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
    from dataclasses import replace

    def _new(text: str) -> str:
        for old in sorted(names, key=len, reverse=True):
            text = text.replace(old, names[old])
        return text

    steps = tuple(tuple(_new(word) for word in step) for step in command.steps)
    variables = {name: _new(value) for name, value in command.environment.items()}
    return _shell(replace(command, steps=steps, environment=variables))
