"""SWE-bench: run reports, reports of single instances, and tables of other sites."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._descriptors import Importer
from midband.harnesses._files import (
    foreign,
    head,
    list_of_objects,
    load_lines,
    load_object,
    mapping,
    moment,
    number,
    unit_score,
)
from midband.harnesses._swebench_ends import Ends
from midband.hookspecs import hookimpl
from midband_history import OutcomeKind, Record

if TYPE_CHECKING:
    from midband._harness import Harness

BENCHMARK = "swe-bench"
_WHAT = "a SWE-bench report"
_NAME = re.compile(r"^\s*name:\s*(?P<name>\S.*?)\s*$", re.MULTILINE)
_DATED = re.compile(r"(?P<date>\d{8})_(?P<name>.+)")
# What each list of a run report says of its instances; the first that names one counts.
_LISTS: tuple[tuple[str, float | None, OutcomeKind], ...] = (
    ("error_ids", None, "infra_error"),
    ("infra_failure_ids", None, "infra_error"),
    ("ambiguous_failure_ids", None, "grader_error"),
    ("no_logs", None, "infra_error"),
    ("incomplete_ids", None, "missing"),
    ("resolved_ids", 1.0, "valid"),
    ("resolved", 1.0, "valid"),
    ("empty_patch_ids", 0.0, "valid"),
    ("no_generation", 0.0, "valid"),
    ("unresolved_ids", 0.0, "valid"),
    ("completed_ids", 0.0, "valid"),
    ("with_logs", 0.0, "valid"),
)
_FAILED = ("unresolved_ids", "completed_ids", "with_logs")


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer the agents to ``midband export`` and ``midband run``."""
    from midband.harnesses._swebench_agents import MiniSweAgent, SweAgent

    return [MiniSweAgent(), SweAgent()]


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the formats to ``midband import``."""
    return [
        Importer(
            name="swebench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="SWE-bench run reports, report.json files, experiments, leaderboard details.",
        ),
        Importer(
            name="eval_arena",
            sniff=sniff_arena,
            read=read_arena,
            suffixes=(".jsonl",),
            summary="eval-arena JSONL: benchmark_id, model, example_id, pass1.",
        ),
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins like one of SWE-bench's."""
    return path.suffix == ".json" and path.is_file() and _layout(path) != ""


def _layout(path: Path) -> str:
    start = head(path)
    if path.name == "report.json" and b'"patch_is_None":' in start:
        return "instance"
    if b'"total_instances":' in start and b'"resolved_instances":' in start:
        return "run"
    if start.startswith((b'{"no_generation":[', b'{"generated":[')):
        return "run"
    if start.startswith(b'{"leaderboards":['):
        return "leaderboards"
    return ""


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> Iterator[Record]:
    """Yield a record for every instance that a report names.

    Instances under ``error_ids`` and the like are unknown, not failed; an empty patch is a failure,
    unless the agent's own files beside the report say that it never ran. They tell costs too.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        The files name none: ``swe-bench`` by default.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or names resolved instances only.
    """
    del columns
    report, layout = load_object(path, _WHAT), _layout(path)
    name = benchmark or BENCHMARK
    if layout == "leaderboards":
        yield from _leaderboards(report, path, name)
        return
    place = path.absolute()
    if layout == "instance":
        agent, run_id, found = *_of_instance(place), _instances(report, path)
        # <root>/logs/run_evaluation/<run>/<model>/<id>/report.json
        inside = place.parts[-6:-4] == ("logs", "run_evaluation")
        ends = Ends.below(place.parents[5]) if inside else Ends()
    elif layout == "run":
        agent, run_id, found = *_of_run(place), _listed(report, path)
        ends = Ends.below(place.parent)
    else:
        raise foreign(path, _WHAT, "a file of another kind")
    dated = _DATED.match(run_id)
    started = moment(_iso(dated["date"])) if dated else None
    for task, (score, kind) in found.items():
        record = Record(
            benchmark=name,
            task_id=task,
            agent=agent,
            score=score,
            kind=kind,
            run_id=run_id,
            harness="swebench",
            started=started,
            source_key=f"swebench/{name}/{run_id}/{agent}/{task}",
        )
        yield ends.complete(record)


