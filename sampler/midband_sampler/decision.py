"""The decision: what a session can say, and on what it rests."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, dataclass, field, fields
from textwrap import wrap
from typing import Any

import numpy as np

from midband_history import Column, FloatArray, Frames, InputError, Metric, Rows
from midband_sampler.bounds.base import TIE, Bounds, Interval
from midband_sampler.bounds.bootstrap import RANK_CONFIDENCE, level_text
from midband_sampler.notebook import decision_html, decision_repr
from midband_sampler.spending import TOO_MANY_ERRORS
from midband_sampler.stopping.base import Claim

WIDTH = 100
NEAREST = 5
GOING_ON = "going on"
_LEAST_WIDTH = 20
_HOW_MANY_CLAIMS = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Decision(Frames):
    """Verdict on the candidate after the completed tasks; what is unknown in both is equal.

    Parameters
    ----------
    stop : bool
    reason : str
        ``"going on"``, ``"all planned tasks run"``, or what the stopping rule says: ``"rank
        settled"``, ``"better than agent-x"``, ``"budget spent"`` and the like; ``"too many errors:
        ..."`` where attempts without a usable result ended the run.
    claims : tuple of Claim
        What the rule claims at its stop, each with its confidence; empty while going on, and
        where the run ended without the rule's being content.
    rank : int or None
        Among the candidate and the reference agents, 1 = best: 1 + number strictly better. None
        while too little is known to estimate a score.
    low, high : int
        Bounds of the rank. With missing results the outer ones of three readings: without them,
        all of them told as 0, all of them told as 1.
    target : str
        What the rank is a rank on: ``"full benchmark"`` or ``"planned tasks"``. A rank
        inside the band is not a rank on the benchmark.
    confidence : float
        Chance that low..high covers the rank on `target`: at every look at once for an always-valid
        plan, at the stop for a calibrated one, where it was checked.
    guarantee : str
        The rule by which `confidence` holds.
    naive_confidence : float
        The plain bootstrap's share of resamples inside low..high: a diagnostic only, it is
        far too sure when looked at repeatedly. In a plan whose `guarantee` is the bootstrap's it is
        the bootstrap rank confidence, which replays have calibrated.
    score : float
        Mean score on the completed tasks; NaN before the first. Not a benchmark score
        unless `target` is the full benchmark.
    target_score, target_score_low, target_score_high : float
        Estimated mean score on `target`, with the bounds that the rank interval follows from; NaN
        while too little is known.
    full_score, full_score_low, full_score_high : float
        The same where `target` is the full benchmark, else NaN.
    randomised_score, randomised_error : float
        Estimate of the mean score on all tasks from the choices left to chance alone, with its
        standard error: it needs no model. NaN without such choices.
    tasks_run, tasks_planned, tasks_total : int
        Completed in order, planned, in the benchmark; the first two count attempts where the plan
        asks for several.
    tasks_without_result : int
        Completed without information (infrastructure errors and the like).
    results, errors, unscored : int
        Attempts at the completed tasks that have a usable result; that ended in an error of the
        infrastructure or the grader, or were cancelled; that ended without a score.
    n_reference : int
    tie_group : tuple of str
        Reference agents whose score lies within the bounds of the candidate's: they cannot be told
        from it at this confidence.
    spent_usd, spent_seconds, spent_tokens : float
        Cost of the judged tasks, the history's mean standing in for dollars that were not told;
        NaN where not known.
    cost_saved_usd : float
        Expected cost of the benchmark's tasks that were not run, from the history; NaN if
        the history has no costs.
    better_than : mapping of str to float
        For the reference agents nearest in score, and for those that were asked for: the chance
        that the candidate is above, by the bootstrap or the prediction. An estimate, not a claim.
    warnings : tuple of str
        The plan's, what a budget had to guess, that results are missing, and the drift alarm:
        results that are improbable for an agent like those of the history, over all looks (false
        for 5 % of such agents at most, as far as the history can tell; see `docs/guarantees.md`).
    differences : mapping of str to mapping
        Where the rule holds a margin against agents (`NotWorse`): the candidate's score on `target`
        minus theirs, as ``estimate``, ``low`` and ``high``, each bound holding at the rule's
        confidence; NaN while too little is known.
    scale : str
        The metric's scale, of which scores are shares; empty where it is 0 to 1.
    plan_digest : str
    """

    stop: bool
    reason: str
    claims: tuple[Claim, ...]
    rank: int | None
    low: int
    high: int
    target: str
    confidence: float
    guarantee: str
    naive_confidence: float
    score: float
    target_score: float
    target_score_low: float
    target_score_high: float
    full_score: float
    full_score_low: float
    full_score_high: float
    randomised_score: float
    randomised_error: float
    tasks_run: int
    tasks_planned: int
    tasks_total: int
    tasks_without_result: int
    results: int
    errors: int
    unscored: int
    n_reference: int
    tie_group: tuple[str, ...]
    spent_usd: float
    spent_seconds: float
    spent_tokens: float
    cost_saved_usd: float
    better_than: Mapping[str, float]
    warnings: tuple[str, ...]
    plan_digest: str
    scale: str = ""
    differences: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, object]:
        """Return plain values for JSON; NaN becomes None."""
        plain = asdict(self)
        plain["better_than"] = dict(self.better_than)
        del plain["differences"]
        if self.differences:
            plain["differences"] = {
                agent: {name: None if math.isnan(value) else value for name, value in each.items()}
                for agent, each in self.differences.items()
            }
        if not math.isnan(self.bootstrap_rank_confidence):
            plain["bootstrap_rank_confidence"] = self.bootstrap_rank_confidence
        for name in ("claims", "tie_group", "warnings"):
            plain[name] = list(plain[name])
        return {
            name: None if isinstance(value, float) and math.isnan(value) else value
            for name, value in plain.items()
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Decision":
        """Return the decision that `to_dict` described.

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
            values: dict[str, Any] = {
                each.name: math.nan
                if data[each.name] is None and each.type is float
                else data[each.name]
                for each in fields(cls)
                if each.name in data
                or (each.default is MISSING and each.default_factory is MISSING)
            }
            values["claims"] = tuple(
                Claim(text=str(each["text"]), confidence=float(each["confidence"]))
                for each in values["claims"]
            )
            for name in ("tie_group", "warnings"):
                values[name] = tuple(map(str, values[name]))
            values["better_than"] = dict(values["better_than"])
            values["differences"] = {
                agent: {name: math.nan if value is None else value for name, value in each.items()}
                for agent, each in values.get("differences", {}).items()
            }
            return cls(**values)
        except (AttributeError, KeyError, TypeError, ValueError) as problem:
            msg = (
                "expected a decision as Decision.to_dict writes it, got one without a usable"
                f" {problem}: judge the results again with `midband rank`"
            )
            raise InputError(msg) from problem

    def frame(self) -> Mapping[str, Column]:
        """Return one row with all that is said."""
        return Rows([self]).frame()

    def __eq__(self, other: object) -> bool:
        """Compare all that is said."""
        return isinstance(other, Decision) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        """Hash of the plan and the verdict."""
        return hash((self.plan_digest, self.reason, self.tasks_run, self.rank, self.low, self.high))

    @property
    def too_many_errors(self) -> bool:
        """Whether attempts without a usable result ended the run."""
        return self.reason.startswith(TOO_MANY_ERRORS)

    @property
    def bootstrap_rank_confidence(self) -> float:
        """Share of the resamples of the tasks whose rank lies in low..high.

        NaN where the plan does not stop by it.
        """
        return self.naive_confidence if self.guarantee.startswith(RANK_CONFIDENCE) else math.nan

    @property
    def short(self) -> str:
        """A counter of about 20 characters; see `short_verdict`."""
        return short_verdict(self)

    def lines(
        self,
        *,
        prefix: str = "",
        ended: bool = False,
        resume: str = "",
        width: int = WIDTH,
    ) -> tuple[str, ...]:
        """Return the verdict in words, a line each; see `verdict_lines`."""
        return verdict_lines(self, prefix=prefix, ended=ended, resume=resume, width=width)

    def __str__(self) -> str:
        """Return the verdict in words, with every warning."""
        return "\n".join(self.lines())

    def __repr__(self) -> str:
        return decision_repr(self)

    def _repr_html_(self) -> str:
        return decision_html(self)


