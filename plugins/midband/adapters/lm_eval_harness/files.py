"""Files of lm-evaluation-harness: which they are, and what their names and results say."""

import re
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from midband.adapters.files import foreign, head, load_optional, mapping, moment, number
from midband.adapters.stated import Quantities
from midband.descriptors import ReadOptions
from midband_history import Note

WHAT = "samples of lm-evaluation-harness"
HARNESS = "lm-eval-harness"
_WHEN = r"(?P<when>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d(\.\d+)?)"
_DATED = re.compile(rf"samples_(?P<task>.+)_{_WHEN}\.jsonl?")
_UNDATED = re.compile(r"samples_(?P<task>.+)\.jsonl?")
_RESULTS = re.compile(rf"(?!samples_)(.+_)?{_WHEN}\.json|results\.json")
_STATES_RESULTS = re.compile(rb'\{"results":\{.*"[^"{}]+,[^"{},]+":', re.DOTALL)
# A file of before 0.4.3 is named by the arguments of the model, which say nothing of the format.
_OLD_START = re.compile(rb'\[?\{"doc_id":\d+,"doc":')
_FIELDS = (b'"filter":', b'"doc":', b'"target":', b'"filtered_resps":', b'"doc_hash":')
# Of these only the value over the whole corpus is a score, whatever stands in the rows.
_OVER_CORPUS = frozenset(
    {
        *("perplexity", "weighted_perplexity", "bits_per_byte", "f1", "matthews_corrcoef"),
        *("bleu", "chrf", "ter", "brier_score", "bypass"),
    }
)
_CORPUS_METRICS = frozenset(
    {"perplexity", "word_perplexity", "byte_perplexity", "bits_per_byte", "bypass"}
)
_LOWER = frozenset({*_CORPUS_METRICS, "brier_score", "ter", "wer", "cer"} - {"bypass"})
_NAMES_OF_MODEL = ("peft", "delta", "pretrained", "model", "path", "engine")
_NO_NAMES = frozenset(
    {
        *("data", "eval", "evals", "evaluation", "lm_eval", "lm-eval", "log", "logs", "out"),
        *("output", "outputs", "result", "results", "run", "runs", "sample", "samples", "tmp"),
    }
)


def sniff(path: Path) -> bool:
    """Whether a file is named like samples or results of the harness, and begins like them."""
    if not path.name.endswith((".json", ".jsonl")) or not path.is_file():
        return False
    if _UNDATED.fullmatch(path.name):
        start = head(path)
        dated = _DATED.fullmatch(path.name) is not None
        return b'"doc_id":' in start and (dated or any(name in start for name in _FIELDS))
    if path.name.endswith(".jsonl"):
        return _OLD_START.match(head(path)) is not None
    if not _RESULTS.fullmatch(path.name):
        return False
    start = head(path)
    if path.name == "results.json":
        return _STATES_RESULTS.match(start) is not None
    return start.startswith(b'{"results":{')


def is_aggregate(path: Path) -> bool:
    """Whether a file is named like results, not like samples."""
    return bool(_RESULTS.fullmatch(path.name)) and not _UNDATED.fullmatch(path.name)


def check_aggregate(path: Path) -> None:
    """Refuse results beside which no samples stand."""
    found = _RESULTS.fullmatch(path.name)
    when = found["when"] if found else None
    names = (f"samples_*_{when}.json*",) if when else ("samples_*.json*", "*_*.jsonl")
    if not any(sniff(each) for name in names for each in path.parent.glob(name)):
        got = "an aggregate: run with --log_samples, and import the samples_*.jsonl"
        raise foreign(path, WHAT, got)


@dataclass(frozen=True, kw_only=True)
class About:
    """What a samples file is about, from its name and the results beside it."""

    path: Path
    task: str
    shared: dict[str, Any]
    results: dict[str, Any]
    config: dict[str, Any]
    notes: tuple[Note, ...]

    @classmethod
    def of(cls, path: Path, options: ReadOptions) -> "About":
        """Read the results beside a samples file; raises as `read`."""
        dated, undated = _DATED.fullmatch(path.name), _UNDATED.fullmatch(path.name)
        when = dated["when"] if dated else ""
        results = _results_of(path, when)
        named = dated or undated
        task, before = (named["task"], "") if named else _old_name(path, results, options)
        agent, model, notes = _model(path, results, before, options)
        config = mapping(mapping(results.get("configs")).get(task))
        date, _, clock = when.partition("T")
        quantities = Quantities()
        started = moment(results.get("date"))
        started = started or moment(f"{date}T{clock.replace('-', ':')}")
        run = when or (started.isoformat() if started else "")
        version = mapping(results.get("versions")).get(task)
        shared = {
            "benchmark": options.benchmark or task,
            "part": task,
            "agent": agent,
            "model": model,
            "settings": _settings(results, task),
            "run_id": run,
            "harness": HARNESS,
            "harness_version": str(results.get("lm_eval_version") or ""),
            "started": started,
            "benchmark_version": "" if version in (None, "N/A") else str(version),
            "whole_benchmark": _is_whole(path, results, task, config),
        }
        return cls(
            path=path, task=task, shared=shared, results=results, config=config,
            notes=(*notes, *quantities.notes()),
        )  # fmt: skip

    def filters(self) -> list[str]:
        """Return the names of the task's filters, in order; empty where unknown."""
        found = self.config.get("filter_list")
        listed = found if isinstance(found, list) else []
        return [str(mapping(each).get("name")) for each in listed if mapping(each).get("name")]

    def metric_config(self, name: str) -> dict[str, Any]:
        """Return how the task configures a metric; empty where it does not say."""
        found = self.config.get("metric_list")
        for each in found if isinstance(found, list) else []:
            if mapping(each).get("metric") == name:
                return mapping(each)
        return {}

    def aggregation(self, name: str) -> str:
        """Return how the task aggregates a metric; empty where it does not say."""
        return str(self.metric_config(name).get("aggregation") or "")

    def over_corpus(self, name: str) -> bool:
        """Whether a metric is a score of the whole corpus only."""
        how = self.aggregation(name)
        return how in _OVER_CORPUS if how else name in _CORPUS_METRICS

    def lower_is_better(self, name: str) -> bool:
        """Whether less of a metric is better, by the results, the configuration or its name."""
        stated = mapping(mapping(self.results.get("higher_is_better")).get(self.task)).get(name)
        if not isinstance(stated, bool):
            stated = self.metric_config(name).get("higher_is_better")
        return not stated if isinstance(stated, bool) else name in _LOWER

    def stated(self, name: str, filter_name: str) -> float | None:
        """Return the aggregate of a metric under a filter, where the results state it."""
        found = mapping(mapping(self.results.get("results")).get(self.task))
        return number(found.get(f"{name},{filter_name}", found.get(name)))


