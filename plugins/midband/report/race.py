"""The page of a race: who is best, what is tied, what was paid, and how it went."""

import math
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from midband.report.page import Cell, Chart, Page, Section, Table
from midband.report.race_charts import (
    cost_against_accuracy,
    ranks_left_open,
    ranks_over_results,
    scores_over_results,
    short_names,
    spend,
)
from midband.report.race_facts import RaceFacts
from midband.report.words import counted, percent
from midband.text import without_credentials
from midband_history import InputError
from midband_sampler import racing

REFRESH_S = 10
_MOST_PAIRS = 60


def race_page(source: Path, *, command: str = "") -> Page:
    """Return the page of a race.

    Parameters
    ----------
    source : Path
        The directory of `midband race`, or a directory with the logs of
        `midband inspect eval --race`, or one of these logs.
    command : str
        With which the report is made.

    Raises
    ------
    InputError
        Nothing of a race is there.
    """
    from midband.rounds.race_reading import is_race_directory, read_race_directory

    if not source.exists():
        msg = f"expected the directory of a race, found nothing at {source}: name another"
        raise InputError(msg)
    if is_race_directory(source):
        return page_of(read_race_directory(source), command=command)
    from midband.inspect import race_logs

    return page_of(race_logs.read_race_logs(source), command=command)


def page_of(facts: RaceFacts, *, command: str = "") -> Page:
    """Say what a race has come to, what that rests on, and what is not known."""
    verdict = facts.verdict
    sections = () if verdict is None else _sections(facts, verdict)
    return Page(
        title=facts.title,
        verdict=_verdict(facts),
        facts=_facts(facts, command),
        warnings=(*facts.warnings, *(verdict.warnings if verdict is not None else ())),
        missing=(*facts.missing, *_missing(facts)),
        sections=tuple(each for each in sections if each.text or each.parts),
        refresh_s=REFRESH_S if facts.state == "going on" else 0,
    )


def _verdict(facts: RaceFacts) -> tuple[str, ...]:
    verdict = facts.verdict
    if verdict is None:
        return (
            f"This race has no verdict: {facts.ended or 'nothing says what it has come to'}.",
            f"{counted(len(facts.results), 'result')} of"
            f" {counted(len(facts.candidates), 'candidate')}"
            f" {'was' if len(facts.results) == 1 else 'were'} found.",
        )
    answer, basis = verdict.answer, verdict.basis or "No claim can be made."
    if facts.state == "going on":
        basis = f"The race is still running. {basis}"
    elif not verdict.basis:  # nothing more is to be expected
        answer = answer.replace("known yet", "known")
    return answer, basis, _paid(facts, verdict)


def _paid(facts: RaceFacts, verdict: racing.RaceVerdict) -> str:
    share = percent(verdict.cost_share, 1) if verdict.full else "unknown"
    usd = "what they cost is unknown"
    if not math.isnan(verdict.usd):
        usd = f"about ${verdict.usd:,.2f} was spent"
        if verdict.results and verdict.full > verdict.results:
            all_of_it = verdict.usd / verdict.results * verdict.full
            usd += f" of about ${all_of_it:,.2f} for every result"
    why = facts.ended or verdict.reason
    return (
        f"{verdict.results:,} of {verdict.full:,} results were paid for, {share} of the full price;"
        f" {usd}. {why[:1].upper()}{why[1:]}."
    )


def _facts(facts: RaceFacts, command: str) -> tuple[tuple[str, str], ...]:
    from midband import __version__

    verdict = facts.verdict
    found: list[tuple[str, str]] = [each for each in facts.facts if each[0].startswith("Command")]
    if verdict is not None:
        found += [("Question", verdict.question), ("Benchmark", verdict.benchmark)]
    found.append(("Candidates", f"{len(facts.candidates)}"))
    agents = f"{facts.references} known agents" if facts.references else "not used"
    found.append(("History", agents))
    if facts.allocation:
        found.append(("Allocation", facts.allocation))
    found.append(("Budget", facts.budget or "none"))
    found += [each for each in facts.facts if not each[0].startswith("Command")]
    moment = datetime.now(UTC)
    found.append(("Report", f"made {moment:%Y-%m-%d %H:%M} UTC with midband {__version__}"))
    if command:
        found.append(("Command of this report", without_credentials(command)))
    return tuple((name, value) for name, value in found if value)


