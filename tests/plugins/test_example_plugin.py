"""The example plugin: in this process, and installed beside the built wheel with worse company."""

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.environments import ROOT, build_wheel, clean_variables, make_environment, run
from tests.plugins.conftest import Call, OneLine

from midband import OutcomeMatrix, Plan, PlanError, Session, _manager, hookspecs
from midband.choices import read_plan
from midband_sims import Names, Study, StudySettings

EXAMPLE = ROOT / "tests" / "example_plugin"
MODULE = "tests.example_plugin.midband_example"
MODULES = {
    "example": MODULE,
    "bottom-half": "tests.example_plugin.midband_bottom_half",
    "easiest": "tests.example_plugin.midband_easiest",
}
N_AGENTS, N_TASKS = 12, 60


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process find the example plugins besides ours."""
    entries = [EntryPoint(name, module, "midband") for name, module in MODULES.items()]
    monkeypatch.setattr(_manager, "entry_points", lambda group: entries)
    _manager.get_plugin_manager.cache_clear()
    yield
    monkeypatch.undo()
    _manager.get_plugin_manager.cache_clear()


@pytest.mark.usefixtures("example")
def test_plans_use_its_strategy_and_rule_by_name(call: Call, store: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    code, _, err = call(
        "plan", "toy", "--history", store, "-o", path,
        "--strategy", "separating", "--stop", "within:3:0.9 or tasks:30",
    )  # fmt: skip
    assert (code, err) == (0, "")
    plan = read_plan(path)
    assert plan.strategy == "separating"
    first = plan.stop.to_dict()["rules"][0]  # type: ignore[index]
    assert first == {"rule": "within", "ranks": 3, "confidence": 0.9, "min_tasks": 10}
    assert plan.versions["example"] == ""
    with pytest.raises(PlanError, match=r"'within'.*plugin"):
        Plan.read(path)
    code, out, err = call("export", path, "--for", "toy-eval", "-o", tmp_path / "subset")
    assert code == 0, err
    assert json.loads((tmp_path / "subset" / "tasks.json").read_text()) == list(plan.tasks)
    assert out.startswith("toy-eval --benchmark toy")


def test_without_the_plugin_its_plan_is_refused_on_one_line(
    call: Call, one_line: OneLine, store: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("example")
    path = tmp_path / "plan.json"
    made = call("plan", "toy", "--history", store, "-o", path, "--stop", "within:3")
    assert made[0] == 0, made[2]
    _manager.get_plugin_manager.cache_clear()
    request.getfixturevalue("monkeypatch").undo()
    code, _, err = call("export", path, "--for", "inspect")
    assert code == 1
    one_line(err, "'within'", "install the plugin")


@pytest.mark.usefixtures("example")
@pytest.mark.parametrize(
    ("rule", "named"),
    [("within:many", "within:many"), ("within:1:2:3", "within:1:2:3"), ("without:3", "without")],
)
def test_settings_that_its_rule_does_not_take_are_refused(
    call: Call, one_line: OneLine, store: Path, rule: str, named: str
) -> None:
    code, _, err = call("plan", "toy", "--history", store, "--stop", rule)
    assert code == 2
    one_line(err, named)


@pytest.mark.usefixtures("example")
def test_a_study_replays_its_strategy_and_rule(call: Call, store: Path) -> None:
    study = ("study", "--history", store, "--strategy", "separating", "--json")
    code, out, err = call(*study, "--stop", "within:3:0.9", "--stop", "tasks:5 or within:0")
    assert code == 0, err
    cells = {cell["stop"]: cell for cell in json.loads(out)}
    assert {cell["strategy"] for cell in cells.values()} == {"separating"}
    assert cells["tasks:5 or within:0"]["fraction_run"] == pytest.approx(5 / 40)
    assert cells["within:3:0.9"]["fraction_run"] > 5 / 40


def test_a_study_goes_on_only_from_results_of_the_same_plugins(tmp_path: Path) -> None:
    scores = np.random.default_rng(1).integers(0, 2, (8, 20)).astype(float)
    grid = (
        [OutcomeMatrix.from_scores(scores)],
        StudySettings(strategies=("random",), stops=("none",), draws=2),
    )
    found = [
        Study(*grid, names=Names(version=version)).run(output=tmp_path).units_found
        for version in ("example 1", "example 1", "example 2", "")
    ]
    assert found[1] > 0
    assert (found[0], found[2], found[3]) == (0, 0, 0)


@pytest.mark.usefixtures("example")
def test_its_live_strategy_is_planned_run_and_studied(
    call: Call, store: Path, tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    options = ("--strategy", "easiest", "--stop", "rank:0.8:0.2 or bottom-half:0.8")
    code, _, err = call("plan", "toy", "--history", store, "-o", path, *options)
    assert (code, err) == (0, "")
    plan = read_plan(path)
    assert plan.strategy == "easiest"
    assert plan.chooses_live
    assert plan.fixed().strategy == "easiest-fixed"
    session, ran = Session(plan), []
    while tasks := session.ask(1):
        ran += tasks
        session.tell(tasks[0], score=float(len(ran) > 3))
    assert len(set(ran)) == len(ran) == session.decision().tasks_run
    code, out, err = call("study", "--history", store, "--json", *options)
    assert code == 0, err
    (cell,) = json.loads(out)
    assert cell["strategy_ran"] == "easiest"
    assert 0 < cell["fraction_run"] <= 1


def test_without_the_plugin_a_plan_that_chooses_live_is_refused(
    call: Call, one_line: OneLine, store: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("example")
    path = tmp_path / "plan.json"
    options = ("--strategy", "easiest", "--stop", "rank:0.8:0.2")
    assert call("plan", "toy", "--history", store, "-o", path, *options)[0] == 0
    _manager.get_plugin_manager.cache_clear()
    request.getfixturevalue("monkeypatch").undo()
    code, _, err = call("export", path, "--for", "inspect")
    assert code == 1
    one_line(err, "'easiest'", "install the plugin")


@pytest.mark.usefixtures("example")
def test_help_lists_its_strategies_and_rules(call: Call) -> None:
    _, out, _ = call("plan", "--help")
    words = " ".join(out.split())
    assert "easiest" in words
    assert "bottom-half" in words


@pytest.mark.usefixtures("example")
def test_a_study_of_an_unknown_rule_is_refused(call: Call, one_line: OneLine, store: Path) -> None:
    code, _, err = call("study", "--history", store, "--stop", "without:3")
    assert code == 2
    one_line(err, "'without:3'")


@pytest.mark.slow
@pytest.mark.usefixtures("example")
def test_its_section_is_on_the_page_of_a_study(call: Call, store: Path, tmp_path: Path) -> None:
    pytest.importorskip("altair")
    code, _, err = call(
        "study", "--history", store, "--strategy", "random", "--output", tmp_path / "study"
    )
    assert code == 0, err
    page = (tmp_path / "study" / "report.html").read_text()
    assert ">Cheapest</h2><p>random ran the fewest tasks" in page


@pytest.mark.slow
def test_a_section_that_fails_is_left_out_with_a_warning(
    call: Call, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, example: None
) -> None:
    pytest.importorskip("altair")
    module = sys.modules.get(MODULE) or __import__(MODULE, fromlist=["cheapest"])
    monkeypatch.setattr(module, "cheapest", lambda cells: 1 / 0)
    code, _, err = call(
        "study", "--history", store, "--strategy", "random", "--output", tmp_path / "study"
    )
    assert code == 0
    assert "left out the report section Cheapest: ZeroDivisionError" in err
    page = (tmp_path / "study" / "report.html").read_text()
    assert "left out the report section Cheapest: ZeroDivisionError" in page
    assert "All policies" in page


@pytest.mark.usefixtures("example")
def test_the_listing_shows_it_and_ours_on_request(
    call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = call("plugins", "--json")
    assert (code, err) == (0, "")
    listed = {each["name"]: each for each in json.loads(out)}
    assert {
        name: (each["status"], each["error"]) for name, each in listed.items()
    } == dict.fromkeys(MODULES, ("loaded", ""))
    assert listed["easiest"]["hooks"] == ["midband_register_strategies"]
    hooks = {name for name in vars(hookspecs) if name.startswith("midband_")}
    assert set(listed["example"]["hooks"]) == hooks
    assert call("plugins")[1].startswith("name\tversion\tstatus\thooks\terror\nbottom-half\t")
    names = {each["name"] for each in json.loads(call("plugins", "--all", "--json")[1])}
    assert {"example", "hal", "harbor"} <= names
    monkeypatch.setenv("MIDBAND_DISABLE_PLUGINS", "exampel")
    _manager.get_plugin_manager.cache_clear()
    assert "names exampel, which is not there" in call("plugins")[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with midband's wheel and the example's."""
    work = tmp_path_factory.mktemp("installed")
    source = work / "example"
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    wheels = [build_wheel(ROOT, work / "ours"), build_wheel(source, work / "theirs")]
    return make_environment(work / "venv", wheels)


