"""What is read of a log's scores, and that it agrees with what the log itself states."""

import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from inspect_ai import Epochs, Task
from inspect_ai import eval as inspect_eval
from inspect_ai import score as inspect_score
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog, read_eval_log, write_eval_log
from inspect_ai.scorer import Score, Scorer, Target, accuracy, includes, mean, scorer, std, stderr
from inspect_ai.solver import Generate, Solver, TaskState, generate, solver

from midband.descriptors import ReadOptions
from midband.inspect import logs
from midband.inspect.logs import read
from midband_history import (
    Note,
    Reconciliation,
    Record,
    StatedAggregate,
    UnreadableSourceError,
)

N = 6


def place_of(state: TaskState) -> int:
    return int(str(state.input_text).rpartition(" ")[2])


def scorer_of(
    value: Callable[[int], Any], *, name: str = "judge", metrics: Any = None, **more: Any
) -> Scorer:
    """A scorer whose value depends on the place of the sample alone."""

    @scorer(metrics=metrics or [accuracy(), stderr()], name=name, **more)
    def make() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            return Score(value=value(place_of(state)))

        return score

    return make()


@solver
def crashes_on(places: tuple[int, ...]) -> Solver:
    async def solve(state: TaskState, generate: Generate) -> TaskState:
        if place_of(state) in places:
            msg = "tool crashed"
            raise RuntimeError(msg)
        return await generate(state)

    return solve


class Found:
    """What was read of a log, sorted."""

    def __init__(self, path: Path, **options: Any) -> None:
        items = list(read(path, options=ReadOptions(**options)))
        self.records = [item for item in items if isinstance(item, Record)]
        self.notes = {item.code: item.text for item in items if isinstance(item, Note)}
        self.stated = [item for item in items if isinstance(item, StatedAggregate)]
        judge = Reconciliation()
        for record in self.records:
            judge.see(record)
        self.explained, self.unexplained = judge.judge(self.stated)

    @property
    def scores(self) -> list[float | None]:
        ordered = sorted(self.records, key=lambda one: (int(one.task_id), one.attempt))
        return [record.score for record in ordered]

    @property
    def mean(self) -> float:
        known = [record.score for record in self.records if record.score is not None]
        return sum(known) / len(known)


RunLog = Callable[..., tuple[EvalLog, Path]]


@pytest.fixture
def run(tmp_path: Path, toy: Any) -> RunLog:
    del toy

    def build(
        scorers: Any,
        *,
        solve: Any = None,
        samples: list[Sample] | None = None,
        task: dict[str, Any] | None = None,
        **settings: Any,
    ) -> tuple[EvalLog, Path]:
        own = samples or [Sample(input=f"say yes {place}") for place in range(1, N + 1)]
        inner = Task(
            dataset=MemoryDataset(own, name="d"),
            scorer=scorers,
            solver=solve or generate(),
            name="judged",
            **(task or {}),
        )
        (log,) = inspect_eval(
            inner,
            model="toy/60",
            display="none",
            log_dir=str(tmp_path / "logs"),
            log_level="critical",
            **settings,
        )
        assert log.status == "success", log.error
        return log, Path(log.location.removeprefix("file://"))

    return build


def stated_mean(log: EvalLog, place: int = 0, metric: str = "accuracy") -> float:
    assert log.results is not None
    return float(log.results.scores[place].metrics[metric].value)


def test_a_judge_on_another_scale_is_read_as_it_stands(run: RunLog) -> None:
    log, path = run(scorer_of(lambda place: place, metrics=[mean(), std()]))
    found = Found(path)
    assert found.scores == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    assert {record.kind for record in found.records} == {"valid"}
    metric = found.records[0].metric
    assert (metric.name, metric.key, metric.declared) == ("judge", "", "")
    assert found.mean == stated_mean(log, metric="mean") == 3.5
    assert found.unexplained == []
    assert found.explained == []
    assert all(record.whole_benchmark for record in found.records)


