"""lm-evaluation-harness: its samples files, and its command and library on a subset."""

import json
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.base import Adapter, CommandHarness, refuse
from midband.adapters.lm_eval_harness.files import HARNESS, WHAT, sniff
from midband.adapters.lm_eval_harness.samples import read
from midband.descriptors import Capabilities, Command, Importer, Round
from midband_history import InputError, UnreadableSourceError

if TYPE_CHECKING:
    from midband.descriptors import RoundRunner
    from midband_sampler import Plan

SUBSET = "samples.json"
OUTPUT = "out"
# What midband sets itself, and what would make a round other than it seems.
REFUSED = {
    "--samples": "midband names the documents",
    "-E": "midband names the documents",
    "--limit": "midband names the documents",
    "-L": "midband names the documents",
    "--tasks": "the task is the plan's benchmark, and any other would run in full",
    "-t": "the task is the plan's benchmark, and any other would run in full",
    "--output_path": "midband says where the results go",
    "-o": "midband says where the results go",
    "--cache_requests": "it would give each round the documents of the one before",
    "--predict_only": "nothing would be scored",
    "-x": "nothing would be scored",
    "--config": "it may hold --cache_requests, --limit or other tasks: give each by itself",
    "-C": "it may hold --cache_requests, --limit or other tasks: give each by itself",
}
# By these the harness names the model; without one it invents a name for every run.
_NAMED = re.compile(r'(?:^|[,{\s])"?(?:peft|delta|pretrained|model|path|engine)"?\s*[=:]')


IMPORTER = Importer(
    name=HARNESS,
    sniff=sniff,
    read=read,
    suffixes=(".jsonl", ".json"),
    summary="lm-evaluation-harness samples_*.jsonl, as written with --log_samples.",
    version=2,
    former_names=("lm_eval_harness",),
)


class LmEvalHarness(CommandHarness):
    """``lm_eval run --samples``, or ``simple_evaluate`` in this process.

    A task of the plan is a document of the harness's task, by its number; the plan's benchmark is
    the harness's task. A group of tasks is none: it would run in full.
    """

    name = HARNESS
    summary = "lm-evaluation-harness: --samples FILE, in rounds, also in process."
    tested_versions = ("0.4.13",)
    capabilities = Capabilities(subset=True, rounds=True, in_process=True)
    importer = IMPORTER
    results = WHAT
    program = package = "lm_eval"
    hint = "pip install lm-eval"
    refused = REFUSED
    ids = "that are numbers of documents, as lm-evaluation-harness writes them in doc_id"
    once = "the harness runs a document once"

    def fits(self, task: str) -> bool:
        """Whether an id is the number of a document."""
        return task.isascii() and task.isdigit() and str(int(task)) == task

    def files(self, plan: "Plan", tasks: Sequence[str]) -> Mapping[str, str]:
        """Return ``samples.json``: the numbers of the documents, which the harness needs sorted."""
        return {SUBSET: json.dumps({plan.benchmark: documents(tasks)}) + "\n"}

    def check(self, batch: Round) -> tuple[str, ...]:
        """Refuse a round without the model's name too."""
        tasks = super().check(batch)
        values = [word for word in batch.arguments if not word.startswith("-")]
        if batch.arguments and not any(_NAMED.search(value) for value in values):
            msg = (
                "expected the model's name in --model_args, such as pretrained=NAME or model=NAME,"
                " got none: the harness would invent another name for each round"
            )
            raise InputError(msg)
        return tasks

    def command(self, batch: Round, tasks: tuple[str, ...]) -> Command:
        """Return ``lm_eval run``."""
        missing = ("--model", "MODEL", "--model_args", "pretrained=NAME")
        output = batch.directory / OUTPUT
        command = (
            *("lm_eval", "run", "--tasks", batch.plan.benchmark),
            *("--samples", str(batch.directory / SUBSET)),
            *("--output_path", str(output), "--log_samples"),
            *(batch.arguments or missing),
        )
        return Command(steps=(command,), results=output)

    def start(self, arguments: Sequence[str]) -> "RoundRunner":
        """Load the model that the arguments name, once for all rounds."""
        refuse(arguments, REFUSED)
        return InProcess(tuple(arguments))


def documents(tasks: Sequence[str]) -> list[int]:
    """Return the numbers of documents, sorted: given unsorted, the harness mislabels them.

    Raises
    ------
    InputError
        An id is no number of a document.
    """
    return sorted(map(int, LmEvalHarness().fitting(tasks)))


