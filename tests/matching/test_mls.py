from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import warp_points
from diffsight.matching import mls
from diffsight.matching.homography import straight
from tests import literal

from .test_nearest import random_map, reading


@given(st.integers(0, 9999), st.integers(3, 20), st.sampled_from([0.5, 1.0, 2.0]), st.sampled_from([0.0, 4.0]))
@settings(max_examples=150, deadline=None)
def test_equals_the_formula_point_by_point(seed, count, falloff, softness):
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 50, (2, count, 2))
    # on slivers of triangles the formula itself loses its digits
    assume(not straight(source) and np.linalg.svd(source - source.mean(0), compute_uv=False)[1] > 5)
    points = rng.uniform(-10, 60, (7, 2))
    expected = [literal.moving_least_squares(point, source, target, falloff, softness) for point in points]
    np.testing.assert_allclose(
        mls.moving_least_squares(points, source, target, falloff, softness), expected, rtol=1e-6, atol=1e-6
    )


@given(st.integers(0, 9999), st.integers(3, 20))
@settings(max_examples=50, deadline=None)
def test_controls_go_where_they_go_and_affine_maps_are_kept(seed, count):
    rng = np.random.default_rng(seed)
    source, target = rng.uniform(0, 50, (2, count, 2))
    assume(np.linalg.svd(source - source.mean(0), compute_uv=False)[1] > 5)
    np.testing.assert_array_equal(mls.moving_least_squares(source, source, target), target)
    affine = np.array([[0.7, -0.4, 3], [0.2, 1.3, -5], [0, 0, 1]])
    points = rng.uniform(0, 50, (5, 2))
    carried = mls.moving_least_squares(points, source, warp_points(source, affine))
    np.testing.assert_allclose(carried, warp_points(points, affine), atol=1e-6)


def test_near_a_control_the_map_is_continuous():
    source = np.array([[0.0, 0], [10, 0], [0, 10], [10, 10], [5, 4]])
    target = source + np.random.default_rng(0).normal(0, 1, source.shape)
    for gap in (1e-3, 1e-6, 1e-9, 1e-13):
        near = mls.moving_least_squares(source + gap, source, target)
        np.testing.assert_allclose(near, target, atol=20 * gap + 1e-9)


def test_coinciding_controls_share_their_place():
    source, target = np.array([[0.0, 0], [0, 0], [9, 0], [0, 9]]), np.array([[1.0, 0], [3, 0], [9, 0], [0, 9]])
    np.testing.assert_allclose(mls.moving_least_squares(source[:1], source, target), [[2, 0]])


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    source, target = rng.uniform(0, 50, (2, 9, 2))
    points = rng.uniform(0, 50, (31, 2))
    whole = mls.moving_least_squares(points, source, target)
    monkeypatch.setattr(mls, "BLOCK", 40)
    np.testing.assert_allclose(mls.moving_least_squares(points, source, target), whole, atol=1e-12)
    assert mls.moving_least_squares(np.empty((0, 2)), source, target).shape == (0, 2)


@pytest.mark.parametrize("source", [[[0, 0], [1, 1]], [[0, 0], [1, 1], [2, 2], [5, 5]], [[3, 3]] * 4])
def test_controls_that_fix_no_plane_are_refused(source):
    source = np.array(source, float)
    with pytest.raises(InvalidInput, match="on one line"):
        mls.moving_least_squares(np.ones((1, 2)), source, source)


@given(
    st.integers(0, 99), st.tuples(st.integers(1, 6), st.integers(1, 7)), st.tuples(st.integers(1, 6), st.integers(1, 7))
)
@settings(max_examples=60, deadline=None)
def test_best_buddies_of_photos_equal_a_double_loop(seed, grid_a, grid_b):
    a, b = random_map(seed, 4, *grid_a), random_map(seed + 1, 4, *grid_b)
    found = mls.best_buddies(reading(a, (31, 47)), reading(b, (20, 50)))
    rows = [(f / f.norm(dim=0, keepdim=True)).flatten(1).T.numpy() for f in (a, b)]
    expected = literal.best_buddies(*rows)

    def centre(index, grid, size):
        row, column = divmod(index, grid[1])
        return (column + 0.5) * size[1] / grid[1], (row + 0.5) * size[0] / grid[0]

    np.testing.assert_allclose(found.query, [centre(i, grid_a, (31, 47)) for i, _ in expected])
    np.testing.assert_allclose(found.matched, [centre(j, grid_b, (20, 50)) for _, j in expected])


def test_padding_has_no_buddies():
    own = reading(random_map(0, 16, 8, 8), (20, 80), "pad")
    found = mls.best_buddies(own, own)
    assert len(found) == 8 * 2
    assert ((found.query >= 0) & (found.query <= (80, 20))).all()


def test_points_of_a_shifted_photo():
    features = random_map(0, 32, 12, 12)
    a, b = reading(features, (120, 120)), reading(torch.roll(features, (2, 3), dims=(1, 2)), (120, 120))
    points = np.array([[45.0, 55.0], [25.0, 35.5]])
    found = mls.transfer(a, b, points)
    np.testing.assert_allclose(found.matched, points + np.array([30, 20]), atol=1.5)
    assert found.mutual is None
    assert (found.score > 0.9).all()
    flat = reading(torch.ones(3, 4, 4), (20, 20))
    with pytest.raises(InvalidInput, match="best buddies"):
        mls.transfer(flat, flat, [[3.0, 3.0]])
