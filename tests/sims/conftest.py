"""What the tests of the simulator share."""

import os
from pathlib import Path

import numpy as np
import pytest

from midband_history import OutcomeMatrix
from midband_sims import SyntheticSettings, synthetic_history

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def matrix() -> OutcomeMatrix:
    settings = SyntheticSettings(agents=14, tasks=60, scaffolds=4, infra_error_rate=0.02)
    return synthetic_history(settings, np.random.default_rng(7)).matrix


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        if os.environ.get("CI"):
            pytest.fail("expected shared/data beside the repository, found none")
        pytest.skip("shared/data is not beside the repository")
    return SHARED
