"""The root command: which commands there are, and how an error leaves the program."""

import os
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import entry_points
from typing import NamedTuple

import click

from midband import __version__

EXIT_FAILED = 1
EXIT_USAGE = 2


class Lazy(NamedTuple):
    """Where a command stands, what it is for, and its line in ``midband --help``."""

    target: str
    summary: str
    purpose: str = "More"


LOOK, PLAN, RUN, PROVE = "Import and look", "Plan", "Run", "Judge, prove and share"
COMMANDS = {
    "import": Lazy(
        "midband.cli.import_:import_", "Read the results of past runs into the history.", LOOK
    ),
    "history": Lazy(
        "midband.cli.history:history", "Show, check, share and repair the history.", LOOK
    ),
    "rates": Lazy(
        "midband.cli.history:rates", "Show how often each task of a benchmark is passed.", LOOK
    ),
    "plan": Lazy("midband.cli.plan:plan", "Choose the tasks to run, and when to stop.", PLAN),
    "export": Lazy(
        "midband.cli.export:export", "Write a plan as a subset that a harness understands.", PLAN
    ),
    "inspect": Lazy(
        "midband.cli.run:inspect", "Run Inspect AI, and stop once the verdict is settled.", RUN
    ),
    "run": Lazy(
        "midband.cli.run:run", "Run another harness in rounds until the verdict is settled.", RUN
    ),
    "race": Lazy(
        "midband.cli.race:race", "Find the best of several candidates with few tasks.", RUN
    ),
    "rank": Lazy(
        "midband.cli.rank:rank", "Judge finished results by a plan or against a baseline.", PROVE
    ),
    "study": Lazy(
        "midband.cli.study:study", "Measure on your history what a policy saves and risks.", PROVE
    ),
    "report": Lazy(
        "midband.cli.report:report", "Write a page on a run, to read and to share.", PROVE
    ),
    "view": Lazy(
        "midband.cli.view:view", "Follow runs, races and the history on a local page.", PROVE
    ),
    "plugins": Lazy("midband.cli.about:plugins", "Show the plugins and what they add."),
    "demo": Lazy("midband.cli.about:demo", "Watch a simulated run stop early, without any keys."),
}


class LazyGroup(click.Group):
    """A group whose commands are imported on use; plugins may add theirs."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**settings)  # type: ignore[arg-type]
        self._asked_plugins = False

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return our commands in the order of use, then those of plugins."""
        self._ask_plugins()
        return [*COMMANDS, *sorted(set(self.commands) - set(COMMANDS))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command of that name."""
        if cmd_name in COMMANDS:
            module, _, attribute = COMMANDS[cmd_name].target.partition(":")
            command: click.Command = getattr(import_module(module), attribute)
            return command
        self._ask_plugins()
        return self.commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or name the nearest one if there is none of that name."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            near = get_close_matches(args[0], self.list_commands(ctx), n=1)
            if not near or "Did you mean" in error.format_message():
                raise
            msg = f"{error.message} Did you mean {near[0]!r}?"
            raise click.UsageError(msg, ctx) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands by what they are for, without importing ours."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for name, each in COMMANDS.items():
            sections.setdefault(each.purpose, []).append((name, each.summary))
        for name in self.list_commands(ctx)[len(COMMANDS) :]:
            text = self.commands[name].get_short_help_str(limit=80)
            sections.setdefault("Commands of plugins", []).append((name, text))
        widest = max(len(name) for rows in sections.values() for name, _ in rows)
        for purpose, rows in sections.items():
            with formatter.section(purpose):
                formatter.write_dl([(name.ljust(widest), text) for name, text in rows])

    def _ask_plugins(self) -> None:
        if self._asked_plugins:
            return
        self._asked_plugins = True
        # Loading plugins costs more than the rest of --help: only where there is a foreign one.
        if all(entry.value.startswith("midband.") for entry in entry_points(group="midband")):
            return
        from midband._manager import get_plugin_manager

        get_plugin_manager().add_commands(self, ours=COMMANDS)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  midband import logs/
  midband plan gsm8k --output plan.json
  midband inspect eval gsm8k.py --adaptive plan.json --model openai/gpt-5
""",
)
@click.version_option(__version__, prog_name="midband")
def cli() -> None:
    """Evaluate a new agent with fewer tasks.

    midband keeps the results of past runs in a history. From it, `midband plan` chooses the tasks
    that tell a new agent apart from known ones. A run by that plan stops once its verdict is
    settled, such as the agent's rank, and says how sure the verdict is.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code; an error is one line on stderr.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; the process's own by default.

    Returns
    -------
    int
        0, 1 (the run failed or found nothing), 2 (bad usage), 3 (undecided) or 4 (did not hold).
    """
    from midband.cli.output import survive_encoding

    survive_encoding()
    try:
        code = cli.main(
            args=None if arguments is None else list(arguments),
            prog_name="midband",
            standalone_mode=False,
        )
    except click.exceptions.NoArgsIsHelpError as problem:
        problem.show()
        return EXIT_USAGE
    except click.UsageError as problem:
        where = "midband" if problem.ctx is None else problem.ctx.command_path
        return _fail(f"{problem.format_message()} (see {where} --help)", EXIT_USAGE)
    except click.ClickException as problem:
        return _fail(problem.format_message(), problem.exit_code)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except Exception as problem:
        code = _exit_code(problem)
        if code is None:
            raise
        return _fail(_reason(problem), code)
    return code if isinstance(code, int) else 0


def _exit_code(problem: Exception) -> int | None:
    """Return the exit code of an error that the user can act on; None for a bug of ours."""
    from midband_history import InputError, MidbandError

    if isinstance(problem, InputError):
        return EXIT_USAGE
    if isinstance(problem, (MidbandError, OSError)):
        return EXIT_FAILED
    return None


def _reason(problem: Exception) -> str:
    """Return the message; what the system refuses names the file, and not its number."""
    from midband_history import MidbandError

    if isinstance(problem, MidbandError) or not isinstance(problem, OSError):
        return str(problem)
    if not problem.strerror:
        return str(problem)
    where = "files" if problem.filename is None else str(problem.filename)
    advice = "put that right, or name another place"
    return f"expected to read and write {where}, got: {problem.strerror}: {advice}"


def _fail(message: str, code: int) -> int:
    from midband.cli.output import echo

    echo(f"midband: {' '.join(message.split())}", err=True)
    return code
