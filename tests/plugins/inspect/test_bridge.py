import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from inspect_ai import eval as inspect_eval
from inspect_ai._cli.eval import parse_run_config
from inspect_ai._util.config import parse_cli_args
from inspect_ai.log import list_eval_logs, read_eval_log
from tests.plugins.inspect.judged import rank_logs

from midband.inspect import export_run_config, inspect_argv, main
from midband.inspect.command import warnings_for
from midband_history import InputError
from midband_sampler import Plan, PlanError

TOY = f"{Path(__file__).parent / 'toy_benchmark.py'}@toy"
MakePlan = Callable[..., Path]
NOWHERE: dict[str, str] = {}


def settings_of(argv: list[str]) -> dict[str, object]:
    pairs = [argv[i + 1] for i, word in enumerate(argv[:-1]) if word == "-T"]
    return parse_cli_args(pairs)


def test_the_flag_becomes_the_registered_task(make: MakePlan) -> None:
    path = make()
    argv = inspect_argv(
        ["eval", TOY, "--adaptive", str(path), "--model", "toy/50", "-T", "n=40", "--trace"],
        environment=NOWHERE,
    )
    assert argv[:2] == ["eval", "midband/adaptive"]
    assert settings_of(argv) == {
        "task": TOY,
        "plan": str(path),
        "plan_digest": Plan.read(path).digest,
        "n": 40,
    }
    assert argv[argv.index("--max-samples") + 1] == "4"
    assert argv[-5:] == ["--model", "toy/50", "-T", "n=40", "--trace"]


def test_the_order_of_the_words_does_not_matter(make: MakePlan) -> None:
    path = make()
    argv = inspect_argv(
        ["eval-set", f"--adaptive={path}", "--model=toy/50", "--sample-shuffle", "--log-dir", "x",
         "--allow-changed", "inspect_evals/toy", "--max-samples", "2"],
        environment=NOWHERE,
    )  # fmt: skip
    assert settings_of(argv)["task"] == "inspect_evals/toy"
    assert settings_of(argv)["allow_changed"] is True
    assert argv.count("--max-samples") == 1
    assert argv[-6:] == [
        "--model=toy/50", "--sample-shuffle", "--log-dir", "x", "--max-samples", "2",
    ]  # fmt: skip


def test_a_width_from_the_environment_is_kept(make: MakePlan) -> None:
    argv = ["eval", TOY, "--adaptive", str(make())]
    assert "--max-samples" in inspect_argv(argv, environment=NOWHERE)
    assert "--max-samples" not in inspect_argv(argv, environment={"INSPECT_EVAL_MAX_SAMPLES": "9"})


def test_relative_files_become_absolute(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "a folder, with, commas: 1"
    folder.mkdir()
    (folder / "my.py").touch()
    make().rename(folder / "plan.json")
    monkeypatch.chdir(folder)
    argv = inspect_argv(["eval", "my.py@toy", "--adaptive", "plan.json"], environment=NOWHERE)
    joined = {
        name: ",".join(value) if isinstance(value, list) else value
        for name, value in settings_of(argv).items()
    }
    assert joined["task"] == f"{folder / 'my.py'}@toy"
    assert joined["plan"] == str(folder / "plan.json")


@pytest.mark.parametrize("digest", ["1234567890123456", "12345678901e4567", "0x12345678901234"])
def test_yaml_does_not_make_a_number_of_a_digest(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch, digest: str
) -> None:
    path = make()
    monkeypatch.setattr(Plan, "digest", digest)
    monkeypatch.setattr(Plan, "read", classmethod(lambda cls, _, **__: object.__new__(cls)))
    argv = inspect_argv(["eval", TOY, "--adaptive", str(path)], environment=NOWHERE)
    assert settings_of(argv)["plan_digest"] == digest


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["--help"],
        ["eval", "x.py", "--model", "m", "--limit", "3"],
        ["eval-retry", "logs/one.eval"],
        ["view", "start", "--port", "1"],
    ],
)
def test_everything_else_passes_through(argv: list[str]) -> None:
    assert inspect_argv(argv) == argv
    assert warnings_for(argv) == []


