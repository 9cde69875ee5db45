"""Damage a history in many places and read it: run in a process of its own, which may crash.

Every line that it prints is one damaged file as JSON: the seed, and what became of every read.
"""

import json
import os
import random
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history import History, Incoming, Record, StoreError, salvage_history
from midband_history.connection import connect, transaction

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SOURCES = 4
_COST = re.compile(r"\bcost_usd=[^,]*")
READS: dict[str, Callable[[History], object]] = {
    "benchmarks": lambda history: history.benchmarks(),
    "outcomes": lambda history: [
        (matrix.agents, matrix.tasks, matrix.scores.tobytes(), matrix.cost_usd.tobytes())
        for matrix in (history.outcomes(each.name) for each in history.benchmarks())
    ],
    "records": lambda history: list(history.records()),
    "check": lambda history: history.check({"toy": 1}),
}


def records(source: int) -> list[Record]:
    """Return the records of one source; they are the same every time."""
    rng = random.Random(source)
    return [
        Record(
            benchmark=f"b{source % 2}",
            task_id=f"t{task}",
            agent=f"a{source}-{agent}",
            score=rng.random(),
            cost_usd=rng.random(),
        )
        for agent in range(5)
        for task in range(40)
    ]


class InPlace:
    """Writes to the file itself, as midband did before 0.2: what it adds is in a log first."""

    folded = ()

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        self._connection = connect(path, read_only=False)

    def reading(self) -> "DuckDBPyConnection":
        return self._connection

    @contextmanager
    def writing(self) -> "Iterator[DuckDBPyConnection]":
        with transaction(self._connection):
            yield self._connection

    def close(self) -> None:
        self._connection.close()


def add(history: History, source: int) -> None:
    """Add one source, in place of what an earlier reading of it gave, as `midband import` does."""
    content = f"c{source}"
    held = history.readings_of([content], benchmark="", metric="").get(content, [])
    history.add_sources(
        [
            Incoming(
                name=f"s{source}", digest=f"d{source}", content=content, reader="toy",
                reader_version=1, records=records(source), replaces=tuple(held),
            )
        ]
    )  # fmt: skip


def fill(path: Path, *, kill: bool) -> None:
    """Write a history; with `kill`, all but its first source is in its log only."""
    history = History.open(path)
    add(history, 0)
    if kill:
        history.close()
        history = History(InPlace(path))
    for source in range(1, SOURCES):
        add(history, source)
    if kill:
        sys.stdout.flush()
        os._exit(0)
    history.close()


def expected() -> list[dict[str, str]]:
    """Return what every read gives after each of the sources was added."""
    found = []
    with History.in_memory() as history:
        for source in range(SOURCES):
            add(history, source)
            found.append({name: repr(read(history)) for name, read in READS.items()})
    return found


def damaged(content: bytes, seed: int) -> bytes:
    """Return a file with one byte flipped, or cut short, at a place that the seed chooses."""
    rng = random.Random(seed)
    place = rng.randrange(len(content))
    if seed % 2:
        return content[:place]
    changed = bytearray(content)
    changed[place] ^= 1 << rng.randrange(8)
    return bytes(changed)


def read_all(path: Path, steps: list[dict[str, str]]) -> dict[str, str]:
    """Return ``right``, ``refused`` or what else became of every read of a file.

    Parameters
    ----------
    steps : list of dict
        What every read may give; all reads of one file must give the same of them.
    """
    found, got = {}, {}
    for name, read in READS.items():
        try:
            with History.open(path, read_only=True) as history:
                value = read(history)
        except StoreError as error:
            clear = "\n" not in str(error) and str(path) in str(error)
            found[name] = "refused" if clear else f"unclear: {error}"
        except Exception as error:
            found[name] = f"{type(error).__name__}: {error}"
        else:
            if name == "check" and any("is damaged" in line for line in value[1]):  # type: ignore[index]
                found[name] = "refused"
            else:
                got[name] = repr(value)
    right = any(all(step[name] == got[name] for name in got) for step in steps)
    return found | dict.fromkeys(got, "right" if right else "wrong")


def add_to(path: Path, whole: Counter[str]) -> str:
    """Return ``right``, ``refused`` or what is wrong with an import into a damaged file."""
    more = [Record(benchmark="b0", task_id="t0", agent="new", score=1.0)]
    try:
        with warnings.catch_warnings(record=True) as said:  # of a file too short for a row
            warnings.simplefilter("always")
            history = History.open(path)
        with history:
            history.add(more, source="new")
        with History.open(path, read_only=True) as history:
            now = Counter(map(repr, history.records()))
    except StoreError as error:
        clear = "\n" not in str(error) and str(path) in str(error)
        return "refused" if clear else f"unclear: {error}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    if said:
        return "refused"
    return "right" if (now - whole).total() == 1 and not whole - now else "wrong"


