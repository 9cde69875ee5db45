"""The contract of a harness: no task runs unasked, no attempt is lost, doubled or made up."""

import glob
import json
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from midband.descriptors import Capabilities, Command, Harness, InProcessHarness, Probe, Round
from midband.testing.checks import check, check_name, expecting, plan_of, refused, snapshot
from midband_history import History, InputError, MidbandError, Record, UnreadableSourceError

if TYPE_CHECKING:
    import pytest

    from midband_sampler import Plan

_SLOWEST_PROBE_S = 5.0
_MOST_FILES = 12


class ResultsContract:
    """The part of `HarnessContract` that is about results."""

    def make_harness(self) -> Harness:
        """Return a new harness."""
        raise NotImplementedError

    def results(self, tmp_path: Path) -> Path:
        """Return a directory of results that the harness really wrote, at least one attempt."""
        raise NotImplementedError

    def test_results_are_records_and_the_same_each_time(self, tmp_path: Path) -> None:
        """Reading changes nothing, and a history takes the results in once."""
        path = self.results(tmp_path)
        before = snapshot(path)
        records = self._read(path)
        check(len(records) > 0, f"expected attempts in {path}, got none")
        strange = [each for each in records if not isinstance(each, Record)]
        check(not strange, f"expected records of midband, got {strange[:1]}")
        check(_texts(self._read(path)) == _texts(records), "expected the same records twice")
        check(snapshot(path) == before, f"expected {path} unchanged by reading it")
        with History.in_memory() as history:
            first = history.add(records)
            check(
                first.duplicates == 0,
                f"expected an attempt once, got {first.duplicates} of {len(records)} twice",
            )
            again = history.add(self._read(path))
            check(again.added == 0, f"expected nothing new the second time, got {again.added}")

    def test_the_benchmark_can_be_named(self, tmp_path: Path) -> None:
        """The name given overrides that of the results."""
        path = self.results(tmp_path)
        records = list(self.make_harness().read_results(path, benchmark="another"))
        found = {each.benchmark for each in records}
        check(found == {"another"}, f"expected the benchmark 'another', got {sorted(found)}")

    def test_half_a_file_is_refused(self, tmp_path: Path) -> None:
        """A torn file is an `UnreadableSourceError`, never fewer or other results."""
        path = self.results(tmp_path)
        whole = sorted(_texts(self._read(path)))
        torn = 0
        for name in sorted(snapshot(path))[:_MOST_FILES]:
            copy = tmp_path / "torn" / path.name
            shutil.copytree(path, copy)
            content = (copy / name).read_bytes()
            (copy / name).chmod(0o600)
            (copy / name).write_bytes(content[: len(content) * 3 // 5].rstrip())
            with expecting(f"UnreadableSourceError for half of {name}"):
                found = self._read_or_none(copy)
            torn += found is None
            check(
                found is None or sorted(_texts(found)) == whole,
                f"expected half of {name} to be refused, got {len(found or ())} records"
                f" where the whole gives {len(whole)}",
            )
            shutil.rmtree(tmp_path / "torn")
        check(torn > 0, f"expected half a file of {path} to be refused, got no refusal")

    def test_what_is_not_its_own_is_left_out(self, tmp_path: Path) -> None:
        """Other files beside the results change nothing; nowhere is no crash."""
        path = self.results(tmp_path)
        whole = sorted(_texts(self._read(path)))
        copy = tmp_path / "mixed" / path.name
        shutil.copytree(path, copy)
        (copy / "notes.txt").write_text("not a result\n")
        (copy / "other.json").write_text('{"hello": [1, 2]}\n')
        (copy / "other.jsonl").write_text('{"hello": 1}\n')
        (copy / "image.bin").write_bytes(bytes(range(256)))
        found = sorted(_texts(self._read(copy)))
        check(found == whole, f"expected the same {len(whole)} records, got {len(found)}")
        empty = tmp_path / "empty"
        empty.mkdir()
        for place in (empty, tmp_path / "nowhere"):
            with expecting(f"no results in {place}"):
                strange = self._read_or_none(place)
            check(not strange, f"expected no results in {place}, got {strange}")

    def _read(self, path: Path) -> list[Record]:
        return list(self.make_harness().read_results(path))

    def _read_or_none(self, path: Path) -> list[Record] | None:
        """Return the records, None where they are refused as unreadable."""
        try:
            return self._read(path)
        except UnreadableSourceError:
            return None


class HarnessContract(ResultsContract):
    """Checks of a `midband.Harness`; subclass it, and say how yours is made.

    A harness that takes no subset has to refuse one, and to read results all the same.

    Attributes
    ----------
    task_ids : tuple of str
        Ids that the harness can be given; among them one that begins another.
    odd_task_ids : tuple of str
        Ids that it has to name exactly or refuse with `InputError`.
    benchmark : str
        Of the plans that it is given.
    arguments : tuple of str
        What a user gives for it, at least what `build_command` asks for.
    refused_arguments : tuple of tuple of str
        What a user may not give, each beside `arguments`, because it widens or undoes the subset.
    """

    task_ids: tuple[str, ...] = ("alpha", "alpha-2", "alp", "beta", "gamma", "delta")
    odd_task_ids: tuple[str, ...] = (
        "two words", "it's", 'a "b"', "*", "alph?", "[ab]lpha", "a,b", "$(touch x)", "-k",
        "b|c", "al.ha", "alpha/3", "é", "back\\slash", "line\nbreak",
    )  # fmt: skip
    benchmark: str = "toy"
    arguments: tuple[str, ...] = ()
    refused_arguments: tuple[tuple[str, ...], ...] = ()

    def selected(
        self, command: Command, files: Sequence[Path], universe: Sequence[str]
    ) -> Iterable[str]:
        """Return which tasks of `universe` the harness would run.

        By default those that the command or the files name as a word, as they are or escaped for
        JSON, a glob or a regular expression. Better say here what the harness itself does.
        """
        words = [word for step in command.steps for word in step]
        text = "\n".join([*words, *(file.read_text(encoding="utf-8") for file in files)])
        named = []
        for task in sorted(universe, key=len, reverse=True):  # a name within another is not named
            for form in sorted(_forms(task), key=len, reverse=True):
                text, found = re.subn(rf"(?<![\w-]){re.escape(form)}(?![\w-])", "\0", text)
                if found and task not in named:
                    named.append(task)
        return named

    def test_it_says_what_it_is(self) -> None:
        """It has all that the protocol asks for, and the same each time."""
        harness, again = self.make_harness(), self.make_harness()
        check(isinstance(harness, Harness), f"expected a midband.Harness, got {harness!r}")
        check_name(harness.name)
        check(harness.name == again.name, "expected one name, got another from a second instance")
        summary = harness.summary
        check(
            bool(summary) and len(summary.splitlines()) == 1,
            f"expected a summary of one line, got {summary!r}",
        )
        versions = harness.tested_versions
        check(
            isinstance(versions, tuple)
            and all(isinstance(each, str) and each for each in versions),
            f"expected tested_versions to be a tuple of texts, got {versions!r}",
        )

    def test_its_capabilities_agree_with_its_methods(self) -> None:
        """It has methods for all that it says it can do."""
        harness = self.make_harness()
        able = harness.capabilities
        check(isinstance(able, Capabilities), f"expected Capabilities, got {able!r}")
        check(
            able.subset or not (able.rounds or able.attempts or able.live or able.in_process),
            f"expected rounds, attempts, live and in_process only with subset, got {able}",
        )
        check(
            able.in_process == isinstance(harness, InProcessHarness),
            f"expected start() where in_process is set and only there, got {able}",
        )

    def test_looking_for_it_never_fails(self, monkeypatch: "pytest.MonkeyPatch") -> None:
        """`probe` answers, quickly, whether or not the harness is there."""
        for path in (None, ""):
            if path is not None:
                monkeypatch.setenv("PATH", path)
            start = perf_counter()
            with expecting("probe to return a Probe"):
                found = self.make_harness().probe()
            took = perf_counter() - start
            check(isinstance(found, Probe), f"expected probe to return a Probe, got {found!r}")
            check(
                len(found.problem.splitlines()) <= 1,
                f"expected a problem of one line, got {found.problem!r}",
            )
            check(took < _SLOWEST_PROBE_S, f"expected a quick probe, got {took:.1f} s")

    def test_without_a_subset_it_refuses_one(self, tmp_path: Path) -> None:
        """A harness that cannot be given tasks says so, instead of running all."""
        harness = self.make_harness()
        if harness.capabilities.subset:
            return
        plan = self._plan()
        message = f"expected {harness.name} to refuse a subset, which it says it cannot take"
        refused(lambda: harness.write_subset(plan, tmp_path / "r"), InputError, message)
        batch = self._round(plan, self.task_ids[:1], tmp_path / "r")
        refused(lambda: harness.build_command(batch), InputError, message)

    def test_it_runs_the_tasks_that_it_is_given_and_no_others(self, tmp_path: Path) -> None:
        """The subset is exact, whether all planned tasks, one or a few."""
        if not self._takes_subsets():
            return
        plan = self._plan()
        subsets = [plan.tasks, *((task,) for task in plan.tasks), plan.tasks[1:4]]
        for place, tasks in enumerate(subsets):
            self._check_selected(plan, tasks, tmp_path / f"r{place:03d}")
        files, command = self._prepared(plan, None, tmp_path / "all")
        found = set(self.selected(command, files, plan.tasks))
        check(
            found == set(plan.tasks),
            f"expected all planned tasks where none are named, got {sorted(found)}",
        )

    def test_odd_ids_are_exact_or_refused(self, tmp_path: Path) -> None:
        """No id is taken for a pattern, an option or several ids."""
        if not self._takes_subsets():
            return
        for place, odd in enumerate(self.odd_task_ids):
            plan = plan_of([*self.task_ids, odd], benchmark=self.benchmark)
            try:
                self._check_selected(plan, (odd,), tmp_path / f"r{place:03d}")
            except InputError:
                continue

    def test_no_tasks_are_refused(self, tmp_path: Path) -> None:
        """An empty subset is an error: several harnesses take it for all tasks."""
        if not self._takes_subsets():
            return
        plan, harness = self._plan(), self.make_harness()
        message = "expected InputError for a subset of no tasks"
        refused(lambda: harness.write_subset(plan, tmp_path / "r", tasks=()), InputError, message)
        check(not snapshot(tmp_path), "expected no file for a refused subset, got one")
        batch = self._round(plan, (), tmp_path / "r")
        refused(lambda: harness.build_command(batch), InputError, message)

    def test_unplanned_tasks_are_refused(self, tmp_path: Path) -> None:
        """A task that is not in the plan is an error, not left out."""
        if not self._takes_subsets():
            return
        plan, harness = self._plan(), self.make_harness()
        tasks = (self.task_ids[0], "no-such-task")
        refused(
            lambda: harness.write_subset(plan, tmp_path / "r", tasks=tasks),
            MidbandError,
            "expected an error for a task that is not planned",
        )

    def test_a_task_named_twice_runs_once(self, tmp_path: Path) -> None:
        """A repeated id is refused, or counts once."""
        if not self._takes_subsets():
            return
        plan, task = self._plan(), self.task_ids[0]
        once, twice = (task,), (task, task)
        expected = self._written(plan, once, tmp_path / "r000")
        try:
            found = self._written(plan, twice, tmp_path / "r000")
        except InputError:
            return
        check(found == expected, f"expected {task!r} once, got {found} where {expected} is right")

    def test_it_writes_below_its_directory_only(
        self, tmp_path: Path, monkeypatch: "pytest.MonkeyPatch"
    ) -> None:
        """The subset's files are those returned, in a directory that is made for them."""
        if not self._takes_subsets():
            return
        here, directory = tmp_path / "here", tmp_path / "there" / "r000"
        here.mkdir()
        monkeypatch.chdir(here)
        plan = self._plan()
        files, _ = self._prepared(plan, None, directory)
        check(isinstance(files, tuple), f"expected a tuple of files, got {files!r}")
        found = {path.resolve() for path in tmp_path.rglob("*") if path.is_file()}
        check(
            found == {file.resolve() for file in files},
            f"expected the files {sorted(map(str, files))}, found {sorted(map(str, found))}",
        )
        outside = [str(path) for path in found if directory.resolve() not in path.parents]
        check(not outside, f"expected files below {directory}, got {outside}")

    def test_the_same_subset_twice_is_the_same(self, tmp_path: Path) -> None:
        """Nothing depends on chance, the clock or an earlier call."""
        if not self._takes_subsets():
            return
        plan = self._plan()
        first = self._written(plan, plan.tasks, tmp_path / "r000")
        second = self._written(plan, plan.tasks, tmp_path / "r000")
        check(first == second, f"expected the same files and command, got {first} and {second}")

    def test_its_command_can_be_run(self, tmp_path: Path) -> None:
        """Steps are lists of words; what the user gave is in one of them, unchanged."""
        if not self._takes_subsets():
            return
        plan = self._plan()
        directory = tmp_path / "r000"
        _, command = self._prepared(plan, None, directory)
        check(isinstance(command, Command), f"expected a Command, got {command!r}")
        check(len(command.steps) > 0, "expected at least one step, got none")
        for step in command.steps:
            check(
                len(step) > 0 and all(isinstance(word, str) for word in step) and step[0],
                f"expected a step of words that begins with a program, got {step!r}",
            )
            check(not any("\0" in word for word in step), f"expected no NUL, got {step!r}")
        check(
            all(isinstance(text, str) for pair in command.environment.items() for text in pair),
            f"expected an environment of texts, got {command.environment!r}",
        )
        check(
            any(_in_order(self.arguments, step) for step in command.steps),
            f"expected the arguments {self.arguments} in a step, got {command.steps}",
        )
        check(
            directory in (command.results, *command.results.parents),
            f"expected results below {directory}, got {command.results}",
        )

    def test_each_round_has_results_of_its_own(self, tmp_path: Path) -> None:
        """Results of one round are not taken for those of another."""
        if not self._takes_subsets():
            return
        plan, names = self._plan(), ("r000", "r001")
        commands = [self._prepared(plan, self.task_ids[:2], tmp_path / name)[1] for name in names]
        places = {command.results for command in commands}
        check(len(places) == 2, f"expected a place for the results of each round, got {places}")

    def test_attempts_are_run_or_refused(self, tmp_path: Path) -> None:
        """Two attempts a task are asked of the harness, or refused where it has none."""
        if not self._takes_subsets():
            return
        plan, harness = self._plan(), self.make_harness()
        once = self._round(plan, self.task_ids[:2], tmp_path / "r000")
        harness.write_subset(plan, once.directory, tasks=once.tasks)
        twice = self._round(plan, self.task_ids[:2], tmp_path / "r000", attempts=2)
        if not harness.capabilities.attempts:
            refused(
                lambda: harness.build_command(twice),
                InputError,
                "expected two attempts to be refused, as the capabilities say",
            )
            return
        check(
            harness.build_command(once) != harness.build_command(twice),
            "expected another command for two attempts than for one, got the same",
        )

    def test_contradicting_arguments_are_refused(self, tmp_path: Path) -> None:
        """Arguments that would widen or undo the subset are an error."""
        if not self._takes_subsets():
            return
        plan, harness = self._plan(), self.make_harness()
        harness.write_subset(plan, tmp_path / "r000")
        for words in self.refused_arguments:
            batch = self._round(plan, plan.tasks, tmp_path / "r000", words=words)
            refused(
                lambda batch=batch: harness.build_command(batch),  # type: ignore[misc]
                InputError,
                f"expected {' '.join(words)} to be refused beside a subset",
            )

    def _takes_subsets(self) -> bool:
        return self.make_harness().capabilities.subset

    def _plan(self) -> "Plan":
        return plan_of(self.task_ids, benchmark=self.benchmark)

    def _round(
        self,
        plan: "Plan",
        tasks: Sequence[str],
        directory: Path,
        *,
        attempts: int = 1,
        words: Sequence[str] = (),
    ) -> Round:
        return Round(
            plan=plan,
            tasks=tuple(tasks),
            directory=directory,
            name=directory.name,
            attempts=attempts,
            arguments=(*self.arguments, *words),
        )

    def _prepared(
        self, plan: "Plan", tasks: Sequence[str] | None, directory: Path
    ) -> tuple[tuple[Path, ...], Command]:
        """Write a subset and return its files and its command; all planned tasks for None."""
        files = self.make_harness().write_subset(plan, directory, tasks=tasks)
        batch = self._round(plan, plan.tasks if tasks is None else tasks, directory)
        return files, self.make_harness().build_command(batch)

    def _written(
        self, plan: "Plan", tasks: Sequence[str], directory: Path
    ) -> tuple[dict[str, bytes], Command]:
        """Return the files and the command of a subset, and clear the directory."""
        _, command = self._prepared(plan, tasks, directory)
        files = snapshot(directory)
        shutil.rmtree(directory)
        return files, command

    def _check_selected(self, plan: "Plan", tasks: Sequence[str], directory: Path) -> None:
        files, command = self._prepared(plan, tasks, directory)
        found = set(self.selected(command, files, plan.tasks))
        check(
            found == set(tasks),
            f"expected {sorted(tasks)} to run, got {sorted(found)} from {command.steps}",
        )


def _forms(task: str) -> set[str]:
    quoted = {json.dumps(task)[1:-1], json.dumps(task, ensure_ascii=False)[1:-1]}
    return {task, glob.escape(task), re.escape(task), *quoted, json.dumps(glob.escape(task))[1:-1]}


def _in_order(words: Sequence[str], step: Sequence[str]) -> bool:
    rest = iter(step)
    return all(word in rest for word in words)


def _texts(records: Iterable[Record]) -> list[str]:
    return [repr(each) for each in records]
