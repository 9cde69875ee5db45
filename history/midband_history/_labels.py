"""What agents are called: a name each within a benchmark, that says in what namesakes differ."""

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midband_history._sql import statement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_LONGEST = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What tells one agent from another.

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


def label_agents(agents: Iterable[Identity]) -> dict[int, str]:
    """Return a label for each agent, unique among them whatever their order.

    An agent is called by its name. Where several have one name, each label goes on with what the
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
    for benchmark, *row in connection.execute(
        statement("identities"), {"benchmarks": list(benchmarks)}
    ).fetchall():
        of_benchmark[benchmark].append(Identity(**dict(zip(Identity.__slots__, row, strict=True))))
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
