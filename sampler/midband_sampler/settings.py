"""The settings of a plan: one record of all that a person can choose."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from functools import cache
from typing import Any

from midband_history import InputError
from midband_sampler.estimators import ESTIMATORS
from midband_sampler.spending import COST_UNITS
from midband_sampler.stopping.base import Rule
from midband_sampler.stopping.parse import parse_stop
from midband_sampler.stopping.settled import RankSettled
from midband_sampler.strategies.base import AUTO, Band, Strategy, find_strategy, renamed_strategy
from midband_sampler.strategies.policy import Exploration

GUARANTEES = ("auto", "always-valid", "calibrated", "bootstrap")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The new agent that a plan is made for; unknown parts are empty texts.

    Parameters
    ----------
    agent, model, scaffold : str
    """

    agent: str = ""
    model: str = ""
    scaffold: str = ""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One setting of a plan, and how a command line, a file or the grid of a study states it.

    Parameters
    ----------
    name : str
        Name of the field of `PlanSettings`.
    help : str
        One or two sentences for the help page.
    default : object
    default_text : str
        The default as a person writes it; empty if it need not be shown.
    kind : type
        Type of a single value: ``str``, ``int``, ``float`` or ``bool``.
    read : callable
        Returns the setting from its text, or from a value of a TOML or JSON file; raises
        `InputError`.
    metavar : str
        Placeholder for the value in a help page; empty for the default placeholder.
    values : int
        Number of words that the setting takes on a command line; `read` takes them joined by
        spaces.
    choices : tuple of str
        The allowed texts; empty if they cannot be listed.
    least : int or None
        Smallest allowed number.
    varied : bool
        Whether a study varies this setting among its plans. Other settings are fields of the study,
        or follow from the data.
    """

    name: str
    help: str
    default: Any
    default_text: str
    kind: type
    read: Callable[[object], Any]
    metavar: str
    values: int
    choices: tuple[str, ...]
    least: int | None
    varied: bool

    @property
    def flag(self) -> str:
        """The option on a command line, for instance ``--max-tasks``."""
        return f"--{self.name.replace('_', '-')}"


def _as_it_is(value: object) -> object:
    return value


def _read_stop(value: object) -> object:
    return parse_stop(value) if isinstance(value, str) else value


def _read_band(value: object) -> object:
    """Read two pass rates from a text like ``0.3 0.7``, ``0.3,0.7`` or ``0.3:0.7``, or a list."""
    if isinstance(value, Band):
        return value
    limits = re.split(r"[\s,:]+", value.strip("[] ")) if isinstance(value, str) else value
    try:
        low, high = map(float, limits)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        msg = f"expected a band of two pass rates, got {value}"
        raise InputError(msg) from None
    return Band(low, high)


def _read_names(value: object) -> object:
    """Read ids from a text with commas between them, or from a list."""
    if isinstance(value, str):
        return tuple(each.strip() for each in value.split(",") if each.strip())
    return tuple(value) if isinstance(value, list) else value


def _number(name: str, kind: type, *, optional: bool) -> Callable[[object], Any]:
    """Return a reader of integers or numbers; an optional one also reads ``none`` and None."""

    def _read(value: object) -> Any:
        if optional and value in (None, "none"):
            return None
        try:
            found = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            found = math.nan
        odd = not math.isfinite(found) or (kind is int and not found.is_integer())
        if odd or isinstance(value, bool):
            what = "a whole number" if kind is int else "a number"
            msg = f"expected {what} for {name}, got {value!r}"
            raise InputError(msg)
        return kind(found)

    return _read


def _flag(name: str) -> Callable[[object], bool]:
    words = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

    def _read(value: object) -> bool:
        found = words.get(str(value).lower())
        if found is None:
            msg = f"expected true or false for {name}, got {value!r}"
            raise InputError(msg)
        return found

    return _read


def _text(name: str, choices: tuple[str, ...]) -> Callable[[object], str]:
    def _read(value: object) -> str:
        if isinstance(value, str) and (not choices or value in choices):
            return value
        what = f"{name} among {', '.join(choices)}" if choices else f"a text for {name}"
        msg = f"expected {what}, got {value!r}"
        raise InputError(msg)

    return _read


def _about(help: str, kind: type = str, **facts: Any) -> dict[str, Any]:  # noqa: A002
    """Return the metadata of a field of `PlanSettings`, from which its `Option` is built."""
    return {"help": help, "kind": kind, **facts}


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """All settings of a plan; the command line uses the same names.

    Parameters
    ----------
    strategy : str or Strategy
        A name, or a strategy object. ``band``, ``random`` and ``stratified`` choose by pass rate
        alone. ``information``, ``cost`` and ``difficulty-matched`` choose live: the task whose
        result is expected to leave the least variance in the predicted full score, the task with
        the largest reduction of this variance per expected cost, and the task whose predicted pass
        rate is nearest to one half. The suffix ``-fixed`` fixes their order before the run.
        ``auto`` is ``information``, or the strategy that replays recommend instead.
    guarantee : str
        ``always-valid``: the bound of the rank on the planned tasks is exact over all looks. It
        needs a simple random order (``random``, ``band``). ``calibrated``: the rank on the full
        benchmark is predicted, and replays on the history's own agents determine the width of its
        interval. ``bootstrap``: the bootstrap rank confidence, which is the share of resamples of
        the tasks inside the interval, must reach the level that such replays require. The rank is
        then on the full benchmark if the strategy predicts, else on the planned tasks. ``auto``:
        calibrated if the strategy needs it.
    band : Band
        Pass rates that count as mid-difficulty.
    stop : Rule
        When a run may stop.
    max_tasks : int or None
        Largest number of planned tasks. A larger plan with the same seed contains the smaller one.
    always : tuple of str
        Guard tasks, which run first with every strategy. They are not a random sample. They count
        as known results, not as evidence on the other tasks: under ``always-valid``, the bound is
        that for the other tasks.
    explore : float
        Chance in [0, 1) that a choice is drawn uniformly from all remaining tasks, so that
        `Session.randomised_score` needs no model. For calibrated plans.
    attempts : int
        Largest number of attempts at a task. A further attempt is made if it is more informative
        than another task. The full score is then that of so many attempts at every task, and
        `max_tasks` counts attempts.
    cost_unit : str
        ``usd`` or ``seconds``, for strategies that weigh costs.
    estimator : str
        How the score on the target is estimated. ``paired``: by the mean difference to the
        references. ``model``: by the posterior mean. ``assisted``: by the prediction, corrected
        with the random choices of `explore`. ``auto``: by the middle of the bounds, which is
        ``model`` in a calibrated plan and ``paired`` in others. Ranks and bounds do not depend on
        the estimator.
    agent, model, scaffold : str
        Description of the new agent, for the record; empty if unknown.
    metric : str
        Label of the metric that the scores must have; empty accepts the metric of the history.
    seed : int
        The same history, settings and seed give the same plan.
    as_of : str
        Date that the plan records. The history must have been read as of this date.
    fallback : bool
        Whether a plan that chooses live is also calibrated for running its tasks in order; see
        `Plan.fixed`.
    """

    strategy: str | Strategy = field(
        default=AUTO,
        metadata=_about(
            "How the tasks are chosen; docs/strategies.md explains each strategy.",
            read=_as_it_is,
            default_text=AUTO,
            varied=False,
        ),
    )
    guarantee: str = field(
        default="auto",
        metadata=_about(
            "What the confidence of the verdict rests on; docs/guarantees.md explains each. auto"
            " calibrates the plan by replays where the history allows it.",
            choices=GUARANTEES,
            default_text="auto",
        ),
    )
    band: Band = field(
        default_factory=Band,
        metadata=_about(
            "The pass rates that count as mid-difficulty, from 0 to 1, for --strategy band.",
            float,
            read=_read_band,
            metavar="LOW HIGH",
            values=2,
            default_text="0.3 0.7",
        ),
    )
    stop: Rule = field(
        default_factory=RankSettled,
        metadata=_about(
            "The rule by which a run stops.",
            read=_read_stop,
            metavar="RULE",
            default_text="rank:0.95:0.2",
            varied=False,
        ),
    )
    max_tasks: int | None = field(
        default=None,
        metadata=_about(
            "Plan no more tasks than this. By default the strategy alone limits them.",
            int,
            metavar="N",
            least=1,
            varied=False,
        ),
    )
    always: tuple[str, ...] = field(
        default=(),
        metadata=_about(
            "The ids of tasks that run first with every strategy.",
            read=_read_names,
            metavar="ID,ID",
        ),
    )
    explore: float = field(
        default=0.0,
        metadata=_about(
            "Choose this share of the tasks, from 0 to 1, at random. They give an estimate of the"
            " score that needs no model.",
            float,
            metavar="SHARE",
            default_text="0.0",
        ),
    )
    attempts: int = field(
        default=1,
        metadata=_about(
            "Allow up to K attempts at a task where a further attempt is more informative than"
            " another task. Only --strategy information and cost do so, in sessions of your own.",
            int,
            metavar="K",
            least=1,
            default_text="1",
        ),
    )
    cost_unit: str = field(
        default="usd",
        metadata=_about(
            "The cost that --strategy cost and cost-fixed minimise.",
            choices=COST_UNITS,
            default_text="usd",
        ),
    )
    estimator: str = field(
        default="auto",
        metadata=_about(
            "How the score is estimated. auto is model in a calibrated plan, and paired in others.",
            choices=("auto", *ESTIMATORS),
            default_text="auto",
        ),
    )
    agent: str = field(
        default="",
        metadata=_about("The name of the new agent, for the record.", metavar="NAME", varied=False),
    )
    model: str = field(
        default="", metadata=_about("The new agent's model.", metavar="NAME", varied=False)
    )
    scaffold: str = field(
        default="",
        metadata=_about("The program around the new agent's model.", metavar="NAME", varied=False),
    )
    metric: str = field(
        default="",
        metadata=_about(
            "The metric that the scores are of, as NAME or NAME.KEY.", metavar="NAME", varied=False
        ),
    )
    seed: int = field(
        default=0,
        metadata=_about(
            "The seed of all random choices. The same seed gives the same plan.",
            int,
            metavar="N",
            least=0,
            default_text="0",
            varied=False,
        ),
    )
    as_of: str = field(
        default="",
        metadata=_about("Use only results from before this date.", metavar="DATE", varied=False),
    )
    fallback: bool = field(
        default=True,
        metadata=_about(
            "Calibrate the plan for harnesses that cannot choose while they run as well.",
            bool,
            varied=False,
        ),
    )

    def __post_init__(self) -> None:
        for each in self.options():
            value = getattr(self, each.name)
            if each.choices:
                each.read(value)
            if each.least is not None and value is not None and value < each.least:
                msg = f"expected {each.name} >= {each.least}, got {value}"
                raise InputError(msg)
        Exploration(explore=self.explore)
        if self.estimator != "auto" and self.attempts > 1:
            msg = (
                f"expected estimator 'auto' for attempts={self.attempts}, got {self.estimator!r}:"
                " use the one or the other"
            )
            raise InputError(msg)
        if self.chosen is None:
            return
        if self.cost_unit != "usd" and not self.chosen.needs_costs:
            msg = (
                f"expected strategy cost or cost-fixed for cost unit {self.cost_unit!r}, got"
                f" {self.name!r}"
            )
            raise InputError(msg)

    @property
    def candidate(self) -> Candidate | None:
        """The new agent; None if no setting describes it."""
        made = Candidate(agent=self.agent, model=self.model, scaffold=self.scaffold)
        return None if made == Candidate() else made

    @property
    def chosen(self) -> Strategy | None:
        """The strategy; None for ``auto``."""
        if not isinstance(self.strategy, str):
            return self.strategy
        return None if self.strategy == AUTO else find_strategy(self.strategy)

    @property
    def predictive(self) -> bool:
        """Whether the plan is calibrated by replays of the history's agents, if it has enough."""
        chosen = self.chosen
        needs = chosen is None or not chosen.random_order
        return needs or self.guarantee == "calibrated"

    @property
    def name(self) -> str:
        """Current name of the strategy."""
        return AUTO if self.chosen is None else self.chosen.name

    @property
    def renamed(self) -> str:
        """A sentence with the strategy's current name; empty if that name was given."""
        return renamed_strategy(self.strategy) if isinstance(self.strategy, str) else ""

    @classmethod
    def from_mapping(cls, data: Mapping[str, Any]) -> "PlanSettings":
        """Build settings from plain values, for instance a rule as text or a band as two numbers.

        Raises
        ------
        InputError
            A name is unknown, or a value cannot be used.
        """
        known = {each.name: each for each in cls.options()}
        strange = sorted(set(data) - set(known))
        if strange:
            msg = f"expected settings of {', '.join(sorted(known))}, got {', '.join(strange)}"
            raise InputError(msg)
        try:
            return cls(**{name: known[name].read(value) for name, value in data.items()})
        except (TypeError, ValueError, AttributeError) as error:
            if isinstance(error, InputError):
                raise
            msg = f"expected settings of a plan, got {data}: {error}"
            raise InputError(msg) from error

    @classmethod
    @cache
    def options(cls) -> tuple[Option, ...]:
        """Return every setting, described for command lines, files and studies."""
        return tuple(_option(each) for each in fields(cls))


def _option(each: Field[Any]) -> Option:
    default = each.default if each.default_factory is MISSING else each.default_factory()
    facts = {
        "read": None, "default_text": "", "metavar": "", "values": 1, "choices": (), "least": None,
        "varied": True, **each.metadata,
    }  # fmt: skip
    kind, name = facts["kind"], each.name
    readers = {bool: _flag(name), str: _text(name, facts["choices"])}
    usual = readers.get(kind) or _number(name, kind, optional=default is None)
    return Option(name=name, default=default, **{**facts, "read": facts["read"] or usual})
