"""``midband inspect eval-retry LOG...`` for the logs of one race: its models go on together.

Inspect retries logs one after the other, so that the first model would run far ahead of those whose
turn has not come. Here what Inspect would run for each log is collected and run at once. Where this
version of Inspect works in another way, the logs are retried one after the other.
"""

import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any


def are_of_one_race(words: Sequence[str]) -> bool:
    """Whether a retry names several logs, all of one race and each of another model."""
    logs = [word for word in words[1:] if word.endswith((".eval", ".json"))]
    if words[:1] != ["eval-retry"] or len(logs) < 2:
        return False
    from inspect_ai.log import read_eval_log

    races: set[object] = set()
    models: set[str] = set()
    for log in logs:
        if not Path(log).is_file():
            return False
        try:
            spec = read_eval_log(log, header_only=True).eval
        except Exception:  # Inspect will say what is wrong with it
            return False
        note = (spec.metadata or {}).get("midband")
        races.add(note.get("race") if isinstance(note, Mapping) else None)
        models.add(spec.model)
    return len(races) == 1 and None not in races and len(models) == len(logs)


def retry_together() -> None:
    """Let Inspect's retry in this process run the logs that it is given at once."""
    from inspect_ai._eval import eval as module

    names: Any = module
    one_by_one, run = names.eval_retry_async, names.eval_async

    async def together(tasks: Any, **settings: Any) -> Any:
        collected: list[tuple[Any, dict[str, Any]]] = []

        async def collect(*, tasks: Any, **given: Any) -> list[Any]:
            collected.append((tasks, given))
            return [tasks.log]

        names.eval_async = collect
        try:
            logs = await one_by_one(tasks, **settings)
            each = [replace(task, model=given["model"]) for task, given in collected]
            at_once = settings.get("max_tasks") or len(each)
            first = {**collected[0][1], "max_tasks": at_once} if each else {}
        except Exception:
            names.eval_async = run
            return await one_by_one(tasks, **settings)
        finally:
            names.eval_async = run
        if each:
            logs = await run(tasks=each, **first)
            _tidy([task.log for task, _ in collected], logs)
        return logs

    names.eval_retry_async = together


def _tidy(begun: Sequence[Any], logs: Sequence[Any]) -> None:
    """Remove what Inspect wrote to go on with a killed run, as its own retry does."""
    from inspect_ai._util.file import filesystem

    for before, after in zip(begun, logs, strict=False):
        if after.status == "success" and before.location.endswith("-recovered.eval"):
            with suppress(OSError):
                filesystem(before.location).rm(before.location)


if __name__ == "__main__":
    from inspect_ai._cli.main import main

    retry_together()
    sys.argv[0] = "inspect"
    main()
