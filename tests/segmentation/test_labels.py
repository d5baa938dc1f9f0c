from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.grid import Fit
from diffsight.segmentation.labels import label_pixels, winners
from diffsight.types import VOID

from .. import literal


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.tuples(st.integers(1, 70), st.integers(1, 70)),
    st.integers(1, 6),
    st.integers(0, 999),
)
def test_pruned_labels_are_those_of_every_map_interpolated_everywhere(grid, size, count, seed):
    maps = np.random.default_rng(seed).random((count, *grid))
    fit = Fit.make("stretch", size, (8 * grid[0], 8 * grid[1]))
    rows, columns = fit.pixel_rows(grid), fit.pixel_columns(grid)
    np.testing.assert_array_equal(winners(maps, rows, columns), literal.labels(maps, rows, columns))


@pytest.mark.parametrize("size", [(512, 512), (500, 500), (333, 511), (64, 64)])
def test_usual_sizes(size, rng):
    maps = rng.random((9, 64, 64)) ** 4
    fit = Fit.make("stretch", size, (512, 512))
    rows, columns = fit.pixel_rows((64, 64)), fit.pixel_columns((64, 64))
    np.testing.assert_array_equal(winners(maps, rows, columns), literal.labels(maps, rows, columns))


def test_the_first_map_wins_ties():
    maps = np.stack([np.zeros((3, 3)), np.ones((3, 3)), np.ones((3, 3))])
    assert (winners(maps, np.linspace(-1, 3, 9), np.linspace(-1, 3, 7)) == 1).all()


def test_empty_segments_are_left_out_and_unseen_pixels_void():
    maps = np.array([[1.0, 0], [0.5, 0.4], [0, 1.0]])
    found = label_pixels(maps, (1, 2), Fit.make("crop", (10, 40), (8, 16)))
    assert len(found) == 2
    assert (found.labels[:, :10] == VOID).all()
    assert (found.labels[:, 30:] == VOID).all()
    assert set(np.unique(found.labels[:, 10:30])) == {0, 1}
    assert found.areas.tolist() == [100, 100]
    assert found.boxes.tolist() == [[10, 0, 20, 10], [20, 0, 30, 10]]
    assert found.mask(1).sum() == 100
    np.testing.assert_allclose(found.scores, [1 / 1.5, 1 / 1.4])


def test_a_map_that_wins_between_cells_only_has_a_score():
    found = label_pixels(np.array([[1.0, 0], [0, 1.0], [0.8, 0.8]]), (1, 2), Fit.make("stretch", (10, 40), (8, 16)))
    assert len(found) == 3
    np.testing.assert_allclose(found.scores, [1 / 1.8, 1 / 1.8, 0.8 / 1.8])


def test_scaling_the_maps_changes_nothing(rng):
    maps = rng.random((4, 30))
    fit = Fit.make("stretch", (41, 37), (60, 50))
    one, two = label_pixels(maps, (6, 5), fit), label_pixels(maps * 7, (6, 5), fit)
    np.testing.assert_array_equal(one.labels, two.labels)
