"""``midband study``: simulate what policies would have saved, and how often they would be wrong."""

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.options import FILE, LateHelp, examples, history_option, json_option
from midband.cli.output import (
    echo,
    echo_lines,
    open_history,
    print_json,
    print_table,
    warn,
)
from midband.cli.progress import counted
from midband.cli.study_race import (
    about_this_study,
    race_options,
    study_races,
    take_race_options,
    write_study_page,
)

if TYPE_CHECKING:
    from midband_history import OutcomeMatrix
    from midband_sims import Recommendation, StudyResult

WARN_HOURS = 0.25
COLUMNS = (
    "benchmark", "protocol", "split", "strategy", "stop", "budget", "n_candidates", "fraction_run",
    "spearman", "random_spearman_mean", "ceiling_spearman", "pairwise_accuracy", "coverage",
    "coverage_planned", "conclusive", "cost_saved_usd",
)  # fmt: skip


@click.command(
    epilog=examples(
        "midband study --benchmark gaia --protocol loao --strategy band --strategy random"
        " --seeds 5 --workers 4 --output study/"
    )
)
@click.argument("source", required=False, type=FILE, metavar="[FILE.parquet|FILE.toml]")
@history_option
@click.option(
    "--benchmark",
    "benchmarks",
    multiple=True,
    metavar="NAME",
    help="Study this benchmark. The option may be repeated. By default all benchmarks of the source"
    " are studied.",
)
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice(["loao", "loso", "temporal", "random", "self"]),
    help="Which agents a replay takes for new: each agent in turn (loao), all agents of one"
    " scaffold (loso), the later agents (temporal), or a random fold (random). self takes each"
    " agent in turn and judges it by other attempts of its own. May be repeated.  [default: loao]",
)
@click.option(
    "--cut",
    "cuts",
    multiple=True,
    metavar="DATE",
    help="With --protocol temporal: the last day of the agents that count as known, or the word"
    " half. May be repeated.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME",
    help="Replay this strategy. May be repeated.  [default: auto, beside band with --guarantee"
    " bootstrap]",
)
@click.option(
    "--stop",
    "stops",
    multiple=True,
    metavar="RULE",
    help="Stop the replays by this rule, as in `midband plan`, or by none. May be repeated."
    "  [default: rank:0.95:0.2]",
)
@click.option(
    "--budget",
    "budgets",
    multiple=True,
    metavar="N|SHARE",
    help="Run no more tasks than this: a number (40), a share (25%), or as many as the band holds"
    " (band). With --race it is a share of all results (5%), or a number (tasks:300). May be"
    " repeated. By default there is no limit.",
)
@click.option(
    "--plan",
    "plan_settings",
    multiple=True,
    metavar="NAME=VALUE",
    cls=LateHelp,
    late_help="varied_help",
)
@click.option(
    "--guarantee",
    "guarantees",
    multiple=True,
    metavar="NAME",
    help="Let the plans rest on this: always-valid, calibrated, bootstrap or auto. It is short for"
    " --plan guarantee=NAME.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    metavar="N",
    help="Replay each new agent this many times.  [default: 1]",
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    metavar="N",
    help="The seed of all random choices. The same seed gives the same study.  [default: 0]",
)
@click.option(
    "--in-flight",
    type=click.IntRange(1),
    metavar="N",
    help="Let a replayed run have this many tasks at work at once.  [default: 1]",
)
@click.option(
    "--workers",
    default="1",
    show_default=True,
    metavar="SPEC",
    help="Where the replays run: a number of processes, dask:tcp://HOST:PORT or ray:HOST:PORT.",
)
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Keep the results, the charts and report.html in this directory. A study that was"
    " interrupted continues from it.",
)
@click.option(
    "--recommend",
    metavar="BENCHMARK",
    help="Replay several policies on this benchmark, and say which one to use.",
)
@race_options
@json_option
def study(
    source: Path | None,
    history_path: Path | None,
    benchmarks: tuple[str, ...],
    workers: str,
    output: Path | None,
    recommend: str | None,
    race: bool,
    as_json: bool,
    **given: Any,
) -> None:
    """Replay runs on recorded agents, to measure what a policy saves and how often it is wrong.

    A replay takes an agent of your history for a new one, and runs it by a plan that was made
    without it. The table says how many tasks that took, how well the ranks were kept, and how often
    the stated intervals held.

    The results come from the history, or straight from a Parquet file. A TOML file holds the same
    options by their names, such as protocols, strategies, stops, budgets, seeds, source and
    benchmarks.

    With --race, races between several agents are replayed. The table says how often the answer was
    right, and at which share of the full price. docs/studies.md explains every column.
    """
    of_race = take_race_options(given, source=source, recommend=recommend, race=race)
    if race:
        matrices, others = _matrices(source, history_path, benchmarks)
        study_races(matrices, others, of_race, workers=workers, output=output, as_json=as_json)
        return
    from midband.choices import study_names
    from midband_sims import BAND_BY_BOOTSTRAP, Study, StudySettings

    names = tuple(f"guarantee={name}" for name in given.pop("guarantees"))
    varied = _plan_settings((*given.pop("plan_settings"), *names))
    options = {name: list(v) if isinstance(v, tuple) else v for name, v in given.items() if v}
    if varied:
        options["plan"] = varied
    if source is not None and source.suffix == ".toml":
        file, options = _read_toml(source), options
        stored = file.pop("source", None)
        benchmarks = benchmarks or tuple(_texts(file.pop("benchmarks", [])))
        options = {**file, **options}
        source = None if stored is None else source.parent / str(stored)
    wanted = (recommend,) if recommend else benchmarks
    matrices, others = _matrices(source, history_path, wanted)
    if recommend:
        _recommend(matrices[0], others, options, workers=workers, as_json=as_json)
        return
    settings: StudySettings = StudySettings.from_mapping(options)
    beside = () if {"strategies", "plan"} & set(options) else (BAND_BY_BOOTSTRAP,)
    grid = Study(matrices, settings, names=study_names(), others=others, further=beside)
    for missing in grid.skipped:
        warn(missing)
    hours = grid.estimate_hours(workers=workers)
    if hours > WARN_HOURS:
        warn(
            f"this grid of {grid.replays} replays will take about {hours:.1f} hours: interrupt it"
            " and use fewer seeds, or more --workers; with --output it can be resumed"
        )
    with counted("replay") as advance:
        result = grid.run(
            workers=workers, output=output, progress=advance, about=about_this_study()
        )
    for cell in result.cells:
        if refused := int(str(cell["n_refused"])):
            warn(
                f"{cell['benchmark']}, {cell['protocol']}, {cell['strategy']}, {cell['stop']}:"
                f" {refused} of {refused + int(str(cell['n_replays']))} replays had no plan:"
                f" {cell['refused_because']}"
            )
    _report(result, matrices, output)
    if as_json:
        print_json(list(result.cells))
        return
    further = ("plan",) if any(cell["plan"] for cell in result.cells) else ()
    columns = (*COLUMNS[:6], *further, *COLUMNS[6:])
    print_table(columns, [[cell[name] for name in columns] for cell in result.cells])


