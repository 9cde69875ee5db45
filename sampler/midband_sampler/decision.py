"""The decision: what a session can say, and on what it rests."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from typing import Any

from midband_history import Column, Frames, InputError, Metric, Rows
from midband_sampler.bounds.bootstrap import RANK_CONFIDENCE, level_text
from midband_sampler.bounds.sequential import ALWAYS_VALID, NOT_RANDOM
from midband_sampler.kernel import ALL_RUN
from midband_sampler.notebook import decision_html, decision_repr
from midband_sampler.plain_lines import INDENT, WIDTH, folded, interval_bar, marks_for
from midband_sampler.spending import TOO_MANY_ERRORS
from midband_sampler.stopping.base import Claim

GOING_ON = "going on"
_SHOWN_CLAIMS = 5
_SHOWN_AGENTS = 3


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
        What the rule claims at its stop, each with its confidence. Empty while the run continues,
        and if the run ended before the rule was met.
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
        Cost of the judged tasks, the history's mean standing in for dollars and tokens that were
        not told; NaN where not known.
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

    @property
    def holds(self) -> bool:
        """Whether `confidence` stands behind the bounds of the rank as they are now.

        Bounds that are exact at every look always do. Calibrated ones do where the stopping rule
        was met and has claimed something, or once the whole target was run.
        """
        if self.rank is None or self.too_many_errors or self.guarantee == NOT_RANDOM:
            return False
        if self.guarantee == ALWAYS_VALID or self.guarantee.startswith("certain"):
            return True
        everything = self.reason == ALL_RUN and self.low == self.high
        return self.stop and (bool(self.claims) or everything)

    def lines(
        self,
        *,
        prefix: str = "",
        ended: bool = False,
        resume: str = "",
        width: int = WIDTH,
        encoding: str = "ascii",
    ) -> tuple[str, ...]:
        """Return the verdict in words, a line each; see `verdict_lines`."""
        return verdict_lines(
            self, prefix=prefix, ended=ended, resume=resume, width=width, encoding=encoding
        )

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
    encoding: str = "ascii",
) -> tuple[str, ...]:
    """Render a decision as a block of lines for people.

    The first lines say what is known: the rank with a drawing of its interval, and the score. The
    next ones say what it rests on and what was spent. Each warning begins a line of its own. Where
    no interval is claimed, none is drawn, and a line says why.

    Parameters
    ----------
    decision : Decision
    prefix : str
        What the first line begins with, for instance whom the verdict is about.
    ended : bool
        Whether the run is over: one without a verdict then says so.
    resume : str
        How to continue a run that ended without a verdict, for instance a command.
    width : int
        Most columns of a line. Lines break at words; only a single word that is longer than
        `width`, such as a path, exceeds it.
    encoding : str
        Of where the lines are shown: the drawing is plain ASCII unless it is a form of Unicode.
    """
    bar = ""
    if decision.holds:
        bar = interval_bar(
            decision.rank,
            decision.low,
            decision.high,
            of=decision.n_reference + 1,
            width=width,
            marks=marks_for(encoding),
        )
    head = [f"{prefix}{_rank(decision)}"]
    if prefix and len(head[0]) > width:
        head = [prefix.rstrip(), _rank(decision)]
    lead = folded(head, width)
    paragraphs = [*_open(decision, ended=ended), _score(decision)]
    paragraphs += [
        f"score minus that of {agent}: {_points(each['estimate'])} points"
        f" ({_points(each['low'])} to {_points(each['high'])})"
        for agent, each in decision.differences.items()
    ]
    paragraphs += [_progress(decision, ended=ended), *_claims(decision), *_tied(decision)]
    paragraphs += _money(decision)
    if ended and resume and decision.reason == GOING_ON:
        paragraphs.append(f"to continue: {resume}")
    paragraphs += [f"warning: {each}" for each in decision.warnings]
    drawn = (f"{INDENT}{bar}",) if bar else ()
    return (*lead, *drawn, *folded(paragraphs, width, first=INDENT))


def short_verdict(decision: Decision) -> str:
    """Return a counter of about 20 characters: ``#7 (5-9) 56/200``.

    The place with its bounds, then the tasks judged of those planned; ``!`` stands for a warning.
    """
    place = "?" if decision.rank is None else str(decision.rank)
    mark = "!" if decision.warnings else ""
    bounds = f"({decision.low}-{decision.high})"
    return f"#{place} {bounds} {decision.tasks_run}/{decision.tasks_planned}{mark}"


def _rank(decision: Decision) -> str:
    of, target = decision.n_reference + 1, f"on the {decision.target}"
    if decision.rank is None:
        why = "no usable result" if not decision.results else "too few results"
        return f"rank unknown of {of} {target}: {why}"
    bounds = f"{decision.low} to {decision.high}"
    if decision.low == decision.high:
        bounds = f"{decision.low}"
    if not decision.holds:
        return f"rank {decision.rank} of {of} so far ({bounds} {target}, not claimed)"
    level = f"at {decision.confidence * 100:.3g} %"
    calibrated = "" if decision.guarantee == ALWAYS_VALID else ", calibrated"
    if decision.guarantee.startswith("certain"):
        level, calibrated = "certain", ""
    return f"rank {decision.rank} of {of} ({bounds} {level} {target}{calibrated})"


def _open(decision: Decision, *, ended: bool) -> list[str]:
    """Say why no interval is claimed, where none is."""
    if decision.rank is None or decision.holds:
        return []
    if decision.guarantee == NOT_RANDOM:
        return ["no interval is claimed: the tasks do not run in random order."]
    if decision.too_many_errors:
        return ["no interval is claimed: too many attempts ended without a usable result."]
    if decision.stop:
        return [f"no interval is claimed: {decision.reason} before the stopping rule was met."]
    until = "the run ended before the stopping rule was met" if ended else "the run is not over"
    return [f"no interval is claimed: {until}."]


def _score(decision: Decision) -> str:
    whole = decision.target == "full benchmark"
    what = "estimated full score" if whole else f"estimated score on the {decision.target}"
    if math.isnan(decision.target_score):
        return f"{what} unknown"
    text = f"{what} {100 * decision.target_score:.1f} %"
    if decision.holds:
        low, high = 100 * decision.target_score_low, 100 * decision.target_score_high
        text += f" ({low:.1f} to {high:.1f} %)"
    return f"{text} of the scale {decision.scale}" if decision.scale else text


def _points(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{100 * value:+.1f}"


def _progress(decision: Decision, *, ended: bool) -> str:
    kind = "tasks" if decision.tasks_planned == decision.tasks_total else "planned tasks"
    whole = decision.tasks_run == decision.tasks_planned
    number = "all" if whole else f"{decision.tasks_run} of"
    text = f"{number} {decision.tasks_planned} {kind} ran"
    if kind != "tasks":
        text += f" (of {decision.tasks_total} in the benchmark)"
    if decision.tasks_without_result:
        kinds = [_count(decision.errors, "error")] if decision.errors else []
        kinds += [f"{decision.unscored} unscored"] if decision.unscored else []
        text += f", {decision.tasks_without_result} without a result"
        text += f" ({', '.join(kinds)})" if kinds else ""
    if decision.reason == GOING_ON:
        text += "; ended before the stopping rule was met" if ended else "; the run is not over"
    elif decision.reason != ALL_RUN:
        text += f"; stopped: {decision.reason}"
    if not math.isnan(decision.bootstrap_rank_confidence):
        text += f"; {RANK_CONFIDENCE} {level_text(decision.bootstrap_rank_confidence)}"
    return text


def _claims(decision: Decision) -> list[str]:
    """Say what is claimed beside the rank and the reason, which stand elsewhere."""
    bounds = (f"{decision.low} to {decision.high}", f"{decision.low}")
    said = {decision.reason, *(f"rank {each} of {decision.n_reference + 1}" for each in bounds)}
    claims = [each for each in decision.claims if each.text not in said]
    shown = [f"{each.text} ({100 * each.confidence:.3g} %)" for each in claims[:_SHOWN_CLAIMS]]
    more = len(claims) - len(shown)
    return [f"claimed: {'; '.join(shown)}{f'; {more} more' if more else ''}"] if shown else []


def _tied(decision: Decision) -> list[str]:
    """Name the agents that the candidate's score does not separate it from."""
    if not decision.holds or not decision.tie_group:
        return []
    names, more = decision.tie_group[:_SHOWN_AGENTS], len(decision.tie_group) - _SHOWN_AGENTS
    return [f"not told apart from {', '.join(names)}{f' and {more} more' if more > 0 else ''}"]


def _money(decision: Decision) -> list[str]:
    spent, rest = decision.spent_usd, decision.cost_saved_usd
    if math.isnan(spent):
        return [] if math.isnan(rest) else [f"the other tasks were expected to cost ${rest:,.2f}"]
    text = f"about ${spent:,.2f} spent on these tasks"
    if rest > 0:
        text += f"; ${rest:,.2f} expected for the others"
    return [text]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def scale_of(metric: Metric | None) -> str:
    """Return the scale of a metric in words; empty for 0 to 1 with more being better."""
    if metric is None or (metric.low, metric.high, metric.lower_is_better) == (0.0, 1.0, False):
        return ""
    return metric.scale_text()
