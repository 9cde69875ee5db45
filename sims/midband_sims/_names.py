"""What the names in a study's grid refer to: midband's own strategies and rules, or others too."""

from collections.abc import Callable
from dataclasses import dataclass

from midband_sampler import Rule, Strategy, check_strategy, parse_stop


def _own(name: str) -> str:
    check_strategy(name)
    return name


@dataclass(frozen=True, kw_only=True)
class Names:
    """How a study finds strategies and rules, in every process that replays some of it.

    Parameters
    ----------
    strategy : callable
        From a name to a strategy, or to the name of one of the sampler's; a function of a module,
        for the processes of a study import it.
    stop : callable
        From a text to a stopping rule; a function of a module too.
    version : str
        Of what these find besides the sampler's own: a study goes on only from results of the same.
    """

    strategy: Callable[[str], str | Strategy] = _own
    stop: Callable[[str], Rule] = parse_stop
    version: str = ""

    def check(self, strategies: tuple[str, ...], stops: tuple[str, ...]) -> None:
        """Raise an error that lists what there is unless every name is known."""
        for name in strategies:
            found = self.strategy(name)
            if isinstance(found, str):
                check_strategy(found)
        for text in stops:
            self.stop(text)
