"""Inspect under ``midband run``: one adaptive eval, which resumes where it was cut off."""

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from midband.descriptors import Command
from midband.inspect.command import COMMANDS, inspect_program, parsed
from midband.inspect.limits import OPTIONS
from midband_history import InputError, UnreadableSourceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from midband.descriptors import Round
    from midband.rounds.run_settings import LiveSettings
    from midband_sampler import Plan

# Names the file to which a running eval writes the order of its choices.
ORDER = "MIDBAND_ORDER"
# What `midband run` decides, or what would leave no results to read.
_REFUSED = (
    "--adaptive",
    "--metric",
    "--max-errors",
    *OPTIONS,
    "--allow-changed",
    "--log-dir",
    "--run-config",
    "--no-log-samples",
    "--log-format",
    "--log-buffer",
    "--detach",
)
# What a user's own variables may say otherwise, and what results cannot be read without.
_NEEDED = {"INSPECT_LOG_FORMAT": "eval", "INSPECT_EVAL_LOG_FORMAT": "eval"}


def live_status(logs: Path) -> str:
    """Return ``finished`` or the status of the newest log below `logs`; empty without any.

    Raises
    ------
    UnreadableSourceError
        The newest log is truncated.
    """
    newest = _newest(logs)
    if newest is None:
        return ""
    status = _status(newest)
    return "finished" if status == "success" else status


def build_live_command(batch: "Round", settings: "LiveSettings") -> Command:
    """Return ``midband inspect eval``, or ``inspect eval-retry`` of an unfinished log.

    Each sample is written to the log as it ends, so that a kill loses none that was paid.
    """
    place = ("--log-dir", str(settings.logs), "--log-buffer", "1")
    environment = {ORDER: str(settings.order), **_NEEDED}
    earlier = _newest(settings.logs)
    if earlier is not None:
        log = _with_all_results(settings.logs, earlier, batch.name)
        step = (sys.executable, *inspect_program(), "eval-retry", str(log), *place)
        return Command(steps=(step,), results=settings.logs, environment=environment)
    ours = [*_limits(batch, settings), "--adaptive", str(settings.plan), *place]
    words = ["eval", *_checked(batch.arguments, settings), *ours]
    # Reads the words as the step will, so that a mistake is refused before it is begun.
    parsed(["eval", *batch.arguments, "--adaptive", str(settings.plan)]).one_task()
    step = (sys.executable, "-P", "-m", "midband", "inspect", *words)
    return Command(steps=(step,), results=settings.logs, environment=environment)


def _limits(batch: "Round", settings: "LiveSettings") -> list[str]:
    words: list[str] = []
    if settings.max_tasks is not None:  # Inspect's dataset is in the order of the plan
        words += ["--limit", str(settings.max_tasks)]
    if batch.attempts > 1:
        words += ["--epochs", str(batch.attempts)]
    if settings.max_errors is not None:
        words += ["--max-errors", str(settings.max_errors)]
    for unit, most in settings.limits.items():
        words += [f"--total-{unit}", f"{most:.15g}"]
    if settings.metric is not None:
        words += ["--metric", settings.metric]
    if settings.allow_changed:
        words.append("--allow-changed")
    return words


def _checked(arguments: "Sequence[str]", settings: "LiveSettings") -> "Sequence[str]":
    """Return the arguments after a check that none contradicts the run."""
    words = list(arguments)
    if words and words[0] in COMMANDS:
        msg = f"expected TASK and Inspect's options after --, got {words[0]!r}: leave it out"
        raise InputError(msg)
    if os.environ.get("INSPECT_EVAL_NO_LOG_SAMPLES", "").lower() in ("1", "true", "yes"):
        msg = "expected logs with samples, got INSPECT_EVAL_NO_LOG_SAMPLES: unset the variable"
        raise InputError(msg)
    limit = ("--limit",) if settings.max_tasks is not None else ()
    for word in words:
        name = word.partition("=")[0]
        if name == "--" or name in (*_REFUSED, *limit):
            msg = f"expected no {name} after --, got it: midband run decides that, leave it out"
            raise InputError(msg)
    model = parsed(["eval", *words, "--adaptive", str(settings.plan)]).value("--model") or ""
    if "," in model:
        msg = f"expected one model, got {model}: run each in a directory of its own"
        raise InputError(msg)
    return words


