"""Whose report of SWE-bench it is: the agent, the run and the benchmark, by name and place."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from midband.adapters.files import load_object, mapping, moment
from midband.adapters.stated import named_agent, named_benchmark
from midband_history import Note, UnreadableSourceError

if TYPE_CHECKING:
    from datetime import datetime

    from midband.descriptors import ReadOptions

BENCHMARK = "swe-bench"
_WHAT = "a SWE-bench report"
_DATED = re.compile(r"(?P<date>\d{8})_(?P<name>.+)")
_SB_CLI = re.compile(
    r"(?P<subset>swe-?bench[\w-]*?)__(?P<split>dev|test|train)__(?P<run>.+)", re.IGNORECASE
)
_OF_YAML = re.compile(r"^(?P<indent> *)(?P<key>name|model):(?P<value>.*)$", re.MULTILINE)
# What a report is called whose name tells nothing, up to the first dot.
_SILENT = frozenset(
    {"output", "report", "final_report", "results", "result", "summary", "eval_results"}
)
# Folders that hold runs and are named after none.
_GENERIC = frozenset(
    {
        *("eval", "eval_out", "eval_output", "eval_outputs", "evaluation", "evaluation_outputs"),
        *("logs", "out", "output", "outputs", "reports", "report", "results", "result", "runs"),
        *("run_evaluation", "sb-cli-reports", "trajectories", "tmp"),
    }
)
_INSIDE = frozenset({"eval_files", "dataset"})  # of a run by OpenHands
# OpenHands calls every agent that unless it is told otherwise.
_DEFAULT_NAMES = frozenset({"", "openhands"})
_SPLIT = re.compile(r"[-_](test|dev|validation|val|train)$", re.IGNORECASE)
_KNOWN = re.compile(
    r"(?i)(.*__)?(multi[-_]?)?(swe|swt)[-_]?bench.*"
    r"|(gaia|commit0|harbor|terminal[-_]?bench|swe[-_]?(gym|smith)|open-?agent-?safety)([-_].*)?"
)
_SPELLINGS = {
    "swe-bench-m": "swe-bench-multimodal",
    "swebench": "swe-bench",
    "swebenchmultimodal": "swe-bench-multimodal",
    "swtbench": "swt-bench",
    "multiswebench": "multi-swe-bench",
}
_MOST_YAML = 1 << 16
_NEAR = 5  # folders above a report in which its benchmark is looked for


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Who ran what.

    Parameters
    ----------
    agent, run_id, benchmark, model : str
        `model` is empty where nothing names it.
    note : Note or None
        What was read off a name that could be read otherwise.
    """

    agent: str
    run_id: str
    benchmark: str
    model: str = ""
    note: Note | None = None

    @property
    def started(self) -> "datetime | None":
        """The date that the run is called by; None where there is none."""
        dated = _DATED.match(self.run_id)
        digits = dated["date"] if dated else ""
        return moment(f"{digits[:4]}-{digits[4:6]}-{digits[6:]}") if digits else None


def benchmark_name(text: str) -> str:
    """Return the one spelling of a benchmark that a folder or a data set is called by.

    Examples
    --------
    >>> benchmark_name("princeton-nlp__SWE-bench_Verified-test"), benchmark_name("swe_bench-test")
    ('swe-bench-verified', 'swe-bench')
    """
    name = _SPLIT.sub("", text.rsplit("/", 1)[-1].rsplit("__", 1)[-1])
    name = name.lower().replace("_", "-")
    return _SPELLINGS.get(name, name)


