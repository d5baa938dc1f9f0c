from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffsight.matching.refine import best_cells, window_soft_argmax
from diffsight.matching.shape import FEWEST, STEPS, arrange, fit_similarity

seeds = st.integers(0, 999)


def moved(points: np.ndarray, turn: complex, shift: complex) -> np.ndarray:
    numbers = turn * (points @ [1, 1j]) + shift
    return np.stack([numbers.real, numbers.imag], axis=-1)


def peaks(places: np.ndarray, height: int, width: int, value: float = 1.0) -> torch.Tensor:
    """A map a point, one hot at its cell."""
    maps = torch.zeros(len(places), height, width)
    maps[torch.arange(len(places)), *torch.from_numpy(places[:, ::-1].copy()).long().T] = value
    return maps


@given(seeds, st.floats(-3, 3), st.floats(0.2, 5), st.integers(0, 3))
def test_a_similarity_is_found_despite_gross_outliers(seed, angle, scale, outliers):
    rng = np.random.default_rng(seed)
    shape, turn = rng.uniform(0, 10, (12, 2)), scale * np.exp(1j * angle)
    truth = moved(shape, turn, 3 - 2j)
    places = truth.copy()
    places[:outliers] += rng.uniform(-10 * scale, 10 * scale, (outliers, 2))
    found = fit_similarity(shape, places, np.ones(12))
    np.testing.assert_allclose(found(shape), truth, atol=1e-3 * scale)
    assert found.scale == pytest.approx(scale, rel=1e-3)


@given(seeds, st.integers(4, 9))
def test_a_fit_is_repeated_least_squares_with_cauchy_weights(seed, count):
    rng = np.random.default_rng(seed)
    shape, places, weights = rng.normal(size=(count, 2)), rng.normal(size=(count, 2)), rng.uniform(0.1, 1, count)
    one, none = np.ones(count), np.zeros(count)
    columns = np.stack([shape.T.ravel(), np.r_[-shape[:, 1], shape[:, 0]], np.r_[one, none], np.r_[none, one]], axis=1)
    own = weights
    for _ in range(STEPS):
        root = np.tile(np.sqrt(own), 2)
        a, b, x, y = np.linalg.lstsq(columns * root[:, None], places.T.ravel() * root)[0]
        off = np.linalg.norm(moved(shape, a + 1j * b, x + 1j * y) - places, axis=1)
        own = weights / (1 + (off / np.median(off)) ** 2)
    found = fit_similarity(shape, places, weights)
    np.testing.assert_allclose([found.turn, found.shift], [a + 1j * b, x + 1j * y], atol=1e-6)


@given(seeds)
def test_several_shapes_with_gaps_are_fitted_as_each_on_its_own(seed):
    rng = np.random.default_rng(seed)
    shapes, places, weights = rng.normal(size=(3, 9, 2)), rng.normal(size=(9, 2)), rng.uniform(0.1, 1, 9)
    shapes[0, :2], shapes[1, 4:9] = np.nan, np.nan
    together = fit_similarity(shapes, places, weights)
    for shape, turn, shift in zip(shapes, together.turn, together.shift, strict=True):
        known = np.isfinite(shape[:, 0])
        alone = fit_similarity(shape[known], places[known], weights[known])
        np.testing.assert_allclose([turn, shift], [alone.turn, alone.shift], atol=1e-9)
    np.testing.assert_array_equal(np.isnan(together(shapes)), np.isnan(shapes))


@pytest.mark.parametrize("at", [0.0, 0.1, 1e6])
def test_points_in_one_place_are_shifted_but_not_turned(at):
    found = fit_similarity(np.full((5, 2), at), np.tile([3.0, 4.0], (5, 1)), np.full(5, 0.3))
    assert found.turn == 1
    np.testing.assert_allclose(found(np.full((1, 2), at)), [[3.0, 4.0]], atol=1e-6)


def test_an_arrangement_brings_a_stray_point_home():
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 100, (9, 2))
    truth = moved(shape, 0.1 + 0.02j, 4 + 5j).round()
    maps = peaks(truth, 24, 20)
    maps[0] *= 0.99
    maps[0, 20, 18] = 1.0  # the best cell of point 0 is far from where it belongs
    raised, expected = arrange(maps, [shape], strength=4.0, width=0.15, window=2, temperature=0.02)
    np.testing.assert_array_equal(best_cells(maps)[0], [18, 20])
    np.testing.assert_array_equal(best_cells(raised), truth)
    assert np.abs(expected - truth).max() < 1.0


def test_the_gaussians_are_those_of_the_formula():
    shape = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 8.0], [10.0, 8.0], [5.0, 4.0]])
    truth = moved(shape, 1.0, 2 + 3j)
    maps = peaks(truth, 14, 16)
    raised, expected = arrange(maps, [shape], strength=2.0, width=0.3, window=2, temperature=0.02)
    np.testing.assert_allclose(expected, truth, atol=1e-4)
    for point, (x, y) in enumerate(truth):
        for row, column in ((0, 0), (5, 9), (13, 15)):
            bell = np.exp(-((row - y) ** 2 + (column - x) ** 2) / (2 * (0.3 * 10) ** 2))
            assert float(raised[point, row, column] - maps[point, row, column]) == pytest.approx(0.04 * bell, abs=1e-5)


def test_shapes_vote_by_their_mean():
    rng = np.random.default_rng(0)
    shape = rng.uniform(0, 12, (6, 2))
    maps = torch.rand(6, 14, 15, generator=torch.Generator().manual_seed(0))
    settings = {"strength": 4.0, "width": 0.2, "window": 2, "temperature": 0.02}
    once, twice = (arrange(maps, [shape] * count, **settings) for count in (1, 2))
    torch.testing.assert_close(once[0], twice[0], atol=1e-5, rtol=0)
    gap = shape.copy()
    gap[0] = np.nan
    first, second = (arrange(maps, order, **settings) for order in ([shape, gap], [gap, shape]))
    torch.testing.assert_close(first[0], second[0], atol=1e-5, rtol=0)
    assert np.isfinite(first[1]).all()
    assert np.isnan(arrange(maps, [gap], **settings)[1][0]).all()
    assert torch.equal(arrange(maps, [gap], **settings)[0][0], maps[0])


@given(seeds)
def test_strength_zero_changes_nothing(seed):
    rng = np.random.default_rng(seed)
    maps = torch.rand(5, 6, 7, generator=torch.Generator().manual_seed(seed))
    raised, _ = arrange(maps, [rng.uniform(0, 9, (5, 2))], strength=0.0, width=0.15, window=5, temperature=0.02)
    assert torch.equal(raised, maps)


@pytest.mark.parametrize("shown", range(FEWEST + 1))
def test_fewer_than_four_points_are_no_arrangement(shown):
    rng = np.random.default_rng(0)
    maps = torch.rand(6, 8, 8, generator=torch.Generator().manual_seed(0))
    shape = np.where(np.arange(6)[:, None] < shown, rng.uniform(0, 8, (6, 2)), np.nan)
    raised, expected = arrange(maps, [shape], strength=4.0, width=0.15, window=5, temperature=0.02)
    assert torch.equal(raised, maps) == (shown < FEWEST)
    assert np.isfinite(expected[:, 0]).sum() == (shown if shown >= FEWEST else 0)
    assert torch.isfinite(window_soft_argmax(raised)).all()
