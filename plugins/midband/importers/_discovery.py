"""Which of the given files and directories are results, and in which format."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history import InputError

if TYPE_CHECKING:
    from midband._descriptors import Importer

# What harnesses write beside their results.
_COMPANIONS = frozenset(
    {
        *("eval-set.json", "logs.json", "listing.json"),  # Inspect
        *("config.json", "lock.json", "manifest.json"),  # Harbor
        *("trajectory.json", "ctrf.json", "reward.json"),  # Harbor, of a trial
        "submission.json",  # tau2-bench
        *("run_spec.json", "scenario.json", "scenario_state.json", "stats.json"),  # HELM
        *("metadata.json", "scores.json"),  # OpenHands index
        "run_metadata.json",  # terminal-bench
        "preds.json",  # agents on SWE-bench
        *("all_preds.jsonl", "resolved_by_repo.json", "resolved_by_time.json"),  # its experiments
        *("data_agentic.csv", "data_format_sensitivity.csv", "data_live.csv"),  # BFCL
        *("data_multi_turn.csv", "data_non_live.csv", "data_overall.csv"),
        *("cost_report.jsonl", "output_errors.jsonl"),  # OpenHands benchmarks
    }
)
_COMPANION_ENDINGS = (
    ".traj.json",  # mini-swe-agent
    ".response.json",  # sb-cli
    "__run_metadata.json",  # terminal-bench, where the folders have become part of the name
    *("_RAW_SUBMISSIONS.jsonl", "_WALL_CLOCK_TIMES.jsonl"),  # HAL
)
_JOURNAL = "rounds.jsonl"  # of midband run


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file or directory that one importer reads as a whole."""

    path: Path
    importer: "Importer"


@dataclass(frozen=True, kw_only=True)
class Unrecognised:
    """A file that no importer can be chosen for, and why.

    Parameters
    ----------
    named : bool
        Whether it was asked for by name, not met in a directory.
    """

    path: Path
    reason: str
    named: bool


def survey(
    paths: Sequence[Path], importers: "Mapping[str, Importer]", *, format_name: str | None = None
) -> tuple[list[Source], list[Unrecognised]]:
    """Find the sources among files and directories, each once, in order of path.

    A file met in a directory counts as unrecognised only where its ending is one of an importer's;
    others, hidden ones, and what harnesses write beside their results are passed over.

    Raises
    ------
    InputError
        `format_name` names no importer.
    """
    if format_name is not None:
        format_name = _spelling(format_name, importers)
    if format_name is not None and format_name not in importers:
        msg = (
            f"expected a format such as {', '.join(sorted(importers))}, got {format_name!r}:"
            " see `midband plugins`"
        )
        raise InputError(msg)
    offered = [
        importer
        for name, importer in sorted(importers.items())
        if format_name is None or name == format_name
    ]
    sources: list[Source] = []
    unrecognised: list[Unrecognised] = []
    seen: set[str] = set()
    for named in paths:
        for path in _candidates(named, offered):
            place = realpath(path)
            if place in seen:
                continue
            seen.add(place)
            found = _judge(path, offered, named=path == named, forced=format_name is not None)
            if isinstance(found, Source):
                sources.append(found)
            elif found is not None:
                unrecognised.append(found)
    return sources, unrecognised


def _spelling(name: str, importers: "Mapping[str, Importer]") -> str:
    """Return the name of the importer that is meant: hyphens and underscores are one."""
    return next(
        (known for known in importers if known.replace("_", "-") == name.replace("_", "-")), name
    )


def content_digests(path: Path, salts: Sequence[Sequence[str]]) -> tuple[str, list[str]]:
    """Return the SHA-256 of a file's content, or of all files of a directory and their names.

    Parameters
    ----------
    path : Path
    salts : sequence of sequence of str
        Whatever else decides how the content is read.

    Returns
    -------
    content : str
        The digest without any salt.
    salted : list of str
        One digest a salt.
    """
    digests = [hashlib.sha256()] + [hashlib.sha256("\x1f".join(each).encode()) for each in salts]
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        if file != path:
            name = f"\x1e{file.relative_to(path).as_posix()}\x1f".encode()
            for digest in digests:
                digest.update(name)
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                for digest in digests:
                    digest.update(block)
    found = [digest.hexdigest() for digest in digests]
    return found[0], found[1:]


def _candidates(path: Path, importers: "Sequence[Importer]") -> Iterator[Path]:
    """Yield a file itself, or what stands in a directory that is no source as a whole."""
    if not path.is_dir() or _is_whole(path, importers):
        yield path
        return
    # Some formats have a hidden file, whose whole name is their ending.
    own = {suffix for importer in importers for suffix in importer.suffixes}
    for folder, folders, files in os.walk(path):
        here = Path(folder)
        if _JOURNAL in files:
            folders.clear()
            for results in _results_of(here):
                yield from _candidates(results, importers)
            continue
        whole = [name for name in sorted(folders) if _is_whole(here / name, importers)]
        folders[:] = sorted(
            name for name in folders if name not in whole and not name.startswith(".")
        )
        for name in sorted([*whole, *files]):
            if (name in own or not name.startswith(".")) and not _is_companion(here, name):
                yield here / name


def _is_whole(path: Path, importers: "Sequence[Importer]") -> bool:
    """Whether a directory is a source by itself."""
    return any(importer.sniff(path) for importer in importers)


def _is_companion(folder: Path, name: str) -> bool:
    """Whether a file is what a harness writes beside its results, or a part of them."""
    if name in _COMPANIONS or name.endswith(_COMPANION_ENDINGS):
        return True
    if folder.name == "simulations":  # tau2-bench: of the result file above
        return (folder.parent / "results.json").is_file()
    if name.startswith("BFCL_") and name.endswith("_result.json"):  # of the score file
        return True
    if name.startswith("output.") and name.endswith(".jsonl"):  # OpenHands: of the report beside
        return (folder / "output.report.json").is_file()
    stem, dot, ending = name.rpartition(".")  # HAL: of the upload beside
    return ending == "json" and (folder / f"{stem}_UPLOAD{dot}{ending}").is_file()


def _results_of(run: Path) -> list[Path]:
    """Return the results of a run by ``midband run``, in whose directory other files stand too."""
    from midband.rounds import results_of

    return results_of(run)


def _judge(
    path: Path, importers: "Sequence[Importer]", *, named: bool, forced: bool
) -> Source | Unrecognised | None:
    if named and not path.exists():
        reason = f"{path}: expected a file or directory, found none: check the path"
        return Unrecognised(path=path, reason=reason, named=True)
    fitting = [importer for importer in importers if importer.sniff(path)]
    if len(fitting) > 1:  # a table is told by its ending alone: who looked inside knows better
        fitting = [importer for importer in fitting if importer.table is None] or fitting
    if forced and not fitting and (named or path.name.endswith(importers[0].suffixes)):
        fitting = list(importers)
    if len(fitting) == 1:
        return Source(path=path, importer=fitting[0])
    if fitting:
        names = " and ".join(importer.name for importer in fitting)
        reason = f"{path}: expected one format, got what looks like {names}: choose with --format"
        return Unrecognised(path=path, reason=reason, named=named)
    known = tuple(suffix for importer in importers for suffix in importer.suffixes)
    if not named and not path.name.lower().endswith(known):
        return None
    names = ", ".join(importer.name for importer in importers)
    what = "a directory without results" if path.is_dir() else "a file of another kind"
    reason = f"{path}: expected results in a known format ({names}), got {what}"
    return Unrecognised(path=path, reason=reason, named=named)
