"""Which of the given files and directories are results, and in which format."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from os.path import realpath
from pathlib import Path
from typing import TYPE_CHECKING

from midband_history import InputError

if TYPE_CHECKING:
    from midband.descriptors import Importer

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
# What HELM writes beside its results, under names that others may use for results.
_OF_HELM = frozenset({"display_predictions.json", "display_requests.json", "instances.json"})
# What a release of HELM keeps beside its runs.
_OF_SUITE = frozenset(
    {
        *("eval_cache", "groups", "costs.json", "groups.json", "groups_metadata.json"),
        *("run_specs.json", "runs.json", "runs_to_run_suites.json", "schema.json", "summary.json"),
    }
)
# The same records as below "data", in the clone of an Every Eval Ever datastore.
_COPIES = frozenset({"flat", "viewer_parquets"})
# Logs of a trial of terminal-bench.
_OF_TRIAL = frozenset({"agent-logs", "panes", "sessions"})
# <date>_<agent>, as SWE-bench's experiments call a submission.
_SUBMISSION = re.compile(r"\d{8}_.+")
_SCHEME = re.compile(r"^(https?|hf):/(?=[^/])", re.IGNORECASE)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_JOURNAL = "rounds.jsonl"  # of midband run
_RACE_JOURNAL = "race.jsonl"  # of midband race, which has a run in a folder for each candidate


@dataclass(frozen=True, kw_only=True)
class Source:
    """One file or directory that one importer reads as a whole, perhaps in a repository's clone."""

    path: Path
    importer: "Importer"
    in_clone: bool = False


@dataclass(frozen=True, kw_only=True)
class Unrecognised:
    """A file that no importer can be chosen for, and why.

    Parameters
    ----------
    named : bool
        Whether it was asked for by name, not met in a directory.
    note : bool
        Whether it was passed over on purpose, which is told but is no failure: a hidden result, a
        broken link. False where something that was meant to be read cannot be.
    lacking : bool
        Whether its content is elsewhere, so that results may be absent.
    """

    path: Path
    reason: str
    named: bool
    note: bool = False
    lacking: bool = False


