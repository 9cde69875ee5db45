"""The adapter of the stand-in, and `midband` with it registered."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from midband import (
    Capabilities,
    Command,
    InputError,
    Plan,
    Probe,
    Record,
    Round,
    UnreadableSourceError,
    get_plugin_manager,
    hookimpl,
)
from midband.adapters.harbor import read
from midband.cli.root import run
from midband.descriptors import ReadOptions, subset_of

SCRIPT = Path(__file__).with_name("stand_in.py")


def _written_cost(file: Path) -> float | None:
    """Return the cost as it stands in the file, which no reader has judged."""
    cost = json.loads(file.read_text())["agent_result"]["cost_usd"]
    return cost if cost is not None and math.isfinite(cost) else None


class StandIn:
    """Runs ``stand_in.py``, in one step or with a second that only notes that it ran."""

    summary = "A stand-in that writes Harbor's files."
    tested_versions = ()
    name = "stand-in"
    capabilities = Capabilities(
        subset=True, rounds=True, attempts=True, costs=True, in_process=True
    )
    problem = ""

    def probe(self) -> Probe:
        return Probe(version="1", problem=self.problem)

    def read_results(self, path: Path, *, benchmark: str | None = None) -> Iterator[Record]:
        torn = []
        for file in sorted(path.rglob("result.json")):
            try:
                for item in read(file, options=ReadOptions(benchmark=benchmark)):
                    if isinstance(item, Record):
                        yield replace(item, cost_usd=_written_cost(file))
            except UnreadableSourceError as error:
                torn.append(str(error))
        if torn:
            raise UnreadableSourceError("; ".join(torn))

    def write_subset(
        self, plan: Plan, directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        path = directory / "ids.json"
        path.write_text(json.dumps(sorted(subset_of(plan, tasks))))
        return (path,)

    def build_command(self, batch: Round) -> Command:
        if "--ids" in batch.arguments:
            msg = "expected no --ids, got it: midband names the tasks"
            raise InputError(msg)
        rest = list(batch.arguments)
        score = "--score" in rest
        if score:
            rest.remove("--score")
        jobs = batch.directory / "jobs"
        step = (
            *(sys.executable, "-IS", str(SCRIPT), "--ids", str(batch.directory / "ids.json")),
            *("--jobs", str(jobs), "--attempts", str(batch.attempts), *rest),
        )
        second = (sys.executable, "-IS", "-c", f"open({str(jobs / 'scored')!r}, 'a').write('x')")
        return Command(steps=(step, second) if score else (step,), results=jobs)

    def start(self, arguments: Sequence[str]) -> "Loaded":
        return Loaded(tuple(arguments))


class Loaded:
    """The stand-in as a library; `loads` counts how often one was made."""

    loads = 0

    def __init__(self, arguments: tuple[str, ...]) -> None:
        type(self).loads += 1
        self.arguments = arguments

    def __call__(self, batch: Round) -> Path:
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location("stand_in", SCRIPT)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        spec.loader.exec_module(module)
        jobs = batch.directory / "jobs"
        code = module.main(
            [
                *("--ids", str(batch.directory / "ids.json"), "--jobs", str(jobs)),
                *("--attempts", str(batch.attempts), *self.arguments),
            ]
        )
        if code:
            msg = f"exit {code}"
            raise RuntimeError(msg)
        return jobs


class Plugin:
    """What a plugin of the stand-in would be; keeps what its observers were told."""

    def __init__(self) -> None:
        self.harness = StandIn()
        self.recorded: list[tuple[str, float | None]] = []
        self.finished: list[object] = []

    @hookimpl
    def midband_register_harnesses(self) -> list[StandIn]:
        return [self.harness]

    @hookimpl
    def midband_result_recorded(self, task_id: str, score: float | None) -> None:
        self.recorded.append((task_id, score))

    @hookimpl
    def midband_run_finished(self, decision: object) -> None:
        self.finished.append(decision)


if __name__ == "__main__":
    get_plugin_manager().register(Plugin(), name="stand-in")
    raise SystemExit(run(sys.argv[1:]))
