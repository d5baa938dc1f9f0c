from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import centre_matrix, corner_matrix, warp_points
from diffsight.matching.homography import Alignment, EstimateSettings, Estimator, doubts, estimate
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
    assert ("needs" in found.reason) == (case in ("none", "three"))


@pytest.mark.parametrize("side", [0, 1])
def test_the_same_places_again_and_again_are_too_few(side):
    rng = np.random.default_rng(0)
    sides = [rng.uniform(0, 90, (30, 2)), rng.uniform(0, 90, (3, 2))[np.arange(30) % 3]]
    found = estimate(make(sides[1 - side], sides[side]))
    assert "share fewer than 4 places of the " + ("first", "second")[side] in found.reason


@given(st.integers(0, 9999), st.integers(0, 12), st.sampled_from(["homography", "affine", "fundamental"]))
@settings(max_examples=150, deadline=None)
def test_no_matches_crash(seed, count, kind):
    rng = np.random.default_rng(seed)
    query, matched = rng.integers(0, 6, (2, count, 2)).astype(float)  # few places: duplicates, lines
    bent = (query, matched)[seed // 3 % 2]
    if seed // 6 % 2:
        bent[:-1] = bent[:-1, :1] * (1, 2)  # all but one on a line
    estimator = ("magsac", "ransac", "lmeds")[seed % 3]
    found = estimate(make(query, matched), EstimateSettings(kind, estimator, iterations=200))
    assert (found.matrix is None) == bool(found.reason)
    if found.matrix is not None:
        assert np.isfinite(found.matrix).all()
        assert found.inliers.sum() >= {"homography": 4, "affine": 3, "fundamental": 8}[kind]
        size = np.linalg.norm(found.matrix[:2, :2])
        assert kind == "fundamental" or abs(np.linalg.det(found.matrix)) > 1e-6 * size**3


@pytest.mark.parametrize(
    ("agreeing", "total", "doubted"), [(7, 7, True), (8, 8, False), (8, 80, False), (9, 91, True), (40, 401, True)]
)
def test_chance_agreement_is_doubted(agreeing, total, doubted):
    found = Alignment("homography", PLANE, np.arange(total) < agreeing, np.zeros(total))
    assert [f"only {agreeing} of {total}" in line for line in doubts(found)] == [True] * doubted
    rng = np.random.default_rng(0)
    assert doubts(estimate(make(*rng.uniform(0, 300, (2, 80, 2)))))


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


@pytest.mark.parametrize("estimator", ["magsac", "ransac", "lmeds"])
def test_equal_seeds_give_equal_matrices_and_others_differ(estimator):
    noisy = planar(60, 20)
    noisy = make(noisy.query, noisy.matched + np.random.default_rng(0).normal(0, 2, (60, 2)))
    one, two, other = (
        estimate(noisy, EstimateSettings(estimator=estimator, seed=seed, iterations=4)).matrix for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.allclose(one, other, rtol=1e-4)


def test_the_estimators_differ():
    exact = planar(60, 10)
    noisy = make(exact.query, exact.matched + np.random.default_rng(0).normal(0, 0.5, (60, 2)))
    magsac, ransac, lmeds = (estimate(noisy, EstimateSettings(estimator=name)).matrix for name in get_args(Estimator))
    assert not np.allclose(magsac, ransac, rtol=1e-6)
    assert not np.allclose(magsac, lmeds, rtol=1e-6)
    wide = estimate(noisy, EstimateSettings(estimator="lmeds", threshold=50.0)).matrix
    np.testing.assert_array_equal(wide, lmeds)  # it asks for no threshold


def test_what_opencv_refuses_is_a_failure():
    """A sample that OpenCV 5.0's estimator of fundamental matrices stops at by an exception."""
    query = ["00", "32", "42", "43", "15", "42", "45", "02", "35", "22", "54", "00", "40", "02", "50"]
    matched = ["54", "04", "33", "13", "13", "22", "11", "00", "41", "03", "42", "12", "31", "00", "32"]
    found = estimate(
        make(*([[int(x), int(y)] for x, y in own] for own in (query, matched))),
        EstimateSettings("fundamental", iterations=100, confidence=0.99),
    )
    assert (found.matrix is None) == bool(found.reason)


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
