"""The payload: one matrix as compact bytes, so that any worker can be handed it."""

import functools
import hashlib
import io
import json
import zlib
from dataclasses import dataclass

import numpy as np

from midband_history import OutcomeMatrix


@dataclass(frozen=True)
class Payload:
    """A packed matrix and the digest of its content."""

    digest: str
    data: bytes


def pack(matrix: OutcomeMatrix) -> Payload:
    """Pack a matrix; arrays that hold nothing but NaN take no room."""
    arrays = {
        "attempt_scores": matrix.attempt_scores,
        "scores": matrix.scores,
        "run_cost_usd": matrix.run_cost_usd,
        "dates": matrix.dates.astype("datetime64[s]").astype(np.int64),
    }
    for name in ("cost_usd", "duration_s"):
        values = getattr(matrix, name)
        if not np.isnan(values).all():
            arrays[name] = values
    labels = json.dumps(
        [matrix.benchmark, matrix.agents, matrix.tasks, matrix.models, matrix.scaffolds,
         matrix.task_digests]
    )  # fmt: skip
    buffer = io.BytesIO()
    np.savez(buffer, labels=np.frombuffer(labels.encode(), np.uint8), **arrays)  # type: ignore[arg-type]
    hasher = hashlib.sha256(labels.encode())
    for name in sorted(arrays):
        hasher.update(name.encode())
        hasher.update(np.ascontiguousarray(arrays[name]).tobytes())
    return Payload(hasher.hexdigest(), zlib.compress(buffer.getvalue(), 1))


@functools.lru_cache(maxsize=4)
def unpack(payload: Payload) -> OutcomeMatrix:
    """Rebuild the matrix; the last four stay at hand in each process."""
    with np.load(io.BytesIO(zlib.decompress(payload.data)), allow_pickle=False) as stored:
        benchmark, agents, tasks, models, scaffolds, digests = json.loads(
            stored["labels"].tobytes().decode()
        )
        each = stored["attempt_scores"]
        nothing = np.full(each.shape[:2], np.nan)
        return OutcomeMatrix(
            benchmark=benchmark,
            agents=tuple(agents),
            tasks=tuple(tasks),
            scores=stored["scores"],
            attempts=np.sum(~np.isnan(each), axis=2).astype(np.int64),
            models=tuple(models),
            scaffolds=tuple(scaffolds),
            dates=stored["dates"].astype("datetime64[s]"),
            cost_usd=stored.get("cost_usd", nothing),
            duration_s=stored.get("duration_s", nothing),
            run_cost_usd=stored["run_cost_usd"],
            task_digests=tuple(digests),
            attempt_scores=each,
        )
