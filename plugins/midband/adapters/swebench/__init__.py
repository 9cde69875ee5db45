"""SWE-bench: run reports, reports of single instances, and tables of other sites."""

import re
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter, CommandHarness, option, read_below, refuse, run_name
from midband.adapters.files import (
    foreign,
    head,
    list_of_objects,
    load_lines,
    load_object,
    mapping,
    moment,
    number,
    start_of,
    truth_or_number,
)
from midband.adapters.stated import Quantities, choose_metric, rounding
from midband.adapters.swebench.names import BENCHMARK, of_instance, of_run
from midband.adapters.swebench.outcomes import Ends, instances, listed, lists_solved_only, totals
from midband.descriptors import Capabilities, Command, Importer, ReadOptions, Round
from midband_history import InputError, Metric, Note, Record, StatedAggregate

if TYPE_CHECKING:
    from midband.descriptors import ReadItem

_WHAT = "a SWE-bench report"
RESOLVED = Metric(name="resolved", declared="source")
_ARENA = "rows of benchmark_id, model, example_id, pass1"
_OF_IDS = re.compile(
    rb'"(resolved|unresolved|completed|submitted|incomplete|empty_patch|error|pending)_ids":\['
)
_OLD = re.compile(rb'\{"(no_generation|no_logs|generated|resolved)":\[')
# The data of a board, where it is called otherwise.
_BOARDS = {"bash-only": "verified", "test": ""}
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


def sniff(path: Path) -> bool:
    """Whether a JSON file begins like one of SWE-bench's."""
    return path.suffix == ".json" and path.is_file() and _layout(path) != ""


def _layout(path: Path) -> str:
    start = head(path)
    if path.name == "report.json" and b'"patch_is_None":' in start:
        return "instance"
    if b'"total_instances":' in start and b'"resolved_instances":' in start:
        return "run"
    if start.startswith(b"{") and _OF_IDS.search(start) and b'"trial_name":' not in start:
        return "run"
    if _OLD.match(start):
        return "run"
    if start.startswith(b'{"leaderboards":['):
        return "leaderboards"
    return ""


