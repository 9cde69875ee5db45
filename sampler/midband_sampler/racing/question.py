"""What a question of a race is: what is claimed, from which pairs, and when it is settled."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

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
    def rounded(self) -> FloatArray:
        """Scores to nine digits: means of the same results in another order are equal."""
        return np.round(self.scores, 9)

    @property
    def differences(self) -> FloatArray:
        """Estimated score of the first less that of the second, shape (candidates, candidates)."""
        return self.rounded[:, None] - self.rounded[None, :]

    @property
    def equal(self) -> BoolArray:
        """Whether both have run everything with the same score, shape (candidates, candidates)."""
        return np.asarray(self.known & (self.differences == 0.0))

    @property
    def ranking(self) -> list[int]:
        """Candidates from the best estimate to the worst; ties go to the one named first."""
        return [int(each) for each in np.argsort(-self.rounded, kind="stable")]

    def select(self, rows: Sequence[int]) -> "Standing":
        """Keep some candidates."""
        kept = np.array(rows, dtype=np.int64)
        cells = np.ix_(kept, kept)
        return Standing(self.scores[kept], self.above[cells], self.known[cells])


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
    def rank_bounds(self, answer: Answer, standing: Standing) -> list[tuple[int, int]]:
        """Return the ranks that the claims leave open to each candidate; 1 is the best."""

    @abstractmethod
    def said(self, answer: Answer, names: Sequence[str], *, settled: bool) -> str:
        """Return the answer as a sentence."""

    def not_worse(self, answer: Answer) -> bool | None:
        """Whether a settled answer says that a candidate is not worse; None for other questions."""
        del answer
        return None

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


def question_text(name: str, question: Question) -> str:
    """Return a question in the form that the command line takes."""
    confidence = "" if question.confidence is None else f"{question.confidence:.12g}"
    if question.within:
        return f"{name}:{confidence}:{100 * question.within:.12g}"
    return f"{name}:{confidence}" if confidence else name


def completed(standing: Standing, within: float) -> BoolArray:
    """Add the pairs that are known exactly; ties there go to the one named first."""
    difference = standing.differences
    if within:
        exact = difference >= -within - 1e-9
    else:
        places = np.arange(len(difference))
        exact = (difference > 0) | ((difference == 0) & (places[:, None] < places))
    found = np.where(standing.known, exact, standing.above)
    np.fill_diagonal(found, val=False)
    return np.asarray(found)
