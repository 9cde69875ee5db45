"""What the contracts share: checks that hold under ``python -O`` too, and things to try on."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from midband_history import OutcomeMatrix
from midband_sampler import Never, Plan, make_plan

N_AGENTS = 12
SEED = 20260101
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")

Error = TypeVar("Error", bound=Exception)


def check(condition: object, message: str) -> None:
    """Fail the test with a message unless the condition holds."""
    if not condition:
        raise AssertionError(message)


def check_name(name: object) -> None:
    """Check what a person types after an option."""
    check(
        isinstance(name, str) and _NAME.fullmatch(name),
        f"expected a name of lower-case letters, digits, dots and dashes, got {name!r}",
    )


def refused(call: Callable[[], object], kinds: type[Error], message: str) -> Error:
    """Check that a call raises one of these errors, and return it."""
    try:
        found = call()
    except kinds as error:
        check(
            len(str(error).splitlines()) == 1,
            f"expected an error of one line, got {str(error)!r}",
        )
        return error
    except Exception as error:
        msg = f"{message}, got {type(error).__name__}: {error}"
        raise AssertionError(msg) from error
    msg = f"{message}, got {found!r}"
    raise AssertionError(msg)


def make_matrix(
    tasks: Sequence[str], *, benchmark: str = "toy", holes: bool = False, costs: bool = False
) -> OutcomeMatrix:
    """Return results of 12 agents from weak to strong, half of the tasks of middle difficulty.

    Parameters
    ----------
    holes : bool
        Leave one cell in four unknown, and the last task for everyone.
    costs : bool
        Say what each attempt cost.
    """
    rng = np.random.default_rng(SEED)
    ability = np.linspace(-1.5, 1.5, N_AGENTS)[:, None]
    difficulty = np.linspace(-2.5, 2.5, len(tasks))
    chance = 1.0 / (1.0 + np.exp(difficulty - ability))
    scores = (rng.random(chance.shape) < chance).astype(float)
    if holes:
        scores[rng.random(scores.shape) < 0.25] = np.nan
        scores[:, -1] = np.nan
    paid = np.tile(np.linspace(1.0, 2.0, len(tasks)), (N_AGENTS, 1)) if costs else None
    return OutcomeMatrix.from_scores(scores, tasks=tuple(tasks), benchmark=benchmark, cost_usd=paid)


def plan_of(tasks: Sequence[str], *, benchmark: str = "toy") -> Plan:
    """Return a plan of all these tasks, in random order, without an early stop."""
    matrix = make_matrix(tasks, benchmark=benchmark)
    return make_plan(matrix, strategy="random", stop=Never(), seed=SEED)


def snapshot(directory: Path) -> dict[str, bytes]:
    """Return the content of every file below a directory, by its path within."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }
