"""A run in rounds that midband 0.1 began, with the plan and the journal as it wrote them."""

import hashlib
import json
from collections import Counter
from contextlib import redirect_stdout
from io import StringIO
from typing import TYPE_CHECKING

from tests.plugins.rounds.stand_in import main, score

from midband import Plan

if TYPE_CHECKING:
    from tests.plugins.rounds.conftest import Bench

# What 0.1 made of a history of five agents on twelve tasks: it names no metric and no version.
PLAN = (
    '{"midband_plan":1,"benchmark":"toy","strategy":"random","stop":{"rule":"none","confidenc'
    'e":0.95},"band":null,"seed":0,"as_of":"","warnings":[],"versions":{"midband":"0.1.0"},"t'
    'asks":["t09","t02","t07","t04","t05","t11","t00","t03","t06","t10","t08","t01"],"all_tas'
    'ks":["t00","t01","t02","t03","t04","t05","t06","t07","t08","t09","t10","t11"],"task_dige'
    'sts":["digest-0","digest-1","digest-2","digest-3","digest-4","digest-5","digest-6","dige'
    'st-7","digest-8","digest-9","digest-10","digest-11"],"reference_agents":["agent-0","agen'
    't-1","agent-2","agent-3","agent-4"],"reference_scores":"eJxjYACBD/YMZAFi9eFShy5Oa/NgfGLV'
    'EWs+qfaSSxNrHkIdAEQiI4M=","expected_cost_usd":"eJxjYACBB/YMNKIBaGINdQ==","max_tasks":nul'
    'l,"notes":[],"calibration":null,"model":null,"digest":"2f820b59497952ec"}'
)


def begin(bench: "Bench", arguments: tuple[str, ...]) -> None:
    """Leave the directory of a run that was killed in its second round, as 0.1 left it."""
    bench.plan_path.write_text(PLAN)
    order = bench.plan.tasks
    words = ["--ledger", str(bench.ledger.path), *arguments]
    bench.directory.mkdir()
    (bench.directory / "plan.json").write_text(PLAN)
    results = []
    for name, tasks, ran in (("r000", order[:4], order[:4]), ("r001", order[4:8], order[4:6])):
        jobs = bench.directory / name / "jobs"
        jobs.mkdir(parents=True)
        ids = bench.directory / name / "ids.json"
        ids.write_text(json.dumps(list(ran)))
        with redirect_stdout(StringIO()):
            assert main(["--ids", str(ids), "--jobs", str(jobs), *words]) == 0
        ids.write_text(json.dumps(list(tasks)))
        results.append(
            [
                {
                    "task": task,
                    "attempt": 0,
                    "score": score(task),
                    "kind": "valid",
                    "cost_usd": 0.5,
                    "seconds": None,
                    "key": f"{jobs}/{task}__0000000",
                }
                for task in ran
            ]
        )
    ended = {
        "name": "r000",
        "tasks": order[:4],
        "status": "finished",
        "codes": [0],
        "results": results[0],
        "extra": [],
        "extra_usd": 0.0,
        "unreadable": [],
        "duplicates": 0,
        "agent": "new",
    }
    events = [
        {
            "event": "run",
            "harness": "stand-in",
            "plan": bench.plan.digest,
            "arguments": hashlib.sha256(json.dumps(words).encode()).hexdigest()[:16],
            "attempts": 1,
            "benchmark": "toy",
            "live": False,
        },
        {"event": "round", "name": "r000", "tasks": order[:4], "results": "r000/jobs"},
        {"event": "step", "step": 0},
        {"event": "ended", "round": ended, "attempts": 1},
        {"event": "round", "name": "r001", "tasks": order[4:8], "results": "r001/jobs"},
        {"event": "step", "step": 0},
    ]
    lines = "".join(f"{json.dumps(event)}\n" for event in events)
    (bench.directory / "rounds.jsonl").write_text(lines)


def test_a_run_of_midband_0_1_goes_on_and_pays_nothing_twice(bench: "Bench") -> None:
    arguments = ("--cost", "0.5", "--api-key", "secret")
    begin(bench, arguments)
    code, out, error = bench.run("--json", arguments=arguments)
    assert code == 0, error
    assert "continuing after 1 round in" in error
    assert "does not say which metric" in error
    assert Counter(bench.ledger.results) == Counter(Plan.read(bench.plan_path).tasks)
    found = json.loads(out)
    # The two tasks that the killed round may have begun count at what they are expected to cost.
    assert (found["tasks_run"], found["spent_usd"]) == (12, 7.0)
    code, again, error = bench.run("--json", arguments=arguments)
    assert code == 0, error
    assert json.loads(again)["rank"] == found["rank"]
    assert len(bench.ledger.results) == 12


def test_a_run_of_midband_0_1_by_other_arguments_is_refused(bench: "Bench") -> None:
    begin(bench, ("--cost", "0.5"))
    code, _, error = bench.run(arguments=("--cost", "0.7"))
    assert code == 2
    assert "repeat the same command" in error
    assert len(bench.ledger.results) == 6
