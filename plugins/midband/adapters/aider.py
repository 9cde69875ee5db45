"""aider's benchmark: ``.aider.results.json`` of each exercise; its leaderboards are totals only."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from midband.adapters.base import Adapter
from midband.adapters.files import foreign, load_object, moment, start_of
from midband.adapters.stated import (
    Quantities,
    choose_metric,
    named_agent,
    other_metrics,
)
from midband.descriptors import Importer, ReadOptions
from midband_history import Metric, Record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from midband.descriptors import ReadItem

NAME = ".aider.results.json"
_WHAT = "the results of an exercise of aider"
_METRICS = ("passed", "passed_first_try")
_DATED = re.compile(r"(\d{4}-\d\d-\d\d)-(\d\d)-(\d\d)-(\d\d)--.*")


def sniff(path: Path) -> bool:
    """Whether a file is called like the results of an exercise."""
    return path.name == NAME and path.is_file()


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield the attempt at one exercise.

    aider tries again after the tests have failed; ``passed`` is the outcome of the last try. An
    exercise that ended in an exception counts as failed, as in aider's own pass rate.

    Parameters
    ----------
    path : Path
    options : ReadOptions

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, or names no model.
    """
    data = load_object(path, _WHAT)
    chosen = choose_metric(path, options, *_METRICS)
    tries = data.get("tests_outcomes", [])
    if not isinstance(tries, list) or not all(isinstance(each, bool) for each in tries):
        raise foreign(path, _WHAT, "tests_outcomes that are no truth values")
    if "tests_outcomes" not in data and "exception" not in data:
        raise foreign(path, _WHAT, "neither tests_outcomes nor an exception")
    model = options.model or str(data.get("model") or "")
    agent = named_agent(path, _WHAT, options.agent, model)
    if len(tries) > 1:
        yield from other_metrics(chosen, _METRICS)
    folder = path.absolute().parent
    # <run>/<language>/exercises/practice/<exercise>, or <run>/<exercise> before there were several.
    many = [each.name for each in folder.parents][:2] == ["practice", "exercises"]
    run = folder.parents[3] if many else folder.parent
    broken, quantities = "exception" in data, Quantities()
    score = None if not tries else float(tries[-1] if chosen == _METRICS[0] else tries[0])
    score = 0.0 if score is None and broken else score
    dated = _DATED.fullmatch(run.name)
    edit_format = str(data.get("edit_format") or "")
    yield Record(
        benchmark=options.benchmark or ("aider-polyglot" if many else "aider"),
        task_id=str(data.get("testcase") or folder.name),
        agent=agent,
        score=score,
        kind="missing" if score is None else "valid",
        errored=broken,
        part=folder.parents[2].name if many else "",
        run_id=run.name,
        model=model,
        scaffold="aider",
        settings={"edit_format": edit_format} if edit_format else {},
        harness="aider",
        harness_version=str(data.get("commit_hash") or ""),
        started=moment(f"{dated[1]}T{dated[2]}:{dated[3]}:{dated[4]}") if dated else None,
        cost_usd=quantities.cost(data.get("cost")),
        duration_s=quantities.seconds(data.get("duration")),
        metric=Metric(name=chosen, declared="source"),
    )
    yield from quantities.notes()


def sniff_leaderboard(path: Path) -> bool:
    """Whether a YAML file begins with a row of one of aider's leaderboards."""
    start = start_of(path, ".yml", ".yaml")
    return b"-dirname:" in start and b"pass_rate_1:" in start


def read_leaderboard(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Refuse the file: it says nothing of single exercises.

    Raises
    ------
    UnreadableSourceError
        Always.
    """
    del options
    raise foreign(
        path,
        "results of single exercises",
        f"a leaderboard of aggregates: import the {NAME} files of the runs",
    )


ADAPTER = Adapter(
    Importer(
        name="aider",
        sniff=sniff,
        read=read,
        suffixes=(NAME,),
        summary="aider's benchmark: .aider.results.json of each exercise.",
    ),
    Importer(
        name="aider-leaderboard",
        sniff=sniff_leaderboard,
        read=read_leaderboard,
        summary="aider's leaderboards, which are refused: they hold aggregates only.",
    ),
)
