"""The questions of a race: which are the best, in which order are all, is one not worse."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import quote, unquote

import numpy as np

from midband_history import FloatArray, InputError
from midband_sampler.racing.question import (
    Answer,
    BoolArray,
    Question,
    Standing,
    completed,
    question_text,
)

_PLAIN = "/ @+,;=!*'()[]&#$"  # of a name in a text; a colon and a percent sign are not


@dataclass(frozen=True)
class TopK(Question):
    """The question which are the best `k`.

    Without an indifference zone the answer rests on one ordered pair a candidate. Let the (k+1)-th
    best be u, ties broken by position. If no candidate but u of those outside the true top is ever
    claimed to be above u, and u is never claimed to be above one of the top, then every claim below
    is right: u is unknown, so it is run through all candidates that the claims do not rule out as
    the (k+1)-th, and what holds for each of them is claimed. These are candidates - 1 ordered
    pairs, and the error is divided by that.

    With a zone w, the claims of a pair are that the first is less than w below the second. A set is
    then an answer if nobody in it is more than w below the k-th best, and nobody outside more than
    w above the (k+1)-th. The error is divided by k (candidates - k): the ordered pairs of one
    outside the true top and one in it.

    Parameters
    ----------
    k : int
    confidence : float or None
        Chance that nothing false is ever claimed, over all looks; None to claim nothing.
    within : float
        The indifference zone as a share of the score; 0.01 is one point.
    """

    k: int
    confidence: float | None = 0.95
    within: float = 0.0

    def __post_init__(self) -> None:
        self._check()
        if self.k < 1:
            msg = f"expected a top of 1 or more, got {self.k}: try top:1"
            raise InputError(msg)

    @property
    def keep(self) -> int:
        """The k of the top k."""
        return self.k

    @property
    def text(self) -> str:
        """``top:K`` and the confidence."""
        return question_text(f"top:{self.k}", self)

    def check(self, names: Sequence[str]) -> tuple[str, ...]:
        """Raise where everybody is in the top."""
        if self.k >= len(names):
            msg = (
                f"expected a top smaller than the {len(names)} candidates, got {self.k}: all would"
                " be in it"
            )
            raise InputError(msg)
        return tuple(names)

    def error(self, candidates: int) -> float:
        """Return the chance that the claim of one ordered pair may be false."""
        pairs = self.k * (candidates - self.k) if self.within else candidates - 1
        return (1.0 - (self.confidence or 0.95)) / max(pairs, 1)

    def waits_for(self, standing: Standing) -> tuple[tuple[int, int], ...]:
        """Every pair of one inside the estimated top and one outside that is not claimed."""
        ranking = np.array(standing.ranking, dtype=np.int64)
        best, rest = ranking[: self.k], ranking[self.k :]
        above = completed(standing, self.within)[np.ix_(best, rest)]
        first, second = np.nonzero(~above)
        return tuple(zip(best[first].tolist(), rest[second].tolist(), strict=True))

    def answer(self, standing: Standing) -> Answer:
        """Say who is claimed to be in the top, and who is not."""
        ranking = standing.ranking
        n = len(ranking)
        if n <= self.k:
            return Answer(settled=True, best=tuple(ranking), inside=tuple(ranking))
        best, pairs = ranking[: self.k], self.waits_for(standing)
        above = completed(standing, self.within)
        if not pairs:
            inside = np.isin(np.arange(n), best)
            outside = ~inside
        elif self.within:
            inside = above.sum(axis=1) >= n - self.k
            outside = above.sum(axis=0) >= self.k
            outside &= ~inside
        else:
            inside, outside = self._claimed(above)
        return Answer(
            settled=not pairs,
            best=tuple(best),
            inside=tuple(np.flatnonzero(inside).tolist()),
            outside=tuple(np.flatnonzero(outside).tolist()),
            pairs=pairs,
        )

    def _claimed(self, above: BoolArray) -> tuple[BoolArray, BoolArray]:
        """Return what holds whoever is the (k+1)-th."""
        n = len(above)
        inside, outside, possible = np.ones(n, dtype=bool), np.ones(n, dtype=bool), False
        for each in range(n):
            higher, lower = above[:, each], above[each]
            spare = n - 1 - int(lower.sum())
            if higher.sum() > self.k or spare < self.k:
                continue
            possible = True
            left = ~lower & (np.arange(n) != each)
            if spare == self.k or higher.sum() == self.k:
                top = left if spare == self.k else higher
                inside &= top
                outside &= ~top
            else:
                inside &= higher
                outside &= ~left
        return (inside, outside) if possible else (np.zeros(n, bool), np.zeros(n, bool))

    def scaled(self, candidates: int, of: int) -> Question:
        """Keep k, or as large a share of the candidates where these are too few."""
        k = self.k if self.k <= candidates // 2 else max(1, round(self.k * candidates / of))
        return replace(self, k=min(k, candidates - 1))

    def rank_bounds(self, answer: Answer, standing: Standing) -> list[tuple[int, int]]:
        """Inside or outside of the top; the order within is not asked for."""
        n = len(standing.scores)
        bounds = [(1, n)] * n
        for place in answer.inside:
            bounds[place] = (1, self.k)
        for place in answer.outside:
            bounds[place] = (self.k + 1, n)
        return bounds

    def said(self, answer: Answer, names: Sequence[str], *, settled: bool) -> str:
        """Name the top, or the best guess of it."""
        best = [names[each] for each in answer.best]
        one = len(best) == 1
        if settled:
            what = "The best is" if one else f"The top {len(best)} are"
        else:
            what = "The best guess is" if one else f"The best guess of the top {len(best)} is"
        return f"{what} {', '.join(best)}."

    def right(self, best: Sequence[int], truth: FloatArray) -> bool:
        """Whether the set is a top of `k`, within the zone."""
        ordered = np.sort(truth)[::-1]
        if len(truth) <= self.k:
            return True
        chosen = np.isin(np.arange(len(truth)), list(best))
        slack = self.within + 1e-9
        high, low = ordered[self.k - 1], ordered[self.k]
        return (
            bool((truth[chosen] >= high - slack).all() and (truth[~chosen] <= low + slack).all())
            and len(best) == self.k
        )

    def regret(self, best: Sequence[int], truth: FloatArray) -> FloatArray:
        """Mean of the true top less the mean of the chosen."""
        k = min(self.k, truth.shape[-1])
        top = np.sort(truth, axis=-1)[..., -k:].mean(axis=-1)
        return np.asarray(top - truth[..., list(best)].mean(axis=-1))


@dataclass(frozen=True)
class Order(Question):
    """The question in which order all candidates are.

    Every pair is claimed one way or the other, and only one of them can be false, so the error is
    divided by the number of pairs.

    Parameters
    ----------
    confidence : float or None
        Chance that nothing false is ever claimed, over all looks; None to claim nothing.
    within : float
        Pairs so close need not be told apart.
    """

    confidence: float | None = 0.95
    within: float = 0.0

    def __post_init__(self) -> None:
        self._check()

    @property
    def text(self) -> str:
        """``order`` and the confidence."""
        return question_text("order", self)

    def check(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return them: any two or more candidates have an order."""
        return tuple(names)

    def error(self, candidates: int) -> float:
        """Return the chance that the claim of one ordered pair may be false."""
        pairs = candidates * (candidates - 1) // 2
        return (1.0 - (self.confidence or 0.95)) / max(pairs, 1)

    def claimed(self, standing: Standing) -> BoolArray:
        """Return which of each pair is claimed to be above the other.

        Without a zone what follows is claimed too: who is above somebody is above those below.
        """
        above = completed(standing, self.within)
        if not self.within:
            for middle in range(len(above)):
                above |= above[:, middle, None] & above[middle]
            np.fill_diagonal(above, val=False)
        return above

    def waits_for(self, standing: Standing) -> tuple[tuple[int, int], ...]:
        """Every pair that is not claimed in the order of the estimates."""
        ranking = np.array(standing.ranking, dtype=np.int64)
        above = self.claimed(standing)[np.ix_(ranking, ranking)]
        first, second = np.nonzero(np.triu(~above, 1))
        return tuple(zip(ranking[first].tolist(), ranking[second].tolist(), strict=True))

    def answer(self, standing: Standing) -> Answer:
        """Say who has a place already."""
        ranking, pairs = standing.ranking, self.waits_for(standing)
        waiting = {each for pair in pairs for each in pair}
        inside = tuple(sorted(set(ranking) - waiting))
        return Answer(settled=not pairs, best=tuple(ranking), inside=inside, pairs=pairs)

    def rank_bounds(self, answer: Answer, standing: Standing) -> list[tuple[int, int]]:
        """One more than are claimed to be above, to all that are not claimed to be below."""
        del answer
        above = self.claimed(standing)
        n = len(above)
        if self.within:  # within the zone either may be the better
            above &= ~above.T
        return [(1 + int(above[:, each].sum()), n - int(above[each].sum())) for each in range(n)]

    def said(self, answer: Answer, names: Sequence[str], *, settled: bool) -> str:
        """Give the order, or the best guess of it."""
        listed = " > ".join(names[each] for each in answer.best)
        return f"The order is {listed}." if settled else f"The best guess of the order is {listed}."

    def right(self, best: Sequence[int], truth: FloatArray) -> bool:
        """Whether nobody is more than the zone below one who stands behind."""
        ordered = truth[list(best)]
        later = np.maximum.accumulate(ordered[::-1])[::-1]
        return bool((ordered >= later - self.within - 1e-9).all())

    def regret(self, best: Sequence[int], truth: FloatArray) -> FloatArray:
        """Mean loss of score by place: that of the right candidate less that of the named one."""
        right = np.sort(truth, axis=-1)[..., ::-1]
        others = sorted(set(range(truth.shape[-1])) - set(best))  # set apart: they come last
        return np.asarray(np.abs(right - truth[..., [*best, *others]]).mean(axis=-1))


