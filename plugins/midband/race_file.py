"""The file that says what a race is between: its question and budget, and its candidates."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from pathlib import Path

from midband_history import InputError
from midband_sampler import Budget
from midband_sampler.racing import (
    Allocation,
    NotWorse,
    Question,
    RacePlan,
    find_allocation,
    parse_budget,
    parse_question,
)

PLACEHOLDER = "{candidate}"
DEFAULT_ALLOCATION = "contested"
_KEYS = ("question", "allocation", "budget", "within", "candidates")
_OF_CANDIDATE = ("name", "arguments")


@dataclass(frozen=True, kw_only=True)
class RaceFile:
    """The content of a file such as ``race.toml``.

    Parameters
    ----------
    question : Question
    candidates : tuple of str
        Distinct names, two at least.
    arguments : mapping of str to tuple of str
        What a harness is given besides for each candidate that has arguments.
    allocation : str
    budget : float, Budget or None
        As `make_race` takes it.
    """

    question: Question
    candidates: tuple[str, ...]
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    allocation: str = DEFAULT_ALLOCATION
    budget: float | Budget | None = None


def read_race_file(path: Path) -> RaceFile:
    """Read the file.

    Raises
    ------
    InputError
        It is no TOML, or says something that a race cannot be.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as problem:
        found = " ".join(str(problem).split())
        msg = (
            f"expected a TOML file with a question and [[candidates]], cannot read {path}: {found}"
        )
        raise InputError(msg) from problem
    try:
        return _read(data)
    except InputError as problem:
        msg = f"{path}: {problem}"
        raise InputError(msg) from problem


def _read(data: Mapping[str, object]) -> RaceFile:
    _check_keys(data, _KEYS, "a race")
    names, arguments = _candidates(data.get("candidates"))
    allocation = data.get("allocation", DEFAULT_ALLOCATION)
    if not isinstance(allocation, str):
        msg = f"expected an allocation by name, got {allocation!r:.40}: write allocation = 'racing'"
        raise InputError(msg)
    return RaceFile(
        question=_question(data),
        candidates=names,
        arguments=arguments,
        allocation=allocation,
        budget=_budget(data.get("budget")),
    )


def _check_keys(data: Mapping[str, object], known: Sequence[str], what: str) -> None:
    for key in data:
        if key not in known:
            near = get_close_matches(key, known, n=1)
            advice = f"did you mean {near[0]}?" if near else "leave it out"
            expected = f"{', '.join(known[:-1])} and {known[-1]}"
            msg = f"expected of {what} the keys {expected}, got {key!r:.40}: {advice}"
            raise InputError(msg)


def _question(data: Mapping[str, object]) -> Question:
    text = data.get("question")
    if not isinstance(text, str):
        got = "none" if text is None else f"{text!r:.40}"
        msg = f"expected a question, got {got}: write question = 'top:1:0.9'"
        raise InputError(msg)
    asked = parse_question(text)
    points = data.get("within")
    if points is None:
        return asked
    if not isinstance(points, (int, float)) or isinstance(points, bool) or not 0 <= points < 100:
        msg = f"expected within as points from 0 to 100, got {points!r:.40}: write within = 1"
        raise InputError(msg)
    if isinstance(asked, NotWorse) or asked.within:
        msg = (
            f"expected no key within beside the question {text}, got within = {points}: its points"
            " stand in the question"
        )
        raise InputError(msg)
    return replace(asked, within=points / 100.0)  # type: ignore[type-var]


def _budget(value: object) -> float | Budget | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or value == "":
        msg = f"expected a budget as text, got {value!r:.40}: write budget = '20%' or 'usd:50'"
        raise InputError(msg)
    return parse_budget(str(value))


def _candidates(value: object) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    rows = value if isinstance(value, list) else []
    if len(rows) < 2:
        got = str(len(rows)) if isinstance(value, list) else "none" if value is None else "no list"
        msg = (
            f"expected at least two candidates, got {got}: write a table [[candidates]] with a name"
            " for each (midband run is for a single agent)"
        )
        raise InputError(msg)
    arguments: dict[str, tuple[str, ...]] = {}
    names: list[str] = []
    for row in rows:
        name = _name(row)
        if name in names:
            msg = f"expected candidates of different names, got {name!r} twice: rename one of them"
            raise InputError(msg)
        names.append(name)
        words = row.get("arguments", [])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            msg = (
                f"expected the arguments of {name!r} as a list of texts, got {words!r:.60}: write"
                ' arguments = ["--model", "NAME"]'
            )
            raise InputError(msg)
        if words:
            arguments[name] = tuple(words)
    return tuple(names), arguments


def _name(row: object) -> str:
    if not isinstance(row, Mapping):
        msg = f"expected a table for each candidate, got {row!r:.40}: write [[candidates]] and name"
        raise InputError(msg)
    _check_keys(row, _OF_CANDIDATE, "a candidate")
    name = row.get("name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        got = "none" if name is None else f"{name!r:.40}"
        msg = f"expected a printable name of every candidate, got {got}: write name = 'small'"
        raise InputError(msg)
    return name.strip()


def read_race(path: Path) -> RacePlan:
    """Read the plan of a race that ``midband plan --candidates`` wrote.

    Raises
    ------
    PlanError
        The file is none, or was changed.
    """
    from midband._manager import get_plugin_manager

    return RacePlan.read(path, allocations=get_plugin_manager().allocations())


def allocation_named(name: str) -> Allocation:
    """Return midband's own allocation of that name, or a plugin's."""
    from midband._manager import get_plugin_manager

    return find_allocation(name, get_plugin_manager().allocations())


def arguments_of(plan: RacePlan, arguments: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """Return what the harness is given for each candidate.

    Parameters
    ----------
    plan : RacePlan
    arguments : sequence of str
        What all candidates have; the candidate's own follow, and `PLACEHOLDER` is its name.

    Raises
    ------
    InputError
        Two candidates would run the same command.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in plan.candidates:
        words = (*arguments, *plan.arguments.get(name, ()))
        found[name] = tuple(word.replace(PLACEHOLDER, name) for word in words)
    seen: dict[tuple[str, ...], str] = {}
    for name, words in found.items():
        same = seen.setdefault(words, name)
        if same != name:
            msg = (
                f"expected other arguments for each candidate, got the same for {same!r} and"
                f" {name!r}: give each its arguments in the file of the race, or write"
                f" {PLACEHOLDER} where the name belongs"
            )
            raise InputError(msg)
    return found