def of_run(
    path: Path, report: Mapping[str, Any], options: "ReadOptions", agents: Collection[str]
) -> Origin:
    """Say whose report of a whole run it is.

    Parameters
    ----------
    path : Path
        Absolute.
    report : mapping
        Its content.
    options : ReadOptions
    agents : collection of str
        The agents whose predictions lie beside it, as the evaluation writes their names.

    Raises
    ------
    UnreadableSourceError
        Its name, its place and its content do not say who ran, or what.
    """
    submission = _submission_of(path)
    if submission is not None:
        return _submitted(submission, options)
    stated = str(report.get("model_name_or_path") or "")
    sb_cli = _SB_CLI.fullmatch(path.stem)
    if sb_cli:
        agent = named_agent(path, "a report of sb-cli", options.agent, stated)
        name = benchmark_name(sb_cli["subset"])
        name += "" if sb_cli["split"] == "test" else f"-{sb_cli['split']}"
        return Origin(agent=agent, run_id=sb_cli["run"], benchmark=options.benchmark or name)
    first = path.stem.partition(".")[0]
    if first in _SILENT:
        return _of_folder(path, "" if stated in _DEFAULT_NAMES else stated, options)
    benchmark = options.benchmark or BENCHMARK
    given = options.agent or stated
    if given:
        run_id = _run_of(path, (options.agent, stated), agents)
        return Origin(agent=given, run_id=run_id, benchmark=benchmark)
    agent, run_id, sure = _split(path, agents)
    agent = agent.replace("__", "/")
    text = f"the file's name was read as agent {agent} and run {run_id}; --agent says otherwise"
    note = None if sure else Note(code="agent-from-name", text=text)
    return Origin(agent=agent, run_id=run_id, benchmark=benchmark, note=note)


def of_instance(path: Path, options: "ReadOptions") -> Origin:
    """Say whose report of one instance it is; parameters and errors as in `of_run`."""
    above = path.parent.parent
    if above.name == "logs":  # of a submission
        return _submitted(above.parent, options)
    if above.parent.parent.name == "run_evaluation":  # <run>/<model>/<id>/report.json
        return Origin(
            agent=options.agent or above.name.replace("__", "/"),
            run_id=above.parent.name,
            benchmark=options.benchmark or BENCHMARK,
        )
    folder = above.parent if above.name in _GENERIC else above
    own = (options.agent, folder.name.replace("__", "/"))
    agent = named_agent(path, _WHAT, *(() if folder.name in _GENERIC else own))
    near = next(_benchmarks(folder), "")
    return Origin(
        agent=agent,
        run_id=folder.name if above.name in _GENERIC else folder.parent.name,
        benchmark=options.benchmark or near or BENCHMARK,
    )


def _run_of(path: Path, models: Sequence[str], agents: Collection[str]) -> str:
    """Return the run of ``<model>.<run>`` whose agent is known; the whole name where unclear."""
    for model in filter(None, models):
        if path.stem.startswith(f"{model.replace('/', '__')}."):
            return path.stem[len(model.replace("/", "__")) + 1 :]
    try:
        return _split(path, agents)[1]
    except UnreadableSourceError:
        return path.stem


def _split(path: Path, agents: Collection[str]) -> tuple[str, str, bool]:
    """Return model and run of ``<model>.<run>``, and whether nothing else is possible."""
    stem = path.stem
    dots = [place for place in range(1, len(stem) - 1) if stem[place] == "."]
    logs = path.parent / "logs" / "run_evaluation"
    for place in dots:
        if (logs / stem[place + 1 :] / stem[:place]).is_dir():
            return stem[:place], stem[place + 1 :], True
    beside = [place for place in dots if stem[:place] in agents]
    # A dot between digits belongs to a version or a temperature.
    free = [p for p in dots if not (stem[p - 1].isdigit() and stem[p + 1].isdigit())]
    for places in (beside, free):
        if len(places) == 1:
            (place,) = places
            return stem[:place], stem[place + 1 :], places is beside or len(dots) == 1
    msg = (
        f"{path}: expected a report called MODEL.RUN.json, got a name that can be read in"
        f" {len(dots)} ways: name the agent with --agent NAME"
    )
    if not dots:
        named_agent(path, _WHAT)
    raise UnreadableSourceError(msg)


