"""The example for training runs: it keeps the best checkpoint, cheaply and seldom wrongly."""

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from scipy.stats import binomtest

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "best_checkpoint.py"


@pytest.fixture(scope="module")
def example() -> Any:
    module = ModuleType("best_checkpoint")
    exec(compile(EXAMPLE.read_text(encoding="utf-8"), EXAMPLE.name, "exec"), vars(module))  # noqa: S102
    return module


def test_a_simulated_training_run_keeps_its_best_checkpoint(
    example: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    keeper = example.simulate()
    assert keeper.best == "step-5"
    assert keeper.runs < 8 * 200 * 0.6
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 9
    page = (EXAMPLE.parents[1] / "python.md").read_text(encoding="utf-8")
    assert f"with {keeper.runs} of\n1,600 results" in page


def test_every_promotion_is_right_over_all_checkpoints(example: Any) -> None:
    """Later checkpoints are worse by one task each, so that any promotion is wrong."""
    steps, tasks = 4, [str(place) for place in range(30)]
    wrong = 0
    for seed in range(25):
        rng = random.Random(seed)
        solved = [set(rng.sample(tasks, 15 - step)) for step in range(steps)]

        def run(checkpoint: str, task: str, solved: Any = solved) -> float:
            return float(task in solved[int(checkpoint)])

        keeper = example.BestCheckpoint(tasks, run, confidence=0.8, share=0.8, seed=1000 * seed)
        for step in range(steps):
            keeper.offer(str(step))
        wrong += keeper.best != "0"
    assert binomtest(wrong, 25, 0.2, alternative="greater").pvalue > 1e-4
