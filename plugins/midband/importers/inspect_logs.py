"""Inspect logs, ``.eval`` and ``.json``: header and summaries only, one record a sample."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband.hookspecs import hookimpl
from midband.inspect._samples import (
    attempt_cost,
    benchmark_name,
    primary_score,
    task_digest,
    task_id,
)
from midband_history import Record, UnreadableSourceError, process_pool

if TYPE_CHECKING:
    from concurrent.futures import Future
    from datetime import datetime

    from inspect_ai.log import EvalLog, EvalSampleSummary

    from midband_history import OutcomeKind

HEAD_BYTES = 4096
WORTH_WORKERS = 200  # starting a worker takes as long as reading so many logs
# How a run is carried out, not who the agent is.
_OPERATIONAL = frozenset(
    {
        "adaptive_connections",
        "attempt_timeout",
        "batch",
        "cache",
        "max_connections",
        "max_retries",
        "timeout",
    }
)
_LIMITS = ("message_limit", "token_limit", "turn_limit", "time_limit", "working_limit")


@hookimpl
def midband_register_importers() -> "Iterable[Importer]":
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="inspect",
            sniff=sniff,
            read=read,
            suffixes=(".eval", ".json"),
            summary="Inspect AI logs, .eval and .json.",
            read_many=read_many,
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file looks like an Inspect log: by its ending, or by how its JSON begins."""
    if path.suffix == ".eval":
        return path.is_file()
    if path.suffix != ".json" or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    squeezed = b"".join(head.split())
    return b'"eval":{' in squeezed and b'"status":"' in squeezed[: squeezed.find(b'"eval":{')]


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> list[Record]:
    """Read one log.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the name of the log's task.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        The log is truncated or foreign, or inspect-ai is not installed.
    """
    del columns
    header, summaries = _load(path)
    run = _Run(header, benchmark=benchmark)
    invalid = _invalidated(path) if getattr(header, "invalidated", False) else frozenset()
    return [run.record(summary, invalid=summary.uuid in invalid) for summary in summaries]


def read_many(
    paths: Sequence[Path], *, benchmark: str | None = None, workers: int | None = None
) -> Iterator[tuple[Path, list[Record] | UnreadableSourceError]]:
    """Read many logs in worker processes, in order, with a bounded number in memory.

    Parameters
    ----------
    paths : sequence of Path
    benchmark : str, optional
        Overrides the name of the logs' task.
    workers : int, optional
        Processes; the number of cores by default. Few logs are read in this process.

    Yields
    ------
    (path, records or the reason why the log cannot be read)
    """
    if workers == 1 or len(paths) < WORTH_WORKERS:
        for path in paths:
            yield path, _attempt(str(path), benchmark)
        return
    # A fresh interpreter a worker: forking a process that holds a database open is unsafe.
    with process_pool(workers) as pool:
        remaining = iter(paths)
        waiting: list[tuple[Path, Future[list[Record] | UnreadableSourceError]]] = []
        while True:
            room = 64 - len(waiting)
            waiting.extend(
                (path, pool.submit(_attempt, str(path), benchmark))
                for path in islice(remaining, room)
            )
            if not waiting:
                return
            path, future = waiting.pop(0)
            yield path, future.result()


def _attempt(path: str, benchmark: str | None) -> list[Record] | UnreadableSourceError:
    try:
        return read(Path(path), benchmark=benchmark, columns={})
    except UnreadableSourceError as error:
        return error


def _load(path: Path) -> "tuple[EvalLog, list[EvalSampleSummary]]":
    try:
        from inspect_ai.log import read_eval_log_sample_summaries
    except ImportError as error:
        msg = f"{path}: expected inspect-ai, got {error}: pip install 'midband[inspect]'"
        raise UnreadableSourceError(msg) from error
    if not path.is_file():
        msg = f"{path}: expected an Inspect log, got no file of that name: check the path"
        raise UnreadableSourceError(msg)
    try:
        header = _header(str(path))
        summaries = read_eval_log_sample_summaries(str(path))
    except Exception as error:  # a foreign file can make Inspect fail in any way
        found = _reason(path, error)
        msg = f"{path}: expected an Inspect log, got {found}: import it again when whole"
        raise UnreadableSourceError(msg) from error
    return header, summaries


def _header(path: str) -> "EvalLog":
    """Read a log's header.

    Older versions of Inspect write fractions into a JSON log's early stopping that they cannot read
    when asked for the header alone.
    """
    from inspect_ai.log import read_eval_log

    try:
        return read_eval_log(path, header_only=True)
    except ValueError as error:
        if not (path.endswith(".json") and "early_stopping" in str(error.__cause__)):
            raise
        return read_eval_log(path)