def _missing(facts: RaceFacts) -> list[str]:
    verdict = facts.verdict
    if verdict is None:
        return []
    found = []
    if verdict.missing:
        found.append(
            f"{counted(verdict.missing, 'result')} of {verdict.results:,} have no score. The claims"
            " hold whatever they would have been: see Results without a score."
        )
    unknown = [each.candidate for each in verdict.ranked if each.tasks and math.isnan(each.usd)]
    if unknown and verdict.results:
        who = "any candidate" if len(unknown) == len(verdict.ranked) else ", ".join(unknown[:5])
        found.append(f"What the results of {who} cost is unknown.")
    idle = [each.candidate for each in verdict.ranked if not each.tasks]
    if idle:
        found.append(f"Nothing is known of {', '.join(idle[:5])}: no task has run.")
    if not facts.course and verdict.results:
        found.append("How the race went is not shown, because it cannot be rebuilt.")
    return found


def _sections(facts: RaceFacts, verdict: racing.RaceVerdict) -> tuple[Section, ...]:
    return (
        _candidates(verdict),
        _separated(facts, verdict),
        _cost(facts, verdict),
        _spend(verdict),
        _course(facts, verdict),
        _without_score(facts, verdict),
    )


def _candidates(verdict: racing.RaceVerdict) -> Section:
    names = short_names([each.candidate for each in verdict.ranked])
    spec = ranks_left_open(verdict, names)
    parts: list[Chart | Table] = []
    if spec is not None and verdict.results and _ranks(verdict):
        parts.append(
            Chart(
                title="Ranks of the candidates",
                spec=spec,
                reading="Each bar spans the ranks that the claims leave open, and the dot is the"
                " place by the estimates; a bar of one rank is settled.",
            )
        )
    rows = tuple(
        (
            Cell(each.rank_text, float(each.rank_low)) if each.state != racing.APART else None,
            each.candidate,
            None if math.isnan(each.score) else Cell(f"{100 * each.score:.1f}", 100 * each.score),
            each.tasks,
            each.total,
            each.errors,
            each.resolution,
            each.state,
            None if math.isnan(each.usd) else Cell(f"${each.usd:,.2f}", each.usd),
        )
        for each in verdict.ranked
    )
    best = set(verdict.best)
    marked = tuple(place for place, row in enumerate(verdict.ranked) if row.candidate in best)
    parts.append(
        Table(
            title="Candidates",
            columns=(
                "Rank", "Candidate", "Score, %", "Tasks run", "Of", "No score", "Resolution",
                "State", "Cost",
            ),
            rows=rows,
            note="The score estimates the full benchmark. Resolution says how finely a candidate"
            " was ranked: tier 1 ran at least half as many tasks as the one that ran most.",
            highlight=marked,
        )
    )  # fmt: skip
    text = [f"{each.candidate} is set apart: {each.note}." for each in verdict.ranked if each.note]
    return Section(title="Candidates", text=tuple(text), parts=tuple(parts))


def _ranks(verdict: racing.RaceVerdict) -> bool:
    """Whether the question is about ranks, and not about a margin between two candidates."""
    return not isinstance(racing.parse_question(verdict.question), racing.NotWorse)


def _separated(facts: RaceFacts, verdict: racing.RaceVerdict) -> Section:
    text = []
    what = f"within {verdict.within:g} points" if verdict.within else "with the same full score"
    text += [f"Tied {what}: {', '.join(group)}." for group in verdict.tied]
    if verdict.within and verdict.confidence is not None:
        text.append(
            f"The answer and the ranks leave the indifference zone open: a candidate may be up to"
            f" {verdict.within:g} points worse than one that stands below it."
        )
    if verdict.confidence is None:
        text.append("No pair is claimed to be separated: the question asks for no confidence.")
    elif verdict.settled:
        settled = "Every comparison that the question needs is settled."
        if _ranks(verdict) and any(each.rank_low < each.rank_high for each in verdict.ranked):
            settled += (
                " Candidates whose ranks still overlap above were not compared further, because the"
                " answer does not depend on them."
            )
        text.append(settled)
    elif verdict.open_pairs:
        pairs = counted(len(verdict.open_pairs), "pair")
        text.append(
            f"The answer still waits for {pairs} of candidates that could not be separated."
        )
    if not verdict.settled and not math.isnan(verdict.to_settle):
        text.append(
            "Settling the question is expected to cost a further"
            f" {percent(verdict.to_settle, 0)} of the full price."
        )
    rows = _pairs(facts, verdict)
    note = "Better counts the tasks that both ran on which the first, or the second, scored higher."
    if len(verdict.open_pairs) > _MOST_PAIRS:
        note += f" The table shows {_MOST_PAIRS} of {len(verdict.open_pairs):,} pairs."
    table = Table(
        title="Pairs that could not be separated",
        columns=(
            "First",
            "Second",
            "Tasks of both",
            "First better",
            "Second better",
            "Gap, points",
        ),
        rows=rows,
        note=note,
    )
    title = "Tied and not separated"
    return Section(title=title, text=tuple(text), parts=(table,) if rows else ())


