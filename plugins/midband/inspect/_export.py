"""A plan as the ``--run-config`` file of Inspect AI, for machines without midband."""

import glob
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from midband._harness import subset_of
from midband_history import InputError

if TYPE_CHECKING:
    from midband_sampler import Plan


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