def _of_folder(path: Path, stated: str, options: "ReadOptions") -> Origin:
    """Return whose report it is that OpenHands leaves in the folder of a run."""
    folder = path.parent
    while folder.name in _INSIDE:
        folder = folder.parent
    fits = bool(folder.name) and folder.name not in _GENERIC and not _KNOWN.fullmatch(folder.name)
    agent = named_agent(path, _WHAT, options.agent, stated, folder.name if fits else "")
    about = _metadata(folder)
    dataset = about.get("dataset")
    named = benchmark_name(dataset) if isinstance(dataset, str) else ""
    near = next(_benchmarks(folder), named)
    benchmark = named_benchmark(path, _WHAT, options.benchmark, near)
    beside = path.stem in ("output.report", "final_report", "report", "results")
    return Origin(
        agent=agent,
        run_id=folder.name if beside else f"{folder.name}/{path.stem}",
        benchmark=benchmark,
        model=str(mapping(about.get("llm")).get("model") or ""),
    )


def _metadata(folder: Path) -> dict[str, Any]:
    """Return what OpenHands notes of a run; nothing where it is absent or torn."""
    try:
        return load_object(folder / "metadata.json", "the metadata of a run")
    except UnreadableSourceError:
        return {}


def _benchmarks(folder: Path) -> Iterator[str]:
    """Yield the benchmarks that folders are called by, the nearest first."""
    if _KNOWN.fullmatch(folder.name):
        yield benchmark_name(folder.name)
    for height, above in enumerate(list(folder.parents)[: _NEAR - 1]):
        # <dataset>-<split>/<run>, or with a folder of the agent's class between.
        named = _KNOWN.fullmatch(above.name) or (height < 2 and _SPLIT.search(above.name))
        if above.name and above.name not in _GENERIC and named:
            yield benchmark_name(above.name)


def _submission_of(path: Path) -> Path | None:
    """Return the folder of the submission whose ``results.json`` it is; None if it is none."""
    if path.name != "results.json":
        return None
    folder = path.parent.parent if path.parent.name == "results" else path.parent
    is_one = _DATED.match(folder.name) or (folder / "metadata.yaml").is_file()
    return folder if is_one else None


def _submitted(folder: Path, options: "ReadOptions") -> Origin:
    """Return who submitted, of ``evaluation/<split>/<date>_<agent>``."""
    about = _yaml(folder / "metadata.yaml")
    dated = _DATED.match(folder.name)
    above = [each.name for each in folder.parents][:_NEAR]
    inside = above[: above.index("evaluation")] if "evaluation" in above else []
    parts = [benchmark_name(each) for each in reversed(inside)]
    own = any(part.startswith("swe-bench") for part in parts)
    # The board of mini-SWE-agent alone runs the verified instances.
    parts = ["verified" if part == "bash-only" else part for part in parts]
    named = "-".join(parts if own or not parts else [BENCHMARK, *parts])
    return Origin(
        agent=options.agent or about.get("name") or (dated["name"] if dated else folder.name),
        run_id=folder.name,
        benchmark=options.benchmark or named.removesuffix("-test") or BENCHMARK,
        model=about.get("model", ""),
    )


def _yaml(path: Path) -> dict[str, str]:
    """Return the name and the model of a submission, where each is one plain text."""
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_MOST_YAML)
    except (OSError, UnicodeDecodeError):
        return {}
    found: dict[str, str] = {}
    for line in _OF_YAML.finditer(text):
        value = _plain_text(line["value"])
        if value and line["key"] not in found:
            found[line["key"]] = value
    return found


def _plain_text(value: str) -> str:
    """Return a scalar of YAML without quotes and comment; nothing where it is no scalar."""
    value = value.strip()
    if value[:1] in ("'", '"'):
        end = value.find(value[0], 1)
        return value[1:end].strip() if end > 0 else ""
    value = re.split(r"\s#", value, maxsplit=1)[0].strip()
    return "" if value[:1] in tuple("|>&*!{[#%@`-") or value in ("null", "~") else value
