from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import Fit, two_taps, warp_points

sides = st.integers(1, 1500)
sizes = st.tuples(sides, sides)
kinds = st.sampled_from(["stretch", "pad", "crop"])
grids = st.tuples(st.integers(1, 97), st.integers(1, 97))


@given(
    kinds, sizes, sizes, grids, st.lists(st.tuples(st.floats(-50, 2000), st.floats(-50, 2000)), min_size=1, max_size=5)
)
def test_pixels_survive_the_round_trip(kind, original, network, grid, points):
    fit = Fit.make(kind, original, network)
    points = np.array(points)
    back = fit.to_pixels(fit.to_grid(points, grid), grid)
    np.testing.assert_allclose(back, points, atol=1e-7, rtol=1e-9)


@given(kinds, sizes, sizes, grids)
def test_cells_are_seen_where_their_centre_is_in_the_photo(kind, original, network, grid):
    fit = Fit.make(kind, original, network)
    shown = fit.seen_cells(grid)
    centres = fit.to_pixels(np.stack(np.meshgrid(np.arange(grid[1]), np.arange(grid[0])), axis=-1).reshape(-1, 2), grid)
    inside = ((centres >= 0) & (centres <= original[::-1])).reshape(*grid, 2)
    for axis in (0, 1):  # rows, columns
        literal = inside[:, 0, 1] if axis == 0 else inside[0, :, 0]
        assert shown[axis].any()
        if literal.any():
            np.testing.assert_array_equal(shown[axis], literal)
    if kind != "pad":
        assert all(own.all() for own in shown)


def test_of_a_photo_thinner_than_a_cell_the_nearest_cells_are_seen():
    rows, columns = Fit.make("pad", (2, 100), (64, 64)).seen_cells((5, 4))
    assert rows.tolist() == [False, False, True, False, False]
    assert columns.all()
    rows, _ = Fit.make("pad", (2, 100), (64, 64)).seen_cells((3, 4))
    assert rows.tolist() == [False, True, False]


@given(sizes, grids)
def test_stretch_is_the_half_pixel_rule(original, grid):
    fit = Fit.make("stretch", original, (64, 64))
    rows = fit.pixel_rows(grid)
    expected = (np.arange(original[0]) + 0.5) * grid[0] / original[0] - 0.5
    np.testing.assert_allclose(rows, expected, atol=1e-9)


@given(kinds, sizes, sizes)
def test_windows_lie_inside(kind, original, network):
    fit = Fit.make(kind, original, network)
    top, bottom, left, right = fit.window
    assert 0 <= top < bottom <= original[0]
    assert 0 <= left < right <= original[1]
    top, bottom, left, right = fit.content
    assert 0 <= top < bottom <= network[0]
    assert 0 <= left < right <= network[1]


@given(sizes, sizes)
def test_pad_shows_all_and_crop_fills_all(original, network):
    assert Fit.make("pad", original, network).window == (0, original[0], 0, original[1])
    assert Fit.make("crop", original, network).content == (0, network[0], 0, network[1])


def test_a_case_by_hand():
    fit = Fit.make("stretch", (100, 200), (64, 64))
    # the middle of the photo is the middle of the grid: between cells 3 and 4 of 8
    np.testing.assert_allclose(fit.to_grid(np.array([[100.0, 50.0]]), (8, 8)), [[3.5, 3.5]])
    # the first cell's centre is half a cell of 25 x 12.5 pixels from the corner
    np.testing.assert_allclose(fit.to_pixels(np.array([[0.0, 0.0]]), (8, 8)), [[12.5, 6.25]])
    pad = Fit.make("pad", (100, 200), (64, 64))
    np.testing.assert_allclose(pad.to_grid(np.array([[0.0, 0.0]]), (64, 64)), [[-0.5, 15.5]])
    crop = Fit.make("crop", (100, 200), (64, 64))
    assert crop.window == (0, 100, 50, 150)


@given(st.integers(1, 50), st.lists(st.floats(-5, 60), min_size=1, max_size=20))
def test_two_taps_stay_in_the_map(cells, coordinates):
    base, fraction = two_taps(np.array(coordinates), cells)
    assert (base >= 0).all()
    assert (base <= max(0, cells - 2)).all()
    assert ((fraction >= 0) & (fraction <= 1)).all()
    np.testing.assert_allclose(base + fraction, np.clip(coordinates, 0, cells - 1))


@pytest.mark.parametrize("point", [(-1, 5), (5, 11), (np.nan, 5), (5, np.inf)])
def test_points_outside_are_refused(point):
    with pytest.raises(InvalidInput, match="outside the photo"):
        Fit.make("stretch", (10, 10), (8, 8)).check_points([point])


def test_points_of_another_shape_are_refused():
    with pytest.raises(InvalidInput, match=r"\(N, 2\)"):
        Fit.make("stretch", (10, 10), (8, 8)).check_points([1.0, 2.0])


def test_unknown_fit_is_refused():
    with pytest.raises(InvalidInput, match="stretch, pad, crop"):
        Fit.make("squash", (10, 10), (8, 8))  # type: ignore[arg-type]


def test_warp_points_by_hand():
    shift = np.array([[1, 0, 3], [0, 1, -2], [0, 0, 1.0]])
    np.testing.assert_allclose(warp_points(np.array([[1.0, 1.0]]), shift), [[4.0, -1.0]])
    np.testing.assert_allclose(warp_points(np.array([[1.0, 1.0]]), 2 * shift), [[4.0, -1.0]])
