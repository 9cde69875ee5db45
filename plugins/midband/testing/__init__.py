"""Contracts that a plugin's harness, strategy or stopping rule has to keep, as pytest classes.

Subclass one in a test module, say how yours is made, and let pytest collect the subclass.

Examples
--------
>>> from midband.testing import StrategyContract
>>> from midband_sampler import RandomStrategy, Strategy
>>> class TestMine(StrategyContract):
...     def make_strategy(self) -> Strategy:
...         return RandomStrategy()
"""

from midband.testing.harness import HarnessContract
from midband.testing.sampling import StoppingRuleContract, StrategyContract

__all__ = ["HarnessContract", "StoppingRuleContract", "StrategyContract"]
