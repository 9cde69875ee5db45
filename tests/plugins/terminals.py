"""A terminal for tests: what a command draws on it, in this process or in another."""

import fcntl
import os
import pty
import re
import struct
import sys
import termios
import threading
from collections.abc import Callable
from io import TextIOWrapper
from typing import Any

import pytest

from midband.cli import progress
from midband.cli.root import run

Call = Callable[..., tuple[int, str, str]]
HIDES, SHOWS = "\x1b[?25l", "\x1b[?25h"
CONTROLS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Terminal:
    """A terminal that standard error is connected to while the context lives."""

    def __init__(self, *, width: int = 80, encoding: str = "utf-8") -> None:
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
        self.stream = TextIOWrapper(
            os.fdopen(self.slave, "wb", buffering=0),
            encoding=encoding,
            errors="backslashreplace",
            write_through=True,
        )
        self._parts: list[bytes] = []
        self._came = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def waits_for(self, text: bytes) -> bool:
        """Wait until the terminal has got a text; it is closed at the latest when the run ends."""
        with self._came:
            return self._came.wait_for(lambda: text in self.bytes, timeout=600)

    def _read(self) -> None:
        while True:
            try:
                part = os.read(self.master, 65536)
            except OSError:  # what Linux says once the other side is closed
                return
            if not part:
                return
            with self._came:
                self._parts.append(part)
                self._came.notify_all()

    def close(self) -> None:
        self.stream.close()
        self._reader.join(timeout=60)
        os.close(self.master)

    @property
    def bytes(self) -> bytes:
        return b"".join(self._parts)


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Run a command whose standard error is a terminal; return code, output and what it got."""
    monkeypatch.setenv("TERM", "xterm-256color")
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    begins = progress.Display.begins

    def drawn_at_once(shown: progress.Display, *given: Any, **named: Any) -> None:
        begins(shown, *given, **named)
        if shown._live is not None:
            shown._live.refresh()  # a quick round may begin and end between two drawings

    monkeypatch.setattr(progress.Display, "begins", drawn_at_once)

    def _run(*words: object, width: int = 80, encoding: str = "utf-8") -> tuple[int, str, str]:
        terminal = Terminal(width=width, encoding=encoding)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal.stream)
            code = run([str(word) for word in words])
        terminal.close()
        return code, capsys.readouterr().out, terminal.bytes.decode(encoding)

    return _run


def drawn(text: str) -> list[str]:
    """Return the lines that were drawn, without what moves the cursor."""
    return [line for line in re.split(r"[\r\n]+", CONTROLS.sub("\n", text)) if line.strip()]