def survey(
    paths: Sequence[Path], importers: "Mapping[str, Importer]", *, format_name: str | None = None
) -> tuple[list[Source], list[Unrecognised]]:
    """Find the sources among files and directories, each once, in order of path.

    A file met in a directory counts as unrecognised only where its ending is one of an importer's;
    others, and what harnesses write beside their results, are passed over. A directory that cannot
    be listed, a hidden result, a broken link and a pipe are named with the reason; nothing but
    regular files is ever opened. An importer that fails on a file does not recognise it, which is
    a note. A clone of a repository holds code and tables too: what is unrecognised in it is one
    note a clone.

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
    walk = _Walk(offered)
    sources: list[Source] = []
    seen: set[str] = set()
    for named in paths:
        for path in walk.candidates(named):
            place = realpath(path)
            if place in seen:
                continue
            seen.add(place)
            found = walk.judge(path, named=path == named, forced=format_name is not None)
            if isinstance(found, Source):
                inside = path != named and walk.clone_of(path) is not None
                sources.append(replace(found, in_clone=inside))
            elif found is not None:
                walk.tell_or_count(found)
    walk.tell_counted()
    return sources, walk.told


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
    digests = [hashlib.sha256()]
    for each in salts:
        digests.append(hashlib.sha256("\x1f".join(each).encode("utf-8", "surrogateescape")))
    files = [path]
    if path.is_dir():
        found = (file for file in path.rglob("*") if file.is_file())
        files = sorted(found, key=lambda file: os.fsencode(file))
    for file in files:
        if file != path:
            name = b"\x1e" + os.fsencode(file.relative_to(path).as_posix()) + b"\x1f"
            for digest in digests:
                digest.update(name)
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                for digest in digests:
                    digest.update(block)
    texts = [digest.hexdigest() for digest in digests]
    return texts[0], texts[1:]


def one_place(held: str, path: str) -> bool:
    """Whether two paths may be of one file, seen from different directories.

    What a file holds does not say whose it is: that is often the name of its directory, or a file
    beside it. So the same content in another place is read too.
    """
    one, two = Path(held).parts, Path(path).parts
    few = min(len(one), len(two))
    return one[-few:] == two[-few:]


def path_text(path: Path) -> str:
    """Return a path as text, also one whose name is in no known encoding.

    Of the two slashes of an address a path keeps one.
    """
    return _SCHEME.sub(r"\1://", os.fsencode(path).decode("utf-8", "replace"))


@dataclass
class _Walk:
    """One look at files and directories: what importers say of them, and what is to be told."""

    importers: "Sequence[Importer]"
    told: list[Unrecognised] = field(default_factory=list)
    clones: dict[Path, list[Path]] = field(default_factory=dict)

    def candidates(self, path: Path) -> Iterator[Path]:
        """Yield a file itself, or what stands in a directory that is no source as a whole."""
        if not path.is_dir() or self.is_whole(path):
            yield path
            return
        for folder, folders, files in os.walk(path, onerror=self.unreadable):
            here = Path(folder)
            if _JOURNAL in files:
                folders.clear()
                for results in _results_of(here):
                    yield from self.candidates(results)
                continue
            if _RACE_JOURNAL in files:
                files.clear()
            if ".git" in folders or ".git" in files:
                self.clones.setdefault(here, [])
                if "data" in folders:
                    folders[:] = [name for name in folders if name not in _COPIES]
            if _is_submission(here, folders):
                folders[:] = [name for name in folders if name in ("results", "logs")]
                files.clear()
            if "results.json" in files:
                folders[:] = [name for name in folders if name not in _OF_TRIAL]
            if not _OF_SUITE.isdisjoint((*folders, *files)) and _is_suite(here, folders):
                folders[:] = [name for name in folders if name not in _OF_SUITE]
                files[:] = [name for name in files if name not in _OF_SUITE]
            whole = [name for name in sorted(folders) if self.is_whole(here / name)]
            links = [name for name in folders if name not in whole and (here / name).is_symlink()]
            for name in sorted(links):
                self.tell(here / name, "a link to a directory: name that directory to import it")
            self.tell_hidden(here, folders, files)
            folders[:] = sorted(
                name
                for name in folders
                if name not in whole and name not in links and not name.startswith(".")
            )
            for name in sorted([*whole, *files], key=os.fsencode):
                if self.is_meant(name) and not _is_companion(here, name):
                    yield here / name

    def unreadable(self, error: OSError) -> None:
        """Tell of a directory that cannot be listed."""
        path = Path(os.fsdecode(error.filename))
        reason = (
            f"{path_text(path)}: expected a directory to search, got: {error.strerror or error}:"
            " results in it are left out"
        )
        self.told.append(Unrecognised(path=path, reason=reason, named=False))

    def tell_hidden(self, here: Path, folders: list[str], files: list[str]) -> None:
        """Tell of hidden files and directories that may hold results."""
        for name in sorted(files, key=os.fsencode):
            if not self.is_meant(name) and self.ends_like_results(name):
                self.tell(here / name, "a hidden file: name it to import it")
        for name in sorted(folders, key=os.fsencode):
            if name.startswith(".") and self.holds_results(here / name):
                self.tell(here / name, "a hidden directory with result files: name it to import it")

    def is_meant(self, name: str) -> bool:
        """Whether a file of a directory is looked at: not hidden, or hidden by its format."""
        return not name.startswith(".") or name in self.suffixes

    def holds_results(self, folder: Path) -> bool:
        """Whether a hidden directory has files like results directly in it; False if unreadable."""
        try:
            with os.scandir(folder) as entries:
                return any(self.ends_like_results(entry.name) for entry in entries)
        except OSError:
            return False

    def ends_like_results(self, name: str) -> bool:
        """Whether a file has the ending of a format, or may be an archive of such files."""
        lowered = name.lower()
        return lowered.removesuffix(".gz").endswith((*self.suffixes, ".zip"))

    def tell(self, path: Path, what: str) -> None:
        """Tell of something that was passed over."""
        reason = f"{path_text(path)}: left out {what}"
        self.told.append(Unrecognised(path=path, reason=reason, named=False, note=True))

    def tell_or_count(self, one: Unrecognised) -> None:
        """Tell of a file of no known format; in a clone only how many there are."""
        clone = self.clone_of(one.path)
        if clone is None or one.named or one.note or one.lacking:
            self.told.append(one)
        else:
            self.clones[clone].append(one.path)

    def clone_of(self, path: Path) -> Path | None:
        """Return the clone of a repository, met on the way, that a file stands in."""
        return next((each for each in path.parents if each in self.clones), None)

    def tell_counted(self) -> None:
        """Tell how many files of each clone are of no known format."""
        for clone, files in self.clones.items():
            if files:
                first = path_text(files[0].relative_to(clone))
                which = f"{len(files):,} files" if len(files) > 1 else "a file"
                self.tell(clone, f"{which} of no known format in this repository, such as {first}")

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The endings of all formats."""
        return tuple(suffix for importer in self.importers for suffix in importer.suffixes)

    def is_whole(self, path: Path) -> bool:
        """Whether a directory is a source by itself."""
        return any(self.recognises(importer, path) for importer in self.importers)

    def recognises(self, importer: "Importer", path: Path) -> bool:
        """Whether an importer takes a path for its own; one that fails does not."""
        try:
            return bool(importer.sniff(path))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin's SystemExit must not end the import
            reason = " ".join(f"{type(error).__name__} {error}".split())[:200]
            self.told.append(
                Unrecognised(
                    path=path,
                    reason=f"{path_text(path)}: importer {importer.name} failed to look: {reason}",
                    named=False,
                    note=True,
                )
            )
            return False

    def judge(self, path: Path, *, named: bool, forced: bool) -> Source | Unrecognised | None:
        """Return the source that a path is, or why it is none; None if it is of no interest."""
        wrong = _unfit(path)
        if wrong is not None:
            what, do = wrong
            if not named and not self.ends_like_results(path.name):
                return None
            reason = f"{path_text(path)}: expected a file or directory, {what}: {do}"
            return Unrecognised(path=path, reason=reason, named=named, note=not named)
        fitting = [each for each in self.importers if self.recognises(each, path)]
        if len(fitting) > 1:  # a table is told by its ending alone: who looked inside knows better
            fitting = [importer for importer in fitting if importer.table is None] or fitting
        if forced and not fitting and (named or path.name.endswith(self.importers[0].suffixes)):
            fitting = list(self.importers)
        if len(fitting) == 1:
            return Source(path=path, importer=fitting[0])
        if fitting:
            names = " and ".join(importer.name for importer in fitting)
            reason = (
                f"{path_text(path)}: expected one format, got what looks like {names}:"
                " choose with --format"
            )
            return Unrecognised(path=path, reason=reason, named=named)
        if not named and not self.ends_like_results(path.name):
            return None
        if _is_pointer(path):
            reason = (
                f"{path_text(path)}: expected results, got a pointer of Git LFS: fetch the content"
                " with `git lfs pull` and import again"
            )
            return Unrecognised(path=path, reason=reason, named=named, lacking=True)
        names = ", ".join(importer.name for importer in self.importers)
        what = "a directory without results" if path.is_dir() else "a file of another kind"
        reason = f"{path_text(path)}: expected results in a known format ({names}), got {what}"
        return Unrecognised(path=path, reason=reason, named=named)


