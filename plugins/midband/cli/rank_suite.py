"""``midband rank SUITE LOGS``: one table for several benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midband.cli.output import echo, listed, print_json, print_table, warn
from midband.cli.results import say_note
from midband.descriptors import ReadOptions
from midband_history import InputError

if TYPE_CHECKING:
    from midband.suite import Suite
    from midband.suite_verdict import SuiteVerdict
    from midband_history import Note, Record
    from midband_sampler import Decision, MaxErrors, Plan

_COLUMNS = (
    *("benchmark", "agent", "rank", "interval", "target"),
    *("tasks", "spent_usd", "spent_tokens", "reason"),
)


@dataclass
class SuiteRanking:
    """Judges the results of a suite's benchmarks, each by its plan.

    Parameters
    ----------
    suite : Suite
    paths : sequence of Path
        Results of any of the benchmarks.
    options : ReadOptions
    format_name : str or None
    agents : tuple of str
        Only these are judged; all if empty.
    allow_changed : bool
    max_errors : MaxErrors or None
    """

    suite: "Suite"
    paths: Sequence[Path]
    options: ReadOptions
    format_name: str | None = None
    agents: tuple[str, ...] = ()
    allow_changed: bool = False
    max_errors: "MaxErrors | None" = None

    def verdict(self) -> "SuiteVerdict":
        """Return the verdict, and say what is passed over.

        Raises
        ------
        InputError
            The results are by another metric than a plan's, or cannot be read.
        """
        from midband.suite_verdict import SuiteVerdict, suite_rows

        self._said: set[tuple[str, str]] = set()
        self._read: dict[str, list[Record]] = {}
        decisions = {name: self._judge(name, plan) for name, plan in self.suite.plans().items()}
        self._say_others()
        return SuiteVerdict(
            rows=suite_rows(decisions),
            not_planned=self.suite.not_planned,
            digest=self.suite.digest,
        )

    def _judge(self, name: str, plan: "Plan") -> "list[tuple[str, Decision]]":
        from midband._ranking import rank_records
        from midband.inspect import live_orders

        label = "" if plan.metric is None else plan.metric.label
        records = [
            replace(record, benchmark=plan.benchmark)
            for record in self._records(label)
            if self.suite.named(record.benchmark) == name
            and (not self.agents or record.agent in self.agents)
        ]
        if not records:
            return []
        verdicts = rank_records(
            plan,
            records,
            allow_changed=self.allow_changed,
            orders=live_orders(plan, self.paths, format_name=self.format_name),
            max_errors=self.max_errors,
        )
        return [(verdict.agent, verdict.decision) for verdict in verdicts]

    def _records(self, label: str) -> "list[Record]":
        """Return all results, read by a metric; read once for each metric."""
        from midband.importers.reading import read_records

        if label not in self._read:
            options = replace(self.options, prefer_metric=label) if label else self.options
            found = read_records(
                self.paths, format_name=self.format_name, options=options, note=self._note
            )
            self._read[label] = list(found)
        return self._read[label]

    def _note(self, path: Path, note: "Note") -> None:
        if (str(path), note.text) not in self._said:
            self._said.add((str(path), note.text))
            say_note(path, note)

    def _say_others(self) -> None:
        held = {record.benchmark for records in self._read.values() for record in records}
        if others := sorted(name for name in held if not self.suite.named(name)):
            warn(f"results of benchmarks that the suite does not hold: {listed(others)}")


def show_suite(verdict: "SuiteVerdict", *, as_json: bool) -> None:
    """Print the verdict of a suite: a table, what holds together, what was spent."""
    if as_json:
        print_json(verdict.to_dict())
        return
    rows = verdict.table()
    print_table(_COLUMNS, [[row.get(name) for name in _COLUMNS] for row in rows])
    for line in verdict.statements():
        echo(line)
    for line in verdict.warnings():
        warn(line)


def check_suite_options(given: dict[str, object]) -> None:
    """Refuse what belongs to a single plan.

    Raises
    ------
    InputError
        One of these options is given.
    """
    for option, value in given.items():
        if value:
            msg = f"expected no {option} beside a suite, got it: name one plan of the suite"
            raise InputError(msg)
