"""What keeps a history sound: where numbers come from, what is stated of them, what is removed."""

import json
from collections.abc import Iterable, Mapping
from typing import Literal

from midband_history._connection import transaction
from midband_history._errors import InputError
from midband_history._labels import read_aliases
from midband_history._metric import Metric
from midband_history._metrics import declare_metric
from midband_history._opened import Opened
from midband_history._provenance import (
    Origin,
    Removed,
    SourceFault,
    find_faults,
    find_origins,
    forget,
    set_alias,
)


class Upkeep(Opened):
    """The part of `History` that looks after what is held."""

    def known_sources(self, digests: Iterable[str]) -> dict[str, tuple[tuple[int, ...], int]]:
        """Return those digests under which sources were added, with their ids and reader's version.

        Copies of one file are several sources of one digest; the version is that of the oldest
        reader.
        """
        found = self._connection.execute(
            "SELECT digest, list(source_id ORDER BY source_id), min(reader_version) FROM sources"
            " WHERE digest <> '' AND digest IN (SELECT unnest(?::VARCHAR[])) GROUP BY digest",
            [list(digests)],
        )
        return {row[0]: (tuple(row[1]), int(row[2])) for row in found.fetchall()}

    def source_names(self, ids: Iterable[int]) -> dict[int, str]:
        """Return the names of sources: the files or directories that they were imported from."""
        found = self._connection.execute(
            "SELECT source_id, name FROM sources WHERE source_id IN (SELECT unnest(?::INTEGER[]))",
            [list(ids)],
        )
        return {int(number): str(name) for number, name in found.fetchall()}

    def readings_of(
        self, contents: Iterable[str], *, benchmark: str, metric: str
    ) -> dict[str, list[int]]:
        """Return the ids of sources with one of these very contents, whatever their other options.

        Parameters
        ----------
        contents : iterable of str
            Digests of the contents alone.
        benchmark, metric : str
            The names that the person gave, or empty text: a reading under another name stands.
        """
        found = self._connection.execute(
            "SELECT content, source_id, options FROM sources WHERE content <> ''"
            " AND content IN (SELECT unnest(?::VARCHAR[])) ORDER BY source_id",
            [list(contents)],
        )
        readings: dict[str, list[int]] = {}
        for content, number, options in found.fetchall():
            if _named(options) == (benchmark, metric):
                readings.setdefault(content, []).append(int(number))
        return readings

    def declare_metric(
        self,
        benchmark: str,
        metric: str = "",
        *,
        name: str | None = None,
        scale: tuple[float, float] | None = None,
        lower_is_better: bool | None = None,
    ) -> Metric:
        """State what a metric of a benchmark is; the results themselves are not changed.

        Parameters
        ----------
        metric : str
            ``NAME`` or ``NAME.KEY`` of a metric that is held; empty for the unnamed one.
        name : str, optional
            A name for the unnamed metric; a metric of that name that is held joins it.
        scale : tuple of float, optional
            The least and the greatest value that the metric can give.
        lower_is_better : bool, optional
            Whether the least value is the best.

        Raises
        ------
        InputError
            No such metric is held, or values lie outside the scale.
        """
        with transaction(self._connection):
            return declare_metric(
                self._connection,
                benchmark,
                self._id(benchmark),
                metric,
                name=name,
                scale=scale,
                lower_is_better=lower_is_better,
            )

    def why(self, benchmark: str, task: str, agent: str | None = None) -> list[Origin]:
        """Return every attempt behind the numbers of a task, with where it comes from.

        Parameters
        ----------
        agent : str, optional
            A label or glob; every agent by default.

        Raises
        ------
        UnknownTaskError
            The benchmark has no such task.
        InputError
            No such agent ran it.
        """
        name = self.benchmark_name(benchmark)
        return find_origins(self._connection, name, self._id(benchmark), task, agent)

    def check(self, readers: Mapping[str, int]) -> tuple[list[SourceFault], list[str]]:
        """Return what is wrong with the history.

        Parameters
        ----------
        readers : mapping of str to int
            The version of every importer.

        Returns
        -------
        stale : list of SourceFault
            Sources that an older importer has read, which may have misread them.
        broken : list of str
            What contradicts itself; nothing, in a sound history.
        """
        return find_faults(self._connection, readers)

    def forget(
        self,
        *,
        source: str | None = None,
        run: str | None = None,
        agent: str | None = None,
        benchmark: str | None = None,
    ) -> list[Removed]:
        """Remove the attempts that fit all that is named; their sources can be imported again.

        Parameters
        ----------
        source, agent : str, optional
            The path of a source, and the label of an agent; globs are understood.
        run, benchmark : str, optional
            The id of a run, and the name of a benchmark.

        Raises
        ------
        InputError
            Nothing is named.
        """
        if source is None and run is None and agent is None and benchmark is None:
            msg = "expected a source, run, agent or benchmark to forget, got none: name one"
            raise InputError(msg)
        with transaction(self._connection):
            return forget(
                self._connection,
                source=source,
                run=run,
                agent=agent,
                benchmark=benchmark,
                benchmark_id=None if benchmark is None else self._id(benchmark),
            )

    def alias(self, what: Literal["agent", "benchmark"], alias: str, name: str) -> int:
        """Let `alias` stand for `name`, for what is held and for what will be imported.

        Two agents of which one is an alias of the other are one agent. A benchmark that becomes an
        alias moves its results to the other.

        Returns
        -------
        int
            Attempts that were moved to another benchmark.
        """
        with transaction(self._connection):
            return set_alias(self._connection, what, alias, name)

    def aliases(self, what: Literal["agent", "benchmark"]) -> dict[str, str]:
        """Return the aliases of agents or benchmarks, each with the name that it stands for."""
        return read_aliases(self._connection, what)


def _named(options: str) -> tuple[str, str]:
    """Return the benchmark and the metric that the options of a source name."""
    said = json.loads(options) if options else {}
    return str(said.get("benchmark") or ""), str(said.get("metric") or "")
