"""Where a history is kept, one module a place: in memory, or in a file with an inbox beside it."""

from midband_history.backends.base import Backend
from midband_history.backends.file import FileBackend
from midband_history.backends.inbox import Batch, Inbox
from midband_history.backends.memory import MemoryBackend

__all__ = ["Backend", "Batch", "FileBackend", "Inbox", "MemoryBackend"]
