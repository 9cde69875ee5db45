"""A suite: one plan for each of several benchmarks, which share a verdict and a budget."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband_history import InputError, plain_benchmark
from midband_sampler import PlanError

if TYPE_CHECKING:
    from midband_sampler import Plan

FILE = "suite.json"
FORMAT = 1
_MOST_BYTES = 1 << 24
_SHOWN, _HEAD = 8, 256


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One benchmark of a suite, and its plan.

    Parameters
    ----------
    benchmark : str
    file : str
        Of the plan, in the directory of the suite.
    digest : str
        Of the plan.
    """

    benchmark: str
    file: str
    digest: str


@dataclass(frozen=True, kw_only=True)
class NotPlanned:
    """One benchmark that was asked for and has no plan.

    Parameters
    ----------
    benchmark : str
    reason : str
    """

    benchmark: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The content of a suite's file.

    Parameters
    ----------
    directory : Path
        Where the file and the plans lie.
    planned : tuple of Planned
        In the order in which they run.
    not_planned : tuple of NotPlanned
    """

    directory: Path
    planned: tuple[Planned, ...]
    not_planned: tuple[NotPlanned, ...] = ()

    def __post_init__(self) -> None:
        names = [each.benchmark for each in self.planned]
        names += [each.benchmark for each in self.not_planned]
        if twice := [name for name in names if names.count(name) > 1]:
            msg = f"expected every benchmark of a suite once, got {twice[0]!r} twice"
            raise InputError(msg)

    @property
    def digest(self) -> str:
        """SHA-256 over the content, first 16 hex digits."""
        text = json.dumps(self._content(), ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def _content(self) -> dict[str, object]:
        return {
            "midband_suite": FORMAT,
            "plans": [asdict(each) for each in self.planned],
            "not_planned": [asdict(each) for each in self.not_planned],
        }

    def plan(self, benchmark: str) -> "Plan":
        """Return the plan of a benchmark, which may be named with its package.

        Raises
        ------
        PlanError
            The suite has none, or the file holds another plan than the suite names.
        """
        from midband.choices import read_plan

        held = [each.benchmark for each in self.planned]
        name = self.named(benchmark)
        for each in self.planned:
            if each.benchmark == name:
                path = self.directory / each.file
                plan = read_plan(path)
                if plan.digest != each.digest:
                    msg = (
                        f"expected plan {each.digest}, which the suite names, got {plan.digest} in"
                        f" {path}: put the first plan back, or plan the suite anew"
                    )
                    raise PlanError(msg)
                return plan
        for gone in self.not_planned:
            if gone.benchmark == name:
                msg = (
                    f"expected a plan for {benchmark!r}, got none in {self.directory}: it could"
                    f" not be planned ({gone.reason})"
                )
                raise PlanError(msg)
        shown = ", ".join(held[:_SHOWN]) + (", ..." if len(held) > _SHOWN else "")
        msg = (
            f"expected a plan for {benchmark!r} in the suite {self.directory}, got none: it holds"
            f" {shown or 'none'}; plan it with `midband plan --all {benchmark}`"
        )
        raise PlanError(msg)

    def named(self, benchmark: str) -> str:
        """Return the benchmark of the suite that a name means; empty for none."""
        held = [each.benchmark for each in self.planned]
        return _named(benchmark, [*held, *(each.benchmark for each in self.not_planned)])

    def plans(self) -> "dict[str, Plan]":
        """Return all plans by benchmark, in their order; raises as `plan`."""
        return {each.benchmark: self.plan(each.benchmark) for each in self.planned}

    def write(self) -> Path:
        """Write the file of the suite and return its path; a half-written one is never left."""
        target = self.directory / FILE
        partial = target.with_name(f".{FILE}.part")
        content = {**self._content(), "digest": self.digest}
        try:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
            partial.replace(target)
        except OSError as error:
            partial.unlink(missing_ok=True)
            msg = f"expected a writable place for the suite, got {target}: {error.strerror}"
            raise PlanError(msg) from error
        return target

    @classmethod
    def read(cls, path: Path | str) -> "Suite":
        """Read a suite by its directory or its file.

        Raises
        ------
        PlanError
            There is none, or it is not as midband wrote it.
        """
        place = Path(path)
        place = place / FILE if place.is_dir() else place
        form = "expected a suite that `midband plan --all` wrote"
        try:
            with place.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
            if len(content) > _MOST_BYTES:
                msg = f"{form}, got a larger file in {place}: name the suite, or plan it anew"
                raise PlanError(msg)
            data = json.loads(content.decode())
            suite = cls._of(data, place.parent)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, PlanError):
                raise
            what = f"no {error}" if isinstance(error, KeyError) else " ".join(str(error).split())
            msg = f"{form}, cannot read {place} ({what[:120]}): name the suite, or plan it anew"
            raise PlanError(msg) from error
        if suite.digest != data.get("digest"):
            msg = f"{form}, got {place}, which was changed by hand: plan it anew"
            raise PlanError(msg)
        return suite

    @classmethod
    def _of(cls, data: Any, directory: Path) -> "Suite":
        if not isinstance(data, Mapping):
            msg = f"a {type(data).__name__}"
            raise TypeError(msg)
        found = data["midband_suite"]
        if found != FORMAT:
            msg = f"format {found!r:.20}, where this midband reads {FORMAT}"
            raise ValueError(msg)
        planned = tuple(Planned(**_texts(each, Planned)) for each in data["plans"])
        for each in planned:
            if Path(each.file).name != each.file:
                msg = f"a plan outside the suite, {each.file!r:.40}"
                raise ValueError(msg)
        gone = tuple(NotPlanned(**_texts(each, NotPlanned)) for each in data["not_planned"])
        return cls(directory=directory, planned=planned, not_planned=gone)


def _texts(data: Any, of: type) -> dict[str, str]:
    names = [str(name) for name in getattr(of, "__dataclass_fields__", ())]
    values = {name: data[name] for name in names}
    for name, value in values.items():
        if not isinstance(value, str) or not value:
            msg = f"{name}: expected a text, got {value!r:.40}"
            raise TypeError(msg)
    return values


def _named(wanted: str, names: Sequence[str]) -> str:
    """Return the benchmark that a name means, with or without a package; empty for none."""
    if wanted in names:
        return wanted
    for plain in (plain_benchmark, _last):
        found = [name for name in names if plain(name) == plain(wanted)]
        if len(found) == 1:
            return found[0]
    return ""


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def is_suite(path: Path | str) -> bool:
    """Whether a path is the directory or the file of a suite."""
    place = Path(path)
    if place.is_dir():
        return (place / FILE).is_file()
    try:
        with place.open("rb") as file:
            return b'"midband_suite"' in file.read(_HEAD)
    except OSError:
        return False


def joint_confidence(confidences: Sequence[float]) -> float:
    """Return with what confidence at least all of several intervals hold together.

    Bonferroni's inequality: the chance that any interval misses is at most the sum of the chances
    that each does, however the benchmarks depend on each other (Dunn 1961, "Multiple Comparisons
    Among Means", JASA 56). 0 where that sum is 1 or more, so that nothing is known.

    Parameters
    ----------
    confidences : sequence of float
        Of the intervals, each in (0, 1).
    """
    return max(0.0, 1.0 - sum(1.0 - each for each in confidences))
