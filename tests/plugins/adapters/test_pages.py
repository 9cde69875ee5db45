"""The harnesses' pages keep their word: commands exist, and those that can run here are run."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from tests.commands import options_of
from tests.environments import ROOT
from tests.plugins.adapters.conftest import Environment, MakePlan
from tests.plugins.conftest import Call

from midband import Plan
from midband._manager import get_plugin_manager
from midband.cli.root import cli
from midband.cli.run import inspect as inspect_command
from midband.descriptors import Round

PAGES = ROOT / "docs" / "harnesses"
# Harnesses that share a page with another.
SHARED = {"swe-agent": "swebench", "tau-bench": "tau2-bench"}
AGENTS = [f"known-{number}" for number in range(6)]
SIZE = 12
ROOMS = [str(ROOT / room) for room in ("history", "sampler", "sims", "plugins")]


def _commands(page: Path) -> list[list[str]]:
    text = page.read_text(encoding="utf-8")
    blocks = re.findall(r"^```console\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]


def test_every_harness_has_a_page_that_the_index_names() -> None:
    index = (PAGES / "README.md").read_text(encoding="utf-8")
    for name, harness in get_plugin_manager().harnesses().items():
        page = f"{SHARED.get(name, name)}.md"
        assert f"({page})" in index, name
        if name != "inspect":
            text = (PAGES / page).read_text(encoding="utf-8")
            assert all(version in text for version in harness.tested_versions), name
            assert (f"--for {name}" in text or name in SHARED) == harness.capabilities.subset or (
                name in SHARED
            )
            assert (f"midband run {name} " in text) == harness.capabilities.rounds, name


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_commands_exist_with_their_options(page: Path) -> None:
    for words in _commands(page):
        if words[0] != "midband":
            continue
        command = cli.get_command(click.Context(cli), words[1])
        assert command is not None, words
        if command is inspect_command:
            continue
        ours = words[2 : words.index("--")] if "--" in words else words[2:]
        known = options_of(command, ours)
        for word in ours:
            assert not word.startswith("-") or word in known, f"{page.name}: no {word} in {words}"


@pytest.mark.parametrize("page", sorted(PAGES.glob("*.md")), ids=lambda page: page.stem)
def test_arguments_on_pages_are_accepted(
    page: Path, make_a_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.chdir(tmp_path)
    harnesses = get_plugin_manager().harnesses()
    for words in _commands(page):
        if words[:2] == ["midband", "plan"]:
            make_a_plan(words[2], ["1", "2"]).write(words[words.index("--output") + 1])
        if words[:2] == ["midband", "export"]:
            code, out, err = call(*words[1:])
            assert code == 0, err
            assert harnesses[words[words.index("--for") + 1]].name in words
            assert words[-1] in out + err
        if words[:2] == ["midband", "run"]:
            batch = Round(
                plan=Plan.read("plan.json"),
                tasks=("1", "2"),
                directory=tmp_path / "r000",
                name="r000",
                arguments=tuple(words[words.index("--") + 1 :]),
            )
            assert harnesses[words[2]].build_command(batch).steps


def _run_page(name: str, folder: Path, programs: Path, **variables: str) -> list[str]:
    """Run the commands of a page in a folder; return what each printed."""
    shim = folder / "bin" / "midband"
    shim.parent.mkdir(exist_ok=True)
    rooms = os.pathsep.join(ROOMS)
    shim.write_text(f'#!/bin/sh\nPYTHONPATH={rooms} exec {sys.executable} -m midband "$@"\n')
    shim.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(shim.parent), str(programs), os.environ["PATH"]]),
        "MIDBAND_HISTORY": str(folder / "history.duckdb"),
        **variables,
    }
    printed = []
    for words in _commands(PAGES / f"{name}.md"):
        done = subprocess.run(
            words, cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
        printed.append(done.stdout + done.stderr)
    return printed


def _score(agent: int, task: int) -> float:
    return float((task * 7 + agent) % SIZE < 2 * (agent + 1))


@pytest.mark.slow
def test_the_page_of_lm_eval_is_run_as_written(environment: Environment, tmp_path: Path) -> None:
    """Its known agents are made up; the new ones are the harness's own dummy model."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    rows = [{"question": f"{n}", "answer": "lol" if n % 3 == 0 else "no"} for n in range(SIZE)]
    (tasks / "toy.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "toy.yaml").write_text(
        "task: toy\n"
        "dataset_path: json\n"
        "dataset_kwargs: {data_files: {test: tasks/toy.jsonl}}\n"
        "test_split: test\n"
        "output_type: generate_until\n"
        'doc_to_text: "Say a word: {{question}}"\n'
        'doc_to_target: "{{answer}}"\n'
        'generation_kwargs: {until: ["\\n"]}\n'
        "metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]\n"
    )
    for number, agent in enumerate(AGENTS):
        found = [
            {
                "doc_id": n,
                "filter": "none",
                "metrics": ["exact_match"],
                "exact_match": _score(number, n),
            }
            for n in range(SIZE)
        ]
        path = tmp_path / "results" / agent / "samples_toy_2026-01-21T03-44-18.458309.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in found))
    programs = environment("lm-eval", "click", "duckdb", "pluggy", "rich", "scipy")
    printed = _run_page(
        "lm-eval-harness",
        tmp_path,
        programs,
        HF_HUB_OFFLINE="1",
        HF_HOME=str(tmp_path / "cache"),
    )
    assert f"added {SIZE * len(AGENTS)} attempts" in printed[0]
    assert "new" in printed[3]
    assert "lm_eval run --tasks toy" in printed[4]
    assert "newer" in printed[6]


@pytest.mark.slow
def test_the_page_of_harbor_is_run_as_written(environment: Environment, tmp_path: Path) -> None:
    """Its known agents are made up, and `-e` is added: there are no containers here."""
    programs = environment("harbor", minimum=(3, 12))
    for task in range(SIZE):
        contents = {
            "task.toml": f'[task]\nname = "org/t{task}"\n',
            "instruction.md": "Write yes into done.\n",
            "environment/Dockerfile": "FROM scratch\n",
            "solution/solve.sh": '#!/bin/sh\necho yes > "$ROOT/app/done"\n',
            "tests/test.sh": '#!/bin/sh\ngrep -q yes "$ROOT/app/done" && echo 1 > "$ROOT/logs/'
            'verifier/reward.txt" || echo 0 > "$ROOT/logs/verifier/reward.txt"\n',
        }
        for name, content in contents.items():
            path = tmp_path / "tasks" / f"t{task}" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    for number, agent in enumerate(AGENTS):
        for task in range(SIZE):
            trial = {
                "id": f"{agent}-{task}",
                "task_name": f"org/t{task}",
                "trial_name": f"t{task}__x",
                "task_id": {"path": f"tasks/t{task}"},
                "source": "tasks",
                "config": {"job_id": agent},
                "agent_info": {"name": agent},
                "verifier_result": {"rewards": {"reward": _score(number, task)}},
            }
            path = tmp_path / "jobs" / agent / f"t{task}__x" / "result.json"
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps(trial))
    shim = tmp_path / "bin" / "harbor"
    shim.parent.mkdir()
    shim.write_text(
        f"#!/bin/sh\nPYTHONPATH={Path(__file__).parent} exec {programs / 'harbor'}"
        ' "$@" -e harbor_environment:LocalEnvironment\n'
    )
    shim.chmod(0o755)
    printed = _run_page("harbor", tmp_path, programs, LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert f"added {SIZE * len(AGENTS)} attempts" in printed[0]
    assert "oracle (org/new)" in printed[3]
    assert "harbor run --jobs-dir" in printed[4]
