"""Results of an Every Eval Ever aggregate and its rows: metrics, scores, which rows are whose."""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from midband.adapters.files import foreign, list_of_objects, mapping, number, truth_or_number
from midband.adapters.stated import fits, listed, rounding
from midband.descriptors import ReadOptions
from midband_history import Metric, Note

WHAT = "samples of Every Eval Ever"
OWN_METRIC = "midband_metric"  # where midband's own export keeps the metric as it was
_INSPECT_PREFIX = "inspect_evals/"
# Of these the rows do not have the mean that the aggregate states.
_NO_MEANS = frozenset(
    {
        *("std", "stddev", "stderr", "var", "variance", "median", "perplexity", "elo", "auroc"),
        *("word_perplexity", "byte_perplexity", "bits_per_byte", "bleu", "chrf", "ter", "mcc"),
        *("rmse", "f1_macro", "f1_micro", "pass_at_k", "pass_hat_k", "bootstrap_stderr"),
    }
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """One result of an aggregate, to which rows belong.

    Parameters
    ----------
    name, result_id : str
        Of the evaluation, and of the result within it; the latter may be absent.
    benchmark : str
        What the evaluation is of.
    metric : Metric
    labels : frozenset of str
        Every name by which ``--metric`` chooses it.
    score : float or None
        What the aggregate states.
    samples : float or None
        How many samples it is of, where stated.
    unknown_level : bool
        Whether a score of -1 stands for an unknown one.
    truth : bool
        Whether its scores are passes and failures.
    no_mean : str
        Why the score may be other than the mean of the rows; empty if it must not be.
    """

    name: str
    result_id: str
    benchmark: str
    metric: Metric
    labels: frozenset[str] = frozenset()
    score: float | None = None
    samples: float | None = None
    unknown_level: bool = False
    truth: bool = False
    no_mean: str = ""


@dataclass(slots=True)
class Group:
    """What the rows of one evaluation and result id hold, over a first pass."""

    sum: float = 0.0
    count: int = 0
    low: float = math.inf
    high: float = -math.inf
    places: Counter[str] = field(default_factory=Counter)
    by_place: defaultdict[int, list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0])
    )

    def add(self, sample: str, score: float | None, *, known: bool) -> None:
        """Take in a row."""
        place = self.places[sample]
        self.places[sample] += 1
        if score is None or not known:
            return
        self.sum += score
        self.count += 1
        self.low, self.high = min(self.low, score), max(self.high, score)
        cell = self.by_place[place]
        cell[0] += score
        cell[1] += 1

    @property
    def mean(self) -> float | None:
        """The mean of the rows with a score."""
        return self.sum / self.count if self.count else None


def results_of(aggregate: Mapping[str, Any], path: Path, options: ReadOptions) -> list[Result]:
    """Return the results of an aggregate, in its order.

    Raises
    ------
    UnreadableSourceError
        They are no list of objects.
    """
    library = str(mapping(aggregate.get("eval_library")).get("name") or "")
    found = list_of_objects(aggregate.get("evaluation_results") or [], path, "results")
    alone = Counter(str(each.get("evaluation_name")) for each in found)
    return [
        _result(
            each,
            library,
            undeclared=options.scale is not None,
            alone=alone[str(each.get("evaluation_name"))] == 1,
        )
        for each in found
    ]


def benchmark_of(name: str) -> str:
    """Return the benchmark of an evaluation; Inspect's own collection prefixes its names."""
    return name.removeprefix(_INSPECT_PREFIX) or name


def unstated(name: str, result_id: str) -> Result:
    """Return a result that no aggregate states, for rows that name it."""
    return Result(
        name=name,
        result_id=result_id,
        benchmark=benchmark_of(name),
        metric=Metric(name=result_id or "score"),
        labels=frozenset({result_id or "score"}),
    )


