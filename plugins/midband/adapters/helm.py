"""HELM runs: ``per_instance_stats.json``, with what was run in ``run_spec.json`` beside it."""

import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter, ImportOnly
from midband.adapters.files import (
    content_hash,
    entries,
    foreign,
    head,
    list_of_objects,
    load_json,
    load_object,
    mapping,
    members,
    number,
)
from midband.adapters.stated import (
    Quantities,
    checkable,
    listed,
    no_such_metric,
    other_metrics,
    pooled,
    rounding,
    wanted_metric,
)
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Note, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

_WHAT = "per-instance stats of HELM"
_SPEC = "the run_spec.json of a HELM run"
_ABOUT_MODEL = ("model=", "model_deployment=")
_DECODING = ("method", "temperature", "max_tokens", "max_train_instances", "num_outputs")
_MOST_TRIALS = 1_000_000
# Statistics that say how a run went, not how well.
_NO_METRICS = ("num_", "max_num_", "finish_reason_", "training_", "inference_", "estimated_")
_NO_METRIC = frozenset({"batch_size", "prompt_truncated", "max_prob", "logprob", "predicted_index"})


def sniff(path: Path) -> bool:
    """Whether a file is named like a run's per-instance stats, and begins like them."""
    named = path.name == "per_instance_stats.json" and path.is_file()
    return named and head(path).startswith(b'[{"instance_id":')


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record an instance of one split and train trial; perturbed copies are left out.

    Without `options.metric` these are the scenario's main metric on its main split, by HELM's own
    schema. ``NAME.SPLIT`` chooses another.

    Raises
    ------
    UnreadableSourceError
        A file is truncated, foreign or absent, or does not hold the metric; or the scenario is
        unknown and none was chosen.
    """
    about = _about(path, options)
    attempts = _attempts(path)
    chosen = _choose(path, about, attempts, options)
    lower = chosen.name in _facts()["lower_is_better"]
    metric = Metric(name=chosen.name, key=chosen.split, lower_is_better=lower)
    digests = _digests(path.with_name("scenario_state.json"))
    whole = about.covers(attempts)
    quantities = Quantities()
    for (instance, trial), attempt in attempts.items():
        if attempt.split != chosen.split:
            continue
        score = attempt.means.get(chosen.name)
        yield Record(
            **about.shared,
            task_id=instance,
            score=score,
            kind="missing" if score is None else "valid",
            attempt=trial,
            tokens=quantities.tokens(
                attempt.means.get("num_prompt_tokens"), attempt.means.get("num_output_tokens")
            ),
            duration_s=quantities.seconds(attempt.means.get("inference_runtime")),
            task_digest=digests.get(instance, ""),
            metric=metric,
            whole_benchmark=whole,
        )
    yield from quantities.notes()
    yield from chosen.notes
    yield from _stated(path.with_name("stats.json"), chosen, attempts)


@dataclass(frozen=True, kw_only=True)
class _About:
    """What a run is about, by its specification."""

    shared: dict[str, Any]
    groups: tuple[str, ...]
    most_instances: float | None

    def covers(self, attempts: "Mapping[tuple[str, int], _Attempt]") -> bool:
        """Whether no instance was left out by the limit of the run."""
        if self.most_instances is None:
            return False
        return len({instance for instance, _ in attempts}) < self.most_instances


@dataclass(slots=True)
class _Attempt:
    """What was measured of one instance in one train trial, by whatever metrics."""

    split: str = ""
    sub_split: str = ""
    means: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Chosen:
    """The metric and split that are read."""

    name: str
    split: str
    notes: tuple[Note, ...]


def _about(path: Path, options: ReadOptions) -> _About:
    beside = path.with_name("run_spec.json")
    named = bool(options.agent and options.benchmark)
    spec = {} if named and not beside.exists() else load_object(beside, _SPEC)
    adapter = mapping(spec.get("adapter_spec"))
    model, name = str(adapter.get("model") or ""), str(spec.get("name") or "")
    if not named and not (model and name):
        got = "none of its name and model: name them with --agent and --benchmark"
        raise foreign(beside, _SPEC, got)
    scenario, _, arguments = name.partition(":")
    kept = [each for each in arguments.split(",") if each and not each.startswith(_ABOUT_MODEL)]
    part = ",".join(kept)
    folder = path.resolve().parent
    groups = spec.get("groups")
    return _About(
        shared={
            "benchmark": options.benchmark or (f"{scenario}:{part}" if part else scenario),
            "part": part,
            "agent": model or options.agent,
            "model": model,
            "settings": {key: adapter[key] for key in _DECODING if key in adapter},
            "run_id": f"{folder.parent.name}/{folder.name}",
            "harness": "helm",
        },
        groups=(*map(str, groups if isinstance(groups, list) else ()), scenario),
        most_instances=number(adapter.get("max_eval_instances")),
    )


def _attempts(path: Path) -> dict[tuple[str, int], _Attempt]:
    """Gather the rows of each instance and trial: every metric of a run writes rows of its own."""
    found: defaultdict[tuple[str, int], _Attempt] = defaultdict(_Attempt)
    for row in entries(path, _WHAT):
        if row.get("perturbation"):
            continue
        if row.get("instance_id") in (None, ""):
            raise foreign(path, _WHAT, "a row without instance_id")
        trial = number(row.get("train_trial_index")) or 0
        if not 0 <= trial < _MOST_TRIALS or trial != int(trial):
            raise foreign(path, _WHAT, f"train_trial_index {trial:g}: it counts from 0")
        attempt = found[str(row["instance_id"]), int(trial)]
        for each in list_of_objects(row.get("stats"), path, _WHAT):
            name = mapping(each.get("name"))
            if name.get("perturbation"):
                continue
            attempt.split = attempt.split or str(name.get("split") or "")
            attempt.sub_split = attempt.sub_split or str(name.get("sub_split") or "")
            mean = number(each.get("mean"))
            if each.get("count") and mean is not None:
                attempt.means.setdefault(str(name.get("name")), mean)
    return dict(found)


def _choose(
    path: Path,
    about: _About,
    attempts: Mapping[tuple[str, int], _Attempt],
    options: ReadOptions,
) -> _Chosen:
    """Decide metric and split, by the person or by HELM's schema; raises as `read`."""
    sizes: Counter[tuple[str, str]] = Counter()
    for attempt in attempts.values():
        sizes.update((name, attempt.split) for name in attempt.means if not _is_no_metric(name))
    labels = {_label(*pair): pair for pair in sizes}
    wanted, main = wanted_metric(options), main_metrics(about.groups)
    notes: list[Note] = []
    if wanted in labels:
        name, split = labels[wanted]
    elif wanted:
        splits = [split for name, split in sizes if name == wanted]
        if not splits:
            raise no_such_metric(path, _WHAT, wanted, labels)
        name, split = wanted, _split(path, wanted, splits, main)
    else:
        pairs = [pair for pair in main if pair in sizes]
        alone = [(name, split) for name, _ in main for each, split in sizes if each == name]
        pairs = pairs or (alone if len(alone) == 1 else [])
        if not pairs and not main and len(sizes) == 1:
            pairs = list(sizes)
        if not pairs:
            raise _ask(path, main, labels)
        name, split = pairs[0]
        if (name, split) not in main:
            text = f"the metric read is {_label(name, split)}, the only one of its kind there"
            notes.append(Note(code="metric-chosen", text=text))
    label = _label(name, split)
    notes += other_metrics(label, labels)
    elsewhere = Counter(each.split for each in attempts.values() if each.split != split)
    if elsewhere:
        left = ", ".join(f"{count} of split {each or 'none'}" for each, count in elsewhere.items())
        text = f"only instances of split {split or 'none'} were read; left out were {left}"
        notes.append(Note(code="splits-left-out", text=text))
    return _Chosen(name=name, split=split, notes=tuple(notes))