def _newest(logs: Path) -> Path | None:
    """Return the log that was written last."""
    found = [path for path in logs.glob("*.eval") if path.is_file()] if logs.is_dir() else []
    return max(found, key=lambda path: (path.stat().st_mtime_ns, path.name), default=None)


def _with_all_results(logs: Path, newest: Path, name: str) -> Path:
    """Return a log with every sample that has a result: the newest, or one joined from all.

    Inspect copies earlier samples one by one as a retry comes to them. One that was cut off may
    lack some that the log before it holds, and continuing with it would run them again.

    Raises
    ------
    UnreadableSourceError
        A log is truncated.
    """
    from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries, write_eval_log

    try:
        found = {
            path: {
                (each.id, each.epoch)
                for each in read_eval_log_sample_summaries(str(path))
                if each.error is None
            }
            for path in sorted(logs.glob("*.eval"), key=lambda path: path.stat().st_mtime_ns)
        }
        if found[newest] >= set().union(*found.values()):
            return newest
        log = read_eval_log(str(newest))
        samples = {}
        for path in found:
            for sample in read_eval_log(str(path)).samples or ():
                key = (sample.id, sample.epoch)
                if sample.error is None or key not in samples:
                    samples[key] = sample
        log.samples = list(samples.values())
        target = logs.parent / "joined" / f"{name}.eval"
        target.parent.mkdir(exist_ok=True)
        write_eval_log(log, str(target))
    except Exception as error:  # whatever a torn file does to Inspect
        reason = " ".join(str(error).split())
        msg = f"{logs}: expected Inspect logs, got {type(error).__name__}: {reason}"
        raise UnreadableSourceError(msg) from error
    return target


def _status(path: Path) -> str:
    try:
        from inspect_ai.log import read_eval_log
    except ImportError as error:
        msg = f"expected inspect-ai to be installed, got {error}: pip install 'midband[inspect]'"
        raise InputError(msg) from error
    try:
        return str(read_eval_log(str(path), header_only=True).status)
    except Exception as error:  # whatever a torn file does to Inspect
        reason = " ".join(str(error).split())
        msg = f"{path}: expected an Inspect log, got {type(error).__name__}: {reason}"
        raise UnreadableSourceError(msg) from error


def keep_order(plan: "Plan", tasks: "Sequence[str]") -> None:
    """Write tasks that are about to start to the file that `ORDER` names, if it names one."""
    place = os.environ.get(ORDER)
    if not place or not tasks:
        return
    line = json.dumps({"plan": plan.digest, "tasks": list(tasks)}, ensure_ascii=False)
    with Path(place).open("a", encoding="utf-8") as file:
        file.write(f"{line}\n")


def kept_order(plan: "Plan", place: Path | None = None) -> tuple[str, ...]:
    """Return the tasks that `keep_order` wrote, each once; a line that is cut off is passed over.

    Parameters
    ----------
    plan : Plan
    place : Path, optional
        The file; the one that `ORDER` names by default.
    """
    if place is None and not os.environ.get(ORDER):
        return ()
    path = Path(os.environ[ORDER]) if place is None else place
    if not path.is_file():
        return ()
    digest, known = plan.digest, set(plan.tasks)
    found: dict[str, None] = {}
    for line in path.read_bytes().splitlines():
        with suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            if entry["plan"] == digest:
                found.update(dict.fromkeys(task for task in entry["tasks"] if task in known))
    return tuple(found)
