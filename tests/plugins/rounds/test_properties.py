"""Whatever goes wrong and whenever midband dies: no result is paid for twice, none is lost."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from midband import Capabilities, Command, OutcomeMatrix, Plan, Probe, Record, Round, make_plan
from midband.rounds import RoundDriver, RoundEnd, RunSettings, Standing
from midband_sampler import Never, Session

TASKS = tuple(f"t{number}" for number in range(8))


def _plan() -> Plan:
    scores = (np.random.default_rng(5).random((6, len(TASKS))) < 0.5).astype(float)
    matrix = OutcomeMatrix.from_scores(
        scores, benchmark="toy", tasks=TASKS, cost_usd=np.ones(scores.shape)
    )
    return make_plan(matrix, strategy="random", stop=Never())


PLAN = _plan()


class Killed(BaseException):
    """The end of midband, and of a harness in its process, in the middle of a round."""


class Faulty:
    """A harness within the process whose every task does what a script says, try by try.

    Parameters
    ----------
    script : sequence of str
        What happens to the next task: ``ok``, ``infra``, ``drop``, ``crash`` or ``kill``; ``ok``
        when it is used up.
    """

    name = "faulty"
    summary = "for tests"
    tested_versions = ()
    capabilities = Capabilities(subset=True, rounds=True, in_process=True, costs=True)

    def __init__(self, script: Sequence[str]) -> None:
        self.script = list(script)
        self.paid: Counter[str] = Counter()

    def probe(self) -> Probe:
        return Probe()

    def read_results(self, path: Path, *, benchmark: str | None = None) -> list[Record]:
        lines = path.joinpath("results").read_text().splitlines()
        return [Record(benchmark="toy", agent="new", **json.loads(line)) for line in lines]

    def write_subset(
        self, plan: Plan, directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        (directory / "results").touch()
        return ()

    def build_command(self, batch: Round) -> Command:
        raise NotImplementedError

    def start(self, arguments: Sequence[str]) -> "Faulty":
        return self

    def __call__(self, batch: Round) -> Path:
        assert batch.tasks
        with (batch.directory / "results").open("a", buffering=1) as file:
            for task in batch.tasks:
                event = self.script.pop(0) if self.script else "ok"
                if event == "kill":
                    raise Killed
                if event == "crash":
                    msg = "crash"
                    raise RuntimeError(msg)
                if event == "drop":
                    continue
                kind = "valid" if event == "ok" else "infra_error"
                value = float(TASKS.index(task) % 2) if event == "ok" else None
                if event == "ok":
                    self.paid[task] += 1
                file.write(
                    json.dumps({"task_id": task, "score": value, "kind": kind, "cost_usd": 1.0})
                    + "\n"
                )
        return batch.directory


class Ear:
    """Hears, and keeps nothing."""

    def round_started(self, batch: Round, standing: Standing) -> None: ...

    def round_ended(self, end: RoundEnd, standing: Standing) -> None: ...

    def note(self, line: str) -> None: ...


@settings(max_examples=40, deadline=None)
@given(
    script=st.lists(st.sampled_from(["ok", "ok", "infra", "drop", "crash", "kill"]), max_size=25),
    size=st.integers(1, 9),
)
def test_every_result_counts_once_however_the_run_goes(script: list[str], size: int) -> None:
    harness = Faulty(script)
    with TemporaryDirectory() as folder:
        for _ in range(60):
            driver = RoundDriver(
                harness, PLAN, Path(folder), RunSettings(round_size=size, in_process=True), Ear()
            )
            try:
                report = driver.run()
            except Killed:
                continue
            if not report.failed:
                break
        else:
            raise AssertionError("the run does not come to an end")
    decision = report.standing.decision
    assert max(harness.paid.values(), default=1) == 1
    assert decision.tasks_run == len(TASKS)
    assert set(report.standing.without_result) == set(TASKS) - set(harness.paid)
    session = Session(PLAN)
    for task in PLAN.tasks:
        value = float(TASKS.index(task) % 2) if harness.paid[task] else None
        session.tell(task, score=value, outcome="missing" if value is None else "valid")
    expected = session.decision()
    assert (decision.rank, decision.low, decision.high) == (
        expected.rank,
        expected.low,
        expected.high,
    )
    assert report.standing.recorded_usd >= sum(harness.paid.values())


@settings(max_examples=40, deadline=None)
@given(
    script=st.lists(st.sampled_from(["ok", "infra", "drop", "crash", "kill"]), max_size=25),
    size=st.integers(1, 9),
    max_usd=st.floats(0.5, 12),
    max_tasks=st.integers(1, 9),
)
def test_the_limits_hold_however_the_run_goes(
    script: list[str], size: int, max_usd: float, max_tasks: int
) -> None:
    harness = Faulty(script)
    with TemporaryDirectory() as folder:
        for _ in range(60):
            limits = RunSettings(
                round_size=size, in_process=True, max_usd=max_usd, max_tasks=max_tasks
            )
            try:
                report = RoundDriver(harness, PLAN, Path(folder), limits, Ear()).run()
            except Killed:
                continue
            if not report.failed:
                break
        else:
            raise AssertionError("the run does not come to an end")
    assert report.standing.tasks <= max_tasks
    assert report.standing.recorded_usd <= report.standing.spent_usd <= max_usd + 1e-9
