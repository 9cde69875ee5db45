"""The commands of mini-swe-agent and SWE-bench: the flags that are set or refused are theirs."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.plugins.adapters.conftest import Environment

from midband.adapters import swebench

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def programs(environment: Environment) -> Path:
    return environment("mini-swe-agent", "swebench")


def _help(home: Path, *command: str | Path) -> set[str]:
    done = subprocess.run(
        [*map(str, command), "--help"],
        env={**os.environ, "COLUMNS": "250", "TERM": "dumb", "HOME": str(home)},
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    text = done.stdout.replace("[", " ").replace("]", " ").replace(",", " ")
    return set(text.split())


def test_flags_of_mini_swe_agent(programs: Path, tmp_path: Path) -> None:
    flags = _help(tmp_path, programs / "mini-extra", "swebench")
    ours = {"--subset", "--split", "--filter", "-o", "-m"}
    refused = {"--slice", "--shuffle", "--redo-existing", "--output"}
    assert (ours | refused) <= flags


def test_flags_of_the_evaluation(programs: Path, tmp_path: Path) -> None:
    flags = _help(tmp_path, programs / "python", "-m", "swebench.harness.run_evaluation")
    ours = {
        *("--dataset_name", "--split", "--predictions_path", "--run_id"),
        *("--report_dir", "--instance_ids"),
    }
    assert (ours | set(swebench.EVALUATION_REFUSED)) <= flags
