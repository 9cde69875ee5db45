"""Adapters: what each hands its harness, and the traps that they keep a round out of."""

import json
import re
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.plugins.adapters.conftest import MakePlan, MakeRound

from midband import InputError, OutcomeMatrix, make_plan
from midband._manager import get_plugin_manager
from midband.adapters.harbor import HarborHarness
from midband.adapters.lm_eval_harness import documents
from midband.descriptors import Harness, Round
from midband_history import UnknownTaskError

# A benchmark, tasks and arguments with which each of them can be run.
FIT: dict[str, tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    "hal": ("gaia", ("b-2", "a-10", "a-1"), ("--agent_name", "x", "--agent_function", "m.f")),
    "harbor": ("ds", ("beta[1]", "alpha"), ("-d", "ds@1.0", "-a", "nop")),
    "lm-eval-harness": ("toy", ("10", "2", "0"), ("--model_args", "pretrained=org/m")),
    "openhands-index": ("gaia", ("b", "a"), ("llm.json",)),
    "swe-agent": ("swe-bench", ("x__y-10", "x__y-1"), ("--agent.model.name", "org/m")),
    "swebench": ("swe-bench", ("x__y-10", "x__y-1"), ("-m", "org/m")),
    "tau2-bench": ("tau2-retail", ("10", "2"), ("--agent-llm", "m")),
}
IMPORT_ONLY = ("helm", "tau-bench", "terminal-bench")


def _harness(name: str) -> Harness:
    return get_plugin_manager().harnesses()[name]


def _words(batch: Round, name: str) -> list[str]:
    return [word for step in _harness(name).build_command(batch).steps for word in step]


def _round(name: str, make_a_round: MakeRound, *more: str) -> Round:
    benchmark, tasks, arguments = FIT[name]
    return make_a_round(benchmark, tasks, *arguments, *more)


@pytest.mark.parametrize("name", sorted(FIT))
def test_a_command_names_every_task_of_the_round_and_no_other(
    name: str, make_a_round: MakeRound
) -> None:
    benchmark, tasks, arguments = FIT[name]
    batch = make_a_round(benchmark, tasks[:-1], *arguments, among=tasks[-1:])
    harness = _harness(name)
    files = harness.write_subset(batch.plan, batch.directory, tasks=batch.tasks)
    command = harness.build_command(batch)
    written = "".join(path.read_text() for path in files)
    said = written + "\n" + "\n".join(word for step in command.steps for word in step)
    assert command.results.is_relative_to(batch.directory)
    for argument in arguments:
        assert any(argument in step for step in command.steps)
    for place, task in enumerate(tasks):
        found = _mentions(said, task)
        assert found == (place < len(tasks) - 1), (task, said)


def _mentions(text: str, task: str) -> bool:
    escaped = {task, re.escape(task), task.replace("[", "[[]")}
    return any(re.search(rf"(?<![\w-]){re.escape(each)}(?![\w-])", text) for each in escaped)


@pytest.mark.parametrize("name", sorted(FIT))
def test_an_empty_subset_is_refused(name: str, make_a_round: MakeRound, tmp_path: Path) -> None:
    batch = _round(name, make_a_round)
    with pytest.raises(InputError, match="at least one task"):
        _harness(name).write_subset(batch.plan, tmp_path, tasks=())
    nothing = Round(plan=batch.plan, tasks=(), directory=tmp_path, name="r000")
    with pytest.raises(InputError, match="at least one task"):
        _harness(name).build_command(nothing)


@pytest.mark.parametrize("name", sorted(FIT))
def test_a_task_that_is_not_planned_is_refused(
    name: str, make_a_round: MakeRound, tmp_path: Path
) -> None:
    batch = _round(name, make_a_round)
    with pytest.raises(UnknownTaskError, match="'77777'"):
        _harness(name).write_subset(batch.plan, tmp_path, tasks=["77777"])
    strange = Round(plan=batch.plan, tasks=("77777",), directory=tmp_path, name="r000")
    with pytest.raises(UnknownTaskError, match="'77777'"):
        _harness(name).build_command(strange)


@pytest.mark.parametrize("name", sorted(FIT))
def test_tasks_are_sorted_and_named_once(name: str, make_a_round: MakeRound) -> None:
    batch = _round(name, make_a_round)
    again = Round(
        plan=batch.plan,
        tasks=(*reversed(batch.tasks), batch.tasks[0]),
        directory=batch.directory,
        name=batch.name,
        arguments=batch.arguments,
    )
    harness = _harness(name)
    assert harness.build_command(again) == harness.build_command(batch)