def _result(each: Mapping[str, Any], library: str, *, undeclared: bool, alone: bool) -> Result:
    config = mapping(each.get("metric_config"))
    name, result_id = str(each.get("evaluation_name")), str(each.get("evaluation_result_id") or "")
    details = mapping(each.get("score_details"))
    # An id may be that of one run, so it names a metric only where several must be told apart.
    unnamed = "score" if alone else result_id or "score"
    metric_name = str(config.get("metric_name") or config.get("metric_id") or unnamed)
    key = _key(result_id, metric_name)
    benchmark = benchmark_of(name)
    if library == "lm_eval" and key and name.endswith(f"/{key}"):
        benchmark = name.removesuffix(f"/{key}")
    low, high = _scale(config)
    declared = low is not None and high is not None
    metric = Metric(
        name=metric_name,
        key=key,
        low=low if low is not None and declared else 0.0,
        high=high if high is not None and declared else 1.0,
        lower_is_better=config.get("lower_is_better") is True,
        declared="source" if declared and not undeclared else "",
    )
    own = _own_metric(config)
    metric = metric if own is None else own
    kind = str(config.get("metric_kind") or metric_name).lower()
    k = number(mapping(config.get("metric_parameters")).get("k"))
    no_mean = kind in _NO_MEANS or metric_name.lower() in _NO_MEANS or (k is not None and k > 1)
    labels = {metric.label, metric.name, result_id, str(config.get("metric_id") or "")} - {""}
    return Result(
        name=name,
        result_id=result_id,
        benchmark=benchmark,
        metric=metric,
        labels=frozenset(labels),
        score=number(details.get("score")),
        samples=number(mapping(details.get("uncertainty")).get("num_samples")),
        unknown_level=config.get("has_unknown_level") is True,
        truth=config.get("score_type") == "binary",
        no_mean=f"{kind} is not the mean of its rows" if no_mean else "",
    )


def _key(result_id: str, metric_name: str) -> str:
    """Return what a result id says beside the metric: a filter, a scorer or a split."""
    parts = result_id.split(":")
    if metric_name not in parts:
        return ""
    parts.remove(metric_name)
    return ":".join(parts)


def _scale(config: Mapping[str, Any]) -> tuple[float | None, float | None]:
    """Return the declared scale; None where there is none that is finite."""
    low, high = number(config.get("min_score")), number(config.get("max_score"))
    if low is not None and high is not None and low < high:
        return low, high
    if config.get("score_type") == "binary":
        return 0.0, 1.0
    levels = config.get("level_names")
    if config.get("score_type") == "levels" and isinstance(levels, list) and len(levels) > 1:
        return 0.0, float(len(levels) - 1)
    return None, None


def _own_metric(config: Mapping[str, Any]) -> Metric | None:
    """Return the metric as midband's own export has written it."""
    text = mapping(config.get("additional_details")).get(OWN_METRIC)
    if not isinstance(text, str):
        return None
    try:
        return Metric(**json.loads(text))
    except (TypeError, ValueError, RecursionError):
        return None


class Rows:
    """Which result a row belongs to, decided once for every evaluation and result id.

    Rows may lack the id of their result. They then belong to the only result of their evaluation,
    or, where several results score every sample, to these in turn; the aggregate's own scores must
    confirm it.
    """

    def __init__(
        self,
        results: list[Result],
        groups: Mapping[tuple[str, str], Group],
        *,
        path: Path,
        wanted: str,
    ) -> None:
        self.results = results
        self.notes: list[Note] = []
        self._groups = groups
        self._path = path
        self._wanted = wanted
        self._owners: dict[tuple[str, str], list[Result]] = {}

    def owner(self, name: str, result_id: str, place: int) -> Result:
        """Return the result of the row that is the `place`-th of its sample.

        Raises
        ------
        UnreadableSourceError
            Several results are possible, and no score tells which.
        """
        key = (name, result_id)
        if key not in self._owners:
            self._owners[key] = self._decide(name, result_id)
        owners = self._owners[key]
        return owners[place % len(owners)]

    def candidates(self, name: str, result_id: str) -> list[Result]:
        """Return the results that a row may belong to, by what it names."""
        named = [each for each in self.results if each.name == name]
        if result_id:
            exact = [each for each in named if each.result_id == result_id]
            exact = exact or [each for each in self.results if each.result_id == result_id]
            if exact:
                return exact[:1]
            named = [each for each in named if not each.result_id]
        if named:
            return named
        # Converters of before August 2026 name results "accuracy on NAME for scorer S".
        about = [each for each in self.results if f" on {name} for scorer " in each.name]
        if not about and not result_id:
            about = [each for each in self.results if name in each.name]
            about = about or (self.results if len(self.results) == 1 else [])
        return [_about(each, name) for each in about]

    def _decide(self, name: str, result_id: str) -> list[Result]:
        found = self.candidates(name, result_id)
        if len(found) < 2:
            if not found and self.results:
                text = f"no result of the aggregate is of the rows of {name}"
                text += f" {result_id}: they are not checked" if result_id else ": not checked"
                self.notes.append(Note(code="result-unknown", text=text))
            return found or [unstated(name, result_id)]
        group = self._groups.get((name, result_id), Group())
        if set(group.places.values()) == {len(found)} and all(
            _confirms(each, group.by_place[place]) for place, each in enumerate(found)
        ):
            text = f"the rows of {name} do not name their result: they were read in turn as"
            text += f" {listed(each.metric.label for each in found)}, as the scores confirm"
            self.notes.append(Note(code="results-in-turn", text=text))
            return found
        fit = [
            each
            for each in found
            if each.score is not None
            and fits(each.score, group.mean, rounding(each.score, group.count))
        ]
        fit = fit or [each for each in found if self._wanted in each.labels]
        if not fit and set(group.places.values()) != {len(found)}:
            means = [each for each in found if not each.no_mean]
            fit = means if len(means) == 1 else []
        if fit:
            text = f"the rows of {name} do not name their result: they were read as"
            text += f" {fit[0].metric.label}"
            self.notes.append(Note(code="result-by-score", text=text))
            return fit[:1]
        labels = listed(each.metric.label for each in found)
        got = f"none, and several results ({labels}): choose one with --metric NAME"
        raise foreign(self._path, f"rows of {name} with an evaluation_result_id", got)


