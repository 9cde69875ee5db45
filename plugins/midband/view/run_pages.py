"""The page of one run or race: what is known, how it came to this, and what it rests on."""

from collections.abc import Sequence
from pathlib import Path

from midband.view import markup
from midband.view.markup import Axis, Cell, Step, dollars, number, percent, text, when
from midband.view.pages import LivePage
from midband.view.saying import (
    basis,
    brief,
    chip,
    done_of,
    ending,
    headline,
    kind,
    name_of,
    progress,
    standing,
)
from midband.view.state import DIED, ENDED, RACE, RUNNING, CandidateState, RunState

_SHOWN = 8
_STEPS = [size * 10**power for power in range(1, 15) for size in (1, 2, 5)]
# What a reader may ask the meaning of.
_TERMS = (
    *("target", "rank interval", "confidence", "guarantee", "calibrated", "always-valid"),
    *("stopping rule", "claim", "plan"),
)


def run_page(state: RunState, *, report: str = "", benchmark: str = "") -> LivePage:
    """Return the page of one run or race.

    Parameters
    ----------
    state : RunState
    report : str
        Address of the full report; empty where there can be none.
    benchmark : str
        Address of the benchmark's page; empty where the history does not hold it.
    """
    status = state.shown_status
    live = status == RUNNING
    parts = {
        "head": _run_head(state, status) + _links(report=report, benchmark=benchmark),
        "notes": _notes(state),
        "picture": _race_picture(state) if state.kind == RACE else _run_picture(state, status),
        "latest": _latest(state),
        "facts": _facts(state, status),
        "words": _words(state),
        "glossary": _glossary(),
    }
    title = f"{brief(state)}{name_of(state)}"
    return LivePage(title=title, parts=parts, data=f"/runs/{state.id}/parts", live=live)


def _run_head(state: RunState, status: str) -> str:
    lines = [basis(state), standing(state), ending(state, status)]
    more = "".join(
        f"<p{' class=second' if not place else ''}>{text(line)}</p>"
        for place, line in enumerate(filter(None, lines))
    )
    doing = (
        f'<p class="small">{text(state.text("doing"))}</p>'
        if status == RUNNING and state.text("doing")
        else ""
    )
    return (
        f"<h1>{kind(state)} {chip(status, failed=state.failed)} {text(name_of(state))}</h1>"
        f'<div class="verdict"><p class="leading">{text(headline(state, status=status))}</p>{more}'
        f"</div>{progress(state)}{doing}"
    )


def is_here(place: str) -> bool:
    """Whether results are on this machine."""
    return bool(place) and "://" not in place and Path(place).exists()


def _notes(state: RunState) -> str:
    missing = [state.problem] if state.problem else []
    place = state.text("directory")
    if place and not is_here(place):
        missing.append(f"There is no full report, because the results are not at {place}.")
    if state.number("spent_usd") is None and state.whole("results"):
        missing.append("What it cost is not known: no result says so.")
    return markup.note("warnings", "Warnings", state.list("warnings")) + markup.note(
        "", "What is missing", missing
    )


def _run_picture(state: RunState, status: str) -> str:
    of = state.whole("of")
    if not of or not state.course:
        return ""
    ranks = [Step(point.at, *(*point.rank_of(0),)) for point in state.course]
    scores = [Step(point.at, *point.score) for point in state.course]
    done, planned = done_of(state)
    over = status != RUNNING
    x = _tasks_axis(done or 0, planned or done or 1, over=over)
    y = _rank_axis(of)
    end = float(done) if over and done is not None else None
    first = markup.chart(
        label=f"Rank interval after each result. {headline(state, status=status)}",
        x=x, y=y, course=ranks, end=end,
    )  # fmt: skip
    figure = (
        "<figure data-state=drawn><figcaption><h3>The rank interval closes as tasks come in</h3>"
        "<p>The band holds the ranks that remain possible. The line is the estimate, and rank 1 is"
        f" the best.</p></figcaption>{first}{_numbers(ranks, 'rank')}</figure>"
    )
    known = [value for each in scores for value in each[1:] if value is not None]
    if known:
        second = markup.chart(
            label="Estimated score and its bounds after each result.",
            x=x, y=_score_axis(known), course=scores, end=end,
        )  # fmt: skip
        target = text(state.text("target") or "target")
        figure += (
            f"<figure data-state=drawn><figcaption><h3>Estimated score on the {target}"
            "</h3><p>The band holds the scores that remain possible. The line is the estimate of"
            " the mean score.</p></figcaption>"
            f"{second}{_numbers(scores, 'score')}</figure>"
        )
    return f'<section><h2>How it came to this</h2><div class="parts">{figure}</div></section>'


