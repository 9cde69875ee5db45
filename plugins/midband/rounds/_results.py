"""What a round brought: its new results, and whether they are those that were asked for."""

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband_history import InputError, MidbandError, OutcomeKind, UnreadableSourceError
from midband_sampler import DigestMismatchError

if TYPE_CHECKING:
    from midband._harness import Harness
    from midband_history import Record
    from midband_sampler import Plan

FINISHED, FAILED, TIMED_OUT, INTERRUPTED = "finished", "failed", "timed out", "interrupted"
_NOT_RUN = ("cancelled", "missing")


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
        """Rebuild what `to_dict` returned."""
        several = ("tasks", "codes", "extra", "unreadable")
        return cls(
            **{
                **data,
                **{name: tuple(data[name]) for name in several},
                "results": tuple(Result(**result) for result in data["results"]),
            }
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
    allow_changed: bool,
) -> RoundEnd:
    """Return the end of a round with what it left at `path`.

    Parameters
    ----------
    harness : Harness
    path : Path
        Absent if the round left nothing.
    end : RoundEnd
        With everything but the results.
    plan : Plan
    known : Known
    allow_changed : bool
        Accept tasks whose content differs from what the plan was made from.

    Raises
    ------
    InputError
        There are results of several agents.
    DigestMismatchError
        A task's content has changed since the plan was made.
    MidbandError
        The harness's adapter failed.
    """
    records: list[Record] = []
    unreadable: list[str] = []
    if path.exists():
        try:
            records.extend(harness.read_results(path, benchmark=plan.benchmark))
        except UnreadableSourceError as error:
            unreadable.append(" ".join(str(error).split()))
        except MidbandError:
            raise
        except Exception as error:  # a fault of the adapter, not of the user
            msg = (
                f"expected {harness.name} to read {path}, its adapter failed,"
                f" {type(error).__name__}: {error}: report it to its authors; nothing is lost"
            )
            raise MidbandError(msg) from error
    return _sorted_out(
        records,
        replace(end, unreadable=tuple(unreadable)),
        plan=plan,
        known=known,
        allow_changed=allow_changed,
    )


def _sorted_out(
    records: "Sequence[Record]", end: RoundEnd, *, plan: "Plan", known: Known, allow_changed: bool
) -> RoundEnd:
    asked = set(end.tasks)
    keys, attempts = set(known.keys), set(known.attempts)
    agents = dict.fromkeys(filter(None, (known.agent,)))
    costs = _costs(records)
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
                score=record.score,
                kind=record.kind,
                cost_usd=cost,
                seconds=_known(record.duration_s),
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
    )


def _costs(records: "Sequence[Record]") -> list[float | None]:
    """Return the cost of every attempt; where only that of its run is known, an equal share."""
    size = Counter(record.run_id for record in records)
    return [
        _known(record.run_cost_usd, size[record.run_id])
        if record.cost_usd is None
        else _known(record.cost_usd)
        for record in records
    ]


def _known(value: float | None, share: int = 1) -> float | None:
    """Return a share of a finite number, None of anything else."""
    return value / share if value is not None and math.isfinite(value) else None


def _check_content(plan: "Plan", record: "Record", *, allow_changed: bool) -> None:
    expected = plan.task_digests.get(record.task_id, "")
    if allow_changed or not expected or record.task_digest in ("", expected):
        return
    msg = (
        f"expected task {record.task_id!r} as it was when the plan was made (digest {expected}),"
        f" got another content ({record.task_digest}): make a new plan, or pass --allow-changed"
    )
    raise DigestMismatchError(msg)
