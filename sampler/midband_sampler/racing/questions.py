"""The questions of a race: what is claimed, from which pairs it follows, and when it is settled."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from midband_history import FloatArray, InputError

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Standing:
    """What is known of the candidates.

    Parameters
    ----------
    scores : ndarray of float64, shape (candidates,)
        Estimated full scores.
    above : ndarray of bool, shape (candidates, candidates)
        Whether the first is claimed to be above the second by more than the question's threshold.
    known : ndarray of bool, shape (candidates, candidates)
        Whether both have a result of every task, so that their order is known exactly.
    """

    scores: FloatArray
    above: BoolArray
    known: BoolArray

    @property
    def ranking(self) -> list[int]:
        """Candidates from the best estimate to the worst; ties go to the one named first."""
        return [int(each) for each in np.argsort(-self.scores, kind="stable")]

    def select(self, rows: Sequence[int]) -> "Standing":
        """Keep some candidates."""
        cells = np.ix_(rows, rows)
        return Standing(self.scores[list(rows)], self.above[cells], self.known[cells])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a question has come to, by positions of candidates.

    Parameters
    ----------
    settled : bool
    best : tuple of int
        The answer by the estimates: the top, the whole order, or the candidate if it is not worse.
    inside, outside : tuple of int
        Candidates that are claimed to belong there, and not to.
    pairs : tuple of tuple of int
        Pairs that the answer waits for, the better by the estimates first.
    """

    settled: bool
    best: tuple[int, ...]
    inside: tuple[int, ...] = ()
    outside: tuple[int, ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()


class Question(ABC):
    """What a race is to find out.

    Attributes
    ----------
    confidence : float or None
        Chance that nothing false is ever claimed, over all looks; None to claim nothing.
    within : float
        Indifference zone, as a share of the score: candidates so close need not be told apart.
    """

    confidence: float | None
    within: float

    @property
    def keep(self) -> int:
        """Candidates that the question asks for: k of a top k, else 1."""
        return 1

    def _check(self) -> None:
        if self.confidence is not None and not 0.5 < self.confidence < 1.0:
            msg = f"expected 0.5 < confidence < 1, got {self.confidence:g}: 0.9 is usual"
            raise InputError(msg)
        if not 0.0 <= self.within < 1.0:
            msg = (
                f"expected 0 <= within < 1, a share of the score, got {self.within:g}: 0.01 is"
                " one point"
            )
            raise InputError(msg)

    @property
    @abstractmethod
    def text(self) -> str:
        """The question in the form that the command line takes."""

    @abstractmethod
    def check(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return the candidates in the order that `answer` takes them in.

        Raises
        ------
        InputError
            The question cannot be asked of them.
        """

    @abstractmethod
    def error(self, candidates: int) -> float:
        """Return the chance that the claim of one ordered pair may be false."""

    def thresholds(self, names: Sequence[str]) -> FloatArray:
        """Return by how much the first of each pair has to be above the second."""
        return np.full((len(names), len(names)), -self.within)

    def calibrated_as(self, candidates: int) -> "Question | None":
        """Return the question that replayed races of other agents are asked; None for none.

        Parameters
        ----------
        candidates : int
        """
        del candidates
        return self

    def scaled(self, candidates: int, of: int) -> "Question":
        """Return the question for a replay with fewer candidates.

        Parameters
        ----------
        candidates, of : int
            Candidates of the replay, and of the race.
        """
        del candidates, of
        return self

    @abstractmethod
    def waits_for(self, standing: Standing) -> tuple[tuple[int, int], ...]:
        """Return the pairs that the answer waits for, the better by the estimates first.

        None are left once the whole answer is claimed.
        """

    @abstractmethod
    def answer(self, standing: Standing) -> Answer:
        """Say what follows."""

    @abstractmethod
    def right(self, best: Sequence[int], truth: FloatArray) -> bool:
        """Whether an answer is right; ties, and scores within the zone, are right either way.

        Parameters
        ----------
        best : sequence of int
        truth : ndarray of float64, shape (candidates,)
            Full scores.
        """

    @abstractmethod
    def regret(self, best: Sequence[int], truth: FloatArray) -> FloatArray:
        """Return what the answer loses against the right one, as a mean score.

        Parameters
        ----------
        best : sequence of int
        truth : ndarray of float64, shape (..., candidates)
        """


@dataclass(frozen=True)
class TopK(Question):
    """Which are the best `k`?

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
        return _text(f"top:{self.k}", self)

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
        ranking = np.array(standing.ranking)
        best, rest = ranking[: self.k], ranking[self.k :]
        above = _completed(standing, self.within)[np.ix_(best, rest)]
        first, second = np.nonzero(~above)
        return tuple(zip(best[first].tolist(), rest[second].tolist(), strict=True))

    def answer(self, standing: Standing) -> Answer:
        """Say who is claimed to be in the top, and who is not."""
        ranking = standing.ranking
        n = len(ranking)
        if n <= self.k:
            return Answer(settled=True, best=tuple(ranking), inside=tuple(ranking))
        best, pairs = ranking[: self.k], self.waits_for(standing)
        above = _completed(standing, self.within)
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

    def right(self, best: Sequence[int], truth: FloatArray) -> bool:
        """Whether the set is a top of `k`, within the zone."""
        ordered = np.sort(truth)[::-1]
        if len(truth) <= self.k:
            return True
        chosen = np.isin(np.arange(len(truth)), list(best))
        slack = self.within + 1e-9
        high, low = ordered[self.k - 1], ordered[self.k]
        return bool(
            (truth[chosen] >= high - slack).all() and (truth[~chosen] <= low + slack).all()
        ) and len(best) == self.k

    def regret(self, best: Sequence[int], truth: FloatArray) -> FloatArray:
        """Mean of the true top less the mean of the chosen."""
        k = min(self.k, truth.shape[-1])
        top = np.sort(truth, axis=-1)[..., -k:].mean(axis=-1)
        return np.asarray(top - truth[..., list(best)].mean(axis=-1))


@dataclass(frozen=True)
class Order(Question):
    """In which order are all candidates?

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
        return _text("order", self)

    def check(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return them: any two or more candidates have an order."""
        return tuple(names)

    def error(self, candidates: int) -> float:
        """Return the chance that the claim of one ordered pair may be false."""
        pairs = candidates * (candidates - 1) // 2
        return (1.0 - (self.confidence or 0.95)) / max(pairs, 1)

    def claimed(self, standing: Standing) -> BoolArray:
        """Return which of each pair is claimed to be above the other."""
        return _completed(standing, self.within)

    def waits_for(self, standing: Standing) -> tuple[tuple[int, int], ...]:
        """Every pair that is not claimed in the order of the estimates."""
        ranking = np.array(standing.ranking)
        above = _completed(standing, self.within)[np.ix_(ranking, ranking)]
        first, second = np.nonzero(np.triu(~above, 1))
        return tuple(zip(ranking[first].tolist(), ranking[second].tolist(), strict=True))

    def answer(self, standing: Standing) -> Answer:
        """Say who has a place already."""
        ranking, pairs = standing.ranking, self.waits_for(standing)
        waiting = {each for pair in pairs for each in pair}
        inside = tuple(sorted(set(ranking) - waiting))
        return Answer(settled=not pairs, best=tuple(ranking), inside=inside, pairs=pairs)

    def right(self, best: Sequence[int], truth: FloatArray) -> bool:
        """Whether nobody is more than the zone below one who stands behind."""
        ordered = truth[list(best)]
        later = np.maximum.accumulate(ordered[::-1])[::-1]
        return bool((ordered >= later - self.within - 1e-9).all())

    def regret(self, best: Sequence[int], truth: FloatArray) -> FloatArray:
        """Mean loss of score by place: that of the right candidate less that of the named one."""
        right = np.sort(truth, axis=-1)[..., ::-1]
        return np.asarray(np.abs(right - truth[..., list(best)]).mean(axis=-1))


@dataclass(frozen=True)
class NotWorse(Question):
    """Is the candidate not worse than the baseline by more than the margin?

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
        name = f"not-worse:{self.candidate}:{self.baseline}:{100 * self.margin:g}"
        return name if self.confidence is None else f"{name}:{self.confidence:g}"

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
        """The pair itself, until one of the two sides is claimed."""
        return self.answer(standing).pairs

    def answer(self, standing: Standing) -> Answer:
        """Say which of the two sides is claimed."""
        difference = float(standing.scores[0] - standing.scores[1])
        fine = difference >= -self.margin - 1e-9
        known = bool(standing.known[0, 1])
        held = fine if known else bool(standing.above[0, 1])
        broken = not fine if known else bool(standing.above[1, 0])
        if held or broken:
            side, other = ((0,), ()) if held else ((), (0,))
            return Answer(settled=True, best=side, inside=side, outside=other)
        return Answer(settled=False, best=(0,) if fine else (), pairs=((0, 1),))

    def right(self, best: Sequence[int], truth: FloatArray) -> bool:
        """Whether the side is right."""
        return bool(best) == bool(truth[0] >= truth[1] - self.margin - 1e-9)

    def regret(self, best: Sequence[int], truth: FloatArray) -> FloatArray:
        """Return what is lost beyond the margin where the wrong side is named."""
        beyond = truth[..., 0] - truth[..., 1] + self.margin
        return np.asarray(np.maximum(-beyond if best else beyond, 0.0))


def check_candidates(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of candidates; raise unless there are two at least, each once."""
    if len(names) < 2:
        msg = f"expected two candidates or more, got {len(names)}: a race needs somebody to beat"
        raise InputError(msg)
    for name in names:
        if not name:
            msg = "expected a name for every candidate, got an empty one"
            raise InputError(msg)
        if list(names).count(name) > 1:
            msg = f"expected candidates of different names, got {name!r} twice: rename one"
            raise InputError(msg)
    return tuple(names)


def _text(name: str, question: Question) -> str:
    if question.confidence is None:
        return name
    zone = f":{100 * question.within:g}" if question.within else ""
    return f"{name}:{question.confidence:g}{zone}"


def _completed(standing: Standing, within: float) -> BoolArray:
    """Add the pairs that are known exactly; ties there go to the one named first."""
    difference = standing.scores[:, None] - standing.scores[None, :]
    exact = difference > 1e-9
    tied = np.abs(difference) <= 1e-9
    if within:
        exact |= difference >= -within - 1e-9
    else:
        exact |= tied & (np.arange(len(exact))[:, None] < np.arange(len(exact)))
    found = np.where(standing.known, exact, standing.above)
    np.fill_diagonal(found, val=False)
    return np.asarray(found)


def parse_question(text: str) -> Question:
    """Read ``top:K[:CONFIDENCE[:POINTS]]``, ``order[...]`` or ``not-worse:A:B:POINTS[:CONF]``.

    Without a confidence nothing is claimed: the race then ends with its budget.
    """
    name, *parts = text.split(":")
    try:
        if name == "top" and 1 <= len(parts) <= 3:
            return TopK(int(parts[0]), *_numbers(parts[1:]))
        if name == "order" and len(parts) <= 2:
            return Order(*_numbers(parts))
        if name == "not-worse" and 3 <= len(parts) <= 4:
            confidence = float(parts[3]) if len(parts) == 4 else None
            return NotWorse(parts[0], parts[1], float(parts[2]) / 100.0, confidence)
    except InputError:
        raise
    except ValueError:
        pass
    msg = (
        "expected a question like top:3:0.9, top:1 (no claim), order:0.9 or"
        f" not-worse:NEW:OLD:2:0.95, got {text!r}"
    )
    raise InputError(msg)


def _numbers(parts: Sequence[str]) -> tuple[float | None, float]:
    confidence = float(parts[0]) if parts else None
    return confidence, float(parts[1]) / 100.0 if len(parts) > 1 else 0.0
