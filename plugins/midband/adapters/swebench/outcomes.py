"""What became of SWE-bench instances: by a report, its totals, and the agent's own files."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from os.path import isfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.files import foreign, load_object, mapping, number
from midband.adapters.stated import Quantities, counted, rounding
from midband_history import OutcomeKind, Record, StatedAggregate, UnreadableSourceError

if TYPE_CHECKING:
    from midband.descriptors import ReadOptions

_WHAT = "a SWE-bench report"


@dataclass(frozen=True, slots=True)
class Found:
    """What a report says of one instance."""

    score: float | None
    kind: OutcomeKind
    errored: bool = False


_RESOLVED = Found(1.0, "valid")
_FAILED = Found(0.0, "valid")
_BROKEN = Found(None, "infra_error", errored=True)
# What each list of a run report says of its instances; the first that names one counts.
_LISTS: tuple[tuple[str, Found], ...] = (
    ("error_ids", _BROKEN),
    ("infra_failure_ids", _BROKEN),
    ("ambiguous_failure_ids", Found(None, "grader_error", errored=True)),
    ("no_logs", _BROKEN),
    ("pending_ids", Found(None, "missing")),
    ("incomplete_ids", Found(None, "missing")),
    ("resolved_ids", _RESOLVED),
    ("resolved", _RESOLVED),
    ("empty_patch_ids", _FAILED),
    ("no_generation", _FAILED),
    ("unresolved_ids", _FAILED),
    ("completed_ids", _FAILED),
    ("with_logs", _FAILED),
    ("failed_ids", _BROKEN),
    ("submitted_ids", Found(None, "missing")),
)
_OF_FAILURES = ("unresolved_ids", "completed_ids", "with_logs")
# Ends of SWE-agent that say nothing about the agent; mini-swe-agent notes a traceback instead.
_INFRASTRUCTURE = frozenset({"exit_api", "exit_environment_error", "exit_error"})
# Some tools add the rate that they report.
_RATES = ("resolution_rate", "resolved_rate", "resolve_rate", "accuracy")


def lists_solved_only(report: Mapping[str, Any]) -> bool:
    """Whether a run report has no list that tells which instances failed."""
    return not any(isinstance(report.get(key), list) for key in _OF_FAILURES)


def listed(report: Mapping[str, Any], path: Path, options: "ReadOptions") -> dict[str, Found]:
    """Return what the lists of a run report say of each instance.

    Errors are unknown outcomes, unless the report states a rate that counts them as failures.

    Raises
    ------
    UnreadableSourceError
        The lists contradict each other or their counts; or they name resolved instances only and
        the other tasks are not known.
    """
    lists = {key: report[key] for key, _ in _LISTS if isinstance(report.get(key), list)}
    for key, ids in lists.items():
        if not all(isinstance(each, str) and each for each in ids):
            raise foreign(path, _WHAT, f"what is no instance id under {key}")
    _check_counts(report, lists, path, options)
    solved = {*lists.get("resolved_ids", ()), *lists.get("resolved", ())}
    both = solved & set(lists.get("unresolved_ids", ()))
    if both:
        raise foreign(path, _WHAT, f"{min(both)!r} both resolved and unresolved")
    found: dict[str, Found] = {}
    for key, says in _LISTS:
        for task in lists.get(key, ()):
            found.setdefault(task, says)
    if lists_solved_only(report):
        found |= _all_others(found, path, options.tasks)
    if _counts_errors(report, found):
        failed = Found(0.0, "valid", errored=True)
        found = {task: failed if each.errored else each for task, each in found.items()}
    return found


def totals(report: Mapping[str, Any], found: Mapping[str, Found]) -> Iterator[StatedAggregate]:
    """Yield what a run report states about its own instances."""
    yield from counted("resolved_instances", report.get("resolved_instances"), "passed")
    everything = number(report.get("total_instances"))
    if everything is not None:
        unnamed = everything - len(found)
        yield StatedAggregate(
            name="total_instances",
            value=everything,
            statistic="attempts",
            not_checkable=f"the report does not name {unnamed:g} of them" if unnamed > 0 else "",
        )
    for name in _RATES:
        rate = number(report.get(name))
        if rate is not None:
            scale = 100.0 if rate > 1 else 1.0
            total = int(everything) if everything is not None else None
            yield StatedAggregate(
                name=name,
                value=rate / scale,
                total=total,
                tolerance=rounding(rate, digits=0) / scale,
            )


def instances(report: Mapping[str, Any], path: Path) -> dict[str, Found]:
    """Return what a report of single instances says of each; raises as `listed`."""
    found: dict[str, Found] = {}
    for task, each in report.items():
        if not isinstance(each, dict):
            raise foreign(path, _WHAT, f"no object for {task!r}")
        resolved = each.get("resolved")
        if each.get("infra_failure"):
            found[task] = _BROKEN
        elif isinstance(resolved, bool):
            found[task] = _RESOLVED if resolved else _FAILED
        else:
            found[task] = Found(None, "missing")
    return found


def _check_counts(
    report: Mapping[str, Any],
    lists: Mapping[str, Sequence[str]],
    path: Path,
    options: "ReadOptions",
) -> None:
    for key, ids in lists.items():
        count = number(report.get(f"{key.removesuffix('_ids')}_instances"))
        if count is not None and count != len(ids) and not options.accept_difference:
            raise foreign(
                path,
                f"{count:g} ids under {key}, as the report itself counts",
                f"{len(ids)}: import the whole report, or accept it with --accept-difference",
            )


def _all_others(found: Mapping[str, Found], path: Path, tasks: Sequence[str]) -> dict[str, Found]:
    """Return a failure for every task that a report of solved ones does not name."""
    if not tasks:
        raise foreign(
            path,
            f"{_WHAT} that lists its failures",
            "one that lists resolved instances only: give the ids of all tasks with --tasks FILE",
        )
    strangers = sorted(found.keys() - set(tasks))
    if strangers:
        raise foreign(
            path,
            f"instances among the {len(tasks)} tasks that were given",
            f"{strangers[0]!r}: give the tasks of this benchmark with --tasks FILE",
        )
    return {task: _FAILED for task in tasks if task not in found}


def _counts_errors(report: Mapping[str, Any], found: Mapping[str, Found]) -> bool:
    """Whether a rate that the report states takes errors for failures."""
    solved = sum(each.score == 1.0 for each in found.values())
    errors = sum(each.errored for each in found.values())
    valid = sum(each.kind == "valid" for each in found.values())
    for name in _RATES:
        rate = number(report.get(name))
        if rate is None or not errors or not solved:
            continue
        scale = 100.0 if rate > 1 else 1.0
        slack = rounding(rate, digits=0) / scale
        over = (valid + errors, number(report.get("total_instances")) or 0)
        without = abs(solved / valid - rate / scale) <= slack
        return not without and any(
            count and abs(solved / count - rate / scale) <= slack for count in over
        )
    return False


@dataclass(frozen=True)
class Ends:
    """What the agent's own files tell of each instance.

    Parameters
    ----------
    folders : mapping of (str, str) to (Path, bool)
        Where its files are, and whether its patch says anything, by agent and instance.
    """

    folders: Mapping[tuple[str, str], tuple[Path, bool]] = field(default_factory=dict)

    @classmethod
    def below(cls, root: Path) -> "Ends":
        """Look for ``preds.json`` in a folder and in those within; a torn one counts as absent.

        Where an agent left two predictions of an instance, nothing tells which was evaluated.
        """
        folders: dict[tuple[str, str], tuple[Path, bool]] = {}
        twice: set[tuple[str, str]] = set()
        try:
            places = _places(root, root.stat().st_mtime_ns)
            for path in filter(isfile, places):
                found = _predictions(Path(path), Path(path).stat().st_mtime_ns)
                twice |= folders.keys() & found.keys()
                folders |= found
        except OSError:
            return cls()
        return cls({key: value for key, value in folders.items() if key not in twice})

    @cached_property
    def agents(self) -> frozenset[str]:
        """The agents whose predictions were found, as the evaluation writes their names."""
        return frozenset(agent for agent, _ in self.folders)

    def complete(self, record: Record, quantities: Quantities, *, renamed: bool = False) -> Record:
        """Add cost and tokens; a patch that is empty for want of a run is no failure.

        An agent that a person has `renamed` is the only one that was found.
        """
        agent = _plain(record.agent)
        if renamed and len(self.agents) == 1:
            (agent,) = self.agents
        found = self.folders.get((agent, record.task_id))
        if found is None:
            return record
        folder, patched = found
        info = _end(folder, record.task_id)
        stats = mapping(None if info is None else info.get("model_stats"))
        record = replace(
            record,
            cost_usd=quantities.cost(stats.get("instance_cost")),
            tokens=quantities.tokens(stats.get("tokens_sent"), stats.get("tokens_received")),
        )
        if not patched and record.kind == "valid" and (info is None or _is_broken(info)):
            return replace(record, score=None, kind="infra_error", errored=True)
        return record


@lru_cache(maxsize=8)
def _places(root: Path, changed: int) -> list[str]:
    """Return where predictions may be: `root` itself or the folders in it."""
    del changed
    folders = sorted(each for each in root.iterdir() if each.is_dir())
    return [str(folder / "preds.json") for folder in (root, *folders)]


@lru_cache(maxsize=8)
def _predictions(path: Path, changed: int) -> dict[tuple[str, str], tuple[Path, bool]]:
    """Return the folder of each instance; `changed` only tells when to look again."""
    del changed
    try:
        predictions = load_object(path, "predictions of SWE-bench")
    except UnreadableSourceError:
        return {}
    return {
        (_plain(mapping(each).get("model_name_or_path")), task): (
            path.parent / task,
            bool(mapping(each).get("model_patch")),
        )
        for task, each in predictions.items()
    }


def _plain(agent: object) -> str:
    """Return an agent's name as the evaluation writes it into paths."""
    return str(agent or "").replace("/", "__")


def _end(folder: Path, task: str) -> dict[str, Any] | None:
    """Return what a trajectory says at its end; None where there is none: nothing was run."""
    for name in (f"{task}.traj.json", f"{task}.traj"):
        try:
            return mapping(load_object(folder / name, "a trajectory").get("info"))
        except UnreadableSourceError:
            continue
    return None


def _is_broken(info: Mapping[str, Any]) -> bool:
    thrown = "traceback" in info or "exception_str" in info
    return thrown or info.get("exit_status") in _INFRASTRUCTURE
