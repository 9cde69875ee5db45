"""A shared history: eight processes and a Postgres server, nothing lost, nothing twice."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import duckdb
import pytest

from midband.cli.root import run
from midband_history import History, InputError, Record, StoreError, connection, repair_history
from midband_history.backends import ducklake
from midband_history.backends.ducklake import LakeAddress, load_extensions
from midband_history.connection import connect_plain, fetch_value

# Set where the server and the extensions must be there, so that no test is skipped unseen.
NEEDED = "MIDBAND_TEST_TEAM"
WRITERS, BATCHES, TASKS = 8, 2, 20


def _server_program(name: str) -> str | None:
    places = [*Path("/usr/lib/postgresql").glob("*/bin"), Path("/usr/lib64/pgsql/bin")]
    path = os.pathsep.join([os.environ.get("PATH", ""), *map(str, places)])
    return shutil.which(name, path=path)


def _missing(reason: str) -> None:
    if os.environ.get(NEEDED):
        pytest.fail(f"{reason} ({NEEDED} is set)")
    pytest.skip(reason)


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """Start a Postgres server of our own, which listens to a socket in a directory only."""
    if ducklake._wheel_file("ducklake", duckdb.__version__) is None:
        _missing(f"the wheels of midband[team] for duckdb {duckdb.__version__} are not installed")
    programs = [_server_program(name) for name in ("initdb", "pg_ctl")]
    if not all(programs):
        _missing("there is no Postgres server on this machine: `make team` installs one")
    initdb, pg_ctl = map(str, programs)
    folder = Path(tempfile.mkdtemp(prefix="mbpg"))  # short: a socket's path has 107 characters
    as_user: list[str] = []
    if os.geteuid() == 0:  # initdb refuses to run as root
        shutil.chown(folder, "nobody")
        as_user = ["runuser", "-u", "nobody", "--"]
    data = str(folder / "server")
    quick = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off"

    def do(*words: str) -> None:
        subprocess.run(
            [*as_user, *words], check=True, cwd=folder, stdout=subprocess.DEVNULL, timeout=60
        )

    try:
        do(initdb, "-D", data, "-U", "midband", "-A", "trust", "--no-sync")
        do(pg_ctl, "-D", data, "-w", "-o", quick, "-l", str(folder / "log"), "start")
        try:
            yield folder
        finally:
            do(pg_ctl, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lake(server: Path, tmp_path: Path) -> str:
    """Return the name of a shared history that is not there yet."""
    name = f"lake_{tmp_path.name.strip('_').lower()}"[:60]
    with connect_plain() as plain:
        load_extensions(plain)
        plain.execute(f"ATTACH 'host={server} user=midband dbname=postgres' AS it (TYPE postgres)")
        query = f"CREATE DATABASE {name}"
        plain.execute("CALL postgres_execute('it', ?, use_transaction => false)", [query])
    return f"ducklake:postgres:postgresql://midband@/{name}?host={server}&data={tmp_path / 'data'}"


def _records(agent: str, tasks: int = TASKS) -> list[Record]:
    return [Record(benchmark="toy", task_id=str(i), agent=agent, score=i % 2) for i in range(tasks)]


ADD = f"""
import sys
from midband_history import History, Record
with History.open(sys.argv[1]) as history:
    for i in range({BATCHES}):
        history.add(
            [Record(benchmark="toy", task_id=str(j), agent=f"{{sys.argv[2]}}-{{i}}", score=j % 2)
             for j in range({TASKS})])
        print(f"{{sys.argv[2]}}-{{i}}", flush=True)
