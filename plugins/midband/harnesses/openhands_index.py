"""OpenHands index: ``<benchmark>.json`` beside ``metadata.json``, and ids for its benchmarks."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midband._descriptors import Importer
from midband._harness import Capabilities, Command, Probe, Round, subset_of
from midband.harnesses._adapting import look_for, read_below, refuse, refuse_ids, tasks_of
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
from midband_history import InputError, Record

if TYPE_CHECKING:
    from midband._harness import Harness
    from midband_sampler import Plan

_WHAT = "instances of the OpenHands index"
_HEAD = re.compile(rb'\{"[^"]+":\{"(cost|resolved)":[^,{}]+,"(cost|resolved)":')
SUBSET = "ids.txt"
_TASKS = "midband names the instances"
REFUSED = {"--select": _TASKS, "--n-limit": _TASKS, "--eval-limit": _TASKS}
# The commands of the benchmarks that the index lists, by its names for them.
_COMMANDS = {
    "commit0": "commit0-infer",
    "gaia": "gaia-infer",
    "swe-bench": "swebench-infer",
    "swe-bench-multimodal": "swebenchmultimodal-infer",
    "swt-bench": "swtbench-infer",
}


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the harness to ``midband export``."""
    return [OpenHandsHarness()]


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
    name, run_id = path.stem, str(entry.get("full_archive") or path.resolve().parent.name)
    version = str(entry.get("agent_version") or about.get("agent_version") or "")
    for task, each in instances.items():
        score = unit_score(mapping(each).get("resolved"))
        yield Record(
            benchmark=benchmark or name,
            task_id=task,
            agent=f"{scaffold} ({model})",
            score=score,
            kind="missing" if score is None else "valid",
            run_id=run_id,
            model=model,
            scaffold=scaffold,
            agent_version=version,
            harness="openhands",
            started=started,
            cost_usd=number(mapping(each).get("cost")),
        )


@dataclass(frozen=True, kw_only=True)
class OpenHandsHarness:
    """The OpenHands benchmarks' ``--select ids.txt``.

    What they write is not what the index publishes, so midband cannot drive their rounds.
    """

    name: str = "openhands-index"
    summary: str = "OpenHands benchmarks: --select FILE; the index's results are read."
    tested_versions: tuple[str, ...] = ()
    capabilities: Capabilities = Capabilities(subset=True, costs=True)  # noqa: RUF009 - frozen

    def probe(self) -> Probe:
        """Look for the command of one of the benchmarks."""
        hint = "install OpenHands/benchmarks as its own guide says"
        return look_for("swebench-infer", package="openhands-benchmarks", hint=hint)

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        """Yield the instances of the index's files below `path`."""
        return read_below(path, sniff, read, benchmark=benchmark, what=_WHAT)

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write ``ids.txt``, an id a line."""
        chosen = tuple(sorted(subset_of(plan, tasks)))
        refuse_ids(chosen, lambda task: not task or task != task.strip(), why="that fit on a line")
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / SUBSET
        path.write_text("".join(f"{task}\n" for task in chosen), encoding="utf-8")
        return (path,)

    def build_command(self, batch: Round) -> Command:
        """Return the benchmark's command; without arguments, capitals stand for what is missing."""
        tasks_of(batch)
        refuse(batch.arguments, REFUSED)
        if batch.attempts != 1:
            msg = f"expected one attempt, got {batch.attempts}: the benchmarks run an instance once"
            raise InputError(msg)
        command = _COMMANDS.get(batch.plan.benchmark)
        if command is None:
            known = ", ".join(_COMMANDS)
            msg = f"expected a benchmark of the index ({known}), got {batch.plan.benchmark!r}"
            raise InputError(msg)
        words = batch.arguments or ("LLM_CONFIG.json",)
        step = (command, *words, "--select", str(batch.directory / SUBSET))
        return Command(steps=(step,), results=batch.directory)
