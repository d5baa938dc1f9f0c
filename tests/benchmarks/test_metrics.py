from __future__ import annotations

import numpy as np
import pytest

from diffsight.benchmarks.metrics import PairErrors, pck
from diffsight.errors import InvalidInput


def test_per_point_and_per_image_differ_on_unbalanced_pairs():
    results = [
        PairErrors("a", np.array([1.0, 1.0, 1.0, 99.0]), 100),
        PairErrors("b", np.array([99.0]), 100),
        PairErrors("b", np.array([]), 100),
    ]
    score = pck(results, 0.1)
    assert score.per_point == pytest.approx(100 * 3 / 5)
    assert score.per_image == pytest.approx(100 * (0.75 + 0) / 2)
    assert (score.points, score.pairs) == (5, 2)


def test_the_bound_is_included():
    assert pck([PairErrors("a", np.array([10.0]), 100)], 0.1).per_point == 100
    assert pck([PairErrors("a", np.array([10.0001]), 100)], 0.1).per_point == 0


@pytest.mark.parametrize(
    ("results", "alpha"), [([], 0.1), ([PairErrors("a", np.array([]), 9)], 0.1), ([PairErrors("a", np.ones(1), 9)], 0)]
)
def test_nothing_to_score_is_refused(results, alpha):
    with pytest.raises(InvalidInput):
        pck(results, alpha)
