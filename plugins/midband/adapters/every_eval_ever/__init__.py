"""Every Eval Ever: ``<uuid>_samples.jsonl``, with its aggregate ``<uuid>.json`` beside it."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter, ImportOnly
from midband.adapters.every_eval_ever.results import (
    WHAT,
    Group,
    Result,
    Rows,
    digest_of,
    names_of,
    on_unit_scale,
    primary,
    results_of,
    score_of,
    seconds_of,
)
from midband.adapters.files import (
    AggregateOnlyError,
    foreign,
    load_lines,
    load_optional,
    mapping,
    moment,
    start_of,
    written_number,
)
from midband.adapters.stated import (
    MOST_ATTEMPTS,
    Quantities,
    checkable,
    fits,
    listed,
    no_such_metric,
    other_metrics,
    pooled,
    rounding,
    wanted_metric,
)
from midband.descriptors import Importer, ReadOptions
from midband_history import Note, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

NAME = "every-eval-ever"
_SAMPLES = "_samples.jsonl"
SOURCE_NAME = "midband history"  # what midband's own export states as its source
_QUOTED = "documentation"  # as the type of a source whose aggregate is quoted
# The fields of an attempt without a score, which that export names in the aggregate.
NOT_SCORED = (
    *("task_id", "kind", "attempt", "task_digest", "cost_usd", "tokens", "duration_s", "part"),
)


def sniff(path: Path) -> bool:
    """Whether a file begins like an aggregate or like samples."""
    samples, start = path.name.endswith(_SAMPLES), start_of(path, _SAMPLES, ".json")
    if not (start.startswith(b'{"schema_version":') and b'"evaluation_id":' in start):
        return False
    return b'"sample_id":' in start if samples else b'"source_metadata":' in start


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record a sample, by one result of every evaluation.

    Without `options.metric` this is the first result that is the mean of its rows. Attempt,
    scaffold and cost have no field of their own: they are looked for in ``metadata``. What
    `every_eval_ever_export.export` wrote comes back as the records it was given.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, has another number of rows than its aggregate says, is an
        aggregate without samples, has no such metric, or does not say whose its rows are.
    """
    if not path.name.endswith(_SAMPLES):
        if not path.with_name(path.stem + _SAMPLES).is_file():
            got = f"an aggregate without {path.stem}{_SAMPLES}: ask for the samples"
            raise AggregateOnlyError(str(foreign(path, WHAT, got)))
        return
    aggregate = load_optional(
        path.with_name(path.name.removesuffix(_SAMPLES) + ".json"), "an Every Eval Ever aggregate"
    )
    yield from _Reading(path, aggregate, options).items()


@dataclass(slots=True)
class _Seen:
    """What was read of one benchmark."""

    result: Result | None
    others: dict[str, None] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    sum: float = 0.0
    count: int = 0
    errors: list[tuple[Record, float | None]] = field(default_factory=list)

    @property
    def mean(self) -> float | None:
        """The mean of the scores of rows without an error."""
        return self.sum / self.count if self.count else None

    @property
    def counts_errors(self) -> bool:
        """Whether the aggregate is the mean over rows with an error too."""
        stated = self.result.score if self.result else None
        scores = [score for _, score in self.errors if score is not None]
        if stated is None or not scores or self.result is None or self.result.no_mean:
            return False
        tolerance = rounding(stated, None)
        if fits(stated, self.mean, tolerance):
            return False
        whole = (self.sum + sum(scores)) / (self.count + len(scores))
        return fits(stated, whole, tolerance)


