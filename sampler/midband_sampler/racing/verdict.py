"""The verdict of a race: what is settled, tied and open, in numbers and in words."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from midband_history import InputError
from midband_sampler.notebook import race_verdict_html, race_verdict_repr
from midband_sampler.plain_lines import UNFOLDED, folded, marks_for, ranks_drawn

SETTLED = "the question is settled"
SPENT = "the budget is spent"
ALL_RUN = "all tasks have been run"
NOBODY = "fewer than two candidates are left"
NOT_OVER = "still running"
UNKNOWN = "Nothing is known yet: no task that all candidates have ended has a score."
NOT_JUDGED = "not judged"
_MOST_DRAWN = 24
# Columns that a narrow terminal leaves out, the first of them first.
_LEFT_OUT = ("resolution", "ranks", "errors", "tasks", "usd", "state")

RUNNING, LET_GO, DECIDED = "running", "let go", "decided"
APART, COMPLETE = "set apart", "complete"


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """One candidate of a race.

    Parameters
    ----------
    candidate : str
    rank_low, rank_high : int
        Ranks that the claims leave open, 1 being the best.
    score : float
        Estimated full score in [0, 1]; NaN where nothing is known.
    tasks : int
        Tasks that were run, or known before; not all of them need be judged yet.
    total : int
        Tasks of the benchmark.
    resolution : str
        How finely the candidate was ranked: by how many tasks beside those of the best resolved.
    errors : int
        Results without a score.
    usd : float
        What the race paid for it, in US dollars; NaN where not known.
    state : str
        ``running``, ``let go``, ``decided`` once the question is settled, ``set apart``, or
        ``complete`` where every task was run.
    note : str
        Why it was set apart.
    """

    candidate: str
    rank_low: int
    rank_high: int
    score: float
    tasks: int
    total: int
    resolution: str
    errors: int = 0
    usd: float = math.nan
    state: str = RUNNING
    note: str = ""

    @property
    def rank_text(self) -> str:
        """The rank, or its bounds."""
        if self.state == APART:
            return "-"
        if self.rank_low == self.rank_high:
            return str(self.rank_low)
        return f"{self.rank_low}-{self.rank_high}"


@dataclass(frozen=True, kw_only=True)
class RaceVerdict:
    """The verdict of a race.

    Parameters
    ----------
    question : str
        In the form that the command line takes.
    benchmark : str
    settled : bool
        Whether the whole answer is claimed.
    reason : str
        Why the race is over, or that it is not.
    confidence : float or None
        None where nothing is claimed.
    guarantee : str
        By what the claims hold.
    answer : str
        The answer in words.
    best : tuple of str
        The answer by the estimates: the top, the whole order, or the candidate if it is not worse.
    inside, outside : tuple of str
        Candidates that are claimed to belong to the answer, and not to.
    tied : tuple of tuple of str
        Candidates whose estimates are within the indifference zone of each other.
    open_pairs : tuple of tuple of str
        Pairs that the answer waits for, the better by the estimates first.
    ranked : tuple of Ranked
        From the best estimate to the worst; candidates that were set apart come last.
    results, full : int
        Results that were paid for, and the full price: all candidates on all tasks that were not
        known before.
    missing : int
        Results without a score.
    usd, seconds, tokens : float
        Spent; NaN where no result said.
    to_settle : float
        Expected further share of the full price until the question is settled; NaN if unknown.
    chance_right : float
        Chance that `best` is right by replayed races; NaN where none say.
    replays : int
        Replayed races on this benchmark that say so.
    regret : float
        Expected loss of mean score by naming `best`, by replayed races; NaN where none say.
    not_worse : bool or None
        What a not-worse question came to; None while undecided and for other questions.
    within : float
        The indifference zone in points.
    warnings : tuple of str
    plan_digest : str
    """

    question: str
    benchmark: str
    settled: bool
    reason: str
    confidence: float | None
    guarantee: str
    answer: str
    best: tuple[str, ...]
    inside: tuple[str, ...]
    outside: tuple[str, ...]
    tied: tuple[tuple[str, ...], ...]
    open_pairs: tuple[tuple[str, str], ...]
    ranked: tuple[Ranked, ...]
    results: int
    full: int
    missing: int
    usd: float
    seconds: float
    tokens: float
    to_settle: float = math.nan
    chance_right: float = math.nan
    replays: int = 0
    regret: float = math.nan
    not_worse: bool | None = None
    within: float = 0.0
    warnings: tuple[str, ...] = field(default=())
    plan_digest: str = ""

    def __repr__(self) -> str:
        return race_verdict_repr(self)

    def _repr_html_(self) -> str:
        return race_verdict_html(self)

    @property
    def cost_share(self) -> float:
        """Share of the full price that was paid."""
        return self.results / self.full if self.full else 0.0

    @property
    def exit_code(self) -> int:
        """0 settled, or nothing was to be claimed; 3 undecided, or too few left; 4 one is worse."""
        if self.not_worse is not None and self.settled:
            return 0 if self.not_worse else 4
        guessed = self.confidence is None and self.reason != NOBODY
        return 0 if self.settled or guessed else 3

    @property
    def basis(self) -> str:
        """How sure the answer is, and by what, in one sentence or two; empty without an answer."""
        if self.answer == UNKNOWN:
            return ""
        if self.confidence is not None:
            said = "holds with" if self.settled else "is a guess and not settled at"
            return f"The answer {said} {self.confidence:.0%} confidence: {self.guarantee}."
        if math.isnan(self.chance_right):
            return (
                "Nothing is claimed: this is the best guess for the budget, and no history says how"
                " often such a guess is right."
            )
        where = f"{self.replays} replays on the history" if self.replays else "replays elsewhere"
        return (
            f"Nothing is claimed. In {where} such a guess was right in {self.chance_right:.0%}"
            f" of races and cost {100.0 * self.regret:.1f} points on average."
        )

    @property
    def paid(self) -> str:
        """What was paid for, and why the race is over, in one sentence or two."""
        text = (
            f"{self.results} of {self.full} results were paid for, {self.cost_share:.1%} of the"
            f" full price; {self.reason}."
        )
        if not math.isnan(self.usd):
            text = f"{text[:-1]}. About ${self.usd:.2f} was spent."
        return text

    def lines(self, *, width: int = UNFOLDED, encoding: str = "ascii") -> list[str]:
        """Say it in plain words; the table of candidates comes in the middle.

        Parameters
        ----------
        width : int
            Most columns of a line; by default each sentence is one line. Text breaks at words. The
            table leaves out what matters least until it fits, and exceeds the width only for the
            sake of long names.
        encoding : str
            Of where the lines are shown: ranks are drawn in plain ASCII unless it is a form of
            Unicode.
        """
        text = [self.answer, *([self.basis] if self.basis else [])]
        above = [line for each in text for line in folded([each], width)]
        below = [line for each in self._remarks() for line in folded([each], width)]
        return [*above, *self.table(width=width, encoding=encoding), *below]

    def _remarks(self) -> list[str]:
        """Say what stands below the table: what is odd, open or tied, and what was spent."""
        lines = [
            f"{each.candidate} is set apart: {each.note}." for each in self.ranked if each.note
        ]
        unrun = [each.candidate for each in self.ranked if not each.tasks and each.state != APART]
        if unrun and self.results:
            lines.append(f"Nothing is known of {', '.join(unrun)}: no task has been run.")
        what = f"within {self.within:g} points" if self.within else "with the same full score"
        lines += [f"Tied {what}: {', '.join(group)}." for group in self.tied]
        if self.within and self.confidence is not None:
            lines.append(
                f"Answer and ranks leave the indifference zone open: a candidate may be up to"
                f" {self.within:g} points worse than one that stands below it."
            )
        if self.open_pairs and not self.settled and self.confidence is not None:
            shown = [f"{a} or {b}" for a, b in self.open_pairs[:5]]
            more = len(self.open_pairs) - len(shown)
            tail = f" and {more} more" if more else ""
            lines.append(f"Still open: {', '.join(shown)}{tail}.")
        if not math.isnan(self.to_settle) and not self.settled and self.confidence is not None:
            lines.append(
                f"Settling the question is expected to cost a further {self.to_settle:.0%} of the"
                " full price."
            )
        return [*lines, self.paid, *(f"Note: {each}." for each in self.warnings)]

    def table(self, *, width: int = UNFOLDED, encoding: str = "ascii") -> list[str]:
        """Return the candidates as the lines of a table; see `lines`."""
        columns = self._columns(encoding)
        for name in _LEFT_OUT:
            if sum(2 + max(map(len, each)) for each in columns.values()) - 2 <= width:
                break
            columns.pop(name, None)
        widths = [max(map(len, each)) for each in columns.values()]
        return [
            "  ".join(text.ljust(wide) for text, wide in zip(row, widths, strict=True)).rstrip()
            for row in zip(*columns.values(), strict=True)
        ]

    def _columns(self, encoding: str) -> dict[str, list[str]]:
        """Return the columns of the table by their heads, each with its head first."""
        drawn = [each for each in self.ranked if each.state != APART]
        columns: dict[str, list[str]] = {"rank": [each.rank_text for each in self.ranked]}
        # Where nothing is claimed the ranks follow from estimates alone, and are not drawn.
        if self.confidence is not None and 1 < len(drawn) <= _MOST_DRAWN:
            marks = marks_for(encoding)
            columns["ranks"] = [
                ranks_drawn(each.rank_low, each.rank_high, of=len(drawn), marks=marks)
                if each.state != APART
                else ""
                for each in self.ranked
            ]
        columns["candidate"] = [each.candidate for each in self.ranked]
        columns["score"] = [
            "unknown" if math.isnan(each.score) else f"{100.0 * each.score:.1f} %"
            for each in self.ranked
        ]
        columns["tasks"] = [f"{each.tasks}/{each.total}" for each in self.ranked]
        columns["resolution"] = [each.resolution for each in self.ranked]
        columns["errors"] = [str(each.errors) for each in self.ranked]
        columns["state"] = [each.state for each in self.ranked]
        if any(not math.isnan(each.usd) for each in self.ranked):
            columns["usd"] = [
                "unknown" if math.isnan(each.usd) else f"{each.usd:.2f}" for each in self.ranked
            ]
        return {name: [name, *texts] for name, texts in columns.items()}

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; unknown numbers become None."""
        values: dict[str, object] = {**asdict(self), "cost_share": self.cost_share}
        return {name: _plain(value) for name, value in values.items()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RaceVerdict":
        """Return the verdict that `to_dict` described.

        Parameters
        ----------
        data : mapping
            None stands for a number that is not known. Further entries are ignored.

        Raises
        ------
        InputError
            A field is missing, or cannot be what it says.
        """
        try:
            values = _values(cls, data)
            values["ranked"] = tuple(Ranked(**_values(Ranked, each)) for each in values["ranked"])
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            msg = (
                "expected a verdict as RaceVerdict.to_dict writes it, got one without a usable"
                f" {problem}: judge the results again"
            )
            raise InputError(msg) from problem


def _values(kind: "type[RaceVerdict | Ranked]", data: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record as JSON holds them: tuples again, and NaN for None."""
    found: dict[str, Any] = {}
    for each in fields(kind):
        if each.name in data:
            value = data[each.name]
            found[each.name] = math.nan if value is None and each.type is float else _frozen(value)
        elif each.default is MISSING and each.default_factory is MISSING:
            raise KeyError(each.name)
    return found


def _frozen(value: object) -> object:
    return tuple(_frozen(each) for each in value) if isinstance(value, list | tuple) else value


def _plain(value: object) -> object:
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value


def resolution_of(tasks: int, finest: int, total: int) -> str:
    """Say how finely a candidate was ranked, in tiers by halves of the finest (Flash-HELM).

    Tier 1 is everything from half of the most tasks that any candidate of the race has run.
    """
    if tasks >= total:
        return "full benchmark"
    if not tasks:
        return "not run"
    tier = 1 + math.floor(math.log2(max(finest, 1) / tasks))
    return f"tier {tier}"
