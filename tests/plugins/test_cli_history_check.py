"""``midband history check``, ``repair`` and ``salvage`` as a person runs them."""

import json
from pathlib import Path

import duckdb
from tests.plugins.conftest import Call, OneLine

from midband_history import History


def test_check_and_repair_say_what_they_found_and_did(
    tmp_path: Path, store: Path, call: Call
) -> None:
    assert call("history", "repair", "--history", store)[:2] == (0, "nothing is wrong\n")
    with duckdb.connect(str(store)) as connection:
        connection.execute("INSERT INTO outcomes SELECT * FROM outcomes WHERE agent_id = 1")
    code, out, _ = call("history", "check", "--history", store, "--json")
    assert (code, json.loads(out)["faults"]) == (
        1,
        [
            "40 attempts held twice",
            "40 sums of a run at a task that are not those of its attempts",
        ],
    )
    code, out, _ = call("history", "repair", "--history", store)
    copy = tmp_path / "h.duckdb.before-repair-1"
    assert (code, out.splitlines()) == (
        0,
        [
            "removed 40 second copies of attempts with the same result",
            "added up anew 40 sums of a run at a task that are not those of its attempts",
            f"the file as it was is {copy}",
        ],
    )
    assert copy.exists()
    with duckdb.connect(str(store)) as connection:
        connection.execute("UPDATE outcomes SET attempt = -1 WHERE agent_id = 1")
    code, out, _ = call("history", "repair", "--history", store)
    assert (code, out.splitlines()[-1]) == (1, "still wrong: 40 attempts with a number below 0")


def test_damage_is_one_line_in_every_command_and_salvage_keeps_the_rest(
    tmp_path: Path, store: Path, call: Call, one_line: OneLine
) -> None:
    with duckdb.connect(str(store), read_only=True) as connection:
        ((block,),) = connection.execute(
            "SELECT max(block_id) FROM pragma_storage_info('outcomes')"
            " WHERE column_name = 'key' AND segment_type = 'UBIGINT'"
        ).fetchall()
    rates = call("rates", "toy", "--history", store)
    content = bytearray(store.read_bytes())
    content[3 * 4096 + block * 262_144 + 1_000] ^= 1
    store.write_bytes(content)
    code, out, _ = call("history", "check", "--history", store)
    assert code == 1
    assert out.startswith("the table outcomes is damaged, 480 rows cannot be read")
    assert len(out.splitlines()) == 1
    assert call("rates", "toy", "--history", store) == rates  # the sums that it reads are whole
    for command in (("history", "toy"), ("history", "repair")):
        code, _, error = call(*command, "--history", store)
        assert code == 1
        one_line(error, str(store), "damage", "midband history salvage")
    new = tmp_path / "new.duckdb"
    code, out, _ = call("history", "salvage", store, new)
    assert code == 1
    assert f"kept 0 attempts in {new}, lost 480" in out
    code, _, error = call("history", "salvage", store, new)
    one_line(error, "which exists: name another")
    assert code == 2
    code, out, _ = call("history", "salvage", store, tmp_path / "two.duckdb", "--json")
    (lost,) = json.loads(out)["lost"]
    assert lost["attempts"] == 480
    with History.open(new) as history:
        assert history.check({}) == ([], [])


def test_batches_that_were_set_aside_are_named(tmp_path: Path, store: Path, call: Call) -> None:
    aside = tmp_path / "inbox" / store.name / "refused" / "batch.parquet"
    aside.parent.mkdir(parents=True)
    aside.write_bytes(b"")
    code, out, _ = call("history", "check", "--history", store)
    assert (code, out.splitlines()[-1]) == (
        1,
        f"{aside}: a batch that was set aside: import its source again, then delete it",
    )
    code, out, _ = call("history", "check", "--history", store, "--json")
    assert (code, json.loads(out)["set_aside"]) == (1, [str(aside)])
