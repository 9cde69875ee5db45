"""Starter histories: the page's commands on trees of the real shape, addresses, and clones."""

import functools
import json
import re
import shlex
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import duckdb
import pytest
from tests.plugins.conftest import Call, OneLine

from midband.importers import fetching
from midband.importers.fetching import downloaded, shown, web_address
from midband.importers.sources import import_paths
from midband_history import History, UnreadableSourceError

PAGE = Path(__file__).parents[2] / "docs" / "starter-histories.md"
IDS = [f"org__repo-{number}" for number in range(12)]
AGENTS = 5


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


def _solved(agent: int) -> list[str]:
    return [task for place, task in enumerate(IDS) if (place * 7 + agent * 3) % 12 <= 4 + agent]


def _clone(root: Path) -> None:
    """Write what every clone has beside its results."""
    _write(root / ".git" / "config", "[core]\n")
    _write(root / "README.md", "# Results\n")
    _write(root / "package.json", {"name": "site"})
    _write(root / "docs" / "figures.csv", "year,value\n2025,1\n")
    _write(root / ".github" / "workflows" / "check.yml", "on: push\n")


def _experiments(root: Path) -> None:
    _clone(root)
    for split in ("verified", "lite", "bash-only"):
        for agent in range(AGENTS):
            folder = root / "evaluation" / split / f"2025060{agent + 1}_{split}_{agent}"
            name = f"info:\n  name: {split} {agent}\n  report: https://x\ntags:\n  model:\n  - m\n"
            _write(folder / "metadata.yaml", name)
            _write(folder / "README.md", "# A submission\n")
            report = {"no_generation": [], "no_logs": [], "resolved": _solved(agent)}
            _write(folder / "results" / "results.json", report)
            _write(folder / "results" / "resolved_by_repo.json", {"o/r": {"resolved": 1}})
            _write(folder / "all_preds.jsonl", '{"instance_id": "a", "model_patch": "x"}\n')
            _write(folder / "trajs" / "one.json", {"trajectory": []})
            _write(folder / "per_instance_details.json", {"a": {"cost": 1, "api_calls": 2}})
            _write(folder / "logs" / IDS[0] / "test_output.txt", "passed")


def _terminal_bench(root: Path) -> None:
    _clone(root)
    for agent in range(AGENTS):
        run = (
            root / "results" / "terminal-bench-core@0.1.1" / f"2025071{agent}_terminus_m{agent}"
        ) / "2025-07-10__10-00-00"
        trials = [
            {
                "trial_name": f"{task}.1-of-1.x",
                "instruction": f"do {task}",
                "task_id": task,
                "is_resolved": task in _solved(agent),
                "failure_mode": "unset",
                "recording_path": "2025-07-10__10-00-00/x",
            }
            for task in IDS
        ]
        about = {"agent_name": "terminus", "model_name": f"m{agent}", "run_id": f"run-{agent}"}
        data_set = {"dataset_name": "terminal-bench-core", "dataset_version": "0.1.1"}
        _write(run / "run_metadata.json", about | data_set)
        whole = {
            "id": "x",
            "results": trials,
            "n_resolved": len(_solved(agent)),
            "n_unresolved": len(IDS) - len(_solved(agent)),
        }
        _write(run / "results.json", whole)
        _write(run / "tb.lock", {"lock": 1})
        trial = run / IDS[0] / f"{IDS[0]}.1-of-1.x"
        _write(trial / "results.json", trials[0])
        _write(trial / "sessions" / "agent.log", "x")
        _write(trial / "agent-logs" / "episode-0" / "debug.json", {"model": "m"})


def _openhands(root: Path) -> None:
    _clone(root)
    _write(root / "1.0.0-dev1" / "gaia.jsonl", '{"Overall": 1}\n')
    for agent in range(AGENTS):
        for place in ("results", "alternative_agents/acp"):
            entry = root / place / f"M-{agent}"
            about = {"agent_name": place[:7], "model": f"m{agent}", "agent_version": "v1"}
            _write(entry / "metadata.json", about)
            score = round(100 * len(_solved(agent)) / len(IDS), 1)
            names = ("gaia", "swe-bench")
            stated = [{"benchmark": name, "score": score, "metric": "accuracy"} for name in names]
            _write(entry / "scores.json", stated)
            rows = {task: {"cost": 0.1, "resolved": task in _solved(agent)} for task in IDS}
            for name in names:
                _write(entry / "instance_results" / f"{name}.json", rows)