def _pairs(facts: RaceFacts, verdict: racing.RaceVerdict) -> tuple[tuple[object, ...], ...]:
    scores: dict[str, dict[str, float]] = {}
    for each in facts.results:
        if each.score is not None:
            scores.setdefault(each.candidate, {})[each.task] = each.score
    rows = []
    for first, second in verdict.open_pairs[:_MOST_PAIRS]:
        one, other = scores.get(first, {}), scores.get(second, {})
        gaps = [one[task] - other[task] for task in one.keys() & other.keys()]
        mean = 100 * math.fsum(gaps) / len(gaps) if gaps else math.nan
        rows.append(
            (
                first,
                second,
                len(gaps),
                sum(gap > 0 for gap in gaps),
                sum(gap < 0 for gap in gaps),
                Cell(f"{mean:+.1f}", mean) if gaps else None,
            )
        )
    return tuple(rows)


def _cost(facts: RaceFacts, verdict: racing.RaceVerdict) -> Section:
    costs: dict[str, list[float]] = {}
    for each in facts.results:
        if each.usd is not None:
            costs.setdefault(each.candidate, []).append(each.usd)
    paid = {name: math.fsum(values) / len(values) for name, values in costs.items()}
    for one in verdict.ranked:
        if one.candidate not in paid and one.tasks and not math.isnan(one.usd):
            paid[one.candidate] = one.usd / one.tasks
    spec = cost_against_accuracy(verdict, paid, short_names([e.candidate for e in verdict.ranked]))
    if spec is None:
        return Section(title="Cost")
    chart = Chart(
        title="Cost against accuracy",
        spec=spec,
        reading="Candidates at the upper left are better and cheaper; each ran other tasks, so the"
        " mean cost of a result is a rough guide.",
    )
    return Section(title="Cost", parts=(chart,))


def _spend(verdict: racing.RaceVerdict) -> Section:
    if not verdict.results:
        return Section(title="Spend")
    names = short_names([each.candidate for each in verdict.ranked])
    chart = Chart(
        title="Tasks that each candidate ran",
        spec=spend(verdict, names),
        reading="The coloured part of a bar is what ran, with what it cost where that is known; the"
        " grey part is what the race spared.",
    )
    return Section(title="Spend", parts=(chart,))


def _course(facts: RaceFacts, verdict: racing.RaceVerdict) -> Section:
    order = [each.candidate for each in verdict.ranked if each.state != racing.APART]
    names = short_names([each.candidate for each in verdict.ranked])
    parts: list[Chart | Table] = []
    text: list[str] = []
    if verdict.confidence is not None and _ranks(verdict):
        spec = ranks_over_results(facts.course, order, names)
        if spec is not None:
            parts.append(
                Chart(
                    title="Ranks still open as results came in",
                    spec=spec,
                    reading="The bluer a strip, the fewer ranks were left for the candidate; it"
                    " changes where a claim was made, and its last piece is where the race stands.",
                )
            )
        elif len(facts.course) > 1:
            text.append("No claim narrowed the rank of a candidate during the race.")
    spec = scores_over_results(facts.course, order, names)
    if spec is not None:
        parts.append(
            Chart(
                title="Estimated scores as results came in",
                spec=spec,
                reading="Each line is the estimate of one candidate's full score after so many"
                " results of all candidates together.",
            )
        )
    return Section(title="The course of the race", text=tuple(text), parts=tuple(parts))


def _without_score(facts: RaceFacts, verdict: racing.RaceVerdict) -> Section:
    if not verdict.missing:
        return Section(title="Results without a score")
    kinds: dict[str, Counter[str]] = {}
    for each in facts.results:
        if each.score is None:
            kinds.setdefault(each.candidate, Counter())[each.kind] += 1
    rows = tuple(
        (
            each.candidate,
            each.errors,
            Cell(f"{100 * each.errors / each.tasks:.1f}", each.errors / each.tasks),
            ", ".join(f"{kind}: {n}" for kind, n in kinds.get(each.candidate, Counter()).items())
            or None,
        )
        for each in verdict.ranked
        if each.errors
    )
    table = Table(
        title="Results without a score",
        columns=("Candidate", "Results", "Share of its tasks, %", "Kinds"),
        rows=rows,
        note="Such a result counts against its candidate where a claim is for it, and for it where"
        " a claim is against it.",
    )
    return Section(title="Results without a score", parts=(table,))
