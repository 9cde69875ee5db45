"""How Inspect asks and tells a race: a sample source that several evals share, and their logs."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import ref

import inspect_ai

from midband.inspect.entrant import Entrant, merged
from midband.inspect.hooks import (
    evals_in_run,
    note_sample,
    wanted_samples,
    width_of,
)
from midband.inspect.limits import shared_limits
from midband.inspect.log_file import RACE_RECORD
from midband.inspect.metric import ScoreReader
from midband.inspect.race_command import candidate_of, hand_back
from midband.inspect.racing import Earlier, SharedRace, shared_race, still_to_run
from midband.inspect.scores import SampleResult, attempt_cost, attempt_tokens, task_id
from midband.inspect.shown import (
    RunningEval,
    forget_verdict,
    keep_verdict,
    race_tag,
    running_eval,
    say_at_end,
)
from midband_history import InputError, Metric

if TYPE_CHECKING:
    from collections.abc import Callable

    from inspect_ai import SampleSource
    from inspect_ai.dataset import Sample
    from inspect_ai.log import EvalLog, EvalSample, EvalSpec

    from midband_sampler.racing import RacePlan, RaceVerdict
else:  # versions before 0.3.250 have none, and are never given one
    SampleSource = getattr(inspect_ai, "SampleSource", object)


@dataclass(eq=False, repr=False)
class RaceSource(SampleSource):
    """Hands every model of one command its next samples, until the race lets go of it.

    Inspect makes one of these a model, or lets several models share one: the state belongs to the
    eval that Inspect announces, and the race to all evals of its id.

    Parameters
    ----------
    plan_for : callable
        Gives the plan for the tasks that can run.
    samples : mapping of str to Sample
        The dataset, by task id.
    race_id : str
        Names the race over all attempts at it. If it is empty, a retry and an eval set go on with
        the race that the log of the first attempt names.
    metric : Metric
    limits : mapping of str to float, optional
        Hard limits to what all samples of the command may cost, by unit.

    Attributes
    ----------
    verdicts : dict of str to RaceVerdict or None
        What the race had come to when the eval of each model ended; None where midband could not
        judge it.
    """

    plan_for: "Callable[[Sequence[str]], RacePlan]"
    _: KW_ONLY
    samples: "Mapping[str, Sample]"
    race_id: str
    metric: Metric
    limits: "Mapping[str, float] | None" = None
    verdicts: "dict[str, RaceVerdict | None]" = field(default_factory=dict, init=False)

    async def next_samples(self) -> "list[Sample] | None":
        """Return the next samples, once there are some, or None at the end.

        Called when nothing is at work. While others have to get on first, it waits for them.
        """
        current = running_eval.get()
        if current is None:
            current = RunningEval(None)
            running_eval.set(current)  # the feeder calls in one context
        entrant = _entrant_of(current)
        try:
            if entrant is None:
                entrant = await self._begin(current)
                self._mind_the_end(current, entrant)
            while True:
                samples = self._named(entrant, entrant.hand_out(idle=True))
                over = not samples and not entrant.waits
                _record(current, entrant, over=over)
                if over:
                    self.verdicts[entrant.candidate] = entrant.shared.verdict
                if samples or not entrant.waits:
                    return samples or None
                await entrant.shared.change(entrant.candidate)
        except Exception as error:  # a saving must never cost an evaluation
            if entrant is None:
                return None if _begun_in_full(current) else list(self.samples.values())
            entrant.shared.fail(error)
            return self._named(entrant, entrant.rest()) or None

    async def sample_complete(self, sample: "EvalSample") -> "list[Sample] | None":
        """Take in a sample that ran, or that a retry uses again; return what follows it."""
        current = running_eval.get()
        entrant = _entrant_of(current)
        if current is None or entrant is None:
            return None
        try:
            if not note_sample(entrant, sample):
                entrant.scored(sample.id, sample.epoch, entrant.reader.read(sample.scores))
        except Exception as error:  # a score of an unknown shape must not end the eval
            entrant.shared.fail(error)
        return self._follow(current, entrant)

    async def sample_abandoned(self, sample: "Sample", epoch: int) -> "list[Sample] | None":
        """Take in a sample that was cancelled before it began; return what follows it."""
        current = running_eval.get()
        entrant = _entrant_of(current)
        if current is None or entrant is None:
            return None
        entrant.lost(task_id(sample.id), epoch, "cancelled")
        return self._follow(current, entrant)

    def _follow(self, current: RunningEval, entrant: Entrant) -> "list[Sample] | None":
        try:
            samples = self._named(entrant, entrant.hand_out())
        except Exception as error:
            entrant.shared.fail(error)
            samples = self._named(entrant, entrant.rest())
        _record(current, entrant, over=False)
        return samples or None

    async def _begin(self, current: RunningEval) -> Entrant:
        spec = current.spec
        config = None if spec is None else spec.config
        available = wanted_samples(self.samples, config)
        limit = None
        if config is not None and config.sample_id is None and isinstance(config.limit, int):
            limit = config.limit
        run_id = "" if spec is None else spec.run_id
        plan = self.plan_for(list(available)[:limit])
        race_id = self.race_id or _first_id(spec, plan)
        shared = shared_race(race_id, run_id, plan)
        async with shared.lock:
            if not shared.opened:
                at_once = None if config is None else config.max_tasks
                shared.starters = min(evals_in_run(run_id), at_once or 1, len(still_to_run(plan)))
                earlier = Earlier()
                if race_id:
                    earlier = await _earlier(race_id, plan, self.metric, current)
                shared.open(earlier)
        model = "" if spec is None else spec.model
        candidate = candidate_of(plan, model) or ""
        outside = ""
        if spec is None:
            outside = "Inspect did not announce the eval"
        elif not candidate:
            outside = f"{model} is none of the race's candidates ({', '.join(plan.candidates)})"
        elif shared.has(candidate):
            outside = f"two evals of {model} run at the same time, which cannot be told apart"
        if outside:
            shared.note(f"{outside}: it takes no part, and runs every sample")
        entrant = Entrant(
            shared=shared,
            candidate=candidate,
            eval_id="" if spec is None else spec.eval_id,
            epochs=(config.epochs if config is not None else None) or 1,
            reader=ScoreReader(self.metric, spec=spec),
            available=available,
            width=width_of(current),
            limit=limit,
            score_on_error=bool(config and getattr(config, "score_on_error", None)),
            fails_on_error=config is None or config.fail_on_error is not False,
            outside=outside,
            limits=shared_limits(self.limits, spec) if self.limits else None,
        )
        current.entrant = entrant
        if spec is not None:
            forget_verdict(spec)
            known = spec.metadata or {}
            note = {**known.get("midband", {}), "race": shared.race_id}
            spec.metadata = {**known, "midband": note}
        say_at_end(f"race {shared.race_id}", partial(_said, shared))
        return entrant

    def _mind_the_end(self, current: RunningEval, entrant: Entrant) -> None:
        """Hear of an eval that dies, of which Inspect does not tell: its feeder ends with it."""
        try:
            feeder = asyncio.current_task()
        except RuntimeError:  # Inspect runs on another event loop
            return
        if feeder is None:
            return
        running = ref(current)

        def ended(_: object) -> None:
            if not entrant.ended:
                entrant.end(early=True)
                found = running()
                if found is not None:
                    _record(found, entrant, over=True)

        feeder.add_done_callback(ended)

    def _named(self, entrant: Entrant, tasks: Sequence[str]) -> "list[Sample]":
        """Return the samples of tasks, each with a note of its place in the shared order."""
        samples = []
        for task in tasks:
            sample = self.samples[task]
            note = {**(sample.metadata or {}), "midband": {"place": entrant.shared.place(task)}}
            samples.append(sample.model_copy(update={"metadata": note}))
        return samples


def _first_id(spec: "EvalSpec | None", plan: "RacePlan") -> str:
    """Return the name of a race that none was given: of the attempt before, or of its eval set."""
    if spec is None:
        return ""
    record = (spec.metadata or {}).get(RACE_RECORD)
    if isinstance(record, Mapping) and record.get("plan_digest") == plan.digest:
        return str(record.get("race") or "")
    return f"0-{plan.digest}" if getattr(spec, "eval_set_id", None) else ""


def _entrant_of(current: RunningEval | None) -> Entrant | None:
    entrant = None if current is None else current.entrant
    return entrant if isinstance(entrant, Entrant) else None


def _begun_in_full(current: RunningEval) -> bool:
    """Whether an eval without a race has been given all its samples; from now on it has."""
    begun, current.entrant = current.entrant, "in full"
    return begun is not None


def _record(current: RunningEval, entrant: Entrant, *, over: bool) -> None:
    """Put the race so far where the log's header is written from; the verdict at the end."""
    if over:
        entrant.end()
    try:
        spec = current.spec
        report = entrant.shared.report(judged=over)
        if over:
            hand_back(report)
        if spec is not None:
            report["candidate"] = entrant.candidate
            report["outside"] = entrant.outside or None
            spec.metadata = {**(spec.metadata or {}), RACE_RECORD: report}
            if over:
                text = "\n".join(entrant.shared.lines())
                keep_verdict(spec, text, race_tag(entrant.shared.verdict, entrant.candidate))
    except Exception as error:  # what cannot be noted must not end the eval
        entrant.shared.fail(error)


