"""Two equal agents: ours is rarely wrong, the naive rule often."""

import pytest

from midband_sims import two_equal_agents


def test_looking_often_fools_the_naive_rule_alone() -> None:
    # Fails by chance below 1e-4 if Beats is wrong in 5 % of the pairs or fewer.
    result = two_equal_agents(600, 90, seed=3)
    assert result.p_value > 1e-4
    assert result.naive_false_rate > 0.3
    assert result.naive_p_value < 1e-9
    assert f"{result.false_rate:.3f} by Beats" in str(result)


def test_the_same_seed_gives_the_same_counts() -> None:
    assert two_equal_agents(50, 30, seed=4) == two_equal_agents(50, 30, seed=4)
    assert two_equal_agents(200, 60, seed=4) != two_equal_agents(200, 60, seed=5)


@pytest.mark.calibration
@pytest.mark.parametrize("n_tasks", [40, 300])
def test_many_pairs_keep_to_alpha(n_tasks: int) -> None:
    # Fails by chance below 1e-4 if Beats is wrong in 5 % of the pairs or fewer.
    result = two_equal_agents(4000, n_tasks, seed=5)
    assert result.p_value > 1e-4
    assert result.false_decisions > 0
