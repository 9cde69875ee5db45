"""Inspect AI, met at three places: a running eval, a command line, and logs."""

from importlib import import_module
from typing import TYPE_CHECKING

from midband.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midband._harness import Harness
    from midband.inspect._bridge import inspect_argv, main
    from midband.inspect._export import export_run_config, run_config_text
    from midband.inspect._manager import AdaptiveStopping
    from midband.inspect._rank import rank_logs
    from midband.inspect._samples import benchmark_name, task_digest
    from midband.inspect._scores import score_value
    from midband.inspect._task import adaptive, prepare_task

__all__ = [
    "AdaptiveStopping",
    "adaptive",
    "benchmark_name",
    "export_run_config",
    "inspect_argv",
    "main",
    "prepare_task",
    "rank_logs",
    "run_config_text",
    "score_value",
    "task_digest",
]

# Everything but the hook loads on first use: this module is read by `midband --help`.
_HOMES = {
    "AdaptiveStopping": "midband.inspect._manager",
    "adaptive": "midband.inspect._task",
    "benchmark_name": "midband.inspect._samples",
    "export_run_config": "midband.inspect._export",
    "inspect_argv": "midband.inspect._bridge",
    "main": "midband.inspect._bridge",
    "prepare_task": "midband.inspect._task",
    "rank_logs": "midband.inspect._rank",
    "run_config_text": "midband.inspect._export",
    "score_value": "midband.inspect._scores",
    "task_digest": "midband.inspect._samples",
}


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer Inspect AI to ``midband export --for inspect``."""
    from midband.inspect._adapter import InspectHarness

    return [InspectHarness()]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module 'midband.inspect' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value