def _said(shared: SharedRace, width: int, encoding: str) -> str:
    head = f"race {shared.plan.question.text} on {shared.plan.benchmark}"
    return "\n".join([head, *shared.lines(width=width, encoding=encoding)])


def race_report(logs: "Sequence[EvalLog]") -> dict[str, Any]:
    """Return what the logs of a race say of it: the record of the eval that ended last.

    Parameters
    ----------
    logs : sequence of EvalLog
        As ``inspect_ai.eval`` returns them.

    Raises
    ------
    InputError
        No log is of a race.
    """
    records = [(log.eval.metadata or {}).get(RACE_RECORD) for log in logs]
    found: list[dict[str, Any]] = [dict(each) for each in records if isinstance(each, Mapping)]
    if not found:
        msg = "expected logs of a race, got none: run the task that `prepare_race` returns"
        raise InputError(msg)
    return max(found, key=lambda record: (record["verdict"] or {}).get("results", -1))


def race_report_in(paths: Sequence[Path]) -> dict[str, Any]:
    """Return `race_report` of the logs in these files."""
    from inspect_ai.log import read_eval_log

    return race_report([read_eval_log(str(path), header_only=True) for path in paths])


async def _earlier(race_id: str, plan: "RacePlan", metric: Metric, current: RunningEval) -> Earlier:
    """Return what the logs beside this eval's hold of the same race, from earlier attempts."""
    results: dict[tuple[str, str], SampleResult] = {}
    places: dict[str, int] = {}
    ended: dict[str, bool] = {}
    order: list[str] = []
    for log, summaries in await _logs_of(race_id, current):
        spec = log.eval
        record = (spec.metadata or {}).get(RACE_RECORD)
        if isinstance(record, Mapping) and len(record.get("order", ())) > len(order):
            order = [str(task) for task in record["order"]]
        candidate = candidate_of(plan, spec.model)
        if candidate is None:
            continue
        ended[candidate] = log.status == "success"
        _read(results, places, summaries, plan, candidate, ScoreReader(metric, spec=spec))
    known = set(plan.tasks)
    order = [task for task in order if task in known]
    order += sorted((task for task in places if task not in order), key=places.__getitem__)
    over = frozenset(name for name, success in ended.items() if success)
    return Earlier(results=results, order=order, ended=over)


