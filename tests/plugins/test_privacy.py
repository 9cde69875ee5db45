"""The history holds results only: no prompt, target, answer or transcript, whatever the harness."""

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from midband.cli.root import run
from midband_history import History

SECRET = "XYZZY"
PROMPT = f"{SECRET} please say which of these is right, and think step by step"


def _write(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _held(store: Path) -> str:
    """All that stands in a history, as text, and all of its file that is not compressed."""
    with duckdb.connect(str(store), read_only=True) as connection:
        tables = [str(row[0]) for row in connection.execute("SHOW TABLES").fetchall()]
        rows = [connection.execute(f'FROM "{table}"').fetchall() for table in tables]
    return repr(rows) + store.read_bytes().decode("latin-1")


def _import(source: Path, *arguments: str) -> str:
    """Import into a new history; return what it holds, once it is sure that it holds results."""
    store = source.with_name("h.duckdb")
    code = run(["import", str(source), *arguments, "--history", str(store)])
    assert code == 0
    with History.open(store, read_only=True) as history:
        assert sum(each.attempts for each in history.benchmarks()) > 0
        history.export(store.with_name("h.parquet"))
    with duckdb.connect() as connection:
        file = {"path": str(store.with_name("h.parquet"))}
        exported = connection.execute("FROM read_parquet($path)", file).fetchall()
    return _held(store) + repr(exported)


@pytest.fixture
def inspect_log(tmp_path: Path) -> Path:
    pytest.importorskip("inspect_ai", reason="needs midband[inspect]")
    from inspect_ai import Task
    from inspect_ai import eval as inspect_eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import ModelOutput
    from inspect_ai.scorer import match
    from inspect_ai.solver import Generate, TaskState, solver, system_message

    @solver
    def answers() -> Any:
        async def solve(state: TaskState, generate: Generate) -> TaskState:
            if state.sample_id == "2":
                raise RuntimeError(PROMPT)
            state.output = ModelOutput.from_content("mockllm/model", f"{SECRET} {state.sample_id}")
            return state

        return solve

    samples = [
        Sample(id=str(i), input=f"{PROMPT} {i}", target=f"{SECRET} {i}", metadata={"why": PROMPT})
        for i in range(4)
    ]
    task = Task(
        dataset=MemoryDataset(samples, name="toy"),
        solver=[system_message(PROMPT), answers()],
        scorer=match(),
        name="toy",
    )
    inspect_eval(
        task,
        model="mockllm/model",
        system_message=PROMPT,
        temperature=0.5,
        fail_on_error=False,
        display="none",
        log_level="critical",
        log_dir=str(tmp_path / "logs"),
    )
    return tmp_path / "logs"


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_inspect_log_leaves_its_text_behind(inspect_log: Path) -> None:
    held = _import(inspect_log)
    assert "temperature" in held
    assert SECRET not in held


def test_lm_eval_samples_leave_their_documents_behind(tmp_path: Path) -> None:
    rows = [
        {
            "doc_id": i,
            "doc": {"question": PROMPT},
            "target": SECRET,
            "arguments": {"gen_args_0": {"arg_0": PROMPT}},
            "resps": [[PROMPT]],
            "filtered_resps": [SECRET],
            "filter": "none",
            "metrics": ["acc"],
            "doc_hash": f"h{i}",
            "acc": float(i % 2),
        }
        for i in range(4)
    ]
    when = "2025-03-01T10-00-00.000001"
    _write(
        tmp_path / "out" / f"results_{when}.json",
        {
            "results": {"t": {"alias": "t", "acc,none": 0.5}},
            "configs": {"t": {"task": "t", "description": PROMPT, "doc_to_text": PROMPT}},
            "versions": {"t": 2.0},
            "n-samples": {"t": {"original": 4, "effective": 4}},
            "config": {"model_args": "pretrained=org/m", "gen_kwargs": None},
            "system_instruction": PROMPT,
            "chat_template": PROMPT,
            "model_name": "org/m",
            "lm_eval_version": "0.4.9",
            "date": 1740823200.0,
        },
    )
    _write(tmp_path / "out" / f"samples_t_{when}.jsonl", *rows)
    assert SECRET not in _import(tmp_path / "out")


@pytest.mark.parametrize("label", [PROMPT, SECRET, "Say {{topic}} " + SECRET, f"p.txt: {SECRET}"])
def test_promptfoo_prompts_do_not_name_agents(tmp_path: Path, label: str) -> None:
    rows = [
        {
            "provider": {"id": "openai:a", "label": ""},
            "promptIdx": place,
            "promptId": f"p{place}",
            "prompt": {"raw": SECRET, "label": label} if place else {"raw": "q", "label": "brief"},
            "testIdx": 0,
            "vars": {"q": PROMPT},
            "testCase": {"vars": {"q": PROMPT}, "assert": [{"type": "equals", "value": SECRET}]},
            "response": {"output": PROMPT},
            "success": True,
            "score": 1.0,
            "failureReason": 0,
            "error": PROMPT,
            "latencyMs": 1500,
        }
        for place in range(2)
    ]
    inner = {
        "version": 3,
        "timestamp": "2026-01-02T00:00:00Z",
        "prompts": [],
        "results": rows,
        "stats": {"successes": 2, "failures": 0, "errors": 0},
    }
    file = _write(
        tmp_path / "out.json",
        {"evalId": "eval-1", "results": inner, "config": {"description": "my suite"}},
    )
    held = _import(file)
    assert "brief" in held
    assert SECRET not in held


def test_a_harbor_trial_leaves_its_trajectory_behind(tmp_path: Path) -> None:
    for task in range(2):
        folder = tmp_path / "job" / f"task-{task}__abc"
        _write(
            folder / "result.json",
            {
                "id": f"t{task}",
                "task_name": f"task-{task}",
                "trial_name": folder.name,
                "source": "ds",
                "task_checksum": "c0ffee",
                "config": {"job_id": "j", "agent": {"kwargs": {"system_prompt": PROMPT}}},
                "agent_info": {
                    "name": "a",
                    "version": "1",
                    "model_info": {"name": "m", "provider": "p"},
                },
                "agent_result": {"cost_usd": 0.25, "metadata": {"messages": [PROMPT]}},
                "verifier_result": {"rewards": {"reward": 1.0}} if task else None,
                "exception_info": None
                if task
                else {"exception_type": "ApiRateLimitError", "exception_message": PROMPT},
                "started_at": "2026-01-01T00:00:00Z",
                "finished_at": "2026-01-01T00:01:00Z",
            },
        )
        _write(folder / "agent" / "trajectory.json", {"steps": [{"message": PROMPT}]})
    assert SECRET not in _import(tmp_path / "job")


def test_a_tau_bench_file_leaves_its_conversations_behind(tmp_path: Path) -> None:
    rows = [
        {
            "task_id": task,
            "reward": float(task),
            "info": {"task": {"instruction": PROMPT, "user_id": "u"}, "reward_info": {}},
            "traj": [{"role": "system", "content": PROMPT}],
            "trial": 0,
        }
        for task in range(2)
    ]
    file = tmp_path / "tool-calling-gpt-4o-0.0_range_0-2_user-gpt-4o-llm_0101120000.json"
    file.write_text(json.dumps(rows))
    assert SECRET not in _import(file, "--benchmark", "retail")


def test_text_in_further_columns_of_a_table_is_not_kept(tmp_path: Path) -> None:
    rows = [
        {"task_id": i, "agent": "a", "score": 1.0, "prompt": PROMPT, "answer": SECRET}
        for i in range(3)
    ]
    assert SECRET not in _import(_write(tmp_path / "rows.jsonl", *rows), "--benchmark", "b")
