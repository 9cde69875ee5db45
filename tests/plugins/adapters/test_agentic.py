"""Harbor, terminal-bench, tau-bench, tau2-bench and HAL: read by their own rules, and checked."""

import json
import sqlite3
from collections import Counter
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from midband._manager import get_plugin_manager
from midband.descriptors import ReadOptions
from midband_history import Note, Reconciliation, Record, StatedAggregate, UnreadableSourceError

SHARED = Path(__file__).parents[4] / "shared" / "raw_samples"


class _Read:
    """What one file was read into."""

    def __init__(self, name: str, path: Path, **options: Any) -> None:
        importer = get_plugin_manager().importers()[name]
        assert importer.sniff(path)
        items = list(importer.read(path, options=ReadOptions(**options)))
        self.records = [item for item in items if isinstance(item, Record)]
        self.notes = {item.code: item.text for item in items if isinstance(item, Note)}
        self.stated = [item for item in items if isinstance(item, StatedAggregate)]
        reconciliation = Reconciliation()
        for record in self.records:
            reconciliation.see(record)
        self.explained, self.unexplained = reconciliation.judge(self.stated)

    @property
    def outcomes(self) -> dict[str, tuple[str, float | None, bool]]:
        return {each.task_id: (each.kind, each.score, each.errored) for each in self.records}


def _mean(records: Iterable[Record], *, without_errors: bool = False) -> tuple[float, int]:
    scores = [
        each.score
        for each in records
        if each.score is not None and not (without_errors and each.errored)
    ]
    return sum(scores) / len(scores), len(scores)