@pytest.mark.parametrize(
    ("name", "argument"),
    [
        ("hal", "--task_ids"),
        ("hal", "--max_tasks=3"),
        ("hal", "--run_id"),
        ("hal", "--results_dir"),
        ("hal", "--prompt_sensitivity"),
        ("harbor", "-i"),
        ("harbor", "--include-task-name=a"),
        ("harbor", "-x"),
        ("harbor", "-l5"),
        ("harbor", "--n-tasks"),
        ("harbor", "-k"),
        ("harbor", "--job-name=mine"),
        ("harbor", "-o"),
        ("harbor", "--diff"),
        ("harbor", "--disable-verification"),
        ("lm-eval-harness", "--cache_requests"),
        ("lm-eval-harness", "--cache_requests=true"),
        ("lm-eval-harness", "--cache_req"),
        ("lm-eval-harness", "--samples"),
        ("lm-eval-harness", "--limit=5"),
        ("lm-eval-harness", "--lim"),
        ("lm-eval-harness", "-L"),
        ("lm-eval-harness", "--tasks"),
        ("lm-eval-harness", "--output_path"),
        ("lm-eval-harness", "--config"),
        ("lm-eval-harness", "--predict_only"),
        ("openhands-index", "--select"),
        ("openhands-index", "--n-limit"),
        ("swe-agent", "--instances.filter=.*"),
        ("swe-agent", "--instances.slice"),
        ("swe-agent", "--instances.shuffle=True"),
        ("swe-agent", "--output_dir"),
        ("swebench", "--filter"),
        ("swebench", "--slice"),
        ("swebench", "-o"),
        ("swebench", "--redo-existing"),
        ("tau2-bench", "--task-ids"),
        ("tau2-bench", "--num-tasks"),
        ("tau2-bench", "--num-trials"),
        ("tau2-bench", "--save-to=x"),
    ],
)
def test_arguments_that_contradict_the_subset_are_refused(
    name: str, argument: str, make_a_round: MakeRound
) -> None:
    with pytest.raises(InputError, match="expected no -"):
        _harness(name).build_command(_round(name, make_a_round, argument))


@pytest.mark.parametrize("argument", ["--instance_ids", "-id", "--run_id=x", "-p", "--report_dir"])
def test_arguments_that_contradict_the_evaluation_are_refused(
    argument: str, make_a_round: MakeRound
) -> None:
    with pytest.raises(InputError, match="expected no -"):
        _harness("swebench").build_command(_round("swebench", make_a_round, "--", argument))


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("hal", "a,b"),
        ("hal", " a"),
        ("harbor", "a\nb"),
        ("lm-eval-harness", "one"),
        ("lm-eval-harness", "007"),
        ("lm-eval-harness", "-1"),
        ("lm-eval-harness", "²"),
        ("openhands-index", "a\nb"),
        ("openhands-index", "a "),
        ("swe-agent", "a/b"),
        ("swebench", "-x"),
        ("tau2-bench", "-x"),
        ("tau2-bench", "a\x00"),
    ],
)
def test_ids_that_the_harness_would_take_for_others_are_refused(
    name: str, task: str, make_a_round: MakeRound
) -> None:
    benchmark, _, arguments = FIT[name]
    batch = make_a_round(benchmark, [task], *arguments)
    with pytest.raises(InputError, match="expected task ids"):
        _harness(name).write_subset(batch.plan, batch.directory)
    if name != "openhands-index":  # it names them in the file alone
        with pytest.raises(InputError, match="expected task ids"):
            _harness(name).build_command(batch)


@pytest.mark.parametrize("name", ["hal", "lm-eval-harness", "openhands-index", "swebench"])
def test_attempts_are_refused_where_a_task_runs_once(name: str, make_a_round: MakeRound) -> None:
    benchmark, tasks, arguments = FIT[name]
    assert not _harness(name).capabilities.attempts
    with pytest.raises(InputError, match="expected one attempt"):
        _harness(name).build_command(make_a_round(benchmark, tasks, *arguments, attempts=2))


def test_attempts_reach_the_harnesses_that_repeat(make_a_round: MakeRound) -> None:
    for name, flag in (("harbor", "-k"), ("tau2-bench", "--num-trials")):
        benchmark, tasks, arguments = FIT[name]
        words = _words(make_a_round(benchmark, tasks, *arguments, attempts=3), name)
        assert _harness(name).capabilities.attempts
        assert words[words.index(flag) + 1] == "3"