def _read(
    results: dict[tuple[str, str], SampleResult],
    places: dict[str, int],
    summaries: "Sequence[Any]",
    plan: "RacePlan",
    candidate: str,
    reader: ScoreReader,
) -> None:
    known = set(plan.tasks)
    attempts: dict[str, list[SampleResult]] = {}
    for each in summaries:
        task = task_id(each.id)
        if task not in known:
            continue
        usd, seconds = attempt_cost(each)
        tokens = attempt_tokens(each)
        scored = reader.read(each.scores) if each.error is None else None
        kind = "valid" if each.error is None else "infra_error"
        attempts.setdefault(task, []).append(
            SampleResult(score=scored, kind=kind, usd=usd, seconds=seconds, tokens=tokens)
        )
        note = (each.metadata or {}).get("midband")
        if isinstance(note, Mapping) and isinstance(note.get("place"), int):
            places.setdefault(task, note["place"])
    for task, found in attempts.items():
        result = merged(found)
        if result.score is not None or (candidate, task) not in results:
            results[candidate, task] = result


async def _logs_of(race_id: str, current: RunningEval) -> "list[tuple[EvalLog, list[Any]]]":
    """Return the logs of a race and their samples in short, the oldest first."""
    from inspect_ai.log import (
        list_eval_logs_async,
        read_eval_log_async,
        read_eval_log_sample_summaries_async,
    )

    spec = current.spec
    begun = int(race_id.partition("-")[0], 16)
    found: dict[str, tuple[EvalLog, list[Any]]] = {}
    for place in _places(spec):
        for info in await list_eval_logs_async(place, recursive=False):
            if info.mtime is not None and info.mtime / 1000 < begun - 60:
                continue
            try:
                log = await read_eval_log_async(info, header_only=True)
                note = (log.eval.metadata or {}).get("midband")
                if not isinstance(note, Mapping) or note.get("race") != race_id:
                    continue
                if spec is not None and log.eval.run_id == spec.run_id:
                    continue
                found[info.name] = (log, await read_eval_log_sample_summaries_async(info))
            except Exception:  # one that is being written, or of somebody else
                continue
    return sorted(found.values(), key=lambda pair: pair[0].eval.created)


def _places(spec: "EvalSpec | None") -> list[str]:
    """Return where logs of the race may lie: beside this eval's, and beside those retried."""
    from inspect_ai._control.eval_state import get_eval_state

    found: dict[str, None] = {}
    state = None if spec is None else get_eval_state(spec.eval_id)
    if state is not None and state.log_location:
        found[str(state.log_location).rpartition("/")[0]] = None
    for word in sys.argv[1:]:
        if word.endswith((".eval", ".json")) and Path(word).is_file():
            found[str(Path(word).absolute().parent)] = None
    return list(found)
