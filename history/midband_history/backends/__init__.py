"""Where a history is kept, one module a place: in memory, a file, or a DuckLake."""

from midband_history.backends.base import Backend
from midband_history.backends.ducklake import DuckLakeBackend, LakeAddress, is_lake
from midband_history.backends.file import FileBackend
from midband_history.backends.inbox import Batch, Inbox
from midband_history.backends.memory import MemoryBackend

__all__ = [
    "Backend",
    "Batch",
    "DuckLakeBackend",
    "FileBackend",
    "Inbox",
    "LakeAddress",
    "MemoryBackend",
    "is_lake",
]
