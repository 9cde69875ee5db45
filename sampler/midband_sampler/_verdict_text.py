"""The verdict in words: one text for the screen, the last line, the log and every command."""

import math
from textwrap import wrap
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midband_sampler._decision import Decision

WIDTH = 100
GOING_ON = "going on"
_LEAST_WIDTH = 20
_HOW_MANY_CLAIMS = 5


def verdict_lines(
    decision: "Decision",
    *,
    prefix: str = "",
    ended: bool = False,
    resume: str = "",
    width: int = WIDTH,
) -> tuple[str, ...]:
    """Render a decision as lines for people.

    The first lines say what is known and what it rests on, each warning begins a line of its own.
    Lines break at words; only a single word that is longer than `width`, such as a path, exceeds
    it.

    Parameters
    ----------
    decision : Decision
    prefix : str
        What the first line begins with, for instance whom the verdict is about.
    ended : bool
        Whether the run is over: one without a verdict then says so, and does not "go on".
    resume : str
        How to go on with a run that ended without a verdict, for instance a command.
    width : int
        Most columns of a line.
    """
    paragraphs = [
        f"{prefix}{_rank(decision)}, {_score(decision)}, {_progress(decision, ended=ended)}",
        _basis(decision),
    ]
    if ended and resume and decision.reason == GOING_ON:
        paragraphs.append(f"to go on: {resume}")
    paragraphs += [f"warning: {each}" for each in decision.warnings]
    lines: list[str] = []
    for text in paragraphs:
        lines += wrap(
            " ".join(text.split()),
            max(width, _LEAST_WIDTH),
            initial_indent="  " if lines else "",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return tuple(lines)


def short_verdict(decision: "Decision") -> str:
    """Return a counter of about 20 characters: ``#7 (5-9) 56/200``.

    The place with its bounds, then the tasks judged of those planned; ``!`` stands for a warning.
    """
    place = "?" if decision.rank is None else str(decision.rank)
    mark = "!" if decision.warnings else ""
    bounds = f"({decision.low}-{decision.high})"
    return f"#{place} {bounds} {decision.tasks_run}/{decision.tasks_planned}{mark}"


def _rank(decision: "Decision") -> str:
    of = decision.n_reference + 1
    where = f"at {decision.confidence * 100:.3g} % on the {decision.target}"
    if decision.rank is None:
        why = "no usable result" if not decision.results else "too few results"
        return f"rank unknown of {of} ({decision.low} to {decision.high} {where}): {why}"
    return f"rank {decision.rank} of {of} ({decision.low} to {decision.high} {where})"


def _score(decision: "Decision") -> str:
    whole = decision.target == "full benchmark"
    what = "estimated full score" if whole else f"estimated score on the {decision.target}"
    if math.isnan(decision.target_score):
        return f"{what} unknown"
    low, high = 100 * decision.target_score_low, 100 * decision.target_score_high
    return f"{what} {100 * decision.target_score:.1f} % ({low:.1f} to {high:.1f} %)"


def _progress(decision: "Decision", *, ended: bool) -> str:
    reason = decision.reason
    if reason == GOING_ON and ended:
        reason = "ended before the stopping rule was met"
    text = f"{decision.tasks_run} of {decision.tasks_total} tasks: {reason}"
    claims = [each.text for each in decision.claims if each.text != reason]
    more = len(claims) - _HOW_MANY_CLAIMS
    if claims:
        text += f" ({'; '.join(claims[:_HOW_MANY_CLAIMS])}{f'; {more} more' if more > 0 else ''})"
    return text


def _basis(decision: "Decision") -> str:
    parts = [f"{decision.results} result{'' if decision.results == 1 else 's'}"]
    parts.append(f"{decision.errors} error{'' if decision.errors == 1 else 's'}")
    if decision.unscored:
        parts.append(f"{decision.unscored} unscored")
    text = f"{', '.join(parts)}; {decision.tasks_planned} planned"
    if not math.isnan(decision.spent_usd):
        text += f"; ${decision.spent_usd:,.2f} spent"
    if not math.isnan(decision.cost_saved_usd):
        text += f"; ${decision.cost_saved_usd:,.2f} expected for the tasks that were not run"
    return text