def _midband(programs: Path, *arguments: str | Path, cwd: Path, **variables: str) -> Any:
    environment = clean_variables() | variables
    environment["PATH"] = f"{programs}{os.pathsep}{environment.get('PATH', '')}"
    return subprocess.run(
        [str(programs / "midband"), *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def history(installed: Path, tmp_path: Path) -> Path:
    with (tmp_path / "past.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["benchmark", "task_id", "agent", "score", "cost_usd"])
        for agent in range(N_AGENTS):
            for task in range(N_TASKS):
                score = int((task * 7 + 3) % N_TASKS < 5 * (agent + 1) - 3)
                writer.writerow(["toy", f"task-{task}", f"agent-{agent}", score, 0.25])
    path = tmp_path / "h.duckdb"
    done = _midband(installed, "import", "past.csv", "--history", path, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.wheel
@pytest.mark.slow
def test_installed_it_is_found_and_each_hook_is_called(
    installed: Path, history: Path, tmp_path: Path
) -> None:
    def midband(*arguments: str | Path, **variables: str) -> str:
        done = _midband(installed, *arguments, cwd=tmp_path, **variables)
        assert done.returncode == 0, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return str(done.stdout)

    run(installed / "python", "-c", "import midband.testing", cwd=tmp_path)  # there is no pytest
    listed = {each["name"]: each for each in json.loads(midband("plugins", "--json"))}
    assert set(listed) == set(MODULES)
    assert {(each["version"], each["status"]) for each in listed.values()} == {("0.3.1", "loaded")}
    assert "toy-tasks" in midband("--help")
    assert midband("toy-tasks", "2").splitlines() == ["task-0", "task-1"]
    midband(
        "plan", "toy", "--history", history, "--strategy", "separating", "--stop", "within:4:0.9"
    )
    plan = json.loads((tmp_path / "plan.json").read_text())
    assert plan["strategy"] == "separating"
    assert plan["stop"]["rule"] == "within"
    assert plan["versions"]["example"] == "0.3.1"
    command = midband("export", "plan.json", "--for", "toy-eval", "-o", "subset")
    assert command.startswith("toy-eval ")
    assert set(json.loads((tmp_path / "subset" / "tasks.json").read_text())) == set(plan["tasks"])

    log = tmp_path / "observed.jsonl"
    arguments = ("--", "--agent", "new", "--skill", "30")
    decision = json.loads(
        midband(
            "run", "toy-eval", "plan.json", "--output", "run", "--json", *arguments,
            MIDBAND_EXAMPLE_LOG=str(log),
        )
    )  # fmt: skip
    *results, end = (json.loads(line) for line in log.read_text().splitlines())
    assert {each["plan"] for each in (*results, end)} == {plan["digest"]}
    assert {each["task"] for each in results} <= set(plan["tasks"])
    assert {each["score"] for each in results} == {0.0, 1.0}
    assert end["reason"].startswith("known to ")
    assert Path(end["source"]).resolve() == (tmp_path / "run").resolve()
    assert json.dumps(decision).count("known to ") >= 1

    study = ("study", "--history", history, "--strategy", "separating", "--stop", "within:4:0.9")
    alone, shared = (json.loads(midband(*study, "--workers", n, "--json")) for n in "12")
    for name in ("fraction_run", "tasks_run", "spearman", "coverage"):
        assert alone[0][name] == shared[0][name]
    assert 0 < alone[0]["fraction_run"] < 1

    midband("import", "run", "--history", history)
    (verdict,) = json.loads(midband("rank", "plan.json", "run", "--json"))
    assert verdict["agent"] == "new"


@pytest.mark.wheel
@pytest.mark.slow
def test_a_broken_plugin_and_one_of_the_same_names_are_reported(
    installed: Path, history: Path, tmp_path: Path
) -> None:
    packages = Path(
        run(installed / "python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))",
            cwd=tmp_path).stdout.strip()
    )  # fmt: skip
    added = {
        "broken": "raise ImportError('its library is gone')\n",
        "copycat": "from midband_example import midband_register_harnesses\n",
    }
    try:
        for name, text in added.items():
            (packages / f"{name}_plugin.py").write_text(text)
            about = packages / f"{name}_plugin-1.0.dist-info"
            about.mkdir()
            (about / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n"
            )
            (about / "entry_points.txt").write_text(f"[midband]\n{name} = {name}_plugin\n")
        done = _midband(installed, "plugins", "--json", cwd=tmp_path)
        assert done.returncode == 1
        listed = {each["name"]: each for each in json.loads(done.stdout)}
        assert listed["broken"]["status"] == "failed"
        assert listed["broken"]["version"] == "1.0"
        assert listed["broken"]["error"] == "ImportError: its library is gone"
        assert listed["example"]["status"] == listed["copycat"]["status"] == "loaded"
        assert "harness named 'toy-eval'" in done.stderr
        assert "'copycat'" in done.stderr
        assert "'example'" in done.stderr

        plan = ("plan", "toy", "--history", history, "--strategy", "separating")
        done = _midband(installed, *plan, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        versions = set(json.loads((tmp_path / "plan.json").read_text())["versions"])
        assert versions == {"midband", "copycat", *MODULES}
        export = ("export", "plan.json", "--for", "toy-eval", "-o", "subset")
        done = _midband(installed, *export, cwd=tmp_path)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert "'copycat'" in done.stderr
        assert "'example'" in done.stderr
        done = _midband(installed, *export, cwd=tmp_path, MIDBAND_DISABLE_PLUGINS="copycat")
        assert done.returncode == 0, done.stderr
        done = _midband(installed, *export, cwd=tmp_path, MIDBAND_LOAD_PLUGINS="broken")
        assert done.returncode == 2
        assert "these plugins failed, see `midband plugins`: broken" in done.stderr
        done = _midband(installed, "plugins", "--json", cwd=tmp_path, MIDBAND_DISABLE_PLUGINS="all")
        assert done.returncode == 0
        assert {each["status"] for each in json.loads(done.stdout)} == {"disabled"}
    finally:
        for path in packages.glob("*_plugin*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