@pytest.mark.parametrize("name", IMPORT_ONLY)
def test_a_harness_that_takes_no_subset_says_why(
    name: str, make_a_round: MakeRound, tmp_path: Path
) -> None:
    batch, harness = make_a_round("b", ["a"]), _harness(name)
    assert not any(vars(harness.capabilities).values())
    assert harness.probe().problem
    for attempt in (
        lambda: harness.build_command(batch),
        lambda: harness.write_subset(batch.plan, tmp_path),
    ):
        with pytest.raises(InputError, match=f"takes a subset, got {name}: ") as caught:
            attempt()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*sorted(FIT), *IMPORT_ONLY])
def test_a_harness_that_is_not_there_is_looked_for_quietly(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = _harness(name).probe()
    assert found.problem.startswith("expected ")
    assert "\n" not in found.problem


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(0, 10**6), min_size=1, unique=True))
def test_documents_are_in_the_order_of_the_dataset(numbers: list[int]) -> None:
    assert documents([str(number) for number in numbers]) == sorted(numbers)


def test_lm_eval_gets_sorted_numbers_under_the_one_task_that_it_runs(
    make_a_round: MakeRound,
) -> None:
    batch = _round("lm-eval-harness", make_a_round)
    (path,) = _harness("lm-eval-harness").write_subset(batch.plan, batch.directory)
    assert json.loads(path.read_text()) == {"toy": [0, 2, 10]}
    words = _words(batch, "lm-eval-harness")
    assert words[words.index("--tasks") + 1] == "toy"
    assert words[words.index("--samples") + 1] == str(path)


def test_lm_eval_without_a_named_model_would_be_another_agent_in_every_round(
    make_a_round: MakeRound,
) -> None:
    for arguments in (("--model=dummy",), ("--model", "hf", "--model_args", "dtype=float32")):
        with pytest.raises(InputError, match="another name for each round"):
            _harness("lm-eval-harness").build_command(make_a_round("toy", ["1"], *arguments))


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.text("ab1_-.+[*?]!", min_size=1), min_size=1, unique=True),
    st.lists(st.text("ab1_-.+[*?]!", min_size=1)),
)
def test_names_are_no_patterns(tasks: list[str], others: list[str]) -> None:
    patterns = _patterns(tasks)
    filtered = re.compile(f"^(?:{'|'.join(re.escape(task) for task in tasks)})$")
    for task in [*tasks, *others]:
        asked = task in tasks
        assert any(fnmatch(task, pattern) for pattern in patterns) == asked
        assert bool(filtered.match(task)) == asked


def _patterns(tasks: list[str]) -> list[str]:
    matrix = OutcomeMatrix.from_scores(np.eye(2, len(tasks)), benchmark="ds", tasks=tasks)
    plan = make_plan(matrix, strategy="random")
    batch = Round(plan=plan, tasks=tuple(tasks), directory=Path("r000"), name="r000")
    (step,) = HarborHarness().build_command(batch).steps
    return [step[place + 1] for place, word in enumerate(step) if word == "-i"]


@pytest.mark.parametrize("name", ["swebench", "swe-agent"])
def test_swe_bench_filter_is_no_prefix(name: str, make_a_round: MakeRound) -> None:
    words = _words(make_a_round("swe-bench", ["x__y-1", "x__y.z-2"], among=["x__y-10"]), name)
    flag = "--filter" if name == "swebench" else "--instances.filter"
    pattern = words[words.index(flag) + 1]
    ids = ["x__y-1", "x__y-10", "x__y.z-2", "x__yaz-2", "a__x__y-1"]
    assert [each for each in ids if re.match(pattern, each)] == ["x__y-1", "x__y.z-2"]


def test_swe_bench_evaluation_follows_the_agents_data_and_takes_arguments_of_its_own(
    make_a_round: MakeRound,
) -> None:
    batch = make_a_round(
        "swe-bench", ["a"], *("-m", "m", "--subset", "lite", "--split=dev", "--", "-t", "900")
    )
    agent, scoring = _harness("swebench").build_command(batch).steps
    assert agent[-5:] == ("-m", "m", "--subset", "lite", "--split=dev")
    assert "verified" not in agent
    said = " ".join(scoring)
    assert "--dataset_name princeton-nlp/SWE-bench_Lite --split dev" in said
    assert said.endswith("--instance_ids a -t 900")