def main_metrics(groups: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return the main metrics of a run with their splits, the newest word first.

    Parameters
    ----------
    groups : tuple of str
        The run's groups and its scenario; the first that is known counts.

    Returns
    -------
    tuple of (str, str)
        Empty for a scenario of which nothing is known.
    """
    table = _facts()["main"]
    for group in groups:
        name = group
        while name:
            if name in table:
                pairs = (each.rpartition(".") for each in table[name])
                return tuple((metric, split) for metric, _, split in pairs)
            name = name.rpartition("_")[0]
    return ()


@cache
def _facts() -> dict[str, Any]:
    """Return what HELM's own schemas state."""
    return tomllib.loads(Path(__file__).with_name("helm.toml").read_text(encoding="utf-8"))


def _split(path: Path, name: str, splits: list[str], main: tuple[tuple[str, str], ...]) -> str:
    """Return the split of a metric that was asked for by its name alone."""
    stated = [split for _, split in main if split in splits]
    if stated or len(splits) == 1:
        return (stated or splits)[0]
    choices = listed(_label(name, split) for split in splits)
    raise foreign(path, f"one split for the metric {name!r}", f"several: choose one of {choices}")


def _ask(path: Path, main: tuple[tuple[str, str], ...], labels: Iterable[str]) -> Exception:
    expected = f"the main metric {listed(_label(*pair) for pair in main)}" if main else (
        "a scenario whose main metric is known"
    )  # fmt: skip
    got = f"another: choose with --metric NAME.SPLIT one of {listed(labels)}"
    return foreign(path, expected, got)


def _label(name: str, split: str) -> str:
    return f"{name}.{split}" if split else name


def _is_no_metric(name: str) -> bool:
    return name in _NO_METRIC or name.startswith(_NO_METRICS)


def _digests(path: Path) -> dict[str, str]:
    """Return a digest of every instance's input and references, where the requests were kept."""
    found: dict[str, str] = {}
    if not path.is_file():
        return found
    for name, state in members(path, "the scenario_state.json of HELM", stream="request_states"):
        instance = mapping(mapping(state).get("instance"))
        if name != "request_states" or not instance or instance.get("perturbation"):
            continue
        number_of = str(instance.get("id"))
        if number_of not in found:
            references = instance.get("references")
            answers = [
                [_content(mapping(each).get("output")), mapping(each).get("tags")]
                for each in (references if isinstance(references, list) else [])
            ]
            found[number_of] = content_hash([_content(instance.get("input")), answers])
    return found


def _content(value: object) -> object:
    """Return the text of an input or output, which versions of HELM surround differently."""
    found = mapping(value)
    return found.get("text") or found or value


def _stated(
    path: Path, chosen: _Chosen, attempts: Mapping[tuple[str, int], _Attempt]
) -> "Iterator[ReadItem]":
    """Yield what ``stats.json`` states of the metric on the split."""
    if not path.is_file():
        return
    what = "the stats.json of a HELM run"
    rows = [
        (mapping(each.get("name")), number(each.get("mean")))
        for each in list_of_objects(load_json(path, what), path, what)
    ]
    here = [
        (name, mean)
        for name, mean in rows
        if not name.get("perturbation") and str(name.get("split") or "") == chosen.split
    ]
    mine = {key: each for key, each in attempts.items() if each.split == chosen.split}
    values: defaultdict[str, list[float]] = defaultdict(list)
    trials: Counter[int] = Counter()
    for (_, trial), attempt in mine.items():
        if chosen.name in attempt.means:
            values[attempt.sub_split].append(attempt.means[chosen.name])
            trials[trial] += 1
    means = {
        str(name.get("sub_split") or ""): mean
        for name, mean in here
        if name.get("name") == chosen.name and mean is not None
    }
    count = sum(trials.values())
    value = pooled((mean, len(values[part])) for part, mean in means.items())
    if "" in means and len(means) > 1:  # the whole split beside its parts
        value = means[""]
    elif "" in means:
        value = means[""] if count else None
    if value is not None:
        uneven = len(set(trials.values())) > 1
        reason = "its train trials measured different numbers of instances" if uneven else ""
        read = sum(sum(each) for each in values.values()) / count if count else None
        label = _label(chosen.name, chosen.split)
        one = StatedAggregate(name=label, value=value, tolerance=rounding(value, count))
        yield checkable(one, read, reason)
    stated = [mean for name, mean in here if name.get("name") == "num_instances" and mean]
    tasks = len({instance for instance, _ in mine})
    if len(stated) == 1 and stated[0] == tasks:
        yield StatedAggregate(name="num_instances", value=stated[0], statistic="tasks")
    elif len(stated) == 1 and stated[0] > tasks:
        text = f"the results hold {tasks} of the {stated[0]:g} instances that HELM counts"
        yield Note(code="results-absent", text=text)


IMPORTER = Importer(
    name="helm",
    sniff=sniff,
    read=read,
    suffixes=(".json",),
    summary="HELM per_instance_stats.json; --metric NAME[.SPLIT] chooses the metric.",
    version=2,
)
ADAPTER = Adapter(
    IMPORTER,
    harnesses=[
        ImportOnly(
            importer=IMPORTER,
            results="HELM: its per-instance stats are read.",
            why="HELM selects no instances by id; run a scenario in full and import it",
        )
    ],
)
