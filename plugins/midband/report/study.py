"""The page of a study: what policies would have saved, and how often they would be wrong."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from midband.report.page import Page, Section
from midband.report.study_cells import PolicyCells, RaceCells, named
from midband.report.words import counted
from midband.text import one_line, without_credentials

if TYPE_CHECKING:
    from midband_sims import StoredStudy


def study_page(source: Path, *, command: str = "") -> Page:
    """Return the page of a study.

    Parameters
    ----------
    source : Path
        The directory that `midband study --output` wrote, complete or not.
    command : str
        With which the report is made.

    Raises
    ------
    InputError
        It holds no study.
    """
    from midband_sims import read_study

    found = read_study(source)
    told = RaceCells(found) if found.of_races else PolicyCells(found)
    sections, problems = _plugin_sections(found)
    return Page(
        title=told.title,
        verdict=told.verdict() if found.cells else _nothing(found, source),
        facts=_facts(found, source, command),
        warnings=(*told.warnings(), *problems),
        missing=(*_missing(found, source), *told.missing),
        sections=(*told.sections(), *_skipped(found), *sections),
    )


def _nothing(found: "StoredStudy", source: Path) -> tuple[str, ...]:
    return (
        "Nothing is known yet of this study.",
        f"{counted(found.done, 'unit')} of replays {'is' if found.done == 1 else 'are'} finished in"
        f" {source}, and nothing says which policies they belong to.",
    )


def _facts(found: "StoredStudy", source: Path, command: str) -> tuple[tuple[str, str], ...]:
    from midband import __version__

    about = found.about
    told = about.get("about")
    facts: list[tuple[str, str]] = []
    if isinstance(told, Mapping):
        facts += [(str(name), one_line(str(value))) for name, value in told.items()]
    facts.append(("Directory", str(source)))
    benchmarks = about.get("benchmarks") or ()
    for each in benchmarks[:6]:
        what = f"{each['agents']:,} agents, {each['tasks']:,} tasks"
        facts.append((f"Benchmark {each['benchmark']}", what))
    if len(benchmarks) > 6:
        facts.append(("Further benchmarks", f"{len(benchmarks) - 6}"))
    settings = about.get("settings") or {}
    named = {
        "stops": "Stopping rules", "questions": "Questions", "budgets": "Budgets",
        "seeds": "Replays of each candidate", "draws": "Draws", "seed": "Seed",
        "in_flight": "Tasks at once",
    }  # fmt: skip
    for name, title in named.items():
        value = settings.get(name)
        if isinstance(value, (list, tuple)):
            value = ", ".join(map(str, value))
        if value not in (None, ""):
            facts.append((title, one_line(str(value))))
    if found.planned:
        facts.append(("Units finished", f"{found.done:,} of {found.planned:,}"))
    if command:
        facts.append(("Command of this report", without_credentials(command)))
    moment = datetime.now(UTC)
    facts.append(("Report", f"made {moment:%Y-%m-%d %H:%M} UTC with midband {__version__}"))
    return tuple(facts)


def _missing(found: "StoredStudy", source: Path) -> list[str]:
    missing = list(found.problems)
    if not found.complete:
        of = f" of {found.planned:,}" if found.planned else ""
        missing.insert(
            0,
            f"The study is not complete: {found.done:,}{of} units of replays are finished. The"
            " numbers below are those of the finished ones, and the baselines (random tasks and the"
            " ceiling) are unknown until the end. The same `midband study` command, with --output"
            f" {source}, continues from there.",
        )
    if not found.about:
        missing.append(
            "What was skipped, the pass rates and the command are unknown: an older midband wrote"
            " this study."
        )
    if not found.of_races and found.cells:
        if all(cell.get("cost_saved_usd") is None for cell in found.cells):
            missing.append("What was saved in money is unknown: the history has no costs.")
        if found.complete and all(cell.get("ceiling_spearman") is None for cell in found.cells):
            missing.append(
                "The ceiling is unknown: it needs at least three agents that tried most tasks"
                " twice."
            )
        if all(cell.get("target") is None and cell["n_replays"] for cell in found.cells):
            missing.append(
                "Coverage of the claimed target is unknown: the replays do not say which target"
                " their intervals are about."
            )
    return missing


def _skipped(found: "StoredStudy") -> tuple[Section, ...]:
    texts = [f"{one_line(str(each))}." for each in found.about.get("skipped") or ()]
    refused = [
        f"{counted(int(cell['n_refused']), 'replay')} of {named(cell)} had no plan:"
        f" {one_line(str(cell['refused_because']))}."
        for cell in found.cells
        if cell.get("n_refused")
    ]
    lines = [text[:1].upper() + text[1:] for text in (*texts, *refused)]
    return (Section(title="What was skipped, and why", text=tuple(lines)),) if lines else ()


def _plugin_sections(found: "StoredStudy") -> tuple[tuple[Section, ...], tuple[str, ...]]:
    """Render the sections of plugins; one that fails is named among the warnings."""
    from midband._manager import get_plugin_manager

    sections, problems = [], []
    if not found.complete or found.of_races:
        return (), ()
    for name, section in get_plugin_manager().report_sections().items():
        try:
            text = str(section.render([dict(cell) for cell in found.cells]))
        except Exception as problem:  # whatever a plugin raises must not lose the report
            what = one_line(f"{type(problem).__name__}: {problem}")
            problems.append(f"left out the report section {name}: {what}")
            continue
        lines = tuple(line for line in text.splitlines() if line.strip())
        sections.append(Section(title=name, text=lines))
    return tuple(sections), tuple(problems)