def _about(result: Result, name: str) -> Result:
    """Return a result under the evaluation that its rows name."""
    scorer = result.name.partition(f" on {name} for scorer ")[2]
    metric = result.metric
    if scorer:
        first = result.name.partition(" on ")[0]
        metric = replace(metric, name=first, key=scorer)
    labels = result.labels | {metric.label, metric.name}
    no_mean = result.no_mean
    if metric.name.lower() in _NO_MEANS:
        no_mean = f"{metric.name} is not the mean of its rows"
    return replace(
        result, name=name, benchmark=benchmark_of(name), metric=metric, labels=labels,
        no_mean=no_mean,
    )  # fmt: skip


def _confirms(result: Result, cell: list[float]) -> bool:
    if result.score is None or not cell[1]:
        return bool(result.no_mean)
    return bool(result.no_mean) or fits(
        result.score, cell[0] / cell[1], rounding(result.score, int(cell[1]))
    )


def on_unit_scale(result: Result, group: Group) -> Result | None:
    """Return the result on the scale of its rows, where only the aggregate is a percentage.

    None where the rows are on the declared scale, or nobody knows.
    """
    metric, mean = result.metric, group.mean
    if metric.declared != "source" or metric.high <= 1.0 or result.score is None or mean is None:
        return None
    if group.low < 0.0 or group.high > 1.0:
        return None
    span, tolerance = metric.high - metric.low, rounding(result.score, None)
    inside = fits(result.score, metric.low + mean * span, tolerance)
    if not inside or fits(result.score, mean, rounding(result.score, group.count)):
        return None
    return replace(
        result,
        metric=replace(metric, low=0.0, high=1.0),
        score=(result.score - metric.low) / span,
    )


def primary(results: Iterable[Result], wanted: str) -> Result | None:
    """Return the result that is read of one benchmark: the one asked for, or the first mean."""
    found = list(results)
    if wanted:
        exact = [each for each in found if each.metric.label == wanted]
        return next(iter(exact or [each for each in found if wanted in each.labels]), None)
    return next((each for each in found if not each.no_mean), found[0] if found else None)


def names_of(row: dict[str, Any], path: Path) -> tuple[str, str, str]:
    """Return evaluation, result id and sample of a row, or refuse the file."""
    name, sample = str(row.get("evaluation_name") or ""), row.get("sample_id")
    if not name or sample in (None, "") or not row.get("model_id"):
        raise foreign(path, WHAT, "a row without evaluation_name, sample_id and model_id")
    return name, str(row.get("evaluation_result_id") or ""), str(sample)


def score_of(row: dict[str, Any]) -> float | None:
    """Return the score of a row, None where there is none."""
    return truth_or_number(mapping(row.get("evaluation")).get("score"))


def seconds_of(row: dict[str, Any], library: str) -> float | None:
    """Return how long a sample took."""
    times = mapping(row.get("performance"))
    latency, working = number(times.get("latency_ms")), number(times.get("generation_time_ms"))
    if latency is None:
        return None
    if library == "inspect_ai" and working is not None:  # its converter parts the two
        latency += working
    return latency / 1000


def digest_of(row: dict[str, Any]) -> str:
    """Return the harness's own digest, else one of input and reference by the format's recipe."""
    own = mapping(row.get("metadata")).get("doc_hash")  # as lm-evaluation-harness writes it
    given = mapping(row.get("input"))
    if own:
        return str(own)
    if not given.get("raw"):
        return str(row.get("sample_hash") or "")
    content = {"raw": given.get("raw"), "reference": given.get("reference") or []}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
