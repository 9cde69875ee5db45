"""The path of ``python -m midband``: that of ``midband``, without the current directory.

Python puts the current directory first on the path of a module that it runs, so that a ``json.py``
beside somebody's results would be executed. What is imported here is loaded before any module.
"""

import os
import sys


def _runs_midband(words: list[str]) -> bool:
    """Whether these words of an interpreter run midband by ``-m``."""
    for place, word in enumerate(words):
        if place and words[place - 1] in ("-W", "-X"):
            continue
        if word.startswith("-") and not word.startswith("--") and word.partition("m")[1]:
            module = word.partition("m")[2] or "".join(words[place + 1 : place + 2])
            return module.partition(".")[0] == "midband"
        if not word.startswith("-"):
            return False
    return False


def _leave_out_current_directory() -> None:
    here = os.getcwd()  # noqa: PTH109 - pathlib is not loaded yet
    installed = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120
    if _runs_midband(sys.orig_argv[1:]) and sys.path[:1] == [here] and here != installed:
        del sys.path[0]


_leave_out_current_directory()