def _unfit(path: Path) -> tuple[str, str] | None:
    """Return why a path can be nothing to read, and what to do; None if it may be."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if path.is_symlink():
            return "got a link that leads nowhere", "restore what it points to"
        if isinstance(error, FileNotFoundError):
            return "found none", "check the path"
        return f"got: {error.strerror or error}", "check its permissions"
    except ValueError:  # a NUL in the path
        return "found none", "check the path"
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return "got a pipe, socket or device", "copy what it gives to a file"
    return None


def _is_companion(folder: Path, name: str) -> bool:
    """Whether a file is what a harness writes beside its results, or a part of them."""
    if name in _COMPANIONS or name.endswith(_COMPANION_ENDINGS):
        return True
    if folder.name == "simulations":  # tau2-bench: of the result file above
        return (folder.parent / "results.json").is_file()
    if name in _OF_HELM:
        return (folder / "per_instance_stats.json").is_file()
    if name.startswith("BFCL_") and name.endswith("_result.json"):  # of the score file
        return True
    if name.startswith("output.") and name.endswith(".jsonl"):  # OpenHands: of the report beside
        return (folder / "output.report.json").is_file()
    stem, dot, ending = name.rpartition(".")  # HAL: of the upload beside
    return ending == "json" and (folder / f"{stem}_UPLOAD{dot}{ending}").is_file()


def _is_submission(folder: Path, inside: Sequence[str]) -> bool:
    """Whether a folder is a submission to SWE-bench's experiments, of which the reports count."""
    if "results" not in inside or not _SUBMISSION.fullmatch(folder.name):
        return False
    return (folder / "results" / "results.json").is_file()


def _is_suite(folder: Path, inside: Sequence[str]) -> bool:
    """Whether a folder holds runs of HELM."""
    return any((folder / name / "per_instance_stats.json").is_file() for name in inside)


def _is_pointer(path: Path) -> bool:
    """Whether Git LFS keeps the content of a file elsewhere."""
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS_POINTER)) == _LFS_POINTER
    except OSError:
        return False


def _results_of(run: Path) -> list[Path]:
    """Return the results of a run by ``midband run``, in whose directory other files stand too."""
    from midband.rounds import results_of

    return results_of(run)