def read(path: Path, *, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield a record for every instance that a report names, and what the report counts.

    Instances under ``error_ids`` and the like are unknown, not failed, unless the report states a
    rate that counts them; an empty patch is a failure, unless the agent's own files beside the
    report say that it never ran. They tell costs too.

    Parameters
    ----------
    path : Path
    options : ReadOptions
        `tasks`, or else `known_tasks`, completes reports that list solved instances only.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign, contradicts itself, or does not say who ran.
    """
    report, layout = load_object(path, _WHAT), _layout(path)
    choose_metric(path, options, RESOLVED.name)
    place = path.absolute()
    if layout == "leaderboards":
        yield from _leaderboards(report, path, options)
        return
    if layout == "instance":
        origin, found = of_instance(place, options), instances(report, path)
        # <root>/logs/run_evaluation/<run>/<model>/<id>/report.json
        inside = place.parts[-6:-4] == ("logs", "run_evaluation")
        ends = Ends.below(place.parents[5]) if inside else Ends()
    elif layout == "run":
        ends = Ends.below(place.parent)
        origin = of_run(place, report, options, ends.agents)
        if not options.tasks and options.known_tasks and lists_solved_only(report):
            options = replace(options, tasks=options.known_tasks(origin.benchmark))
            if options.tasks:
                text = (
                    "the report lists resolved instances only: all others of the"
                    f" {len(options.tasks)} tasks that the history holds of {origin.benchmark} are"
                    " taken as failed"
                )
                yield Note(code="tasks-from-history", text=text)
        found = listed(report, path, options)
        yield from totals(report, found)
    else:
        raise foreign(path, _WHAT, "a file of another kind")
    quantities = Quantities()
    if origin.note is not None:
        yield origin.note
    for task, each in found.items():
        record = Record(
            benchmark=origin.benchmark,
            task_id=task,
            agent=origin.agent,
            score=each.score,
            kind=each.kind,
            errored=each.errored,
            run_id=origin.run_id,
            model=origin.model,
            harness="swebench",
            started=origin.started,
            metric=RESOLVED,
            source_key=f"swebench/{origin.benchmark}/{origin.run_id}/{origin.agent}/{task}",
        )
        yield ends.complete(record, quantities, renamed=bool(options.agent))
    yield from quantities.notes()


def _leaderboards(data: dict[str, Any], path: Path, options: ReadOptions) -> "Iterator[ReadItem]":
    """Yield the instances of those entries that give them; of the others there is only a rate."""
    bare, quantities = 0, Quantities()
    for board in list_of_objects(data.get("leaderboards"), path, _WHAT):
        title = str(board.get("name") or "").lower()
        part = _BOARDS.get(title, title.replace(" ", "-"))
        benchmark = options.benchmark or "-".join(filter(None, (BENCHMARK, part)))
        entries = list_of_objects(board.get("results") or [], path, _WHAT)
        names = Counter(_name(entry) for entry in entries if entry.get("per_instance_details"))
        for entry in entries:
            if not entry.get("per_instance_details"):
                bare += 1
                continue
            agent = options.agent or _name(entry)
            rate = number(entry.get("resolved"))
            if rate is not None:
                alone = names[_name(entry)] == 1 and not options.agent
                yield StatedAggregate(
                    name="resolved",
                    value=rate / 100,
                    tolerance=rounding(rate, digits=0) / 100,
                    missing="failed",
                    agent=agent,
                    benchmark=benchmark,
                    not_checkable="" if alone else "several entries have one name",
                )
            yield from _details(entry, agent, benchmark, f"{board.get('name')}", quantities)
    yield from quantities.notes()
    if bare:
        text = f"{bare} entries give a rate and no instances; they were not read"
        yield Note(code="aggregates-only", text=text)


def _details(
    entry: dict[str, Any], agent: str, benchmark: str, board: str, quantities: Quantities
) -> Iterator[Record]:
    run_id = str(entry.get("folder") or entry.get("name") or "")
    for task, each in mapping(entry.get("per_instance_details")).items():
        resolved = mapping(each).get("resolved")
        score = float(resolved) if isinstance(resolved, bool) else None
        yield Record(
            benchmark=benchmark,
            task_id=task,
            agent=agent,
            score=score,
            kind="missing" if score is None else "valid",
            run_id=run_id,
            harness="swebench",
            started=moment(entry.get("date")),
            cost_usd=quantities.cost(mapping(each).get("cost")),
            metric=RESOLVED,
            source_key=f"swebench/{benchmark}/{board}/{run_id}/{task}",
        )


def _name(entry: dict[str, Any]) -> str:
    return str(entry.get("name") or entry.get("folder") or "")


def sniff_arena(path: Path) -> bool:
    """Whether a JSONL file begins with a row of eval-arena."""
    start = start_of(path, ".jsonl")
    return start.startswith(b"{") and b'"example_id":' in start and b'"pass1":' in start


def read_arena(path: Path, *, options: ReadOptions) -> Iterator[Record]:
    """Yield a record a row; parameters and errors as in `read`."""
    metric = Metric(name=choose_metric(path, options, "pass1"))
    for row in load_lines(path, _ARENA):
        if not row.get("model") or not row.get("example_id"):
            raise foreign(path, _ARENA, f"a row of {', '.join(row)}")
        score = truth_or_number(row.get("pass1"))
        yield Record(
            benchmark=options.benchmark or str(row.get("benchmark_id") or BENCHMARK),
            task_id=str(row["example_id"]),
            agent=options.agent or str(row["model"]),
            score=score,
            kind="missing" if score is None else "valid",
            run_id=str(row["model"]),
            harness="eval-arena",
            metric=metric,
        )


IMPORTER = Importer(
    name="swebench",
    sniff=sniff,
    read=read,
    suffixes=(".json",),
    summary="SWE-bench run reports, report.json files, experiments, leaderboard details.",
    version=2,
)
_ARENA_IMPORTER = Importer(
    name="eval-arena",
    sniff=sniff_arena,
    read=read_arena,
    suffixes=(".jsonl",),
    summary="eval-arena JSONL: benchmark_id, model, example_id, pass1.",
    version=2,
    former_names=("eval_arena",),
)


class _SweBenchAgent(CommandHarness):
    """An agent whose patches SWE-bench evaluates.

    The user's arguments are the agent's; those after another ``--`` are the evaluation's.
    """

    capabilities = Capabilities(subset=True, rounds=True, costs=True)
    importer = IMPORTER
    results = "a report of SWE-bench"
    ids = "of SWE-bench, without / and not beginning with -"
    once = "SWE-bench keeps one a run"

    def read_results(
        self, path: Path, *, benchmark: str | None = None, options: ReadOptions | None = None
    ) -> Iterator[Record]:
        """Yield the instances that were evaluated below `path`, each of a run once."""
        seen: set[str] = set()

        def evaluated(file: Path, *, options: ReadOptions) -> Iterator[Record]:
            for item in read(file, options=options):
                # A report names those too that were not to be run.
                if not isinstance(item, Record) or item.kind == "missing":
                    continue
                if item.source_key not in seen:
                    seen.add(item.source_key)
                    yield item

        # A run's report stands higher than those of its instances, and knows whose the errors were.
        return read_below(
            path,
            sniff,
            evaluated,
            benchmark=benchmark,
            what=self.results,
            options=options,
            order=lambda file: (len(file.parts), file),
        )

    def fits(self, task: str) -> bool:
        """Whether an id names a folder, and no flag."""
        return bool(task) and not task.startswith("-") and "/" not in task

    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        """Return the agent's command and the evaluation's."""
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


class MiniSweAgent(_SweBenchAgent):
    """mini-swe-agent on SWE-bench."""

    name = "swebench"
    summary = "SWE-bench with mini-swe-agent: an agent and an evaluation a round."
    tested_versions = ("2.4.6",)
    program = "mini-extra"
    package = "mini-swe-agent"
    hint = "pip install mini-swe-agent swebench"

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


class SweAgent(_SweBenchAgent):
    """SWE-agent on SWE-bench."""

    name = "swe-agent"
    summary = "SWE-bench with SWE-agent: an agent and an evaluation a round."
    program = package = "sweagent"
    hint = "install it from its repository, the index has an old one, and swebench"

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


def _dataset(subset: str) -> str:
    """Return what the evaluation calls the data that the agent was given."""
    local = Path(subset)
    return _DATASETS.get(subset, str(local.resolve()) if local.exists() else subset)


ADAPTER = Adapter(IMPORTER, _ARENA_IMPORTER, harnesses=[MiniSweAgent(), SweAgent()])
