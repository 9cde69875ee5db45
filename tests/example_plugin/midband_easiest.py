"""The live strategy ``easiest``: all that a plugin with one strategy needs."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from midband import Choice, FullScorePosterior, OutcomeMatrix, Selection, Strategy, hookimpl


@dataclass(frozen=True)
class Easiest(Strategy):
    """The task that this agent is most likely to pass, chosen after every result."""

    name = "easiest"
    live = True
    needs_model = True

    def order(
        self,
        history: OutcomeMatrix,
        posterior: FullScorePosterior | None,
        rng: np.random.Generator,
    ) -> Selection:
        """Order by what a new agent is expected to pass."""
        del history, rng
        if posterior is None:
            raise TypeError(self.name)
        return Selection(np.argsort(-posterior.predicted()[0], kind="stable").astype(np.int64))

    def choose(
        self, posterior: FullScorePosterior, available: NDArray[np.bool_], step: int
    ) -> Choice:
        """Maximise the predicted pass rate."""
        del step
        chance = np.where(available, posterior.predicted(), -np.inf)
        return Choice(chance.argmax(axis=1).astype(np.int64))


@hookimpl
def midband_register_strategies() -> Iterable[type[Strategy]]:
    """Offer ``--strategy easiest``."""
    return [Easiest]
