"""What a matrix is of: agents by unique labels, and tasks whose contents never mix."""

from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import History, InputError, Record
from midband_history.labels import Content, Identity, choose_version, label_agents

WORDS = st.sampled_from(["", "x", "y", "a [model=x]"])
IDENTITIES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "a [model=x]", "a [2]"]),
        WORDS,
        WORDS,
        st.sampled_from(["", "1"]),
        st.sampled_from(["", '{"t":0.1}', '{"t":0.2}', '{"deep":{"t":1}}', "not json"]),
    ),
    max_size=10,
    unique=True,
)


def _identities(rows: list[tuple[str, str, str, str, str]]) -> list[Identity]:
    return [
        Identity(agent_id=i, name=name, model=model, scaffold=scaffold, version=version,
                 settings=settings)
        for i, (name, model, scaffold, version, settings) in enumerate(rows)
    ]  # fmt: skip


@settings(max_examples=100, deadline=None)
@given(IDENTITIES, st.data())
def test_labels_are_unique_and_do_not_depend_on_order(
    rows: list[tuple[str, str, str, str, str]], data: st.DataObject
) -> None:
    labels = label_agents(_identities(rows))
    assert len(set(labels.values())) == len(rows)
    shuffled = data.draw(st.permutations(rows))
    again = label_agents(_identities(shuffled))
    assert {rows[i]: label for i, label in labels.items()} == {
        shuffled[i]: label for i, label in again.items()
    }


def _record(agent: str = "gpt-5", temperature: float = 0.0, task: str = "1") -> Record:
    settings = {"temperature": temperature} if temperature else {}
    return Record(benchmark="b", task_id=task, agent=agent, score=1.0, settings=settings)


def test_namesakes_say_what_they_differ_in() -> None:
    with History.in_memory() as history:
        history.add([_record(temperature=0.1), _record(temperature=0.7), _record()])
        assert history.outcomes("b").agents == (
            "gpt-5",
            "gpt-5 [temperature=0.1]",
            "gpt-5 [temperature=0.7]",
        )


def test_an_alias_merges_the_rows_of_two_agents_and_can_follow_another() -> None:
    with History.in_memory() as history:
        history.add([_record("old name"), _record("new name", task="2")])
        history.alias("agent", "old name", "middle name")
        history.alias("agent", "middle name", "new name")
        found = history.outcomes("b")
        assert (found.agents, found.attempts.tolist()) == (("new name",), [[1, 1]])
        assert history.outcomes("b", agents=["old name"]).agents == ("new name",)
        assert history.aliases("agent") == {"old name": "new name", "middle name": "new name"}
        assert [each.name for each in history.agents("b")] == ["new name"]
        with pytest.raises(InputError, match="twice"):
            history.alias("agent", "new name", "old name")
        assert history.outcomes("b").agents == ("new name",)


def test_the_former_label_of_an_alias_still_means_its_agent() -> None:
    with History.in_memory() as history:
        history.add([_record(temperature=0.1), _record(temperature=0.7), _record("x")])
        history.alias("agent", "gpt-5 [temperature=0.1]", "cold")
        assert history.outcomes("b", agents=["gpt-5 [temperature=0.1]"]).agents == ("cold",)
        with pytest.raises(InputError, match="choose one of these"):
            history.outcomes("b", agents=["gpt-5"])


DIGESTS = ("", "x", "y")


def _add_tasks(
    history: History, agent: str, tasks: dict[str, str], *, day: int = 1, version: str = "",
    whole: bool = False, score: float = 1.0,
) -> None:  # fmt: skip
    history.add(
        [
            Record(
                benchmark="b",
                task_id=task,
                task_digest=digest,
                agent=agent,
                score=score,
                started=datetime(2025, 1, day, tzinfo=UTC),
                run_id=f"run {day}",
                benchmark_version=version,
                whole_benchmark=whole,
            )
            for task, digest in tasks.items()
        ]
    )


def test_a_trimmed_benchmark_keeps_its_history_and_a_reworded_task_does_not() -> None:
    with History.in_memory() as history:
        _add_tasks(history, "old", {"1": "x", "2": "x", "3": "x"}, version="1", whole=True)
        _add_tasks(history, "new", {"1": "x", "2": "y"}, day=2, version="2", whole=True)
        found = history.outcomes("b")
        assert (found.version, found.tasks) == ("2", ("1", "2"))
        assert found.task_digests == ("x", "y")
        assert found.attempts.tolist() == [[1, 1], [1, 0]]
        assert found.agents == ("new", "old")
        assert "2 results at other contents" in found.notes[0]
        first = history.outcomes("b", version="1")
        assert (first.tasks, first.task_digests) == (("1", "2", "3"), ("x", "x", "x"))
        assert first.attempts.tolist() == [[1, 0, 0], [1, 1, 1]]
        assert [each.label for each in history.versions("b")] == ["2", "1"]
        assert [each.tasks for each in history.versions("b")] == [2, 3]
        with pytest.raises(InputError, match="got '3': it holds 2, 1"):
            history.outcomes("b", version="3")


