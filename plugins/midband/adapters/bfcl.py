"""Berkeley Function Calling Leaderboard: score files, which list the failures of one category."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.base import Adapter
from midband.adapters.files import foreign, load_lines, mapping, number
from midband.adapters.stated import choose_metric, counted, named_agent
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Record, StatedAggregate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midband.descriptors import ReadItem

_WHAT = "a score file of BFCL"
_VALID = Metric(name="valid", declared="source")
_FILE = re.compile(r"BFCL_(?P<version>v\d+)_(?P<category>\w+)_score\.json")
# Folders between the model's and its files.
_GROUPS = frozenset(
    {
        *("agentic", "format_sensitivity", "kv", "live", "memory", "multi_turn", "non_live"),
        *("rec_sum", "vector", "web_search"),
    }
)


def sniff(path: Path) -> bool:
    """Whether a file is called like a score file."""
    return _FILE.fullmatch(path.name) is not None and path.is_file()


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record a test of the category.

    A score file begins with the accuracy and then lists failures only. Which tests passed follows
    from the result file of the same category, in ``result/`` beside ``score/``, or from `tasks`.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `tasks` may hold those of other categories too.

    Raises
    ------
    UnreadableSourceError
        A file is truncated or foreign, or nothing tells all tests of the category.
    """
    choose_metric(path, options, _VALID.name)
    match = _FILE.fullmatch(path.name)
    if match is None:
        raise foreign(path, _WHAT, "a file of another name")
    rows = load_lines(path, _WHAT)
    stated = next(rows, {})
    total, correct = number(stated.get("total_count")), number(stated.get("correct_count"))
    if total is None or correct is None:
        raise foreign(path, _WHAT, "a first line without correct_count and total_count")
    found = {}
    for row in rows:
        if "id" not in row or not isinstance(row.get("valid"), bool):
            raise foreign(path, _WHAT, f"a row of {', '.join(row)[:80]}")
        found[str(row["id"])] = (row["valid"], _is_broken(row))
    model, run_id = _place(path)
    agent = named_agent(path, _WHAT, options.agent, model)
    tasks = _tasks(path, match["category"], options, total=int(total))
    strangers = sorted(found.keys() - set(tasks))
    if strangers:
        raise foreign(path, f"failures among the {len(tasks)} tests", repr(strangers[0]))
    accuracy = number(stated.get("accuracy"))
    if accuracy is not None:
        yield StatedAggregate(name="accuracy", value=accuracy, tolerance=5e-4)
    yield from counted("correct_count", correct, "passed")
    yield from counted("total_count", total, "attempts")
    for task in tasks:
        valid, broken = found.get(task, (True, False))
        yield Record(
            benchmark=options.benchmark or f"bfcl-{match['version']}",
            task_id=task,
            agent=agent,
            score=float(valid),
            errored=broken,
            part=match["category"],
            run_id=run_id,
            harness="bfcl",
            metric=_VALID,
        )


def _is_broken(row: dict[str, object]) -> bool:
    """Whether the model gave no answer, which BFCL counts as a failure."""
    kind = mapping(row.get("error")).get("error_type") or row.get("error_type")
    return str(kind).endswith("inference_error")


def _place(path: Path) -> tuple[str, str]:
    """Return the model and the run of ``<run>/score/<model>/[group/]BFCL...``."""
    for folder in path.absolute().parents:
        if folder.name not in _GROUPS:
            model = "" if folder.name in ("score", "result") else folder.name
            return model, f"{folder.parent.parent.name}/{folder.parent.name}/{model}"
    return "", ""


def _tasks(path: Path, category: str, options: ReadOptions, *, total: int) -> list[str]:
    """Return the ids of all tests of the category."""
    own = re.compile(rf"{re.escape(category)}_\d.*")
    given = list(options.tasks)
    if len(given) != total:
        given = [task for task in given if own.fullmatch(task)]
    beside = _result_file(path)
    if not given and beside is not None:
        given = [str(row.get("id") or "") for row in load_lines(beside, "a result file of BFCL")]
    tasks = list(dict.fromkeys(filter(None, given)))
    if not tasks:
        raise foreign(
            path,
            f"the ids of all {total} tests of {category}",
            "the failures only: keep the result folder beside the score folder, or give the ids"
            " with --tasks FILE",
        )
    if len(tasks) != total:
        raise foreign(
            path,
            f"the {total} tests of {category} that the file counts",
            f"{len(tasks)} ids: give all of them with --tasks FILE",
        )
    return tasks


def _result_file(path: Path) -> Path | None:
    """Return the result file of a score file: the same path below ``result``."""
    parts = list(path.absolute().parts)
    name = path.name.removesuffix("_score.json") + "_result.json"
    places = [path.with_name(name)]
    for place in range(len(parts) - 2, 0, -1):
        if "score" in parts[place]:
            moved = [*parts[:place], parts[place].replace("score", "result"), *parts[place + 1 :]]
            places.append(Path(*moved).with_name(name))
            break
    return next((place for place in places if place.is_file()), None)


ADAPTER = Adapter(
    Importer(
        name="bfcl",
        sniff=sniff,
        read=read,
        suffixes=(".json",),
        summary="BFCL score files, with the result files beside them or --tasks.",
    ),
)
