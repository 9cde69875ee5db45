"""How long the history takes to take in millions of results and to sum them up.

    python benchmarks/store.py [--rows 5000000] [--benchmarks 1] [--format parquet]

The file is generated: agents x tasks x 5 attempts in rows of 11 columns. The baseline is DuckDB
alone on the same file in the same run: `CREATE TABLE AS` for an import, and for what is read the
plain aggregation of that table by names. Every step runs in a process of its own, which has its own
peak of memory. Targets at 5 million rows: import within 4 times the baseline and 1 GB, importing
again within .2 of the first import, pass rates within .5 s; at 100 million rows (`--rows
100000000`) 14 bytes a row, pass rates within 1 s. Ratios are of the processor's seconds, since
these hold on a shared machine too; seconds by the clock stand beside them.
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


def _read(folder: Path, what: str) -> None:
    from midband_history import History

    with History.open(folder / "history.duckdb", read_only=True) as history:
        getattr(history, what)("bench-0")


def measure(step: str, folder: Path, form: str) -> dict[str, float]:
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
    }
    if step in ("import", "again"):
        import midband.importers.sources  # noqa: F401
    if step not in ("create", "import", "again"):
        steps[step]()
    clock, processor = time.perf_counter(), time.process_time()
    steps[step]()
    return {
        "clock": time.perf_counter() - clock,
        "processor": time.process_time() - processor,
        "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _in_a_process(step: str, folder: Path, form: str) -> dict[str, float]:
    command = [sys.executable, __file__, "--format", form, "--measure", step, str(folder)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--benchmarks", type=int, default=1, help="share the tasks among so many")
    parser.add_argument("--format", choices=("parquet", "csv"), default="parquet")
    parser.add_argument("--measure", nargs=2, metavar=("STEP", "FOLDER"))
    wanted = parser.parse_args()
    form = wanted.format
    if wanted.measure:
        print(json.dumps(measure(wanted.measure[0], Path(wanted.measure[1]), form)))
        return
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        generate(folder, rows=wanted.rows, benchmarks=wanted.benchmarks, form=form)
        found: dict[str, dict[str, float]] = {}
        print(f"{'step':12} {'clock s':>8} {'processor s':>12} {'peak MB':>8}  ratio to")
        for step, baseline in (
            *(("create", ""), ("import", "create"), ("again", "import"), ("by task", "")),
            *(("pass_rates", "by task"), ("agents", "by task"), ("by cell", "")),
            ("outcomes", "by cell"),
        ):
            one = found[step] = _in_a_process(step, folder, form)
            ratio = ""
            if baseline:
                base = found[baseline]
                ratio = f"{one['processor'] / base['processor']:.2f} {baseline}"
                ratio += f" ({one['clock'] / base['clock']:.2f} by the clock)"
            print(
                f"{step:12} {one['clock']:8.2f} {one['processor']:12.2f} {one['mb']:8.0f}  {ratio}",
                flush=True,
            )
        for name in ("plain", "history"):
            size = (folder / f"{name}.duckdb").stat().st_size
            print(f"{name}: {size / wanted.rows:.1f} bytes a row")


if __name__ == "__main__":
    main()
