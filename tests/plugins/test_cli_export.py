"""Export: what a harness is handed of a plan, and the command that is printed to copy."""

import json
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from midband import Capabilities, Command, Plan, Probe, Record, Round, get_plugin_manager, hookimpl
from midband.descriptors import subset_of
from midband_history import InputError, UnknownTaskError

Call = Callable[..., tuple[int, str, str]]
OneLine = Callable[..., None]


class Lists:
    """A harness whose subset is as many files as it is told."""

    summary = "for tests"
    tested_versions = ()

    def __init__(self, name: str, files: Sequence[str]) -> None:
        self.name = name
        self.files = files
        self.capabilities = Capabilities(subset=True, attempts=name != "two")

    def probe(self) -> Probe:
        return Probe()

    def read_results(self, path: Path, *, benchmark: str | None = None) -> list[Record]:
        return []

    def write_subset(
        self, plan: Plan, directory: Path, *, tasks: Sequence[str] | None = None
    ) -> tuple[Path, ...]:
        directory.mkdir(parents=True, exist_ok=True)
        for name in self.files:
            (directory / name).write_text("\n".join(subset_of(plan, tasks)) + "\n")
        return tuple(directory / name for name in self.files)

    def build_command(self, batch: Round) -> Command:
        named = [f"--list={batch.directory / name}" for name in self.files]
        own = [f"--only={task}" for task in batch.tasks] if not self.files else []
        step = (
            "run it",
            *named,
            *own,
            f"-k{batch.attempts}",
            str(batch.directory),
            *batch.arguments,
        )
        return Command(
            steps=(step, ("score",)), results=batch.directory, environment={"KEY": "a b"}
        )


@pytest.fixture
def harnesses() -> Iterator[None]:
    class Plugin:
        @hookimpl
        def midband_register_harnesses(self) -> list[Lists]:
            return [
                Lists("none", []),
                Lists("one", ["ids.txt"]),
                Lists("two", ["ids.txt", "more.txt"]),
            ]

    manager = get_plugin_manager()
    plugin = Plugin()
    manager.register(plugin, name="for-tests")
    yield
    manager._pluggy.unregister(plugin)


@pytest.fixture
def plan(store: Path, tmp_path: Path, call: Call) -> Path:
    path = tmp_path / "plan.json"
    arguments = ("--strategy", "random", "--max-tasks", "7", "--output", path)
    assert call("plan", "toy", *arguments, "--history", store)[0] == 0
    return path


def test_inspect_gets_a_file_and_a_command_to_copy(plan: Path, tmp_path: Path, call: Call) -> None:
    target = tmp_path / "my subset.yaml"
    code, printed, error = call(
        "export", plan, "--for", "inspect", "-o", target, "--", "gaia.py", "--model", "m/x y"
    )
    (line,) = printed.splitlines()
    words = shlex.split(line)
    assert code == 0
    assert words[:5] == ["inspect", "eval", "gaia.py", "--model", "m/x y"]
    assert words[words.index("--run-config") + 1] == str(target)
    assert str(target) in error
    for task in Plan.read(plan).tasks:
        assert f'"{task}"' in target.read_text()


def test_without_arguments_the_command_says_what_is_missing(plan: Path, call: Call) -> None:
    code, printed, error = call("export", plan, "--for", "inspect")
    assert code == 0
    assert "eval_config:" in printed
    assert "inspect eval TASK --model MODEL --run-config subset.yaml" in error


def test_inspect_arguments_that_would_undo_the_subset_are_refused(
    plan: Path, call: Call, one_line: OneLine
) -> None:
    for word in ("--sample-id=t01", "--limit=3", "--run-config=other.yaml"):
        code, _, error = call("export", plan, "--for", "inspect", "--", "gaia.py", word)
        assert code == 2
        one_line(error, word)


@pytest.mark.usefixtures("harnesses")
def test_a_single_file_goes_to_the_screen_and_the_command_beside_it(plan: Path, call: Call) -> None:
    code, printed, error = call("export", plan, "--for", "one", "--output", "-")
    assert code == 0
    assert printed.splitlines() == list(Plan.read(plan).tasks)
    assert error.splitlines() == [
        "env 'KEY=a b' 'run it' --list=ids.txt -k1 .",
        "env 'KEY=a b' score",
    ]


