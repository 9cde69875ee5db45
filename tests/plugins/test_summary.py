"""``--summary``: the verdict as Markdown that nothing in a result file can turn into markup."""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midband.cli.summary import command_markdown, facts_table, summary_path, table
from midband.text import marked, one_line

Call = Callable[..., tuple[int, str, str]]
HOSTILE = (
    "a|b`c`<script>alert(1)</script> @team #12 GH-3 [x](http://y.z) ![i](www.e.v) **b** _u_ ~s~",
    "<!-- --><img src=x onerror=y>",
    "&lt;b&gt; &amp; \\| \\",
    "line\nnext | # head",
)


def _shown(text: str) -> str:
    """Return what GitHub's reader would show of inline Markdown: marks and comments removed."""
    return html.unescape(re.sub(r"\\([\\`*_{}\[\]|~#$])", r"\1", text.replace("<!-- -->", "")))


@given(st.text(max_size=60))
@example(HOSTILE[0])
@example(HOSTILE[1])
@example(HOSTILE[2])
@example(HOSTILE[3])
def test_a_text_is_shown_as_it_is_and_does_nothing(text: str) -> None:
    from markdown_it import MarkdownIt

    found = marked(text)
    assert "\n" not in found
    bare = found.replace("<!-- -->", "")
    assert "<" not in bare
    assert ">" not in bare
    assert not re.search(r"@\w", found)
    assert not re.search(r"#\d", found)
    assert not re.search(r"(?<!\\)(?:\\\\)*[|`*_\[\]]", found)
    assert "://" not in found
    assert _shown(found) == one_line(text)
    # A reader of Markdown finds one row with that cell, and nothing but text in it.
    reader = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = reader.parse("\n".join(table(("name", "more"), [(text, "x")])))
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type == "inline"]
    assert (len(rows), len(cells)) == (2, 4)
    kinds = {(child.type, child.content) for child in cells[2].children or ()}
    others = {each for each in kinds if each[0] not in ("text", "text_special")}
    assert others <= {("html_inline", "<!-- -->")}


def test_unknown_is_a_dash_and_empty_facts_are_left_out() -> None:
    assert table(("spent_usd",), [(float("nan"),), (None,), (0,)])[2:] == [
        "| \N{EN DASH} |",
        "| \N{EN DASH} |",
        "| 0 |",
    ]
    assert facts_table({"a": "", "b": "1"})[2:] == ["| b | 1 |"]


def test_the_command_is_shown_without_credentials_and_cannot_leave_its_block() -> None:
    text = command_markdown(["run", "x", "--api-key", "sk-abcdef", "``` <b>", "--", "a\nb"])
    assert "sk-abcdef" not in text
    fence = text.strip().splitlines()[0].removesuffix("console")
    assert fence == "````"
    assert text.strip().splitlines()[-1] == fence
    assert len(text.strip().splitlines()) == 3


def test_github_is_a_step_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    results = tmp_path / "r.csv"
    results.write_text("benchmark,task_id,agent,score\nb,t,a,1\n")
    code, _, error = call("rank", results, results, "--summary", "github")
    assert code == 2
    assert "GITHUB_STEP_SUMMARY" in error
    assert len(error.splitlines()) == 1
    code, _, error = call("rank", results, results, "--summary", tmp_path)
    assert code == 2
    assert "got the directory" in error
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "step.md"))
    assert summary_path("github") == tmp_path / "step.md"
    assert summary_path("./github") == Path("github")


@pytest.mark.parametrize("score", ["1", ""])
def test_rank_writes_the_verdict_interval_tasks_cost_and_command(
    tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch, score: str
) -> None:
    """With a score, and where every attempt failed to have one."""
    from midband import OutcomeMatrix, make_plan

    scores = [[float(task < 4 * agent) for task in range(20)] for agent in range(1, 5)]
    import numpy as np

    matrix = OutcomeMatrix.from_scores(np.array(scores), benchmark="b|1")
    make_plan(matrix, strategy="random").write(tmp_path / "plan.json")
    rows = [f"b|1,task-{task},me @team,{score},0.5" for task in range(20)]
    results = tmp_path / "new.csv"
    results.write_text("\n".join(["benchmark,task_id,agent,score,cost_usd", *rows]))
    step = tmp_path / "step.md"
    step.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    words = ("rank", tmp_path / "plan.json", results, "--metric", "score")
    code, out, error = call(*words, "--summary", "github", "--json")
    assert code == 0, error
    (verdict,) = json.loads(out)
    text = step.read_text()
    assert text.startswith("before\n### b\\|1: rank ")
    assert "| agent | me @<!-- -->team |" in text
    assert "| tasks without a result |" in text
    assert "| spent | \\$" in text
    assert f"| plan | {verdict['plan_digest']} |" in text
    if score:
        assert f"| interval | {verdict['low']} to {verdict['high']} with 95 % confidence |" in text
    else:
        assert "| rank | unknown of 5 |" in text
        assert "| interval |" not in text
        assert "- warning: " in text
