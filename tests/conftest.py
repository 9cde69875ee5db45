"""What all tests share: nothing that a run says of itself is left in the home directory."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def runs_say_how_they_stand_elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Let runs of all tests, in processes of their own too, write their state files here."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("state")
        patch.setitem(os.environ, "MIDBAND_STATE", str(place))
        yield place
