"""The verdict on the terminal, printed when Inspect's own screen is gone."""

import atexit
import sys

from midband._text import one_line

_LINES: dict[str, str] = {}


def say_at_exit(key: str, line: str) -> None:
    """Print a line on stderr when the ``inspect`` command ends; of those of one key the last.

    In a program of somebody's own that calls Inspect nothing is printed: the log has the verdict.
    """
    if "inspect_ai._cli.main" not in sys.modules:
        return
    if not _LINES:
        atexit.register(_print)
    _LINES[key] = line


def _print() -> None:
    for text in _LINES.values():
        first, *rest = text.split("\n")
        for line in (f"midband: {first}", *rest):
            print(one_line(line), file=sys.stderr)
