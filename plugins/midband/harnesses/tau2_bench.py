"""tau2-bench result files: one JSON object with the run's settings, tasks and simulations."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from midband._descriptors import Importer
from midband.harnesses._files import (
    content_hash,
    foreign,
    head,
    list_of_objects,
    load_object,
    mapping,
    moment,
    number,
    unit_score,
)
from midband.hookspecs import hookimpl
from midband_history import OutcomeKind, Record

_WHAT = "a tau2-bench result file"
# Ends of a simulation that are not the agent's doing.
_INFRASTRUCTURE = frozenset({"infrastructure_error", "user_error", "unexpected_error"})


@hookimpl
def midband_register_importers() -> Iterable[Importer]:
    """Offer the format to ``midband import``."""
    return [
        Importer(
            name="tau2_bench",
            sniff=sniff,
            read=read,
            suffixes=(".json",),
            summary="tau2-bench result files, a simulation an attempt.",
        )
    ]


def sniff(path: Path) -> bool:
    """Whether a JSON file begins with the settings of a tau2-bench run."""
    if path.suffix != ".json" or not path.is_file():
        return False
    start = head(path)
    return b'"info":{' in start and b'"num_trials":' in start and b'"user_info":' in start


def read(path: Path, *, benchmark: str | None, columns: Mapping[str, str]) -> list[Record]:
    """Read one file.

    Parameters
    ----------
    path : Path
    benchmark : str or None
        Overrides ``tau2-`` and the domain.
    columns : mapping
        Unused: the format has fixed names.

    Raises
    ------
    UnreadableSourceError
        The file is truncated or foreign.
    """
    del columns
    data = load_object(path, _WHAT)
    info = mapping(data.get("info"))
    agent, user = mapping(info.get("agent_info")), mapping(info.get("user_info"))
    domain = mapping(info.get("environment_info")).get("domain_name")
    scaffold, model = str(agent.get("implementation") or ""), str(agent.get("llm") or "")
    if not (domain or benchmark) or not (scaffold or model):
        raise foreign(path, _WHAT, "none of its domain and agent")
    digests = {
        str(task.get("id")): content_hash(task)
        for task in list_of_objects(data.get("tasks") or [], path, _WHAT)
    }
    simulations = list_of_objects(data.get("simulations"), path, _WHAT)
    starts = [when for each in simulations if (when := moment(each.get("start_time")))]
    settings = {
        "llm_args": agent.get("llm_args"),
        "user": [user.get("implementation"), user.get("llm"), user.get("llm_args")],
        "max_steps": info.get("max_steps"),
        "max_errors": info.get("max_errors"),
    }
    records = []
    for each in simulations:
        score, kind = _outcome(each)
        task, trial = each.get("task_id"), each.get("trial") or 0
        if task is None or not isinstance(trial, int) or trial < 0:
            raise foreign(path, _WHAT, "a simulation without its task_id and trial")
        records.append(
            Record(
                benchmark=benchmark or f"tau2-{domain}",
                task_id=str(task),
                agent=f"{scaffold} ({model})" if scaffold and model else scaffold or model,
                score=score,
                kind=kind,
                attempt=trial,
                run_id=path.parent.name if path.stem == "results" else path.stem,
                model=model,
                scaffold=scaffold,
                settings={name: value for name, value in settings.items() if value is not None},
                harness="tau2_bench",
                harness_version=str(info.get("git_commit") or ""),
                started=min(starts, default=None),
                cost_usd=number(each.get("agent_cost")),
                duration_s=number(each.get("duration")),
                task_digest=digests.get(str(task), ""),
                source_key=str(each.get("id") or ""),
            )
        )
    return records


def _outcome(simulation: dict[str, Any]) -> tuple[float | None, OutcomeKind]:
    if simulation.get("termination_reason") in _INFRASTRUCTURE:
        return None, "infra_error"
    reward = mapping(simulation.get("reward_info"))
    if mapping(reward.get("info")).get("error"):
        return None, "infra_error"
    score = unit_score(reward.get("reward"))
    return score, "missing" if score is None else "valid"
