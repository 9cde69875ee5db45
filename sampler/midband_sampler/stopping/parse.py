"""Rules as text: how a person writes a stopping rule, and how a plan stores it.

Every rule in the files of this folder is found automatically. No rule is named here.
"""

import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, cast

from midband_history import InputError
from midband_sampler.registry import kinds_in
from midband_sampler.stopping.base import Rule, WrongFormError
from midband_sampler.stopping.combine import AllOf, AnyOf, Combined

_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|[^\s"'])+""")
_COLON = re.compile(r""":(?=(?:"[^"]*"|'[^']*'|[^"'])*$)""")

Build = Callable[..., object]


@cache
def rules() -> Mapping[str, type[Rule]]:
    """Return midband's own rules by their names in plans."""
    return {kind.name: kind for kind in kinds_in(__name__.rpartition(".")[0], Rule)}  # type: ignore[type-abstract]


@cache
def _readers() -> Mapping[str, Callable[..., Rule]]:
    return {
        name: read
        for kind in rules().values()
        if not issubclass(kind, Combined) and not kind.about_others
        for name, read in kind.readers().items()
    }


@cache
def _about_others() -> Mapping[str, type[Rule]]:
    kinds = [kind for kind in rules().values() if kind.about_others]
    return {name: kind for kind in kinds for name in (kind.name, *kind.old_names)}


def rule_forms() -> tuple[str, ...]:
    """Return the text forms of midband's own rules, for help and errors."""
    kinds = (kind for kind in rules().values() if not issubclass(kind, Combined))
    return tuple(form for kind in kinds for form in kind.forms())


def rule_names() -> frozenset[str]:
    """Return the names that a plugin's rule cannot have, in a text or in a plan."""
    old = (name for kind in rules().values() for name in kind.old_names)
    return frozenset({*rules(), *_readers(), *old, "and", "or"})


def renamed_rules(text: str) -> tuple[str, ...]:
    """Return one sentence for each rule that a text calls by an old name."""
    words = {_COLON.split(word)[0] for word in _WORD.findall(text)}
    return tuple(
        f"the rule {old!r} is called {kind.name!r} now: the old name goes with the next release"
        for kind in rules().values()
        for old in kind.old_names
        if old in words
    )


def parse_stop(text: str, added: Mapping[str, Build] | None = None) -> Rule:
    """Read a rule, or several joined by ``and`` and ``or`` (``and`` binds first).

    Parameters
    ----------
    text : str
        ``rank:0.95:0.2``, ``beats:AGENT``, ``top:3``, ``score:2``, ``tasks:30``, ``usd:20``,
        ``seconds:3600``, ``tokens:500000``, ``futility``, ``none``. All but budgets and
        ``futility`` take a confidence as well. Quote a name that contains spaces or colons.
        ``futility`` is about the other rules that it is joined to by ``or``.
    added : mapping of str to callable, optional
        Further rules by name, built from the texts after the colons.

    Raises
    ------
    InputError
        The text is not a rule; the message lists the known forms.
    """
    words = _WORD.findall(text)
    joins = words[1::2]
    strange = _WORD.sub("", text).strip() or set(joins) - {"and", "or"}
    if strange or len(words) % 2 == 0:
        raise _unknown(text, added or {})
    groups: list[list[str]] = [[words[0]]]
    for join, word in zip(joins, words[2::2], strict=True):
        if join == "or":
            groups.append([word])
        else:
            groups[-1].append(word)
    about = _about_others()
    later = [about[group[0]] for group in groups if len(group) == 1 and group[0] in about]
    first = [group for group in groups if len(group) > 1 or group[0] not in about]
    readers = {**_readers(), **(added or {})}
    alternatives = tuple(
        _joined(AllOf, tuple(_single(word, readers) for word in group)) for group in first
    )
    for kind in dict.fromkeys(later):
        rule = kind.about(alternatives)
        if rule is None:
            raise _unknown(text, added or {})
        alternatives = (*alternatives, rule)
    return _joined(AnyOf, alternatives)


def _joined(kind: type[AnyOf | AllOf], rules: tuple[Rule, ...]) -> Rule:
    return rules[0] if len(rules) == 1 else kind(rules)


def _single(word: str, readers: Mapping[str, Build]) -> Rule:
    name, *parts = (_unquoted(part) for part in _COLON.split(word))
    if name not in readers:
        raise _unknown(word, readers)
    try:
        return cast("Rule", readers[name](*parts))
    except WrongFormError:
        raise _unknown(word, readers) from None


def _unquoted(part: str) -> str:
    quoted = len(part) > 1 and part[0] == part[-1] and part[0] in "\"'"
    return part[1:-1] if quoted else part


def _unknown(text: str, readers: Mapping[str, Build]) -> InputError:
    added = sorted(set(readers) - set(_readers()))
    return InputError(
        f"expected a stopping rule, or several joined by and/or, got {text!r}: the forms are"
        f" {', '.join([*rule_forms(), *added])}; quote names that hold spaces, and join"
        " futility by or to what it is about"
    )


_WHOLE = ("k", "min_tasks", "tasks")


def _check_numbers(name: str, values: Mapping[str, Any]) -> None:
    """Raise an error unless counts are integers and all numbers are finite."""
    for setting, value in values.items():
        whole = value is None or (isinstance(value, int) and not isinstance(value, bool))
        infinite = isinstance(value, float) and not math.isfinite(value)
        if infinite or (setting in _WHOLE and not whole):
            msg = f"expected a number as {setting} of the rule {name}, got {str(value)[:60]!r}"
            raise InputError(msg)


def stop_from_dict(
    settings: Mapping[str, object], added: Callable[[], Mapping[str, Build]] | None = None
) -> Rule:
    """Rebuild a rule from `Rule.to_dict`.

    Parameters
    ----------
    settings : mapping
        The result of `Rule.to_dict`.
    added : callable, optional
        Returns builders of further rules by name; a builder takes the settings as keyword
        arguments. It is called only for a rule that is not midband's own.

    Raises
    ------
    InputError
        The rule or one of its settings is unknown.
    """
    values: dict[str, Any] = dict(settings)
    name = str(values.pop("rule", None))
    known = {old: kind for kind in rules().values() for old in (kind.name, *kind.old_names)}
    further = {} if name in known or added is None else added()
    build: Build | None = known.get(name) or further.get(name)
    if build is None:
        names = ", ".join([*rules(), *further])
        msg = (
            f"expected a stopping rule among {names}, got {name!r}: update midband, or install the"
            " plugin that has it"
        )
        raise InputError(msg)
    if name in known:
        _check_numbers(name, values)
    try:
        if "rules" in values:
            values["rules"] = tuple(stop_from_dict(each, added) for each in values["rules"])
        if "of" in values:
            values["rule"] = stop_from_dict(values.pop("of"), added)
        return cast("Rule", build(**values))
    except (KeyError, TypeError) as error:
        msg = f"expected the settings of the rule {name}, got {values}: {error}"
        raise InputError(msg) from error
