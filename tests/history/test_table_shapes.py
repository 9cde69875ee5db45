"""Shapes of tables that people have: wide, compressed, arrays, words for results."""

import gzip
import json
import math
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midband_history import (
    History,
    InputError,
    OutcomeMatrix,
    Table,
    UnreadableSourceError,
    clean_id,
)
from midband_history import table_format as format_of

HEADER = "benchmark,task_id,agent,score\n"


def _read(
    path: Path, content: str | bytes | None = None, **options: object
) -> tuple[OutcomeMatrix, tuple[str, ...]]:
    """Read a file of one benchmark; return its matrix and what was said of it."""
    if content is not None:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with History.in_memory() as history:
        table = Table(path=path, format=format_of(path) or "csv", **options)  # type: ignore[arg-type]
        report = history.add_table(table)
        return history.outcomes(history.benchmarks()[0].name), report.skipped


def _refusal(path: Path, content: str | bytes, **options: object) -> str:
    with pytest.raises(UnreadableSourceError) as caught:
        _read(path, content, **options)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_wide_table_reads_either_way_round(tmp_path: Path) -> None:
    tasks, notes = _read(
        tmp_path / "t.csv", "task_id,m1,M1\nt1,1,0\nt2,0.5,\n", benchmark="b", wide="tasks"
    )
    assert (tasks.agents, tasks.tasks) == (("M1", "m1"), ("t1", "t2"))
    assert tasks.scores[1].tolist() == [1.0, 0.5]
    assert math.isnan(tasks.scores[0, 1])
    assert tasks.attempts.sum() == 3
    assert any("1 cells are empty" in note for note in notes)
    assert "--wide" in _refusal(tmp_path / "t.csv", "task_id,model-a\nt1,1\n", benchmark="b")
    agents, _ = _read(
        tmp_path / "a.csv", "model,t1,t2\nm1,True,FAIL\nM1,0,\n", benchmark="b", wide="agents"
    )
    assert (agents.agents, agents.scores[1].tolist()) == (("M1", "m1"), [1.0, 0.0])


def test_a_wide_table_takes_a_mapped_key_and_columns_of_its_rows(tmp_path: Path) -> None:
    content = ",m1,question,benchmark\n0,1,t1,b\n1,0,t2,b\n"
    matrix, _ = _read(
        tmp_path / "w.csv", content.replace(",m1,", "run_id,m1,", 1), wide="tasks",
        columns={"question": "task_id"},
    )  # fmt: skip
    assert (matrix.agents, matrix.tasks) == (("m1",), ("t1", "t2"))
    index, _ = _read(tmp_path / "i.csv", ",m1\nt1,1\n", benchmark="b", wide="tasks")
    assert index.tasks == ("t1",)
    assert "hold the scores" in _refusal(
        tmp_path / "x.csv", content, wide="tasks", columns={"question": "agent"}
    )


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_wide_and_long_say_the_same(tmp_path_factory: pytest.TempPathFactory, data: object) -> None:
    names = st.lists(
        st.text(
            st.characters(min_codepoint=33, max_codepoint=0x24F, exclude_characters='",;\t\x7f')
        ).filter(lambda text: clean_id(text) == text and text.isprintable() and text != ""),
        min_size=1,
        max_size=4,
        unique=True,
    ).map(lambda found: [f"x{name}" for name in found])
    draw = data.draw  # type: ignore[attr-defined]
    tasks, agents = draw(names), draw(names)
    scores = {
        (task, agent): draw(st.sampled_from(["0", "1", "0.25"]))
        for task in tasks
        for agent in agents
    }
    folder = tmp_path_factory.mktemp("wide")
    wide = "key," + ",".join(agents) + "\n"
    wide += "".join(f"{t},{','.join(scores[t, a] for a in agents)}\n" for t in tasks)
    long = "task_id,agent,score\n" + "".join(f"{t},{a},{s}\n" for (t, a), s in scores.items())
    one, _ = _read(folder / "wide.csv", wide, benchmark="b", wide="tasks")
    other, _ = _read(folder / "long.csv", long, benchmark="b")
    assert (one.agents, one.tasks) == (other.agents, other.tasks)
    assert one.scores.tolist() == other.scores.tolist()


