from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import centre_matrix, corner_matrix, warp_points
from diffsight.matching.homography import Alignment, EstimateSettings, doubts, estimate
from diffsight.types import Matches

PLANE = np.array([[0.9, -0.15, 12.0], [0.2, 1.05, -8.0], [4e-4, -2e-4, 1.0]])
AFFINE = np.array([[0.9, -0.15, 12.0], [0.2, 1.05, -8.0], [0.0, 0.0, 1.0]])


def make(query, matched):
    return Matches(np.asarray(query, float), np.asarray(matched, float), np.ones(len(query)))


def planar(count=60, wrong=0, matrix=PLANE, seed=0):
    rng = np.random.default_rng(seed)
    query = rng.uniform(0, 200, (count, 2))
    matched = warp_points(query, matrix)
    matched[:wrong] = rng.uniform(0, 200, (wrong, 2))
    return make(query, matched)


@pytest.mark.parametrize("estimator", ["magsac", "ransac", "lmeds"])
@pytest.mark.parametrize(("kind", "matrix"), [("homography", PLANE), ("affine", AFFINE)])
def test_exact_matches_give_the_matrix_in_spite_of_wrong_ones(estimator, kind, matrix):
    found = estimate(planar(wrong=20, matrix=matrix), EstimateSettings(kind, estimator))
    np.testing.assert_allclose(found.matrix / found.matrix[2, 2], matrix, atol=1e-3)
    assert found.inliers[20:].all()
    assert found.inliers.sum() <= 42
    assert found.errors[20:].max() < 0.01
    assert found.median_error < 0.01
    assert doubts(found) == ()


@pytest.mark.parametrize("estimator", ["magsac", "ransac", "lmeds"])
def test_a_fundamental_matrix_fits_two_views_of_a_scene(estimator):
    rng = np.random.default_rng(1)
    scene = np.column_stack([rng.uniform(-1, 1, (80, 2)), rng.uniform(3, 6, 80)])
    turn = np.array([[0.98, 0, 0.199], [0, 1, 0], [-0.199, 0, 0.98]])
    views = [scene, scene @ turn.T + (0.6, 0.1, 0)]
    query, matched = (view[:, :2] / view[:, 2:] * 300 + 150 for view in views)
    matched[:15] += rng.uniform(-60, 60, (15, 2))
    found = estimate(make(query, matched), EstimateSettings("fundamental", estimator))
    assert found.inliers[15:].mean() > 0.9
    assert found.errors[15:].max() < 1
    one = np.ones((80, 1))
    residual = (np.hstack([matched, one]) @ found.matrix * np.hstack([query, one])).sum(axis=1)
    assert np.abs(residual[15:]).max() < np.median(np.abs(residual[:15])) / 10


@pytest.mark.parametrize("kind", ["homography", "affine", "fundamental"])
@pytest.mark.parametrize("estimator", ["magsac", "ransac", "lmeds"])
@pytest.mark.parametrize("case", ["none", "three", "line", "line there", "one place", "one place there"])
def test_failure_is_a_result(kind, estimator, case):
    rng = np.random.default_rng(0)
    line = np.stack([np.arange(30.0), 2 * np.arange(30.0) + 3], axis=1)
    free, same = rng.uniform(0, 90, (30, 2)), np.full((30, 2), 7.0)
    query, matched = {
        "none": (free[:0], free[:0]),
        "three": (free[:2], free[2:4]),
        "line": (line, free),
        "line there": (free, line),
        "one place": (same, free),
        "one place there": (free, same),
    }[case]
    found = estimate(make(query, matched), EstimateSettings(kind, estimator))
    assert found.matrix is None
    assert not found.inliers.any()
    assert len(found.inliers) == len(found.errors) == len(query)
    assert np.isnan(found.median_error)
    assert doubts(found) == (found.reason,)
    assert "\n" not in found.reason


@given(st.integers(0, 9999), st.integers(0, 12), st.sampled_from(["homography", "affine", "fundamental"]))
@settings(max_examples=150, deadline=None)
def test_no_matches_crash(seed, count, kind):
    rng = np.random.default_rng(seed)
    query, matched = rng.integers(0, 4, (2, count, 2))  # few places: duplicates, lines
    estimator = ("magsac", "ransac", "lmeds")[seed % 3]
    found = estimate(make(query, matched), EstimateSettings(kind, estimator, iterations=200))
    assert (found.matrix is None) == bool(found.reason)
    assert found.matrix is None or np.isfinite(found.matrix).all()


def test_chance_agreement_is_doubted():
    rng = np.random.default_rng(0)
    found = estimate(make(rng.uniform(0, 300, (80, 2)), rng.uniform(0, 300, (80, 2))))
    assert len(doubts(found)) == 1


@pytest.mark.parametrize(
    ("matrix", "size", "folds"),
    [
        (PLANE, (200, 200), False),
        (-2 * PLANE, (200, 200), False),  # a matrix is known up to its scale
        (PLANE @ np.diag([-1.0, 1, 1]), (200, 200), True),
        (np.array([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]]), (90, 99), False),
        (np.array([[1.0, 0, 0], [0, 1, 0], [-0.01, 0, 1]]), (90, 101), True),  # its horizon is x = 100
    ],
)
def test_a_photo_turned_over_or_cut_by_the_horizon_is_doubted(matrix, size, folds):
    found = Alignment("homography", matrix, np.ones(20, bool), np.zeros(20))
    assert ["turns the photo over" in line for line in doubts(found, size)] == [True] * folds
    assert doubts(found) == ()
    assert doubts(replace(found, kind="fundamental"), size) == ()


def test_equal_seeds_give_equal_matrices():
    noisy = planar(200, 120)
    one, two = (estimate(noisy, EstimateSettings(estimator="ransac", seed=5)) for _ in range(2))
    np.testing.assert_array_equal(one.matrix, two.matrix)


def test_matrices_of_the_other_convention():
    points = np.random.default_rng(0).uniform(0, 99, (9, 2))
    np.testing.assert_allclose(warp_points(points - 0.5, centre_matrix(PLANE)) + 0.5, warp_points(points, PLANE))
    np.testing.assert_allclose(corner_matrix(centre_matrix(PLANE)), PLANE)


@pytest.mark.parametrize(
    "wrong", [{"kind": "rigid"}, {"estimator": "best"}, {"threshold": 0.0}, {"threshold": np.nan}, {"confidence": 1.0}]
)
def test_unsuitable_settings(wrong):
    with pytest.raises(InvalidInput):
        EstimateSettings(**wrong)
