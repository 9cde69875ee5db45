"""The local pages: what stands on the front page, on that of a run, and on that of a benchmark.

Each page is made of parts. A part that changes is replaced in the open page by itself, so that a
reader keeps the place and the focus.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midband.view import markup
from midband.view.markup import Axis, Cell, Step, dollars, number, percent, text, when
from midband.view.state import (
    DIED,
    ENDED,
    RACE,
    RUNNING,
    UNHEARD,
    UNREADABLE,
    CandidateState,
    RunState,
)

if TYPE_CHECKING:
    from midband.view.histories import BenchmarkView, HistoryView

_SHOWN = 8
_CARD_ROWS = 4
STATUS = {
    RUNNING: "running",
    ENDED: "ended",
    DIED: "stopped",
    UNHEARD: "not heard from",
    UNREADABLE: "not readable",
}


@dataclass(frozen=True, kw_only=True)
class LivePage:
    """A page in parts.

    Parameters
    ----------
    title : str
    parts : mapping of str to str
        HTML by the name of the part, in their order.
    data : str
        Address of the same parts as JSON.
    live : bool
        Whether something on it is expected to change soon.
    back : bool
        Whether it leads back to the front page.
    """

    title: str
    parts: Mapping[str, str]
    data: str
    live: bool = False
    back: bool = True


def document(page: LivePage) -> str:
    """Return the page as an HTML document, complete without its script."""
    parts = "".join(f'<div data-part="{name}">{shown}</div>' for name, shown in page.parts.items())
    pace = "live" if page.live else "calm"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<title>{text(page.title)} · midband</title>"
        '<link rel="icon" href="data:,">'
        '<link rel="stylesheet" href="/page.css"><link rel="stylesheet" href="/view.css">'
        '<script src="/view.js" defer></script>'
        '<noscript><meta http-equiv="refresh" content="10"></noscript></head>'
        f'<body data-source="{page.data}" data-pace="{pace}">'
        '<a class="skip" href="#top">Skip to the content</a>'
        '<nav class="bar" aria-label="Pages"><a class="brand" href="/">midband</a>'
        '<a href="/#runs">Runs and races</a><a href="/#history">History</a>'
        '<span class="pulse" id="pulse" role="status"></span></nav>'
        f'<main id="top" tabindex="-1">{parts}</main>'
        "<footer>This page stays on this machine. It reads state files and the history, and changes"
        " neither.</footer></body></html>\n"
    )


def front_page(states: Sequence[RunState], history: "HistoryView", *, place: str = "") -> LivePage:
    """Return the page of all runs and of the history.

    Parameters
    ----------
    states : sequence of RunState
        As `StateReader` sorts them.
    history : HistoryView
    place : str
        Where state files are looked for; empty where they are turned off.
    """
    statuses = [each.shown_status for each in states]
    open_ones = [s for s, status in zip(states, statuses, strict=True) if status == RUNNING]
    others = [s for s, status in zip(states, statuses, strict=True) if status != RUNNING]
    parts = {
        "head": _front_head(open_ones, others, history),
        "running": _running(open_ones),
        "ended": _ended(others, place=place, any_running=bool(open_ones)),
        "history": _history(history),
    }
    return LivePage(
        title="Runs and history", parts=parts, data="/parts", live=bool(open_ones), back=False
    )


def _front_head(
    open_ones: Sequence[RunState], others: Sequence[RunState], history: "HistoryView"
) -> str:
    if open_ones:
        lead = f"{markup.count(len(open_ones), 'evaluation')} running"
        second = ""
    elif others:
        lead = "Nothing is running"
        latest = next((each for each in others if each.kind), None)
        second = ""
        if latest is not None:
            said = headline(latest, status=latest.shown_status)
            second = f"The latest was {_name(latest)}. {said}"
    else:
        lead = "No run has been seen on this machine yet"
        second = "A run or race that you start appears here by itself."
    known = len(history.benchmarks)
    third = f"The history holds {markup.count(known, 'benchmark')}." if known else ""
    more = "".join(f"<p>{text(each)}</p>" for each in (second, third) if each)
    verdict = f'<div class="verdict"><p class="leading">{text(lead)}</p>{more}</div>'
    return f"<h1>Runs, races and history</h1>{verdict}"


def _running(states: Sequence[RunState]) -> str:
    if not states:
        return ""
    cards = "".join(_card(each) for each in states)
    return f'<h2 class="sr">Running now</h2><div class="cards">{cards}</div>'


def _card(state: RunState) -> str:
    label = headline(state, status=RUNNING)
    if state.kind == RACE:
        rail = _ahead(state)
    else:
        low, high, rank, of = (state.number(name) for name in ("low", "high", "rank", "of"))
        rail = markup.strip(low, high, rank, of, label)
        ends = f"<span>best</span><span>rank {number(of)}</span>"
        rail = f'{rail}<p class="ends">{ends}</p>' if rail else ""
    return (
        f'<article class="card"><p class="kicker">{_kind(state)} {_chip(RUNNING)}</p>'
        f'<h3><a id="card-{state.id}" href="/runs/{state.id}">{text(_name(state))}</a></h3>'
        f'<p class="said">{text(label)}</p>{rail}{_progress(state)}'
        f'<p class="small">{_small(state)}</p></article>'
    )


def _ahead(state: RunState) -> str:
    """Return the candidates that stand best, each with the ranks that remain possible."""
    of = len(state.candidates)
    lines = []
    for each in state.candidates[:_CARD_ROWS]:
        said = f"{each.name}: {each.state}"
        rail = markup.strip(each.rank_low, each.rank_high, None, of, said)
        lines.append(f"<li><span>{text(each.name)}</span>{rail}</li>")
    more = f"<li>{of - _CARD_ROWS} more</li>" if of > _CARD_ROWS else ""
    return f'<ol class="ahead">{"".join(lines)}{more}</ol>' if lines else ""


def _small(state: RunState) -> str:
    said = [f"begun {when(state.begun)}"]
    if (spent := state.number("spent_usd")) is not None:
        said.append(f"{dollars(spent)} spent")
    if doing := state.text("doing"):
        said.append(text(doing))
    return " · ".join(said)


def _progress(state: RunState) -> str:
    done, of = _done(state)
    if done is None or not of:
        return ""
    what = "results" if state.kind == RACE else "planned tasks"
    label = f"{done:,} of {of:,} {what}"
    return f'{markup.bar(done / of, label)}<p class="small">{text(label)}</p>'


def _done(state: RunState) -> tuple[int | None, int | None]:
    return state.whole("tasks_run"), state.whole("full" if state.kind == RACE else "tasks_planned")


def _ended(states: Sequence[RunState], *, place: str, any_running: bool) -> str:
    head = '<section id="runs"><h2>Earlier runs and races</h2>'
    if not place:
        why = "MIDBAND_STATE=off keeps runs from saying how they stand. Unset it to see them here."
        return f"{head}<p>{why}</p></section>"
    readable = [each for each in states if each.kind]
    odd = [each.problem for each in states if not each.kind and each.problem]
    body = ""
    if readable:
        columns = ("Last heard", "What", "Benchmark", "Status", "Result", "Done", "Spent")
        rows = [_row(each) for each in readable]
        body = markup.table("runs-table", "Earlier runs and races", columns, rows)
    elif not any_running:
        body = (
            "<p>Start one with <code>midband run</code>, <code>midband race</code> or"
            " <code>midband inspect eval TASK --adaptive PLAN</code>. Runs write how they stand to"
            f" <code>{text(place)}</code>.</p>"
        )
    else:
        body = "<p>There are none yet.</p>"
    return f"{head}{body}{markup.note('', 'Files that are left out', odd)}</section>"


def _row(state: RunState) -> list[Cell]:
    status = state.shown_status
    done, of = _done(state)
    share = done / of if done is not None and of else None
    shown = f"{done:,} of {of:,}" if share is not None else None
    link = f'<a id="row-{state.id}" href="/runs/{state.id}">{text(_who(state))}</a>'
    return [
        markup.of_time(state.written),
        Cell(f"{_kind(state)}<br>{link}", _who(state)),
        markup.of_text(state.text("benchmark")),
        Cell(_chip(status, failed=state.failed), STATUS[status]),
        markup.of_text(headline(state, status=status)),
        markup.of_number(share, shown),
        markup.of_number(state.number("spent_usd"), dollars(state.number("spent_usd"))),
    ]


def _history(history: "HistoryView") -> str:
    head = '<section id="history"><h2>History</h2>'
    where = f"<p>It is kept in <code>{text(history.name)}</code>.</p>"
    if history.problem:
        return (
            f"{head}{markup.note('', 'The history cannot be shown', [history.problem])}</section>"
        )
    if not history.benchmarks:
        return (
            f"{head}<p>The history is empty. Import results of past runs with"
            f" <code>midband import PATH</code>.</p>{where}</section>"
        )
    columns = ("Benchmark", "Agents", "Tasks", "Attempts", "Latest run", "Last import")
    rows = [
        [
            Cell(
                f'<a id="benchmark-{each.key}" href="/benchmarks/{each.key}">'
                f"{text(each.summary.name)}</a>",
                each.summary.name,
            ),
            markup.of_number(each.summary.agents),
            markup.of_number(each.summary.tasks),
            markup.of_number(each.summary.attempts),
            markup.of_day(each.summary.last),
            markup.of_time(each.imported),
        ]
        for each in history.benchmarks
    ]
    shown = markup.table("history-table", "Benchmarks of the history", columns, rows)
    return f"{head}{where}{shown}</section>"


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
    }
    return LivePage(title=_name(state), parts=parts, data=f"/runs/{state.id}/parts", live=live)


def _run_head(state: RunState, status: str) -> str:
    lines = [basis(state), ending(state, status)]
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
        f"<h1>{_kind(state)} {_chip(status, failed=state.failed)} {text(_name(state))}</h1>"
        f'<div class="verdict"><p class="leading">{text(headline(state, status=status))}</p>{more}'
        f"</div>{_progress(state)}{doing}"
    )


def headline(state: RunState, *, status: str) -> str:
    """Say in one sentence what is known."""
    so_far = "So far: " if status in (RUNNING, UNHEARD, DIED) else ""
    if state.kind == RACE:
        said = state.text("answer")
        if not said or not state.whole("tasks_run"):
            return "Nothing is known yet." if so_far else "Nothing is known of the candidates."
        return said
    rank, low, high, of = (state.whole(name) for name in ("rank", "low", "high", "of"))
    if low is None or high is None or of is None:
        return "Nothing is known yet." if so_far else "Ended without a verdict."
    if rank is None:
        if not state.whole("tasks_run") and so_far:
            return "No result is in yet."
        why = "no result is usable" if not state.whole("results") else "there are too few results"
        return f"{so_far}{'the' if so_far else 'The'} rank is unknown: {why}."
    bounds = f", between {low} and {high}" if low != high else ""
    sure = state.number("confidence")
    level = "" if sure is None else f" with {100 * sure:.3g} % confidence"
    return f"{so_far}{'rank' if so_far else 'Rank'} {rank} of {of}{bounds}{level}."


def basis(state: RunState) -> str:
    """Say what the verdict rests on."""
    done, of = _done(state)
    if done is None:
        return ""
    without = (state.whole("errors") or 0) + (state.whole("unscored") or 0)
    if state.kind == RACE:
        share = f", {100 * done / of:.1f} % of the full price" if of else ""
        results = f"{done:,} of {of:,} results" if of else markup.count(done, "result")
        said = f"{results} were paid for{share}; {without:,} have no score"
    else:
        total = state.whole("tasks_total") or of
        tasks = f"{done:,} of {total:,} tasks" if total else markup.count(done, "task")
        said = f"{tasks} ran, {without:,} without a result"
    spent = state.number("spent_usd")
    return f"{said}; about {dollars(spent)} spent." if spent is not None else f"{said}."


def ending(state: RunState, status: str) -> str:
    """Say why it ended, or that it does not look as if it still ran, and what is claimed."""
    reason = state.text("reason").rstrip(".")
    no_level = state.kind != RACE and state.whole("rank") and state.number("confidence") is None
    unmet = ""
    if no_level and not state.list("claims"):
        unmet = " No confidence is claimed, because the stopping rule has not been met."
    if status == ENDED:
        return (f"It ended: {reason}." if reason else "It has ended.") + unmet
    if status == DIED:
        return (
            "Its process has ended without saying so. Repeat the command that started it: what has"
            f" a result is not run again.{unmet}"
        )
    if status == UNHEARD:
        where = state.host or "another machine"
        return f"It runs on {where}. Whether it still does cannot be seen from here.{unmet}"
    return unmet.strip()


def _notes(state: RunState) -> str:
    missing = [state.problem] if state.problem else []
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
    done, planned = _done(state)
    x = _tasks_axis(done or 0, planned or done or 1)
    y = _rank_axis(of)
    over = status != RUNNING
    left = max(0, (planned or 0) - (done or 0))
    beyond = f"{markup.count(left, 'task')} not run" if over and left else ""
    end = float(done) if over and done is not None else None
    first = markup.chart(
        label=f"Rank interval after each result. {headline(state, status=status)}",
        x=x, y=y, course=ranks, end=end, beyond=beyond,
    )  # fmt: skip
    figure = (
        "<figure><figcaption><h3>The rank interval closes as tasks come in</h3>"
        "<p>The band holds the ranks that remain possible. The line is the estimate, and rank 1 is"
        f" the best.</p></figcaption>{first}{_numbers(ranks, 'rank')}</figure>"
    )
    known = [value for each in scores for value in each[1:] if value is not None]
    if known:
        second = markup.chart(
            label="Estimated score and its bounds after each result.",
            x=x, y=_score_axis(known), course=scores, end=end, beyond=beyond,
        )  # fmt: skip
        target = text(state.text("target") or "target")
        figure += (
            f"<figure><figcaption><h3>Estimated score on the {target}"
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
        f'<details class="numbers" id="numbers-{what}"><summary>The numbers of this chart</summary>'
        f'<div class="scroll" tabindex="0" role="region" aria-label="Numbers of the {what} chart">'
        f'<table><thead><tr><th class="number">Tasks</th><th class="number">Estimate</th>'
        '<th class="number">Low</th><th class="number">High</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _tasks_axis(done: int, planned: int) -> Axis:
    high = planned if done * 10 >= planned else max(10, done * 3)
    marks = [(value, f"{value:,.0f}") for value in markup.ticks(0, high) if value == int(value)]
    return Axis(low=0, high=high, ticks=marks, title="tasks judged")


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
    ranks = (
        UNRANKED if low is None or high is None else f"{low}" if low == high else f"{low}-{high}"
    )
    place = next((n for n, name in enumerate(state.list("agents")) if name == each.name), None)
    course = [] if place is None else [Step(at.at, *at.rank_of(place)) for at in state.course]
    label = f"{each.name}: ranks {ranks} are possible"
    tasks = f"{each.tasks:,}/{each.total:,}" if each.tasks is not None and each.total else None
    said = text(each.state) + (
        f'<br><span class="small">{text(each.note)}</span>' if each.note else ""
    )
    return [
        Cell(ranks, low if low is not None else None),
        markup.of_text(each.name),
        Cell(markup.strip(low, high, None, of, label), None),
        Cell(markup.sparkline(course, of), None),
        markup.of_number(each.score, percent(each.score)),
        markup.of_number(each.tasks, tasks),
        markup.of_number(each.errors),
        markup.of_number(each.usd, dollars(each.usd)),
        Cell(said, each.state),
    ]


UNRANKED = markup.UNKNOWN


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
        ("Rank is on", text(state.text("target"))),
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
        '<details class="numbers" id="in-words"><summary>The verdict as the terminal prints it'
        f'</summary><pre tabindex="0">{lines}</pre></details>'
    )


def benchmark_page(view: "BenchmarkView", *, report: str = "") -> LivePage:
    """Return the page of one benchmark of the history."""
    summary = view.summary
    lead = (
        f"{markup.count(summary.agents, 'agent')} on {markup.count(summary.tasks, 'task')},"
        f" {markup.count(summary.attempts, 'attempt')}"
    )
    link = (
        f'<p class="links"><a class="button" id="to-report" href="{report}">Open the history report'
        "</a></p>"
        if report
        else ""
    )
    pairs = (
        ("Metrics", text(", ".join(filter(None, summary.metrics)) or "unknown")),
        ("Earliest run", markup.day(summary.first)),
        ("Latest run", markup.day(summary.last)),
        ("Last import", when(view.imported) if view.imported else ""),
        ("Without a score", number(summary.without_score)),
        ("Known cost", dollars(summary.cost_usd) if summary.cost_usd == summary.cost_usd else ""),
    )
    if view.problem:
        body = markup.note("", "The agents cannot be shown", [view.problem])
    else:
        columns = ("Agent", "Model", "Scaffold", "First run", "Tasks", "Mean score", "No score")
        rows = [
            [
                markup.of_text(each.name),
                markup.of_text(each.model),
                markup.of_text(each.scaffold),
                markup.of_day(each.first),
                markup.of_number(each.tasks),
                markup.of_number(each.mean, percent(each.mean)),
                markup.of_number(each.without_score),
            ]
            for each in sorted(view.agents, key=_by_mean)
        ]
        body = markup.table("agents", "Agents of the benchmark", columns, rows)
    head = (
        f'<h1>Benchmark in the history</h1><div class="verdict"><p class="leading">'
        f"{text(summary.name)}</p><p class=second>{text(lead)}</p></div>{link}"
    )
    parts = {
        "head": head,
        "facts": markup.facts(pairs),
        "agents": f"<section><h2>Agents</h2>{body}</section>",
    }
    return LivePage(title=summary.name, parts=parts, data=f"/benchmarks/{view.key}/parts")


def _by_mean(each: object) -> tuple[bool, float, str]:
    mean, name = getattr(each, "mean", 0.0), getattr(each, "name", "")
    return (mean != mean, -mean if mean == mean else 0.0, name)


def problem_page(title: str, lines: Sequence[str]) -> LivePage:
    """Return a page that says what is missing and why."""
    body = "".join(f"<p>{text(line)}</p>" for line in lines)
    head = f'<div class="verdict"><p class="leading">{text(title)}</p>{body}</div>'
    return LivePage(title=title, parts={"head": head}, data="")


def _name(state: RunState) -> str:
    benchmark = state.text("benchmark") or "an unknown benchmark"
    return f"{_who(state)} on {benchmark}"


def _who(state: RunState) -> str:
    agents = state.list("agents")
    if state.kind == RACE:
        return markup.count(len(agents), "candidate") if agents else "candidates"
    return agents[0] if agents else "the new agent"


def _kind(state: RunState) -> str:
    return f'<span class="kind">{"Race" if state.kind == RACE else "Run"}</span>'


def _chip(status: str, *, failed: bool = False) -> str:
    shown, kind = (STATUS[status], status) if not failed else ("failed", "failed")
    return f'<span class="chip {kind}">{shown}</span>'