def _write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def _real(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip("no ../shared beside this checkout: real results are not part of the project")
    return SHARED / name


# Harbor


def _trial(job: Path, folder: str, **changes: Any) -> Path:
    trial = {
        "id": folder,
        "task_name": folder.rpartition("__")[0],
        "trial_name": folder,
        "source": "ds",
        "task_checksum": "c0ffee",
        "config": {"job_id": "j", "agent": {"kwargs": {}}},
        "agent_info": {"name": "a", "version": "1", "model_info": {"name": "m", "provider": "p"}},
        "agent_result": {"n_input_tokens": 10, "n_output_tokens": 5, "cost_usd": 0.25},
        "verifier_result": {"rewards": {"reward": 0.0}},
        "exception_info": None,
        "started_at": "2026-01-01T00:00:00Z",
        "finished_at": "2026-01-01T00:01:00Z",
    } | changes
    return _write(job / folder / "result.json", trial)


def _ended(name: str, *, valid: bool | None = None) -> dict[str, Any]:
    policy = {} if valid is None else {"policy": {"has_valid_reward": valid}}
    return {"exception_info": {"exception_type": name, **policy}}


def _rewarded(**rewards: float) -> dict[str, Any]:
    return {"verifier_result": {"rewards": rewards}}


def _job(job: Path, trials: int, **stat: Any) -> Path:
    content = {
        "id": "j",
        "started_at": "2026-01-01T00:00:00Z",
        "n_total_trials": trials,
        "stats": {"n_completed_trials": trials, "evals": {"a__m__ds": stat}},
    }
    return _write(job / "result.json", content)


@pytest.mark.parametrize(
    ("trouble", "kind", "score", "errored"),
    [
        ("AgentTimeoutError", "valid", 0.0, False),
        ("NonZeroAgentExitCodeError", "valid", 0.0, True),
        ("ContextWindowExceededError", "valid", 0.0, True),
        ("ContextLengthExceededError", "valid", 0.0, True),
        ("OutputLengthExceededError", "valid", 0.0, True),
        ("AgentSafetyRefusalError", "valid", 0.0, True),
        ("ApiRateLimitError", "infra_error", None, True),
        ("EnvironmentStartTimeoutError", "infra_error", None, True),
        ("RewardFileNotFoundError", "grader_error", None, True),
        ("VerifierTimeoutError", "grader_error", None, True),
        ("CancelledError", "cancelled", None, True),
    ],
)
def test_harbor_counts_rewards_after_exceptions_by_its_policy_of_0_26(
    tmp_path: Path, trouble: str, kind: str, score: float | None, errored: bool
) -> None:
    (record,) = _Read("harbor", _trial(tmp_path, "alpha__a", **_ended(trouble))).records
    assert (record.kind, record.score, record.errored) == (kind, score, errored)
    assert (record.cost_usd, record.tokens, record.duration_s) == (0.25, 15, 60)


def test_harbor_follows_the_policy_that_the_file_states(tmp_path: Path) -> None:
    trials = [
        _trial(tmp_path, "a__1", **_rewarded(reward=1.0)),
        _trial(tmp_path, "b__2", **_rewarded(reward=1.0), **_ended("MineError", valid=True)),
        _trial(tmp_path, "c__3", **_ended("ContextWindowExceededError", valid=True)),
        _trial(tmp_path, "d__4", **_ended("AgentSafetyRefusalError", valid=True)),
        _trial(tmp_path, "e__5", **_ended("AgentTimeoutError", valid=False)),
        _trial(tmp_path, "f__6", reward_valid=False, **_ended("OtherError")),
        _trial(tmp_path, "g__7", reward_valid=False, verifier_result=None),
    ]
    records = [_Read("harbor", path).records[0] for path in trials]
    assert _mean(records) == (0.5, 4)
    assert [each.kind for each in records[4:]] == ["infra_error", "infra_error", "missing"]


def test_harbor_step_that_failed_decides_over_a_trial_of_steps(tmp_path: Path) -> None:
    steps = [
        {"step_name": "1", "agent_result": {"n_input_tokens": 3, "cost_usd": 0.5}},
        {"step_name": "2", "agent_result": {"cost_usd": 0.25}, **_ended("ApiError", valid=False)},
    ]
    path = _trial(tmp_path, "a__1", agent_result=None, step_results=steps)
    (record,) = _Read("harbor", path).records
    assert (record.kind, record.cost_usd, record.tokens) == ("infra_error", 0.75, 3)


def test_harbor_rewards_of_several_names_are_chosen_or_refused(tmp_path: Path) -> None:
    path = _trial(tmp_path, "a__1", **_rewarded(correctness=1.0, style=0.2))
    with pytest.raises(UnreadableSourceError, match=r"correctness, style: choose with --metric"):
        _Read("harbor", path)
    with pytest.raises(UnreadableSourceError, match=r"called speed, got correctness, style"):
        _Read("harbor", path, metric="speed")
    read = _Read("harbor", path, metric="style")
    assert (read.records[0].score, read.records[0].metric.name) == (0.2, "style")
    assert "correctness" in read.notes["other-metrics"]
    usual = _Read("harbor", _trial(tmp_path, "b__2", **_rewarded(reward=0.5, style=0.2)))
    assert (usual.records[0].score, usual.records[0].metric.name) == (0.5, "reward")
    assert "style" in usual.notes["other-metrics"]
    lone = _Read("harbor", _trial(tmp_path, "c__3", **_rewarded(points=7.0)))
    assert (lone.records[0].score, lone.records[0].metric.name) == (7.0, "points")


def test_harbor_trial_without_a_reward_is_missing_and_of_its_jobs_metric(tmp_path: Path) -> None:
    _job(tmp_path, 2, reward_stats={"points": {"3.0": ["b__2"]}})
    (record,) = _Read("harbor", _trial(tmp_path, "a__1", verifier_result=None)).records
    assert (record.kind, record.score, record.metric.name) == ("missing", None, "points")


def test_harbor_numbers_attempts_by_task_where_folders_share_their_beginning(
    tmp_path: Path,
) -> None:
    stem = "a-task-whose-name-is-longer-than"
    for number, task in enumerate(("x", "y", "x", "z", "x")):
        name = f"{stem}-{task}"
        path = {"task_id": {"path": f"/tasks/{name}"}, "task_name": name}
        _trial(tmp_path, f"{stem}__{number}", **path)
    _trial(tmp_path, f"{stem}__5", task_name=f"{stem}-x", agent_info={"name": "other"})
    _write(tmp_path / f"{stem}__6" / "result.json", '{"task_name": "tor')
    records = [
        _Read("harbor", tmp_path / f"{stem}__{number}" / "result.json").records[0]
        for number in range(6)
    ]
    assert [(each.task_id[-1], each.attempt) for each in records] == [
        ("x", 0),
        ("y", 0),
        ("x", 1),
        ("z", 0),
        ("x", 2),
        ("x", 0),
    ]


def test_harbor_job_reproduces_its_mean_in_silence(tmp_path: Path) -> None:
    """Harbor counted trials without a reward as 0, until it had error policies."""
    _trial(tmp_path, "a__1", **_rewarded(reward=1.0))
    _trial(tmp_path, "b__2", verifier_result=None)
    old = _Read("harbor", _job(tmp_path, 2, metrics=[{"mean": 0.5}]))
    assert (old.records, old.notes) == ([], {})
    _trial(tmp_path, "b__2", reward_valid=False, **_ended("ApiError", valid=False))
    assert _Read("harbor", _job(tmp_path, 2, metrics=[{"mean": 1.0}])).notes == {}


def test_harbor_job_that_its_trials_contradict_is_refused_unless_accepted(tmp_path: Path) -> None:
    stats = {"reward": {"1.0": ["a__1", "b__2"]}}
    _trial(tmp_path, "a__1", **_rewarded(reward=1.0))
    altered = _trial(tmp_path, "b__2", **_rewarded(reward=0.0))
    job = _job(tmp_path, 2, metrics=[{"mean": 1.0}], reward_stats=stats)
    with pytest.raises(UnreadableSourceError, match=r"mean of a__m__ds 1, .* give 0\.5"):
        _Read("harbor", job)
    accepted = _Read("harbor", job, accept_difference=True)
    assert "0.5" in accepted.notes["aggregate-differs"]
    (difference,) = _Read("harbor", altered).unexplained  # the trial itself is named, too
    assert "states reward of this trial in the job's result.json 1" in difference.text
    assert _Read("harbor", tmp_path / "a__1" / "result.json").unexplained == []


def test_harbor_says_which_rewards_an_old_mean_counts_and_midband_does_not(tmp_path: Path) -> None:
    _trial(tmp_path, "a__1", **_rewarded(reward=1.0), **_ended("UnknownError"))
    _trial(tmp_path, "b__2")
    read = _Read("harbor", _job(tmp_path, 2, metrics=[{"mean": 0.5}]))
    assert "1 rewards of trials that ended in an error" in read.notes["aggregate-explained"]


def test_harbor_means_that_cannot_be_computed_refuse_nothing(tmp_path: Path) -> None:
    _trial(tmp_path, "a__1", **_rewarded(reward=1.0))
    part = _Read("harbor", _job(tmp_path, 5, metrics=[{"mean": 0.2}]))
    assert "1 of its 5 trials" in part.notes["not-checkable"]
    odd = _Read("harbor", _job(tmp_path, 1, metrics=[{"max": 0.2}]))
    assert "not a mean" in odd.notes["not-checkable"]
    _trial(tmp_path, "a__1", **_rewarded(reward=1.0, style=0.5))
    several = _Read("harbor", _job(tmp_path, 1, metrics=[{"reward": 0.2, "style": 0.1}]))
    assert "does not say" in several.notes["not-checkable"]
    _write(tmp_path / "b__2" / "result.json", '{"task_name": "tor')
    torn = _Read("harbor", _job(tmp_path, 2, metrics=[{"mean": 0.2}]))
    assert "cannot be read" in torn.notes["not-checkable"]


def test_harbor_aggregate_without_trials_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableSourceError, match="aggregate"):
        _Read("harbor", _job(tmp_path, 4, metrics=[{"mean": 1.0}]))


