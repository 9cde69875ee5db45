"""How long 1,000 Inspect logs of 60 samples take to import.

    python benchmarks/import_inspect_logs.py [--logs 1000] [--samples 60] [--workers 2]

The logs are copies of one real log of a simulated run, each with ids of its own. Target: under
20 s on two cores, with flat memory.
"""

import argparse
import json
import resource
import tempfile
import time
import zipfile
from pathlib import Path


def make_logs(folder: Path, logs: int, samples: int) -> list[Path]:
    from inspect_ai import Task
    from inspect_ai import eval as inspect_eval
    from inspect_ai.dataset import Sample
    from inspect_ai.scorer import match

    from midband.inspect import _registry

    del _registry  # imported so that its provider is known
    text = "Simulated task {}: name the number that belongs to it. " + "Some more words. " * 60
    data = [
        Sample(id=f"toy-{place}", input=text.format(place), target=str(place))
        for place in range(1, samples + 1)
    ]
    (log,) = inspect_eval(
        Task(name="toy", dataset=data, scorer=match()),
        model="midband_demo/agent-03",
        log_dir=str(folder / "base"),
        display="none",
    )
    with zipfile.ZipFile(log.location.removeprefix("file://")) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    header = json.loads(entries["header.json"])
    summaries = json.loads(entries["summaries.json"])
    paths = []
    for number in range(logs):
        header["eval"] |= {key: f"{key}-{number}" for key in ("eval_id", "run_id", "task_id")}
        header["eval"]["model"] = f"midband_demo/agent-{number:04d}"
        for place, summary in enumerate(summaries):
            summary["uuid"] = f"{number}-{place}"
        changed = {
            "header.json": json.dumps(header).encode(),
            "summaries.json": json.dumps(summaries).encode(),
        }
        path = folder / "logs" / f"{number:04d}.eval"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for name, content in (entries | changed).items():
                archive.writestr(name, content)
        paths.append(path)
    return paths


def peak_mb(who: int) -> float:
    return resource.getrusage(who).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", type=int, default=1000)
    parser.add_argument("--samples", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    wanted = parser.parse_args()

    from midband.importers.sources import import_paths
    from midband.inspect.logs import read_many
    from midband_history import History, Record, UnreadableSourceError

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = make_logs(folder, wanted.logs, wanted.samples)
        size = sum(path.stat().st_size for path in paths) / 1e6
        print(f"{len(paths)} logs of {wanted.samples} samples, {size:.0f} MB")
        before = peak_mb(resource.RUSAGE_SELF)
        start = time.perf_counter()
        records = 0
        for path, found in read_many(paths, workers=wanted.workers):
            if isinstance(found, UnreadableSourceError):
                raise SystemExit(f"{path}: {found}")
            records += sum(isinstance(each, Record) for each in found)
        took = time.perf_counter() - start
        print(
            f"read    {records} records in {took:5.1f} s with {wanted.workers} processes, at most"
            f" {peak_mb(resource.RUSAGE_CHILDREN):.0f} MB in a worker, {before:.0f} ->"
            f" {peak_mb(resource.RUSAGE_SELF):.0f} MB here"
        )
        start = time.perf_counter()
        with History.open(folder / "history.duckdb") as history:
            report = import_paths(history, [folder / "logs"])
        took = time.perf_counter() - start
        print(
            f"import  {report.added} records in {took:5.1f} s into a new history,"
            f" {peak_mb(resource.RUSAGE_SELF):.0f} MB here"
        )


if __name__ == "__main__":
    main()
