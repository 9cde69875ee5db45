"""lm-evaluation-harness as a library: one model for all rounds, the same files as its command."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.harnesses._adapting import tasks_of
from midband.harnesses.lm_eval_harness import OUTPUT, check, documents
from midband_history import InputError, UnreadableSourceError

if TYPE_CHECKING:
    from midband.descriptors import Round


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

    def __call__(self, batch: "Round") -> Path:
        """Evaluate a batch and write the files that the command writes; return their folder."""
        from lm_eval import simple_evaluate
        from lm_eval.loggers import EvaluationTracker

        check(batch)
        numbers, task = documents(tasks_of(batch)), batch.plan.benchmark
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
