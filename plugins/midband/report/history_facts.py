"""What a history says of one benchmark: all that its page is made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from midband_history import (
    BenchmarkSummary,
    MetricSummary,
    MidbandError,
    OutcomeMatrix,
    SourceFault,
    SourceSummary,
    VersionSummary,
)

if TYPE_CHECKING:
    from midband_history import History
    from midband_sampler import TaskReport


@dataclass(frozen=True, eq=False, kw_only=True)
class HistoryFacts:
    """What a history says of one benchmark.

    Parameters
    ----------
    matrix : OutcomeMatrix
    summary : BenchmarkSummary
    tasks : TaskReport
    metrics : sequence of MetricSummary
    versions : sequence of VersionSummary
    sources : sequence of SourceSummary
    faults : sequence of SourceFault
        Sources that should be imported again.
    unscored : mapping of str to int
        Attempts without a score, by agent.
    waiting : sequence of str
        Batches that lie in the inbox.
    set_aside : sequence of str
        Batches that the history refused or could not read.
    others : int
        Other benchmarks that help to calibrate a plan.
    place : str
        What messages call the history.
    """

    matrix: OutcomeMatrix
    summary: BenchmarkSummary
    tasks: "TaskReport"
    metrics: Sequence[MetricSummary] = ()
    versions: Sequence[VersionSummary] = ()
    sources: Sequence[SourceSummary] = ()
    faults: Sequence[SourceFault] = ()
    unscored: Mapping[str, int] = field(default_factory=dict)
    waiting: Sequence[str] = ()
    set_aside: Sequence[str] = ()
    others: int = 0
    place: str = ""


def gather_history(
    store: "History", benchmark: str, *, metric: str | None = None, version: str | None = None
) -> HistoryFacts:
    """Read all that the page of a benchmark says.

    Raises
    ------
    UnknownBenchmarkError
        The history does not hold the benchmark.
    InputError
        A metric or version must be chosen, or is not held.
    """
    from midband._manager import get_plugin_manager
    from midband.choices import other_outcomes
    from midband_sampler import check_tasks

    matrix = store.outcomes(benchmark, metric=metric, version=version)
    name = matrix.benchmark
    readers = {key: each.version for key, each in get_plugin_manager().importers().items()}
    sources = store.sources(name)
    try:
        named = {each.source for each in sources}
        faults = [each for each in store.stale(readers) if each.source in named]
    except MidbandError:
        faults = []
    return HistoryFacts(
        matrix=matrix,
        summary=next(each for each in store.benchmarks() if each.name == name),
        tasks=check_tasks(matrix),
        metrics=store.metrics(name),
        versions=store.versions(name),
        sources=sources,
        faults=faults,
        unscored={
            each.name: each.without_score
            for each in store.agents(name, metric=metric, version=version)
        },
        waiting=store.waiting(),
        set_aside=[str(path) for path in store.set_aside()],
        others=len(other_outcomes(store, name)),
        place=store.name,
    )