@pytest.mark.usefixtures("harnesses")
def test_paths_in_the_command_are_those_that_were_given(
    plan: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "to").mkdir()
    for target, folder in (("ids.txt", "."), ("to/ids.txt", "to")):
        code, printed, _ = call("export", plan, "--for", "one", "--output", target)
        words = shlex.split(printed.splitlines()[0])
        assert code == 0
        assert words[2:] == ["run it", f"--list={target}", "-k1", folder]


@pytest.mark.usefixtures("harnesses")
def test_a_harness_without_a_file_gets_the_tasks_in_the_command(plan: Path, call: Call) -> None:
    code, printed, _ = call("export", plan, "--for", "none", "--attempts", "3", "--", "--fast")
    words = shlex.split(printed.splitlines()[0])
    assert code == 0
    assert [word for word in words if word.startswith("--only=")] == [
        f"--only={task}" for task in Plan.read(plan).tasks
    ]
    assert words[-3:] == ["-k3", ".", "--fast"]


@pytest.mark.usefixtures("harnesses")
def test_several_files_need_a_directory(
    plan: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    for arguments in ([], ["--output", tmp_path / "one.txt"]):
        code, _, error = call("export", plan, "--for", "two", *arguments)
        assert code == 2
        one_line(error, "--output", "got 2")
    folder = tmp_path / "subset"
    code, printed, error = call("export", plan, "--for", "two", "--output", folder)
    assert code == 0
    assert f"--list={folder / 'ids.txt'}" in shlex.split(printed.splitlines()[0])
    assert sorted(file.name for file in folder.iterdir()) == ["ids.txt", "more.txt"]
    assert not list(tmp_path.glob(".midband-*"))


def test_the_result_is_also_json(plan: Path, tmp_path: Path, call: Call) -> None:
    target = tmp_path / "subset.yaml"
    code, printed, _ = call("export", plan, "--for", "inspect", "--output", target, "--json")
    found = json.loads(printed)
    assert code == 0
    assert (found["tasks"], found["files"]) == (7, [str(target)])
    assert found["commands"][0].startswith("inspect eval")


def test_a_live_strategy_is_exported_in_its_fixed_order_and_says_what_is_lost(
    store: Path, tmp_path: Path, call: Call
) -> None:
    path = tmp_path / "live.json"
    settings = ("--strategy", "information", "--stop", "rank:0.6:0.5", "--max-tasks", "5")
    code, _, error = call("plan", "toy", *settings, "-o", path, "--history", store)
    assert code == 0, error
    plan = Plan.read(path)
    assert plan.chooses_live
    code, printed, error = call("export", path, "--for", "inspect")
    listed = [line.strip(' -"') for line in printed.splitlines() if line.startswith("    - ")]
    assert code == 0
    assert listed == list(plan.fixed().tasks[:5])
    assert "information" in error
    assert "lost" in error


@pytest.mark.usefixtures("harnesses")
def test_more_attempts_than_the_harness_can_are_refused(
    plan: Path, call: Call, one_line: OneLine
) -> None:
    code, _, error = call("export", plan, "--for", "two", "--attempts", "2")
    assert code == 2
    one_line(error, "two", "--attempts")


def test_a_place_that_cannot_be_written_is_one_line(
    plan: Path, tmp_path: Path, call: Call, one_line: OneLine
) -> None:
    target = tmp_path / "no" / "subset.yaml"
    code, _, error = call("export", plan, "--for", "inspect", "--output", target)
    assert code == 2
    one_line(error, str(target))


def test_a_subset_is_never_empty_and_holds_planned_tasks_only(plan: Path) -> None:
    made = Plan.read(plan)
    assert subset_of(made, None) == made.tasks
    assert subset_of(made, [made.tasks[2], made.tasks[0], made.tasks[2]]) == (
        made.tasks[2],
        made.tasks[0],
    )
    with pytest.raises(InputError, match="at least one task"):
        subset_of(made, [])
    with pytest.raises(UnknownTaskError, match="t99"):
        subset_of(made, ["t99"])
