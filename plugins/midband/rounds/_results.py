"""What a round brought: its new results, and whether they are those that were asked for."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband._ranking import score_by
from midband.importers.reading import apply_options, call_reader
from midband.rounds._metrics import says_metric
from midband_history import (
    OUTCOME_KINDS,
    InputError,
    MidbandError,
    OutcomeKind,
    UnreadableSourceError,
)
from midband_sampler import DigestMismatchError

if TYPE_CHECKING:
    from midband._descriptors import ReadOptions
    from midband._harness import Harness
    from midband_history import Metric, Record
    from midband_sampler import Plan

FINISHED, FAILED, TIMED_OUT, INTERRUPTED = "finished", "failed", "timed out", "interrupted"
_NOT_RUN = ("cancelled", "missing")
# What no attempt costs or lasts: a value above is a mistake of the harness, and so unknown.
_MOST_USD = 1e6
_MOST_SECONDS = 1e8


@dataclass(frozen=True, kw_only=True)
class Result:
    """One attempt, as in `Record`; `key` is its source key, `seconds` how long it took."""

    task: str
    attempt: int
    score: float | None
    kind: OutcomeKind
    cost_usd: float | None = None
    seconds: float | None = None
    key: str = ""


@dataclass(frozen=True, kw_only=True)
class RoundEnd:
    """What became of one round.

    Parameters
    ----------
    name : str
    tasks : tuple of str
        What was asked for.
    status : str
        ``finished``, ``failed`` (an exit code other than 0), ``timed out`` or ``interrupted``.
    codes : tuple of int
        Exit codes of the steps.
    results : tuple of Result
        On the tasks asked for; each attempt only in the first round that holds it.
    extra : tuple of str
        Tasks with results that were not asked for, sorted.
    extra_usd : float
        Their known cost, US dollars.
    unreadable : tuple of str
        Why files could not be read.
    duplicates : int
        Results that an earlier round holds, or that stand twice in this one.
    agent : str
        Who ran; empty without results.
    notes : tuple of str
        What the results state and cannot be, and was taken as unknown.
    """

    name: str
    tasks: tuple[str, ...]
    status: str
    codes: tuple[int, ...] = ()
    results: tuple[Result, ...] = ()
    extra: tuple[str, ...] = ()
    extra_usd: float = 0.0
    unreadable: tuple[str, ...] = ()
    duplicates: int = 0
    agent: str = ""
    notes: tuple[str, ...] = ()

    @property
    def scores(self) -> int:
        """Number of results with a score."""
        return sum(result.kind == "valid" for result in self.results)

    @property
    def scored(self) -> frozenset[str]:
        """Tasks of which an attempt has a score."""
        return frozenset(result.task for result in self.results if result.kind == "valid")

    @property
    def dropped(self) -> tuple[str, ...]:
        """Tasks that were asked for and have no result, in the order asked."""
        found = {result.task for result in self.results}
        return tuple(task for task in self.tasks if task not in found)

    def open_tasks(self) -> frozenset[str]:
        """Tasks that may not have been run to their end, so that another try makes sense.

        All of them if not one has a score; where the round was cut short or left a broken file,
        those without a result.
        """
        if not self.scores:
            return frozenset(self.tasks)
        if self.status == FINISHED and not self.unreadable:
            return frozenset()
        run = {result.task for result in self.results if result.kind not in _NOT_RUN}
        return frozenset(self.tasks) - run

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RoundEnd":
        """Rebuild what `to_dict` returned.

        Costs and durations that cannot be are unknown, with a note.

        Raises
        ------
        ValueError
            It is something else.
        """
        odd: Counter[str] = Counter()
        tasks = _texts(data, "tasks")
        end = cls(
            name=_text(data, "name"),
            tasks=tasks,
            status=_text(data, "status"),
            codes=tuple(_number(code, "an exit code") for code in _list(data, "codes")),
            results=tuple(_result(each, tasks, odd) for each in _list(data, "results")),
            extra=_texts(data, "extra"),
            extra_usd=_amount(data.get("extra_usd"), _MOST_USD, odd, "cost") or 0.0,
            unreadable=_texts(data, "unreadable"),
            duplicates=_number(data.get("duplicates"), "a number of duplicates"),
            agent=_text(data, "agent"),
            notes=_texts(data, "notes") if "notes" in data else (),
        )
        return replace(end, notes=(*end.notes, *_odd_notes(odd)))


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str):
        msg = f"expected a text as {name}, got {value!r:.40}"
        raise ValueError(msg)
    return value


def _list(data: Mapping[str, Any], name: str) -> list[Any]:
    value = data.get(name)
    if not isinstance(value, (list, tuple)):
        msg = f"expected a list as {name}, got {value!r:.40}"
        raise ValueError(msg)
    return list(value)


def _texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    return tuple(_text({name: item}, name) for item in _list(data, name))


def _number(value: object, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        msg = f"expected {what}, got {value!r:.40}"
        raise ValueError(msg)
    return value


def _result(data: object, tasks: Collection[str], odd: "Counter[str]") -> Result:
    if not isinstance(data, Mapping):
        msg = f"expected a result, got {data!r:.40}"
        raise ValueError(msg)
    task, kind, score = _text(data, "task"), _text(data, "kind"), data.get("score")
    attempt = _number(data.get("attempt"), "the number of an attempt")
    if isinstance(score, int) and not isinstance(score, bool):
        score = float(score) if 0 <= score <= 1 else -1.0
    scored = isinstance(score, float) and 0 <= score <= 1
    if task not in tasks or kind not in OUTCOME_KINDS or attempt < 0:
        msg = f"expected a result of a task of the round, got {task!r:.40}, {kind!r:.20}"
        raise ValueError(msg)
    if scored != (kind == "valid") or not (scored or score is None):
        msg = f"expected a score in [0, 1] for a valid result alone, got {score!r:.40}, {kind}"
        raise ValueError(msg)
    return Result(
        task=task,
        attempt=attempt,
        score=score,
        kind=kind,
        cost_usd=_amount(data.get("cost_usd"), _MOST_USD, odd, "cost"),
        seconds=_amount(data.get("seconds"), _MOST_SECONDS, odd, "duration"),
        key=_text(data, "key"),
    )


def _amount(value: object, most: float, odd: "Counter[str]", what: str) -> float | None:
    """Return a cost or duration; None, and counted as odd, where it cannot be one."""
    if value is None:
        return None
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    odd[what] += 1
    return None


def _odd_notes(odd: "Counter[str]") -> tuple[str, ...]:
    """Return a line for each kind of amount that was taken as unknown."""
    return tuple(
        f"took {count} {what}{'' if count == 1 else 's'} as unknown:"
        " negative, not a finite number, or too large"
        for what, count in sorted(odd.items())
    )


@dataclass(frozen=True, kw_only=True)
class Known:
    """What earlier rounds hold.

    Parameters
    ----------
    keys : collection of str
        Source keys of all results.
    attempts : collection of (str, int)
        Task and number of the attempts that were told.
    agent : str
        Who ran; empty if unknown.
    """

    keys: Collection[str] = frozenset()
    attempts: Collection[tuple[str, int]] = frozenset()
    agent: str = ""


def collect(
    harness: "Harness",
    path: Path,
    end: RoundEnd,
    *,
    plan: "Plan",
    known: Known,
    options: "ReadOptions",
    named: bool = False,
    allow_changed: bool,
) -> RoundEnd:
    """Return the end of a round with what it left at `path`, its scores in [0, 1].

    Parameters
    ----------
    harness : Harness
    path : Path
        Absent if the round left nothing.
    end : RoundEnd
        With everything but the results.
    plan : Plan
    known : Known
    options : ReadOptions
        How the results are read.
    named : bool
        Whether the user said that results without a metric are by the plan's.
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.

    Raises
    ------
    InputError
        There are results of several agents, or by another metric than the plan's.
    DigestMismatchError
        A task's content has changed since the plan was made.
    MidbandError
        The harness's adapter failed.
    """
    records: list[Record] = []
    if path.exists():
        records, unreadable = _read(harness, path, options)
        if unreadable and options.metric:
            # A file that lacks the plan's metric is told from a torn one by reading what it has.
            others, _ = _read(harness, path, replace(options, metric=""))
            for record in others:
                score_by(plan, record)
        end = replace(end, unreadable=unreadable)
    if plan.metric is not None and (named or not says_metric(harness)):
        records, end = _named(records, end, plan.metric)
    return _sorted_out(records, end, plan=plan, known=known, allow_changed=allow_changed)


def _read(
    harness: "Harness", path: Path, options: "ReadOptions"
) -> "tuple[list[Record], tuple[str, ...]]":
    """Return what can be read, and why the rest cannot."""
    records: list[Record] = []
    try:
        for record in call_reader(harness.read_results, path, options):
            records.append(apply_options(record, replace(options, metric="")))
    except UnreadableSourceError as error:
        return records, (" ".join(str(error).split()),)
    except MidbandError:
        raise
    except (Exception, SystemExit) as error:  # a fault of the adapter, not of the user
        msg = (
            f"expected {harness.name} to read {path}, its adapter failed,"
            f" {type(error).__name__}: {error}: report it to its authors; nothing is lost"
        )
        raise MidbandError(msg) from error
    return records, ()


def _named(
    records: "list[Record]", end: RoundEnd, metric: "Metric"
) -> "tuple[list[Record], RoundEnd]":
    """Take results of a harness that names no metric for the plan's, and say so."""
    if all(record.metric.known or record.score is None for record in records):
        return records, end
    named = [
        record if record.metric.known else replace(record, metric=metric) for record in records
    ]
    note = f"the results name no metric: taken as {metric.label}, the plan's"
    return named, replace(end, notes=(*end.notes, note))