class _Reading:
    """Reads the rows of one file."""

    def __init__(self, path: Path, aggregate: dict[str, Any], options: ReadOptions) -> None:
        self.path = path
        self.aggregate = aggregate
        self.options = options
        self.wanted = wanted_metric(options)
        self.results = results_of(aggregate, path, options)
        self.groups = self._first_pass()
        self.rows = Rows(self.results, self.groups, path=path, wanted=self.wanted)
        self.own = mapping(aggregate.get("source_metadata")).get("source_name") == SOURCE_NAME
        self.quantities = Quantities()
        self.shared = _shared_fields(aggregate, own=self.own)
        if not self.own:
            when = aggregate.get("evaluation_timestamp")
            self.shared["started"] = moment(when)
        self.seen: dict[str, _Seen] = {}

    def items(self) -> "Iterator[ReadItem]":
        """Yield the records, then what is to be said and checked."""
        yield from self._not_scored()
        places: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        rows = 0
        for row in load_lines(self.path, WHAT):
            rows += 1
            name, result_id, sample = names_of(row, self.path)
            place = places[name, result_id][sample]
            places[name, result_id][sample] += 1
            owner = self.rows.owner(name, result_id, place)
            owner = on_unit_scale(owner, self.groups.get((name, result_id), Group())) or owner
            seen = self._of(owner)
            chosen = seen.result
            seen.others[owner.metric.label] = None
            if chosen is None or chosen.metric.label != owner.metric.label:
                continue
            record, score = self._record(row, owner, seen.attempts[sample])
            seen.attempts[sample] += 1
            if record.errored:
                seen.errors.append((record, score))
                continue
            if record.score is not None:
                seen.sum += record.score
                seen.count += 1
            yield record
        stated = mapping(self.aggregate.get("detailed_evaluation_results")).get("total_rows")
        if isinstance(stated, int) and not isinstance(stated, bool) and stated != rows:
            raise foreign(self.path, f"{WHAT} in {stated} rows", f"{rows}: copy it again")
        for seen in self.seen.values():
            yield from _judged(seen)
        yield from self._last()

    def _first_pass(self) -> dict[tuple[str, str], Group]:
        """Look through the rows where the aggregate alone cannot tell whose or how scaled."""
        percent = any(each.metric.declared and each.metric.high > 1.0 for each in self.results)
        groups: defaultdict[tuple[str, str], Group] = defaultdict(Group)
        if not percent and len(self.results) < 2:
            return groups
        for row in load_lines(self.path, WHAT):
            name, result_id, sample = names_of(row, self.path)
            if result_id and not percent and not groups:
                break  # rows that name their result need no second look
            score = score_of(row)
            groups[name, result_id].add(sample, score, known=not row.get("error"))
        return groups

    def _of(self, owner: Result) -> _Seen:
        """Return what was read of a row's benchmark, and decide which result is read of it."""
        if owner.benchmark not in self.seen:
            siblings = [each for each in self.results if each.benchmark == owner.benchmark]
            if not any(each.metric.label == owner.metric.label for each in siblings):
                siblings = [owner]
            scaled = [owner if each.metric.same_as(owner.metric) else each for each in siblings]
            self.seen[owner.benchmark] = _Seen(primary(scaled, self.wanted))
        return self.seen[owner.benchmark]

    def _record(
        self, row: dict[str, Any], owner: Result, attempt: int
    ) -> tuple[Record, float | None]:
        """Return the record of a row, and its score even where an error hides it."""
        metadata, evaluation = mapping(row.get("metadata")), mapping(row.get("evaluation"))
        score = score_of(row)
        if score == -1 and owner.unknown_level:
            score = None
        if score is not None and owner.metric.declared and not owner.metric.holds(score):
            scale = f"{owner.metric.low:g} to {owner.metric.high:g}"
            got = f"{score:g}: state its scale with --scale LOW HIGH"
            raise foreign(self.path, f"scores of {owner.metric.label} from {scale}", got)
        failed = bool(row.get("error"))
        scaffold, model = str(metadata.get("scaffold") or ""), str(row["model_id"])
        numbered = written_number(metadata.get("attempt"))
        cost = written_number(metadata.get("cost_usd"))
        passed = evaluation.get("is_correct")
        says = owner.truth and not owner.metric.lower_is_better
        fields: dict[str, Any] = {
            "agent": f"{scaffold} ({model})" if scaffold else model,
            "model": model,
            "scaffold": scaffold,
            "run_id": str(row.get("evaluation_id") or ""),
            "tokens": self.quantities.tokens(mapping(row.get("token_usage")).get("total_tokens")),
            "duration_s": self.quantities.seconds(seconds_of(row, str(self.shared["harness"]))),
            "task_digest": digest_of(row),
            "part": owner.benchmark,
        } | self.shared
        if self.own:
            fields |= {
                "tokens": written_number(metadata.get("tokens")),
                "duration_s": written_number(metadata.get("duration_s")),
                "task_digest": str(metadata.get("task_digest") or ""),
                "part": str(metadata.get("part") or ""),
                "scored_at": moment(metadata.get("scored_at")),
            }
        elif failed:
            passed = None
        usable = score is not None and not failed
        record = Record(
            benchmark=self.options.benchmark or (owner.name if self.own else owner.benchmark),
            task_id=str(row["sample_id"]),
            score=score if usable else None,
            kind="infra_error" if failed else "valid" if usable else "missing",
            passed=passed if usable and isinstance(passed, bool) and (self.own or says) else None,
            attempt=int(numbered)
            if numbered is not None and 0 <= numbered < MOST_ATTEMPTS
            else attempt,
            cost_usd=cost if self.own else self.quantities.cost(cost),
            metric=owner.metric,
            errored=failed,
            **fields,
        )
        return record, score

    def _not_scored(self) -> Iterator[Record]:
        """Yield the attempts without a score, which only midband's own aggregates name."""
        if not self.own or not self.results:
            return
        named = self.options.benchmark or self.results[0].name
        details = _details_of(self.aggregate)
        try:
            for entry in json.loads(details.get("midband_not_scored") or "[]"):
                fields = {name: entry[name] for name in NOT_SCORED if name in entry}
                when = moment(entry.get("scored_at"))
                yield Record(
                    benchmark=named,
                    score=None,
                    metric=self.results[0].metric,
                    scored_at=when,
                    **fields,
                    **self.shared,
                )
        except (TypeError, ValueError, RecursionError) as error:
            raise foreign(self.path, "midband's attempts without a score", str(error)) from error

    def _last(self) -> "Iterator[ReadItem]":
        """Yield the notes and the stated aggregates; refuse what holds nothing that was wanted."""
        read = {name: seen for name, seen in self.seen.items() if seen.attempts}
        labels = [label for seen in self.seen.values() for label in seen.others]
        if self.seen and not read:
            asked = next((seen.result for seen in self.seen.values() if seen.result), None)
            wanted = self.wanted or (asked.metric.label if asked else "")
            raise no_such_metric(self.path, WHAT, wanted, labels)
        yield from self.rows.notes
        for name, seen in read.items():
            label = seen.result.metric.label if seen.result else ""
            siblings = [each.metric.label for each in self.results if each.benchmark == name]
            for note in other_metrics(label, [*seen.others, *siblings]):
                yield replace(note, text=f"{name}: {note.text}") if len(read) > 1 else note
        for name, seen in self.seen.items():
            if not seen.attempts:
                text = f"{name} has no rows of the metric: {listed(seen.others)}"
                yield Note(code="metric-absent", text=text)
        bare = [each.name for each in self.results if each.benchmark not in self.seen]
        if bare and self.seen:
            text = f"the aggregate states results that have no rows: {listed(bare)}"
            yield Note(code="not-checkable", text=text)
        yield from self.quantities.notes()
        yield from self._stated(read)

    def _stated(self, read: Mapping[str, _Seen]) -> Iterator[StatedAggregate]:
        stated = {
            name: seen
            for name, seen in read.items()
            if seen.result is not None and seen.result.score is not None
        }
        if self.options.benchmark and len(stated) > 1:
            parts = [
                (seen.result.score or 0.0, seen.count) for seen in stated.values() if seen.result
            ]
            value = pooled(parts)
            if value is not None and len(stated) == len(read):
                tolerance = max(rounding(score, count) for score, count in parts)
                label = f"the mean of {len(stated)} results"
                yield StatedAggregate(name=label, value=value, tolerance=tolerance)
            return
        for name, seen in stated.items():
            result = seen.result
            if result is None or result.score is None:
                continue
            count = seen.count + (len(seen.errors) if seen.counts_errors else 0)
            tolerance = rounding(result.score, None if self.own else count)
            one = StatedAggregate(
                name=result.metric.label,
                value=result.score,
                per_task=self.own,
                tolerance=tolerance,
                benchmark=name if len(read) > 1 else "",
            )
            reason = result.no_mean
            if mapping(self.aggregate.get("source_metadata")).get("source_type") == _QUOTED:
                reason = reason or "it is quoted from documentation, not computed from the rows"
            if result.samples is not None and result.samples > len(seen.attempts):
                reason = f"the rows hold {len(seen.attempts)} of {result.samples:g} samples"
            mean = seen.mean if not seen.counts_errors else result.score
            yield one if self.own else checkable(one, mean, reason)


