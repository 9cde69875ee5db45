"""An Inspect sample in midband's terms: its id, content digest and cost, and which score counts."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from midband_history import InputError

if TYPE_CHECKING:
    from midband_sampler import Session
    from midband_sampler.racing import Race

# Inspect's own words for a value, in its own spelling. It counts every other word as 0.
_LETTERS = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
_WORDS = {"yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
# Keys of a mapping that hold its verdict, the plainest first.
_VERDICT_KEYS = (
    frozenset({"correct", "correctness", "accuracy", "acc"}),
    frozenset({"success", "passed", "pass", "resolved", "solved", "score", "overall", "reward"}),
)


class HasValue(Protocol):
    """A score of Inspect's: all that is read of it is its value."""

    @property
    def value(self) -> object:
        """Number, text, truth value, list or mapping."""


Scores = Mapping[str, HasValue]


def is_verdict(value: object) -> bool:
    """Whether a value is a truth value or one of Inspect's words, which lie on 0 to 1."""
    return isinstance(value, bool) or (
        isinstance(value, str) and (value in _LETTERS or value.lower() in _WORDS)
    )


def score_value(value: object) -> float | None:
    """Return the number that a value stands for, on the scorer's own scale, or None.

    Inspect itself counts a mapping, a list and an unknown word as 0. Here these, NaN and infinite
    numbers are no information.

    >>> [score_value(value) for value in ("C", "I", "P", True, 0.25, "0.5", 7)]
    [1.0, 0.0, 0.5, 1.0, 0.25, 0.5, 7.0]
    >>> [score_value(value) for value in (float("nan"), {"a": 1}, [1], "maybe", None)]
    [None, None, None, None, None]
    """
    if isinstance(value, str):
        if value in _LETTERS:
            return _LETTERS[value]
        word = value.lower()
        if word in _WORDS:
            return _WORDS[word]
        try:
            number = float(word)
        except ValueError:
            return None
    elif isinstance(value, bool | int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
    else:
        return None
    return number if math.isfinite(number) else None


@dataclass
class Shape:
    """What one scorer's values look like.

    Parameters
    ----------
    plain : bool
        Whether it has given a value that is no mapping.
    keys : dict of str to bool
        The keys of its mappings, and whether a number was seen under each.
    """

    plain: bool = False
    keys: dict[str, bool] = field(default_factory=dict)

    def see(self, value: object) -> None:
        """Take in one value; NaN, by which Inspect marks an unscored sample, says nothing."""
        if isinstance(value, Mapping):
            for key, each in value.items():
                known = self.keys.get(str(key), False)
                self.keys[str(key)] = known or score_value(each) is not None
        elif not (isinstance(value, float) and math.isnan(value)):
            self.plain = True

    @property
    def numbers(self) -> list[str]:
        """Keys that hold a number in at least one sample."""
        return [key for key, is_number in self.keys.items() if is_number]


def shapes_of(samples: "Iterable[Scores | None]") -> dict[str, Shape]:
    """Return what the values of every scorer look like over the samples of a log."""
    shapes: dict[str, Shape] = {}
    for scores in samples:
        for name, score in (scores or {}).items():
            shapes.setdefault(name, Shape()).see(score.value)
    return shapes


@dataclass(frozen=True, kw_only=True)
class ScoreChoice:
    """The score that counts.

    Parameters
    ----------
    scorer : str
        Its scorer; empty where no scorer is known.
    key : str
        The key of the scorer's mapping; empty where its values are no mappings.
    why : str
        How the key was chosen, where neither the task nor a person named it.
    others : tuple of str
        The scores that are not read, as ``--metric`` names them.
    """

    scorer: str = ""
    key: str = ""
    why: str = ""
    others: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The name by which ``--metric`` chooses it."""
        return f"{self.scorer}.{self.key}" if self.key else self.scorer

    def raw(self, scores: "Scores | None") -> object:
        """Return the value of a sample, or None where the sample has none."""
        score = (scores or {}).get(self.scorer)
        value = None if score is None else score.value
        if self.key:
            return value.get(self.key) if isinstance(value, Mapping) else None
        return value

    def value(self, scores: "Scores | None") -> float | None:
        """Return the score of a sample on the scorer's own scale; None is no information."""
        return score_value(self.raw(scores))


def choose_score(
    shapes: Mapping[str, Shape],
    *,
    scorers: Sequence[str] = (),
    headline: object = None,
    wanted: str = "",
    preferred: str = "",
) -> ScoreChoice:
    """Choose the score that counts: the one named, else the headline's, else the first scorer's.

    Parameters
    ----------
    shapes : mapping of str to Shape
        What the scorers that gave a value look like.
    scorers : sequence of str
        The task's scorers in order.
    headline : HeadlineMetric, optional
        The task's declaration of its main metric: its scorer, and the key where that gives a
        mapping.
    wanted : str
        ``NAME`` or ``NAME.KEY``; empty for the task's own main metric.
    preferred : str
        The same, taken where nothing is wanted and there is such a score.

    Raises
    ------
    InputError
        There is no such score, or the scorer gives a mapping of which no key is the obvious one.
    """
    names = [name for name in scorers if name in shapes]
    names += [name for name in shapes if name not in names]
    labels = [label for name in names for label in _labels(name, shapes[name])]
    if not wanted and preferred in labels:
        wanted = preferred
    if wanted:
        scorer, key, why = _wanted(wanted, shapes, scorers=scorers, labels=labels)
    else:
        scorer, key, why = _default(shapes, names=names or list(scorers), headline=headline)
    chosen = f"{scorer}.{key}" if key else scorer
    others = tuple(label for label in labels if label != chosen)
    return ScoreChoice(scorer=scorer, key=key, why=why, others=others)


def _default(
    shapes: Mapping[str, Shape], *, names: Sequence[str], headline: object
) -> tuple[str, str, str]:
    """Return scorer, key and reason where nobody named a score."""
    if not names:
        return "", "", ""
    declared, key = getattr(headline, "scorer", None), getattr(headline, "score", None)
    if declared is None and key is not None:
        owners = [name for name in names if name == key or key in _keys(shapes, name)]
        declared = owners[0] if owners else None
    scorer = str(declared) if declared in names else names[0]
    if declared in names and key in _keys(shapes, scorer):
        return scorer, str(key), ""
    return scorer, *_key(scorer, shapes.get(scorer, Shape()))


def _wanted(
    wanted: str, shapes: Mapping[str, Shape], *, scorers: Sequence[str], labels: Sequence[str]
) -> tuple[str, str, str]:
    """Return scorer, key and reason of a score that was named."""
    for name, shape in shapes.items():
        if wanted == name:
            return name, *_key(name, shape)
        if wanted.startswith(f"{name}.") and wanted[len(name) + 1 :] in shape.keys:
            return name, wanted[len(name) + 1 :], ""
    owners = [name for name, shape in shapes.items() if wanted in shape.keys]
    if len(owners) == 1:
        return owners[0], wanted, ""
    if not shapes:  # no sample has a score: there is nothing that the name could contradict
        owner = next((name for name in scorers if wanted.startswith(f"{name}.")), "")
        return (owner, wanted[len(owner) + 1 :], "") if owner else (wanted, "", "")
    msg = f"expected one of the metrics {', '.join(labels)}, got {wanted!r}: choose with --metric"
    raise InputError(msg)


def _key(name: str, shape: Shape) -> tuple[str, str]:
    """Return the key of a scorer's mapping that holds its verdict, and why it is that."""
    numbers = shape.numbers
    if not numbers:
        return "", ""
    if len(numbers) == 1:
        return numbers[0], f"{numbers[0]!r} is the only number that {name} gives"
    for words in _VERDICT_KEYS:
        likely = [key for key in numbers if key.casefold().removeprefix("is_") in words]
        if len(likely) == 1:
            return likely[0], f"{likely[0]!r} is the verdict among what {name} gives"
        if likely:
            break
    msg = (
        f"expected one score a sample from {name}, got a mapping with {', '.join(numbers)}:"
        f" choose one with --metric {name}.{numbers[0]}"
    )
    raise InputError(msg)


def _keys(shapes: Mapping[str, Shape], name: str) -> Mapping[str, bool]:
    return shapes[name].keys if name in shapes else {}


def _labels(name: str, shape: Shape) -> list[str]:
    return [f"{name}.{key}" for key in shape.keys] or [name]


# Inspect's summaries cut every text after so many characters and mark the cut; a digest that both
# a dataset and a summary must give can look no further.
TEXT_LIMIT = 5120
_CUT_MARK = "...\n(content truncated)"


def benchmark_name(task_name: str) -> str:
    """Return the benchmark that an Inspect task belongs to: its name without the package.

    The same task is called ``inspect_evals/gsm8k`` when run from the package and ``gsm8k`` when
    run from its file; both are one benchmark. The digests of its tasks guard against another
    benchmark of the same name.

    >>> benchmark_name("inspect_evals/gsm8k")
    'gsm8k'
    """
    return task_name.rpartition("/")[2]


def task_id(sample_id: object) -> str:
    """Return the id that midband keeps: the text, or an integer's decimal digits."""
    return str(sample_id)


def task_digest(input: object, target: object) -> str:  # noqa: A002 (the name is Inspect's)
    """Digest what a sample asks and what counts as right, alike for a dataset and for a log.

    Parameters
    ----------
    input : str or sequence of chat messages
    target : str or sequence of str

    Returns
    -------
    str
        16 hex digits. Only the first 5,120 characters of each text count, since a log's summary
        holds no more, and of what is not text only the kind (an image, a document).
    """
    content = json.dumps([_plain(input), _plain(target)], ensure_ascii=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _plain(value: object) -> object:
    if isinstance(value, str):
        return value.removesuffix(_CUT_MARK)[:TEXT_LIMIT]
    if isinstance(value, Sequence):
        return [_plain_part(part) for part in value]
    return _plain(str(value))


def _plain_part(part: object) -> object:
    """Return a text of a target, or role and text of a message."""
    if isinstance(part, str):
        return _plain(part)
    content = getattr(part, "content", "")
    if not isinstance(content, str):
        content = [
            _plain(item.text) if item.type == "text" else f"({item.type.capitalize()})"
            for item in content
        ]
        return [getattr(part, "role", ""), content]
    return [getattr(part, "role", ""), _plain(content)]


def attempt_cost(sample: Any) -> tuple[float | None, float | None]:
    """Return what an attempt cost, in dollars and in seconds; None where not known.

    Parameters
    ----------
    sample : EvalSample or EvalSampleSummary
        Its dollars are known where Inspect could price every model that was called. A negative or
        an infinite number is not known.
    """
    usage = list(sample.model_usage.values())
    costs = [getattr(each, "total_cost", None) for each in usage]
    known = [cost for cost in costs if cost is not None]
    usd = sum(known) if known and len(known) == len(costs) else None
    return amount(usd), amount(sample.total_time)


def attempt_tokens(sample: Any) -> float | None:
    """Return how many tokens an attempt used; None where not known.

    Parameters
    ----------
    sample : EvalSample or EvalSampleSummary
    """
    tokens = [getattr(each, "total_tokens", None) for each in sample.model_usage.values()]
    known = [each for each in tokens if each is not None]
    return amount(float(sum(known))) if known and len(known) == len(tokens) else None


def amount(value: float | None) -> float | None:
    """Return a cost, a count or a duration; None where it is negative or not finite."""
    if value is None or not math.isfinite(value) or value < 0:
        return None
    return float(value)


@dataclass(frozen=True, kw_only=True)
class SampleResult:
    """What is known of one attempt: its score and cost, None where not known, and its kind."""

    score: float | None
    kind: str = "valid"
    usd: float | None = None
    seconds: float | None = None
    tokens: float | None = None

    def tell(self, session: "Session", task: str) -> None:
        """Tell a session."""
        session.tell(
            task,
            score=self.score,
            outcome=self.kind,
            usd=self.usd,
            seconds=self.seconds,
            tokens=self.tokens,
        )

    def tell_race(self, race: "Race", candidate: str, task: str) -> None:
        """Tell a race."""
        race.tell(
            candidate,
            task,
            score=self.score,
            outcome=self.kind,
            usd=self.usd,
            seconds=self.seconds,
            tokens=self.tokens,
        )
