"""What a matrix is of: agents by unique labels, and tasks with the contents of one version."""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from midband_history.connection import fetch, fetch_dicts, utc
from midband_history.errors import InputError, nearest
from midband_history.frames import Rows
from midband_history.summaries import VersionSummary

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LONGEST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The identity of an agent: the fields in which agents differ.

    Parameters
    ----------
    agent_id : int
    name, model, scaffold, version : str
    settings : str
        Canonical JSON; empty where unknown.
    """

    agent_id: int
    name: str
    model: str
    scaffold: str
    version: str
    settings: str


@dataclass(frozen=True, kw_only=True)
class AgentRow:
    """One agent as the store knows it on one benchmark: a row of the matrix.

    Parameters
    ----------
    agent_ids : tuple of int
        In the store: several where an alias makes them one.
    label : str
        Unique within the benchmark.
    former : tuple of str
        What it was called before, or is called elsewhere: its plain name, its label in histories
        of midband 0.1, and its aliases.
    """

    agent_ids: tuple[int, ...]
    label: str
    former: tuple[str, ...]
    model: str
    scaffold: str
    first: datetime | None
    run_cost_usd: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One task with one content, as run under one version label.

    Parameters
    ----------
    task_id : int
        In the store; the same for every label under which this content was run.
    name : str
    digest : str
        Of the content; empty where no source told.
    version : str
        As the runs call it; empty where they do not.
    whole : bool
        Whether one of those runs covered the whole benchmark.
    last : datetime or None
        Start of the latest of those runs.
    order : int
        Place of the latest of those runs among all of the benchmark: by their start, then by who
        ran and by their names, whatever the order of import.
    """

    task_id: int
    name: str
    digest: str
    version: str
    whole: bool
    last: datetime | None
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A set of tasks, each with one content.

    Parameters
    ----------
    label : str
        Empty where runs tell no versions apart.
    names, digests : tuple of str
        The tasks in order of name, and the digest of each one's content; empty if unknown.
    column_of : mapping of int to int
        The place of each store task in these.
    by_label : frozenset of int
        Store tasks without a digest whose results count only where their run says that it ran this
        version, since several contents are known for their name.
    """

    label: str
    names: tuple[str, ...]
    digests: tuple[str, ...]
    column_of: dict[int, int]
    by_label: frozenset[int]


def label_agents(agents: Iterable[Identity]) -> dict[int, str]:
    """Return a label for each agent, unique among them whatever their order.

    An agent is called by its name. Where several have one name, each label continues with what the
    namesakes differ in: ``gpt-5 [temperature=0.1]``. Ties that are left (a label that another
    agent has for a name) are broken by the whole identity in order of its text.
    """
    namesakes: dict[str, list[Identity]] = defaultdict(list)
    for agent in agents:
        namesakes[agent.name].append(agent)
    labels: dict[int, str] = {}
    taken = {name for name, group in namesakes.items() if len(group) == 1}
    for name in sorted(namesakes):
        group = sorted(namesakes[name], key=_sort_key)
        if len(group) == 1:
            labels[group[0].agent_id] = name
            continue
        for agent, text in zip(group, _differences(group), strict=True):
            label, number = f"{name} [{text}]" if text else name, 1
            while label in taken:
                number += 1
                label = f"{name} [{text}; {number}]" if text else f"{name} [{number}]"
            taken.add(label)
            labels[agent.agent_id] = label
    return labels


def read_labels(
    connection: "DuckDBPyConnection", benchmarks: Sequence[str]
) -> dict[tuple[str, int], str]:
    """Return the label of every agent with a run on one of these benchmarks."""
    of_benchmark: dict[str, list[Identity]] = defaultdict(list)
    for row in fetch_dicts(connection, "identities", benchmarks=list(benchmarks)):
        of_benchmark[row.pop("benchmark")].append(Identity(**row))
    aliases = read_aliases(connection, "agent")
    return {
        (benchmark, agent_id): aliases.get(label, label)
        for benchmark, agents in of_benchmark.items()
        for agent_id, label in label_agents(agents).items()
    }


def read_aliases(connection: "DuckDBPyConnection", what: str) -> dict[str, str]:
    """Return the aliases of agents or benchmarks, each with the name that it stands for."""
    rows = connection.execute("SELECT alias, name FROM aliases WHERE what = ?", [what]).fetchall()
    return {str(alias): str(name) for alias, name in rows}


def _sort_key(agent: Identity) -> tuple[str, ...]:
    return (agent.model, agent.scaffold, agent.version, agent.settings)


def _differences(group: Sequence[Identity]) -> list[str]:
    """Say for each namesake what it has that others have not."""
    facts = [_facts(agent) for agent in group]
    names = sorted({name for each in facts for name in each})
    differing = [name for name in names if len({each.get(name, "") for each in facts}) > 1]
    short = [name.rpartition(".")[2] for name in differing]
    shown = [
        brief if short.count(brief) == 1 else name
        for name, brief in zip(differing, short, strict=True)
    ]
    return [
        ", ".join(
            f"{brief}={each[name]}"
            for name, brief in zip(differing, shown, strict=True)
            if each.get(name)
        )
        for each in facts
    ]


def _facts(agent: Identity) -> dict[str, str]:
    facts = {"model": agent.model, "scaffold": agent.scaffold, "version": agent.version}
    try:
        settings = json.loads(agent.settings) if agent.settings else {}
    except ValueError:
        settings = agent.settings
    facts.update(_flat(settings, "settings"))
    return {name: _brief(text) for name, text in facts.items() if text}


def _flat(value: object, name: str) -> dict[str, str]:
    if isinstance(value, Mapping):
        found: dict[str, str] = {}
        for key, inner in value.items():
            found.update(_flat(inner, key if name == "settings" else f"{name}.{key}"))
        return found
    return {name: value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}


def _brief(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3]}..."


def read_agents(
    connection: "DuckDBPyConnection", benchmark: str, benchmark_id: int, as_of: datetime | None
) -> list[AgentRow]:
    """Return the agents that ran a benchmark by a date (UTC, naive), in order of their labels."""
    labels = read_labels(connection, [benchmark])
    aliases = read_aliases(connection, "agent")
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for row in fetch(connection, "agents", benchmark_id=benchmark_id, as_of=as_of):
        groups.setdefault(labels[benchmark, row[0]], []).append(row)
    return [
        AgentRow(
            agent_ids=tuple(row[0] for row in rows),
            label=label,
            former=tuple(
                dict.fromkeys(
                    [
                        *(name for row in rows for name in (row[1], row[2])),
                        *(alias for alias, name in aliases.items() if name == label),
                    ]
                )
            ),
            model=_only(row[3] for row in rows),
            scaffold=_only(row[4] for row in rows),
            first=min((row[5] for row in rows if row[5] is not None), default=None),
            run_cost_usd=_mean([row[6] for row in rows]),
        )
        for label, rows in sorted(groups.items())
    ]


def _only(values: Iterable[str]) -> str:
    found = set(values)
    return found.pop() if len(found) == 1 else ""


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def choose_agents(
    rows: list[AgentRow], benchmark: str, keep: Sequence[str] | None, exclude: Sequence[str]
) -> list[AgentRow]:
    """Return the agents that labels, globs or former names keep, without the excluded ones.

    Raises
    ------
    InputError
        A name to keep matches no agent, or none is left.
    """
    kept = (
        None if keep is None else {label for one in keep for label in _find(rows, benchmark, one)}
    )
    gone = {label for one in exclude for label in _find(rows, benchmark, one, needed=False)}
    chosen = [row for row in rows if (kept is None or row.label in kept) and row.label not in gone]
    if not chosen:
        msg = (
            f"expected to keep agents of {benchmark}, got none of {len(rows)}:"
            " choose others, or exclude fewer"
        )
        raise InputError(msg)
    return chosen


def _find(rows: list[AgentRow], benchmark: str, pattern: str, *, needed: bool = True) -> list[str]:
    """Return the labels that a label, a glob, or an unambiguous former name means."""
    exact = [row.label for row in rows if row.label == pattern]
    found = exact or [row.label for row in rows if fnmatchcase(row.label, pattern)]
    return found or only_former(rows, benchmark, pattern, needed=needed)


def only_former(rows: list[AgentRow], benchmark: str, name: str, *, needed: bool) -> list[str]:
    """Return the one label that a former name means, or none.

    Raises
    ------
    InputError
        It means several agents, or it is needed and means none.
    """
    former = [row.label for row in rows if name in row.former]
    if len(former) > 1:
        msg = (
            f"expected one agent of {benchmark}, got {name!r}, which was a name of"
            f" {', '.join(former)}: choose one of these"
        )
        raise InputError(msg)
    if not former and needed:
        known = nearest(name, [row.label for row in rows])
        msg = f"expected agents of {benchmark} such as {known}, got {name!r}: none matches"
        raise InputError(msg)
    return former


def read_contents(
    connection: "DuckDBPyConnection", benchmark_id: int, as_of: datetime | None
) -> list[Content]:
    """Return every content of every task of a benchmark, once for each version it was run under."""
    return [
        Content(**row)
        for row in fetch_dicts(connection, "tasks", benchmark_id=benchmark_id, as_of=as_of)
    ]


def read_version(
    connection: "DuckDBPyConnection",
    benchmark_id: int,
    as_of: datetime | None,
    wanted: str | None,
    *,
    benchmark: str,
) -> Version:
    """Return one version as `choose_version` does, without a look at the results where it can."""
    if wanted is None and fetch(connection, "plain_version", benchmark_id=benchmark_id)[0][0]:
        rows = fetch(connection, "plain_tasks", benchmark_id=benchmark_id)
        return Version(
            label="",
            names=tuple(name for _, name, _ in rows),
            digests=tuple(digest for *_, digest in rows),
            column_of={task: place for place, (task, *_) in enumerate(rows)},
            by_label=frozenset(),
        )
    return choose_version(
        read_contents(connection, benchmark_id, as_of), wanted, benchmark=benchmark
    )


def read_versions(
    connection: "DuckDBPyConnection", benchmark: str, benchmark_id: int
) -> Rows[VersionSummary]:
    """Summarise the versions of a benchmark, the newest first; at least one."""
    contents = read_contents(connection, benchmark_id, None)
    agents_of = dict(fetch(connection, "agents_of_tasks", benchmark_id=benchmark_id))
    found = Rows(of=VersionSummary)
    labels: list[str | None] = [*labels_of(contents)]
    for label in labels or [None]:
        version = choose_version(contents, label, benchmark=benchmark)
        starts = [
            each.last
            for each in contents
            if each.last is not None and (label is None or each.version == label)
        ]
        found.append(
            VersionSummary(
                label=version.label,
                tasks=len(version.names),
                agents=len({a for task in version.column_of for a in agents_of.get(task, ())}),
                last=utc(max(starts, default=None)),
            )
        )
    return found


def labels_of(contents: Sequence[Content]) -> list[str]:
    """Return the version labels, the one that was run last first; ties by name, backwards."""
    newest: dict[str, datetime] = {}
    for each in contents:
        if each.version:
            last = each.last or datetime.min
            newest[each.version] = max(newest.get(each.version, datetime.min), last)
    return sorted(newest, key=lambda label: (newest[label], label), reverse=True)


def choose_version(
    contents: Sequence[Content], wanted: str | None = None, *, benchmark: str = ""
) -> Version:
    """Return one version: the wanted one, else the newest.

    Where runs name fewer than two versions, the newest content of every task counts. Else the
    version holds what was run under its label. If no run under that label covered the whole
    benchmark, tasks that were not run under it are added with their newest content.

    Raises
    ------
    InputError
        No run says that it ran the wanted version.
    """
    labels = labels_of(contents)
    if wanted is not None and wanted not in labels:
        held = ", ".join(labels) or "none by name"
        msg = f"expected a version of {benchmark}, got {wanted!r}: it holds {held}"
        raise InputError(msg)
    label = wanted if wanted is not None else (labels[0] if len(labels) > 1 else "")
    mine = [each for each in contents if not label or each.version == label]
    names = {each.name for each in mine}
    if label and not any(each.whole for each in mine):
        mine += [each for each in contents if each.name not in names]
    return _assemble(label, mine, contents)


def _assemble(label: str, mine: Sequence[Content], contents: Sequence[Content]) -> Version:
    known: dict[str, set[str]] = {}
    for each in contents:
        if each.digest:
            known.setdefault(each.name, set()).add(each.digest)
    chosen: dict[str, str] = {}
    for each in sorted(mine, key=lambda one: (one.order, one.digest)):
        digests = known.get(each.name, set())
        if each.digest or not digests:
            chosen[each.name] = each.digest
        elif each.name not in chosen:  # run without a digest under this label: the only content
            chosen[each.name] = next(iter(digests)) if len(digests) == 1 else ""
    names = sorted(chosen)
    place = {name: column for column, name in enumerate(names)}
    column_of: dict[int, int] = {}
    by_label: set[int] = set()
    for each in contents:
        if each.name not in place:
            continue
        if each.digest in ("", chosen[each.name]):
            column_of[each.task_id] = place[each.name]
        if not each.digest and len(known.get(each.name, ())) > 1:
            by_label.add(each.task_id)
    return Version(
        label=label,
        names=tuple(names),
        digests=tuple(chosen[name] for name in names),
        column_of=column_of,
        by_label=frozenset(by_label),
    )
