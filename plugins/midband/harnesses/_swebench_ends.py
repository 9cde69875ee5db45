"""How an agent ended on a SWE-bench instance: what it cost, and whether its patch is its doing."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from os.path import isfile
from pathlib import Path
from typing import Any

from midband.harnesses._files import load_object, mapping, total
from midband.harnesses._stating import Amounts
from midband_history import Record, UnreadableSourceError

# Ends of SWE-agent that say nothing about the agent; mini-swe-agent notes a traceback instead.
_INFRASTRUCTURE = frozenset({"exit_api", "exit_environment_error", "exit_error"})


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

    def complete(self, record: Record, amounts: Amounts, *, renamed: bool = False) -> Record:
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
            cost_usd=amounts.cost(stats.get("instance_cost")),
            tokens=amounts.tokens(total(stats.get("tokens_sent"), stats.get("tokens_received"))),
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