def test_an_array_of_row_objects_is_read(tmp_path: Path) -> None:
    rows = [
        {"benchmark": "b", "task_id": "007", "agent": "a", "score": True, "x": {"y": [1]}},
        {"benchmark": "b", "task_id": 9007199254740993, "agent": "a", "score": 0},
        {"benchmark": "b", "task_id": 10**30, "agent": "a", "score": 0, "run_date": None},
    ]
    matrix, _ = _read(tmp_path / "r.json", json.dumps(rows, indent=1))
    assert matrix.tasks == ("007", "1000000000000000000000000000000", "9007199254740993")
    assert matrix.scores.tolist() == [[1.0, 0.0, 0.0]]
    marked, _ = _read(tmp_path / "r.jsonl", b"\xef\xbb\xbf" + json.dumps(rows[0]).encode())
    assert marked.tasks == ("007",)


def test_dates_of_pandas_are_seconds_or_thousandths(tmp_path: Path) -> None:
    rows = [
        {"benchmark": "b", "task_id": "1", "agent": name, "score": 1, "run_date": date}
        for name, date in [("a", 1740000000), ("b", 1740000000000)]
    ]
    matrix, _ = _read(tmp_path / "r.json", json.dumps(rows))
    assert {str(date) for date in matrix.dates} == {"2025-02-19T21:20:00"}


@pytest.mark.parametrize("name", ["r.csv.gz", "r.jsonl.gz", "r.json.gz"])
def test_a_compressed_file_reads_like_a_plain_one(tmp_path: Path, name: str) -> None:
    row = {"benchmark": "b", "task_id": "t", "agent": "a", "score": 1}
    text = {
        "r.csv.gz": HEADER + "b,t,a,1\n",
        "r.jsonl.gz": json.dumps(row),
        "r.json.gz": json.dumps([row]),
    }[name]
    matrix, _ = _read(tmp_path / name, gzip.compress(text.encode()))
    assert (matrix.tasks, matrix.agents) == (("t",), ("a",))
    assert "gzip" in _refusal(tmp_path / f"torn-{name}", gzip.compress(text.encode())[:-12])


def test_an_archive_has_several_members_of_several_kinds(tmp_path: Path) -> None:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deep/gpt-x.csv", "task_id,score\nt1,1\nt2,0\n")
        archive.writestr("deep/gpt=y[1].jsonl", '{"task_id": "t1", "passed": false}\n')
        archive.writestr("readme.txt", "nothing")
        archive.writestr("__MACOSX/._gpt-x.csv", "junk")
    matrix, notes = _read(path, benchmark="b")
    assert matrix.agents == ("gpt-x", "gpt=y[1]")
    assert matrix.scores[0].tolist() == [1.0, 0.0]
    assert any("readme.txt" in note or "__MACOSX" in note for note in notes)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("deep/gpt-x.csv", "task_id,score\nt1,1\nt2,9\n")
    with pytest.raises(UnreadableSourceError, match=r"all\.zip/deep/gpt-x\.csv.* row 2"):
        _read(path, benchmark="b")


@pytest.mark.parametrize("name", ["bomb.csv.gz", "bomb.zip"])
def test_a_bomb_is_refused_before_it_has_expanded(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("midband_history.archives._FREE", 1 << 16)
    content = (HEADER + "b,t,a,1\n" * 4_000_000).encode()
    path = tmp_path / name
    if name.endswith(".zip"):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("r.csv", content)
        content = path.read_bytes()
    else:
        content = gzip.compress(content)
    assert "once expanded" in _refusal(path, content)


def test_words_for_results_are_read_in_either_column(tmp_path: Path) -> None:
    pairs = [("PASS", "FAIL"), ("passed", "failed"), ("True", "False"), ("Yes", "no"),
             ("resolved", "unresolved")]  # fmt: skip
    for column in ("passed", "score"):
        for yes, no in pairs:
            content = f"benchmark,task_id,agent,{column}\nb,t1,a,{yes}\nb,t2,a,{no}\n"
            matrix, _ = _read(tmp_path / "w.csv", content)
            assert matrix.scores.tolist() == [[1.0, 0.0]], (column, yes)
    assert "use `kind`" in _refusal(
        tmp_path / "x.csv", "benchmark,task_id,agent,passed\nb,t,a,timeout\n"
    )


def test_a_decimal_comma_is_one_between_semicolons_only(tmp_path: Path) -> None:
    content = "benchmark;task_id;agent;score;cost_usd\nb;t1;a;0,5;1,25\nb;t2;a;1;\n"
    matrix, _ = _read(tmp_path / "d.csv", content)
    assert matrix.scores.tolist() == [[0.5, 1.0]]
    assert "score='0,5'" in _refusal(tmp_path / "c.csv", HEADER + 'b,t1,a,"0,5"\n')


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (("100", "50"), ["score='100'", "from 50 to 100", "100 if it is a percentage"]),
        (("1", "10"), ["score='10'", "from 1 to 10", "--scale LOW HIGH"]),
        (("-1", "1"), ["score='-1'", "from -1 to 1"]),
        (("85%", "1"), ["score='85%'", "0.85"]),
    ],
)
def test_other_scales_are_refused_with_the_range_seen(
    tmp_path: Path, cells: tuple[str, str], words: list[str]
) -> None:
    said = _refusal(tmp_path / "p.csv", HEADER + f"b,t1,a,{cells[0]}\nb,t2,a,{cells[1]}\n")
    assert all(word in said for word in words), said


