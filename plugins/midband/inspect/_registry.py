"""What midband registers with Inspect AI: a task, a metric, and the demonstration provider."""

from midband.demo._registry import midband_demo
from midband.inspect._shown import verdict_metric
from midband.inspect._task import adaptive

__all__ = ["adaptive", "midband_demo", "verdict_metric"]
