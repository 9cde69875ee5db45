"""``--summary``: a verdict as Markdown, for a pull request or the page of a CI job."""

import math
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from midband.cli.output import cell, warn
from midband.text import arguments_without_credentials, marked, one_line

if TYPE_CHECKING:
    from midband.suite_verdict import SuiteVerdict
    from midband_sampler import Decision

GITHUB, STEP = "github", "GITHUB_STEP_SUMMARY"
_UNKNOWN = "\N{EN DASH}"
_HEAD = ("candidate", "rank", "score", "tasks", "errors", "usd", "state")


class SummaryFile(click.ParamType):  # type: ignore[type-arg]
    """A file to write to, or the word ``github`` for the summary of a step of GitHub Actions."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        """Return the path.

        Raises
        ------
        click.BadParameter
            It is a directory, or this is no step of GitHub Actions.
        """
        if isinstance(value, Path):
            return value
        try:
            return summary_path(str(value))
        except click.UsageError as problem:
            self.fail(problem.message, param, ctx)


def summary_path(text: str) -> Path:
    """Return the file that ``--summary TEXT`` means.

    Raises
    ------
    click.UsageError
        It is a directory, or ``github`` where the variable of a step is not set.
    """
    if text == GITHUB:
        step = os.environ.get(STEP)
        if not step:
            msg = f"expected a step of GitHub Actions for --summary github, got no {STEP}:"
            msg += " name a file, or ./github for a file of that name"
            raise click.UsageError(msg)
        return Path(step)
    path = Path(text)
    if path.is_dir():
        msg = f"expected a file after --summary, got the directory {path}: name a file in it"
        raise click.UsageError(msg)
    return path


def write_summary(path: Path, text: str) -> None:
    """Write a summary; the file of a step is added to. One that cannot be written is a warning."""
    step = os.environ.get(STEP)
    added = bool(step) and Path(str(step)).absolute() == path.absolute()
    try:
        with path.open("a" if added else "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
    except OSError as problem:  # the results were paid for: their verdict stands
        warn(f"the summary cannot be written to {path}: {problem.strerror}")


def decision_markdown(
    decision: "Decision", *, agent: str, benchmark: str, ended: str = "", level: int = 3
) -> str:
    """Return the verdict on one agent as a section.

    Parameters
    ----------
    decision : Decision
    agent, benchmark : str
    ended : str
        Why the run ended, where that is not the decision's reason.
    level : int
        Of the heading.
    """
    of = decision.n_reference + 1
    if decision.rank is None:
        rank = f"unknown of {of}"
        interval = ""
    else:
        rank = f"{decision.rank} of {of}"
        sure = decision.held_confidence
        claimed = "no confidence claimed" if math.isnan(sure) else f"{100 * sure:.3g} % confidence"
        interval = f"{decision.low} to {decision.high} with {claimed}"
    rows = {
        "agent": agent,
        "rank": rank,
        "interval": interval,
        "target": decision.target,
        "rests on": decision.guarantee,
        "score": score_text(decision),
        "tasks": f"{decision.tasks_run} of {decision.tasks_total}",
        "tasks without a result": str(decision.tasks_without_result),
        "spent": spent_words(decision.spent_usd, decision.spent_seconds, decision.spent_tokens),
        "ended": ended or decision.reason,
        "claims": "; ".join(each.text for each in decision.claims),
        "plan": decision.plan_digest,
    }
    head = f"{'#' * level} {marked(f'{benchmark}: rank {rank}')}"
    return "\n".join([head, "", *facts_table(rows), *warning_list(decision.warnings)]) + "\n"


def score_text(decision: "Decision") -> str:
    """Return the estimated score with its bounds in percent; unknown where it is not known."""
    if math.isnan(decision.target_score):
        return "unknown"
    low, high = 100 * decision.target_score_low, 100 * decision.target_score_high
    return f"{100 * decision.target_score:.1f} % ({low:.1f} to {high:.1f} %)"


def spent_words(usd: float, seconds: float, tokens: float) -> str:
    """Return what was spent in words; what is not known is left out, and all of it is unknown."""
    parts = [] if math.isnan(usd) else [f"${usd:,.2f}"]
    parts += [] if math.isnan(seconds) else [f"{seconds:,.0f} seconds of work"]
    parts += [] if math.isnan(tokens) else [f"{tokens:,.0f} tokens"]
    return ", ".join(parts) or "unknown"


def race_markdown(verdict: Mapping[str, Any], *, ended: str = "") -> str:
    """Return the verdict of a race as a section, with a row for each candidate.

    Parameters
    ----------
    verdict : mapping
        As `RaceVerdict.to_dict` returns it.
    ended : str
        Why the race ended, where that is not the verdict's reason.
    """
    ranked = [
        {
            **each,
            "rank": " to ".join(dict.fromkeys([str(each["rank_low"]), str(each["rank_high"])])),
            "score": None if each["score"] is None else f"{100 * each['score']:.1f} %",
            "tasks": f"{each['tasks']} of {each['total']}",
        }
        for each in verdict["ranked"]
    ]
    known = verdict["confidence"] is not None
    amounts = (verdict[unit] for unit in ("usd", "seconds", "tokens"))
    rows = {
        "question": verdict["question"],
        "answer": verdict["answer"],
        "settled": "yes" if verdict["settled"] else "no",
        "confidence": f"{100 * verdict['confidence']:.3g} %" if known else "",
        "rests on": verdict["guarantee"],
        "results": f"{verdict['results']} of {verdict['full']}",
        "spent": spent_words(*(math.nan if each is None else each for each in amounts)),
        "ended": ended or verdict["reason"],
        "race": verdict["plan_digest"],
    }
    said = "settled" if verdict["settled"] else "not settled"
    head = marked(f"Race on {verdict['benchmark']}: {said}")
    lines = [f"### {head}", "", *facts_table(rows)]
    lines += ["", *table(_HEAD, [[row[name] for name in _HEAD] for row in ranked])]
    return "\n".join([*lines, *warning_list(verdict["warnings"])]) + "\n"


def suite_markdown(verdict: "SuiteVerdict") -> str:
    """Return the verdict of a suite as a section, with a row for each benchmark."""
    columns = ("benchmark", "agent", "rank", "interval", "target", "tasks", "spent_usd", "reason")
    rows = [[row.get(name) for name in columns] for row in verdict.table()]
    spent = spent_words(*(verdict.spent(unit) for unit in ("usd", "seconds", "tokens")))
    lines = [f"### Suite of {len(rows)} benchmarks", "", *table(columns, rows), ""]
    lines += [f"{marked(text)}" for text in verdict.statements()]
    lines += ["", f"Spent on the judged tasks: {marked(spent)}.", *warning_list(verdict.warnings())]
    return "\n".join(lines) + "\n"


def facts_table(rows: Mapping[str, str]) -> list[str]:
    """Return the lines of a table of names and texts; those that are empty are left out."""
    lines = [f"| {marked(name)} | {marked(text)} |" for name, text in rows.items() if text]
    return ["| | |", "|---|---|", *lines]


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Return the lines of a table; an unknown value is an en dash."""
    lines = [f"| {' | '.join(marked(name.replace('_', ' ')) for name in columns)} |"]
    lines.append("|---" * len(columns) + "|")
    for row in rows:
        lines.append("| " + " | ".join(marked(cell(value)) or _UNKNOWN for value in row) + " |")
    return lines


def warning_list(warnings: Sequence[str]) -> list[str]:
    """Return the lines of a list of warnings, with an empty line before it."""
    return ["", *(f"- warning: {marked(each)}" for each in warnings)] if warnings else []


def command_markdown(arguments: Sequence[str] | None = None) -> str:
    """Return the command that was run as a block of code, without credentials.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; those of this process by default.
    """
    words = sys.argv[1:] if arguments is None else arguments
    text = one_line(shlex.join(["midband", *arguments_without_credentials(words)]))
    longest = max((len(found) for found in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"\n{fence}console\n$ {text}\n{fence}\n"


def summary_option(command: Any) -> Any:
    """Add ``--summary FILE``."""
    return click.option(
        "--summary",
        type=SummaryFile(),
        metavar="FILE",
        help="Write the verdict, its interval, tasks, cost, warnings and this command to a file as"
        " Markdown. github means the file that the variable GITHUB_STEP_SUMMARY names, which is"
        " added to.",
    )(command)
