"""What Inspect logs say of an adaptive run beside its results: its plan, its verdict, its end."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband_history import InputError

if TYPE_CHECKING:
    from midband_history import Record
    from midband_sampler import Plan

_HEAD = 200


def is_plan_file(path: Path) -> bool:
    """Whether a file is one that `midband plan` wrote, by how it begins."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return b'"midband_plan"' in file.read(_HEAD)


def logs_in(path: Path) -> list[Path]:
    """Return the Inspect logs at a path, the newest last."""
    if path.is_file():
        is_log = path.suffix == ".eval" or (path.suffix == ".json" and _is_json_log(path))
        return [path] if is_log else []
    found = [each for each in path.rglob("*.eval") if each.is_file()]
    found += [each for each in path.rglob("*.json") if each.is_file() and _is_json_log(each)]
    return sorted(found, key=lambda each: (each.stat().st_mtime_ns, each.name))


def _is_json_log(path: Path) -> bool:
    with path.open("rb") as file:
        return b'"status"' in file.read(_HEAD)


def header_of(log: Path) -> dict[str, Any]:
    """Return what the header of a log says; empty where it cannot be read."""
    try:
        from inspect_ai.log import read_eval_log

        header = read_eval_log(str(log), header_only=True)
    except Exception:  # whatever a foreign file does to Inspect
        return {}
    spec = header.eval
    return {
        "status": header.status,
        "metadata": spec.metadata or {},
        "arguments": {**(spec.task_args or {}), **(getattr(spec, "task_args_passed", {}) or {})},
        "model": spec.model,
        "packages": spec.packages or {},
        "created": spec.created,
        "started": getattr(header.stats, "started_at", "") or spec.created,
        "completed": getattr(header.stats, "completed_at", ""),
        "error": "" if header.error is None else header.error.message,
        "stopping": getattr(getattr(header.results, "early_stopping", None), "metadata", None),
    }


def digest_of_log(log: Path) -> str:
    """Return the digest of the plan that chose the samples of a log; empty where none did."""
    from midband.inspect import plan_of_log

    note = header_of(log).get("metadata", {}).get("midband")
    stated = note.get("plan_digest") if isinstance(note, Mapping) else None
    return plan_of_log(log) or str(stated or "")


def refuse_race(logs: Sequence[Path]) -> None:
    """Refuse the logs of a race, which another report shows.

    Raises
    ------
    InputError
        One of them is of a race.
    """
    from midband.inspect.log_file import RACE_RECORD

    for log in logs:
        if RACE_RECORD in (header_of(log).get("metadata") or {}):
            msg = f"expected one run, got the log of a race in {log}: use `midband report race`"
            raise InputError(msg)


def find_plan(log: Path, digest: str) -> Path:
    """Return the plan of a log: where the run had it, or near the log."""
    stated = str(header_of(log).get("arguments", {}).get("plan") or "")
    near = [log.parent, log.parent.parent]
    places = [Path(stated)] if stated else []
    if stated:
        places += [folder / Path(stated).name for folder in near]
    for folder in near:
        with suppress(OSError):
            places += sorted(each for each in folder.glob("*.json") if is_plan_file(each))
    for place in places:
        with suppress(OSError):
            if place.is_file() and _digest_of(place) == digest:
                return place
    where = f"at {stated}" if stated else f"beside {log}"
    msg = (
        f"expected plan {digest}, which chose the samples of {log}, found it neither {where} nor"
        " beside the log: name it first, as in `midband report run PLAN LOG`"
    )
    raise InputError(msg)


def _digest_of(place: Path) -> str:
    with place.open("rb") as file:
        file.seek(max(place.stat().st_size - _HEAD, 0))
        end = file.read().decode(errors="replace")
    return end.rpartition('"digest": "')[2].partition('"')[0]


def recorded_verdict(headers: Sequence[tuple[Path, Mapping[str, Any]]], plan: "Plan") -> Any:
    """Return the verdict that the newest log of this plan states.

    A run that chose its samples states it in its metadata, one in a fixed order where it stopped.
    """
    from midband.inspect.log_file import RECORD

    for _, each in reversed(headers):
        record = each["metadata"].get(RECORD) or each["stopping"]
        if isinstance(record, Mapping) and record.get("plan_digest") == plan.digest:
            return record
    return None


def inspect_command(header: Mapping[str, Any]) -> str:
    """Return the command that makes such a log; empty where no plan chose its samples."""
    arguments = header.get("arguments", {})
    plan, task = arguments.get("plan"), arguments.get("task")
    if not plan or not task:
        return ""
    words = ["midband", "inspect", "eval", str(task), "--adaptive", str(plan)]
    return " ".join([*words, "--model", str(header.get("model", "MODEL"))])


def log_facts(headers: Sequence[tuple[Path, Mapping[str, Any]]]) -> tuple[tuple[str, str], ...]:
    """Return what the newest log says of itself, by name."""
    if not headers:
        return ()
    log, newest = headers[-1]
    packages = ", ".join(f"{name} {value}" for name, value in sorted(newest["packages"].items()))
    facts = [("Log", str(log))] + ([("Made with", packages)] if packages else [])
    if newest["metadata"].get("simulated"):
        facts.append(("Simulated", "No model was called, and no money was spent."))
    return tuple(facts)


def log_gaps(headers: Sequence[tuple[Path, Mapping[str, Any]]]) -> list[str]:
    """Say what the state of the newest log leaves open."""
    if not headers:
        return []
    newest = headers[-1][1]
    if newest["status"] == "started":
        return ["The log is unfinished: the run is still running, or was killed."]
    if newest["status"] in ("error", "cancelled"):
        why = " ".join(str(newest["error"]).split())[:300]
        return [f"The run ended early ({newest['status']}{': ' if why else ''}{why})."]
    record = newest["metadata"].get("midband_run")
    if isinstance(record, Mapping) and record.get("failed_open"):
        why = " ".join(str(record.get("error")).split())[:300]
        return [f"midband could not judge this run while it ran, and every sample ran: {why}"]
    return []


def dates_of(
    headers: Sequence[tuple[Path, Mapping[str, Any]]], records: Sequence["Record"]
) -> tuple[datetime, ...]:
    """Return the first and the last moment that is known of the run."""
    found = [record.started for record in records if record.started is not None]
    for _, each in headers:
        for name in ("started", "completed"):
            with suppress(ValueError):
                moment = datetime.fromisoformat(str(each[name]))
                found.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return (min(found), max(found)) if found else ()