def test_words_and_truth_values_have_a_scale_by_nature(run: RunLog) -> None:
    letters = "CIPNCI"
    log, path = run(
        [scorer_of(lambda place: letters[place - 1]), scorer_of(lambda place: place > 2, name="b")]
    )
    found = Found(path)
    assert found.scores == [1.0, 0.0, 0.5, 0.0, 1.0, 0.0]
    assert found.records[0].metric.declared == "source"
    assert found.mean == stated_mean(log)
    assert found.notes["other-metrics"].startswith("judge was read, not b")
    other = Found(path, metric="b")
    assert other.mean == pytest.approx(stated_mean(log, 1))
    assert other.records[0].metric.label == "b"
    assert found.unexplained == other.unexplained == []
    with pytest.raises(UnreadableSourceError, match="expected one of the metrics judge, b, got"):
        Found(path, metric="rouge")


def test_a_mapping_is_read_by_its_key(run: RunLog, tmp_path: Path) -> None:
    log, path = run(
        scorer_of(
            lambda place: {"correct": place % 2, "helpful": 0.5},
            metrics={"correct": [accuracy()], "helpful": [mean()]},
        )
    )
    found = Found(path)
    assert found.scores == [1.0, 0.0] * 3
    assert found.records[0].metric.label == "judge.correct"
    assert "'correct'" in found.notes["metric-chosen"]
    assert "judge.helpful" in found.notes["other-metrics"]
    assert found.mean == stated_mean(log) == 0.5
    assert Found(path, metric="judge.helpful").scores == [0.5] * N
    assert [each.name for each in Found(path, metric="judge.helpful").stated] == ["helpful mean"]
    for sample in log.samples or []:
        assert sample.scores is not None
        sample.scores["judge"].value = {"tone": 1, "depth": 2}
    write_eval_log(log, str(tmp_path / "unclear.eval"))
    with pytest.raises(UnreadableSourceError, match=r"tone, depth: choose one with --metric") as no:
        Found(tmp_path / "unclear.eval")
    assert "\n" not in str(no.value)
    assert Found(tmp_path / "unclear.eval", metric="judge.depth").mean == 2.0


def test_a_declared_headline_counts(run: RunLog) -> None:
    if not hasattr(EvalLog, "model_fields") or "headline_metric" not in _spec_fields():
        pytest.skip("this Inspect knows no headline metric")
    scorers = [scorer_of(lambda _: "C"), scorer_of(lambda place: place / N, name="main")]
    log, path = run(scorers, task={"headline_metric": "main"})
    found = Found(path)
    assert found.records[0].metric.label == "main"
    assert found.mean == pytest.approx(stated_mean(log, 1))
    assert found.unexplained == []


def _spec_fields() -> Any:
    from inspect_ai.log import EvalSpec

    return EvalSpec.model_fields


def test_unscored_samples_and_odd_values_are_no_results(run: RunLog) -> None:
    values: list[Any] = [math.nan, "I", "I", "C", "C", "C"]
    log, path = run(scorer_of(lambda place: values[place - 1]))
    found = Found(path)
    assert [record.kind for record in found.records].count("missing") == 1
    assert found.mean == stated_mean(log) == 0.6
    assert found.notes == {}
    assert found.unexplained == []
    odd: list[Any] = ["well", [1.0], "C", "C", "C", "I"]
    log, path = run(scorer_of(lambda place: odd[place - 1]))
    found = Found(path)
    assert found.scores[:2] == [None, None]
    assert "2 samples" in found.notes["not-a-number"]
    assert found.unexplained == []  # Inspect counts them as 0
    assert any("2 attempts without a score as failed" in each.text for each in found.explained)


