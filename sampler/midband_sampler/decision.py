"""The decision: the verdict of a session, and the evidence behind it."""

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
    """Verdict on the candidate after the completed tasks.

    Two decisions are equal if all of their values are; NaN equals NaN.

    Parameters
    ----------
    stop : bool
    reason : str
        ``"going on"`` while the run continues, ``"all planned tasks run"``, or the reason that the
        stopping rule gives, such as ``"rank settled"``, ``"better than agent-x"`` or ``"budget
        spent"``. ``"too many errors: ..."`` if attempts without a usable result ended the run.
    claims : tuple of Claim
        The claims of the rule at its stop, each with its confidence. Empty while the run continues,
        and if the run ended before the rule was met.
    rank : int or None
        Rank among the candidate and the reference agents: 1 + number strictly better, so that 1 is
        best. None while there are too few results to estimate a score.
    low, high : int
        Bounds of the rank. If results are missing, these are the outer bounds of three readings:
        missing results are left out, all told as 0, or all told as 1.
    target : str
        The tasks that the rank is about: ``"full benchmark"`` or ``"planned tasks"``. A rank
        inside the band is not a rank on the benchmark.
    confidence : float
        Chance that low..high covers the rank on `target`. It holds at all looks together in an
        always-valid plan. In a calibrated plan it holds at the stop, where replays checked it.
    guarantee : str
        What `confidence` rests on.
    naive_confidence : float
        Share of the plain bootstrap's resamples inside low..high. It is only a diagnostic, and far
        too high when looked at repeatedly. In a plan whose `guarantee` is that of the bootstrap, it
        is the bootstrap rank confidence, which replays have calibrated.
    score : float
        Mean score on the completed tasks; NaN before the first. Not a benchmark score
        unless `target` is the full benchmark.
    target_score, target_score_low, target_score_high : float
        Estimated mean score on `target`, with the bounds that the rank interval follows from; NaN
        while there are too few results.
    full_score, full_score_low, full_score_high : float
        The same values if `target` is the full benchmark, else NaN.
    randomised_score, randomised_error : float
        Estimate of the mean score on all tasks, with its standard error. It uses only the choices
        that were drawn at random, and needs no model. NaN without such choices.
    tasks_run, tasks_planned, tasks_total : int
        Numbers of tasks that are completed in order, planned, and in the benchmark. The first two
        count attempts if the plan allows several attempts at a task.
    tasks_without_result : int
        Completed tasks without a usable result (infrastructure errors and the like).
    results, errors, unscored : int
        Attempts at the completed tasks: with a usable result; ended by an error of the
        infrastructure or the grader, or cancelled; ended without a score.
    n_reference : int
    tie_group : tuple of str
        Reference agents whose score lies within the candidate's score bounds. The results do not
        separate them from the candidate at this confidence.
    spent_usd, spent_seconds, spent_tokens : float
        Cost of the judged tasks. The history's mean replaces dollars and tokens that were not told.
        NaN where not known.
    cost_saved_usd : float
        Expected cost of the benchmark's tasks that were not run, from the history; NaN if
        the history has no costs.
    better_than : mapping of str to float
        Chance that the candidate is better, by the bootstrap or the prediction. It is given for the
        reference agents nearest in score and for those asked for. An estimate, not a claim.
    warnings : tuple of str
        Warnings of the plan, about costs that a budget had to guess, about missing results, and of
        the drift alarm. The alarm means that the results are improbable for an agent like those of
        the history, over all looks. At most 5 % of such agents raise it, as far as the history can
        tell; see `docs/guarantees.md`.
    differences : mapping of str to mapping
        For each agent that the rule compares with by a margin (`NotWorse`): the candidate's score
        on `target` minus that of the agent, as ``estimate``, ``low`` and ``high``. Each bound holds
        at the rule's confidence. NaN while there are too few results.
    scale : str
        Scale of the metric, of which scores are shares; empty if it is 0 to 1.
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
        plain = {**asdict(self), "better_than": dict(self.better_than)}
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
            None stands for an unknown number. Further entries are ignored.

        Raises
        ------
        InputError
            A field is missing, or has an unusable value.
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
        """Return one row with all values of the decision."""
        return Rows([self]).frame()

    def __eq__(self, other: object) -> bool:
        """Compare all values; NaN equals NaN."""
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

        NaN if the plan does not stop by this share.
        """
        return self.naive_confidence if self.guarantee.startswith(RANK_CONFIDENCE) else math.nan

    @property
    def short(self) -> str:
        """The verdict in about 20 characters; see `short_verdict`."""
        return short_verdict(self)

    @property
    def holds(self) -> bool:
        """Whether the present bounds of the rank hold at `confidence`.

        Always-valid bounds do at every look. Calibrated ones do if the stopping rule made a claim,
        or once the whole target has run.
        """
        if self.rank is None or self.too_many_errors or self.guarantee == NOT_RANDOM:
            return False
        if self.guarantee == ALWAYS_VALID or self.guarantee.startswith("certain"):
            return True
        whole = self.target == "planned tasks" or self.tasks_planned == self.tasks_total
        certain = whole and self.reason == ALL_RUN and self.low == self.high
        return self.stop and (bool(self.claims) or certain)

    @property
    def held_confidence(self) -> float:
        """The confidence with which low..high may be stated now; NaN if none holds."""
        return self.confidence if self.holds else math.nan

    def lines(
        self,
        *,
        prefix: str = "",
        ended: bool = False,
        resume: str = "",
        width: int = WIDTH,
        encoding: str = "ascii",
    ) -> tuple[str, ...]:
        """Return the lines of the verdict in words; see `verdict_lines`."""
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

    The first lines give the rank, a drawing of its interval, and the score. The next lines say what
    the verdict rests on and what was spent. Each warning begins a new line. If no interval is
    claimed, none is drawn, and a line says why.

    Parameters
    ----------
    decision : Decision
    prefix : str
        Start of the first line, for instance the name of the candidate.
    ended : bool
        Whether the run is over. If it ended without a verdict, a line then says so.
    resume : str
        How to continue a run that ended without a verdict, for instance a command.
    width : int
        Largest number of columns of a line. Lines break between words, so that only a single word
        longer than `width`, such as a path, exceeds it.
    encoding : str
        Encoding of the output. The drawing is plain ASCII unless this is a form of Unicode.
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
    """Return the verdict in about 20 characters: ``#7 (5-9) 56/200``.

    The text gives the rank with its bounds, then the judged tasks out of the planned tasks. A final
    ``!`` says that there are warnings.
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
    """Say why no interval is claimed; return nothing if one is claimed."""
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
    """List the claims other than the rank and the reason, which appear on other lines."""
    bounds = (f"{decision.low} to {decision.high}", f"{decision.low}")
    said = {decision.reason, *(f"rank {each} of {decision.n_reference + 1}" for each in bounds)}
    claims = [each for each in decision.claims if each.text not in said]
    shown = [f"{each.text} ({100 * each.confidence:.3g} %)" for each in claims[:_SHOWN_CLAIMS]]
    more = len(claims) - len(shown)
    return [f"claimed: {'; '.join(shown)}{f'; {more} more' if more else ''}"] if shown else []


def _tied(decision: Decision) -> list[str]:
    """Name the agents that the results do not separate from the candidate."""
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
    """Return the scale of a metric in words; empty if it is 0 to 1 and higher is better."""
    if metric is None or (metric.low, metric.high, metric.lower_is_better) == (0.0, 1.0, False):
        return ""
    return metric.scale_text()
