"""The logs of a race of Inspect evals, read for a report: also of one that is still running."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from midband.inspect.entrant import merged
from midband.inspect.log_file import RACE_RECORD
from midband.inspect.metric import ScoreReader
from midband.inspect.race_command import candidate_of
from midband.inspect.scores import SampleResult, attempt_cost, attempt_tokens, task_id
from midband.report.race_facts import (
    Look,
    RaceFacts,
    RaceResult,
    course_side_by_side,
    tell_result,
)
from midband.report.words import counted
from midband.text import one_line
from midband_history import InputError, Metric, MidbandError
from midband_sampler import racing

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog

    from midband_sampler.racing import RacePlan, RaceVerdict

_STREAM = 0x72616365  # of `racing.Race`, which draws the shared order of a race without a history


@dataclass(frozen=True, kw_only=True)
class _RaceLog:
    """One log of a race: its header, and what its header says of the race."""

    path: Path
    log: "EvalLog"
    record: Mapping[str, Any]
    note: Mapping[str, Any]

    @property
    def race(self) -> str:
        """What names the race over all logs of it."""
        return str(self.record.get("race") or self.note.get("race") or self.log.eval.run_id)


def read_race_logs(place: Path) -> RaceFacts:
    """Return what the logs of a race say: the newest race, where a directory has several.

    Parameters
    ----------
    place : Path
        A log, or the directory that it lies in.

    Raises
    ------
    InputError
        No log is of a race.
    """
    folder = place if place.is_dir() else place.parent
    found, unread = _headers(folder)
    if place.is_file():
        named = [each for each in found if each.path == place]
        found = [each for each in found if named and each.race == named[0].race]
    if not found:
        hint = f"; {unread} logs could not be read" if unread else ""
        msg = (
            f"expected the directory of a race or logs of one, got {place} with none{hint}: name"
            " what `midband race --output` or `midband inspect eval --race` wrote"
        )
        raise InputError(msg)
    newest = max(found, key=lambda each: str(each.log.eval.created)).race
    races = len({each.race for each in found})
    logs = sorted(
        (each for each in found if each.race == newest), key=lambda each: str(each.log.eval.created)
    )
    missing = []
    if unread:
        missing.append(
            f"{counted(unread, 'log')} of {folder} could not be read: incomplete, or of another"
            " format."
        )
    if races > 1:
        missing.append(
            f"{folder} holds logs of {races} races. This page shows the newest; name a log of"
            " another one to see that."
        )
    return _facts_of(folder, logs, missing)


def _headers(folder: Path) -> tuple[list[_RaceLog], int]:
    """Return the logs of races in a folder, and how many logs could not be read."""
    from inspect_ai.log import read_eval_log

    found, unread = [], 0
    for path in sorted([*folder.glob("*.eval"), *folder.glob("*.json")]):
        try:
            log = read_eval_log(str(path), header_only=True)
        except Exception:  # a log that is being written, or no log at all
            unread += path.suffix == ".eval"
            continue
        metadata = log.eval.metadata or {}
        record, note = metadata.get(RACE_RECORD), metadata.get("midband")
        if isinstance(record, Mapping) or (isinstance(note, Mapping) and note.get("race")):
            found.append(
                _RaceLog(
                    path=path,
                    log=log,
                    record=record if isinstance(record, Mapping) else {},
                    note=note if isinstance(note, Mapping) else {},
                )
            )
    return found, unread


def _facts_of(folder: Path, logs: Sequence[_RaceLog], missing: list[str]) -> RaceFacts:
    record = max((each.record for each in logs), key=_reached)
    candidates = tuple(str(name) for name in record.get("candidates", ()))
    candidates = candidates or tuple(dict.fromkeys(each.log.eval.model for each in logs))
    order = max((list(each.record.get("order", ())) for each in logs), key=len)
    plan, why = _plan(logs[-1], record, order)
    results = _results(logs, candidates, plan, missing)
    course: list[Look] = []
    verdict = _verdict(record, missing)
    if plan is None:
        missing.append(f"The race cannot be replayed: {why}.")
    else:
        try:
            course = course_side_by_side(plan, results, order=order)
            if verdict is None and not record.get("error"):
                verdict = _told(plan, results, order).verdict()
        except MidbandError as problem:
            missing.append(f"The race cannot be replayed: {one_line(str(problem))}.")
    begun = {each.log.eval.model for each in logs}
    running = [each.log.eval.model for each in logs if each.log.status == "started"]
    over = bool(record.get("over"))
    state = "over" if over else "going on" if running else "stopped"
    if running and not over:
        missing.append(
            f"{', '.join(dict.fromkeys(running))}: the log has no end yet. The eval is still"
            " running, or was killed."
        )
    idle = [name for name in candidates if not any(_runs(plan, m, name) for m in begun)]
    if idle:
        missing.append(f"There is no log of {', '.join(idle)}.")
    warnings = [one_line(str(each)) for each in record.get("warnings", ())]
    if record.get("error"):
        warnings.append(
            f"midband could not judge this race ({one_line(str(record['error']))}): every sample"
            " ran, and nothing is claimed"
        )
    question = str(record.get("question") or _argument(logs[-1], "race"))
    benchmark = str(record.get("benchmark") or logs[-1].note.get("benchmark") or "")
    return RaceFacts(
        title=f"Race {question} on {benchmark}",
        candidates=candidates,
        verdict=verdict,
        results=results,
        course=course if verdict is not None else (),
        state=state,
        ended=_ended(record, verdict, state),
        facts=_named(folder, logs, record),
        warnings=warnings,
        missing=missing,
        references=len(plan.reference_agents) if plan is not None else 0,
        allocation=str(record.get("allocation", "")),
        budget=_argument(logs[-1], "race_budget"),
    )


def _reached(record: Mapping[str, Any]) -> tuple[int, int]:
    verdict = record.get("verdict")
    results = verdict.get("results", 0) if isinstance(verdict, Mapping) else -1
    return int(results), len(record.get("order", ()))


def _ended(record: Mapping[str, Any], verdict: "RaceVerdict | None", state: str) -> str:
    if state == "going on":
        return "the race is still running"
    if record.get("error"):
        return "midband could not judge it"
    return verdict.reason if verdict is not None else ""


def _verdict(record: Mapping[str, Any], missing: list[str]) -> "RaceVerdict | None":
    """Return the verdict that a log keeps, if one does."""
    kept = record.get("verdict")
    if not isinstance(kept, Mapping):
        return None
    try:
        return racing.RaceVerdict.from_dict(kept)
    except InputError as problem:
        missing.append(f"The verdict in the logs cannot be read: {one_line(str(problem))}.")
        return None


def _argument(log: _RaceLog, name: str) -> str:
    value = (log.log.eval.task_args or {}).get(name)
    if isinstance(value, (list, tuple)):
        return ",".join(str(each) for each in value)
    return "" if value is None else str(value)


def _plan(
    log: _RaceLog, record: Mapping[str, Any], order: Sequence[str]
) -> "tuple[RacePlan | None, str]":
    """Return the plan of the race, or why there is none.

    The shared order of a race that was asked by a question is drawn from the number of tasks alone,
    so tasks that nobody has begun need no name.
    """
    from midband.inspect.race_task import read_race

    text = _argument(log, "race")
    if not text:
        return None, "its logs do not name its plan or question"
    is_file = Path(text).is_file()
    if not is_file and (text.endswith(".json") or "/" in text):
        return None, f"its plan {text} is not there any more"
    try:
        plan = read_race(
            text,
            models=[] if is_file else [str(each) for each in record.get("candidates", ())],
            budget="" if is_file else _argument(log, "race_budget"),
            allocation="" if is_file else _argument(log, "race_allocation"),
        )
    except (MidbandError, OSError) as problem:
        return None, one_line(str(problem))
    if plan.tasks:
        if record.get("plan_digest") not in (None, plan.digest):
            return None, f"its plan {text} was changed since"
        return plan, ""
    total = _total(record)
    if not total or total < len(order):
        return None, "its logs do not say yet how many tasks the benchmark has"
    drawn = np.random.default_rng([plan.seed, _STREAM]).permutation(total).tolist()
    tasks = [f"(not begun {place})" for place in range(total)]
    for place, task in zip(drawn, order, strict=False):
        tasks[place] = task
    return plan.with_tasks(tasks, {}), ""


def _total(record: Mapping[str, Any]) -> int:
    verdict = record.get("verdict")
    ranked = verdict.get("ranked") if isinstance(verdict, Mapping) else None
    if ranked:
        return int(ranked[0]["total"])
    return int(record.get("tasks_total") or 0)


def _runs(plan: "RacePlan | None", model: str, candidate: str) -> bool:
    return model == candidate or (plan is not None and candidate_of(plan, model) == candidate)


def _results(
    logs: Sequence[_RaceLog],
    candidates: Sequence[str],
    plan: "RacePlan | None",
    missing: list[str],
) -> list[RaceResult]:
    """Return the result of each candidate on each task, in the order in which they were complete.

    Of several attempts at a race, the first result with a score stands.
    """
    from inspect_ai.log import read_eval_log_sample_summaries

    known: dict[tuple[str, str], tuple[str, RaceResult]] = {}
    for each in logs:
        spec = each.log.eval
        name = next((c for c in candidates if _runs(plan, spec.model, c)), None)
        if name is None:
            missing.append(f"{spec.model} is none of the candidates: its log is left out.")
            continue
        reader = ScoreReader(_metric(each, plan), spec=spec)
        attempts: dict[str, list[SampleResult]] = {}
        ended: dict[str, str] = {}
        try:
            for sample in read_eval_log_sample_summaries(str(each.path)):
                task = task_id(sample.id)
                usd, seconds = attempt_cost(sample)
                score = reader.read(sample.scores) if sample.error is None else None
                kind = "infra_error" if sample.error is not None else "valid"
                result = SampleResult(
                    score=score,
                    kind=kind if score is not None or sample.error is not None else "missing",
                    usd=usd,
                    seconds=seconds,
                    tokens=attempt_tokens(sample),
                )
                attempts.setdefault(task, []).append(result)
                ended[task] = max(ended.get(task, ""), str(sample.completed_at or ""))
        except Exception as problem:  # a log that is being written, or a score of another metric
            missing.append(f"Results of {name} are left out: {one_line(str(problem))}.")
        for task, found in attempts.items():
            whole = merged(found)
            earlier = known.get((name, task))
            if earlier is None or (earlier[1].score is None and whole.score is not None):
                known[name, task] = (
                    ended[task],
                    RaceResult(
                        candidate=name,
                        task=task,
                        score=whole.score,
                        kind=whole.kind,
                        usd=whole.usd,
                        seconds=whole.seconds,
                        tokens=whole.tokens,
                    ),
                )
    return [result for _, result in sorted(known.values(), key=lambda pair: pair[0])]


def _metric(log: _RaceLog, plan: "RacePlan | None") -> Metric:
    if plan is not None and plan.metric is not None:
        return plan.metric
    name, _, key = str(log.note.get("metric") or "").partition(".")
    return Metric(name=name, key=key)


def _told(plan: "RacePlan", results: Sequence[RaceResult], order: Sequence[str]) -> "racing.Race":
    """Return the race after all results."""
    race = racing.Race(plan, together=False, order=order if plan.model is not None else ())
    for each in results:
        tell_result(race, each)
    return race


def _named(
    folder: Path, logs: Sequence[_RaceLog], record: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """Return the command, as far as a log keeps it, and the versions."""
    last = logs[-1]
    spec = last.log.eval
    task = str(last.note.get("task") or spec.task)
    models = ",".join(dict.fromkeys(each.log.eval.model for each in logs))
    words = ["midband", "inspect", "eval", task, "--race", _argument(last, "race")]
    for option, name in (("--race-budget", "race_budget"), ("--allocation", "race_allocation")):
        if value := _argument(last, name):
            words += [option.replace("--race-", "--"), value]
    facts = [
        ("Command, as the logs tell it", shlex.join([*words, "--model", models])),
        ("Logs", f"{len(logs)} in {folder}"),
        ("Begun", str(logs[0].log.eval.created)),
    ]
    versions = {**(spec.packages or {}), "midband": str(last.note.get("version") or "")}
    facts += [(f"Ran with {name}", version) for name, version in versions.items() if version]
    if digest := record.get("plan_digest"):
        facts.append(("Race plan", str(digest)))
    return facts
