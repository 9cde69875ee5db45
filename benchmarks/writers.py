"""How long it takes until a batch of results is safe, with eight processes that write at once.

The baseline is what the disk itself takes: a file of the same size, written, confirmed and renamed.

    python benchmarks/writers.py [--writers 8] [--batches 100] [--rows 100]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from midband_history import History, Inbox, Record


def write(path: Path, name: str, batches: int, rows: int) -> None:
    """Write batches and print the milliseconds of each, beside those of the baseline."""
    with Inbox(path) as inbox:
        inbox.write([Record(benchmark="toy", task_id="0", agent=f"{name}-first", score=1.0)])
        for i in range(batches):
            records = [
                Record(benchmark="toy", task_id=str(j), agent=f"{name}-{i}", score=float(j % 2))
                for j in range(rows)
            ]
            start = time.perf_counter()
            batch = inbox.write(records, source=name)
            took = time.perf_counter() - start
            size = 0 if batch is None else batch.stat().st_size
            start = time.perf_counter()
            _plain(path.parent / f"{name}.plain", os.urandom(size))
            plain = time.perf_counter() - start
            print(1e3 * took, 1e3 * plain, flush=True)


def _plain(path: Path, content: bytes) -> None:
    with path.with_suffix(".part").open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    path.with_suffix(".part").rename(path)
    handle = os.open(path.parent, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)


def main() -> int:
    """Run all writers at once and count what the history then holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--as-writer", nargs=2, metavar=("HISTORY", "NAME"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.as_writer:
        write(Path(given.as_writer[0]), given.as_writer[1], given.batches, given.rows)
        return 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.duckdb"
        sizes = ["--batches", str(given.batches), "--rows", str(given.rows)]
        workers = [
            subprocess.Popen(
                [sys.executable, __file__, *sizes, "--as-writer", str(path), f"w{i}"],
                stdout=subprocess.PIPE,
                text=True,
            )
            for i in range(given.writers)
        ]
        said = [line for each in workers for line in each.communicate()[0].splitlines()]
        took, plain = np.array([line.split() for line in said], dtype=float).T
        for name, values in (("a batch", took), ("the disk alone", plain)):
            p50, p99 = np.percentile(values, [50, 99])
            print(f"{name}: p50 {p50:.1f} ms, p99 {p99:.1f} ms")
        start = time.perf_counter()
        with History.open(path) as history:
            held = sum(each.attempts for each in history.benchmarks())
        print(f"taking {len(took) + given.writers} batches in: {time.perf_counter() - start:.2f} s")
        wanted = given.writers * (given.batches * given.rows + 1)
        print(f"attempts: {held:,} of {wanted:,}")
        return 0 if held == wanted else 1


if __name__ == "__main__":
    raise SystemExit(main())
