"""Inspect AI as a harness: a run-config file, and the command that runs only its tasks."""

from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from midband._harness import Capabilities, Command, Probe, Round, subset_of
from midband_history import InputError

if TYPE_CHECKING:
    from midband._descriptors import ReadOptions
    from midband_history import Record
    from midband_sampler import Plan

_FILE = "subset.yaml"
# What a run-config file or midband decides; beside it these would widen or undo the subset.
_REFUSED = ("--run-config", "--sample-id", "--limit", "--sample-shuffle")


class InspectHarness:
    """Inspect AI by its run-config file; its adaptive runs go by ``midband inspect``."""

    name = "inspect"
    summary = (
        "Inspect AI: a --run-config file; adaptive with"
        " `midband inspect eval TASK --adaptive PLAN`."
    )
    tested_versions = ("0.3.200", "0.3.250", "0.3.285")
    capabilities = Capabilities(subset=True, live=True, attempts=True, costs=True)

    def probe(self) -> Probe:
        """Look for the package, without importing it."""
        try:
            return Probe(version=version("inspect-ai"))
        except PackageNotFoundError:
            return Probe(problem="expected Inspect AI, found none: pip install 'midband[inspect]'")

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: "ReadOptions | None" = None
    ) -> "Iterator[Record]":
        """Return the samples of a log, or of the logs in a directory."""
        from midband.adapters.base import read_below
        from midband.importers.inspect_logs import read, sniff

        return read_below(
            path, sniff, read, benchmark=benchmark, what="Inspect logs", options=options
        )

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write ``subset.yaml``."""
        from midband.inspect._export import export_run_config

        chosen = subset_of(plan, tasks)
        directory.mkdir(parents=True, exist_ok=True)
        export_run_config(plan, directory / _FILE, tasks=chosen)
        return (directory / _FILE,)

    def build_command(self, batch: Round) -> Command:
        """Return ``inspect eval``; without arguments, TASK and MODEL stand for what is missing."""
        subset_of(batch.plan, batch.tasks)
        for word in batch.arguments:
            if word.partition("=")[0] in _REFUSED:
                msg = f"expected no {word} beside a subset, got it: midband names the samples"
                raise InputError(msg)
        logs = batch.directory / "logs"
        arguments = batch.arguments or ("TASK", "--model", "MODEL")
        given = {word.partition("=")[0] for word in arguments}
        epochs = ("--epochs", str(batch.attempts)) if batch.attempts > 1 else ()
        place = () if "--log-dir" in given else ("--log-dir", str(logs))
        config = ("--run-config", str(batch.directory / _FILE))
        return Command(
            steps=(("inspect", "eval", *arguments, *config, *epochs, *place),), results=logs
        )
