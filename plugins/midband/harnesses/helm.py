"""HELM runs: ``per_instance_stats.json``, with what was run in ``run_spec.json`` beside it."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband.harnesses._adapting import ImportOnly
from midband.harnesses._files import (
    foreign,
    head,
    list_of_objects,
    load_object,
    mapping,
    number,
    total,
    unit_score,
)
from midband.harnesses._streams import entries
from midband.hookspecs import hookimpl
from midband_history import Record

if TYPE_CHECKING:
    from midband._harness import Harness

_WHAT = "per-instance stats of HELM"
_ABOUT_MODEL = ("model=", "model_deployment=")
_DECODING = ("method", "temperature", "max_tokens", "max_train_instances", "num_outputs")


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness, whose results are only read."""
    return [
        ImportOnly(
            name="helm",
            summary="HELM: its per-instance stats are read.",
            sniff=sniff,
            read=read,
            why="HELM selects no instances by id; run a scenario in full and import it",
        )
    ]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="helm",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="HELM per_instance_stats.json; --map f1_score=score chooses the metric.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a file is named like a run's per-instance stats, and begins like them."""
    named = path.name == "per_instance_stats.json" and path.is_file()
    return named and head(path).startswith(b'[{"instance_id":')


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record an instance and train trial; perturbed copies are left out.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the name of the scenario, with its arguments.
    columns : mapping
        ``{"f1_score": "score"}`` chooses the metric; by default the first that the run specifies.

    Raises
    ------
    UnreadableSourceError
        A file is truncated, foreign or absent.
    """
    beside = path.with_name("run_spec.json")
    spec = load_object(beside, "the run_spec.json of a HELM run")
    adapter = mapping(spec.get("adapter_spec"))
    model = str(adapter.get("model") or "")
    if not model or not spec.get("name"):
        raise foreign(beside, "the run_spec.json of a HELM run", "none of its name and model")
    metric = next((theirs for theirs, ours in columns.items() if ours == "score"), None)
    metric = metric or _first_metric(spec, beside)
    for row in entries(path, _WHAT):
        if row.get("perturbation"):
            continue
        if row.get("instance_id") is None:
            raise foreign(path, _WHAT, "a row without instance_id")
        means = _means(row, path)
        score = unit_score(means.get(metric))
        yield Record(
            benchmark=benchmark or _scenario(str(spec["name"])),
            task_id=str(row["instance_id"]),
            agent=model,
            score=score,
            kind="missing" if score is None else "valid",
            attempt=int(number(row.get("train_trial_index")) or 0),
            run_id=f"{path.resolve().parent.parent.name}/{path.resolve().parent.name}",
            model=model,
            settings={name: adapter[name] for name in _DECODING if name in adapter},
            harness="helm",
            tokens=total(means.get("num_prompt_tokens"), means.get("num_output_tokens")),
            duration_s=number(means.get("inference_runtime")),
        )


def _scenario(name: str) -> str:
    """Return ``mmlu:subject=anatomy`` of ``mmlu:subject=anatomy,model=openai_gpt2``."""
    scenario, _, arguments = name.partition(":")
    kept = [each for each in arguments.split(",") if each and not each.startswith(_ABOUT_MODEL)]
    return f"{scenario}:{','.join(kept)}" if kept else scenario


def _first_metric(spec: dict[str, Any], path: Path) -> str:
    for each in list_of_objects(spec.get("metric_specs") or [], path, "metric_specs"):
        names = mapping(each.get("args")).get("names")
        if isinstance(names, list) and names:
            return str(names[0])
    return "exact_match"


def _means(row: dict[str, Any], path: Path) -> dict[str, object]:
    """Return the mean of every statistic that was measured at least once."""
    found: dict[str, object] = {}
    for each in list_of_objects(row.get("stats"), path, _WHAT):
        name = mapping(each.get("name"))
        if each.get("count") and not name.get("perturbation"):
            found.setdefault(str(name.get("name")), each.get("mean"))
    return found