def test_a_flag_that_a_newer_inspect_adds_takes_no_task_away(
    make: MakePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inspect_ai._cli import eval as cli

    flag = click.Option(["--brand-new"], is_flag=True)
    value = click.Option(["--brand-new-value"])
    monkeypatch.setattr(cli.eval_command, "params", [*cli.eval_command.params, flag, value])
    argv = ["eval", "--brand-new", TOY, "--brand-new-value", "x", "--adaptive", str(make())]
    found = inspect_argv(argv, environment=NOWHERE)
    assert settings_of(found)["task"] == TOY
    assert found[-3:] == ["--brand-new", "--brand-new-value", "x"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["eval-retry", "a.eval"], "eval-retry"),
        (["eval"], "got none"),
        (["eval", "a", "b"], "got a, b"),
        (["eval", "missing.py@toy"], "does not exist"),
        (["eval", "a", "-T", "plan=1"], "-T plan"),
        (["eval", "a", "-Ttask=1"], "-T task"),
        (["eval", "a", "--run-config", "r.yaml"], "--run-config"),
        (["eval", "a", "--adaptive", "other.json"], "one plan"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(
    make: MakePlan, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    argv = [*words, "--adaptive", str(make())]
    with pytest.raises(InputError) as caught:
        inspect_argv(argv)
    assert said in str(caught.value)
    assert main(argv) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_plan_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError):
        inspect_argv(["eval", "a", "--adaptive", str(tmp_path / "none.json")])
    with pytest.raises(InputError, match="no plan"):
        inspect_argv(["eval", "a", "--adaptive"])
    with pytest.raises(InputError, match="beside --allow-changed"):
        inspect_argv(["eval", "a", "--allow-changed"])


def test_no_sample_logs_is_warned_of(make: MakePlan) -> None:
    argv = ["eval", TOY, "--adaptive", str(make())]
    assert warnings_for(argv, environment=NOWHERE) == []
    assert "--no-log-samples" in warnings_for([*argv, "--no-log-samples"])[0]
    assert warnings_for(argv, environment={"INSPECT_EVAL_NO_LOG_SAMPLES": "true"})


def midband(*words: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the flag as `midband inspect` does, in a process that becomes Inspect.

    The toy provider is found as an installed one is: Inspect resolves models before task files.
    """
    installed = folder / "site" / "toy_benchmark-1.0.dist-info"
    installed.mkdir(parents=True)
    (installed / "METADATA").write_text("Name: toy_benchmark\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[inspect_ai]\ntoy_benchmark = toy_benchmark\n")
    paths = os.pathsep.join([str(installed.parent), str(Path(__file__).parent)])
    code = "import sys; from midband.inspect import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=folder,
        env={**os.environ, "INSPECT_DISPLAY": "plain", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_installed_inspect_stops_early(make: MakePlan, tmp_path: Path) -> None:
    path = make()
    done = midband(
        "eval", TOY, "--adaptive", path.name, "--model", "toy/97", "--log-dir", "logs",
        folder=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    (info,) = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(info)
    assert log.results is not None
    assert log.results.early_stopping is not None
    verdict = log.results.early_stopping.metadata
    assert verdict["stop"] is True
    assert verdict["error"] is None
    assert len(log.results.early_stopping.early_stops) >= 20
    assert log.eval.task == "toy"
    assert log.eval.config.max_samples == 4


@pytest.mark.slow
def test_a_refusal_is_one_line_without_a_traceback(make: MakePlan, tmp_path: Path) -> None:
    path = make(benchmark="gaia")
    done = midband("eval", TOY, "--adaptive", str(path), "--model", "toy/97", folder=tmp_path)
    shown = " ".join((done.stdout + done.stderr).split())
    assert done.returncode != 0
    assert "expected a plan for 'toy', got a plan for 'gaia'" in shown
    assert "Traceback" not in shown


def test_the_exported_run_config_is_one_that_inspect_reads(make: MakePlan, tmp_path: Path) -> None:
    odd = [f'id [{place}] "*" é😀' for place in range(40)]
    path = make(ids=odd)
    plan = Plan.read(path)
    target = tmp_path / "run.yaml"
    export_run_config(plan, target)
    settings = parse_run_config(str(target))
    from inspect_ai._eval.task.util import sample_id_filter

    matches = sample_id_filter(settings["sample_id"]).matches
    assert all(matches(name) for name in plan.tasks)
    assert not matches('id 1 "*" é😀')
    assert settings["metadata"]["midband_plan"] == plan.digest
    with pytest.raises(InputError, match="writable"):
        export_run_config(plan, tmp_path / "no" / "run.yaml")


def test_a_run_by_the_exported_config_can_be_ranked(make: MakePlan, tmp_path: Path) -> None:
    plan = Plan.read(make(n=12))
    export_run_config(plan, tmp_path / "run.yaml")
    (log,) = inspect_eval(
        TOY,
        model="toy/97",
        display="none",
        log_dir=str(tmp_path / "logs"),
        **parse_run_config(str(tmp_path / "run.yaml")),
    )
    assert len(log.samples or []) == 12
    ((agent, _, decision),) = rank_logs(plan, [Path(log.location.removeprefix("file://"))])
    assert agent == "toy/97"
    assert decision.stop


def test_metric_and_most_errors_are_handed_to_the_task(make: MakePlan) -> None:
    path = make()
    argv = inspect_argv(
        ["eval", "--metric", "match", TOY, "--adaptive", str(path), "--max-errors=20%"],
        environment=NOWHERE,
    )
    settings = settings_of(argv)
    assert (settings["plan_metric"], settings["plan_max_errors"]) == ("match", "20%")
    assert not {"--metric", "--max-errors"} & set(argv)
    plain = ["score", "log.eval", "--metric", "accuracy"]
    assert inspect_argv(plain, environment=NOWHERE) == plain


@pytest.mark.parametrize("most", ["lots", "120%", "-1"])
def test_a_bad_limit_of_errors_is_refused_before_inspect_starts(make: MakePlan, most: str) -> None:
    with pytest.raises(InputError, match="got"):
        inspect_argv(
            ["eval", TOY, "--adaptive", str(make()), f"--max-errors={most}"], environment=NOWHERE
        )
