"""Hard limits over all samples of one Inspect command: dollars, seconds and tokens."""

import json
import math
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from midband.rounds.costs import limit_reached
from midband.rounds.run_settings import UNITS
from midband_history import InputError

if TYPE_CHECKING:
    from inspect_ai.log import EvalSpec

    from midband_sampler import Plan

__all__ = [
    "OPTIONS",
    "UNITS",
    "Amounts",
    "Share",
    "TotalLimits",
    "read_limits",
    "shared_limits",
]
LEDGER = ".midband_spent.jsonl"
OPTIONS = {f"--total-{unit}": f"total_{unit}" for unit in UNITS}
Amounts = tuple[float | None, float | None, float | None]  # in the order of UNITS
# By the command and its limits: the evals of one command share what they may spend.
_SHARED: "dict[tuple[str, str], TotalLimits]" = {}


class TotalLimits:
    """What the samples of one command may cost in all, over its tasks, models and attempts.

    A sample is started unless it is expected to take the total above a limit. Each sample at work
    counts as what one is expected to cost, and so does each that ended without a known amount. If
    nothing says what a sample costs once one has ended, no more are started: the limit could not be
    held.

    Parameters
    ----------
    most : mapping of str to float
        By unit: ``usd``, ``seconds`` or ``tokens``.
    ledger : Path or None
        A file that keeps what was spent, so that a command that is repeated counts it.
    """

    def __init__(self, most: Mapping[str, float], ledger: Path | None = None) -> None:
        self.most = dict(most)
        self._ledger = ledger
        self._ended: set[str] = set()
        self._sums = dict.fromkeys(UNITS, 0.0)
        self._known = dict.fromkeys(UNITS, 0)
        self._expected: dict[Hashable, dict[str, float]] = {}
        for key, amounts in ({} if ledger is None else _read(ledger)).items():
            self._count(key, amounts)

    @property
    def has_ended(self) -> bool:
        """Whether any sample has ended."""
        return bool(self._ended)

    def start(self, place: Hashable, expected: Mapping[str, float], *, times: int = 1) -> None:
        """Count what is about to run as what it is expected to cost, `times` over."""
        self._expected[place] = {unit: expected.get(unit, math.nan) * times for unit in self.most}

    def end(self, place: Hashable) -> None:
        """Count no longer what was expected of something that ended."""
        self._expected.pop(place, None)

    def came(self, key: str, amounts: Amounts) -> None:
        """Take in what one sample cost, once."""
        if key in self._ended:
            return
        named = dict(zip(UNITS, amounts, strict=True))
        self._count(key, named)
        if self._ledger is not None:
            line = json.dumps({"sample": key, **named})
            with suppress(OSError), self._ledger.open("a", encoding="utf-8") as file:
                file.write(f"{line}\n")

    def _count(self, key: str, amounts: Mapping[str, float | None]) -> None:
        self._ended.add(key)
        for unit, amount in amounts.items():
            if amount is not None:
                self._sums[unit] += float(amount)
                self._known[unit] += 1

    def mean(self, unit: str) -> float:
        """Return the mean known amount of a sample; NaN where none is known."""
        known = self._known[unit]
        return self._sums[unit] / known if known else math.nan

    def spent(self, unit: str) -> float:
        """Return what was spent; a sample of an unknown amount counts as the mean of the others."""
        unknown = len(self._ended) - self._known[unit]
        return self._sums[unit] + (unknown * self.mean(unit) if unknown else 0.0)

    def refusal(self, expected: Mapping[str, float], *, times: int = 1) -> str:
        """Return why no more may be started; empty if it may.

        Parameters
        ----------
        expected : mapping of str to float
            What a sample that is to start is expected to cost, by unit; NaN where nothing says.
        times : int
            How many samples are to start.
        """
        for unit, most in self.most.items():
            each = expected.get(unit, math.nan)
            if math.isnan(each):
                each = self.mean(unit)
            if math.isnan(each):
                if self._ended:
                    return (
                        f"the limit --total-{unit} cannot be held: neither the samples nor the"
                        f" history say what a sample costs in {unit}"
                    )
                continue
            at_work = [every[unit] for every in self._expected.values()]
            ahead = math.fsum(each if math.isnan(amount) else amount for amount in at_work)
            spent = self.spent(unit) if self._ended else 0.0
            if math.isnan(spent):
                spent = each * len(self._ended)
            cost = each * times
            if spent + ahead + cost > most + 1e-9:
                what = "the next sample and those at work are expected to"
                reason = limit_reached(unit, spent, most, what, ahead + cost)
                unknown = len(self._ended) - self._known[unit]
                if unknown:
                    reason += f"; {unknown} samples did not say, and count as the mean"
                return reason
        return ""