def test_harbor_costs_and_dates_that_cannot_be_are_unknown_and_noted(tmp_path: Path) -> None:
    used = {"n_input_tokens": 1, "cost_usd": -3}
    path = _trial(tmp_path, "a__1", agent_result=used, started_at="1970-01-01", finished_at=None)
    read = _Read("harbor", path)
    (record,) = read.records
    assert (record.cost_usd, record.tokens, record.started, record.duration_s) == (
        None,
        1,
        None,
        None,
    )
    assert "1 values of cost" in read.notes["absurd-amounts"]


def test_harbor_says_the_version_of_its_data_set(tmp_path: Path) -> None:
    _write(tmp_path / "config.json", {"datasets": [{"name": "ds", "version": "2.0"}]})
    (record,) = _Read("harbor", _trial(tmp_path, "a__1")).records
    assert record.benchmark_version == "2.0"


def test_harbor_real_job_reconciles() -> None:
    job = _real("harbor") / "round-000"
    reads = [_Read("harbor", path) for path in sorted(job.glob("*/result.json"))]
    records = [read.records[0] for read in reads]
    assert [(each.task_id, each.attempt) for each in records] == [
        ("alpha", 0),
        ("alpha", 1),
        ("gamma", 0),
        ("gamma", 1),
    ]
    assert {each.agent for each in records} == {"nop (openai/gpt-x)"}
    assert len({each.source_key for each in records}) == 4
    assert len({(each.run_id, each.started) for each in records}) == 1
    assert all(each.task_digest and each.score == 1.0 for each in records)
    assert all(read.stated and not read.unexplained for read in reads)
    aggregate = _Read("harbor", job / "result.json")
    assert (aggregate.records, aggregate.notes) == ([], {})