"""


def _start(lake: str, writer: int) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", ADD, lake, f"w{writer}"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def _held(lake: str) -> Counter[str]:
    with History.open(lake, read_only=True) as history:
        return Counter(record.agent for record in history.records())


@pytest.mark.team
def test_eight_processes_write_and_one_is_killed_while_another_reads(lake: str) -> None:
    with History.open(lake) as history:  # so that there is something to read
        history.add(_records("first"))
    writers = [_start(lake, number) for number in range(WRITERS)]
    killed = writers[0]
    assert killed.stdout is not None
    confirmed = killed.stdout.readline().strip()
    killed.send_signal(signal.SIGKILL)
    confirmed_too = killed.stdout.read().split()
    killed.wait()
    before: Counter[str] = Counter()
    while any(each.poll() is None for each in writers):
        with suppress(subprocess.TimeoutExpired):
            writers[-1].wait(timeout=1)
        seen = _held(lake)
        assert set(seen.values()) == {TASKS}, "a reader sees whole batches only"
        assert before <= seen, "what was seen once stays"
        assert seen[confirmed] == TASKS
        before = seen
    assert [each.wait() for each in writers[1:]] == [0] * (WRITERS - 1)
    for each in writers[1:]:
        assert each.stdout is not None
        confirmed_too += each.stdout.read().split()
        each.stdout.close()
    killed.stdout.close()
    assert set(confirmed_too) <= set(_held(lake))
    again = _start(lake, 0)
    again.communicate()
    assert again.returncode == 0
    wanted = {f"w{i}-{j}": TASKS for i in range(WRITERS) for j in range(BATCHES)}
    assert _held(lake) == {**wanted, "first": TASKS}
    with History.open(lake, read_only=True) as history:
        assert history.check({}) == ([], [])


@pytest.mark.team
def test_processes_that_begin_at_once_make_one_history(lake: str) -> None:
    writers = [_start(lake, number) for number in range(3)]
    for each in writers:
        each.communicate()
    assert [each.returncode for each in writers] == [0, 0, 0]
    assert _held(lake) == {f"w{i}-{j}": TASKS for i in range(3) for j in range(BATCHES)}


@pytest.mark.team
def test_a_reader_sees_one_moment_even_through_a_compaction(lake: str) -> None:
    with History.open(lake) as history:
        history.add(_records("a"))
        with History.open(lake, read_only=True) as reader:
            for agent in "bcdef":
                history.add(_records(agent, 2 * TASKS))
            history.compact()
            assert reader.outcomes("toy").agents == ("a",)
            assert history.outcomes("toy").agents == tuple("abcdef")
        assert history.check({}) == ([], [])
    assert _held(lake) == {"a": TASKS} | dict.fromkeys("bcdef", 2 * TASKS)


@pytest.mark.team
def test_a_writer_that_fails_keeps_nothing_and_lets_the_next_one_write(lake: str) -> None:
    def broken() -> Iterator[Record]:
        yield from _records("a")
        raise ValueError

    with History.open(lake) as history:
        with pytest.raises(ValueError, match=r"^$"):
            history.add(broken())
        assert history.benchmarks() == []
        assert history.add(_records("b")).added == TASKS
        refused = pytest.raises(StoreError, match=r"another process writing for 0\.05 s")
        with history._writing(), History.open(lake, patience_s=0.05) as other, refused:
            other.add(_records("c"))
        assert history.add(_records("c")).added == TASKS


@pytest.mark.team
def test_every_command_works_on_a_shared_history(
    lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        f"toy,{i},agent-{j},{int((i * 7 + j * 3) % 10 < j)}" for i in range(30) for j in range(8)
    ]
    table = tmp_path / "results.csv"
    table.write_text("\n".join(["benchmark,task_id,agent,score", *rows]) + "\n")
    monkeypatch.setenv("MIDBAND_HISTORY", lake)
    for words in (
        ["import", str(table)],
        ["import", str(table)],
        ["history"],
        ["history", "metric", "toy", "--name", "accuracy", "--scale", "0", "1"],
        ["history", "alias", "benchmark", "toys", "toy"],
        ["history", "why", "toy", "3"],
        ["history", "check"],
        ["history", "compact"],
        ["rates", "toys"],
        ["plan", "toy", "--output", str(tmp_path / "plan.json")],
        ["history", "forget", "--agent", "agent-7"],
    ):
        assert run(words) == 0, (words, capsys.readouterr())
    capsys.readouterr()
    assert run(["rates", "toy", "--json", "--history", lake]) == 0
    assert '"agents": 7' in capsys.readouterr().out


@pytest.mark.team
def test_a_history_of_an_older_midband_is_brought_up_to_date(
    lake: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with History.open(lake) as history:
        history.add(_records("a"))
    newer = {**connection._statements(), "9999_more": "ALTER TABLE tasks ADD COLUMN more VARCHAR"}
    numbered = (*connection.migrations(), (9999, "9999_more"))
    monkeypatch.setattr(connection, "_statements", lambda: newer)
    monkeypatch.setattr(ducklake, "migrations", lambda: numbered)
    with History.open(lake, read_only=True) as history:
        assert history.outcomes("toy").agents == ("a",)
        assert fetch_value(history._connection, "SELECT count(more) FROM tasks") == 0
    monkeypatch.undo()
    with pytest.raises(StoreError, match="written by a newer midband"):
        History.open(lake)


@pytest.mark.team
def test_a_lost_file_is_named(lake: str, tmp_path: Path) -> None:
    with History.open(lake) as history:
        history.add(_records("a", 4_000))
    for file in (tmp_path / "data" / "main" / "outcomes").iterdir():
        file.unlink()
    with History.open(lake, read_only=True) as history:
        assert history.outcomes("toy").attempts.sum() == 4_000  # from the stored sums
        with pytest.raises(StoreError, match=r"read the history ducklake:.*\.parquet"):
            list(history.records("toy"))
        assert "outcomes is damaged, 4,000 rows" in history.check({})[1][0]


@pytest.mark.team
def test_a_place_without_a_history_says_what_to_do(
    lake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIDBAND_DATA", raising=False)
    bare = lake.split("&data=")[0]
    with pytest.raises(StoreError, match="import some first"):
        History.open(lake, read_only=True)
    with pytest.raises(StoreError, match="set MIDBAND_DATA"):
        History.open(bare)
    monkeypatch.setenv("MIDBAND_DATA", str(tmp_path / "data"))
    History.open(bare).close()
    monkeypatch.setenv("MIDBAND_DATA", str(tmp_path / "elsewhere"))
    with pytest.raises(
        StoreError, match=r"expected the results of .* in .*/data/, got .*elsewhere"
    ):
        History.open(bare)
    with pytest.raises(StoreError, match=r"midband:\*\*\*@") as caught:
        History.open(bare.replace("midband@", "midband:geheim@").replace("host=", "host=/nowhere"))
    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "catalogue", "data"),
    [
        ("ducklake:postgres:postgresql://a@h/db", "postgresql://a@h/db", ""),
        ("ducklake:postgres:postgresql:/a@h/db", "postgresql://a@h/db", ""),
        ("ducklake:postgres://a@h/db?data=/x", "postgresql://a@h/db", "/x"),
        ("ducklake:postgres:dbname=db host=h?data=/x y", "dbname=db host=h", "/x y"),
        ("ducklake:postgres:postgres://h/db?data=/x&a=b", "postgres://h/db?a=b", "/x"),
        ("ducklake:postgres:postgres://h/db?a=b&data=/x&c=d", "postgres://h/db?a=b&c=d", "/x"),
        ("ducklake:postgres:postgres:/h/db?data=s3:/b/p", "postgres://h/db", "s3://b/p"),
        ("ducklake:postgres:", "", ""),
    ],
)
def test_an_address_is_a_database_and_a_place_for_files(
    text: str, catalogue: str, data: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MIDBAND_DATA", raising=False)
    assert LakeAddress.parse(text) == LakeAddress(catalogue=catalogue, data=data)
    assert LakeAddress.parse(Path(text).as_posix()) == LakeAddress.parse(text)
    monkeypatch.setenv("MIDBAND_DATA", "/env")
    assert LakeAddress.parse(text).data == (data or "/env")


def test_a_shared_history_is_not_repaired_as_a_file() -> None:
    with pytest.raises(InputError, match=r"got the shared history ducklake:postgres:.*restore"):
        repair_history("ducklake:postgres:postgresql://a@h/db")


def test_another_catalogue_is_refused_without_its_password() -> None:
    with pytest.raises(InputError, match="name a Postgres catalogue") as caught:
        History.open("ducklake:mysql:host=h password='two words' user=u")
    assert "words" not in str(caught.value)


def test_an_extension_that_is_not_there_names_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Refusing:
        def execute(self, text: str) -> None:
            raise duckdb.IOException(text)

    def nowhere(name: str, version: str) -> None:
        return None

    monkeypatch.setattr(ducklake, "_wheel_file", nowhere)
    refusing: Callable[..., None] = load_extensions
    with pytest.raises(StoreError, match=r"pip install 'midband\[team\]'"):
        refusing(Refusing())