@pytest.mark.parametrize("suffix", ["eval", "json"])
def test_errors_count_as_inspect_counts_them(run: RunLog, suffix: str) -> None:
    solve, settings = crashes_on((2, 3)), {"fail_on_error": False, "log_format": suffix}
    log, path = run(scorer_of(lambda place: "I" if place in (2, 3) else "C"), solve=solve,
                    score_on_error=True, **settings)  # fmt: skip
    found = Found(path)
    assert found.mean == pytest.approx(stated_mean(log)) == pytest.approx(4 / 6)
    assert [record.errored for record in found.records].count(True) == 2
    assert found.unexplained == []
    log, path = run(scorer_of(lambda _: "C"), solve=solve, **settings)
    found = Found(path)
    assert [record.kind for record in found.records].count("infra_error") == 2
    assert [record.errored for record in found.records].count(True) == 2
    assert found.mean == stated_mean(log) == 1.0
    assert found.unexplained == []


def test_attempts_are_averaged_as_the_reducer_says(run: RunLog) -> None:
    values = {
        (place, turn): float((place * turn) % 3 == 0) for place in range(7) for turn in (1, 2)
    }
    seen: dict[int, int] = {}

    def value(place: int) -> float:
        seen[place] = seen.get(place, 0) + 1
        return math.nan if (place, seen[place]) == (1, 1) else values[place, seen[place]]

    judge = scorer_of(value)
    log, path = run(judge, epochs=2, max_samples=1)
    found = Found(path)
    assert len(found.records) == 12
    assert found.unexplained == []
    checkable = [each for each in found.stated if not each.not_checkable]
    assert [each.value for each in checkable] == [stated_mean(log)]
    seen.clear()
    log, path = run(judge, epochs=Epochs(2, ["mean", "max", "pass_at_1"]), max_samples=1)
    found = Found(path)
    assert found.unexplained == []
    assert [each.name for each in found.stated if not each.not_checkable] == [
        "judge accuracy (mean)"
    ]
    assert any("reduced by pass_at_1" in each.not_checkable for each in found.stated)


