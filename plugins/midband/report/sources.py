"""What a report of a run is made from: a plan, and what a run by it brought, wherever that is."""

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.choices import read_plan
from midband.inspect import run_logs
from midband.rounds.agent_run import PLAN
from midband.rounds.journal import FILE, AttemptResult, known_results, parse_events
from midband.rounds.live import LOGS, ORDER
from midband.rounds.race_state import RACE_JOURNAL
from midband.rounds.state import RunState
from midband_history import InputError, MidbandError, StoreError, UnreadableSourceError

if TYPE_CHECKING:
    from midband._ranking import Told
    from midband.descriptors import ReadOptions
    from midband_history import Record
    from midband_sampler import MaxErrors, Plan


@dataclass(frozen=True, kw_only=True)
class RunResults:
    """A plan, and what a run by it brought.

    Parameters
    ----------
    plan : Plan
    results : tuple of AttemptResult
        In the order in which they became known.
    agent : str
        Who ran; empty if unknown.
    started : tuple of str or None
        The order in which tasks were started, where the run chose it; None where it took the
        plan's.
    unlogged : tuple of str
        Those among them that never ran, at no cost.
    free : frozenset of str
        Tasks whose results an earlier run had paid for.
    extra_usd : float
        Cost of what ran without being asked for, US dollars.
    open_tasks : tuple of str
        Tasks that were begun and whose result is not known yet.
    recorded : mapping or None
        The verdict that the run stated; None where it states none.
    max_errors : MaxErrors or None
    command : str
        How the run was started, as far as it is known.
    facts : tuple of (str, str)
        More that is known of the run, by name.
    dates : tuple of datetime
        When the run began and ended, as far as it is known.
    warnings : tuple of str
    missing : tuple of str
        What is not known, and why.
    """

    plan: "Plan"
    results: tuple[AttemptResult, ...]
    agent: str = ""
    started: tuple[str, ...] | None = None
    unlogged: tuple[str, ...] = ()
    free: frozenset[str] = frozenset()
    extra_usd: float = 0.0
    open_tasks: tuple[str, ...] = ()
    recorded: Mapping[str, Any] | None = None
    max_errors: "MaxErrors | None" = None
    command: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    dates: tuple[datetime, ...] = ()
    warnings: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass
class Asked:
    """What the user says of the source.

    Parameters
    ----------
    agent : str
        Whose run it is, where the results are of several.
    options : ReadOptions
        How results are read.
    format_name : str or None
    allow_changed : bool
    max_errors : MaxErrors or None
        As the run had it.
    """

    options: "ReadOptions"
    agent: str = ""
    format_name: str | None = None
    allow_changed: bool = False
    max_errors: "MaxErrors | None" = None
    notes: list[str] = field(default_factory=list)


def read_run(source: Path, results: Sequence[Path], asked: Asked) -> RunResults:
    """Read a run from wherever it is.

    Parameters
    ----------
    source : Path
        A directory of `midband run`, an Inspect log or a directory of logs, or a plan.
    results : sequence of Path
        The results that a plan judges.
    asked : Asked

    Raises
    ------
    InputError
        The source is something else, or holds several agents.
    MidbandError
        It cannot be read.
    """
    if results or run_logs.is_plan_file(source):
        if not results:
            msg = (
                f"expected results beside the plan {source}, got none: name them after it, as in"
                " `midband report run PLAN LOGS`"
            )
            raise InputError(msg)
        if not run_logs.is_plan_file(source):
            msg = f"expected a plan before the results, got {source}: name the plan first"
            raise InputError(msg)
        return _by_plan(read_plan(source), source, results, asked)
    if source.is_dir() and (source / FILE).is_file():
        return _of_directory(source, asked)
    if source.is_dir() and (source / RACE_JOURNAL).is_file():
        msg = f"expected one run, got the race in {source}: use `midband report race {source}`"
        raise InputError(msg)
    if source.is_dir() and (source / PLAN).is_file() and not run_logs.logs_in(source):
        plan = read_plan(source / PLAN)
        return RunResults(plan=plan, results=(), missing=(f"No run was begun in {source}.",))
    return _of_logs(source, asked)


class _Listening:
    """Takes the place of the session while the rounds of a journal are gone through."""

    def __init__(self) -> None:
        self.started: dict[str, None] = {}
        self.results: list[AttemptResult] = []

    def next_task(self) -> str | None:
        """Name none: the journal says what was chosen."""
        return None

    def starts(self, task: str) -> None:
        """Keep the order of the starts."""
        self.started[task] = None

    def told(self, task: str, results: Sequence[AttemptResult]) -> None:
        """Keep what the session was told."""
        del task
        self.results += results


