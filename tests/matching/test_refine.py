from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.matching import nearest
from diffsight.matching.refine import (
    PRESETS,
    Cells,
    Refinement,
    best_cells,
    mirror,
    mirror_points,
    near_best,
    refinement,
    view_distance,
    window_soft_argmax,
)
from diffsight.types import Picture
from tests import literal

from .readings import cells, random_map, reading

side = st.integers(1, 9)
grids = st.tuples(side, side)
seeds = st.integers(0, 999)
maskings = st.sampled_from(["inf", "zero"])


def cosine_map(seed: int, height: int, width: int) -> torch.Tensor:
    return torch.rand(1, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1


@given(seeds, grids, st.integers(0, 9), st.sampled_from([0.02, 0.1, 1.0]), maskings)
def test_soft_argmax_equals_the_literal_formula(seed, grid, window, temperature, masking):
    scores = cosine_map(seed, *grid)
    expected = literal.window_soft_argmax(scores[0].numpy(), window, temperature, masking)
    got = window_soft_argmax(scores, window, temperature, masking)[0]
    np.testing.assert_allclose(got, expected, atol=1e-9)


@given(grids, st.data())
def test_a_single_peak_gives_its_cell(grid, data):
    y, x = data.draw(st.integers(0, grid[0] - 1)), data.draw(st.integers(0, grid[1] - 1))
    scores = torch.zeros(1, *grid)
    scores[0, y, x] = 1.0
    np.testing.assert_allclose(window_soft_argmax(scores)[0], [x, y], atol=1e-12)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 9), st.integers(0, 9))
def test_a_symmetric_peak_gives_its_middle(x, y, left, top):
    """Wherever it is in the grid, as long as it lies inside of the window."""
    peak = torch.exp(-(torch.arange(-3.0, 4.0)[:, None] ** 2 + torch.arange(-3.0, 4.0) ** 2) / (2 + x + y))
    scores = torch.full((1, 7 + top + y, 7 + left + x), -1.0)
    scores[0, top : top + 7, left : left + 7] = peak
    np.testing.assert_allclose(window_soft_argmax(scores, 3, 0.1)[0], [left + 3, top + 3], atol=1e-6)


def test_two_equal_cells_give_the_point_between():
    scores = torch.zeros(1, 5, 8)
    scores[0, 2, 3:5] = 1.0
    np.testing.assert_allclose(window_soft_argmax(scores)[0], [3.5, 2.0], atol=1e-9)


def test_the_window_is_cut_off_at_the_border():
    inside = near_best(torch.tensor([[[5.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0]]]), 1)
    assert inside[0].tolist() == [[True, True, False, False]] * 2 + [[False] * 4]
    unseen = near_best(torch.tensor([[[0.0, 5.0, -torch.inf]]]), 1)
    assert unseen.tolist() == [[[True, True, False]]]
    flat = torch.tensor([[[0.11, 0.1, 0.1, 0.1]]])
    np.testing.assert_allclose(window_soft_argmax(flat, 1, 1e3)[0], [0.5, 0.0], atol=1e-5)


@given(seeds, grids, st.integers(0, 3), seeds)
def test_cells_outside_of_the_window_do_not_count(seed, grid, window, other):
    scores = cosine_map(seed, *grid)
    lower = cosine_map(other, *grid).clamp(max=scores.max() - 1e-9)
    changed = torch.where(near_best(scores, window), scores, lower)
    assert torch.equal(window_soft_argmax(changed, window), window_soft_argmax(scores, window))


def test_masked_as_published_cells_outside_draw_weak_matches_to_them():
    scores = torch.full((1, 3, 30), -1.0)
    scores[0, 1, 1] = 0.05
    assert window_soft_argmax(scores, 1, masking="inf")[0, 0] == 1.0
    assert window_soft_argmax(scores, 1, masking="zero")[0, 0] > 10
    assert window_soft_argmax(scores[:, :, :10], 1, masking="zero")[0, 0] < 5