def test_a_planted_misreading_is_caught(
    run: RunLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, path = run(scorer_of(lambda place: place))
    with monkeypatch.context() as patch:
        patch.setattr(logs, "score_value", lambda value: value if value <= 1 else None)
        assert Found(path).unexplained
        patch.setattr(logs, "score_value", lambda value: float(7 - value) / 2)
        assert Found(path).unexplained
    assert log.samples is not None
    scores = log.samples[0].scores
    assert scores is not None
    scores["judge"].value = 6
    write_eval_log(log, str(tmp_path / "altered.eval"))
    assert Found(tmp_path / "altered.eval").unexplained
    assert Found(path).unexplained == []


@pytest.mark.parametrize("at_once", [False, True])
@pytest.mark.parametrize("suffix", ["eval", "json"])
def test_a_later_scoring_has_a_later_time(
    run: RunLog, tmp_path: Path, suffix: str, at_once: bool
) -> None:
    log, path = run(includes(), log_format=suffix)
    first = Found(path)
    assert "scored-again" not in first.notes
    if not at_once:
        _an_hour_earlier(log)
    for action in ("overwrite", "append"):
        again = tmp_path / f"a-{action}.{suffix}"
        fixed = scorer_of(lambda _: "C", name="fixed", metrics=[accuracy()])
        write_eval_log(inspect_score(log, fixed, action=action, display="none"), str(again))
        for metric in ("", "fixed"):
            found = Found(again, metric=metric)
            keys = {one.source_key: one for one in found.records}
            assert set(keys) == {one.source_key for one in first.records}
            assert "scored-again" in found.notes
            assert found.unexplained == []
            for record in first.records:
                mine, theirs = record.scored_at, keys[record.source_key].scored_at
                assert mine is not None
                assert theirs is not None
                # Scores that are added leave those that were there as they are.
                assert theirs > mine if action == "overwrite" else theirs <= mine
        assert Found(again, metric="fixed").mean == 1.0
        assert Found(again).records[0].metric.name == {"append": "includes"}.get(action, "fixed")


def _an_hour_earlier(log: EvalLog) -> None:
    """Let the samples of a log end so long ago that scoring them now is a scoring of its own."""
    from datetime import datetime, timedelta

    hour = timedelta(hours=1)
    for sample in log.samples or []:
        sample.completed_at = (datetime.fromisoformat(str(sample.completed_at)) - hour).isoformat()
        for event in sample.events:
            event.timestamp -= hour


def test_samples_numbered_after_a_shuffle_are_known_by_content(run: RunLog) -> None:
    judge = scorer_of(lambda place: place / N)
    by_task = []
    for seed in (1, 2):
        _, path = run(judge, sample_shuffle=seed, epochs=2)
        found = Found(path)
        assert "shuffled-ids" in found.notes
        assert found.unexplained == []
        assert {record.task_id for record in found.records} == {
            record.task_digest for record in found.records
        }
        by_task.append({record.task_id: record.score for record in found.records})
    assert by_task[0] == by_task[1]
    named = [Sample(id=place, input=f"say yes {place}") for place in range(1, N + 1)]
    for settings in ({"sample_shuffle": 1}, {}):
        _, path = run(judge, samples=[one.model_copy() for one in named], **settings)
        found = Found(path)
        assert found.scores == [pytest.approx(place / N) for place in range(1, N + 1)]
        assert found.notes == {}
    twins = [Sample(input="say yes 1") for _ in range(3)]
    _, path = run(judge, samples=twins, sample_shuffle=1)
    assert len({record.task_id for record in Found(path).records}) == 3


def test_version_part_and_extent(run: RunLog) -> None:
    judge = scorer_of(lambda _: "C")
    _, path = run(judge, task={"version": 3}, limit=4)
    found = Found(path, benchmark="suite")
    assert {record.benchmark for record in found.records} == {"suite"}
    assert {record.part for record in found.records} == {"judged"}
    assert {record.benchmark_version for record in found.records} == {"3"}
    assert not any(record.whole_benchmark for record in found.records)
    _, path = run(judge)
    assert {(one.part, one.benchmark_version) for one in Found(path).records} == {("", "")}


def test_a_trimmed_log_is_said_and_checked_no_further(run: RunLog, tmp_path: Path) -> None:
    log, _ = run(scorer_of(lambda place: place % 2))
    assert log.samples is not None
    log.samples = log.samples[:1]
    write_eval_log(log, str(tmp_path / "cut.json"))
    found = Found(tmp_path / "cut.json")
    assert "holds 1 of the 6 samples" in found.notes["samples-absent"]
    assert found.unexplained == []
    assert not any(record.whole_benchmark for record in found.records)


def test_a_metric_of_which_less_is_better_is_named(run: RunLog) -> None:
    from inspect_ai.scorer import SampleScore, metric

    @metric
    def failure_rate() -> Any:
        def compute(scores: list[SampleScore]) -> float:
            return 0.25

        return compute

    _, path = run(scorer_of(lambda place: place % 2, metrics=[failure_rate()]))
    found = Found(path)
    assert "--lower-is-better" in found.notes["direction-unclear"]
    assert "of the task's own" in found.stated[0].not_checkable


def test_a_log_without_zip_members_of_samples_is_still_read(run: RunLog, tmp_path: Path) -> None:
    """The one sample that is read for the time of its scoring may be torn."""
    _, path = run(scorer_of(lambda _: "C"))
    assert read_eval_log(str(path), header_only=True).status == "success"
    bare = tmp_path / "bare.eval"
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bare, "w") as new:
        for info in old.infolist():
            if not info.filename.startswith("samples/"):
                new.writestr(info.filename, old.read(info.filename))
    found = Found(bare)
    assert found.mean == 1.0
    assert all(record.scored_at is not None for record in found.records)
