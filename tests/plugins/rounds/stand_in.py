"""A stand-in for a harness: a command that writes the files of Harbor, and misbehaves on request.

It runs no agent. Scores follow from the task's name; every result that it writes, and every task
that it starts, is also noted in a ledger, as a bill would be.
"""

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path


def score(task: str, skill: int = 150) -> float:
    return float(hashlib.sha256(task.encode()).digest()[0] < skill)


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--ids", type=Path, required=True)
    parser.add_argument("--jobs", type=Path, required=True)
    parser.add_argument("--attempts", type=int, default=1)
    parser.add_argument("--ledger", type=Path, required=True)
    parser.add_argument("--agent", default="new")
    parser.add_argument("--skill", type=int, default=150, help="of 256 tasks, those that it solves")
    parser.add_argument("--cost", type=float)
    parser.add_argument("--api-key")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--exit", type=int, default=0)
    for name in ("hang", "half", "drop", "extra", "error", "changed", "once", "abort"):
        parser.add_argument(f"--{name}", action="append", default=[])
    parser.add_argument("--gate", type=Path, help="a pipe: wait once until somebody closes it")
    parser.add_argument("--gate-at", help="the task to wait with; before all by default")
    parser.add_argument("--worker", action="store_true", help="leave the work to another process")
    parser.add_argument("--child", action="store_true", help="let a child process hold on")
    return parser.parse_args(arguments)


def note(ledger: Path, line: str) -> None:
    with ledger.open("a") as file:
        file.write(line + "\n")
        file.flush()
        os.fsync(file.fileno())


def seen(ledger: Path, line: str) -> bool:
    return ledger.exists() and line in ledger.read_text().splitlines()


def wait_once(options: argparse.Namespace) -> None:
    if options.gate and not seen(options.ledger, "gate"):
        note(options.ledger, "gate")
        options.gate.read_bytes()


def result(task: str, attempt: int, options: argparse.Namespace) -> str:
    trial = f"{task}__{attempt:07d}"
    trouble = None
    if task in options.error:
        trouble = {"exception_type": "EnvironmentStartTimeoutError"}
    content = {
        "id": f"{options.jobs}/{trial}",
        "task_name": task,
        "trial_name": trial,
        "source": "toy",
        "task_checksum": "other" if task in options.changed else f"digest-{int(task[1:])}",
        "agent_info": {"name": options.agent, "version": "1"},
        "agent_result": {"cost_usd": options.cost},
        "verifier_result": None if trouble else {"rewards": {"reward": score(task, options.skill)}},
        "exception_info": trouble,
        "started_at": "2026-01-01T00:00:00Z",
    }
    return json.dumps(content, indent=4)


def main(arguments: list[str]) -> int:
    options = parse(arguments)
    if options.worker:
        rest = [word for word in arguments if word != "--worker"]
        subprocess.Popen([sys.executable, "-IS", __file__, *rest])
        return int(options.exit)
    tasks = json.loads(options.ids.read_text())
    note(options.ledger, f"round {' '.join(tasks)}")
    print(f"stand-in: {len(tasks)} tasks", flush=True)
    if not options.gate_at:
        wait_once(options)
    if options.child:
        subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    for task in [*tasks, *options.extra]:
        note(options.ledger, f"start {task}")
        if task in options.once and not seen(options.ledger, f"failed {task}"):
            note(options.ledger, f"failed {task}")
            print(f"stand-in: cannot run {task}", flush=True)
            return 3
        if task in options.abort:
            print(f"stand-in: cannot run {task}", flush=True)
            return 3
        if task in options.drop:
            continue
        if task == options.gate_at:
            wait_once(options)
        if task in options.hang:
            signal.pause()
        for attempt in range(options.attempts):
            folder = options.jobs / f"{task}__{attempt:07d}"
            folder.mkdir(parents=True)
            text = result(task, attempt, options)
            if task in options.half and not seen(options.ledger, f"failed {task}"):
                note(options.ledger, f"failed {task}")
                (folder / "result.json").write_text(text[: len(text) // 2])
                continue
            (folder / "result.json").write_text(text)
            note(options.ledger, f"result {task}")
    print("stand-in: done", flush=True)
    return int(options.exit)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
