"""How long the history takes to take in millions of results and to sum them up.

    python benchmarks/store.py [--rows 5000000] [--benchmarks 1] [--format parquet] [--fill]

The file is generated: agents x tasks x 5 attempts in rows of 11 columns. The baseline is DuckDB
alone on the same file in the same run: `CREATE TABLE AS` for an import, and for what is read the
plain aggregation of that table by names. Every step runs in a process of its own, which has its own
peak of memory. Targets at 5 million rows: import within 4 times the baseline and 1 GB, importing
again within .2 of the first import, pass rates within .5 s. Ratios are of the processor's seconds,
since these hold on a shared machine too; seconds by the clock stand beside them.

`--fill` writes the rows into the store by SQL instead of importing a file, for a history that is
too large to import here: nine tenths of the tasks make up the benchmark `large`, the others
`bench-0`.
Targets at 100 million rows (`--rows 100000000 --fill`): 14 bytes a row, pass rates within 1 s, the
matrix of `bench-0` within .5 s, that of `large` within 2 s and 1.5 GB. The baselines then read the
attempts of the store itself, as SQL would without stored sums.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ATTEMPTS = 5
_BY_TASK = "SELECT task_id, avg(score), count(*) FROM results GROUP BY task_id"
_BY_CELL = "SELECT agent, task_id, avg(score), count(*) FROM results GROUP BY agent, task_id"


def generate(folder: Path, *, rows: int, benchmarks: int, form: str) -> None:
    """Write about so many rows: 2,000 tasks, or 10,000 from 100 million rows on."""
    import duckdb

    tasks = 10_000 if rows >= 100_000_000 else 2_000
    agents = max(1, rows // (tasks * ATTEMPTS))
    options = "FORMAT parquet" if form == "parquet" else "FORMAT csv, HEADER"
    query = f"""
        SELECT
            'bench-' || t % {benchmarks} AS benchmark,
            'task-' || lpad(t::VARCHAR, 6, '0') AS task_id,
            'agent-' || lpad(a::VARCHAR, 5, '0') AS agent, 'org/model-' || a % 97 AS model,
            CAST(hash(a, t, k) % 1000 < (hash(a) % 500 + hash(t) % 500) AS INTEGER) AS score,
            CAST(k AS INTEGER) AS attempt, 'run-' || a AS run_id,
            TIMESTAMP '2026-01-01' + INTERVAL 1 DAY * CAST(a % 200 AS INTEGER) AS run_date,
            hash(a, t, k, 1) % 1000 / 1000 AS cost_usd,
            CAST(hash(a, t, k, 2) % 100000 AS DOUBLE) AS tokens,
            hash(a, t, k, 3) % 10000 / 10 AS duration_s
        FROM range({agents}) AS r(a), range({tasks}) AS s(t), range({ATTEMPTS}) AS u(k)"""
    connection = duckdb.connect()
    connection.execute(f"COPY ({query}) TO '{folder / f'results.{form}'}' ({options})")


_DIMENSIONS = """
INSERT INTO sources (source_id, name, digest, added_at)
SELECT 1, 'generated', '', TIMESTAMP '2026-01-01';
INSERT INTO benchmarks VALUES (1, 'large'), (2, 'bench-0');
INSERT INTO metrics SELECT b, b, 'score', '', 0, 1, false, 'source', 0, 1 FROM range(1, 3) AS r(b);
INSERT INTO tasks SELECT t + 1, CASE WHEN t < {large} THEN 1 ELSE 2 END,
    'task-' || lpad(t::VARCHAR, 6, '0'), '', '' FROM range({tasks}) AS r(t);
INSERT INTO agents SELECT a + 1, label, label, 'org/model-' || a % 97, '', '', ''
FROM (SELECT a, 'agent-' || lpad(a::VARCHAR, 5, '0') AS label FROM range({agents}) AS r(a));
INSERT INTO runs SELECT b * {agents} + a + 1, b + 1, a + 1, 'run-' || a, '', '',
    TIMESTAMP '2026-01-01' + INTERVAL 1 DAY * CAST(a % 200 AS INTEGER), NULL, '', true
FROM range({agents}) AS r(a), range(2) AS s(b);
"""
_ATTEMPTS = """
INSERT INTO outcomes SELECT
    a + 1, t + 1, CASE WHEN t < {large} THEN 0 ELSE {agents} END + a + 1, k, 0, passed, passed = 1,
    hash(a, t, k, 1) % 1000 / 1000, CAST(hash(a, t, k, 2) % 100000 AS DOUBLE),
    hash(a, t, k, 3) % 10000 / 10, 1, hash(a, t, k, 4), CASE WHEN t < {large} THEN 1 ELSE 2 END,
    NULL
