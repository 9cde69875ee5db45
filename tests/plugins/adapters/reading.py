"""Reading one source with what it states about itself, as an import judges it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midband._manager import get_plugin_manager
from midband.descriptors import ReadOptions
from midband_history import Note, Reconciliation, Record, StatedAggregate


@dataclass(frozen=True)
class Read:
    """What one source yields, and how its own numbers compare."""

    records: list[Record]
    notes: dict[str, str]
    explained: list[str]
    unexplained: list[str]

    @property
    def kinds(self) -> dict[str, tuple[str, float | None]]:
        return {each.task_id: (each.kind, each.score) for each in self.records}

    def all(self, name: str) -> set[Any]:
        return {getattr(each, name) for each in self.records}


def read(path: Path, name: str, **options: Any) -> Read:
    """Read a source that its own importer alone recognises."""
    importers = get_plugin_manager().importers()
    fits = {each.name for each in importers.values() if each.table is None and each.sniff(path)}
    assert fits == {name}
    items = list(importers[name].read(path, options=ReadOptions(**options)))
    records = [each for each in items if isinstance(each, Record)]
    judge = Reconciliation()
    for record in records:
        judge.see(record)
    stated = [each for each in items if isinstance(each, StatedAggregate)]
    explained, unexplained = judge.judge(stated)
    return Read(
        records,
        {each.code: each.text for each in items if isinstance(each, Note)},
        [each.text for each in explained],
        [each.text for each in unexplained],
    )


def write(path: Path, content: Any) -> Path:
    """Write a text, or an object as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    """Write a JSON object a line."""
    return write(path, "".join(json.dumps(row) + "\n" for row in rows))