# terminal-bench


def _terminal(name: str, resolved: bool | None, end: str = "unset") -> dict[str, Any]:
    return {
        "trial_name": name,
        "task_id": name.partition(".")[0],
        "instruction": f"do {name.partition('.')[0]}",
        "is_resolved": resolved,
        "failure_mode": end,
        "recording_path": "run/x",
    }


def _run(folder: Path, resolved: list[bool | None], *, about: dict[str, Any] | None = None) -> Path:
    trials = [
        _terminal(f"t{place}.1-of-1.run", each, "parse_error" if each is None else "unset")
        for place, each in enumerate(resolved)
    ]
    solved = sum(each is True for each in resolved)
    stated = {
        "n_resolved": solved,
        "n_unresolved": len(trials) - solved,
        "accuracy": solved / len(trials),
        "pass_at_k": {"2": 0.9},
    }
    if about is not None:
        default = {"run_id": "run", "agent_name": "Some Droid", "dataset_name": "core"}
        _write(folder / "run_metadata.json", default | about)
    return _write(folder / "results.json", {"id": "1", "results": trials, **stated})


@pytest.mark.parametrize(
    ("folder", "agent", "model"),
    [
        ("20250923_droid_opus-4-1", "Some Droid (opus-4-1)", "opus-4-1"),
        ("20250923_some_droid_gpt-5", "Some Droid (gpt-5)", "gpt-5"),
        ("20250923_a_b_c", "Some Droid (a_b_c)", ""),
    ],
)
def test_terminal_bench_model_stands_in_the_folder_of_the_submission(
    tmp_path: Path, folder: str, agent: str, model: str
) -> None:
    place = tmp_path / "terminal-bench-core@0.1.1" / folder / "run1_2025-09-10__19-49-26"
    path = _run(place, [True, True, False], about={"model_name": None})
    read = _Read("terminal-bench", path)
    assert {(each.agent, each.model, each.scaffold) for each in read.records} == {
        (agent, model, "Some Droid")
    }
    assert folder in read.notes["agent-from-folder"]
    trial = _write(
        place / "t0" / "t0.1-of-1.run" / "results.json", _terminal("t0.1-of-1.run", True)
    )
    own = _Read("terminal-bench", trial)
    assert own.records[0].source_key == read.records[0].source_key
    assert own.notes == {}  # the run's file has said it


def test_terminal_bench_results_with_lists_of_ids_are_no_report_of_swebench(tmp_path: Path) -> None:
    path = _run(tmp_path / "run", [True, False], about={"model_name": "m"})
    content = json.loads(path.read_text())
    content |= {"resolved_ids": ["t0"], "unresolved_ids": ["t1"]}
    path.write_text(json.dumps(content))
    importers = get_plugin_manager().importers()
    fits = {each.name for each in importers.values() if each.table is None and each.sniff(path)}
    assert fits == {"terminal-bench"}