FROM (
    SELECT *,
        CAST(hash(a, t, k) % 1000 < (hash(a) % 500 + hash(t) % 500) AS DOUBLE) AS passed
    FROM range({first}, {last}) AS r(a), range({tasks}) AS s(t), range({attempts}) AS u(k)
)
ORDER BY a, t, k
"""


def _fill(folder: Path, rows: int) -> None:
    """Write so many attempts into the store of a history: 10,000 tasks, five attempts each."""
    from midband_history import History

    tasks, block = 10_000, 50
    names = {"tasks": tasks, "large": tasks * 9 // 10, "agents": rows // (tasks * ATTEMPTS)}
    with History.open(folder / "history.duckdb") as history, history._writing() as connection:
        connection.execute(_DIMENSIONS.format(**names))
        for first in range(0, names["agents"], block):
            last = min(first + block, names["agents"])
            query = _ATTEMPTS.format(**names, first=first, last=last, attempts=ATTEMPTS)
            connection.execute(query)


def _add_up(folder: Path) -> None:
    from midband_history import History
    from midband_history.cells import refresh_all_cells

    with (
        History.open(folder / "history.duckdb") as history,
        history._writing() as connection,
    ):
        refresh_all_cells(connection)


def _create(folder: Path, form: str) -> None:
    import duckdb

    connection = duckdb.connect(str(folder / "plain.duckdb"))
    connection.execute(f"CREATE TABLE results AS FROM '{folder / f'results.{form}'}'")
    connection.close()


def _plain(folder: Path, query: str) -> None:
    import duckdb

    duckdb.connect(str(folder / "plain.duckdb"), read_only=True).execute(query).fetchnumpy()


def _import(folder: Path, form: str) -> None:
    from midband.importers.sources import import_paths
    from midband_history import History

    with History.open(folder / "history.duckdb") as history:
        report = import_paths(history, [folder / f"results.{form}"])
    if report.refused:
        raise SystemExit(f"expected {form} rows to be added, got: {report.refused[0].error}")


def _read(folder: Path, what: str, benchmark: str = "bench-0", **options: object) -> None:
    from midband_history import History

    with History.open(folder / "history.duckdb", read_only=True) as history:
        getattr(history, what)(benchmark, **options)


def _plain_in_store(folder: Path, query: str) -> None:
    from midband_history.connection import connect

    connect(folder / "history.duckdb", read_only=True).execute(query).fetchnumpy()


_STORED = (
    "FROM outcomes JOIN runs USING (run_id) JOIN benchmarks USING (benchmark_id)"
    " WHERE benchmarks.name = 'large' GROUP BY"
)


def measure(step: str, folder: Path, form: str, rows: int) -> dict[str, float]:
    """Measure one step in this process; reading steps run twice, and the second counts."""
    steps: dict[str, Callable[[], None]] = {
        "create": lambda: _create(folder, form),
        "import": lambda: _import(folder, form),
        "again": lambda: _import(folder, form),
        "by task": lambda: _plain(folder, _BY_TASK),
        "by cell": lambda: _plain(folder, _BY_CELL),
        "pass_rates": lambda: _read(folder, "pass_rates"),
        "agents": lambda: _read(folder, "agents"),
        "outcomes": lambda: _read(folder, "outcomes"),
        "fill": lambda: _fill(folder, rows),
        "add up": lambda: _add_up(folder),
        "tasks stored": lambda: _plain_in_store(
            folder, f"SELECT task_id, avg(score), count(*) {_STORED} task_id"
        ),
        "cells stored": lambda: _plain_in_store(
            folder, f"SELECT run_id, task_id, avg(score), count(*) {_STORED} run_id, task_id"
        ),
        "rates, large": lambda: _read(folder, "pass_rates", "large"),
        "agents, large": lambda: _read(folder, "agents", "large"),
        "all but one": lambda: _read(folder, "outcomes", exclude_agents=["agent-00000"]),
        "matrix, large": lambda: _read(folder, "outcomes", "large"),
    }
    if step in ("import", "again"):
        import midband.importers.sources  # noqa: F401
    if step not in ("create", "import", "again", "fill", "add up"):
        steps[step]()
    clock, processor = time.perf_counter(), time.process_time()
    steps[step]()
    return {
        "clock": time.perf_counter() - clock,
        "processor": time.process_time() - processor,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _in_a_process(step: str, folder: Path, form: str, rows: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--format", form, "--rows", str(rows)]
    command += ["--measure", step, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--benchmarks", type=int, default=1, help="share the tasks among so many")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--fill", action="store_true", help="write the store by SQL, no import")
    parser.add_argument("--measure", nargs=2, metavar=("STEP", "FOLDER"))
    wanted = parser.parse_args()
    form = wanted.format
    if wanted.measure:
        step, place = wanted.measure
        print(json.dumps(measure(step, Path(place), form, wanted.rows)))
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        if wanted.fill:
            _report(_FILLED, folder, wanted.rows, form)
            return
        generate(folder, rows=wanted.rows, benchmarks=wanted.benchmarks, form=form)
        _report(_IMPORTED, folder, wanted.rows, form)


# Every step with what it is compared with.
_IMPORTED = (
    *(("create", ""), ("import", "create"), ("again", "import"), ("by task", "")),
    *(("pass_rates", "by task"), ("agents", "by task"), ("by cell", ""), ("outcomes", "by cell")),
)
_FILLED = (
    *(("fill", ""), ("add up", "fill")),
    *(("tasks stored", ""), ("rates, large", "tasks stored"), ("agents, large", "tasks stored")),
    *(("pass_rates", ""), ("outcomes", ""), ("all but one", "outcomes"), ("cells stored", "")),
    ("matrix, large", "cells stored"),
)


def _report(steps: tuple[tuple[str, str], ...], folder: Path, rows: int, form: str) -> None:
    """Measure the steps one after the other and print a line for each."""
    found: dict[str, dict[str, float]] = {}
    print(f"{'step':13} {'clock s':>8} {'processor s':>12} {'peak MB':>8}  ratio to")
    for step, baseline in steps:
        one = found[step] = _in_a_process(step, folder, form, rows)
        ratio = ""
        if baseline:
            base = found[baseline]
            ratio = f"{one['processor'] / base['processor']:.2f} {baseline}"
            ratio += f" ({one['clock'] / base['clock']:.2f} by the clock)"
        print(
            f"{step:13} {one['clock']:8.2f} {one['processor']:12.2f} {one['mb']:8.0f}  {ratio}",
            flush=True,
        )
    for name in ("plain", "history"):
        if (file := folder / f"{name}.duckdb").exists():
            print(f"{name}: {file.stat().st_size / rows:.1f} bytes a row")


if __name__ == "__main__":
    main()
