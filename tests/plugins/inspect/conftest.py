import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from midband_history import Metric, OutcomeMatrix
from midband_sampler import RankSettled, Rule, make_plan

pytest.importorskip("inspect_ai", reason="needs midband[inspect]")

HERE = Path(__file__).parent

MATCH = Metric(name="match", declared="source")
MakePlan = Callable[..., Path]


@pytest.fixture(scope="module", autouse=True)
def collect_streams() -> Iterator[None]:
    """Let Inspect's unclosed streams be collected here, where their warnings are expected."""
    yield
    gc.collect()


@pytest.fixture(scope="session")
def toy() -> Any:
    """The module as Inspect loads it, so that the provider is registered once."""
    from inspect_ai._util.module import load_module

    return load_module(HERE / "toy_benchmark.py")


@pytest.fixture
def make(tmp_path: Path, toy: Any) -> MakePlan:
    """Write a plan made from what 19 toy agents would score; returns its path."""

    def build(
        *,
        benchmark: str = "toy",
        ids: Sequence[str] | None = None,
        stop: Rule | None = None,
        n: int = 40,
        name: str = "plan.json",
        digests: bool = True,
        strategy: str = "random",
        metric: Metric = MATCH,
    ) -> Path:
        from midband.inspect import task_digest

        samples = toy.samples(n=n)
        abilities = range(5, 100, 5)
        scores = np.array(
            [[float(toy.solves(a, str(i))) for i in range(1, n + 1)] for a in abilities]
        )
        matrix = OutcomeMatrix.from_scores(
            scores,
            benchmark=benchmark,
            agents=[f"toy/{ability}" for ability in abilities],
            tasks=list(ids or [str(sample.id) for sample in samples]),
            task_digests=[
                task_digest(sample.input, sample.target) if digests else "" for sample in samples
            ],
            cost_usd=np.full(scores.shape, 0.01),
            metric=metric,
        )
        rule = stop or RankSettled(confidence=0.9, width=0.5)
        path = tmp_path / name
        make_plan(matrix, strategy=strategy, stop=rule, seed=1).write(path)
        return path

    return build


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Inspect's own deprecations and unclosed streams are not ours to mend; our warnings stay."""
    for item in items:
        if HERE not in item.path.parents:
            continue
        for rule in (
            "default::DeprecationWarning",
            "ignore::pytest.PytestUnraisableExceptionWarning",
            "ignore::ResourceWarning",
            "error::DeprecationWarning:midband",
        ):
            item.add_marker(pytest.mark.filterwarnings(rule))