def _listed(report: dict[str, Any], path: Path) -> dict[str, tuple[float | None, OutcomeKind]]:
    lists = {}
    for key, _, _ in _LISTS:
        ids = report.get(key) or []
        if key in report and isinstance(ids, list):
            lists[key] = [str(each) for each in ids]
    if not any(key in lists for key in _FAILED):
        raise foreign(
            path, _WHAT, "one that lists resolved instances only: import its report.json files"
        )
    solved = {*lists.get("resolved_ids", ()), *lists.get("resolved", ())}
    both = solved & set(lists.get("unresolved_ids", ()))
    if both:
        raise foreign(path, _WHAT, f"{min(both)!r} both resolved and unresolved")
    found: dict[str, tuple[float | None, OutcomeKind]] = {}
    for key, score, kind in _LISTS:
        for task in lists.get(key, ()):
            found.setdefault(task, (score, kind))
    return found


def _instances(report: dict[str, Any], path: Path) -> dict[str, tuple[float | None, OutcomeKind]]:
    found: dict[str, tuple[float | None, OutcomeKind]] = {}
    for task, each in report.items():
        if not isinstance(each, dict):
            raise foreign(path, _WHAT, f"no object for {task!r}")
        resolved = each.get("resolved")
        if each.get("infra_failure"):
            found[task] = (None, "infra_error")
        elif isinstance(resolved, bool):
            found[task] = (float(resolved), "valid")
        else:
            found[task] = (None, "missing")
    return found


def _of_instance(path: Path) -> tuple[str, str]:
    """Return agent and run of ``<run>/<model>/<id>/report.json``, or ``<run>/logs/<id>/...``."""
    above = path.parent.parent
    if above.name == "logs":
        return _submission(above.parent)
    return above.name.replace("__", "/"), above.parent.name


def _of_run(path: Path) -> tuple[str, str]:
    """Return agent and run of ``<model>.<run>.json``, or of a submission's ``results.json``."""
    if path.name == "results.json":
        folder = path.parent
        return _submission(folder.parent if folder.name == "results" else folder)
    model, _, run_id = path.stem.rpartition(".")
    return (model or path.stem).replace("__", "/"), run_id


def _submission(folder: Path) -> tuple[str, str]:
    about = folder / "metadata.yaml"
    try:
        named = _NAME.search(about.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        named = None
    dated = _DATED.match(folder.name)
    stated = named["name"].strip("'\"") if named else ""
    return stated or (dated["name"] if dated else folder.name), folder.name


def _iso(digits: str) -> str:
    return f"{digits[:4]}-{digits[4:6]}-{digits[6:8]}"


def _leaderboards(data: dict[str, Any], path: Path, benchmark: str) -> Iterator[Record]:
    """Yield the instances of those entries that give them; percentages are not used."""
    for board in list_of_objects(data.get("leaderboards"), path, _WHAT):
        for entry in list_of_objects(board.get("results") or [], path, _WHAT):
            run_id = str(entry.get("folder") or entry.get("name") or "")
            for task, each in mapping(entry.get("per_instance_details")).items():
                score = unit_score(mapping(each).get("resolved"))
                yield Record(
                    benchmark=benchmark,
                    task_id=task,
                    agent=str(entry.get("name") or run_id),
                    score=score,
                    kind="missing" if score is None else "valid",
                    run_id=run_id,
                    harness="swebench",
                    started=moment(entry.get("date")),
                    cost_usd=number(mapping(each).get("cost")),
                    source_key=f"swebench/{benchmark}/{board.get('name')}/{run_id}/{task}",
                )


def sniff_arena(path: Path) -> bool:
    """Whether a JSONL file begins with a row of eval-arena."""
    if path.suffix != ".jsonl" or not path.is_file():
        return False
    start = head(path)
    return start.startswith(b"{") and b'"example_id":' in start and b'"pass1":' in start


def read_arena(
    path: Path, *, benchmark: str | None, columns: Mapping[str, str]
) -> Iterator[Record]:
    """Yield a record a row; parameters and errors as in `read`."""
    del columns
    what = "rows of benchmark_id, model, example_id, pass1"
    for row in load_lines(path, what):
        if not row.get("model") or not row.get("example_id"):
            raise foreign(path, what, f"a row of {', '.join(row)}")
        score = unit_score(row.get("pass1"))
        yield Record(
            benchmark=benchmark or str(row.get("benchmark_id") or BENCHMARK),
            task_id=str(row["example_id"]),
            agent=str(row["model"]),
            score=score,
            kind="missing" if score is None else "valid",
            run_id=str(row["model"]),
            harness="eval_arena",
        )