def test_a_version_that_was_run_in_part_keeps_the_other_tasks() -> None:
    with History.in_memory() as history:
        _add_tasks(history, "old", {"1": "x", "2": "x"}, version="1", whole=True)
        _add_tasks(history, "new", {"1": "y"}, day=2, version="2")
        assert history.outcomes("b").task_digests == ("y", "x")


def test_without_labels_the_newest_content_counts() -> None:
    with History.in_memory() as history:
        _add_tasks(history, "new", {"1": "y"}, day=2)
        _add_tasks(history, "old", {"1": "x"}, day=1)
        found = history.outcomes("b")
        assert (found.agents, found.task_digests) == (("new",), ("y",))


def test_a_result_without_digest_joins_the_only_content_and_never_one_of_several() -> None:
    with History.in_memory() as history:
        _add_tasks(history, "bare", {"1": "", "2": ""})
        _add_tasks(history, "a", {"1": "x", "2": "x"})
        assert history.outcomes("b").attempts.tolist() == [[1, 1], [1, 1]]
        _add_tasks(history, "b", {"1": "y"}, day=2)
        found = history.outcomes("b")
        assert dict(zip(found.agents, found.attempts.tolist(), strict=True)) == {
            "a": [0, 1],
            "b": [1, 0],
            "bare": [0, 1],
        }
        assert any("--benchmark-version" in note for note in found.notes)


def test_a_label_says_which_content_a_result_without_digest_is_of() -> None:
    with History.in_memory() as history:
        _add_tasks(history, "a", {"1": "x"}, version="1", whole=True)
        _add_tasks(history, "b", {"1": "y"}, day=2, version="2", whole=True)
        _add_tasks(history, "bare", {"1": ""}, version="1")
        assert history.outcomes("b").agents == ("b",)
        assert history.outcomes("b", version="1").agents == ("a", "bare")


CONTENTS = st.lists(
    st.tuples(
        st.sampled_from("12"),
        st.sampled_from(DIGESTS),
        st.sampled_from(("", "v1", "v2")),
        st.booleans(),
        st.integers(0, 3),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[:3],
)


@settings(max_examples=100, deadline=None)
@given(CONTENTS, st.data())
def test_choosing_a_version_never_mixes_contents_in_a_cell(
    rows: list[tuple[str, str, str, bool, int]], data: st.DataObject
) -> None:
    numbers = {pair: i for i, pair in enumerate(sorted({row[:2] for row in rows}))}
    contents = [
        Content(
            task_id=numbers[name, digest],
            name=name,
            digest=digest,
            version=version,
            whole=whole,
            last=datetime(2025, 1, day) if day else None,
        )
        for name, digest, version, whole, day in rows
    ]
    labels = sorted({row[2] for row in rows} - {""})
    wanted = data.draw(st.sampled_from([None, *labels]))
    version = choose_version(contents, wanted, benchmark="b")
    known: dict[str, set[str]] = {}
    for name, digest in numbers:
        if digest:
            known.setdefault(name, set()).add(digest)
    cells: dict[int, set[str]] = {}
    for (name, digest), number in numbers.items():
        if number not in version.column_of:
            continue
        place = version.column_of[number]
        assert version.names[place] == name
        if digest:
            cells.setdefault(place, set()).add(digest)
        elif len(known.get(name, ())) > 1:
            assert number in version.by_label
    assert all(held == {version.digests[place]} for place, held in cells.items()), (
        "one content a cell"
    )
    assert version == choose_version(data.draw(st.permutations(contents)), wanted, benchmark="b"), (
        "the order in which contents are known says nothing"
    )


def test_contents_of_one_moment_are_told_apart_by_who_ran_them_not_by_import() -> None:
    # Two agents ran the same ids with other contents at the same time: one whole set counts.
    moment = datetime(2025, 1, 1, tzinfo=UTC)
    sources = {
        agent: [
            Record(
                benchmark="b",
                task_id=str(task),
                agent=agent,
                score=1.0,
                started=moment,
                task_digest=f"{(task + shift) % 2}{agent}",
            )
            for task in range(4)
        ]
        for shift, agent in enumerate(("x", "y"))
    }
    seen = set()
    for order in (("x", "y"), ("y", "x")):
        with History.in_memory() as history:
            for agent in order:
                history.add(sources[agent])
            matrix = history.outcomes("b")
            seen.add((matrix.agents, matrix.task_digests))
    assert len(seen) == 1
    assert seen.pop()[0] == ("y",)