def _numbers(course: Sequence[Step], what: str) -> str:
    """Return the numbers of a chart as a table that can be opened."""
    shown = number if what == "rank" else percent
    rows = "".join(
        f'<tr><td class="number">{at:,.0f}</td>'
        + "".join(f'<td class="number">{shown(value)}</td>' for value in (middle, low, high))
        + "</tr>"
        for at, low, high, middle in course
    )
    return (
        f'<details class="numbers" id="numbers-{what}">'
        f'<summary id="open-{what}">The numbers of this chart</summary>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers of the {what} chart">'
        f'<table><thead><tr><th class="number">Tasks</th><th class="number">Estimate</th>'
        '<th class="number">Low</th><th class="number">High</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _tasks_axis(done: int, planned: int, *, over: bool) -> Axis:
    # Room for what comes next, in a few steps, so that the chart does not jump at every result.
    high = min(planned, next(each for each in _STEPS if each >= 1.25 * done))
    marks = [(value, f"{value:,.0f}") for value in markup.ticks(0, high) if value == int(value)]
    left = planned - done
    unrun = f"; {markup.count(left, 'planned task')} did not run" if over and left > 0 else ""
    return Axis(low=0, high=high, ticks=marks, title=f"tasks judged{unrun}")


def _rank_axis(of: int) -> Axis:
    marks = [1, *(int(each) for each in markup.ticks(1, of, 5) if 1.5 < each < of - 0.6), of]
    places = [(float(each), str(each)) for each in dict.fromkeys(marks)]
    return Axis(low=of + 0.5, high=0.5, ticks=places, title="rank")


def _score_axis(known: Sequence[float]) -> Axis:
    low, high = max(0.0, min(known) - 0.02), min(1.0, max(known) + 0.02)
    marks = [(value, f"{100 * value:.0f} %") for value in markup.ticks(low, high, 5)]
    return Axis(low=low, high=high, ticks=marks, title="score")


def _race_picture(state: RunState) -> str:
    if not state.candidates:
        return ""
    of = len(state.candidates)
    columns = (*("Ranks", "Candidate", "", "", "Score", "Tasks", "No score", "Spent", "State"),)
    rows = [_candidate_row(state, each, of) for each in state.candidates]
    shown = markup.table("candidates", "Candidates of the race", columns, rows)
    return (
        "<section><h2>Candidates</h2><p>The bars show the ranks that are still possible, 1 at the"
        " left. The small curve beside each shows how its ranks closed in as results came in."
        f"</p>{shown}</section>"
    )


def _candidate_row(state: RunState, each: CandidateState, of: int) -> list[Cell]:
    low, high = each.rank_low, each.rank_high
    ranks = markup.UNKNOWN
    if low is not None and high is not None:
        ranks = f"{low}" if low == high else f"{low}-{high}"
    place = next((n for n, name in enumerate(state.list("agents")) if name == each.name), None)
    course = [] if place is None else [Step(at.at, *at.rank_of(place)) for at in state.course]
    label = f"{each.name}: ranks {ranks} are possible"
    tasks = f"{each.tasks:,}/{each.total:,}" if each.tasks is not None and each.total else None
    over = state.shown_status in (ENDED, DIED)
    stands = "undecided" if over and each.state == RUNNING else each.state
    why = f'<br><span class="small">{text(each.note)}</span>' if each.note else ""
    return [
        Cell(ranks, low if low is not None else None),
        markup.of_text(each.name),
        Cell(markup.strip(low, high, None, of, label), None),
        Cell(markup.sparkline(course, of), None),
        markup.of_number(each.score, percent(each.score)),
        markup.of_number(each.tasks, tasks),
        markup.of_number(each.errors),
        markup.of_number(each.usd, dollars(each.usd)),
        Cell(text(stands) + why, stands),
    ]


def _latest(state: RunState) -> str:
    if not state.recent:
        return ""
    race = state.kind == RACE
    columns = (*(("Candidate",) if race else ()), "Task", "Score", "Kind")
    rows = [
        [
            *((markup.of_text(agent),) if race else ()),
            markup.of_text(task),
            markup.of_number(score, None if score is None else f"{score:.3g}"),
            markup.of_text(kind.replace("_", " ")),
        ]
        for agent, task, score, kind in state.recent
    ]
    shown = markup.table("latest", "Latest results", columns, rows)
    return f'<section><h2>Latest results</h2><div class="narrow">{shown}</div></section>'


def _links(*, report: str, benchmark: str) -> str:
    links = []
    if report:
        links.append(f'<a class="button" id="to-report" href="{report}">Open the full report</a>')
    if benchmark:
        links.append(
            f'<a class="button quiet" id="to-benchmark" href="{benchmark}">'
            "The benchmark in the history</a>"
        )
    return f'<p class="links">{"".join(links)}</p>' if links else ""


def _facts(state: RunState, status: str) -> str:
    process = f"process {state.pid} on {text(state.host)}" if state.pid else ""
    tied = state.list("tied")
    more = f" and {len(tied) - _SHOWN} more" if len(tied) > _SHOWN else ""
    claims = state.list("claims") if status != RUNNING or state.kind == RACE else ()
    pairs = (
        ("Claimed", text("; ".join(claims))),
        ("Not told apart from", text(", ".join(tied[:_SHOWN]) + more) if tied else ""),
        (
            "Question",
            f"<code>{text(state.text('question'))}</code>" if state.text("question") else "",
        ),
        ("The rank is about", text(state.text("target"))),
        ("Guarantee", text(state.text("guarantee"))),
        ("Begun", when(state.begun) if state.begun else ""),
        ("Last written", when(state.written) if state.written else ""),
        ("Harness", text(state.text("harness"))),
        (
            "Plan",
            f"<code>{text(state.text('plan_digest'))}</code>" if state.text("plan_digest") else "",
        ),
        (
            "Full results",
            f"<code>{text(state.text('directory'))}</code>" if state.text("directory") else "",
        ),
        ("Written by", f"midband {text(state.text('midband'))}, {process}" if process else ""),
        ("Notes", "<br>".join(text(each) for each in state.list("notes"))),
    )
    what = "race" if state.kind == RACE else "run"
    return f"<section><h2>About this {what}</h2>{markup.facts(pairs)}</section>"


def _words(state: RunState) -> str:
    if not state.list("lines"):
        return ""
    lines = "\n".join(text(line) for line in state.list("lines"))
    return (
        '<details class="numbers" id="in-words">'
        '<summary id="open-words">The verdict as the terminal prints it'
        f'</summary><pre tabindex="0">{lines}</pre></details>'
    )


def _glossary() -> str:
    from midband.report import TERMS

    entries = "".join(
        f"<dt>{text(term)}</dt><dd>{text(TERMS[term])}</dd>" for term in _TERMS if term in TERMS
    )
    return (
        '<details class="numbers" id="glossary"><summary id="open-glossary">What the words mean'
        f'</summary><dl class="glossary">{entries}</dl></details>'
    )
