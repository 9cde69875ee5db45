"""What is asked of a plan, and the plan that the history gives for a benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from midband import __version__
from midband._manager import get_plugin_manager
from midband.choices import current_name, other_outcomes, with_agents
from midband.cli.output import say_undated, warn
from midband_history import InputError
from midband_sampler import Plan, PlanSettings, make_plan

if TYPE_CHECKING:
    from midband_history import History, OutcomeMatrix


@dataclass(frozen=True, kw_only=True)
class PlanRequest:
    """What is asked of the plan of a benchmark, whichever it is.

    Parameters
    ----------
    settings : PlanSettings
    metric, version : str or None
    as_of : datetime or None
    exclude_agents : tuple of str
    """

    settings: PlanSettings
    metric: str | None = None
    version: str | None = None
    as_of: datetime | None = None
    exclude_agents: tuple[str, ...] = ()

    def make(self, store: "History", benchmark: str) -> tuple[Plan, tuple[str, ...]]:
        """Return the plan of a benchmark, and what of the history it does not use.

        Raises
        ------
        MidbandError
            It cannot be planned.
        """
        metric, version = self.metric, self.version
        if self.exclude_agents:
            everyone = store.outcomes(benchmark, metric=metric, version=version).agents
            _say_unmatched(self.exclude_agents, everyone, store, benchmark)
        matrix = store.outcomes(
            benchmark,
            as_of=self.as_of,
            exclude_agents=self.exclude_agents,
            metric=metric,
            version=version,
        )
        if not matrix.agents:
            _say_nothing_scored(store, benchmark)
        stop = with_agents(
            self.settings.stop, lambda name: current_name(store, benchmark, name, matrix.agents)
        )
        unused = _unused(store, benchmark, matrix)
        predictive = self.settings.predictive
        others = other_outcomes(store, benchmark, self.as_of) if predictive else []
        say_undated(store, benchmark, self.as_of)
        made = make_plan(
            matrix,
            replace(self.settings, stop=stop),
            others=others,
            versions={"midband": __version__, **get_plugin_manager().versions()},
        )
        return replace(made, mean_tokens=store.mean_tokens(benchmark, as_of=self.as_of)), unused


def _say_nothing_scored(store: "History", benchmark: str) -> None:
    """Refuse a benchmark of which no attempt has a score, with what is held instead."""
    missing = sum(each.without_score for each in store.agents(benchmark))
    msg = (
        f"expected results of {benchmark} with a score, got {missing} attempts without one: see"
        f" `midband history {benchmark}`, and import them with --metric or --errors"
    )
    raise InputError(msg)


def _unused(store: "History", benchmark: str, matrix: "OutcomeMatrix") -> tuple[str, ...]:
    """Say in a line which metrics and versions of the benchmark the plan does not use."""
    metrics = [
        f"metric {each.metric.label or 'without a name'} ({each.agents} agents)"
        for each in store.metrics(benchmark)
        if each.attempts and each.metric.known and not each.metric.same_as(matrix.metric)
    ]
    versions = [
        f"version {each.label or 'without a label'} ({each.tasks} tasks, {each.agents} agents)"
        for each in store.versions(benchmark)
        if matrix.version and each.label != matrix.version
    ]
    if not metrics and not versions:
        return ()
    options = ["--metric"] * bool(metrics) + ["--version"] * bool(versions)
    line = f"not used of {benchmark}: {', '.join([*metrics, *versions])}"
    return (f"{line}; {' and '.join(options)} choose",)


def _say_unmatched(
    patterns: Sequence[str], agents: Sequence[str], store: "History", benchmark: str
) -> None:
    for pattern in patterns:
        if pattern not in agents and not any(fnmatchcase(agent, pattern) for agent in agents):
            if store.has_agent(benchmark, pattern):
                continue
            warn(
                f"--exclude-agent {pattern} leaves out nobody: no agent of {benchmark} has such a"
                f" name, `midband history {benchmark}` lists them"
            )