def _of_directory(directory: Path, asked: Asked) -> RunResults:
    """Read the journal of a run, which may go on meanwhile: it is neither locked nor mended."""
    path = directory / FILE
    try:
        content = path.read_bytes()
        changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        msg = f"expected a journal that can be read, got {path}: {error.strerror}"
        raise StoreError(msg) from error
    events, whole = parse_events(content, path)
    missing = []
    if whole < len(content):
        missing.append(
            "The last line of the journal is cut off: it is being written, or the run was killed."
            " What stands before it is shown."
        )
    if not (directory / PLAN).is_file():
        msg = f"expected the plan of the run in {directory / PLAN}, found no file: put it back"
        raise InputError(msg)
    plan = read_plan(directory / PLAN)
    begun: dict[str, Any] = next((e for e in reversed(events) if e["event"] == "run"), {})
    if begun and begun["plan"] != plan.digest:
        msg = (
            f"expected plan {begun['plan']}, with which {directory} was begun, got {plan.digest}:"
            " put back the file as it was"
        )
        raise InputError(msg)
    harness = str(begun.get("harness", ""))
    plan = replace(plan, benchmark=str(begun.get("benchmark") or plan.benchmark))
    command = f"midband run {harness} {directory / PLAN} --output {directory}"
    if begun.get("attempts", 1) != 1:
        command += f" --attempts {begun['attempts']}"
    command += f" -- {begun['words']}" if begun.get("words") else ""
    facts = (("Harness", harness),) if harness else ()
    if begun and "words" not in begun:
        missing.append(
            "The arguments of the harness are not shown: an earlier version of midband kept only"
            " their digest."
        )
    if begun.get("live") and "max_tasks" in begun:
        found = _of_live_directory(directory, plan, begun, asked)
        return replace(
            found,
            command=command,
            facts=(*facts, *found.facts),
            missing=(*missing, *found.missing),
        )
    listening = _Listening()
    state = RunState(listening, plan.all_tasks, live=bool(begun.get("live")))
    notes: list[str] = []
    paid: set[str] = set()
    for number, event in enumerate(events, start=1):
        try:
            if event["event"] == "known":
                paid |= {each.task for each in known_results(event, plan.all_tasks)}
            state.restore(event, notes.append)
        except (MidbandError, ValueError) as error:
            reason = " ".join(str(error).split())
            missing.append(
                f"Line {number} of the journal does not follow from those before ({reason}): it and"
                " what stands after it is left out."
            )
            break
    open_round = state.open_round
    if open_round is not None:
        missing.append(
            f"Round {open_round['name']} has begun and not ended: the run is still running, or was"
            " stopped in this round. Its results are not known yet."
        )
    if events and events[-1]["event"] == "stopped":
        missing.append(
            f"The run ended for want of results ({events[-1].get('reason', 'unknown')}). The same"
            " command tries again."
        )
    if not events:
        missing.append("The journal is empty: nothing has run yet.")
    waiting = [*state.waiting, *(open_round["tasks"] if open_round is not None else ())]
    return RunResults(
        plan=plan,
        results=tuple(each for each in listening.results if each.task in set(plan.tasks)),
        agent=state.earlier.agent,
        started=tuple(listening.started) if begun.get("live") else None,
        free=frozenset(paid - state.given),
        extra_usd=state.paid["usd"].extra,
        open_tasks=tuple(dict.fromkeys(waiting)),
        max_errors=asked.max_errors,
        command=command,
        facts=(*facts, ("Rounds", str(state.rounds))),
        dates=(changed,),
        warnings=tuple(notes),
        missing=tuple(missing),
    )


def _of_live_directory(
    directory: Path, plan: "Plan", begun: Mapping[str, Any], asked: Asked
) -> RunResults:
    """Read a run that is one round of a harness that asks for each next task, from its logs."""
    from midband.inspect import harness

    logs = directory / LOGS
    inspect = harness.InspectHarness()
    if not run_logs.logs_in(logs):
        return RunResults(plan=plan, results=(), missing=("The run has not written a log yet.",))
    most = begun.get("max_errors")
    order = inspect.read_live_order(directory / ORDER, plan)
    asked = replace(asked, max_errors=asked.max_errors or _most(most))
    return _of_logs(logs, asked, plan, order)


def _most(text: object) -> "MaxErrors | None":
    from midband_sampler import parse_max_errors

    with suppress(InputError):
        return parse_max_errors(str(text)) if text else None
    return None


