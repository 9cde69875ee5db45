"""Samples of lm-evaluation-harness: a score a document, by one metric under one filter."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.files import entries, foreign, head, load_lines, written_number
from midband.adapters.lm_eval_harness.files import (
    WHAT,
    About,
    check_aggregate,
    counts,
    is_aggregate,
)
from midband.adapters.stated import (
    checkable,
    listed,
    no_such_metric,
    other_metrics,
    rounding,
    wanted_metric,
)
from midband.descriptors import ReadOptions
from midband_history import Metric, Note, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

_NO_METRICS = frozenset(
    {
        *("doc_id", "doc", "target", "arguments", "resps", "filtered_resps", "filter", "metrics"),
        *("doc_hash", "prompt_hash", "target_hash"),
    }
)
# What the harness's registry defines as the mean of values from 0 to 1.
_DECLARED = frozenset({"acc", "acc_norm", "acc_bytes", "acc_mutual_info", "acc_all", "exact_match"})
_UNIT = _DECLARED | {"em", "f1", "mc1", "mc2", "accuracy", "exact", "math_verify", "likelihood"}
_UNIT_STARTS = ("acc_", "pass@", "pass_at_")
_UNIT_ENDS = ("_acc", "_accuracy", "_em")


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record a document, by one metric under one filter.

    Without `options.metric` these are the task's first filter and its first metric that the
    harness defines from 0 to 1. ``NAME.FILTER`` chooses another.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, is the aggregate without samples, has no such metric, or
        has two documents under one number, as unsorted ``--samples`` make it write.
    """
    if is_aggregate(path):
        check_aggregate(path)
        return
    about = About.of(path, options)
    yield from about.notes
    yield from _Reading(about, options).items()


@dataclass(slots=True)
class _Seen:
    """What the rows of one samples file held."""

    digests: dict[str, str] = field(default_factory=dict)
    attempts: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    labels: dict[str, None] = field(default_factory=dict)
    sum: float = 0.0
    count: int = 0