class InProcess:
    """Runs rounds by ``simple_evaluate`` on a model that stays loaded.

    Parameters
    ----------
    arguments : tuple of str
        As the command's; read by the harness's own parser.

    Raises
    ------
    InputError
        The harness is not installed here, or does not accept the arguments.
    """

    def __init__(self, arguments: tuple[str, ...]) -> None:
        try:
            from lm_eval.api.registry import get_model
        except ImportError as error:
            msg = (
                f"expected lm_eval beside midband, got {error}: pip install lm-eval, or run"
                " without --in-process"
            )
            raise InputError(msg) from error
        self._arguments = arguments
        # The task is known with the first round only; every round parses anew, and loads nothing.
        first = _settings((*arguments, "--tasks", "unknown"))
        self._model = get_model(first.model).create_from_arg_obj(
            dict(first.model_args),
            {
                "batch_size": first.batch_size,
                "max_batch_size": first.max_batch_size,
                "device": first.device,
            },
        )

    def __call__(self, batch: Round) -> Path:
        """Evaluate a batch and write the files that the command writes; return their folder."""
        from lm_eval import simple_evaluate
        from lm_eval.loggers import EvaluationTracker

        numbers, task = documents(LmEvalHarness().check(batch)), batch.plan.benchmark
        output = batch.directory / OUTPUT
        settings = _settings(
            (*self._arguments, "--tasks", task, "--output_path", str(output), "--log_samples")
        )
        manager = settings.process_tasks(settings.metadata)
        loaded = manager.load(settings.tasks)["tasks"]
        if list(loaded) != [task]:
            got = ", ".join(sorted(loaded)[:3])
            msg = f"expected one task called {task!r}, got {len(loaded)} ({got}): plan one of them"
            raise InputError(msg)
        known = len(loaded[task].eval_docs)
        if numbers[-1] >= known:
            msg = f"expected documents of {task!r} below {known}, got {numbers[-1]}: plan anew"
            raise InputError(msg)
        tracker = EvaluationTracker(output_path=str(output))
        seeds = settings.seed or [None] * 4
        results = simple_evaluate(
            model=self._model,
            model_args=settings.model_args,
            tasks=settings.tasks,
            num_fewshot=settings.num_fewshot,
            batch_size=settings.batch_size,
            max_batch_size=settings.max_batch_size,
            device=settings.device,
            use_cache=settings.use_cache,
            samples={task: numbers},
            log_samples=True,
            evaluation_tracker=tracker,
            system_instruction=settings.system_instruction,
            apply_chat_template=settings.apply_chat_template,
            fewshot_as_multiturn=settings.fewshot_as_multiturn,
            gen_kwargs=settings.gen_kwargs,
            task_manager=manager,
            random_seed=seeds[0],
            numpy_random_seed=seeds[1],
            torch_random_seed=seeds[2],
            fewshot_random_seed=seeds[3],
            confirm_run_unsafe_code=settings.confirm_run_unsafe_code,
            metadata=settings.metadata,
        )
        samples = results.pop("samples")
        # The harness only warns where it cannot write.
        tracker.save_results_aggregated(results=results, samples=samples)
        tracker.save_results_samples(task_name=task, samples=samples[task])
        if not any(output.rglob("samples_*.jsonl")):
            msg = f"{output}: expected the samples that lm_eval was to write, found none"
            raise UnreadableSourceError(msg)
        return output


def _settings(arguments: tuple[str, ...]) -> Any:
    """Return the harness's own reading of the arguments of its command."""
    from argparse import ArgumentParser

    from lm_eval._cli.run import Run
    from lm_eval.config.evaluate_config import EvaluatorConfig

    parser = ArgumentParser(prog="lm_eval")
    Run.create(parser.add_subparsers(dest="command"))
    found = None
    with suppress(SystemExit):
        found = parser.parse_args(["run", *arguments])
    if found is None:
        msg = f"expected arguments of lm_eval run, got {' '.join(arguments)}: see lm_eval run -h"
        raise InputError(msg)
    try:
        return EvaluatorConfig.from_cli(found)
    except (ValueError, TypeError, OSError) as error:
        msg = f"expected settings of lm_eval run, got: {' '.join(str(error).split())}"
        raise InputError(msg) from error


ADAPTER = Adapter(IMPORTER, harnesses=[LmEvalHarness()])
