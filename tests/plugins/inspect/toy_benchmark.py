"""An offline benchmark and provider: what a model solves is in its name, nothing is called."""

import asyncio
import hashlib
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

from inspect_ai import Task, task
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    ChatMessageUser,
    ContentImage,
    ContentText,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
    modelapi,
)
from inspect_ai.scorer import Score, Target, accuracy, match, scorer
from inspect_ai.solver import Generate, TaskState, generate, solver
from inspect_ai.tool import ToolChoice, ToolInfo

from midband._manager import get_plugin_manager

N_TASKS = 40


def chance(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6], "big") / 2**48


def solves(ability: int, item: str) -> bool:
    """Ability in percent; each task has a difficulty of its own that shifts it."""
    return chance(f"luck {ability} {item}") < ability / 100 + 0.6 * (chance(f"hard {item}") - 0.5)


# How often each model was asked for each item; Inspect loads this file anew for every task.
_KEPT = sys.modules.setdefault("toy_calls", ModuleType("toy_calls"))
CALLS: Counter[tuple[str, str]] = vars(_KEPT).setdefault("calls", Counter())
LATE = 30  # calls of other models that a late one waits for


class ToyModel(ModelAPI):
    """Of an ability in percent; behind a hyphen, how it behaves: slow, late, dead or limited."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        **_: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        item = input[-1].text.rpartition(" ")[2]
        ability, _, kind = self.model_name.partition("-")
        CALLS[self.model_name, item] += 1
        if kind == "slow":
            await asyncio.sleep(0.01)
        while kind == "late" and sum(n for (name, _), n in CALLS.items() if "-" not in name) < LATE:
            await asyncio.sleep(0.01)
        if kind == "dead" or (kind == "limited" and int(item) % 3 == 0):
            msg = "429: too many requests" if kind == "limited" else "the model is gone"
            raise RuntimeError(msg)
        text = "yes" if solves(int(ability), item) else "no"
        output = ModelOutput.from_content(model=self.model_name, content=text)
        output.usage = ModelUsage(input_tokens=3, output_tokens=1, total_tokens=4, total_cost=0.01)
        return output


@modelapi(name="toy")
def toy_api() -> type[ModelAPI]:
    return ToyModel


def samples(ids: str = "text", n: int = N_TASKS, changed: int = 0) -> list[Sample]:
    kinds: dict[str, Any] = {"text": "item-{}".format, "int": int, "none": lambda _: None}
    return [
        Sample(
            id=kinds[ids](place),
            input=f"{'Changed: ' if place <= changed else ''}say yes {place}",
            target="yes",
        )
        for place in range(1, n + 1)
    ]


@solver
def fails_on(items: str, until: str = "", heals: bool = False) -> Any:
    """Raises for the items named, with blanks between, until a file is there; heals: puts it."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if str(state.input_text).rpartition(" ")[2] in items.split() and not (
            until and Path(until).exists()
        ):
            if heals:
                Path(until).touch()
            msg = "the sandbox did not start"
            raise RuntimeError(msg)
        return await generate(state)

    return solve


@solver
def held(item: str) -> Any:
    """Keeps one item until the plugin `recorder` of the tests has heard of another's result."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if str(state.sample_id) == item:
            recorder: Any = get_plugin_manager()._pluggy.get_plugin("recorder")
            await recorder.heard.wait()
        return await generate(state)

    return solve


@scorer(metrics=[accuracy()])
def odd_scorer(kind: str) -> Any:
    values: dict[str, Any] = {
        "nan": float("nan"),
        "list": [1.0],
        "word": "perhaps",
        "judge": 7,
        "mapping": {"correct": True, "tone": 0.25},
    }

    async def score(state: TaskState, target: Target) -> Score:
        return Score(value=values[kind])

    return score


@task
def toy(
    ids: str = "text",
    n: int = N_TASKS,
    changed: int = 0,
    errors: str = "",
    until: str = "",
    heals: bool = False,
    odd: str = "",
    hold: str = "",
    image: str = "",
    both: bool = False,
) -> Task:
    solve = held(hold) if hold else generate()
    chosen = samples(ids, n, changed)
    if image:
        text = ContentText(text=str(chosen[-1].input))
        chosen[-1].input = [ChatMessageUser(content=[ContentImage(image=image), text])]
    return Task(
        dataset=MemoryDataset(chosen, name="toy"),
        solver=fails_on(errors, until, heals) if errors else solve,
        scorer=[odd_scorer(odd), match()] if odd and both else odd_scorer(odd) if odd else match(),
    )


@task
def other(n: int = N_TASKS) -> Task:
    return Task(dataset=MemoryDataset(samples(n=n), name="other"), scorer=match())