@dataclass(frozen=True)
class NotWorse(Question):
    """The question whether a candidate is worse than a baseline by more than the margin.

    One claim, either way; the error is that of either.

    Parameters
    ----------
    candidate, baseline : str
    margin : float
        As a share of the score; 0.03 is three points.
    confidence : float or None
        Chance that nothing false is ever claimed, over all looks; None to claim nothing.
    """

    candidate: str
    baseline: str
    margin: float = 0.0
    confidence: float | None = 0.95
    within: float = 0.0

    def __post_init__(self) -> None:
        self._check()
        if not 0.0 <= self.margin < 1.0:
            msg = (
                f"expected 0 <= margin < 1, a share of the score, got {self.margin:g}: 0.03 is"
                " three points"
            )
            raise InputError(msg)

    @property
    def text(self) -> str:
        """``not-worse``, both names, the margin in points and the confidence."""
        new, old = (quote(each, safe=_PLAIN) for each in (self.candidate, self.baseline))
        name = f"not-worse:{new}:{old}:{100 * self.margin:.12g}"
        return name if self.confidence is None else f"{name}:{self.confidence:.12g}"

    def check(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the candidate and the baseline; raise unless these two are in the race."""
        if sorted(names) != sorted((self.candidate, self.baseline)):
            msg = (
                f"expected the candidates {self.candidate!r} and {self.baseline!r}, got"
                f" {', '.join(map(repr, names))}: a comparison needs these two alone"
            )
            raise InputError(msg)
        return self.candidate, self.baseline

    def error(self, candidates: int) -> float:
        """Return the chance that the claim of one ordered pair may be false."""
        del candidates
        return 1.0 - (self.confidence or 0.95)

    def thresholds(self, names: Sequence[str]) -> FloatArray:
        """Above minus the margin holds it; the baseline above the margin does not."""
        del names
        return np.array([[0.0, -self.margin], [self.margin, 0.0]])

    def calibrated_as(self, candidates: int) -> Question | None:
        """Rest on exact bounds: replays say little of two agents that are a margin apart."""
        del candidates
        return None

    def waits_for(self, standing: Standing) -> tuple[tuple[int, int], ...]:
        """Return the pair itself, until one of the two sides is claimed."""
        return self.answer(standing).pairs

    def answer(self, standing: Standing) -> Answer:
        """Say which of the two sides is claimed."""
        if len(standing.scores) < 2:
            return Answer(settled=False, best=())
        difference = float(standing.scores[0] - standing.scores[1])
        fine = difference >= -self.margin - 1e-9
        known = bool(standing.known[0, 1])
        held = fine if known else bool(standing.above[0, 1])
        broken = not fine if known else bool(standing.above[1, 0])
        if held or broken:
            side, other = ((0,), ()) if held else ((), (0,))
            return Answer(settled=True, best=side, inside=side, outside=other)
        return Answer(settled=False, best=(0,) if fine else (), pairs=((0, 1),))

    def rank_bounds(self, answer: Answer, standing: Standing) -> list[tuple[int, int]]:
        """Any: a margin says nothing of the order."""
        del answer
        n = len(standing.scores)
        return [(1, n)] * n

    def said(self, answer: Answer, names: Sequence[str], *, settled: bool) -> str:
        """Say whether the candidate is worse."""
        del names
        told = f"worse than {self.baseline} by more than {100.0 * self.margin:g} points"
        if not settled:
            return f"Open: whether {self.candidate} is {told}."
        return f"{self.candidate} is {'not ' if answer.best else ''}{told}."

    def not_worse(self, answer: Answer) -> bool | None:
        """Whether the candidate is not worse."""
        return bool(answer.best)

    def right(self, best: Sequence[int], truth: FloatArray) -> bool:
        """Whether the side is right."""
        return bool(best) == bool(truth[0] >= truth[1] - self.margin - 1e-9)

    def regret(self, best: Sequence[int], truth: FloatArray) -> FloatArray:
        """Return what is lost beyond the margin where the wrong side is named."""
        beyond = truth[..., 0] - truth[..., 1] + self.margin
        return np.asarray(np.maximum(-beyond if best else beyond, 0.0))


def parse_question(text: str) -> Question:
    """Read ``top:K[:CONFIDENCE[:POINTS]]``, ``order[...]`` or ``not-worse:A:B:POINTS[:CONF]``.

    Without a confidence nothing is claimed: the race then ends with its budget. An indifference
    zone for such a question follows an empty confidence, as in ``top:1::2``. A colon in a name is
    written as ``%3A``.
    """
    name, *parts = text.split(":")
    try:
        if name == "top" and 1 <= len(parts) <= 3:
            return TopK(int(parts[0]), *_numbers(parts[1:]))
        if name == "order" and len(parts) <= 2:
            return Order(*_numbers(parts))
        if name == "not-worse" and 3 <= len(parts) <= 4:
            confidence = float(parts[3]) if len(parts) == 4 else None
            new, old = map(unquote, parts[:2])
            return NotWorse(new, old, float(parts[2]) / 100.0, confidence)
    except InputError:
        raise
    except ValueError:
        pass
    msg = (
        "expected a question like top:3:0.9, top:1 (no claim), order:0.9 or"
        f" not-worse:NEW:OLD:2:0.95, got {text!r}: a colon in a name is written as %3A"
    )
    raise InputError(msg)


def _numbers(parts: Sequence[str]) -> tuple[float | None, float]:
    if len(parts) == 2:
        return float(parts[0]) if parts[0] else None, float(parts[1]) / 100.0
    return float(parts[0]) if parts else None, 0.0
