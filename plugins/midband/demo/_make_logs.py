"""Writes real Inspect logs of simulated agents; run as a module with DIR AGENT...."""

import sys
from collections.abc import Sequence


def make_logs(log_dir: str, agents: Sequence[str]) -> bool:
    """Run the toy benchmark in full for every agent; return whether all went well."""
    import inspect_ai

    from midband.demo import _registry
    from midband.demo._inspect import toy_task
    from midband.demo._simulation import PROVIDER

    del _registry  # imported so that its provider is known
    logs = inspect_ai.eval(
        toy_task(),
        model=[f"{PROVIDER}/{agent}" for agent in agents],
        log_dir=log_dir,
        display="none",
        max_tasks=4,
        max_samples=50,
        log_realtime=False,
    )
    return len(logs) == len(agents) and all(log.status == "success" for log in logs)


if __name__ == "__main__":
    raise SystemExit(0 if make_logs(sys.argv[1], sys.argv[2:]) else 1)