@pytest.mark.parametrize(("peak", "leak"), [(0.15, 1.92), (0.20, 0.158), (0.25, 0.0130), (0.30, 0.00106)])
def test_the_published_mask_leaks_as_much_as_its_formula_says(peak, leak):
    """On a grid of 60 x 60 with a window of 11 x 11, 3479 cells outside weigh exp(0) each."""
    assert math.isclose(3479 * math.exp(-peak / 0.02), leak, rel_tol=0.01)
    scores = torch.full((1, 60, 60), -1.0, dtype=torch.float64)
    scores[0, 30, 10] = peak
    outside = (60 * 60 * 29.5 - 121 * 10) / 3479
    drift = (window_soft_argmax(scores, 5, 0.02, "zero")[0, 0] - 10) / (outside - 10)
    share = 3479 * math.exp(-peak / 0.02)
    assert math.isclose(drift, share / (1 + share), rel_tol=1e-9)


@given(seeds, grids, maskings)
def test_a_window_over_the_whole_grid_is_a_plain_soft_argmax(seed, grid, masking):
    scores = cosine_map(seed, *grid)
    share = (scores[0] / 0.1).flatten().softmax(0).view(*grid).numpy()
    expected = (share.sum(0) @ np.arange(grid[1]), share.sum(1) @ np.arange(grid[0]))
    np.testing.assert_allclose(window_soft_argmax(scores, 9, 0.1, masking)[0], expected, atol=1e-9)


@given(seeds, grids, maskings)
def test_a_temperature_near_zero_gives_the_best_cell(seed, grid, masking):
    scores = cosine_map(seed, *grid).abs()
    np.testing.assert_allclose(window_soft_argmax(scores, 5, 1e-7, masking), best_cells(scores), atol=1e-6)


def test_a_window_counts_its_cells_however_little_they_weigh():
    scores = torch.tensor([[[1.0, -1.0, 0.5]]])
    assert near_best(scores, 1).tolist() == [[[True, True, False]]]
    assert window_soft_argmax(scores, 1, 1e-4)[0].tolist() == [0.0, 0.0]


@given(seeds, grids, grids, grids, st.sampled_from(["stretch", "pad", "crop"]))
def test_the_peak_by_pixels_is_the_plain_nearest_neighbour(seed, here, there, size, kind):
    source = reading(random_map(seed, 4, *here), (30, 20))
    target = reading(random_map(seed + 1, 4, *there), size, kind)
    points = np.random.default_rng(seed).uniform((0, 0), (20, 30), (5, 2))
    origin, goal = Cells.of(source), Cells.of(target)
    vectors = origin.describe(points)
    found = goal.locate(vectors, goal.cosines(vectors), Refinement())
    np.testing.assert_array_equal(found, nearest.match(source, target, points).matched)


@pytest.mark.parametrize("peak", ["cell", "window", "pixel"])
@pytest.mark.parametrize("size", [(200, 50), (37, 201), (3, 900), (900, 3), (80, 80)])
def test_padding_never_wins(peak, size):
    features = random_map(0, 6, 8, 8)
    target = cells(features, size, "pad")
    features[:, ~target.seen.unflatten(0, (8, 8))] = 10.0  # the padding looks as the query does
    target = cells(features, size, "pad")
    query = torch.ones(1, 6) / 6**0.5
    found = target.locate(query, target.cosines(query), Refinement(peak=peak))
    centre = features.new_tensor(target.reading.fit.to_grid(found, (8, 8))).round().long()[0]
    assert target.seen.any()
    assert target.seen.unflatten(0, (8, 8))[centre[1], centre[0]] or peak == "pixel"
    reach = nearest.cell_size(target.reading)  # of a photo thinner than a cell the cell's centre may lie beside it
    assert (found >= -np.array(reach)).all()
    assert (found <= np.array(size[::-1]) + reach).all()
    assert torch.isfinite(target.coarse).all()


def test_vectors_are_taken_between_cells_or_of_the_cell():
    features = torch.zeros(2, 1, 2)
    features[0, 0, 0] = features[1, 0, 1] = 1.0
    row = cells(features)
    points = np.array([[10.0, 5.0], [9.9, 5.0], [10.1, 5.0], [0.0, 0.0]])
    np.testing.assert_allclose(row.describe(points, "floor"), [[0, 1], [1, 0], [0, 1], [1, 0]])
    np.testing.assert_allclose(row.describe(points)[[0, 3]], [[0.5**0.5, 0.5**0.5], [1, 0]], atol=1e-6)