def _reason(path: Path, error: Exception) -> str:
    """Say in a few words what is wrong with a file that Inspect cannot read."""
    if path.suffix == ".eval" and not zipfile.is_zipfile(path):
        return "a truncated or foreign file (no zip directory at its end)"
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except ValueError as problem:
            return f"a truncated or foreign file ({problem})"
    cause = error.__cause__ or error
    first = (str(cause).splitlines() or [""])[0]
    return f"one that Inspect cannot read ({type(cause).__name__}: {first})"


class _Run:
    """What all records of one log share."""

    def __init__(self, header: "EvalLog", *, benchmark: str | None) -> None:
        spec = header.eval
        self._spec = spec
        scaffold = spec.solver or ""
        steps = [(step.solver, step.params) for step in header.plan.steps]
        settings: dict[str, object] = {
            "solver": _digest([scaffold, spec.solver_args] if scaffold else steps),
            "generate": {
                **_set_fields(spec.model_generate_config),
                **_set_fields(header.plan.config),
            },
            "model_args": spec.model_args,
            "model_roles": {
                role: [_set_fields(one) for one in (each if isinstance(each, list) else [each])]
                for role, each in (spec.model_roles or {}).items()
            },
            "task_args": _task_args(spec),
            **{name: getattr(spec.config, name, None) for name in _LIMITS},
        }
        # With a solver of the user's own the agent is model and solver; else the task's default.
        self._shared: dict[str, Any] = {
            "benchmark": benchmark or benchmark_name(spec.task),
            "agent": f"{spec.model} ({scaffold})" if scaffold else spec.model,
            "model": spec.model,
            "scaffold": scaffold or "+".join(name for name, _ in steps),
            "settings": {name: value for name, value in settings.items() if value},
            "run_id": spec.task_id or spec.run_id,
            "harness": "inspect",
            "harness_version": spec.packages.get("inspect_ai", ""),
            "started": _started(header),
        }

    def record(self, summary: "EvalSampleSummary", *, invalid: bool) -> Record:
        """Return the record of one sample."""
        spec = self._spec
        score = primary_score(summary.scores, spec=spec)
        kind = _kind(summary, score, invalid=invalid)
        usage = list(summary.model_usage.values())
        usd, seconds = attempt_cost(summary)
        own = summary.uuid or f"{spec.run_id}:{spec.task_id}:{summary.id}:{summary.epoch}"
        return Record(
            **self._shared,
            task_id=task_id(summary.id),
            score=score if kind == "valid" else None,
            kind=kind,
            attempt=max(summary.epoch - 1, 0),
            cost_usd=usd,
            tokens=float(sum(one.total_tokens for one in usage)) if usage else None,
            duration_s=seconds,
            task_digest=task_digest(summary.input, summary.target),
            source_key=own,
        )


def _kind(summary: "EvalSampleSummary", score: float | None, *, invalid: bool) -> "OutcomeKind":
    if summary.error is not None:
        cancelled = summary.error.startswith(("CancelledError(", "Cancelled("))
        return "cancelled" if cancelled else "infra_error"
    if invalid:
        return "grader_error"
    return "missing" if score is None else "valid"


def _invalidated(path: Path) -> frozenset[str | None]:
    """Return the uuids of samples that a reviewer declared invalid; summaries do not say."""
    from inspect_ai.log import read_eval_log_samples

    heavy = {"messages", "events", "store", "attachments", "output"}
    samples = read_eval_log_samples(str(path), all_samples_required=False, exclude_fields=heavy)
    return frozenset(
        sample.uuid for sample in samples if getattr(sample, "invalidation", None) is not None
    )


def _started(header: "EvalLog") -> "datetime | None":
    from datetime import UTC, datetime

    for text in (header.stats.started_at, header.eval.created):
        try:
            moment = datetime.fromisoformat(text)
        except (TypeError, ValueError):
            continue
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def _task_args(spec: Any) -> dict[str, object]:
    """Return the arguments given to the task; of midband's own task, those of the inner one."""
    ours = (spec.metadata or {}).get("midband")
    given = ours.get("args") if isinstance(ours, dict) else None
    return dict(given if isinstance(given, dict) else getattr(spec, "task_args_passed", {}) or {})


def _set_fields(config: Any) -> dict[str, object]:
    """Return what is set in one of Inspect's settings, without how the run is carried out."""
    if config is None:
        return {}
    plain = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return {name: value for name, value in plain.items() if name not in _OPERATIONAL}


def _digest(value: object) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
