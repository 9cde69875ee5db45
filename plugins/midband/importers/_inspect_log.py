"""An Inspect log as it is read: its header, its samples in short, and what these do not say."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from midband.importers._inspect_header import Scoring, scoring_in, scoring_of
from midband_history import UnreadableSourceError

if TYPE_CHECKING:
    from inspect_ai.log import EvalLog, EvalSampleSummary

_MOST_BYTES = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Log:
    """What is kept of a log while it is read.

    Parameters
    ----------
    header : EvalLog
    summaries : list of EvalSampleSummary
    invalid : frozenset of str
        The uuids of samples that a reviewer declared invalid; summaries do not say.
    scoring : Scoring
    """

    header: "EvalLog"
    summaries: "list[EvalSampleSummary]"
    invalid: frozenset[str | None]
    scoring: Scoring


def load_log(path: Path) -> Log:
    """Read a log.

    Raises
    ------
    UnreadableSourceError
        It is truncated or foreign, or inspect-ai is not installed.
    """
    try:
        import inspect_ai.log  # noqa: F401 - only whether it is there
    except ImportError as error:
        msg = f"{path}: expected inspect-ai, got {error}: pip install 'midband[inspect]'"
        raise UnreadableSourceError(msg) from error
    if not path.is_file():
        msg = f"{path}: expected an Inspect log, got no file of that name: check the path"
        raise UnreadableSourceError(msg)
    try:
        return _whole(path) if path.suffix == ".json" else _in_short(path)
    except UnreadableSourceError:
        raise
    except Exception as error:  # a foreign file can make Inspect fail in any way
        found = _reason(path, error)
        msg = f"{path}: expected an Inspect log, got {found}: import it again when whole"
        raise UnreadableSourceError(msg) from error


def _in_short(path: Path) -> Log:
    """Read header and summaries of an ``.eval`` log, and one sample for when it was scored."""
    from inspect_ai.log import read_eval_log, read_eval_log_sample_summaries

    _check_size(path)
    header = read_eval_log(str(path), header_only=True)
    summaries = read_eval_log_sample_summaries(str(path))
    invalid = _invalidated(path) if getattr(header, "invalidated", False) else frozenset()
    return Log(
        header=header,
        summaries=summaries,
        invalid=invalid,
        scoring=scoring_in(path, summaries),
    )


def _check_size(path: Path) -> None:
    """Refuse an archive whose header and summaries would take gigabytes when they are unpacked."""
    with zipfile.ZipFile(path) as archive:
        size = sum(
            info.file_size
            for info in archive.infolist()
            if not info.filename.startswith("samples/")
        )
    if size > _MOST_BYTES:
        msg = f"{path}: expected an Inspect log, got one that unpacks to {size / 1e6:,.0f} MB"
        raise UnreadableSourceError(msg)


def _whole(path: Path) -> Log:
    """Read a ``.json`` log, of which Inspect can read no part without the rest."""
    from inspect_ai.log import read_eval_log

    log = read_eval_log(str(path))
    samples = log.samples or []
    invalid = (each.uuid for each in samples if getattr(each, "invalidation", None) is not None)
    return Log(
        header=log,
        summaries=[sample.summary() for sample in samples],
        invalid=frozenset(invalid),
        scoring=scoring_of(samples),
    )


def declared_headline(header: "EvalLog") -> object:
    """Return the main metric that the task declares; Inspect fills the results' one in by itself.

    The results have it with the scorer that carries it.
    """
    declared = getattr(header.eval, "headline_metric", None)
    if declared is None:
        return None
    return getattr(header.results, "headline", None) or declared


def _reason(path: Path, error: Exception) -> str:
    """Say in a few words what is wrong with a file that Inspect cannot read."""
    if path.suffix == ".eval" and not zipfile.is_zipfile(path):
        return "a truncated or foreign file (no zip directory at its end)"
    if path.suffix == ".json":
        try:
            json.loads(path.read_bytes())
        except (ValueError, RecursionError) as problem:
            return f"a truncated or foreign file ({' '.join(str(problem).split())})"
    cause = error.__cause__ or error
    first = (str(cause).splitlines() or [""])[0]
    return f"one that Inspect cannot read ({type(cause).__name__}: {first})"


def _invalidated(path: Path) -> frozenset[str | None]:
    """Return the uuids of samples that a reviewer declared invalid; summaries do not say."""
    from inspect_ai.log import read_eval_log_samples

    heavy = {"messages", "events", "store", "attachments", "output"}
    samples = read_eval_log_samples(str(path), all_samples_required=False, exclude_fields=heavy)
    return frozenset(
        sample.uuid for sample in samples if getattr(sample, "invalidation", None) is not None
    )