def test_double_precision_is_kept_and_cells_without_content_match_nothing():
    features = random_map(0, 4, 3, 3).double()
    features[:, 1, 1] = 0.0
    photo = cells(features)
    assert photo.vectors.dtype == torch.float64
    scores = photo.cosines(photo.describe(np.array([[5.0, 5.0], [15.0, 15.0]])))
    assert scores[0, 1, 1] == 0
    assert torch.equal(scores[1], torch.zeros(3, 3, dtype=torch.float64))


@given(seeds, st.integers(2, 500))
def test_mirrored_points_round_trip(seed, width):
    points = np.random.default_rng(seed).uniform(0, width, (4, 2))
    np.testing.assert_allclose(mirror_points(mirror_points(points, width), width), points, atol=1e-12 * width)


def test_a_pixel_of_the_mirror_image_is_where_its_point_is():
    picture = Picture(torch.arange(3 * 4 * 7, dtype=torch.uint8).view(3, 4, 7))
    x, y = mirror_points(np.array([[1.5, 2.5]]), 7)[0]
    assert torch.equal(mirror(picture).image[:, int(y), int(x)], picture.image[:, 2, 1])
    assert torch.equal(mirror(mirror(picture)).image, picture.image)


def test_views_of_one_thing_are_nearer_than_views_of_two():
    a, b = cells(random_map(0, 32, 9, 14)).coarse, cells(random_map(1, 32, 9, 14)).coarse
    assert view_distance(a, a) == 0
    assert view_distance(a, b) > 0.5
    assert view_distance(a, b) == pytest.approx(view_distance(b, a))


def test_the_distance_of_views_equals_the_literal_mean_over_best_buddies():
    a, b = cells(random_map(0, 5, 4, 6)).coarse, cells(random_map(1, 5, 5, 3)).coarse
    pairs = literal.best_buddies(a.numpy(), b.numpy())
    expected = np.mean([np.linalg.norm(a[i] - b[j]) for i, j in pairs])
    assert view_distance(a, b) == pytest.approx(expected, abs=1e-6)


def test_views_without_anything_in_common_are_infinitely_far():
    nothing = torch.zeros(0, 3)
    assert view_distance(nothing, torch.eye(3)) == view_distance(torch.eye(3), nothing) == float("inf")


def test_blocks_are_means_of_the_cells_that_show_the_photo():
    features = random_map(0, 6, 24, 24)
    photo = cells(features, (47, 80), "pad")  # its first row of cells is the lower one of a block
    assert photo.seen.unflatten(0, (24, 24))[:, 0].nonzero()[:, 0].tolist() == list(range(5, 19))
    assert photo.coarse.shape == (12 * 8, 6)
    vectors = photo.vectors.unflatten(0, (24, 24))
    for row, block in ((0, vectors[5:6, :2]), (1, vectors[6:8, :2])):
        mean = block.flatten(0, 1).mean(dim=0)
        torch.testing.assert_close(photo.coarse[12 * row], mean / mean.norm(), atol=1e-3, rtol=0)
    assert torch.equal(photo.coarse, photo.coarse.half().float())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peak": "top"}, "unknown peak 'top'; use pixel, cell, window"),
        ({"sampling": "nearest"}, "unknown sampling"),
        ({"masking": "none"}, "unknown masking"),
        ({"window": -1}, "window of -1"),
        ({"temperature": 0.0}, "temperature 0"),
        ({"temperature": float("nan")}, "temperature nan"),
        ({"peak": "cell", "shape": -1.0}, "shape -1"),
        ({"peak": "cell", "shape": float("nan")}, "shape nan"),
        ({"peak": "cell", "shape": 1.0, "shape_width": 0.0}, "width 0"),
        ({"shape": 1.0}, "does not suit the peak pixel"),
    ],
)
def test_settings_that_do_not_suit_are_refused(changes, message):
    with pytest.raises(InvalidInput, match=message):
        Refinement(**changes)


def test_presets_take_a_models_settings_and_single_changes():
    assert refinement("plain", {}) == Refinement()
    best = refinement("best", {"temperature": 0.5}, window=2, shape=None)
    assert best == Refinement(**{"temperature": 0.5, **PRESETS["best"], "window": 2})
    assert refinement("best", {}, peak="cell") == Refinement(**{**PRESETS["best"], "peak": "cell"})
    with pytest.raises(InvalidInput, match="unknown preset 'worst'; use plain or best"):
        refinement("worst", {})
