"""What the local page says of a run or race in words, the same wherever it stands."""

from midband.view import markup
from midband.view.markup import dollars, text
from midband.view.state import DIED, ENDED, RACE, RUNNING, UNHEARD, UNREADABLE, RunState

# How the line of a race's verdict begins that says what is claimed.
_CLAIMING = ("The answer ", "Nothing is claimed")
STATUS = {
    RUNNING: "running",
    ENDED: "ended",
    DIED: "stopped",
    UNHEARD: "not heard from",
    UNREADABLE: "not readable",
}


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
    level = "" if sure is None else f" with {100 * sure:.3g}\u00a0% confidence"
    return f"{so_far}{'rank' if so_far else 'Rank'} {rank} of {of}{bounds}{level}."


def brief(state: RunState) -> str:
    """Return the ranks that remain possible, for the title of the window; empty where unknown."""
    low, high, of = (state.whole(name) for name in ("low", "high", "of"))
    if state.kind == RACE or low is None or high is None or of is None:
        return ""
    return f"{low}-{high} of {of}: " if low != high else f"{low} of {of}: "


def basis(state: RunState) -> str:
    """Say what the verdict rests on."""
    done, of = done_of(state)
    if done is None:
        return ""
    without = (state.whole("errors") or 0) + (state.whole("unscored") or 0)
    if state.kind == RACE:
        share = f", {100 * done / of:.1f}\u00a0% of the full price" if of else ""
        results = f"{done:,} of {of:,} results" if of else markup.count(done, "result")
        said = f"{results} were paid for{share}; {without:,} have no score"
    else:
        total = state.whole("tasks_total") or of
        tasks = f"{done:,} of {total:,} tasks" if total else markup.count(done, "task")
        said = f"{tasks} ran, {without:,} without a result"
    spent, tokens = state.number("spent_usd"), state.whole("spent_tokens")
    if spent is not None:
        return f"{said}; about {dollars(spent)} spent."
    return f"{said}; {tokens:,} tokens spent." if tokens else f"{said}."


def standing(state: RunState) -> str:
    """Say of a race whether its answer is claimed, in the words of its verdict."""
    lines = state.list("lines")
    if state.kind != RACE or len(lines) < 2 or not lines[1].startswith(_CLAIMING):
        return ""
    return lines[1]


def ending(state: RunState, status: str) -> str:
    """Say why it ended, or that it does not look as if it still ran, and what is claimed."""
    reason = state.text("reason").rstrip(".")
    no_level = state.kind != RACE and state.whole("rank") and state.number("confidence") is None
    unmet = ""
    if no_level and not state.list("claims"):
        unmet = " No confidence is claimed, because the stopping rule has not been met."
    if status == ENDED:
        if reason.startswith("ended "):
            return f"It {reason}.{unmet}"
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


def progress(state: RunState) -> str:
    """Return a bar of how much is done, and say it; nothing where that is unknown."""
    done, of = done_of(state)
    if done is None or not of:
        return ""
    what = "results" if state.kind == RACE else "planned tasks"
    label = f"{done:,} of {of:,} {what}"
    return f'{markup.bar(done / of, label)}<p class="small">{text(label)}</p>'


def done_of(state: RunState) -> tuple[int | None, int | None]:
    """Return how many tasks or results are in, and how many there are at most."""
    return state.whole("tasks_run"), state.whole("full" if state.kind == RACE else "tasks_planned")


def name_of(state: RunState) -> str:
    """Return what a run is called."""
    benchmark = state.text("benchmark") or "an unknown benchmark"
    return f"{who(state)} on {benchmark}"


def who(state: RunState) -> str:
    """Return whom it is about."""
    agents = state.list("agents")
    if state.kind == RACE:
        return markup.count(len(agents), "candidate") if agents else "candidates"
    return agents[0] if agents else "the new agent"


def kind(state: RunState) -> str:
    """Return whether it is a run or a race, as HTML."""
    return f'<span class="kind">{"Race" if state.kind == RACE else "Run"}</span>'


def chip(status: str, *, failed: bool = False) -> str:
    """Return how it stands, as HTML."""
    shown, kind = (STATUS[status], status) if not failed else ("failed", "failed")
    return f'<span class="chip {kind}">{shown}</span>'
