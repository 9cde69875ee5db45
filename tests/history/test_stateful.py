"""A history in a file against a plain dictionary: whatever is done in whatever order."""

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from midband_history import History, Inbox, Record

BENCHMARKS = st.sampled_from(["one", "two"])
AGENTS = st.sampled_from(["a", "b", "c"])
TASKS = st.sets(st.integers(0, 4), min_size=1, max_size=4)
SCORES = st.sampled_from([0.0, 0.5, 1.0])
Key = tuple[str, str, str]


class _Stop(BaseException):
    """A kill in the middle of a write."""


class HistoryMachine(RuleBasedStateMachine):
    """Adds, merges, leaves in the inbox, forgets, folds, dies; a dictionary says what must be."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "h.duckdb"
        History.open(self.path).close()
        self.held: dict[Key, float] = {}
        self.last: list[Record] = []

    def teardown(self) -> None:
        """Remove the file."""
        shutil.rmtree(self.folder)

    def _records(self, benchmark: str, agent: str, tasks: set[int], score: float) -> list[Record]:
        self.last = [
            Record(benchmark=benchmark, agent=agent, task_id=str(task), score=score)
            for task in sorted(tasks)
        ]
        return self.last

    def _remember(self, records: list[Record]) -> int:
        """Return how many are new; what is held stays."""
        before = len(self.held)
        for each in records:
            assert each.score is not None
            self.held.setdefault((each.benchmark, each.agent, each.task_id), each.score)
        return len(self.held) - before

    @rule(benchmark=BENCHMARKS, agent=AGENTS, tasks=TASKS, score=SCORES)
    def add(self, benchmark: str, agent: str, tasks: set[int], score: float) -> None:
        """Add the attempts of one agent."""
        records = self._records(benchmark, agent, tasks, score)
        with History.open(self.path) as history:
            report = history.add(records, source="by hand")
        assert report.added == self._remember(records)
        assert report.added + report.duplicates == len(records)

    @rule()
    def add_again(self) -> None:
        """Add what was added last once more; after a `forget` it is new again."""
        with History.open(self.path) as history:
            report = history.add(self.last)
        assert report.added == self._remember(self.last)

    @rule(benchmark=BENCHMARKS, agent=AGENTS, tasks=TASKS, score=SCORES)
    def leave(self, benchmark: str, agent: str, tasks: set[int], score: float) -> None:
        """Leave a batch in the inbox."""
        records = self._records(benchmark, agent, tasks, score)
        with Inbox(self.path) as inbox:
            inbox.write(records)
        self._remember(records)

    @rule(benchmark=BENCHMARKS, agent=AGENTS, tasks=TASKS, score=SCORES)
    def merge(self, benchmark: str, agent: str, tasks: set[int], score: float) -> None:
        """Add another history, twice."""
        records = self._records(benchmark, agent, tasks, score)
        with History.in_memory() as other, History.open(self.path) as history:
            other.add(records, source="elsewhere")
            report = history.merge(other)
            assert history.merge(other).added == 0
        assert report.added == self._remember(records)

    @rule(benchmark=BENCHMARKS, agent=AGENTS)
    def forget(self, benchmark: str, agent: str) -> None:
        """Forget what an agent did on a benchmark."""
        gone = [key for key in self.held if key[:2] == (benchmark, agent)]
        with History.open(self.path) as history:
            if any(each.name == benchmark for each in history.benchmarks()):
                removed = history.forget(benchmark=benchmark, agent=agent)
                assert sum(each.attempts for each in removed) == len(gone)
        for key in gone:
            del self.held[key]

    @rule()
    def fold(self) -> None:
        """Take in the inbox."""
        with History.open(self.path) as history:
            history.compact()
        with Inbox(self.path) as inbox:
            assert inbox.names() == []

    @rule(agent=AGENTS)
    def kill(self, agent: str) -> None:
        """End a writer in the middle: what it had not finished is not there."""
        with History.open(self.path) as history:
            try:
                with history._writing() as connection:
                    connection.execute("DELETE FROM outcomes")
                    raise _Stop
            except _Stop:
                pass
        left = self.folder / f"h.duckdb.{agent}.writing"
        left.write_bytes(self.path.read_bytes()[:5000])

    @invariant()
    def holds_what_it_should(self) -> None:
        """Every attempt once, with its first score; nothing contradicts itself."""
        with History.open(self.path, read_only=True) as history:
            found = [
                ((each.benchmark, each.agent, each.task_id), each.score)
                for each in history.records()
            ]
            assert len(found) == len(self.held)
            assert dict(found) == self.held
            assert history.check({})[1] == []
            sums = {each.name: each.attempts for each in history.benchmarks()}
        assert sum(sums.values()) == len(self.held)


HistoryMachine.TestCase.settings = settings(
    max_examples=6, stateful_step_count=12, deadline=None, derandomize=True
)
TestHistory = HistoryMachine.TestCase