def _every_eval_ever(root: Path) -> None:
    _clone(root)
    scale = {"score_type": "continuous", "min_score": 0.0, "max_score": 1.0}
    for agent in range(AGENTS):
        folder = root / "data" / "bench" / "org" / f"m{agent}"
        shared = {"schema_version": "0.3.0", "evaluation_id": f"e{agent}"}
        rows = [
            shared
            | {
                "model_id": f"org/m{agent}",
                "evaluation_name": "bench",
                "sample_id": task,
                "interaction_type": "single_turn",
                "input": {"raw": task, "reference": ["a"]},
                "evaluation": {"score": float(task in _solved(agent))},
            }
            for task in IDS
        ]
        result = {
            "evaluation_name": "bench",
            "metric_config": {"lower_is_better": False, "metric_name": "accuracy"} | scale,
            "score_details": {"score": len(_solved(agent)) / len(IDS)},
        }
        aggregate = shared | {
            "evaluation_timestamp": "1750000000",
            "source_metadata": {"source_name": "x", "source_type": "evaluation_run"},
            "eval_library": {"name": "x", "version": "1"},
            "model_info": {"name": f"m{agent}", "id": f"org/m{agent}"},
            "evaluation_results": [result],
            "detailed_evaluation_results": {"total_rows": len(rows)},
        }
        _write(folder / f"u{agent}.json", aggregate)
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        _write(folder / f"u{agent}_samples.jsonl", lines)
        _write(root / "data" / "other" / "org" / f"m{agent}" / f"v{agent}.json", aggregate)


def _helm(root: Path) -> None:
    for agent in range(AGENTS):
        folder = root / "runs" / "v1" / f"narrative_qa:model=o_m{agent}"
        name = {"name": "f1_score", "split": "test"}
        _write(
            folder / "run_spec.json",
            {
                "name": f"narrative_qa:model=o_m{agent}",
                "adapter_spec": {"model": f"o/m{agent}"},
                "groups": [],
            },
        )
        rows = [
            {
                "instance_id": task,
                "train_trial_index": 0,
                "stats": [{"name": name, "count": 1, "mean": float(task in _solved(agent))}],
            }
            for task in IDS
        ]
        _write(folder / "per_instance_stats.json", rows)
        _write(folder / "scenario_state.json", {"request_states": []})
    _write(root / "runs" / "v1" / "eval_cache" / "x.sqlite", "x")
    _write(root / "runs" / "v1" / "run_specs.json", [{"name": "x"}])
    _write(root / "runs" / "v1" / "groups" / "core.json", [{"title": "x"}])


