"""OpenHands index: an entry's instances by benchmark, and ids for the OpenHands benchmarks."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import (
    Adapter,
    CommandHarness,
)
from midband.adapters.files import (
    foreign,
    list_of_objects,
    load_json,
    load_object,
    mapping,
    moment,
    number,
    start_of,
)
from midband.adapters.stated import Quantities, choose_metric, rounding
from midband.descriptors import Capabilities, Command, Importer, ReadOptions, Round
from midband_history import InputError, Metric, Note, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem
    from midband_sampler import Plan

_WHAT = "instances of the OpenHands index"
RESOLVED = Metric(name="resolved", declared="source")
_HEAD = re.compile(rb'\{"[^"]+":\{"(cost|resolved)":[^,{}]+,"(cost|resolved)":')
_FOLDER = "instance_results"
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


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with an instance that has only a cost and an outcome."""
    start = start_of(path, ".json")
    empty = start == b"{}" and path.parent.name == _FOLDER
    return empty or _HEAD.match(start) is not None


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record an instance, and the score that the entry states.

    The entry's ``metadata.json`` and ``scores.json`` lie beside the file or one folder above it.
    The score divides by the whole benchmark, so instances that the file does not list count as
    failed there.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        Where the score shows that it divides by all of `tasks`, those that are not listed are read
        as failed too.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, or no ``metadata.json`` names the agent.
    """
    instances = load_object(path, _WHAT)
    choose_metric(path, options, RESOLVED.name)
    entry = _entry(path)
    about = _about(path, entry, options)
    scores = entry / "scores.json"
    listed = (
        list_of_objects(load_json(scores, "scores"), scores, "scores") if scores.is_file() else []
    )
    # Of two entries of one benchmark the index takes the last.
    entries = {str(each.get("benchmark")): each for each in listed}
    stated = entries.get(path.stem, {})
    results = {
        task: float(each["resolved"]) if isinstance(mapping(each).get("resolved"), bool) else None
        for task, each in instances.items()
    }
    results = _completed(results, stated, options)
    scaffold, model = str(about.get("agent_name") or ""), str(about.get("model") or "")
    started = moment(stated.get("submission_time") or about.get("submission_time"))
    yield from _scores(stated, results)
    quantities = Quantities()
    for task, score in results.items():
        yield Record(
            benchmark=options.benchmark or path.stem,
            task_id=task,
            agent=options.agent or f"{scaffold} ({model})",
            score=score,
            kind="missing" if score is None else "valid",
            run_id=str(stated.get("full_archive") or entry.resolve().name),
            model=model,
            scaffold=scaffold,
            agent_version=str(stated.get("agent_version") or about.get("agent_version") or ""),
            harness="openhands-index",
            started=started,
            cost_usd=quantities.cost(mapping(instances.get(task)).get("cost")),
            metric=RESOLVED,
        )
    yield from quantities.notes()


def _entry(path: Path) -> Path:
    """Return the folder of the entry: that of the file, or ``<entry>/instance_results/``."""
    folder = path.absolute().parent
    beside = (folder / "metadata.json").is_file()
    return folder if beside or folder.name != _FOLDER else folder.parent


def _about(path: Path, entry: Path, options: ReadOptions) -> Mapping[str, Any]:
    """Return the metadata of an entry, which must name the agent unless the person does."""
    place = entry / "metadata.json"
    if not place.is_file():
        if options.agent:
            return {"agent_name": options.scaffold, "model": options.model}
        raise foreign(
            path,
            "the metadata.json of an OpenHands entry beside the file or above instance_results",
            "none: add it, or name the agent with --agent NAME",
        )
    about = load_object(place, "the metadata.json of an OpenHands entry")
    if not options.agent and not (about.get("agent_name") and about.get("model")):
        raise foreign(place, "agent_name and model", "none: name the agent with --agent NAME")
    return about


def _scores(
    stated: Mapping[str, Any], results: Mapping[str, float | None]
) -> "Iterator[Note | StatedAggregate]":
    """Yield what ``scores.json`` says of one benchmark, in percent of all its instances."""
    value = number(stated.get("score"))
    parts = mapping(stated.get("component_scores"))
    name = str(stated.get("metric") or "accuracy")
    combined = number(parts.get("combined_accuracy"))
    in_part = name != "combined_accuracy" and ("solveable" in name or combined is not None)
    if value is not None and in_part:
        text = "it is over a part of the instances"
        yield StatedAggregate(name=name, value=value / 100, not_checkable=text)
        name, value = "combined_accuracy", combined
    if value is None:
        return
    slack = rounding(value) / 100
    total = _divisor(value / 100, slack, results)
    if total > len(results):
        absent = total - len(results)
        text = (
            f"the score of the entry is over about {total} instances and the file lists"
            f" {len(results)}: {absent} are absent and count as failed there"
        )
        yield Note(code="absent-tasks", text=text)
    yield StatedAggregate(
        name=name, value=value / 100, missing="failed", total=total, tolerance=slack
    )


def _completed(
    results: dict[str, float | None], stated: Mapping[str, Any], options: ReadOptions
) -> dict[str, float | None]:
    """Return the results with a failure for each absent task, where the score counts them so."""
    rate, tasks = number(stated.get("score")), set(options.tasks)
    if rate is None or not results.keys() < tasks:
        return results
    solved, slack = sum(score or 0.0 for score in results.values()), rounding(rate)
    if results and abs(100 * solved / len(results) - rate) <= slack:
        return results
    if abs(100 * solved / len(tasks) - rate) > slack:
        return results
    return results | {task: 0.0 for task in options.tasks if task not in results}


def _divisor(rate: float, slack: float, results: Mapping[str, float | None]) -> int:
    """Return over how many instances a rate is; as many as are listed where no count fits."""
    solved, listed = sum(score or 0.0 for score in results.values()), len(results)
    if listed and abs(solved / listed - rate) <= slack:
        return listed
    if rate <= slack or not solved:
        return listed
    for total in (round(solved / rate), int(solved / rate), int(solved / rate) + 1):
        if total > listed and abs(solved / total - rate) <= slack:
            return total
    return listed


IMPORTER = Importer(
    name="openhands-index",
    sniff=sniff,
    read=read,
    suffixes=(".json",),
    summary="OpenHands index: <benchmark>.json with metadata.json.",
    version=2,
    former_names=("openhands_index",),
)


class OpenHandsHarness(CommandHarness):
    """The OpenHands benchmarks' ``--select ids.txt``.

    What they write is not what the index publishes, so midband cannot drive their rounds.
    """

    name = "openhands-index"
    summary = "OpenHands benchmarks: --select FILE; the index's results are read."
    capabilities = Capabilities(subset=True, costs=True)
    importer = IMPORTER
    results = _WHAT
    program = "swebench-infer"
    package = "openhands-benchmarks"
    hint = "install OpenHands/benchmarks as its own guide says"
    refused = REFUSED
    ids = "that fit on a line"
    once = "the benchmarks run an instance once"

    def fits(self, task: str) -> bool:
        """Whether a line of the file gives back an id."""
        return bool(task) and task == task.strip()

    def files(self, plan: "Plan", tasks: Sequence[str]) -> Mapping[str, str]:
        """Return ``ids.txt``, an id a line."""
        return {SUBSET: "".join(f"{task}\n" for task in tasks)}

    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        """Return the command of the plan's benchmark."""
        command = _COMMANDS.get(batch.plan.benchmark)
        if command is None:
            known = ", ".join(_COMMANDS)
            msg = f"expected a benchmark of the index ({known}), got {batch.plan.benchmark!r}"
            raise InputError(msg)
        words = batch.arguments or ("LLM_CONFIG.json",)
        step = (command, *words, "--select", str(batch.directory / SUBSET))
        return Command(steps=(step,), results=batch.directory)


ADAPTER = Adapter(IMPORTER, harnesses=[OpenHandsHarness()])
