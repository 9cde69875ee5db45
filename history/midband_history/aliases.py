"""Names that stand for others: of agents, and of benchmarks, which then are one."""

from typing import TYPE_CHECKING

from midband_history.cells import refresh_all_cells
from midband_history.connection import fetch_value, run_all
from midband_history.errors import InputError
from midband_history.labels import read_aliases
from midband_history.metrics import joinable, read_metrics

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def plain_benchmark(name: str) -> str:
    """Return a benchmark's name without the package of evaluations that it was run from.

    >>> plain_benchmark("inspect_evals/gsm8k")
    'gsm8k'
    """
    return name.removeprefix("inspect_evals/")


def benchmark_id_of(connection: "DuckDBPyConnection", name: str) -> int | None:
    """Return the id of a benchmark by its very name; None where there is none."""
    found = fetch_value(connection, "SELECT benchmark_id FROM benchmarks WHERE name = ?", name)
    return None if found is None else int(found)


def set_alias(connection: "DuckDBPyConnection", what: str, alias: str, name: str) -> int:
    """Let one name stand for another, in the caller's transaction; return how many attempts move.

    Raises
    ------
    InputError
        The alias is the name, or would lead in a circle.
    """
    held = read_aliases(connection, what)
    name = held.get(name, name)
    if what == "benchmark":
        name = plain_benchmark(name)
        plain = plain_benchmark(alias)
        alias = alias if plain == name else plain
    if alias == name:
        msg = f"expected two names of one {what}, got {alias!r} twice"
        raise InputError(msg)
    connection.execute(
        "DELETE FROM aliases WHERE what = $what AND alias = $alias", {"what": what, "alias": alias}
    )
    connection.execute("INSERT INTO aliases VALUES (?, ?, ?)", [what, alias, name])
    connection.execute(
        "UPDATE aliases SET name = $name WHERE what = $what AND name = $alias",
        {"what": what, "alias": alias, "name": name},
    )
    if what != "benchmark":
        return 0
    old, new = benchmark_id_of(connection, alias), benchmark_id_of(connection, name)
    if old is None:
        return 0
    moved = fetch_value(
        connection,
        "SELECT count(*) FROM outcomes JOIN runs USING (run_id) WHERE benchmark_id = ?",
        old,
    )
    if new is None:
        connection.execute("UPDATE benchmarks SET name = ? WHERE benchmark_id = ?", [name, old])
    else:
        _check_scales(connection, (alias, name), old, new)
        steps = ("merge_tasks", "merge_metrics", "merge_runs", "drop_orphans")
        run_all(connection, *steps, bound={"old": old, "new": new})
        refresh_all_cells(connection)
    return int(moved)


def _check_scales(
    connection: "DuckDBPyConnection", names: tuple[str, str], old: int, new: int
) -> None:
    """Refuse to join two benchmarks that differ in what one metric is."""
    theirs = [one.metric for _, _, one in read_metrics(connection, old)]
    ours = [one.metric for _, _, one in read_metrics(connection, new)]
    for one in theirs:
        for other in ours:
            if one.same_as(other) and not joinable(one, other):
                alias, name = names
                said = f"{alias} {one.label}".rstrip()
                msg = (
                    f"expected {one.label or 'the unnamed metric'} of {alias} to be that of"
                    f" {name}, got {one.scale_text()} and {other.scale_text()}: settle it with"
                    f" `midband history metric {said} --scale LOW HIGH`, and --lower-is-better"
                    " if it is"
                )
                raise InputError(msg)
