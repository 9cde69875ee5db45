"""Inspect AI, met at three places: a running eval, a command line, and logs."""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from midband.hookspecs import hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from midband.descriptors import Harness
    from midband.inspect.command import COMMANDS, inspect_argv, main, parsed
    from midband.inspect.demo import DemoError, Outcome, run_demo
    from midband.inspect.from_python import adaptive, race, verdict, verdicts
    from midband.inspect.harness import export_run_config, run_config_text
    from midband.inspect.hooks import AdaptiveStopping
    from midband.inspect.log_file import metadata_in, plan_of_log
    from midband.inspect.logs import FORMAT, live_orders
    from midband.inspect.race_source import race_report, race_report_in
    from midband.inspect.race_task import prepare_race
    from midband.inspect.scores import benchmark_name, score_value, task_digest
    from midband.inspect.task import prepare_task

__all__ = [
    "COMMANDS",
    "FORMAT",
    "AdaptiveStopping",
    "DemoError",
    "Outcome",
    "adaptive",
    "benchmark_name",
    "export_run_config",
    "inspect_argv",
    "is_installed",
    "live_orders",
    "main",
    "metadata_in",
    "parsed",
    "plan_of_log",
    "prepare_race",
    "prepare_task",
    "race",
    "race_report",
    "race_report_in",
    "run_config_text",
    "run_demo",
    "score_value",
    "task_digest",
    "verdict",
    "verdicts",
]

# Everything but the hook loads on first use: this module is read by `midband --help`.
_HOMES = {
    "command": ("COMMANDS", "inspect_argv", "main", "parsed"),
    "demo": ("DemoError", "Outcome", "run_demo"),
    "from_python": ("adaptive", "race", "verdict", "verdicts"),
    "harness": ("export_run_config", "run_config_text"),
    "hooks": ("AdaptiveStopping",),
    "log_file": ("metadata_in", "plan_of_log"),
    "logs": ("FORMAT", "live_orders"),
    "race_source": ("race_report", "race_report_in"),
    "race_task": ("prepare_race",),
    "scores": ("benchmark_name", "score_value", "task_digest"),
    "task": ("prepare_task",),
}


@hookimpl
def midband_register_harnesses() -> "Iterable[Harness]":
    """Offer Inspect AI to ``midband export --for inspect``."""
    from midband.inspect.harness import InspectHarness

    return [InspectHarness()]


def is_installed() -> bool:
    """Whether Inspect AI is there; it is not imported."""
    return find_spec("inspect_ai") is not None


def __getattr__(name: str) -> object:
    for module, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"midband.inspect.{module}"), name)
            globals()[name] = value
            return value
    msg = f"module 'midband.inspect' has no attribute {name!r}"
    raise AttributeError(msg)
