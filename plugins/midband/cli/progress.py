"""Progress on standard error: a live display for a person, and few plain lines everywhere else."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from midband.cli.output import count, echo, is_quiet, listed
from midband.text import one_line, terminal_width

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.live import Live

    from midband.rounds import RoundEnd

_PER_SECOND = 4
_LEAST_BAR, _MOST_BAR = 6, 40
# Where nobody watches, one line tells of each further tenth of long work.
_PLAIN_SECONDS = 30.0
_TENTH = 0.1
_SHOWN = 5
_DUMB = ("dumb", "unknown")

now = time.monotonic
# The parts of a line, and the style of each.
_Line = tuple[tuple[str, ...], tuple[str, ...]]


def is_live() -> bool:
    """Whether a person watches standard error on a terminal that can move its cursor."""
    if is_quiet() or os.environ.get("TERM", "").lower() in _DUMB:
        return False
    try:
        return sys.stderr.isatty()
    except (AttributeError, ValueError, OSError):
        return False


def duration(seconds: float) -> str:
    """Return a time as ``M:SS`` or ``H:MM:SS``."""
    minutes, rest = divmod(max(int(seconds), 0), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@dataclass(eq=False)
class Board:
    """What is known of some work, and how it is drawn; each field is replaced, never changed.

    Parameters
    ----------
    noun : str
        What is counted, in the singular.
    done : int
    total : int or None
        None while it is unknown.
    found : int
        How many of `done` were there when the pace was first measured.
    paced : float or None
        Since when the pace is measured that foretells the time left; None to show none.
    facts : tuple of str
        A line each.
    doing : mapping of str to tuple of str and float
        What is running, by a key, and since when.
    started : float
    stream : text stream
        The terminal.
    watch : callable, optional
        Called with the board once a second, to bring it up to date where nobody tells it.
    """

    noun: str
    done: int = 0
    total: int | None = None
    found: int = 0
    paced: float | None = None
    facts: tuple[str, ...] = ()
    doing: dict[str, tuple[str, float]] = field(default_factory=dict)
    started: float = field(default_factory=lambda: now())
    stream: "TextIO | None" = field(default_factory=lambda: sys.stderr)
    watch: "Callable[[Board], None] | None" = None
    _asked: float = -math.inf

    def _look(self) -> None:
        """Look once a second at what nobody tells."""
        if self.watch is not None and now() - self._asked >= 1.0:
            self._asked = now()
            with suppress(Exception):
                self.watch(self)

    def left(self) -> float | None:
        """Return the seconds that are left at the pace so far; None where nothing foretells it."""
        fresh = self.done - self.found
        if self.paced is None or not self.total or fresh <= 0 or self.done >= self.total:
            return None
        return (self.total - self.done) * (now() - self.paced) / fresh

    def __rich_console__(self, console: "Console", options: "ConsoleOptions") -> "RenderResult":
        from rich.text import Text

        try:
            self._look()
            width = min(options.max_width, terminal_width(self.stream, most=options.max_width))
            lines = self._lines(width, ascii_only=options.ascii_only)
        except Exception:  # a display that cannot be drawn is no reason to stop what it shows
            return
        for text, style in lines:
            line = Text(no_wrap=True, overflow="crop", end="\n")
            for part, part_style in zip(text, style, strict=True):
                line.append(part, style=part_style)
            yield line

    def _lines(self, width: int, *, ascii_only: bool) -> "list[_Line]":
        """Return the parts of each line, and their styles."""
        spin = "|/-\\" if ascii_only else "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        head = f"{spin[int(now() * _PER_SECOND) % len(spin)]} {self._counted()} "
        left = self.left()
        tail = f" {duration(now() - self.started)}"
        if left is not None:
            tail += f", about {duration(left)} left"
        size = min(width - len(head) - len(tail), _MOST_BAR)
        filled, rest = ("#", "-") if ascii_only else ("━", "─")
        bar = 0
        if self.total and size >= _LEAST_BAR:
            bar = int(size * min(self.done / self.total, 1.0))
            parts = (head, filled * bar, rest * (size - bar), tail)
        else:
            head = head.rstrip()[:width]
            parts = (head, "", "", tail if len(head) + len(tail) <= width else "")
        lines: list[_Line] = [(parts, ("", "cyan", "dim", ""))]
        for text in (*self.facts, *self._doing()):
            lines += [((f"  {piece}",), ("",)) for piece in _pieces(one_line(text), width - 2)]
        return lines

    def _counted(self) -> str:
        if self.total is None:
            return f"{count(self.done, self.noun)} begun" if self.done else "running"
        return f"{self.done:,} of {count(self.total, self.noun)}"

    def _doing(self) -> Iterator[str]:
        for text, since in self.doing.values():
            yield f"{text} ({duration(now() - since)})"


def _pieces(text: str, width: int) -> list[str]:
    from textwrap import wrap

    return wrap(text, max(width, _LEAST_BAR)) or [""]


class Display:
    """Shows a board while it lives, and prints lines above it; nothing that it does ever raises.

    Parameters
    ----------
    board : Board
    live : bool
        Whether to draw the board at all.
    """

    def __init__(self, board: Board, *, live: bool) -> None:
        self.board = board
        self.quiet = is_quiet()
        self._live: Live | None = None
        self._changing = threading.Lock()  # rounds of several candidates run at the same time
        if live:
            self._guard(self._start)

    @property
    def drawn(self) -> bool:
        """Whether the board is on a screen."""
        return self._live is not None

    def _start(self) -> None:
        from rich.console import Console
        from rich.live import Live

        console = Console(
            stderr=True, force_terminal=True, highlight=False, markup=False, emoji=False
        )

        class Forgiving(Live):
            """Draws from a thread of its own, where an error would have nobody to go to."""

            def refresh(self) -> None:
                with suppress(Exception):  # the terminal may be gone, as after a lost connection
                    super().refresh()

        self._live = Forgiving(
            self.board,
            console=console,
            transient=True,
            refresh_per_second=_PER_SECOND,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._live.start()

    def _guard(self, step: Callable[[], object]) -> None:
        """Do something; where that fails, go on without a display."""
        try:
            step()
        except Exception:
            self.close()

    def close(self) -> None:
        """Take the board away, and leave the terminal as it was."""
        live, self._live = self._live, None
        if live is not None:
            with suppress(Exception):
                live.stop()

    def say(self, line: str) -> None:
        """Print a line that stays, also where only the result is wanted."""
        live = self._live
        if live is not None:
            self._guard(lambda: live.console.print(one_line(line), soft_wrap=True))
        else:
            with suppress(Exception):
                echo(line, err=True)

    def note(self, line: str) -> None:
        """Print a line that stays, unless only the result is wanted."""
        if not self.quiet:
            self.say(line)

    def plain(self, line: str) -> None:
        """Print a line of progress where no board shows the same."""
        if not self.drawn:
            self.note(line)

    def begins(self, key: str, line: str, *, plainly: str) -> None:
        """Show that something runs, and for how long; elsewhere print `plainly`."""
        with self._changing:
            self.board.doing = {**self.board.doing, key: (line, now())}
        self.plain(plainly)

    def ends(self, key: str) -> None:
        """Show that something runs no longer."""
        with self._changing:
            left = {name: each for name, each in self.board.doing.items() if name != key}
            self.board.doing = left


@contextmanager
def display(noun: str, *, live: bool = True) -> Iterator[Display]:
    """Show progress until the context ends, however it ends.

    Parameters
    ----------
    noun : str
        What is counted, in the singular.
    live : bool
        False where something else may write to the terminal meanwhile: then there are only lines.
    """
    found = Display(Board(noun), live=live and is_live())
    try:
        yield found
    finally:
        found.close()


def interrupted(shown: Display, times: int) -> None:
    """Say what a Ctrl-C does."""
    if times == 1:
        shown.say("interrupted: the round will be finished; press again to end it")
    elif times == 2:
        shown.say("interrupted again: ending the round")


def watched(logs: Path, max_usd: float | None) -> Callable[[Board], None]:
    """Return what reads how a run stands that says so in a state file, as an adaptive eval does.

    Parameters
    ----------
    logs : Path
        The directory that the run logs into.
    max_usd : float or None
        The limit of the run, US dollars.
    """
    from midband.view import StateReader, runs_directory

    reader, place = StateReader(runs_directory()), logs.absolute()

    def watch(board: Board) -> None:
        for state in reader.read():
            where = state.text("directory")
            if not where or not Path(where).absolute().is_relative_to(place):
                continue
            run, planned = state.whole("tasks_run"), state.whole("tasks_planned")
            board.done, board.total = run or 0, planned
            rank, of = state.whole("rank"), state.whole("of")
            low, high = state.whole("low"), state.whole("high")
            stands = "" if of is None else f"rank {rank or 'unknown'} of {of} ({low} to {high})"
            spent = state.number("spent_usd")
            money = spent_text(math.nan if spent is None else spent, max_usd)
            board.facts = tuple(filter(None, ("; ".join(filter(None, (stands, money))),)))
            return

    return watch


def spent_text(spent: float, limit: float | None) -> str:
    """Return what was spent of a limit, US dollars; empty where neither is known."""
    if limit is not None:
        known = "an unknown part" if math.isnan(spent) else f"${spent:,.2f}"
        return f"{known} of ${limit:,.2f} spent"
    return "" if math.isnan(spent) or not spent else f"${spent:,.2f} spent"


def oddities(end: "RoundEnd", *, place: str = "") -> Iterator[str]:
    """Say what is odd about a round, whose directory stands in `place`."""
    if end.status != "finished":
        codes = f", exit {' and '.join(map(str, end.codes))}" if any(end.codes) else ""
        yield f"{end.status}{codes}; its output is in {place}{end.name}/output.log"
    yield from (f"unreadable: {line}" for line in end.unreadable)
    yield from end.notes
    if end.dropped:
        yield f"no result for {listed(end.dropped, _SHOWN)}"
    for kind in sorted({result.kind for result in end.results} - {"valid"}):
        tasks = dict.fromkeys(result.task for result in end.results if result.kind == kind)
        yield f"{kind.replace('_', ' ')} in {listed(list(tasks), _SHOWN)}"
    if end.extra:
        yield f"not asked for, and left out: {listed(end.extra, _SHOWN)}"
    if end.duplicates:
        yield f"{count(end.duplicates, 'result')} known already"
    open_tasks = [task for task in end.tasks if task in end.open_tasks()]
    if open_tasks:
        yield f"not finished: {listed(open_tasks, _SHOWN)}"


@contextmanager
def counted(noun: str) -> "Iterator[Counter]":
    """Show how many pieces of some work are done, and the time that is left.

    Where nobody watches, a line tells of each further tenth once half a minute has passed.

    Parameters
    ----------
    noun : str
        What is counted, in the singular.
    """
    with display(noun) as shown:
        yield Counter(shown)


class Counter:
    """Takes the numbers of what is done and of all there is; further arguments are ignored.

    Parameters
    ----------
    shown : Display
    """

    def __init__(self, shown: Display) -> None:
        self._shown = shown
        self._said, self._share = now(), 0.0

    def reads(self, done: int, total: int, attempts: int) -> None:
        """Show the new numbers of an import."""
        self._shown.board.facts = (f"{count(attempts, 'attempt')} read",)
        self(done, total)

    def __call__(self, done: int, total: int, *rest: object) -> None:
        """Show the new numbers."""
        del rest
        board = self._shown.board
        if board.paced is None:
            board.found, board.paced = done, now()
        board.done, board.total = done, total
        share = done / total if total else 1.0
        late = now() - self._said >= _PLAIN_SECONDS
        if self._shown.drawn or not late or not self._share + _TENTH <= share < 1.0:
            return
        self._said, self._share = now(), share
        left = board.left()
        ahead = "" if left is None else f", about {duration(left)} left"
        facts = "".join(f"; {each}" for each in board.facts)
        passed = duration(now() - board.started)
        self._shown.note(f"{done:,} of {count(total, board.noun)} after {passed}{ahead}{facts}")