def test_swe_bench_runs_of_two_directories_do_not_share_a_name(make_a_round: MakeRound) -> None:
    first = make_a_round("swe-bench", ["a"])
    second = Round(
        plan=first.plan, tasks=("a",), directory=first.directory.parent / "b" / "r000", name="r000"
    )
    names = [_words(batch, "swebench")[-5] for batch in (first, second)]
    assert names[0].startswith("r000-")
    assert names[0] != names[1]


def test_swe_agent_is_called_by_the_folder_it_writes_to(make_a_round: MakeRound) -> None:
    command = _harness("swe-agent").build_command(_round("swe-agent", make_a_round))
    assert "swe-agent-org-m/preds.json" in command.steps[1]
    assert command.steps[0][command.steps[0].index("--output_dir") + 1].endswith("swe-agent-org-m")


def test_harbor_needs_to_know_whose_tasks_the_names_are(make_a_round: MakeRound) -> None:
    with pytest.raises(InputError, match="-d DATASET or -p PATH"):
        _harness("harbor").build_command(make_a_round("ds", ["a"], "-a", "nop"))


def test_harbor_gets_a_job_of_its_own_where_a_round_is_run_again(make_a_round: MakeRound) -> None:
    batch = make_a_round("ds", ["a"])
    names = []
    for _ in range(3):
        words = _words(batch, "harbor")
        names.append(words[words.index("--job-name") + 1])
        (batch.directory / names[-1]).mkdir(parents=True)
    assert names == ["r000", "r000-2", "r000-3"]


def test_tau2_domain_is_the_benchmarks_or_given(make_a_round: MakeRound) -> None:
    words = _words(make_a_round("tau2-retail", ["1"]), "tau2-bench")
    assert words[words.index("--domain") + 1] == "retail"
    given_words = _words(make_a_round("mine", ["1"], "-d", "airline"), "tau2-bench")
    assert "--domain" not in given_words
    with pytest.raises(InputError, match="--domain NAME"):
        _words(make_a_round("mine", ["1"]), "tau2-bench")


def _begun(batch: Round, llm: str) -> None:
    path = batch.directory / batch.name / "results.json"
    path.parent.mkdir(parents=True)
    info = {"agent_info": {"implementation": "llm_agent", "llm": llm}}
    tasks = [{"id": task} for task in ("1", "2", "3")]
    path.write_text(json.dumps({"info": info, "tasks": tasks, "simulations": []}))


def test_tau2_gets_all_ids_of_a_result_file_that_it_goes_on_with(make_a_round: MakeRound) -> None:
    batch = make_a_round("tau2-retail", ["2"], among=["1", "3"])
    _begun(batch, "m")
    words = _words(batch, "tau2-bench")
    start = words.index("--task-ids") + 1
    assert words[start : words.index("--num-trials")] == ["1", "2", "3"]
    assert "--auto-resume" in words


def test_tau2_does_not_go_on_with_another_agents_result_file(make_a_round: MakeRound) -> None:
    batch = make_a_round("tau2-retail", ["2"], "--agent-llm", "other", among=["1", "3"])
    _begun(batch, "m")
    with pytest.raises(InputError, match="expected --agent-llm m"):
        _words(batch, "tau2-bench")


def test_hal_goes_on_with_a_run_instead_of_losing_what_it_had(make_a_round: MakeRound) -> None:
    batch = _round("hal", make_a_round)
    words = _words(batch, "hal")
    assert "--continue_run" not in words
    run_id = words[words.index("--run_id") + 1]
    folder = batch.directory / "gaia" / run_id
    folder.mkdir(parents=True)
    (folder / f"{run_id}_RAW_SUBMISSIONS.jsonl").write_text("")
    assert "--continue_run" in _words(batch, "hal")


def test_openhands_runs_the_benchmarks_that_its_index_lists(make_a_plan: MakePlan) -> None:
    for benchmark, command in (("gaia", "gaia-infer"), ("swe-bench", "swebench-infer")):
        plan = make_a_plan(benchmark, ["a"])
        batch = Round(plan=plan, tasks=("a",), directory=Path("r"), name="r")
        assert _words(batch, "openhands-index")[0] == command
    batch = Round(plan=make_a_plan("x", ["a"]), tasks=("a",), directory=Path("r"), name="r")
    with pytest.raises(InputError, match="a benchmark of the index"):
        _words(batch, "openhands-index")
