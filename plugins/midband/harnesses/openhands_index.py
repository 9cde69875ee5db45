"""OpenHands index: ``<benchmark>.json`` a benchmark, beside ``metadata.json`` and the scores."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from midband._descriptors import Importer
from midband.harnesses._files import (
    foreign,
    head,
    list_of_objects,
    load_json,
    load_object,
    mapping,
    moment,
    number,
    unit_score,
)
from midband.hookspecs import hookimpl
from midband_history import Record

_WHAT = "instances of the OpenHands index"
_HEAD = re.compile(rb'\{"[^"]+":\{"(cost|resolved)":[^,{}]+,"(cost|resolved)":')


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="openhands_index",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="OpenHands index: <benchmark>.json with metadata.json.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with an instance that has only a cost and an outcome."""
    return path.suffix == ".json" and path.is_file() and _HEAD.match(head(path)) is not None


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record an instance; the aggregate scores only tell when it was run.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides the file's name.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, or no ``metadata.json`` names the agent.
    """
    del columns
    instances = load_object(path, _WHAT)
    about = load_object(path.with_name("metadata.json"), "the metadata.json of an OpenHands entry")
    scaffold, model = str(about.get("agent_name") or ""), str(about.get("model") or "")
    if not scaffold or not model:
        raise foreign(path.with_name("metadata.json"), "agent_name and model", "none")
    scores = path.with_name("scores.json")
    listed = (
        list_of_objects(load_json(scores, "scores"), scores, "scores") if scores.is_file() else []
    )
    entry = next((each for each in listed if each.get("benchmark") == path.stem), {})
    started = moment(entry.get("submission_time"))
    for task, each in instances.items():
        score = unit_score(mapping(each).get("resolved"))
        yield Record(
            benchmark=benchmark or path.stem,
            task_id=task,
            agent=f"{scaffold} ({model})",
            score=score,
            kind="missing" if score is None else "valid",
            run_id=str(entry.get("full_archive") or path.resolve().parent.name),
            model=model,
            scaffold=scaffold,
            agent_version=str(entry.get("agent_version") or about.get("agent_version") or ""),
            harness="openhands",
            started=started,
            cost_usd=number(mapping(each).get("cost")),
        )
