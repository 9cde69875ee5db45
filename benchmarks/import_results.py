"""How long 10,000 result files of each harness take to import, and how much memory.

    python benchmarks/import_results.py [--samples ../shared/raw_samples] [--files 10000]
        [--formats harbor,helm]

The files are copies of real ones with ids of their own, in the layout of the harness. `parse` reads
and decodes the same bytes and does nothing else: the bound. `read` recognises every file and turns
it into records; `import` walks the folder and adds them to a new history. Each format runs in a
process of its own, with a tenth of the files too: memory is flat if both peaks are alike. Formats
of large files stop at `--megabytes`. Target: `read` within a few times of `parse`, and flat. All
seconds are the processor's.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

LM_TIME = "2026-01-21T03-44-18.458309"
# Writes files below a folder, from the real samples; yields those that hold results.
Make = Callable[[Path, Path, int], Iterator[Path]]


def _load(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content)
    path.write_text(text, encoding="utf-8")
    return path


def harbor(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    job = samples / "harbor" / "round-000"
    trial = _load(job / "alpha__DJxshJW" / "result.json")
    own = _load(job / "result.json")
    for place in range(files):
        number, task = divmod(place, 100)
        name = f"task-{task}__{place:07d}"
        trial |= {"id": f"trial-{place}", "task_name": f"task-{task}", "trial_name": name}
        trial["task_id"] = {"path": f"ds/task-{task}"}
        trial["config"]["job_id"] = f"job-{number}"
        trial["agent_info"]["name"] = f"agent-{number}"
        if task == 0:
            _write(folder / f"job-{number}" / "result.json", own)
        yield _write(folder / f"job-{number}" / name / "result.json", trial)


def swebench(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    """Write reports of single instances, as the evaluation's source does: no sample holds one."""
    tests = {"success": [f"tests/test_{place}.py::test_case" for place in range(40)], "failure": []}
    for place in range(files):
        number, task = divmod(place, 100)
        report = {
            "patch_is_None": False,
            "patch_exists": True,
            "patch_successfully_applied": True,
            "resolved": place % 3 == 0,
            "tests_status": {"FAIL_TO_PASS": tests, "PASS_TO_PASS": tests},
        }
        where = folder / "logs" / "run_evaluation" / f"run-{number}" / "org__m" / f"x__y-{task}"
        yield _write(where / "report.json", {f"x__y-{task}": report})


