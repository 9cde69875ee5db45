"""Ctrl-C, counted: the first lets a round finish, the second ends it."""

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupt:
    """Counts Ctrl-C while it is entered, instead of raising.

    Parameters
    ----------
    told : callable, optional
        Called with the count at each.
    """

    def __init__(self, told: Callable[[int], None] | None = None) -> None:
        self.count = 0
        self.raises = False
        self._told = told
        self._before: Any = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGINT, self._hear)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.count += 1
        if self._told is not None:
            self._told(self.count)
        if self.raises and self.count > 1:
            raise KeyboardInterrupt