def _sorted_out(
    records: "Sequence[Record]", end: RoundEnd, *, plan: "Plan", known: Known, allow_changed: bool
) -> RoundEnd:
    asked = set(end.tasks)
    keys, attempts = set(known.keys), set(known.attempts)
    agents = dict.fromkeys(filter(None, (known.agent,)))
    odd: Counter[str] = Counter()
    costs = _costs(records, odd)
    results: list[Result] = []
    extra: dict[str, None] = {}
    extra_usd, duplicates = 0.0, 0
    for record, cost in zip(records, costs, strict=True):
        place = (record.task_id, record.attempt)
        if (record.source_key and record.source_key in keys) or place in attempts:
            duplicates += 1
            continue
        keys.add(record.source_key)
        attempts.add(place)
        if record.task_id not in asked:
            extra[record.task_id] = None
            extra_usd += cost or 0.0
            continue
        agents[record.agent] = None
        _check_content(plan, record, allow_changed=allow_changed)
        results.append(
            Result(
                task=record.task_id,
                attempt=record.attempt,
                score=score_by(plan, record),
                kind=record.kind,
                cost_usd=cost,
                seconds=_amount(record.duration_s, _MOST_SECONDS, odd, "duration"),
                key=record.source_key,
            )
        )
    if len(agents) > 1:
        msg = (
            f"expected results of one agent in {end.name}, got {' and '.join(sorted(agents))}:"
            " run one agent in one directory"
        )
        raise InputError(msg)
    return replace(
        end,
        results=tuple(results),
        extra=tuple(sorted(extra)),
        extra_usd=extra_usd,
        duplicates=duplicates,
        agent=next(iter(agents), ""),
        notes=(*end.notes, *_odd_notes(odd)),
    )


def _costs(records: "Sequence[Record]", odd: "Counter[str]") -> list[float | None]:
    """Return the cost of every attempt; where only that of its run is known, an equal share."""
    size = Counter(record.run_id for record in records)
    costs: list[float | None] = []
    for record in records:
        if record.cost_usd is not None:
            costs.append(_amount(record.cost_usd, _MOST_USD, odd, "cost"))
            continue
        number = size[record.run_id]
        whole = _amount(record.run_cost_usd, _MOST_USD * number, odd, "cost")
        costs.append(None if whole is None else whole / number)
    return costs


def _check_content(plan: "Plan", record: "Record", *, allow_changed: bool) -> None:
    expected = plan.task_digests.get(record.task_id, "")
    if allow_changed or not expected or record.task_digest in ("", expected):
        return
    msg = (
        f"expected task {record.task_id!r} as it was when the plan was made (digest {expected}),"
        f" got another content ({record.task_digest}): make a new plan, or pass --allow-changed"
    )
    raise DigestMismatchError(msg)
