import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.metrics import PairErrors, homography_score
from diffsight.benchmarks.metrics.points import Pool
from diffsight.benchmarks.metrics.uncertainty import interval
from diffsight.errors import InvalidInput


def mean_of(values):
    return lambda weights: weights @ values / len(values)


def test_the_interval_of_a_mean_is_that_of_theory(rng):
    values = rng.normal(5, 2, 400)
    low, high = interval(mean_of(values), 400, draws=4000)
    error = values.std() / np.sqrt(400)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=20), st.integers(0, 5))
def test_it_lies_within_the_values_and_hangs_on_the_seed_alone(values, seed):
    values = np.array(values)
    low, high = interval(mean_of(values), len(values), draws=50, seed=seed)
    assert values.min() - 1e-9 <= low <= high <= values.max() + 1e-9
    assert (low, high) == interval(mean_of(values), len(values), draws=50, seed=seed)


def test_points_of_a_pair_are_no_independent_draws():
    """Ten pairs all right or all wrong: as wide as for ten points, though there are a thousand."""
    pairs = [PairErrors("x", np.full(100, 0.0 if i % 2 else 9.0), 10) for i in range(10)]
    low, high = Pool.of(pairs).interval(0.1)
    assert low <= 20
    assert high >= 80
    mixed = [PairErrors("x", np.array([0.0, 9.0] * 50), 10)] * 10
    assert Pool.of(mixed).interval(0.1) == (50, 50)


def test_a_sure_thing_has_no_spread():
    score = homography_score([0.5] * 8)
    assert score.intervals == ((100, 100),) * 3


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"samples": 3, "level": 1.0}, {"samples": 3, "draws": 0}])
def test_what_gives_no_interval_is_refused(wrong):
    with pytest.raises(InvalidInput, match="no interval"):
        interval(lambda weights: weights[:, 0], **wrong)