class Share:
    """One eval's part in the limits of its command; without limits it refuses nothing.

    Parameters
    ----------
    limits : TotalLimits or None
    plan : Plan or None
        Says what an attempt cost in the history.
    eval_id : str
    """

    def __init__(
        self, limits: TotalLimits | None = None, plan: "Plan | None" = None, eval_id: str = ""
    ) -> None:
        self.limits = limits
        self._eval_id = eval_id
        self._usd: dict[str, float] = {}
        self._tokens = math.nan
        if plan is not None:
            self._usd = dict(zip(plan.all_tasks, plan.expected_cost_usd.tolist(), strict=True))
            self._tokens = plan.mean_tokens
        known = [usd for usd in self._usd.values() if not math.isnan(usd)]
        self._typical_usd = math.fsum(known) / len(known) if known else math.nan
        self._said = False

    def skip(self, task: str, *, note: Callable[[str], None]) -> str:
        """Return why a sample may not start, which is said once; empty, and counted, if it may."""
        if self.limits is None:
            return ""
        reason = self.limits.refusal(self._of(task))
        if reason:
            self._say(reason, note)
        else:
            self.start(task)
        return reason

    def holds(self, at_work: bool, *, times: int, note: Callable[[str], None]) -> bool:
        """Whether no further task may start now.

        Until a sample of this command has said what one costs, one task runs by itself.

        Parameters
        ----------
        at_work : bool
            Whether tasks of this eval are at work, after which it is asked again.
        times : int
            Attempts at the task.
        note : callable
            Told why, where the eval ends by it.
        """
        if self.limits is None:
            return False
        expected = self._of("")
        if any(math.isnan(each) for each in expected.values()) and not self.limits.has_ended:
            return at_work
        reason = self.limits.refusal(expected, times=times)
        if reason and not at_work:
            self._say(reason, note)
        return bool(reason)

    def _say(self, reason: str, note: Callable[[str], None]) -> None:
        if not self._said:
            self._said = True
            note(reason)

    def start(self, task: str, *, times: int = 1) -> None:
        """Count a task that is about to run."""
        if self.limits is not None:
            self.limits.start((self._eval_id, task), self._of(task), times=times)

    def came(self, task: str, epoch: int, uuid: str | None, amounts: Amounts) -> None:
        """Take in what a sample cost."""
        if self.limits is not None:
            self.limits.came(uuid or f"{self._eval_id} {task} {epoch}", amounts)

    def end(self, task: str) -> None:
        """Note that all samples of a task have ended."""
        if self.limits is not None:
            self.limits.end((self._eval_id, task))

    def _of(self, task: str) -> dict[str, float]:
        """Return what an attempt is expected to cost: the dearer of history and this command."""
        history = {"usd": self._usd.get(task, self._typical_usd), "tokens": self._tokens}
        found: dict[str, float] = {}
        if self.limits is None:
            return found
        for unit in self.limits.most:
            known = (history.get(unit, math.nan), self.limits.mean(unit))
            found[unit] = max((each for each in known if not math.isnan(each)), default=math.nan)
        return found


def read_limits(values: Mapping[str, object]) -> dict[str, float]:
    """Return the limits among arguments such as ``total_usd``, and check them.

    Raises
    ------
    InputError
        A limit is not a number above 0.
    """
    found = {}
    for unit in UNITS:
        value = values.get(f"total_{unit}")
        if value is None or value == "":
            continue
        try:
            amount = float(str(value))
        except ValueError:
            amount = math.nan
        if not 0.0 < amount < math.inf:
            msg = f"expected a number above 0 after --total-{unit}, got {value}: such as 20"
            raise InputError(msg)
        found[unit] = amount
    return found


def shared_limits(most: Mapping[str, float], spec: "EvalSpec | None") -> TotalLimits:
    """Return the limits that all evals of one command share.

    The attempts of an eval set are one command, as long as its logs lie in the same directory.
    """
    if spec is None:
        return TotalLimits(most)
    scope = spec.eval_set_id or spec.run_id
    key = (scope, json.dumps(dict(most), sort_keys=True))
    if key not in _SHARED:
        _SHARED[key] = TotalLimits(most, _ledger(spec) if spec.eval_set_id else None)
    return _SHARED[key]


def _ledger(spec: "EvalSpec") -> Path | None:
    """Return the file beside the logs that keeps what was spent; None for logs elsewhere."""
    try:
        from inspect_ai._control.eval_state import get_eval_state

        state = get_eval_state(spec.eval_id)
        location = "" if state is None else str(state.log_location).removeprefix("file://")
    except Exception:  # a version that keeps it elsewhere: each call then counts anew
        return None
    folder = Path(location).parent
    return folder / LEDGER if location and "://" not in location and folder.is_dir() else None


def _read(ledger: Path) -> dict[str, dict[str, float | None]]:
    """Return the samples of a ledger; what a kill cut off is left out."""
    found: dict[str, dict[str, float | None]] = {}
    with suppress(OSError):
        for line in ledger.read_text(encoding="utf-8", errors="replace").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                amounts = {unit: entry[unit] for unit in UNITS}
                if all(each is None or float(each) >= 0.0 for each in amounts.values()):
                    found[str(entry["sample"])] = amounts
    return found
