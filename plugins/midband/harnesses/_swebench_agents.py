"""SWE-bench in rounds: an agent on the instances, then the evaluation of its patches."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from midband.descriptors import Capabilities, Command, Probe, ReadOptions, Round, subset_of
from midband.harnesses._adapting import (
    look_for,
    option,
    refuse,
    refuse_ids,
    run_name,
    tasks_of,
)
from midband.harnesses._files import foreign
from midband.harnesses.swebench import read, sniff
from midband.importers.reading import apply_options
from midband_history import InputError, Record, UnreadableSourceError

if TYPE_CHECKING:
    from midband_sampler import Plan

_WHAT = "a report of SWE-bench"
_INSTANCES = "midband names the instances"
_PLACE = "midband says where the results go"
EVALUATION_REFUSED = {
    **dict.fromkeys(("--instance_ids", "-i"), _INSTANCES),
    **dict.fromkeys(("--predictions_path", "-p", "--report_dir"), _PLACE),
    **dict.fromkeys(("--run_id", "-id"), "midband names the run"),
    **dict.fromkeys(("--dataset_name", "-d"), "it follows from the agent's arguments"),
    **dict.fromkeys(("--split", "-s"), "it follows from the agent's arguments"),
    "--rewrite_reports": "it would evaluate nothing",
}
_DATASETS = {
    "full": "princeton-nlp/SWE-bench",
    "verified": "princeton-nlp/SWE-bench_Verified",
    "lite": "princeton-nlp/SWE-bench_Lite",
    "multimodal": "princeton-nlp/SWE-bench_Multimodal",
    "multilingual": "swe-bench/SWE-bench_Multilingual",
}
# The evaluation writes its logs where it is started, and takes those it finds there for its own.
_INSIDE = 'cd "$1" && shift && exec "$@"'


@dataclass(frozen=True, kw_only=True)
class _SweBenchAgent(ABC):
    """An agent whose patches SWE-bench evaluates.

    The user's arguments are the agent's; those after another ``--`` are the evaluation's.
    """

    capabilities: Capabilities = Capabilities(subset=True, rounds=True, costs=True)  # noqa: RUF009 - frozen

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> Iterator[Record]:
        """Yield the instances that were evaluated below `path`, each of a run once."""
        if not path.is_dir() and not sniff(path):
            raise foreign(path, _WHAT, "none" if not path.exists() else "another kind of file")
        options = options or ReadOptions()
        # A run is not to end because of a count in one of its files.
        options = replace(options, benchmark=benchmark or options.benchmark, accept_difference=True)
        seen: set[str] = set()
        torn: list[str] = []
        # A run's report stands higher than those of its instances, and knows whose the errors were.
        files = sorted(path.rglob("*.json"), key=lambda file: (len(file.parts), file))
        for file in filter(sniff, files if path.is_dir() else [path]):
            try:
                for item in read(file, options=options):
                    if not isinstance(item, Record):
                        continue
                    # A report names those too that were not to be run.
                    if item.kind != "missing" and item.source_key not in seen:
                        seen.add(item.source_key)
                        yield apply_options(item, options)
            except UnreadableSourceError as error:
                torn.append(str(error))
        if torn:
            raise UnreadableSourceError("; ".join(torn))

    def write_subset(
        self, plan: "Plan", directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        """Write nothing: the command names the instances."""
        _check_ids(subset_of(plan, tasks))
        directory.mkdir(parents=True, exist_ok=True)
        return ()

    def build_command(self, batch: Round) -> Command:
        """Return the agent's command and the evaluation's."""
        tasks = tasks_of(batch)
        _check_ids(tasks)
        if batch.attempts != 1:
            msg = f"expected one attempt a round, got {batch.attempts}: SWE-bench keeps one a run"
            raise InputError(msg)
        words = batch.arguments
        cut = words.index("--") if "--" in words else len(words)
        ours, evaluation = words[:cut], words[cut + 1 :]
        refuse(evaluation, EVALUATION_REFUSED)
        # `re.match` is a prefix match: without the end, x__y-1 would run x__y-10 too.
        pattern = f"^(?:{'|'.join(re.escape(task) for task in tasks)})$"
        step, output, subset, split = self._agent(ours, batch.directory, pattern)
        scoring = (
            *("python", "-m", "swebench.harness.run_evaluation"),
            *("--dataset_name", _dataset(subset), "--split", split),
            *("--predictions_path", f"{output.name}/preds.json"),
            *("--run_id", run_name(batch), "--report_dir", "."),
            *("--instance_ids", *tasks),
            *evaluation,
        )
        inside = ("sh", "-c", _INSIDE, "sh", str(batch.directory), *scoring)
        return Command(steps=(step, inside), results=batch.directory)

    @abstractmethod
    def _agent(
        self, arguments: Sequence[str], directory: Path, pattern: str
    ) -> tuple[tuple[str, ...], Path, str, str]:
        """Return the agent's command, where it writes, and the subset and split it runs."""