def _judged(seen: _Seen) -> Iterator[Record]:
    """Yield the rows with an error, as scores where the aggregate counts them as such."""
    counted = seen.counts_errors
    for record, score in seen.errors:
        if counted and score is not None:
            yield replace(record, kind="valid", score=score)
        else:
            yield record


def _shared_fields(aggregate: dict[str, Any], *, own: bool) -> dict[str, Any]:
    """Return what all samples have in common, as fields of a record."""
    library = mapping(aggregate.get("eval_library"))
    shared: dict[str, Any] = {
        "harness": _known(library.get("name")) or NAME,
        "harness_version": _known(library.get("version")),
        "started": moment(aggregate.get("evaluation_timestamp")),
    }
    if not own:
        return shared | {"settings": _generation(aggregate)}
    source, details = mapping(aggregate.get("source_metadata")), _details_of(aggregate)
    about = mapping(mapping(aggregate.get("model_info")).get("additional_details"))
    return shared | {
        "agent": str(about.get("agent") or ""),
        "model": _known(about.get("model")),
        "scaffold": str(about.get("scaffold") or ""),
        "agent_version": str(about.get("agent_version") or ""),
        "settings": _settings(about.get("settings")),
        "run_id": str(mapping(source.get("additional_details")).get("run_id") or ""),
        "harness": _known(library.get("name")),
        "run_cost_usd": written_number(details.get("run_cost_usd")),
        "benchmark_version": str(details.get("benchmark_version") or ""),
        "whole_benchmark": details.get("whole_benchmark") == "True",
    }


