"""Labels of agents: unique, independent of the order of import, and saying what differs."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midband_history import History, InputError, Record
from midband_history.labels import Identity, label_agents

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
