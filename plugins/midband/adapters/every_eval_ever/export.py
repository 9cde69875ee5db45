"""Results as Every Eval Ever files: an aggregate a run, with its samples beside it."""

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from itertools import chain, groupby
from pathlib import Path
from typing import Literal
from uuid import UUID

from midband.adapters.every_eval_ever import NOT_SCORED, SOURCE_NAME
from midband.adapters.every_eval_ever.results import OWN_METRIC
from midband.text import settings_without_credentials, without_credentials
from midband_history import InputError, Metric, Record

SCHEMA_VERSION = "0.3.0"
SAMPLES = "_samples.jsonl"
Relationship = Literal["first_party", "third_party", "collaborative", "other"]
RELATIONSHIPS: tuple[Relationship, ...] = ("first_party", "third_party", "collaborative", "other")
UNKNOWN = "unknown"  # the format's own word where it wants a text and there is none

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[1-9]|lpt[1-9])(\..*)?|data")
_LONGEST = 100


@dataclass(frozen=True, kw_only=True)
class Publisher:
    """Who publishes, as every aggregate states it.

    Parameters
    ----------
    organization : str
        Who provides the data.
    relationship : str
        Of the one who evaluated to the models: one of `RELATIONSHIPS`.
    developers : mapping of str to str
        Globs over model names to the model's developer, for names that do not begin with it; the
        first that matches counts.
    """

    organization: str = UNKNOWN
    relationship: Relationship = "other"
    developers: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.relationship not in RELATIONSHIPS:
            allowed = ", ".join(RELATIONSHIPS)
            msg = f"expected relationship to be one of {allowed}, got {self.relationship!r}"
            raise InputError(msg)

    def developer(self, model: str) -> str:
        """Return who made a model; empty where neither a glob nor its name says."""
        given = (name for glob, name in self.developers.items() if fnmatchcase(model, glob))
        return next(given, model.partition("/")[0] if "/" in model else "")


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written of one run.

    Parameters
    ----------
    model : str
        As the format has it: the agent's name where the model is unknown.
    developer : str
        Empty where unknown.
    aggregate : Path or None
        The file that names the samples; None for a run without a single score, of which the
        format can state nothing.
    rows : int
        Attempts with a score, one a row.
    not_scored : int
        Attempts without one: named in the aggregate, never among the samples.
    """

    benchmark: str
    agent: str
    model: str
    developer: str
    aggregate: Path | None
    rows: int
    not_scored: int


def export(
    records: Iterable[Record], directory: Path, *, created: datetime, publisher: Publisher
) -> Iterator[Export]:
    """Write every run of `records` below ``directory/data``, and report each when it is written.

    One row is in memory at a time, besides a sum a task. The names of a run's files follow from
    the run alone, so that a later export replaces them.

    Parameters
    ----------
    records : iterable of Record
        Those of a run together, as `History.records` yields them.
    directory : Path
        Made if it is not there.
    created : datetime
        When the files are made, as each states it.
    publisher : Publisher
    """
    for identity, attempts in groupby(records, key=_identity):
        text = json.dumps(identity, sort_keys=True, default=str)
        yield _Run(text, created=created, publisher=publisher).write(attempts, directory)


def _identity(record: Record) -> tuple[object, ...]:
    """Return what makes two attempts those of one run."""
    return (
        record.benchmark, record.agent, record.model, record.scaffold, record.agent_version,
        record.settings, record.run_id, record.started,
        *((record.metric,) if record.metric.known else ()),
        *((record.benchmark_version,) if record.benchmark_version else ()),
    )  # fmt: skip


class _Run:
    """One run on its way into its two files."""

    def __init__(self, identity: str, *, created: datetime, publisher: Publisher) -> None:
        # The format wants UUIDs of version 4: these are so in form, and the same every time.
        self.name = str(UUID(bytes=hashlib.sha256(identity.encode()).digest()[:16], version=4))
        self.created = created
        self.publisher = publisher
        self.scores: defaultdict[str, list[float]] = defaultdict(lambda: [0.0, 0.0])
        self.cost: float | None = 0.0
        self.not_scored: list[dict[str, object]] = []
        self.rows = 0
        self.on_scale = True

    def write(self, attempts: Iterator[Record], directory: Path) -> Export:
        """Write the samples, then the aggregate that states their number and checksum."""
        self.first = first = next(attempts)
        self.model = without_credentials(first.model or first.agent)
        self.evaluation = f"{first.benchmark}/{self.model}/{self.name}"
        self.folder = Path("data", *_folders(first.benchmark, self.model, self.publisher))
        folder = directory / self.folder
        folder.mkdir(parents=True, exist_ok=True)
        partial = folder / f".{self.name}.part"
        checksum = hashlib.sha256()
        try:
            with partial.open("wb") as file:
                for record in chain((first,), attempts):
                    if self._count(record):
                        line = json.dumps(self._sample(record)).encode() + b"\n"
                        checksum.update(line)
                        file.write(line)
            aggregate = folder / f"{self.name}.json" if self.rows else None
            if aggregate is not None:
                partial.replace(folder / f"{self.name}{SAMPLES}")
                text = json.dumps(self._aggregate(checksum.hexdigest()), indent=2)
                partial.write_text(text + "\n", encoding="utf-8")
                partial.replace(aggregate)
        finally:
            partial.unlink(missing_ok=True)
        return Export(
            benchmark=first.benchmark,
            agent=first.agent,
            model=self.model,
            developer=self.publisher.developer(self.model),
            aggregate=aggregate,
            rows=self.rows,
            not_scored=len(self.not_scored),
        )

    def _count(self, record: Record) -> bool:
        """Take an attempt into the aggregate; return whether it is a sample."""
        known = self.cost is not None and record.cost_usd is not None
        self.cost = (self.cost or 0.0) + (record.cost_usd or 0.0) if known else None
        if record.score is None:
            named = {name: getattr(record, name) for name in NOT_SCORED}
            named |= {"scored_at": _moment(record.scored_at)}
            self.not_scored.append({k: v for k, v in named.items() if v not in (None, "")})
            return False
        sums = self.scores[record.task_id]
        sums[0] += record.score
        sums[1] += 1
        self.rows += 1
        self.on_scale = self.on_scale and record.metric.holds(record.score)
        return True

    def _sample(self, record: Record) -> dict[str, object]:
        passed = record.counts_as_passed
        # No text of input, output or messages is kept in the history.
        if record.scaffold:
            interaction: dict[str, object] = {"interaction_type": "agentic", "messages": []}
        else:
            interaction = {"interaction_type": "single_turn", "output": {"raw": []}}
        sample: dict[str, object] = {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": self.evaluation,
            "model_id": self.model,
            "evaluation_name": record.benchmark,
            "evaluation_result_id": "score",
            "sample_id": record.task_id,
            **interaction,
            "input": {"raw": "", "reference": []},
            "answer_attribution": [],
            "evaluation": {"score": record.score, "is_correct": passed},
            "metadata": _texts(
                attempt=record.attempt,
                scaffold=without_credentials(record.scaffold),
                cost_usd=record.cost_usd,
                tokens=record.tokens,
                duration_s=record.duration_s,
                # Their sample_hash is a digest of input and reference by a recipe of their own.
                task_digest=record.task_digest,
                part=record.part,
                scored_at=_moment(record.scored_at),
            ),
        }
        if record.duration_s is not None and record.duration_s >= 0:
            sample["performance"] = {"latency_ms": record.duration_s * 1000}
        return sample

    def _aggregate(self, checksum: str) -> dict[str, object]:
        first = self.first
        developer = self.publisher.developer(self.model)
        means = [total / count for total, count in self.scores.values()]
        started = {} if first.started is None else {
            "evaluation_timestamp": first.started.isoformat()
        }  # fmt: skip
        return {
            "schema_version": SCHEMA_VERSION,
            "evaluation_id": self.evaluation,
            **started,
            "retrieved_timestamp": f"{self.created.timestamp():.0f}",
            "source_metadata": {
                "source_name": SOURCE_NAME,
                "source_type": "evaluation_run",
                "source_organization_name": self.publisher.organization,
                "evaluator_relationship": self.publisher.relationship,
                "additional_details": _texts(run_id=first.run_id),
            },
            "eval_library": {
                "name": first.harness or UNKNOWN,
                "version": first.harness_version or UNKNOWN,
            },
            "model_info": {
                "name": self.model.rpartition("/")[2] or self.model,
                "id": self.model,
                **({"developer": developer} if developer else {}),
                "additional_details": {
                    "deployment_type": UNKNOWN,
                    "model_availability": UNKNOWN,
                    **_texts(
                        agent=without_credentials(first.agent),
                        model=self.model if first.model else UNKNOWN,
                        scaffold=without_credentials(first.scaffold),
                        agent_version=without_credentials(first.agent_version),
                        settings=_json(settings_without_credentials(first.settings)),
                    ),
                },
            },
            "evaluation_results": [
                {
                    "evaluation_result_id": "score",
                    "evaluation_name": first.benchmark,
                    "source_data": {"dataset_name": first.benchmark, "source_type": "other"},
                    "metric_config": _metric_config(first.metric, bounded=self.on_scale),
                    "score_details": {
                        "score": _mean(first.metric, means),
                        "details": _texts(
                            tasks=len(means),
                            attempts=self.rows,
                            cost_usd=self.cost,
                            run_cost_usd=first.run_cost_usd,
                            benchmark_version=first.benchmark_version,
                            whole_benchmark=first.whole_benchmark or "",
                            midband_not_scored=_json(self.not_scored),
                        ),
                    },
                }
            ],
            "detailed_evaluation_results": {
                "format": "jsonl",
                "file_path": (self.folder / f"{self.name}{SAMPLES}").as_posix(),
                "hash_algorithm": "sha256",
                "checksum": checksum,
                "total_rows": self.rows,
            },
        }


def _metric_config(metric: Metric, *, bounded: bool) -> dict[str, object]:
    """Return the metric on its own scale; without bounds where its values contradict them."""
    unit = (metric.low, metric.high) == (0.0, 1.0)
    scale = {"score_type": "continuous", "min_score": metric.low, "max_score": metric.high}
    return {
        "evaluation_description": "Mean over tasks of each task's mean score.",
        "metric_id": metric.label or "score",
        "metric_name": metric.label or "score",
        "metric_unit": "proportion" if unit and bounded else "points",
        "lower_is_better": metric.lower_is_better,
        **(scale if bounded else {}),
        "additional_details": {OWN_METRIC: json.dumps(asdict(metric), sort_keys=True)},
    }


def _mean(metric: Metric, means: list[float]) -> float:
    """Return the mean over tasks, which rounding may not lead beyond the scale."""
    mean = sum(means) / len(means)
    return min(max(mean, metric.low), metric.high) if metric.holds(mean) else mean


def _moment(value: datetime | None) -> str:
    return "" if value is None else value.isoformat()


def _texts(**values: object) -> dict[str, str]:
    """Return the values as the texts that the format wants; what is unknown stays absent."""
    return {name: str(value) for name, value in values.items() if value not in (None, "")}


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, default=str) if value else ""


def _folders(benchmark: str, model: str, publisher: Publisher) -> tuple[str, str, str]:
    """Return collection, developer and model as the format's own rule makes folders of them."""
    first, *rest = model.split("/")
    if rest:
        return _folder(benchmark), _folder(first), _folder("_".join(rest))
    return _folder(benchmark), _folder(publisher.developer(model) or UNKNOWN), _folder(model)


def _folder(name: str) -> str:
    """Return a folder's name that every file system takes."""
    safe = _UNSAFE.sub("_", name).rstrip(". ")
    if not safe or safe.startswith(".") or _RESERVED.fullmatch(safe):  # hidden is not read again
        safe = f"_{safe}"
    if len(safe.encode()) > _LONGEST:
        digest = hashlib.sha256(name.encode()).hexdigest()[:12]
        safe = safe.encode()[: _LONGEST - 13].decode(errors="ignore") + f"-{digest}"
    return safe