def _details_of(aggregate: dict[str, Any]) -> dict[str, Any]:
    results = aggregate.get("evaluation_results")
    first = mapping(results[0]) if isinstance(results, list) and results else {}
    return mapping(mapping(first.get("score_details")).get("details"))


def _generation(aggregate: dict[str, Any]) -> dict[str, Any]:
    """Return how the model was called, where every result says the same."""
    results = aggregate.get("evaluation_results")
    said = [
        mapping(mapping(mapping(each).get("generation_config")).get("generation_args"))
        for each in (results if isinstance(results, list) else [])
    ]
    first = said[0] if said else {}
    return {
        name: value
        for name, value in first.items()
        if value is not None and all(each.get(name) == value for each in said)
    }


def _settings(text: object) -> dict[str, Any]:
    try:
        return mapping(json.loads(str(text or "{}")))
    except (ValueError, RecursionError):
        return {}


def _known(value: object) -> str:
    return "" if value in (None, "unknown") else str(value)


IMPORTER = Importer(
    name=NAME,
    sniff=sniff,
    read=read,
    suffixes=(".json", _SAMPLES),
    summary="Every Eval Ever: <uuid>.json with <uuid>_samples.jsonl.",
    version=2,
    former_names=("every_eval_ever",),
)
ADAPTER = Adapter(
    IMPORTER,
    harnesses=[
        ImportOnly(
            importer=IMPORTER,
            results="Every Eval Ever: read here, written by `midband history --export`.",
            why="it is a format of results, and runs nothing",
        )
    ],
)