def _matrices(
    source: Path | None, history_path: Path | None, benchmarks: tuple[str, ...]
) -> "tuple[list[OutcomeMatrix], list[OutcomeMatrix]]":
    """Return the benchmarks to study, and the others of the history that plans draw on."""
    from midband.choices import other_outcomes
    from midband_history import InputError, list_benchmarks, read_matrix

    if source is not None:
        if history_path is not None:
            msg = f"expected a file or --history, got both {source} and {history_path}"
            raise InputError(msg)
        held = list_benchmarks(source)
        names = benchmarks or tuple(held)
        rest = [read_matrix(source, name) for name in held if name not in names]
        return [read_matrix(source, name) for name in names], rest
    with open_history(history_path) as history:
        names = benchmarks or tuple(each.name for each in history.benchmarks())
        matrices = [history.outcomes(name) for name in names]
        known = {each.benchmark for each in matrices}
        rest = other_outcomes(history, names[0]) if len(names) == 1 else []
        return matrices, [each for each in rest if each.benchmark not in known]


def _recommend(
    matrix: "OutcomeMatrix",
    others: "list[OutcomeMatrix]",
    options: dict[str, Any],
    *,
    workers: str,
    as_json: bool,
) -> None:
    from midband_sims import recommend

    with counted("replay") as advance:
        verdict: Recommendation = recommend(
            matrix,
            others=others,
            seeds=int(options.get("seeds", 5)),
            seed=int(options.get("seed", 0)),
            workers=workers,
            progress=advance,
        )
    if as_json:
        print_json(verdict)
        return
    echo_lines(verdict.text)
    if verdict.reduce:
        for reason in verdict.reasons:
            echo(f"not {reason}")


def _report(result: "StudyResult", matrices: "list[OutcomeMatrix]", output: Path | None) -> None:
    if output is None:
        return
    from midband_sims import ChartError, write_charts

    try:
        write_charts(result, matrices, output)
    except ChartError as error:
        warn(str(error))
    write_study_page(output)


def _read_toml(path: Path) -> dict[str, Any]:
    from midband_history import InputError

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        msg = f"expected a TOML file of study settings, cannot read {path}: {error}"
        raise InputError(msg) from error


def _plan_settings(texts: tuple[str, ...]) -> dict[str, list[Any]]:
    """Read ``NAME=VALUE``, the value as JSON where it is JSON."""
    from midband_history import InputError

    found: dict[str, list[Any]] = {}
    for text in texts:
        name, sign, value = text.partition("=")
        if not (name and sign):
            msg = f"expected a setting of plans like explore=0.1, got {text!r}"
            raise InputError(msg)
        try:
            read = json.loads(value)
        except ValueError:
            read = value
        found.setdefault(name.replace("-", "_"), []).append(read)
    return found


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]
