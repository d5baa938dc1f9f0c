from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import Fit
from diffsight.matching import nearest
from diffsight.types import Capture, Reading, Taps
from tests.literal import full_cosines, upsample

side = st.integers(1, 9)
photo = st.tuples(st.integers(1, 40), st.integers(1, 40))


def reading(features: torch.Tensor, size: tuple[int, int], kind: str = "stretch") -> Reading:
    return Reading(Fit.make(kind, size, (64, 64)), Capture(Taps(("up1",)), (features,)))


def random_map(seed: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@given(st.integers(0, 99), st.integers(1, 7), st.tuples(side, side), st.tuples(side, side), photo, photo)
@settings(max_examples=150, deadline=None)
def test_cosines_equal_the_literal_formula(seed, channels, grid_a, grid_b, size_a, size_b):
    a, b = random_map(seed, channels, *grid_a), random_map(seed + 1, channels, *grid_b)
    rng = np.random.default_rng(seed)
    pixels = np.stack([rng.integers(0, size_a[1], 4), rng.integers(0, size_a[0], 4)], axis=1)
    expected = full_cosines(a, size_a, pixels, b, size_b)
    source, target = reading(a, size_a), reading(b, size_b)
    vectors = nearest.describe(source, pixels + 0.5)
    goal = nearest.TargetMap.prepare(b)
    got = goal.cosines(vectors, target.fit.pixel_rows(grid_b), target.fit.pixel_columns(grid_b))
    norms = upsample(b, *size_b).norm(dim=0)
    firm = norms > 1e-3 * norms.max()  # between cells that cancel out, a direction has fewer digits
    torch.testing.assert_close(got[:, firm], expected[:, firm], atol=1e-7, rtol=0)
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)

    found = nearest.match(source, target, pixels + 0.5)
    best = expected.flatten(1).max(dim=1).values
    columns, rows = (found.matched - 0.5).T.astype(int)
    reach = 1e-7 if firm.all() else 1e-5
    torch.testing.assert_close(expected[range(4), rows, columns], best, atol=reach, rtol=0)
    np.testing.assert_allclose(found.score, best, atol=reach)


@given(st.integers(0, 99), st.tuples(side, side), st.tuples(st.integers(2, 30), st.integers(2, 30)))
@settings(deadline=None)
def test_norms_equal_the_literal_formula(seed, grid, size):
    features = random_map(seed, 5, *grid)
    expected = upsample(features, *size).norm(dim=0)
    fit = Fit.make("stretch", size, (64, 64))
    y, fy = nearest._torch_taps(fit.pixel_rows(grid), grid[0], features)
    x, fx = nearest._torch_taps(fit.pixel_columns(grid), grid[1], features)
    got = nearest.TargetMap.prepare(features)._norms(y, fy, x, fx)
    torch.testing.assert_close(got, expected, atol=1e-10, rtol=1e-10)


def test_ties_go_to_the_first_in_row_major_order():
    features = torch.tensor([[[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 1.0]]]).repeat(2, 1, 1)
    features[1] = 1 - features[0]
    found = nearest.match(reading(features, (3, 3)), reading(features, (3, 3)), np.array([[2.5, 2.5]]))
    np.testing.assert_array_equal(found.matched, [[0.5, 0.5]])


def test_bands_of_rows_change_nothing(monkeypatch):
    a, b = reading(random_map(0, 6, 7, 5), (50, 31)), reading(random_map(1, 6, 6, 8), (43, 37))
    points = np.array([[3.2, 4.5], [30.0, 49.0], [0.0, 0.0]])
    whole = nearest.match(a, b, points)
    monkeypatch.setattr(nearest, "TILE", 8 * 3 * 37 * 5)
    banded = nearest.match(a, b, points)
    np.testing.assert_array_equal(whole.matched, banded.matched)


def test_a_photo_matches_itself():
    a = reading(random_map(0, 64, 16, 16), (100, 70))
    points = np.random.default_rng(0).uniform((0, 0), (70, 100), (50, 2))
    found = nearest.match(a, a, points)
    assert np.abs(found.matched - points).max() <= 100 / 16 / 2 + 0.5
    assert found.mutual.all()


def test_shifting_the_features_shifts_the_matches():
    features = random_map(0, 32, 12, 12)
    shifted = torch.roll(features, (2, 3), dims=(1, 2))
    a, b = reading(features, (120, 120)), reading(shifted, (120, 120))
    points = np.array([[45.0, 55.0], [25.0, 35.0]])
    np.testing.assert_allclose(nearest.match(a, b, points).matched, points + np.array([30, 20]), atol=1.0)


@pytest.mark.parametrize("kind", ["pad", "crop"])
def test_matches_stay_where_the_network_sees(kind):
    a = reading(random_map(0, 8, 16, 16), (60, 120), kind)
    top, bottom, left, right = a.fit.window
    points = np.random.default_rng(0).uniform((left, top), (right, bottom), (30, 2))
    found = nearest.match(a, a, points)
    assert np.abs(found.matched - points).max() <= 5
    assert (found.matched >= (left, top)).all()
    assert (found.matched <= (right, bottom)).all()


def test_top_places_are_apart_and_ordered():
    a, b = reading(random_map(0, 4, 8, 8), (80, 80)), reading(random_map(1, 4, 8, 8), (80, 80))
    point = np.array([[33.0, 44.0]])
    (found,) = nearest.match_top(a, b, point, 5)
    assert len(found) == 5
    assert (np.diff(found.score) <= 0).all()
    np.testing.assert_array_equal(found.matched[0], nearest.match(a, b, point).matched[0])
    gaps = np.abs(found.matched[:, None] - found.matched[None]).max(axis=2)
    assert gaps[~np.eye(5, dtype=bool)].min() >= 10


def test_no_points_no_matches():
    a = reading(random_map(0, 4, 3, 3), (9, 9))
    assert len(nearest.match(a, a, np.empty((0, 2)))) == 0


def test_suggested_points_are_mutual_and_inside():
    a, b = reading(random_map(0, 16, 16, 16), (90, 130)), reading(random_map(0, 16, 16, 16), (70, 60))
    points = nearest.suggest_points(a, b, 12)
    assert len(points) == 12
    assert nearest.match(a, b, points).mutual.all()
    assert len(np.unique(points, axis=0)) == 12


def test_flat_features_do_not_break():
    flat = reading(torch.zeros(3, 4, 4), (20, 20))
    found = nearest.match(flat, flat, np.array([[5.0, 5.0]]))
    assert np.isfinite(found.score).all()


def test_a_point_outside_is_refused():
    a = reading(random_map(0, 4, 3, 3), (9, 9))
    with pytest.raises(InvalidInput, match="outside the photo"):
        nearest.match(a, a, np.array([[9.5, 3.0]]))


def test_score_maps_peak_at_the_match():
    a, b = reading(random_map(0, 16, 8, 8), (64, 64)), reading(random_map(1, 16, 8, 8), (64, 64))
    points = np.array([[10.0, 20.0]])
    maps = nearest.score_maps(a, b, points, 64, 64)
    row, column = divmod(int(maps[0].argmax()), 64)
    np.testing.assert_array_equal(nearest.match(a, b, points).matched[0], (column + 0.5, row + 0.5))