def _parquet(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    values = ",".join(
        f"('{task}', 'm{agent}', {float(task in _solved(agent))})"
        for agent in range(AGENTS)
        for task in IDS
    )
    with duckdb.connect() as connection:
        rows = connection.sql(f"SELECT * FROM (VALUES {values}) AS t(question, agent, score)")
        rows.write_parquet(str(path))


class _Server(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its parent's name
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Serve a folder; return its address and the folder."""
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(_Server, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", folder
        finally:
            server.shutdown()
            thread.join()


def _sections() -> dict[str, list[list[str]]]:
    """Return the commands of midband on the page, by the first word of their section's title."""
    found = {}
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        blocks = re.findall(r"^```console\n(.*?)^```", section, flags=re.MULTILINE | re.DOTALL)
        lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
        words = [shlex.split(line, comments=True) for line in lines]
        found[section.split()[0].strip(":")] = [each for each in words if each[0] == "midband"]
    return found


TREES = {
    "SWE-bench": lambda here: _experiments(here / "experiments"),
    "terminal-bench": lambda here: _terminal_bench(here / "terminal-bench-leaderboard"),
    "OpenHands": lambda here: _openhands(here / "openhands-index-results"),
    "Every": lambda here: _every_eval_ever(here / "EEE_datastore"),
    "HELM": lambda here: _helm(here / "benchmark_output"),
    "Tables": lambda here: None,
}


def test_every_section_of_the_page_is_tried_and_has_a_licence_note() -> None:
    assert set(_sections()) == set(TREES)
    for section in PAGE.read_text(encoding="utf-8").split("\n## ")[1:]:
        assert "**Licence.**" in section


@pytest.mark.parametrize("name", TREES)
def test_the_commands_of_the_page_lead_from_public_results_to_a_plan(
    name: str,
    tmp_path: Path,
    served: tuple[str, Path],
    call: Call,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address, folder = served
    here = tmp_path / "here"
    here.mkdir()
    TREES[name](here)
    _parquet(folder / "results.parquet")
    with duckdb.connect() as connection:
        values = ",".join(f"('{task}', 'p')" for task in IDS)
        rows = connection.sql(f"SELECT * FROM (VALUES {values}) AS t(instance_id, patch)")
        rows.write_parquet(str(folder / "test-00000-of-00001.parquet"))
    monkeypatch.setattr(
        fetching, "web_address", lambda text: f"{address}/{text.rpartition('/')[2]}"
    )
    monkeypatch.chdir(here)
    monkeypatch.setenv("MIDBAND_HISTORY", str(tmp_path / "history.duckdb"))
    tried = []
    for words in _sections()[name]:
        if words[1] == "run":
            continue
        arguments = [
            str(each)
            for word in words[1:]
            for each in (sorted(here.glob(word)) if "*" in word else [word])
        ]
        code, output, error = call(*arguments)
        assert code == 0, (arguments, output, error)
        assert "refused" not in error
        tried.append(words[1])
    assert "import" in tried
    assert {"plan", "history"} & set(tried)


def test_splits_dates_and_names_of_the_experiments(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    _experiments(tmp_path / "experiments")
    (tmp_path / "ids.txt").write_text("\n".join(IDS))
    monkeypatch.setenv("MIDBAND_HISTORY", str(tmp_path / "history.duckdb"))
    arguments = ("import", tmp_path / "experiments", "--tasks", tmp_path / "ids.txt", "--json")
    code, output, error = call(*arguments)
    report = json.loads(output)
    assert (code, report["refused"]) == (0, 0), error
    assert report["added"] == 3 * AGENTS * len(IDS)
    passed = {(each["benchmark"], each["agent"]): each["passed"] for each in report["counts"]}
    for split, name in (("verified", "verified"), ("lite", "lite"), ("bash-only", "verified")):
        for agent in range(AGENTS):
            assert passed[f"swe-bench-{name}", f"{split} {agent}"] == len(_solved(agent))
    texts = [each["text"] for each in report["notes"]]
    assert any("a file of no known format" in text and "package.json" in text for text in texts)
    assert any("figures.csv" in text for text in texts)


def test_outside_a_clone_foreign_files_are_still_refused(tmp_path: Path, call: Call) -> None:
    _write(tmp_path / "logs" / "package.json", {"name": "site"})
    code, _, error = call("import", tmp_path / "logs", "--history", tmp_path / "h.duckdb")
    assert code == 1
    assert "refused" in error


def test_a_result_that_git_lfs_has_not_fetched_is_refused_in_a_clone_too(tmp_path: Path) -> None:
    _clone(tmp_path / "clone")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    _write(tmp_path / "clone" / "u.json", pointer)
    with History.in_memory() as history:
        (refused,) = import_paths(history, [tmp_path / "clone"]).refused
    assert "git lfs pull" in refused.error


def test_an_address_is_the_source_of_what_was_downloaded(
    served: tuple[str, Path], tmp_path: Path, call: Call
) -> None:
    address, folder = served
    _parquet(folder / "data" / "results.parquet")
    url = f"{address}/data/results.parquet"
    options = ("--map", "question=task_id", "--benchmark", "mine", "--history", tmp_path / "h")
    code, output, error = call("import", f"{url}?token=secret", *options, "--json")
    report = json.loads(output)
    assert (code, report["added"]) == (0, AGENTS * len(IDS)), error
    assert [each["path"] for each in report["sources"]] == [url]
    code, output, _ = call("history", "why", "mine", IDS[0], "--history", tmp_path / "h")
    assert url in output
    assert "secret" not in output
    code, output, _ = call("import", url, *options, "--json")
    assert (code, json.loads(output)["added"]) == (0, 0)


def test_what_cannot_be_downloaded_is_refused_in_one_line_and_the_rest_comes_in(
    served: tuple[str, Path], tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    address, folder = served
    _parquet(folder / "results.parquet")
    arguments = ("--map", "question=task_id", "--benchmark", "mine", "--history", tmp_path / "h")
    urls = (f"{address}/absent.parquet", f"{address}/results.parquet")
    code, output, error = call("import", *urls, *arguments, "--json")
    report = json.loads(output)
    assert (code, report["added"], report["refused"]) == (1, AGENTS * len(IDS), 1)
    code, _, error = call("import", urls[0], *arguments)
    refusal = next(line for line in error.splitlines() if "refused" in line)
    one_line(refusal, urls[0], "HTTP 404", "check the address")
    # Nobody listens on port 1.
    _, _, error = call("import", "http://127.0.0.1:1/x.csv", *arguments)
    refusal = next(line for line in error.splitlines() if "refused" in line)
    one_line(refusal, "http://127.0.0.1:1/x.csv", "check the network")


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("hf://datasets/o/n/a b.parquet", "/datasets/o/n/resolve/main/a%20b.parquet"),
        ("hf://datasets/o/n@refs%2Fpr/d/x.csv", "/datasets/o/n/resolve/refs%2Fpr/d/x.csv"),
    ],
)
def test_a_file_of_the_hub_has_one_address(text: str, url: str) -> None:
    assert web_address(text) == f"https://huggingface.co{url}"


@pytest.mark.parametrize(
    "text",
    ["hf://datasets/o/n", "hf://datasets/o/n/*.parquet", "hf://models/o/n/x.csv", "https:///x"],
)
def test_an_address_of_no_single_file_is_refused(text: str) -> None:
    with pytest.raises(UnreadableSourceError, match="expected") as refusal:
        web_address(text)
    assert "\n" not in str(refusal.value)


def test_a_password_in_an_address_is_refused_and_not_told() -> None:
    with downloaded(["https://me:secret@example.org/x.csv"]) as local:
        (reason,) = local.refused.values()
    assert "secret" not in reason
    assert shown("https://me:secret@h/x?token=t#f") == "https://h/x"


@pytest.mark.parametrize(
    ("text", "sent"),
    [("hf://datasets/o/n/x.csv", True), ("https://example.org/x.csv", False)],
)
def test_the_token_goes_to_the_hub_alone(
    text: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def refuse(request: Any, timeout: float) -> None:
        asked.append(request)
        raise OSError("no network")

    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with downloaded([text]) as local:
        assert len(local.refused) == 1
    assert ("Authorization" in asked[0].unredirected_hdrs) is sent
    assert "Authorization" not in asked[0].headers
