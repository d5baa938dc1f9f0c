from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.metrics.planes import corner_error, homography_score, matching_accuracy
from diffsight.errors import InvalidInput


def moved(x, y):
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def test_corner_errors_by_hand():
    assert corner_error(moved(3, 4), np.eye(3), (10, 20)) == 5
    assert corner_error(5 * moved(3, 4), moved(3, 4), (10, 20)) == pytest.approx(0)
    # doubling about the photo's corner moves the pixel centre (x, y) by its own distance from (0, 0)
    corners = np.hypot([0.5, 19.5, 0.5, 19.5], [0.5, 0.5, 9.5, 9.5])
    assert corner_error(np.diag([2.0, 2, 1]), np.eye(3), (10, 20)) == pytest.approx(corners.mean())
    # with pixel centres at whole numbers, as HPatches counts: the same doubling about the first pixel's centre
    about = moved(0.5, 0.5) @ np.diag([2.0, 2, 1]) @ moved(-0.5, -0.5)
    hpatches = np.hypot([0, 19, 0, 19], [0, 0, 9, 9]).mean()
    assert corner_error(about, np.eye(3), (10, 20)) == pytest.approx(hpatches)


def test_no_homography_is_wrong_at_any_threshold():
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [-1 / 19.5, 0, 1]])  # a corner has no place
    assert corner_error(None, np.eye(3), (10, 20)) == np.inf
    assert corner_error(horizon, np.eye(3), (10, 20)) == np.inf
    score = homography_score([np.inf, np.inf])
    assert score.correct == score.auc == (0, 0, 0)
    assert score.missing == 100


def test_homography_figures_by_hand():
    score = homography_score([0.5, 1.0, 2.0, 4.0, np.inf])
    assert score.correct == (40, 60, 80)
    assert score.auc == pytest.approx((100 * 0.5 / 5, 100 * (2.5 + 2 + 1) / 3 / 5, 100 * (4.5 + 4 + 3 + 1) / 5 / 5))
    assert (score.missing, score.pairs) == (20, 5)
    with pytest.raises(InvalidInput, match="no pair"):
        homography_score([])


def test_matching_accuracy_by_hand():
    query = np.array([[1.0, 1], [2, 2], [3, 3], [4, 4]])
    found = query + np.array([[10, 0], [10, 1], [10, 3], [99, 0]])
    assert matching_accuracy(query, found, moved(10, 0)) == (50, 75, 75)
    assert matching_accuracy(query[:0], found[:0], np.eye(3)) == (0, 0, 0)


@given(st.floats(0, 6.28), st.floats(0.1, 50), st.floats(1.01, 9))
def test_corner_errors_grow_with_the_translation(angle, length, factor):
    step = length * np.array([np.cos(angle), np.sin(angle)])
    near, far = (corner_error(moved(*own), np.eye(3), (48, 64)) for own in (step, factor * step))
    assert near == pytest.approx(length)
    assert far > near