def verdict_lines(
    decision: Decision,
    *,
    prefix: str = "",
    ended: bool = False,
    resume: str = "",
    width: int = WIDTH,
) -> tuple[str, ...]:
    """Render a decision as lines for people.

    The first lines say what is known and what it rests on, each warning begins a line of its own.
    Lines break at words; only a single word that is longer than `width`, such as a path, exceeds
    it.

    Parameters
    ----------
    decision : Decision
    prefix : str
        What the first line begins with, for instance whom the verdict is about.
    ended : bool
        Whether the run is over: one without a verdict then says so, and does not "go on".
    resume : str
        How to go on with a run that ended without a verdict, for instance a command.
    width : int
        Most columns of a line.
    """
    paragraphs = [
        f"{prefix}{_rank(decision)}, {_score(decision)}, {_progress(decision, ended=ended)}",
        _basis(decision),
    ]
    if ended and resume and decision.reason == GOING_ON:
        paragraphs.append(f"to go on: {resume}")
    paragraphs += [f"warning: {each}" for each in decision.warnings]
    lines: list[str] = []
    for text in paragraphs:
        lines += wrap(
            " ".join(text.split()),
            max(width, _LEAST_WIDTH),
            initial_indent="  " if lines else "",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return tuple(lines)


def short_verdict(decision: Decision) -> str:
    """Return a counter of about 20 characters: ``#7 (5-9) 56/200``.

    The place with its bounds, then the tasks judged of those planned; ``!`` stands for a warning.
    """
    place = "?" if decision.rank is None else str(decision.rank)
    mark = "!" if decision.warnings else ""
    bounds = f"({decision.low}-{decision.high})"
    return f"#{place} {bounds} {decision.tasks_run}/{decision.tasks_planned}{mark}"


def _rank(decision: Decision) -> str:
    of = decision.n_reference + 1
    where = f"at {decision.confidence * 100:.3g} % on the {decision.target}"
    if decision.rank is None:
        why = "no usable result" if not decision.results else "too few results"
        return f"rank unknown of {of} ({decision.low} to {decision.high} {where}): {why}"
    return f"rank {decision.rank} of {of} ({decision.low} to {decision.high} {where})"


def _score(decision: Decision) -> str:
    whole = decision.target == "full benchmark"
    what = "estimated full score" if whole else f"estimated score on the {decision.target}"
    if math.isnan(decision.target_score):
        return f"{what} unknown"
    low, high = 100 * decision.target_score_low, 100 * decision.target_score_high
    text = f"{what} {100 * decision.target_score:.1f} % ({low:.1f} to {high:.1f} %)"
    return f"{text} of the scale {decision.scale}" if decision.scale else text


def _progress(decision: Decision, *, ended: bool) -> str:
    reason = decision.reason
    if reason == GOING_ON and ended:
        reason = "ended before the stopping rule was met"
    text = f"{decision.tasks_run} of {decision.tasks_total} tasks: {reason}"
    claims = [each.text for each in decision.claims if each.text != reason]
    more = len(claims) - _HOW_MANY_CLAIMS
    if claims:
        text += f" ({'; '.join(claims[:_HOW_MANY_CLAIMS])}{f'; {more} more' if more > 0 else ''})"
    return text


def _basis(decision: Decision) -> str:
    parts = [f"{decision.results} result{'' if decision.results == 1 else 's'}"]
    parts.append(f"{decision.errors} error{'' if decision.errors == 1 else 's'}")
    if decision.unscored:
        parts.append(f"{decision.unscored} unscored")
    text = f"{', '.join(parts)}; {decision.tasks_planned} planned"
    if not math.isnan(decision.bootstrap_rank_confidence):
        text += f"; {RANK_CONFIDENCE} {level_text(decision.bootstrap_rank_confidence)}"
    if not math.isnan(decision.spent_usd):
        text += f"; ${decision.spent_usd:,.2f} spent on the judged tasks"
    if not math.isnan(decision.cost_saved_usd):
        text += f"; ${decision.cost_saved_usd:,.2f} expected for the tasks that were not run"
    return text


def nearest(
    better: FloatArray, agents: Sequence[str], asked_for: Sequence[str]
) -> dict[str, float]:
    """Return the chances of the agents whose comparison is least certain, then those asked for.

    Parameters
    ----------
    better : ndarray of float64, shape (n_agents,)
        NaN where nothing is known.
    agents, asked_for : sequence of str
        Ties go to the agent that stands first.
    """
    closest = np.abs(better - 0.5).argsort(kind="stable")[:NEAREST].tolist()
    shown = dict.fromkeys([*(agents[place] for place in closest), *asked_for])
    chances = {name: float(better[agents.index(name)]) for name in shown}
    return {name: round(each, 4) for name, each in chances.items() if not math.isnan(each)}


def tied(bounds: Bounds, interval: Interval, agents: tuple[str, ...]) -> tuple[str, ...]:
    """Name the references that the score bounds do not separate from the candidate."""
    if math.isnan(interval.score):
        return agents
    scores, margins = bounds.reference_scores, bounds.reference_margins
    margin = TIE if margins is None else margins + TIE
    inside = (scores >= interval.score_low - margin) & (scores <= interval.score_high + margin)
    return tuple(agents[place] for place in np.flatnonzero(inside))


def scale_of(metric: Metric | None) -> str:
    """Return the scale of a metric in words; empty for 0 to 1 with more being better."""
    if metric is None or (metric.low, metric.high, metric.lower_is_better) == (0.0, 1.0, False):
        return ""
    return metric.scale_text()
