"""Versions of a benchmark: which tasks, each with which content, results are compared on."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from midband_history._errors import InputError


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One task with one content, as run under one version label.

    Parameters
    ----------
    task_id : int
        In the store; the same for every label under which this content was run.
    name : str
    digest : str
        Of the content; empty where no source told.
    version : str
        As the runs call it; empty where they do not.
    whole : bool
        Whether one of those runs covered the whole benchmark.
    last : datetime or None
        Start of the latest of those runs.
    order : int
        Place of the latest of those runs among all of the benchmark: by their start, then by who
        ran and by their names, whatever the order of import.
    """

    task_id: int
    name: str
    digest: str
    version: str
    whole: bool
    last: datetime | None
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A set of tasks, each with one content.

    Parameters
    ----------
    label : str
        Empty where runs tell no versions apart.
    names, digests : tuple of str
        The tasks in order of name, and the digest of each one's content; empty if unknown.
    column_of : mapping of int to int
        The place of each store task in these.
    by_label : frozenset of int
        Store tasks without a digest whose results count only where their run says that it ran this
        version, since several contents are known for their name.
    """

    label: str
    names: tuple[str, ...]
    digests: tuple[str, ...]
    column_of: dict[int, int]
    by_label: frozenset[int]


def labels_of(contents: Sequence[Content]) -> list[str]:
    """Return the version labels, the one that was run last first; ties by name, backwards."""
    newest: dict[str, datetime] = {}
    for each in contents:
        if each.version:
            last = each.last or datetime.min
            newest[each.version] = max(newest.get(each.version, datetime.min), last)
    return sorted(newest, key=lambda label: (newest[label], label), reverse=True)


def choose_version(
    contents: Sequence[Content], wanted: str | None = None, *, benchmark: str = ""
) -> Version:
    """Return one version: the wanted one, else the newest.

    Where runs name fewer than two versions, the newest content of every task counts. Else the
    version holds what was run under its label. If no run under that label covered the whole
    benchmark, tasks that were not run under it are added with their newest content.

    Raises
    ------
    InputError
        No run says that it ran the wanted version.
    """
    labels = labels_of(contents)
    if wanted is not None and wanted not in labels:
        held = ", ".join(labels) or "none by name"
        msg = f"expected a version of {benchmark}, got {wanted!r}: it holds {held}"
        raise InputError(msg)
    label = wanted if wanted is not None else (labels[0] if len(labels) > 1 else "")
    mine = [each for each in contents if not label or each.version == label]
    names = {each.name for each in mine}
    if label and not any(each.whole for each in mine):
        mine += [each for each in contents if each.name not in names]
    return _assemble(label, mine, contents)


def _assemble(label: str, mine: Sequence[Content], contents: Sequence[Content]) -> Version:
    known: dict[str, set[str]] = {}
    for each in contents:
        if each.digest:
            known.setdefault(each.name, set()).add(each.digest)
    chosen: dict[str, str] = {}
    for each in sorted(mine, key=lambda one: (one.order, one.digest)):
        digests = known.get(each.name, set())
        if each.digest or not digests:
            chosen[each.name] = each.digest
        elif each.name not in chosen:  # run without a digest under this label: the only content
            chosen[each.name] = next(iter(digests)) if len(digests) == 1 else ""
    names = sorted(chosen)
    place = {name: column for column, name in enumerate(names)}
    column_of: dict[int, int] = {}
    by_label: set[int] = set()
    for each in contents:
        if each.name not in place:
            continue
        if each.digest in ("", chosen[each.name]):
            column_of[each.task_id] = place[each.name]
        if not each.digest and len(known.get(each.name, ())) > 1:
            by_label.add(each.task_id)
    return Version(
        label=label,
        names=tuple(names),
        digests=tuple(chosen[name] for name in names),
        column_of=column_of,
        by_label=frozenset(by_label),
    )