def salvage(path: Path, whole: Counter[str]) -> str:
    """Return ``right``, ``refused`` or what is wrong with what a salvage gives."""
    new = path.with_name("salvaged.duckdb")
    new.unlink(missing_ok=True)
    try:
        report = salvage_history(path, new)
    except StoreError as error:
        clear = "\n" not in str(error) and str(path) in str(error)
        return "refused" if clear else f"unclear: {error}"
    with History.open(new) as history:
        kept = Counter(map(repr, history.records()))
        if made_up := kept - whole:
            reduced = sum(each.attempts for each in report.reduced)
            unknown_cost = Counter(_COST.sub("cost_usd=None", text) for text in whole.elements())
            if made_up.total() > reduced or made_up - unknown_cost:
                return f"made up {next(iter(made_up))}"
        if kept.total() != report.kept:
            return f"said {report.kept} were kept, kept {kept.total()}"
        lost = sum(each.attempts for each in report.lost)
        if report.kept + lost != whole.total() and not report.notes:
            return f"lost {whole.total() - report.kept}, said {lost}"
        if broken := history.check({})[1]:
            return f"check: {broken}"
        unknown = {f"d{source}" for source in range(SOURCES)} - set(
            history.known_sources(f"d{source}" for source in range(SOURCES))
        )
        for source in range(SOURCES):
            if f"d{source}" in unknown:
                add(history, source)
        again = Counter(map(repr, history.records()))
        sources_lost = any("of the table sources cannot be read" in note for note in report.notes)
        if again != whole and not sources_lost:
            return f"importing the lost sources again gave {again.total()} attempts"
    return "right"


def main(path: Path, log: str, first: int, last: int) -> None:
    """Damage a file or its log once for every seed, and print what came of it."""
    right = expected()
    with History.open(path, read_only=True) as history:
        whole = Counter(map(repr, history.records()))
    target = path.with_name("damaged.duckdb")
    content, logged = path.read_bytes(), b""
    if log == "log":
        logged = path.with_name(f"{path.name}.wal").read_bytes()
    for seed in range(first, last):
        with _files(target, content, logged, seed):
            found = read_all(target, right if logged else right[-1:])
            if not logged:
                found["salvage"] = salvage(target, whole)
                found["add"] = add_to(target, whole)
        print(json.dumps({"seed": seed, **found}), flush=True)


def fill_disk(path: Path, limits: list[int]) -> None:
    """Import where no file can grow beyond a limit, and print what became of it for each limit."""
    import resource

    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    many = [
        Record(benchmark="b0", task_id=f"t{task}", agent=f"big{agent}", score=0.5)
        for agent in range(60)
        for task in range(300)
    ]
    content = path.read_bytes()
    with History.open(path, read_only=True) as history:
        before = repr(list(history.records()))
    for limit in limits:
        target = path.with_name(f"limit-{limit}.duckdb")
        target.write_bytes(content)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        said = ""
        try:
            with History.open(target) as history:
                history.add(many, source="big")
        except StoreError as error:
            said = str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        with History.open(target, read_only=True) as history:
            now = list(history.records())
            found = {
                "limit": limit,
                "said": said,
                "as before": repr(now) == before,
                "added": sum(one.agent.startswith("big") for one in now),
                "broken": history.check({})[1],
            }
        print(json.dumps(found), flush=True)


@contextmanager
def _files(target: Path, content: bytes, logged: bytes, seed: int) -> Iterator[None]:
    wal = target.with_name(f"{target.name}.wal")
    if logged:
        target.write_bytes(content)
        wal.write_bytes(damaged(logged, seed))
    else:
        target.write_bytes(damaged(content, seed))
    yield
    for file in (target, wal):
        file.unlink(missing_ok=True)


if __name__ == "__main__":
    if sys.argv[1] == "fill":
        fill(Path(sys.argv[2]), kill=True)
    elif sys.argv[1] == "full":
        fill_disk(Path(sys.argv[2]), [int(limit) for limit in sys.argv[3:]])
    else:
        main(Path(sys.argv[2]), sys.argv[1], int(sys.argv[3]), int(sys.argv[4]))
