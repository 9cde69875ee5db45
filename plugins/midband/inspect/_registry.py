"""What midband registers with Inspect AI: a task, and the provider of the demonstration."""

from midband.demo._registry import midband_demo
from midband.inspect._task import adaptive

__all__ = ["adaptive", "midband_demo"]
