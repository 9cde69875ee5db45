"""`midband run` with harnesses themselves: Harbor's oracle and a dummy model, round by round."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from tests.environments import ROOT
from tests.plugins.adapters.conftest import Environment, MakePlan

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
ROOMS = [str(ROOT / room) for room in ("history", "sampler", "sims", "plugins")]
LM_EVAL = ("lm-eval", "click", "duckdb", "pluggy", "rich", "scipy")


# Nobody's own history: the default one is looked for here.
NO_HISTORY = tempfile.TemporaryDirectory(prefix="midband-no-history-")


def _midband(
    python: Path | str, programs: Path, *words: str | Path, code: int = 0
) -> subprocess.CompletedProcess[str]:
    variables = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([*ROOMS, str(HERE)]),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "XDG_DATA_HOME": NO_HISTORY.name,
        "HF_HUB_OFFLINE": "1",
    }
    done = subprocess.run(
        [str(python), "-m", "midband", *map(str, words)],
        env=variables,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_harbor_runs_in_rounds(
    environment: Environment, make_a_plan: MakePlan, tmp_path: Path
) -> None:
    programs = environment("harbor", minimum=(3, 12))
    tasks = [f"task-{number}" for number in range(5)]
    for number, task in enumerate(tasks):
        answer = "yes" if number % 2 else "no"
        contents = {
            "task.toml": f'[task]\nname = "org/{task}"\n',
            "instruction.md": "Write yes into done.\n",
            "environment/Dockerfile": "FROM scratch\n",
            "solution/solve.sh": f'#!/bin/sh\necho {answer} > "$ROOT/app/done"\n',
            "tests/test.sh": '#!/bin/sh\ngrep -q yes "$ROOT/app/done" && echo 1 > "$ROOT/logs/'
            'verifier/reward.txt" || echo 0 > "$ROOT/logs/verifier/reward.txt"\n',
        }
        for name, content in contents.items():
            path = tmp_path / "ds" / task / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    plan = make_a_plan("ds", [*tasks, "no-such-task"])
    plan.write(tmp_path / "plan.json")
    words = ("run", "harbor", tmp_path / "plan.json", "--output", tmp_path / "run", "--json")
    environment_class = "harbor_environment:LocalEnvironment"
    arguments = ("-p", tmp_path / "ds", "-e", environment_class, "-a", "oracle", "-m", "org/m")
    done = _midband(
        sys.executable,
        programs,
        *(*words, "--metric", "reward", "--round-size", "3", "--attempts", "2", "--", *arguments),
    )
    found = json.loads(done.stdout)
    assert found["tasks_run"] == 6
    assert found["without_result"] == ["no-such-task"]
    assert "no result for no-such-task" in done.stderr
    assert found["score"] == pytest.approx(2 / 5)
    imported = _midband(
        sys.executable,
        programs,
        *("import", tmp_path / "run", "--benchmark", "ds"),
        *("--history", tmp_path / "h.duckdb"),
    )
    assert "added 10 attempts" in imported.stdout


def _lm_eval_tasks(tmp_path: Path) -> Path:
    """Return a folder with the task ``toy`` of twelve documents."""
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"question": f"{n}", "answer": "lol" if n % 3 == 0 else "no"} for n in range(12)]
    (folder / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "toy.yaml").write_text(
        "task: toy\n"
        "dataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {folder / 'toy.jsonl'}}}}}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        'doc_to_text: "Say a word: {{question}}"\n'
        'doc_to_target: "{{answer}}"\n'
        'generation_kwargs: {until: ["\\n"]}\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    return folder


@pytest.mark.parametrize("options", [(), ("--in-process",)], ids=["command", "library"])
def test_lm_eval_runs_in_rounds(
    environment: Environment, make_a_plan: MakePlan, tmp_path: Path, options: tuple[str, ...]
) -> None:
    programs = environment(*LM_EVAL)
    folder = _lm_eval_tasks(tmp_path)
    make_a_plan("toy", [str(number) for number in range(12)]).write(tmp_path / "plan.json")
    done = _midband(
        programs / "python",
        programs,
        *("run", "lm-eval-harness", tmp_path / "plan.json", "--output", tmp_path / "run"),
        *("--metric", "exact_match", "--json", "--round-size", "6", *options, "--"),
        *("--model", "dummy", "--model_args", "model=mine", "--include_path", folder),
    )
    found = json.loads(done.stdout)
    assert (found["rounds"], found["tasks_run"], found["without_result"]) == (2, 10, [])
    assert found["score"] == pytest.approx(0.3)


def test_lm_eval_runs_a_race(environment: Environment, tmp_path: Path) -> None:
    programs = environment(*LM_EVAL)
    folder = _lm_eval_tasks(tmp_path)
    (tmp_path / "race.toml").write_text(
        'question = "top:1:0.9"\n[[candidates]]\nname = "one"\n[[candidates]]\nname = "two"\n'
    )
    (tmp_path / "ids.txt").write_text("".join(f"{number}\n" for number in range(12)))
    race, output = tmp_path / "race.json", tmp_path / "race"
    python = programs / "python"
    _midband(
        python,
        programs,
        *("plan", "toy", "--candidates", tmp_path / "race.toml", "--output", race),
        *("--tasks", tmp_path / "ids.txt", "--metric", "exact_match"),
    )
    words = ("race", "lm-eval-harness", race, "--output", output, "--json", "--parallel", "2")
    arguments = ("--model", "dummy", "--model_args", "model={candidate}", "--include_path", folder)
    done = _midband(python, programs, *words, "--round-size", "12", "--", *arguments)
    found = json.loads(done.stdout)
    # The dummy model answers alike under both names: a tie that only all tasks can tell.
    assert (found["results"], found["rounds"]) == (24, 2)
    assert [each["score"] for each in found["ranked"]] == [pytest.approx(1 / 3)] * 2
    assert found["tied"] == [["one", "two"]]
    again = _midband(python, programs, *words, "--", *arguments)
    assert json.loads(again.stdout) == found
