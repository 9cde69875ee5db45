"""Rules as text: how a person writes a stopping rule, and how a plan keeps it."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from midband_history import InputError
from midband_sampler._combined import AllOf, AnyOf, Hopeless, claiming
from midband_sampler._stopping import (
    Beats,
    Budget,
    Never,
    RankSettled,
    ScoreWithin,
    StoppingRule,
    TopK,
)

FORMS = (
    "rank:CONFIDENCE:WIDTH, beats:AGENT:CONFIDENCE, top:K:CONFIDENCE, score:POINTS:CONFIDENCE,"
    " tasks:N, usd:X, seconds:X, hopeless, none:CONFIDENCE"
)
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_COLON = re.compile(r""":(?=(?:"[^"]*"|'[^']*'|[^"'])*$)""")

Build = Callable[..., object]


def parse_stop(text: str, added: Mapping[str, Build] | None = None) -> StoppingRule:
    """Read a rule, or several joined by ``and`` and ``or`` (``and`` binds first).

    Parameters
    ----------
    text : str
        ``rank:0.95:0.2``, ``beats:AGENT``, ``top:3``, ``score:2``, ``tasks:30``, ``usd:20``,
        ``seconds:3600``, ``hopeless``, ``none``; all but budgets take a confidence as their last
        part. A name that holds spaces or colons stands in quotes. ``hopeless`` speaks of the other
        rules that it is joined to by ``or``.
    added : mapping of str to callable, optional
        Further rules by name, built from the texts after the colons.

    Raises
    ------
    InputError
        The text is no rule; the message lists the forms there are.
    """
    words = _WORD.findall(text)
    joins = words[1::2]
    strange = _WORD.sub("", text).strip() or set(joins) - {"and", "or"}
    if strange or len(words) % 2 == 0:
        raise _unknown(text)
    groups: list[list[str]] = [[words[0]]]
    for join, word in zip(joins, words[2::2], strict=True):
        if join == "or":
            groups.append([word])
        else:
            groups[-1].append(word)
    if ["hopeless"] in groups:
        others = [group for group in groups if group != ["hopeless"]]
        return _with_hopeless(tuple(_all(group, added or {}) for group in others), text)
    return _joined(AnyOf, tuple(_all(group, added or {}) for group in groups))


def _all(words: list[str], added: Mapping[str, Build]) -> StoppingRule:
    return _joined(AllOf, tuple(_single(word, added) for word in words))


def _joined(kind: type[AnyOf | AllOf], rules: tuple[StoppingRule, ...]) -> StoppingRule:
    return rules[0] if len(rules) == 1 else kind(rules)


def _with_hopeless(rules: tuple[StoppingRule, ...], text: str) -> StoppingRule:
    able = tuple(rule for rule in rules if claiming(rule))
    if not able:
        raise _unknown(text)
    budgets = [rule.tasks for rule in rules if isinstance(rule, Budget) and rule.tasks is not None]
    return AnyOf((*rules, Hopeless(_joined(AnyOf, able), min(budgets, default=None))))


def _single(word: str, added: Mapping[str, Build]) -> StoppingRule:
    name, *parts = (_unquoted(part) for part in _COLON.split(word))
    if name in added:
        return cast("StoppingRule", added[name](*parts))
    if name == "beats" and parts:
        if len(parts) > 1 and _is_confidence(parts[-1]):
            return Beats(":".join(parts[:-1]), float(parts[-1]))
        return Beats(":".join(parts))
    try:
        values = [float(part) for part in parts]
    except ValueError:
        raise _unknown(word) from None
    return _numeric(word, name, values)


def _numeric(word: str, name: str, values: list[float]) -> StoppingRule:
    match name, values:
        case "none", []:
            return Never()
        case "none", [confidence]:
            return Never(confidence)
        case "rank", []:
            return RankSettled()
        case "rank", [confidence]:
            return RankSettled(confidence)
        case "rank", [confidence, width]:
            return RankSettled(confidence, width)
        case "top", [k] if k.is_integer():
            return TopK(int(k))
        case "top", [k, confidence] if k.is_integer():
            return TopK(int(k), confidence)
        case "score", [points]:
            return ScoreWithin(points)
        case "score", [points, confidence]:
            return ScoreWithin(points, confidence)
        case "tasks", [count] if count.is_integer():
            return Budget(tasks=int(count))
        case "usd", [amount]:
            return Budget(usd=amount)
        case "seconds", [amount]:
            return Budget(seconds=amount)
    raise _unknown(word)


def _unquoted(part: str) -> str:
    quoted = len(part) > 1 and part[0] == part[-1] and part[0] in "\"'"
    return part[1:-1] if quoted else part


def _is_confidence(text: str) -> bool:
    try:
        return 0.0 < float(text) < 1.0
    except ValueError:
        return False


def _unknown(text: str) -> InputError:
    return InputError(
        f"expected a stopping rule, or several joined by and/or, got {text!r}: the forms are"
        f" {FORMS}; quote names that hold spaces, and join hopeless by or to what it is about"
    )


_WHOLE = ("k", "min_tasks", "tasks")


def _check_numbers(name: str, values: Mapping[str, Any]) -> None:
    """Raise unless counts are integers and no number is infinite."""
    for setting, value in values.items():
        whole = value is None or (isinstance(value, int) and not isinstance(value, bool))
        infinite = isinstance(value, float) and not math.isfinite(value)
        if infinite or (setting in _WHOLE and not whole):
            msg = f"expected a number as {setting} of the rule {name}, got {str(value)[:60]!r}"
            raise InputError(msg)


_KINDS: Mapping[str, type[Any]] = {
    "rank": RankSettled,
    "beats": Beats,
    "top": TopK,
    "score": ScoreWithin,
    "budget": Budget,
    "none": Never,
    "any": AnyOf,
    "all": AllOf,
    "hopeless": Hopeless,
}

# What a rule of a plugin cannot be called, in a text or in a plan.
RULE_NAMES = frozenset({*_KINDS, "tasks", "usd", "seconds", "and", "or"})


def stop_from_dict(
    settings: Mapping[str, object], added: Callable[[], Mapping[str, Build]] | None = None
) -> StoppingRule:
    """Rebuild a rule from `StoppingRule.to_dict`.

    Parameters
    ----------
    settings : mapping
        What `StoppingRule.to_dict` returned.
    added : callable, optional
        Returns what rebuilds further rules, by name, from their settings as keyword arguments;
        asked only where there is such a rule.

    Raises
    ------
    InputError
        The rule is unknown, or its settings are.
    """
    values: dict[str, Any] = dict(settings)
    name = str(values.pop("rule", None))
    further = {} if name in _KINDS or added is None else added()
    build: Build | None = _KINDS.get(name) or further.get(name)
    if build is None:
        known = ", ".join([*_KINDS, *further])
        msg = (
            f"expected a stopping rule among {known}, got {name!r}: update midband, or install the"
            " plugin that has it"
        )
        raise InputError(msg)
    if name in _KINDS:
        _check_numbers(name, values)
    try:
        if name in ("any", "all"):
            values["rules"] = tuple(stop_from_dict(each, added) for each in values["rules"])
        if name == "hopeless":
            values["rule"] = stop_from_dict(values.pop("of"), added)
        return cast("StoppingRule", build(**values))
    except (KeyError, TypeError) as error:
        msg = f"expected the settings of the rule {name}, got {values}: {error}"
        raise InputError(msg) from error