def _results_of(path: Path, when: str) -> dict[str, Any]:
    """Return the results beside a samples file; empty if there are none."""
    what = "results of lm-evaluation-harness"
    if not when:
        own = path.with_name("results.json")
        dated = [] if own.is_file() else sorted(path.parent.glob("results_*.json"))
        return load_optional(dated[0] if len(dated) == 1 else own, what)
    own = path.with_name(f"results_{when}.json")
    if own.is_file():
        return load_optional(own, what)
    beside = sorted(path.parent.glob(f"*_{escape(when)}.json"))
    named = [each for each in beside if _RESULTS.fullmatch(each.name) and sniff(each)]
    return load_optional(named[0], what) if len(named) == 1 else {}


def _old_name(path: Path, results: dict[str, Any], options: ReadOptions) -> tuple[str, str]:
    """Return the task in ``<arguments of the model>_<task>.jsonl``, and what stands before it."""
    tasks = mapping(results.get("configs")) or mapping(results.get("results"))
    known = [task for task in tasks if path.stem.endswith(f"_{task}") or path.stem == task]
    task = max(known, key=len, default="")
    if not task and not options.benchmark:
        got = f"{path.name} without a results.json that names its task: give --benchmark NAME"
        raise foreign(path, WHAT, got)
    before = path.stem.removesuffix(task).rstrip("_") if task else path.stem
    return task or str(options.benchmark), before


def _model(
    path: Path, results: dict[str, Any], before: str, options: ReadOptions
) -> tuple[str, str, tuple[Note, ...]]:
    """Return agent, model and what is to be said of them; raises as `read`."""
    named = str(results.get("model_name") or "")
    named = named or _in_arguments(mapping(results.get("config")).get("model_args"))
    named = named or _in_arguments(before.replace("__", "/"))
    if named:
        return named, named, ()
    folder = path.resolve().parent.name
    if "__" in folder:  # as the harness itself names the folder of a model
        model = folder.replace("__", "/")
        return model, model, ()
    if options.agent:
        return options.agent, "", ()
    if folder.lower() in _NO_NAMES or not folder:
        got = f"none, in a folder called {folder!r}: name it with --agent NAME"
        raise foreign(path, "the name of the model in results beside the samples", got)
    text = f"no file names the model: the agent is called by its folder, {folder}; see --agent"
    return folder, "", (Note(code="agent-from-folder", text=text),)


def _in_arguments(arguments: object) -> str:
    """Return the name of the model in its arguments; empty if there is none."""
    if isinstance(arguments, dict):
        return next((str(arguments[key]) for key in _NAMES_OF_MODEL if arguments.get(key)), "")
    pairs = [each.partition("=") for each in str(arguments or "").split(",")]
    given = {key.strip(): value.strip() for key, _, value in pairs if value}
    return next((given[key] for key in _NAMES_OF_MODEL if key in given), "")


def _settings(results: dict[str, Any], task: str) -> dict[str, Any]:
    config = mapping(results.get("config"))
    settings = {
        "gen_kwargs": config.get("gen_kwargs"),
        "num_fewshot": mapping(results.get("n-shot")).get(task),
        "system_instruction": results.get("system_instruction_sha"),
        "chat_template": results.get("chat_template_sha"),
        "fewshot_as_multiturn": results.get("fewshot_as_multiturn"),
        "model_revision": config.get("model_sha"),
    }
    return {name: value for name, value in settings.items() if value}


def counts(results: dict[str, Any], task: str) -> tuple[int | None, int | None]:
    """Return how many documents the task has, and how many were run, where the results say it."""
    counts = mapping(mapping(results.get("n-samples")).get(task))
    original, effective = number(counts.get("original")), number(counts.get("effective"))
    return (
        None if original is None else int(original),
        None if effective is None else int(effective),
    )


def _is_whole(
    path: Path, results: dict[str, Any], task: str, config: dict[str, Any]
) -> bool:  # fmt: skip
    """Whether every document of the task was run.

    The results alone do not tell: with ``--samples`` several versions count every document.
    """
    original, effective = counts(results, task)
    if not original or original != effective or path.suffix != ".jsonl":
        return False
    filters = config.get("filter_list")
    expected = original * max(1, len(filters) if isinstance(filters, list) else 1)
    found, last = 0, b"\n"
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found += block.count(b"\n")
                last = block[-1:]
    except OSError:
        return False
    return found + (last != b"\n") >= expected