def test_an_agent_comes_from_an_option_the_model_or_the_name_of_the_file(tmp_path: Path) -> None:
    rows = '{"task_id": "1", "passed": true}\n'
    matrix, notes = _read(tmp_path / "gpt-x.jsonl", rows, benchmark="b")
    assert matrix.agents == ("gpt-x",)
    assert any("named after the file" in note for note in notes)
    matrix, notes = _read(
        tmp_path / "gpt-x.jsonl", benchmark="b", agent="me", model="m", scaffold="s"
    )
    assert (matrix.agents, matrix.models, matrix.scaffolds, notes) == (("me",), ("m",), ("s",), ())
    matrix, notes = _read(tmp_path / "r.csv", "task_id,model,score\n1,m,1\n2,n,1\n", benchmark="b")
    assert matrix.agents == ("m", "n")
    assert any("'model'" in note for note in notes)


def test_an_agent_is_never_guessed_where_columns_may_hold_it(tmp_path: Path) -> None:
    said = _refusal(tmp_path / "x.csv", "task_id,Model_Name,score\n1,m,1\n", benchmark="b")
    assert "--map Model_Name=agent" in said
    said = _refusal(tmp_path / "results.csv", "task_id,score\n1,1\n", benchmark="b")
    assert "--agent" in said
    said = _refusal(tmp_path / "y.csv", HEADER + "b,1,a,1\nb,1,c,1\n", agent="one")
    assert "leave --agent out" in said
    with pytest.raises(InputError, match="--agent or --wide"):
        Table(path=tmp_path, format="csv", agent="a", wide="tasks")
    with pytest.raises(InputError, match="--wide tasks or"):
        Table(path=tmp_path, format="csv", wide="rows")  # type: ignore[arg-type]


def test_two_spellings_of_one_name_are_one(tmp_path: Path) -> None:
    content = HEADER + "b,caf\u00e9,a,1\nb,cafe\u0301,z,0\n"
    matrix, _ = _read(tmp_path / "n.csv", content)
    assert matrix.tasks == ("caf\u00e9",)
    assert clean_id(" cafe\u0301\udc80 ") == "caf\u00e9?"


def test_ids_of_a_whole_number_and_a_float_are_mentioned(tmp_path: Path) -> None:
    _, notes = _read(tmp_path / "f.csv", HEADER + "b,1,a,1\nb,1.0,z,0\nb,007,a,1\nb,7,a,1\n")
    (note,) = notes
    assert "'1' and '1.0'" in note
    for number, cell in enumerate(("2", "2.0")):
        (tmp_path / f"{number}.csv").write_text(HEADER + f"b,{cell},a{number},1\n")
    with History.in_memory() as history:
        assert history.add_table(Table(path=tmp_path / "0.csv", format="csv")).skipped == ()
        (later,) = history.add_table(Table(path=tmp_path / "1.csv", format="csv")).skipped
        assert "'2' and '2.0'" in later


def test_a_wide_table_names_its_columns_and_leaves_out_their_average(tmp_path: Path) -> None:
    path = tmp_path / "wide.csv"
    path.write_text("task,m1,m2,Average\nt1,1,0,0.5\nt2,0,1,0.5\n")
    with History.in_memory() as history:
        report = history.add_table(Table(path=path, format="csv", benchmark="b", wide="tasks"))
        assert history.outcomes("b").agents == ("m1", "m2")
    assert any("m1, m2" in note for note in report.skipped)
    assert any("left out Average" in note for note in report.skipped)


def test_columns_that_are_not_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "r.csv"
    path.write_text("benchmark,task_id,agent,score,temperature\nb,t,a,1,0.1\n")
    with History.in_memory() as history:
        report = history.add_table(Table(path=path, format="csv"))
    assert report.skipped == ("columns that are not read: temperature",)
