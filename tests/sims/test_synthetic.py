import numpy as np
import pytest
from scipy.stats import binomtest

from midband_history import InputError
from midband_sims import SyntheticSettings, synthetic_history


def test_the_same_generator_state_gives_the_same_history() -> None:
    settings = SyntheticSettings(agents=6, tasks=20, attempts=2)
    first, second = (synthetic_history(settings, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(first.matrix.attempt_scores, second.matrix.attempt_scores)


def test_outcomes_follow_the_true_chance() -> None:
    settings = SyntheticSettings(agents=30, tasks=400, dimensions=2, scaffolds=3, scaffold_sd=0.5)
    history = synthetic_history(settings, np.random.default_rng(11))
    for low in (0.1, 0.4, 0.7):
        cells = (history.chance >= low) & (history.chance < low + 0.2)
        passes, mean = int(history.matrix.scores[cells].sum()), float(history.chance[cells].mean())
        # Fails with chance below 3e-4 over the three ranges, for this seed never.
        assert binomtest(passes, int(cells.sum()), mean).pvalue > 1e-4


def test_holes_are_missing_and_leave_the_rest_alone() -> None:
    whole = synthetic_history(SyntheticSettings(agents=10, tasks=200), np.random.default_rng(2))
    holed = synthetic_history(
        SyntheticSettings(agents=10, tasks=200, infra_error_rate=0.1, missing_rate=0.1),
        np.random.default_rng(2),
    )
    gone = np.isnan(holed.matrix.scores)
    assert 0.1 < gone.mean() < 0.3
    np.testing.assert_array_equal(holed.matrix.scores[~gone], whole.matrix.scores[~gone])
    np.testing.assert_array_equal(holed.matrix.attempts[gone], 0)


def test_ties_drift_and_noise_are_there_when_asked_for() -> None:
    tied = synthetic_history(
        SyntheticSettings(agents=8, tasks=50, ties=2, attempts=2), np.random.default_rng(3)
    ).matrix
    np.testing.assert_array_equal(tied.scores[5], tied.scores[7])
    drifting = synthetic_history(
        SyntheticSettings(agents=40, tasks=50, drift=6.0), np.random.default_rng(3)
    )
    assert np.mean(drifting.true_scores[-10:]) > np.mean(drifting.true_scores[:10]) + 0.3
    calm = SyntheticSettings(agents=5, tasks=50, attempts=4, deterministic=True)
    each = synthetic_history(calm, np.random.default_rng(3)).matrix.attempt_scores
    np.testing.assert_array_equal(each, each[:, :, :1].repeat(4, axis=2))


@pytest.mark.parametrize(
    "bad", [{"agents": 0}, {"dimensions": 4}, {"missing_rate": 1.0}, {"ties": 40}, {"slope_sd": -1}]
)
def test_settings_are_checked(bad: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"expected .* got"):
        SyntheticSettings(**bad)  # type: ignore[arg-type]
