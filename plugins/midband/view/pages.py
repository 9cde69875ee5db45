"""The local pages: the front page, and that of a benchmark of the history.

Each page is made of parts. A part that changes is replaced in the open page by itself, so that a
reader keeps the place and the focus.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from midband.view import markup
from midband.view.markup import Cell, dollars, number, percent, text, when
from midband.view.saying import STATUS, chip, done_of, headline, kind, name_of, progress, who
from midband.view.state import RACE, RUNNING, RunState

if TYPE_CHECKING:
    from midband.view.histories import BenchmarkView, HistoryView

_CARD_ROWS = 4


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
            second = f"The latest was {name_of(latest)}. {said}"
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
        f'<article class="card"><p class="kicker">{kind(state)} {chip(RUNNING)}</p>'
        f'<h3><a id="card-{state.id}" href="/runs/{state.id}">{text(name_of(state))}</a></h3>'
        f'<p class="said">{text(label)}</p>{rail}{progress(state)}'
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


def _ended(states: Sequence[RunState], *, place: str, any_running: bool) -> str:
    head = '<section id="runs"><h2>Earlier runs and races</h2>'
    if not place:
        why = "MIDBAND_STATE=off keeps runs from saying how they stand. Unset it to see them here."
        return f"{head}<p>{why}</p></section>"
    readable = [each for each in states if each.kind]
    odd = [each.problem for each in states if not each.kind and each.problem]
    body = ""
    if readable:
        columns = ("What", "Benchmark", "Status", "Result", "Done", "Spent", "Last heard")
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
    done, of = done_of(state)
    share = done / of if done is not None and of else None
    shown = f"{done:,} of {of:,}" if share is not None else None
    link = f'<a id="row-{state.id}" href="/runs/{state.id}">{text(who(state))}</a>'
    return [
        Cell(f"{kind(state)}<br>{link}", who(state)),
        markup.of_text(state.text("benchmark")),
        Cell(chip(status, failed=state.failed), STATUS[status]),
        markup.of_text(headline(state, status=status)),
        markup.of_number(share, shown),
        markup.of_number(state.number("spent_usd"), dollars(state.number("spent_usd"))),
        markup.of_time(state.written),
    ]


def _history(history: "HistoryView") -> str:
    head = '<section id="history"><h2>History</h2>'
    where = f"<p>It is kept in <code>{text(history.name)}</code>.</p>"
    if history.absent:
        return f"{head}<p>{markup.prose(history.problem)}</p></section>"
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