def _of_logs(
    source: Path, asked: Asked, plan: "Plan | None" = None, order: Sequence[str] = ()
) -> RunResults:
    """Read a run from its Inspect logs, which name their plan."""
    logs = run_logs.logs_in(source)
    if not logs:
        msg = (
            "expected a directory of `midband run`, the Inspect log of an adaptive run, or a plan"
            f" and results, got {source}: name one of these"
        )
        raise InputError(msg)
    from midband.inspect import is_installed

    if not is_installed():
        msg = f"expected Inspect AI to read {source}, found none: pip install 'midband[inspect]'"
        raise UnreadableSourceError(msg)
    if plan is None:
        run_logs.refuse_race(logs)
        digests = {log: run_logs.digest_of_log(log) for log in logs}
        adaptive = [log for log in logs if digests[log]]
        if not adaptive:
            msg = (
                f"expected the log of an adaptive run, which names its plan, got {source}, which"
                " names none: name the plan first, as in `midband report run PLAN LOG`"
            )
            raise InputError(msg)
        logs, digest = adaptive, digests[adaptive[-1]]
        plan = read_plan(run_logs.find_plan(adaptive[-1], digest))
        logs = [log for log in logs if digests[log] == digest]
    return _by_plan(plan, None, logs, asked, order=order)


def _by_plan(
    plan: "Plan",
    plan_path: Path | None,
    paths: Sequence[Path],
    asked: Asked,
    *,
    order: Sequence[str] = (),
) -> RunResults:
    """Read results as `midband rank` judges them."""
    from midband._ranking import LiveOrder, rank_records
    from midband.cli.results import plan_records
    from midband.inspect import live_orders
    from midband_history import Metric

    options = asked.options
    headers = [(log, run_logs.header_of(log)) for path in paths for log in run_logs.logs_in(path)]
    headers = [(log, each) for log, each in headers if each]
    newest = headers[-1][1] if headers else {}
    arguments = newest.get("arguments", {})
    metric = options.metric or str(arguments.get("plan_metric") or "")
    if metric and plan.metric is None:
        plan, options = replace(plan, metric=Metric(name=metric)), replace(options, metric=metric)
    if plan.metric is not None:
        options = replace(options, prefer_metric=plan.metric.label)
    orders = live_orders(plan, paths, format_name=asked.format_name)
    agents = (asked.agent,) if asked.agent else ()
    records = plan_records(plan, paths, asked.format_name, options, agents)
    if order:  # a log that a kill left unfinished does not hold the order
        orders = {record.run_id: LiveOrder(tasks=tuple(order)) for record in records} | orders
    most = asked.max_errors or _most(arguments.get("plan_max_errors"))
    kept: dict[str, Told] = {}
    verdicts = rank_records(
        plan,
        records,
        allow_changed=asked.allow_changed or bool(arguments.get("allow_changed")),
        orders=orders,
        max_errors=most,
        kept=kept,
    )
    if len(kept) > 1:
        msg = (
            f"expected results of one agent, got {len(kept)} ({', '.join(list(kept)[:5])}): choose"
            " one with --agent"
        )
        raise InputError(msg)
    agent = next(iter(kept), asked.agent or str(newest.get("model", "")))
    told = kept.get(agent)
    return RunResults(
        plan=plan,
        results=() if told is None else tuple(_result(each) for each in told.records),
        agent=agent,
        started=told.started if told is not None and told.live else None,
        unlogged=() if told is None else told.unlogged,
        recorded=run_logs.recorded_verdict(headers, plan),
        max_errors=most,
        command=run_logs.inspect_command(newest),
        facts=run_logs.log_facts(headers),
        dates=run_logs.dates_of(headers, records),
        warnings=tuple(
            f"{each.ignored} results are on tasks that the plan does not hold, and are left out."
            for each in verdicts
            if each.ignored
        ),
        missing=(*run_logs.log_gaps(headers), *_unjudged(verdicts), *asked.notes),
    )


def _unjudged(verdicts: Sequence[Any]) -> list[str]:
    return [
        f"Results on {each.unjudged} tasks are not judged: that is done in the order of the plan,"
        f" and {each.missing!r} before them has no result."
        for each in verdicts
        if each.unjudged
    ]


def _result(record: "Record") -> AttemptResult:
    return AttemptResult(
        task=record.task_id,
        attempt=record.attempt,
        score=record.score if record.kind == "valid" else None,
        kind=record.kind if record.kind != "valid" or record.score is not None else "missing",
        cost_usd=record.cost_usd,
        seconds=record.duration_s,
        tokens=record.tokens,
        key=record.source_key,
    )


def known_sum(values: Sequence[float | None]) -> float:
    """Return the sum of the known values; NaN where none is known."""
    known = [each for each in values if each is not None and not math.isnan(each)]
    return math.fsum(known) if known else math.nan