def swebench_runs(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    real = next((samples / "swebench" / "experiments_repo_layout").glob("*gpt-4o-2024*"))
    results = _load(real / "results.json")
    for place in range(files):
        entry = folder / f"20240825_agent-{place}"
        _write(entry / "metadata.yaml", f"name: agent-{place}\n")
        yield _write(entry / "results.json", results)


def lm_eval_harness(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    real = samples / "lm_eval_harness"
    results = _load(real / f"results_{LM_TIME}.json")
    text = (real / f"samples_math_perturbed_full_{LM_TIME}.jsonl").read_text()
    for place in range(files):
        where = folder / f"org__m{place}"
        _write(where / f"results_{LM_TIME}.json", results | {"model_name": f"org/m{place}"})
        yield _write(where / f"samples_math_perturbed_full_{LM_TIME}.jsonl", text)


def tau2_bench(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    data = _load(samples / "tau2_bench" / "ironshell_ironforge_v3_deepseek.json")
    for place in range(files):
        data["info"]["agent_info"]["llm"] = f"org/m{place}"
        for number, each in enumerate(data["simulations"]):
            each["id"] = f"{place}-{number}"
        yield _write(folder / f"run-{place}" / "results.json", data)


def tau_bench(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    text = (samples / "tau_bench" / "gpt-4o-airline.first16.json").read_text()
    for place in range(files):
        yield _write(folder / f"m{place}-airline.json", text)


def helm(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    real = samples / "helm" / "narrative_qa-model=openai_gpt2"
    text, spec = (real / "per_instance_stats.json").read_text(), _load(real / "run_spec.json")
    for place in range(files):
        where = folder / f"narrative_qa-model=org_m{place}"
        spec["adapter_spec"]["model"] = f"org/m{place}"
        _write(where / "run_spec.json", spec)
        yield _write(where / "per_instance_stats.json", text)


def terminal_bench(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    real = samples / "terminal_bench" / "chaterm__2025-09-10__19-49-26__run_metadata.json"
    about = _load(real)
    trial = _load(next((samples / "terminal_bench").glob("trial__*results.json")))
    for place in range(files):
        number, task = divmod(place, 100)
        if task == 0:
            run = {"run_id": f"run-{number}", "agent_name": f"agent-{number}"}
            _write(folder / f"run-{number}" / "run_metadata.json", about | run)
        trial |= {"task_id": f"task-{task}", "trial_name": f"task-{task}.1-of-1.run-{number}"}
        where = folder / f"run-{number}" / f"task-{task}" / trial["trial_name"]
        yield _write(where / "results.json", trial)


def openhands_index(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    real = samples / "openhands_index" / "results__DeepSeek-V4-Pro"
    about, text = _load(real / "metadata.json"), (real / "gaia.json").read_text()
    for place in range(files):
        where = folder / f"entry-{place}"
        _write(where / "metadata.json", about | {"model": f"m{place}"})
        shutil.copy(real / "scores.json", where)
        yield _write(where / "gaia.json", text)


def every_eval_ever(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    (real,) = (samples / "every_eval_ever").glob("*_samples.jsonl")
    aggregate = _load(real.with_name(real.name.replace("_samples.jsonl", ".json")))
    rows = [json.loads(line) for line in real.read_text().splitlines()]
    for place in range(files):
        own = {"evaluation_id": f"e{place}"}
        aggregate |= own
        aggregate.get("model_info", {})["id"] = f"org/m{place}"
        lines = [json.dumps(row | own | {"model_id": f"org/m{place}"}) for row in rows]
        where = folder / f"m{place}"
        _write(where / f"u{place}.json", aggregate)
        yield _write(where / f"u{place}_samples.jsonl", "\n".join(lines) + "\n")


def hal(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    """Write uploads as HAL's source does: no sample holds one, and a database holds all runs."""
    tasks = [f"capsule-{number:07d}" for number in range(45)]
    for place in range(files):
        run = f"run-{place}"
        config = {
            "agent_name": f"Agent (m{place})",
            "benchmark_name": "corebench_hard",
            "date": "2026-01-02",
            "run_id": run,
            "agent_args": {},
            "run_command": "hal-eval",
        }
        results = {
            "accuracy": 20 / 45,
            "successful_tasks": tasks[:20],
            "failed_tasks": tasks[20:],
            "total_cost": 3.0,
        }
        usage = {task: {"explanation": "some words " * 20} for task in tasks}
        content = {"config": config, "results": results, "raw_eval_results": usage}
        yield _write(folder / run / f"{run}_UPLOAD.json", content)


def eval_arena(samples: Path, folder: Path, files: int) -> Iterator[Path]:
    real = samples / "swebench" / "eval-arena_swebench-verified.head.jsonl"
    lines = real.read_text().splitlines()[:60]
    rows = [json.loads(line) for line in lines]
    for place in range(files):
        text = "\n".join(json.dumps(row | {"model": f"m{place}"}) for row in rows)
        yield _write(folder / f"m{place}.jsonl", text + "\n")


MAKERS: dict[str, Make] = {
    each.__name__: each
    for each in (
        *(harbor, swebench, swebench_runs, lm_eval_harness, tau2_bench, tau_bench, helm),
        *(terminal_bench, openhands_index, every_eval_ever, hal, eval_arena),
    )
}


def _parse(path: Path) -> None:
    content = path.read_bytes()
    if path.suffix == ".jsonl":
        for line in content.splitlines():
            json.loads(line)
    else:
        json.loads(content)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(name: str, folder: Path) -> dict[str, float]:
    """Measure the files of a folder; in a process of its own for the peak of memory."""
    from midband._manager import get_plugin_manager
    from midband.descriptors import ReadOptions
    from midband.importers.reading import call_reader
    from midband.importers.sources import import_paths
    from midband_history import History, Record

    wanted = name.removesuffix("_runs").replace("_", "-")
    importers = get_plugin_manager().importers().values()
    importer = next(each for each in importers if each.name.replace("_", "-") == wanted)
    paths = [Path(line) for line in (folder / "list.txt").read_text().splitlines()]
    for path in paths:  # so that no measurement reads from the disk
        path.read_bytes()
    start = time.process_time()
    for path in paths:
        _parse(path)
    parse = time.process_time() - start
    rows = 0
    start = time.process_time()
    for path in paths:
        if not importer.sniff(path):
            raise SystemExit(f"{path}: expected a file of {name}, got one that is not recognised")
        items = call_reader(importer.read, path, ReadOptions())
        rows += sum(isinstance(each, Record) for each in items)
    read = time.process_time() - start
    reading = _peak_mb()
    start = time.process_time()
    with History.open(folder / "history.duckdb") as history:
        report = import_paths(history, [folder / "results"])
    took = time.process_time() - start
    if report.added != rows or report.refused:
        refused = report.refused[0].error if report.refused else "none refused"
        raise SystemExit(f"expected {rows} rows of {name} added, got {report.added}: {refused}")
    return {
        "files": len(paths),
        "rows": rows,
        "mb": sum(path.stat().st_size for path in paths) / 1e6,
        "parse": parse,
        "read": read,
        "import": took,
        "reading": reading,
        "importing": _peak_mb(),
    }


def _in_a_process(name: str, samples: Path, files: int, megabytes: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as text:
        folder, made, size = Path(text), [], 0.0
        for path in MAKERS[name](samples, folder / "results", files):
            made.append(path)
            size += path.stat().st_size / 1e6
            if size >= megabytes:
                break
        (folder / "list.txt").write_text("".join(f"{path}\n" for path in made))
        command = [sys.executable, __file__, "--measure", name, str(folder)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    beside = Path(__file__).parents[2] / "shared" / "raw_samples"
    parser.add_argument("--samples", type=Path, default=beside)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--megabytes", type=float, default=1000, help="stop a format there")
    parser.add_argument("--formats", default=",".join(MAKERS))
    parser.add_argument("--measure", nargs=2, metavar=("NAME", "FOLDER"))
    wanted = parser.parse_args()
    if wanted.measure:
        print(json.dumps(measure(wanted.measure[0], Path(wanted.measure[1]))))
        return
    if not wanted.samples.is_dir():
        print(f"no real result files at {wanted.samples}: name their folder with --samples")
        return
    print(
        f"{'format':16} {'files':>6} {'rows':>8} {'MB':>6} | {'parse s':>8} {'read s':>7}"
        f" {'ratio':>6} {'files/s':>8} {'rows/s':>8} | {'import s':>8} {'files/s':>8} | MB of a"
        " tenth -> all: read, import"
    )
    for name in wanted.formats.split(","):
        limit = wanted.megabytes
        found = _in_a_process(name, wanted.samples, wanted.files, limit)
        few = _in_a_process(name, wanted.samples, int(found["files"]) // 10 or 1, limit)
        print(
            f"{name:16} {found['files']:6.0f} {found['rows']:8.0f} {found['mb']:6.0f} |"
            f" {found['parse']:8.2f} {found['read']:7.2f} {found['read'] / found['parse']:6.2f}"
            f" {found['files'] / found['read']:8.0f} {found['rows'] / found['read']:8.0f} |"
            f" {found['import']:8.2f} {found['files'] / found['import']:8.0f} |"
            f" {few['reading']:.0f} -> {found['reading']:.0f},"
            f" {few['importing']:.0f} -> {found['importing']:.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