@dataclass(frozen=True, kw_only=True)
class MiniSweAgent(_SweBenchAgent):
    """mini-swe-agent on SWE-bench."""

    name: str = "swebench"
    summary: str = "SWE-bench with mini-swe-agent: an agent and an evaluation a round."
    tested_versions: tuple[str, ...] = ("2.4.6",)

    def probe(self) -> Probe:
        """Look for the ``mini-extra`` command."""
        hint = "pip install mini-swe-agent swebench"
        return look_for("mini-extra", package="mini-swe-agent", hint=hint)

    def _agent(
        self, arguments: Sequence[str], directory: Path, pattern: str
    ) -> tuple[tuple[str, ...], Path, str, str]:
        flags = ("--filter", "--slice", "--shuffle", "--redo-existing")
        places = dict.fromkeys(("--output", "-o"), _PLACE)
        refuse(arguments, dict.fromkeys(flags, _INSTANCES) | places, abbreviated=False)
        subset = option(arguments, "--subset")
        split = option(arguments, "--split")
        output = directory / "agent"
        command = (
            *("mini-extra", "swebench"),
            *(() if subset else ("--subset", "verified")),
            *(() if split else ("--split", "test")),
            *("--filter", pattern, "-o", str(output)),
            *(arguments or ("-m", "MODEL")),
        )
        return command, output, subset or "verified", split or "test"


@dataclass(frozen=True, kw_only=True)
class SweAgent(_SweBenchAgent):
    """SWE-agent on SWE-bench."""

    name: str = "swe-agent"
    summary: str = "SWE-bench with SWE-agent: an agent and an evaluation a round."
    tested_versions: tuple[str, ...] = ()

    def probe(self) -> Probe:
        """Look for the ``sweagent`` command."""
        hint = "install it from its repository, the index has an old one, and swebench"
        return look_for("sweagent", package="sweagent", hint=hint)

    def _agent(
        self, arguments: Sequence[str], directory: Path, pattern: str
    ) -> tuple[tuple[str, ...], Path, str, str]:
        flags = ("filter", "slice", "shuffle", "path", "evaluate")
        refused = {f"--instances.{flag}": _INSTANCES for flag in flags} | {
            "--output_dir": _PLACE,
            "--redo_existing": "it would pay for finished instances again",
        }
        refuse(arguments, refused)
        kind = option(arguments, "--instances.type")
        if kind not in (None, "swe_bench"):
            msg = f"expected --instances.type swe_bench, which SWE-bench evaluates, got {kind}"
            raise InputError(msg)
        subset = option(arguments, "--instances.subset")
        split = option(arguments, "--instances.split")
        model = option(arguments, "--agent.model.name")
        # SWE-agent calls its predictions by the name of its folder: so does the report.
        output = directory / "-".join(("swe-agent", *re.findall(r"[\w.]+", model or "")))
        command = (
            *("sweagent", "run-batch"),
            *(() if kind else ("--instances.type", "swe_bench")),
            *(() if subset else ("--instances.subset", "verified")),
            *(() if split else ("--instances.split", "test")),
            *("--instances.filter", pattern, "--output_dir", str(output)),
            *(arguments or ("--agent.model.name", "MODEL")),
        )
        return command, output, subset or "verified", split or "test"


def _check_ids(tasks: Sequence[str]) -> None:
    refuse_ids(
        tasks,
        lambda task: not task or task.startswith("-") or "/" in task,
        why="of SWE-bench, without / and not beginning with -",
    )


def _dataset(subset: str) -> str:
    """Return what the evaluation calls the data that the agent was given."""
    local = Path(subset)
    return _DATASETS.get(subset, str(local.resolve()) if local.exists() else subset)