def test_terminal_bench_run_that_is_dated_too_is_no_submission(tmp_path: Path) -> None:
    place = tmp_path / "terminal-bench-core@0.1.1" / "20250923_droid_gpt-5" / "20250924_run_1"
    path = _run(place, [True], about={"model_name": "None"})
    assert _Read("terminal-bench", path).records[0].agent == "Some Droid (gpt-5)"


def test_terminal_bench_submission_without_metadata_is_named_by_its_folders(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "terminal-bench-core:0.1.1" / "20250923_droid_gpt-5" / "rc_1"
    (record, _) = _Read("terminal-bench", _run(folder, [True, False])).records
    assert (record.agent, record.scaffold, record.model) == ("droid (gpt-5)", "droid", "gpt-5")
    assert (record.benchmark, record.benchmark_version) == ("terminal-bench-core", "0.1.1")
    nameless = _run(tmp_path / "loose", [True])
    with pytest.raises(UnreadableSourceError, match=r"run_metadata\.json.*--agent NAME"):
        _Read("terminal-bench", nameless)
    assert _Read("terminal-bench", nameless, agent="mine").records[0].agent == "mine"


def test_terminal_bench_model_of_the_metadata_or_the_options_is_used(tmp_path: Path) -> None:
    place = tmp_path / "20250923_droid_gpt-5"
    path = _run(place, [True], about={"model_name": "anthropic/opus"})
    assert _Read("terminal-bench", path).records[0].agent == "Some Droid (anthropic/opus)"
    path = _run(tmp_path / "r", [True], about={"agent_kwargs": {"model_name": "m"}})
    assert _Read("terminal-bench", path).records[0].model == "m"
    path = _run(tmp_path / "s", [True], about={})
    assert "model-unknown" in _Read("terminal-bench", path).notes
    assert _Read("terminal-bench", path, model="x").records[0].agent == "Some Droid (x)"


def test_terminal_bench_counts_what_has_no_verdict_as_failed(tmp_path: Path) -> None:
    read = _Read("terminal-bench", _run(tmp_path, [True, False, None], about={"accuracy": 0.3333}))
    assert read.outcomes == {
        "t0": ("valid", 1.0, False),
        "t1": ("valid", 0.0, False),
        "t2": ("valid", 0.0, True),
    }
    assert read.notes["errors-counted"].startswith("1 trials")
    assert read.unexplained == []
    assert [note.code for note in read.explained] == ["not-checkable"]  # pass@k


def test_terminal_bench_altered_trial_contradicts_the_accuracy(tmp_path: Path) -> None:
    path = _run(tmp_path, [True, False, True, False], about={})
    content = json.loads(path.read_text())
    content["results"][1]["is_resolved"] = True
    texts = [note.text for note in _Read("terminal-bench", _write(path, content)).unexplained]
    assert any("accuracy 0.5" in text and "0.75" in text for text in texts)


def test_terminal_bench_trials_are_numbered_by_their_names(tmp_path: Path) -> None:
    trials = [_terminal(f"t.{number}-of-2.run", number == 2) for number in (1, 2)]
    about = {"run_id": "run", "agent_name": "a", "model_name": "m"}
    _write(tmp_path / "run_metadata.json", about)
    read = _Read("terminal-bench", _write(tmp_path / "results.json", {"results": trials}))
    assert [each.attempt for each in read.records] == [0, 1]


def test_terminal_bench_real_run_reconciles() -> None:
    path = _real("terminal_bench") / "chaterm__2025-09-10__19-49-26__results.json"
    read = _Read("terminal-bench", path)
    assert Counter((each.score, each.errored) for each in read.records) == {
        (1.0, False): 37,
        (0.0, False): 31,
        (0.0, True): 12,
    }
    assert read.records[0].agent == "chaterm (anthropic/claude-sonnet-4-20250514)"
    assert (len(read.stated), read.explained, read.unexplained) == (4, [], [])
    trial = path.with_name("trial__blind-maze-explorer-5x5.1-of-5__results.json")
    with pytest.raises(UnreadableSourceError, match=r"run_metadata\.json"):
        _Read("terminal-bench", trial)


# tau-bench and tau2-bench


def test_tau_bench_counts_exceptions_by_their_reward_of_zero(tmp_path: Path) -> None:
    runs = [
        {"task_id": 0, "reward": 0.0, "info": {"error": "boom"}, "traj": [], "trial": 0},
        {"task_id": 0, "reward": 0.0, "info": {"task": {"x": 1}}, "traj": [], "trial": 1},
        {"task_id": 0, "reward": 1.0, "info": {"task": {"x": 1}}, "traj": [], "trial": 2},
    ]
    name = "tool-calling-gpt-4o-0.0_range_0--1_user-gpt-4o-llm_0614120000.json"
    path = _write(tmp_path / name, runs)
    with pytest.raises(UnreadableSourceError, match="--benchmark"):
        _Read("tau-bench", path)
    read = _Read("tau-bench", path, benchmark="tau-retail")
    assert [(each.score, each.errored, each.attempt) for each in read.records] == [
        (0.0, True, 0),
        (0.0, False, 1),
        (1.0, False, 2),
    ]
    assert read.notes["errors-counted"].startswith("1 runs")
    assert read.records[0].agent == "tool-calling-gpt-4o-0.0"


def test_tau_bench_domains_are_parts(tmp_path: Path) -> None:
    runs = [{"task_id": 0, "reward": 1.0, "info": {}, "trial": 0}]
    parts = {
        _Read("tau-bench", _write(tmp_path / f"m-{domain}.json", runs), benchmark="tau")
        .records[0]
        .part
        for domain in ("airline", "retail")
    }
    assert parts == {"airline", "retail"}


def test_tau_bench_real_trials_are_attempts() -> None:
    read = _Read("tau-bench", _real("tau_bench") / "gpt-4o-airline.first16.json")
    assert {(each.task_id, each.attempt) for each in read.records} == {
        (str(task), trial) for task in range(4) for trial in range(4)
    }
    assert {each.benchmark for each in read.records} == {"tau-airline"}


def _tau2(path: Path, simulations: list[dict[str, Any]], domain: str = "retail") -> Path:
    info = {
        "num_trials": 1,
        "user_info": {"implementation": "user_simulator", "llm": "u"},
        "agent_info": {"implementation": "llm_agent", "llm": "m"},
        "environment_info": {"domain_name": domain},
    }
    tasks = [{"id": str(place), "of": domain} for place in range(len(simulations))]
    rows = [
        {"id": f"{domain}{place}", "task_id": str(place), "trial": 0} | each
        for place, each in enumerate(simulations)
    ]
    content = {"timestamp": "2026-01-01", "info": info, "tasks": tasks, "simulations": rows}
    return _write(path, content)


def _end(reason: str, reward: float | None = 0.0) -> dict[str, Any]:
    judged = None if reward is None else {"reward": reward}
    return {"termination_reason": reason, "reward_info": judged}


def test_tau2_leaves_out_what_its_own_metrics_leave_out(tmp_path: Path) -> None:
    path = _tau2(
        tmp_path / "results.json",
        [
            _end("user_stop", 1.0),
            _end("too_many_errors"),
            _end("timeout"),
            _end("agent_error"),
            _end("context_window_exceeded"),
            _end("user_error"),
            _end("unexpected_error"),
            _end("infrastructure_error"),
            _end("max_steps", None),
        ],
    )
    read = _Read("tau2-bench", path)
    assert _mean(read.records) == (0.125, 8)
    assert _mean(read.records, without_errors=True) == (0.2, 5)
    assert [each.kind for each in read.records].count("infra_error") == 1
    assert read.notes["errors-counted"].startswith("3 simulations")


def test_tau2_simulation_that_nobody_judged_is_unknown(tmp_path: Path) -> None:
    path = _tau2(tmp_path / "results.json", [_end("agent_stop", None), _end("user_stop", None)])
    assert [each.kind for each in _Read("tau2-bench", path).records] == ["missing", "missing"]


def test_tau2_domains_are_parts_of_one_benchmark(tmp_path: Path) -> None:
    records = [
        record
        for domain in ("airline", "retail")
        for record in _Read(
            "tau2-bench",
            _tau2(tmp_path / f"{domain}.json", [_end("user_stop")] * 3, domain),
            benchmark="tau2",
        ).records
    ]
    assert len({(each.part, each.task_id) for each in records}) == 6
    assert len({each.task_digest for each in records}) == 6
    assert {each.benchmark for each in records} == {"tau2"}


def test_tau2_index_is_checked_against_the_folder_of_simulations(tmp_path: Path) -> None:
    path = _tau2(tmp_path / "results.json", [_end("user_stop", 1.0), _end("user_stop")])
    content = json.loads(path.read_text())
    for each in content.pop("simulations"):
        _write(tmp_path / "simulations" / f"{each['id']}.json", each)
    content["simulation_index"] = [
        {"id": f"retail{place}", "reward": reward, "termination_reason": "user_stop"}
        for place, reward in enumerate((1.0, 0.0))
    ]
    assert _Read("tau2-bench", _write(path, content)).unexplained == []
    altered = tmp_path / "simulations" / "retail1.json"
    _write(altered, json.loads(altered.read_text()) | _end("user_stop", 1.0))
    (difference,) = _Read("tau2-bench", path).unexplained
    assert "rewards of 1" in difference.text
    altered.unlink()
    (gone,) = _Read("tau2-bench", path).unexplained
    assert "simulation_index 2" in gone.text


def test_tau2_submission_is_checked_by_domain(tmp_path: Path) -> None:
    path = _tau2(
        tmp_path / "trajectories" / "m_retail.json",
        [_end("user_stop", 1.0), _end("user_stop"), _end("infrastructure_error")] * 2,
    )
    content: dict[str, Any] = {
        "trajectory_files": {"retail": "m_retail.json", "airline": "other.json"},
        "results": {"retail": {"pass_1": 50.0, "pass_2": 1.0, "cost": 3.0}, "airline": None},
    }
    submission = _write(tmp_path / "submission.json", content)
    read = _Read("tau2-bench", path)
    assert (len(read.stated), read.unexplained) == (2, [])
    assert [note.code for note in read.explained] == ["not-checkable"]
    content["results"]["retail"]["pass_1"] = 75.0
    _write(submission, content)
    (difference,) = _Read("tau2-bench", path).unexplained
    assert "pass_1 in submission.json 0.75" in difference.text


# HAL


def _upload(folder: Path, solved: str, failed: str, **more: Any) -> Path:
    config = {"agent_name": "A (m)", "benchmark_name": "gaia", "run_id": "g"}
    config["run_command"] = more.pop("command", "hal-eval --benchmark gaia")
    lists = {"successful_tasks": solved.split(), "failed_tasks": failed.split()}
    return _write(folder / "g_UPLOAD.json", {"config": config, "results": lists | more})


def test_hal_upload_states_an_accuracy_that_is_checked(tmp_path: Path) -> None:
    assert _Read("hal", _upload(tmp_path, "1", "2 3 4", accuracy=0.25)).unexplained == []
    assert _Read("hal", _upload(tmp_path, "1", "2 3 4", accuracy=25.0)).unexplained == []
    (difference,) = _Read("hal", _upload(tmp_path, "1 2", "3 4", accuracy=0.25)).unexplained
    assert "accuracy 0.25" in difference.text
    assert "0.5" in difference.text


def test_hal_accuracy_of_the_full_benchmark_with_a_subset(tmp_path: Path) -> None:
    """Some of its benchmarks list all tasks as failed, and others divide by a number unsaid."""
    command = "hal-eval --benchmark b --task_ids 1,2"
    listed = _Read("hal", _upload(tmp_path, "1", "2 3 4 5", accuracy=0.2, command=command))
    assert set(listed.outcomes) == {"1", "2"}
    assert (listed.explained, listed.unexplained) == ([], [])
    unsaid = _Read("hal", _upload(tmp_path, "1", "2", accuracy=0.02, command=command))
    assert [note.code for note in unsaid.explained] == ["not-checkable"]
    assert unsaid.unexplained == []


def test_hal_counts_errors_of_the_harness_as_failed(tmp_path: Path) -> None:
    lines = [
        {"1": "answer"},
        {"2": "ERROR: no such container"},
        {"3": "ERROR: Task timed out after 2700 seconds"},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    _write(tmp_path / "g_RAW_SUBMISSIONS.jsonl", text)
    read = _Read("hal", _upload(tmp_path, "1", "2 3"))
    assert read.outcomes == {
        "1": ("valid", 1.0, False),
        "2": ("valid", 0.0, True),
        "3": ("valid", 0.0, False),
    }
    assert read.notes["errors-counted"].startswith("1 submissions")


def test_hal_upload_without_its_settings_is_refused_in_one_line(tmp_path: Path) -> None:
    content = {"metadata": {"run_id": "r"}, "config": {}, "raw_eval_results": {"0": {"reward": 1}}}
    with pytest.raises(UnreadableSourceError, match=r"^[^\n]*without run_id, agent_name[^\n]*$"):
        _Read("hal", _write(tmp_path / "r_UPLOAD.json", content))


def _database(path: Path, rows: list[tuple[object, ...]]) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE parsed_results (benchmark_name TEXT, agent_name TEXT, date TEXT,"
            " run_id TEXT, successful_tasks TEXT, failed_tasks TEXT, total_cost REAL,"
            " accuracy REAL)"
        )
        database.executemany("INSERT INTO parsed_results VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
    return path


def test_hal_database_reproduces_the_accuracies_of_its_runs(tmp_path: Path) -> None:
    day = "2025-05-01"
    rows: list[tuple[object, ...]] = [
        ("toy", "A (m)", day, "r1", "['1', '2']", "['3']", 4.0, 0.6667),
        ("toy", "A (m)", day, "r2", "['1']", "['2', '3']", 4.0, 0.3333),
        ("toy", "B (m)", day, "r3", "['1']", "['2']", -1.0, 1 / 3),  # of the three that there are
        ("toy", "C", day, "r4", "['1']", "['2', '3']", None, None),
    ]
    read = _Read("hal", _database(tmp_path / "h.db", rows))
    assert (len(read.stated), read.explained, read.unexplained) == (2, [], [])
    assert {"absurd-amounts", "model-unknown"} <= read.notes.keys()
    rows[1] = ("toy", "A (m)", day, "r2", "['1', '2']", "['3']", 4.0, 0.3333)
    (difference,) = _Read("hal", _database(tmp_path / "altered.db", rows)).unexplained
    assert "accuracy of A (m)" in difference.text


def test_hal_real_database_reconciles() -> None:
    read = _Read("hal", _real("hal") / "corebench_hard.db")
    assert len(read.records) == 1800
    assert (len(read.stated), read.explained, read.unexplained) == (26, [], [])


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("harbor", "midband.adapters.harbor.trials.truth_or_number"),
        ("terminal-bench", "midband.adapters.terminal_bench._resolved"),
    ],
)
def test_scores_misread_are_caught_by_what_the_files_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, target: str
) -> None:
    if name == "harbor":
        path = _trial(tmp_path, "a__1", **_rewarded(reward=1.0))
        _job(tmp_path, 1, metrics=[{"mean": 1.0}], reward_stats={"reward": {"1.0": ["a__1"]}})
    else:
        path = _run(tmp_path, [True, False], about={})
    assert _Read(name, path).unexplained == []
    monkeypatch.setattr(target, lambda *_: 0.0)
    assert _Read(name, path).unexplained


@pytest.mark.parametrize("trial", [-1, True, 10**30, "1"])
def test_attempts_that_cannot_be_refuse_the_file(tmp_path: Path, trial: object) -> None:
    path = _tau2(tmp_path / "results.json", [_end("user_stop") | {"trial": trial}])
    with pytest.raises(UnreadableSourceError, match="without its task_id and trial"):
        _Read("tau2-bench", path)


def test_only_the_named_metric_can_be_chosen(tmp_path: Path) -> None:
    path = _tau2(tmp_path / "results.json", [_end("user_stop")])
    assert _Read("tau2-bench", path, metric="reward").records
    with pytest.raises(
        UnreadableSourceError, match=r"expected a metric of the source \(reward\), got --metric x"
    ):
        _Read("tau2-bench", path, metric="x")
