"""What the documents show works, as far as it can without a harness and without a network."""

import gzip
import itertools
import shutil
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.commands import DOCUMENTS, documented_commands

from midband.cli.root import run
from midband_history import History, Metric, Record


def _documented() -> dict[str, list[str]]:
    """Return every command of the documents once, whatever the benchmark is called."""
    found: dict[str, list[str]] = {}
    for path in DOCUMENTS:
        for words in documented_commands(path):
            found.setdefault(" ".join(words), words[1:])
    plain = [words for words in found.values() if words[:1] == ["plan"] and len(words) == 4]
    return {
        name: words
        for name, words in found.items()
        if words not in plain[1:] and _why_not(words) is None
    }


def _why_not(words: list[str]) -> str | None:
    """Say which other test runs a command, or why none can here; None if it is run here."""
    if words[0] not in {"import", "history", "rates", "plan", "rank", "study", "plugins"}:
        return "needs a harness or a run, which the tests in tests/plugins have"
    if words[0] == "import" and any("://" in word for word in words):
        return "needs the network; tests/plugins/test_starter_histories.py answers in its place"
    if "--all" in words:
        return "tests/plugins/test_suites.py plans suites"
    if words[0] == "rank" and "--baseline" not in words:
        return "needs a run by a plan; tests/end_to_end has one"
    if words[0] in {"import", "rank"} and not any(word in TABLES for word in words):
        return "needs a harness's files; the tests of its adapter have these"
    if words[0] == "study" and "--strategy" not in words:
        return "tests/plugins/test_cli_study.py runs smaller ones: these take long"
    return None


TABLES = {"new/", "old/", "results.csv", "runs.csv", "matrix.csv", "board.csv", "asr.csv"}
TABLES |= {"gpt-5-run.jsonl", "results.csv.gz"}
AGENTS = [
    "gpt-5",
    "openai/gpt-5",
    "my-agent",
    "my-agent (gpt-5)",
    "My agent (v2)",
    *(f"a{n:02d}" for n in range(9)),
]


def _history(path: Path, benchmark: str, metric: Metric, source: str) -> None:
    """Copy a history of fourteen agents on 20 tasks of one benchmark, written once."""
    made = path.parent / f"{benchmark}-{metric.name}-{source.replace('/', '-')}.made"
    if not made.exists():
        made.parent.mkdir(exist_ok=True)
        with History.open(made) as opened:
            opened.add(_records(benchmark, metric), source=source)
    shutil.copy(made, path)


def _records(benchmark: str, metric: Metric) -> list[Record]:
    chance = np.random.default_rng(4)
    return [
        Record(
            benchmark=benchmark,
            task_id=str(task),
            agent=name,
            model=name,
            scaffold=("react", "plain")[place % 2],
            run_id=f"run-{15 + place}",
            benchmark_version="2.1",
            started=datetime(2025, 1 + place % 6, 1 + place, tzinfo=UTC),
            score=float(chance.random() < (place + 3) / 20) + (metric.name == "judge"),
            cost_usd=0.5,
            metric=metric,
        )
        for place, name in enumerate(AGENTS)
        for task in range(20)
    ]


def _write_tables(where: Path) -> None:
    def table(name: str, columns: str, row: str, rows: Iterable[object] = range(30)) -> Path:
        path = where / name
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_text("\n".join([columns, *(row.format(each) for each in rows)]) + "\n")
        return path

    both = "benchmark,task_id,agent,score,repo,metric"
    table("old/old.csv", both, "b,{0},my-agent,1,r{0},exact", range(600))
    table("new/new.csv", both, "b,{0},my-agent-v2,1,r{0},exact", range(600))
    table("tasks.csv", "task_id,repo", "{0},r{0}", range(600))
    results = table("results.csv", "question,agent,score", "{0},a,1")
    (where / "results.csv.gz").write_bytes(gzip.compress(results.read_bytes()))
    with zipfile.ZipFile(where / "archive.zip", "w") as archive:
        archive.write(results, "others.csv")
    table("runs.csv", "question,agent,f1", "{0},a,0.5")
    table("matrix.csv", "task_id,a,b", "{0},1,0")
    table("board.csv", "agent," + ",".join(map(str, range(9))), "{0}" + ",1" * 9, "ab")
    table("asr.csv", "task_id,agent,wer", "{0},a,0.2")
    table("logs/log.csv", "benchmark,question,agent,score", "b,{0},b,1")
    (where / "gpt-5-run.jsonl").write_text('{"task_id": "1", "score": 1}\n')
    table("smoke_tests.txt", "1", "{0}", [2, 3])
    for name in ("race.toml", "sharper.toml"):
        race = ['question = "top:1:0.9"', *(f'[[candidates]]\nname = "{c}"' for c in "xyz")]
        (where / name).write_text("\n".join(race) + "\n")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory that holds what the commands of the documents name."""
    where = tmp_path_factory.mktemp("documented") / "here"
    _write_tables(where)
    return where


@pytest.mark.parametrize("words", _documented().values(), ids=_documented())
def test_commands_in_documents_run(
    words: list[str], world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(world)
    monkeypatch.setenv("MIDBAND_HISTORY", "history.duckdb")
    if words[0] != "import":
        _history(Path("history.duckdb"), _benchmark(words), _metric(words), _source(words))
    if "merge" in words:
        _history(Path("../laptop/history.duckdb"), "gsm8k", _metric(words), "")
    assert run(list(itertools.takewhile(lambda word: word != ">", words))) == 0


def _benchmark(words: list[str]) -> str:
    named = [words[n + 1] for n, word in enumerate(words[:-1]) if word == "--benchmark"]
    place = {"plan": 1, "rates": 1, "history": 1 if "--export" in words else 2}.get(words[0], 99)
    return (named or words[place : place + 1] or ["b"])[0]


def _source(words: list[str]) -> str:
    return "logs/broken.eval" if "--source" in words else ""


def _metric(words: list[str]) -> Metric:
    if "--name" in words:
        return Metric()
    return Metric(name="judge" if "judge" in words else "solved")
