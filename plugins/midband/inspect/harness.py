"""Inspect AI as a harness: a subset as a run-config file, and one adaptive run of its own."""

import glob
import json
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from midband.descriptors import Capabilities, Command, Probe, Round, subset_of
from midband_history import InputError

if TYPE_CHECKING:
    from midband._ranking import LiveOrder
    from midband.descriptors import ReadOptions
    from midband.rounds.run_settings import LiveSettings
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
        " `midband inspect eval TASK --adaptive PLAN` or `midband run inspect`."
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
        from midband.inspect.logs import read, sniff

        return read_below(
            path, sniff, read, benchmark=benchmark, what="Inspect logs", options=options
        )

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write ``subset.yaml``."""
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

    def live_status(self, logs: Path) -> str:
        """Return ``finished`` or the status of the newest log; empty without any."""
        from midband.inspect.whole_run import live_status

        return live_status(logs)

    def build_live_command(self, batch: Round, settings: "LiveSettings") -> Command:
        """Return ``midband inspect eval``, or ``inspect eval-retry`` of an unfinished log."""
        from midband.inspect.whole_run import build_live_command

        return build_live_command(batch, settings)

    def live_orders(self, plan: "Plan", logs: Path) -> "Mapping[str, LiveOrder]":
        """Return the orders that the logs state, by run id."""
        from midband.inspect.logs import live_orders

        return live_orders(plan, [logs]) if logs.is_dir() else {}

    def read_live_order(self, path: Path, plan: "Plan") -> tuple[str, ...]:
        """Return the choices that a run wrote down as it made them."""
        from midband.inspect.whole_run import kept_order

        return kept_order(plan, path)


def run_config_text(plan: "Plan", *, tasks: Sequence[str] | None = None) -> str:
    """Return YAML for ``inspect eval TASK --run-config FILE``.

    Such a run has the plan's tasks, or those given, in the dataset's order and does not stop
    early; `midband rank` gives its verdict from the log. Inspect reads sample ids as patterns:
    theirs are escaped.
    """
    chosen = subset_of(plan, tasks)
    lines = [
        f"# The {len(chosen)} of {len(plan.all_tasks)} tasks of {_one_line(plan.benchmark)}"
        f" that midband plan {plan.digest} chose.",
        "# Run:   inspect eval TASK --model MODEL --run-config THIS_FILE",
        "# Judge: midband rank PLAN LOGS",
        "eval_config:",
        "  sample_id:",
        *(f"    - {json.dumps(glob.escape(task), ensure_ascii=False)}" for task in chosen),
        "metadata:",
        f"  midband_plan: {json.dumps(plan.digest)}",
        f"  midband_benchmark: {json.dumps(plan.benchmark, ensure_ascii=False)}",
    ]
    return "\n".join(lines) + "\n"


def export_run_config(
    plan: "Plan", path: Path | str, *, tasks: Sequence[str] | None = None
) -> None:
    """Write `run_config_text`; a half-written file is never left behind."""
    target = Path(path)
    partial = target.with_name(f".{target.name}.part")
    try:
        partial.write_text(run_config_text(plan, tasks=tasks), encoding="utf-8")
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        msg = f"expected a writable place for the run config, got {target}: {error.strerror}"
        raise InputError(msg) from error


def _one_line(text: str) -> str:
    return " ".join(text.split())