class _Reading:
    """Reads the rows of one file, by the metric and filter that its first rows decide."""

    def __init__(self, about: About, options: ReadOptions) -> None:
        self.about = about
        self.options = options
        self.filters = about.filters()
        self.wanted = wanted_metric(options)
        self.name = ""
        self.filter = self.filters[0] if self.filters else ""
        self.metric = Metric()
        self.seen = _Seen()

    def items(self) -> "Iterator[ReadItem]":
        """Yield the records, then what is to be said and checked."""
        for row in self._rows():
            document = _document(row, self.about.path)
            digest = self._digest(row, document)
            which = self._filter_of(row, document)
            names = _metrics(row)
            if not self.name:
                self._choose(row, names, which)
            self.seen.labels.update({_label(name, which): None for name in names})
            if which != self.filter:
                continue
            score = score_of(row.get(self.name))
            if score is not None:
                self.seen.sum += score
                self.seen.count += 1
                self._check_scale(score)
            yield Record(
                **self.about.shared,
                task_id=document,
                score=score,
                kind="missing" if score is None else "valid",
                attempt=self.seen.attempts[document],
                task_digest=digest,
                metric=self.metric,
            )
            self.seen.attempts[document] += 1
        if self.name and not self.seen.attempts:
            asked = self.wanted or self.metric.label
            raise no_such_metric(self.about.path, WHAT, asked, self.seen.labels)
        yield from self._last()

    def _rows(self) -> Iterator[dict[str, Any]]:
        path = self.about.path
        # Before 0.4.3 the file is one array, whatever its ending.
        return entries(path, WHAT) if head(path).startswith(b"[") else load_lines(path, WHAT)

    def _digest(self, row: dict[str, Any], document: str) -> str:
        digest = str(row.get("doc_hash") or "") or _digest_of(row.get("doc"))
        if self.seen.digests.setdefault(document, digest[:16]) != digest[:16]:
            got = f"two documents under doc_id {document}: run again with sorted --samples"
            raise foreign(self.about.path, WHAT, got)
        return digest

    def _filter_of(self, row: dict[str, Any], document: str) -> str:
        """Return the filter of a row; before 0.4.7 rows do not name it, and stand in its order."""
        named = row.get("filter")
        place = self.seen.rows[document]
        self.seen.rows[document] += 1
        if named is not None:
            return str(named)
        if not self.filters:
            return "none"
        return self.filters[min(place, len(self.filters) - 1)]

    def _choose(self, row: dict[str, Any], names: list[str], which: str) -> None:
        """Decide metric and filter by the first row."""
        self.filter = self.filter or which
        fit = [
            name
            for name in names
            if not self.about.over_corpus(name) and not _is_composite(row.get(name))
        ]
        filters = self.filters or [self.filter]
        if self.wanted:
            self._take_wanted(names, filters)
        else:
            self.name = next((name for name in fit if _is_unit(name)), fit[0] if fit else "")
        if self.name not in fit:
            got = listed([self.name] if self.name else names)
            choose = f": choose one of {listed(fit)}" if fit else ""
            raise foreign(
                self.about.path,
                "a metric that scores every document",
                f"{got}, which the harness computes over the whole corpus only{choose}",
            )
        truth = isinstance(row.get(self.name), bool)
        known = self.name in _DECLARED or truth
        self.metric = Metric(
            name=self.name,
            key="" if self.filter == "none" else self.filter,
            lower_is_better=self.about.lower_is_better(self.name),
            declared="source" if known and self.options.scale is None else "",
        )

    def _take_wanted(self, names: list[str], filters: list[str]) -> None:
        for name in sorted(names, key=len, reverse=True):
            for given in (name, *(f"{name}{sep}{each}" for sep in ".," for each in filters)):
                if self.wanted == given:
                    self.name = name
                    self.filter = given[len(name) + 1 :] or self.filter
                    return
            # A filter that only later rows name, where no configuration lists the filters.
            if not self.filters and self.wanted.startswith((f"{name}.", f"{name},")):
                self.name, self.filter = name, self.wanted[len(name) + 1 :]
                return
        labels = [_label(name, each) for each in filters for name in names]
        raise no_such_metric(self.about.path, WHAT, self.wanted, labels)

    def _check_scale(self, score: float) -> None:
        if self.metric.declared and not self.metric.holds(score):
            expected = f"values of {self.metric.label} from 0 to 1"
            got = f"{score:g}: state its scale with --scale LOW HIGH"
            raise foreign(self.about.path, expected, got)

    def _last(self) -> "Iterator[ReadItem]":
        """Yield the notes, and the aggregates that the results state."""
        seen, about = self.seen, self.about
        if self.name:
            yield from other_metrics(self.metric.label, seen.labels)
        _, effective = counts(about.results, about.task)
        documents = len(seen.digests)
        reason = ""
        if effective is not None and documents == effective == len(seen.attempts):
            yield StatedAggregate(name="n-samples", value=effective, statistic="tasks")
        elif effective is not None and documents < effective:
            reason = f"the samples file holds {documents} of {effective} documents"
            text = f"{reason}, as after --samples or where it was cut"
            yield Note(code="results-absent", text=text)
        stated = about.stated(self.name, self.filter)
        if stated is None:
            return
        how = about.aggregation(self.name)
        if how not in ("", "mean", "nanmean"):
            reason = reason or f"the task aggregates it by {' '.join(how.split())[:40]}"
        one = StatedAggregate(
            name=f"{self.name},{self.filter}",
            value=stated,
            tolerance=rounding(stated, seen.count),
        )
        yield checkable(one, seen.sum / seen.count if seen.count else None, reason)


def score_of(value: object) -> float | None:
    """Return a score, of a truth value and of a number written as text too; None if unknown."""
    if isinstance(value, bool) or value in ("True", "False"):
        return float(value in (True, "True"))
    return written_number(value)  # as text where numpy's


def _is_composite(value: object) -> bool:
    """Whether a row holds what only the whole corpus makes a score of."""
    if isinstance(value, str):
        return score_of(value) is None and value.lower() != "nan"
    return isinstance(value, (list, dict))


def _is_unit(name: str) -> bool:
    return name in _UNIT or name.startswith(_UNIT_STARTS) or name.endswith(_UNIT_ENDS)


def _document(row: dict[str, Any], path: Path) -> str:
    if row.get("doc_id") in (None, ""):
        raise foreign(path, WHAT, "a row without doc_id")
    return str(row["doc_id"])


def _metrics(row: dict[str, Any]) -> list[str]:
    """Return the metrics of a row; before 0.4.7 they are what is not one of its fixed fields."""
    named = row.get("metrics")
    names: Iterable[object] = named if isinstance(named, list) else row
    return [name for name in map(str, names) if name not in _NO_METRICS]


def _label(name: str, filter_name: str) -> str:
    return name if filter_name == "none" else f"{name}.{filter_name}"


def _digest_of(doc: object) -> str:
    """Return the digest that the harness itself makes of a document since 0.4.3."""
    if not doc:
        return ""
    return sha256(
        json.dumps(doc, indent=2, ensure_ascii=False).encode(errors="surrogatepass")
    ).hexdigest()
