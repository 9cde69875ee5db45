"""What an Inspect task declares of its scores before it runs."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from inspect_ai.scorer._scorer import scorer_metrics, unique_scorer_name

from midband.inspect._scores import Shape

if TYPE_CHECKING:
    from inspect_ai import Task
    from inspect_ai.scorer import Scorer

_PATTERN = frozenset("*?[")


def declared_shapes(task: "Task") -> dict[str, Shape]:
    """Return the task's scorers by the names that its log will give them, in order.

    The keys of a scorer are known where its metrics, or the task's, are given by key; a pattern
    says nothing of them.
    """
    shapes: dict[str, Shape] = {}
    for scorer in _scorers(task):
        shape = Shape()
        for metrics in _entries(task.metrics or scorer_metrics(scorer)):
            if not isinstance(metrics, Mapping):
                shape.plain = True
            elif any(_PATTERN.intersection(key) for key in metrics):
                shape = Shape(plain=True)
                break
            else:
                shape.keys.update(dict.fromkeys(metrics, True))
        shapes[unique_scorer_name(scorer, list(shapes))] = shape
    return shapes


def _scorers(task: "Task") -> "list[Scorer]":
    found: Any = task.scorer
    if found is None:
        return []
    return list(found) if isinstance(found, list | tuple) else [found]


def _entries(metrics: Any) -> Iterator[Any]:
    if isinstance(metrics, Mapping):
        yield metrics
    else:
        yield from metrics
