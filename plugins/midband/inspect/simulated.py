"""The simulated world as Inspect AI sees it: a task, and a model provider that spends nothing."""

import re
import sys
from collections.abc import Sequence
from typing import Any

from inspect_ai import Task
from inspect_ai._util.error import PrerequisiteError  # printed by Inspect on one line
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.model import (
    ChatMessage,
    GenerateConfig,
    ModelAPI,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.scorer import match
from inspect_ai.tool import ToolChoice, ToolInfo

from midband.inspect.demo import (
    BENCHMARK,
    N_TASKS,
    NEW_AGENT,
    RIVALS,
    agent_names,
    answer,
    attempt,
)


def toy_task(n_tasks: int = N_TASKS) -> Task:
    """Return the toy benchmark: simulated tasks that only simulated agents can solve."""
    return Task(
        name=BENCHMARK,
        dataset=MemoryDataset(
            [
                Sample(
                    id=f"toy-{task:03d}",
                    input=f"Simulated task {task}: name the number that belongs to it.",
                    target=str(answer(task)),
                )
                for task in range(1, n_tasks + 1)
            ],
            name=BENCHMARK,
        ),
        scorer=match(location="exact"),
        metadata={"simulated": True, "note": "made by midband demo; no model was called"},
    )


class SimulatedModel(ModelAPI):
    """Answers as a simulated agent of known ability would; never opens a connection."""

    def __init__(
        self,
        model_name: str,
        base_url: str | None = None,
        api_key: str | None = None,
        config: GenerateConfig | None = None,
        **model_args: Any,
    ) -> None:
        super().__init__(model_name, base_url, api_key, [], config or GenerateConfig())
        if model_name not in (NEW_AGENT, *RIVALS, *agent_names()):
            known = agent_names()
            msg = (
                f"expected a simulated agent, {known[0]} to {known[-1]} or {NEW_AGENT},"
                f" got {model_name!r}: there are no others"
            )
            raise PrerequisiteError(msg)

    async def generate(
        self,
        input: list[ChatMessage],  # noqa: A002 (the name is Inspect's)
        tools: list[ToolInfo],
        tool_choice: ToolChoice,
        config: GenerateConfig,
    ) -> ModelOutput:
        """Return the right answer or a wrong one, with made-up tokens and cost."""
        found = re.search(r"Simulated task (\d+)", input[-1].text)
        if found is None:
            text = "The simulated agents know nothing but the toy benchmark."
            return ModelOutput.from_content(model=self.model_name, content=text)
        task = int(found[1])
        done = attempt(self.model_name, task)
        output = ModelOutput.from_content(
            model=self.model_name, content=str(answer(task) if done.solved else 0)
        )
        output.usage = ModelUsage(
            input_tokens=done.tokens // 2,
            output_tokens=done.tokens - done.tokens // 2,
            total_tokens=done.tokens,
            total_cost=done.cost_usd,
        )
        return output

    def max_connections(self) -> int:
        """Return how many calls may run at once: nothing is waited for."""
        return 50


def make_logs(log_dir: str, agents: Sequence[str]) -> bool:
    """Run the toy benchmark in full for every agent; return whether all went well."""
    import inspect_ai

    from midband.inspect import _registry
    from midband.inspect.demo import PROVIDER
    from midband.inspect.simulated import toy_task

    del _registry  # imported so that its provider is known
    logs = inspect_ai.eval(
        toy_task(),
        model=[f"{PROVIDER}/{agent}" for agent in agents],
        log_dir=log_dir,
        display="none",
        max_tasks=4,
        max_samples=50,
        log_realtime=False,
    )
    return len(logs) == len(agents) and all(log.status == "success" for log in logs)


if __name__ == "__main__":
    raise SystemExit(0 if make_logs(sys.argv[1], sys.argv[2:]) else 1)
