"""HAL's ``<run>_UPLOAD.json``: the tasks of one run, without those it lists but never ran."""

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from midband.harnesses._adapting import option
from midband.harnesses._files import foreign, head, load_object, mapping, moment, number
from midband_history import OutcomeKind, Record

ENDING = "_UPLOAD.json"
_WHAT = "an upload of HAL"


def sniff_upload(path: Path) -> bool:
    """Whether a file is named like an upload, and begins like one."""
    if not path.name.endswith(ENDING) or not path.is_file():
        return False
    start = head(path)
    return start.startswith(b'{"config":{') and b'"agent_name":' in start


def read_upload(path: Path, *, benchmark: str | None, naming: re.Pattern[str]) -> Iterator[Record]:
    """Yield a record for every task that the run solved or failed.

    Some of HAL's benchmarks list every task they have as failed, whatever was run: only those
    count that were submitted, or else that the run's own ``--task_ids`` names. A task whose
    submission is an error of the harness is unknown, unless its time was up.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the name of the benchmark.
    naming : re.Pattern
        Takes an agent's name apart into ``scaffold`` and ``model``.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or names a task both solved and failed.
    """
    data = load_object(path, _WHAT)
    config, results = mapping(data.get("config")), mapping(data.get("results"))
    run_id, agent = str(config.get("run_id") or ""), str(config.get("agent_name") or "")
    if not run_id or not agent or not (benchmark or config.get("benchmark_name")):
        raise foreign(path, _WHAT, "none of its run_id, agent_name and benchmark_name")
    solved = _ids(results.get("successful_tasks"), path)
    failed = _ids(results.get("failed_tasks"), path)
    both = solved.keys() & failed.keys()
    if both:
        raise foreign(path, _WHAT, f"{min(both)!r} both solved and failed")
    submitted = _submitted(path.with_name(f"{run_id}_RAW_SUBMISSIONS.jsonl"))
    ran = set(submitted) or _asked(str(config.get("run_command") or ""))
    clocks = mapping(data.get("wall_clock_times"))
    name = benchmark or str(config["benchmark_name"])
    parts = naming.fullmatch(agent)
    scaffold, model = (parts["scaffold"], parts["model"]) if parts else ("", "")
    model = str(mapping(config.get("agent_args")).get("model_name") or model)
    started, cost = moment(config.get("date")), number(results.get("total_cost"))
    for tasks, score in ((solved, 1.0), (failed, 0.0)):
        for task in tasks:
            if ran and task not in ran:
                continue
            kind = "valid" if score else _kind(submitted.get(task))
            yield Record(
                benchmark=name,
                task_id=task,
                agent=agent,
                score=score if kind == "valid" else None,
                kind=kind,
                run_id=run_id,
                model=model,
                scaffold=scaffold,
                agent_version=str(config.get("agent_version") or ""),
                harness="hal",
                started=started,
                duration_s=number(clocks.get(task)),
                run_cost_usd=cost,
            )


def _ids(value: object, path: Path) -> dict[str, None]:
    if not isinstance(value, list):
        raise foreign(path, _WHAT, "no lists of successful_tasks and failed_tasks")
    return dict.fromkeys(str(task) for task in value)


def _submitted(path: Path) -> dict[str, Any]:
    """Return the last submission of each task; a line that HAL itself skips is skipped."""
    found: dict[str, Any] = {}
    if not path.is_file():
        return found
    with path.open(encoding="utf-8", errors="replace") as file:
        for line in file:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if isinstance(row, dict):
                found.update(row)
    return found


def _asked(command: str) -> set[str]:
    """Return the tasks of the run's own command line; none where it names none."""
    try:
        words: Sequence[str] = shlex.split(command)
    except ValueError:
        words = command.split()
    named = option(words, "--task_ids")
    return {task.strip() for task in named.split(",")} if named else set()


def _kind(submission: object) -> OutcomeKind:
    trouble = isinstance(submission, str) and submission.startswith("ERROR")
    return "infra_error" if trouble and "timed out" not in str(submission) else "valid"
