from __future__ import annotations

from pathlib import Path

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from pycocotools import mask as coco

from diffsight.errors import InvalidInput
from diffsight.transfer import masks
from diffsight.transfer.annotations import AnnotatedPhoto

MASKS = arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=40))


def photo(size: tuple[int, int]) -> AnnotatedPhoto:
    return AnnotatedPhoto("a.png", Path("a.png"), size)


@given(MASKS)
def test_run_lengths_go_there_and_back(mask):
    code = masks.to_run_lengths(mask)
    np.testing.assert_array_equal(masks.from_run_lengths(code, photo(mask.shape)), mask)
    turned = {"size": list(mask.shape), "counts": masks.row_runs(mask.T)}  # COCO's are column by column
    np.testing.assert_array_equal(masks.from_run_lengths(turned, photo(mask.shape)), mask)


def corners(line: np.ndarray) -> tuple[int, int]:
    return int(line.argmax()), len(line) - int(line[::-1].argmax())


@given(MASKS)
def test_bounds_hold_all_of_a_mask_and_no_less(mask):
    found = masks.bounds(mask)
    if found is None:
        assert not mask.any()
    else:
        x0, y0, x1, y1 = found
        assert (x0, x1) == corners(mask.any(axis=0))
        assert (y0, y1) == corners(mask.any(axis=1))


def test_polygons_cover_pixels_between_their_edges():
    square, corner = np.array([[1, 1], [4, 1], [4, 3], [1, 3.0]]), np.array([[4, 3], [6, 3], [6, 5], [4, 5.0]])
    expected = np.zeros((5, 6), bool)
    expected[1:3, 1:4] = expected[3:, 4:] = True
    np.testing.assert_array_equal(masks.from_polygons([square, corner], photo((5, 6))), expected)


@pytest.mark.parametrize("polygon", [[[0, 0], [1, 1]], [[0, 0], [5, 0], [5, 1e9]], [[0, 0], [5, 0], [5, np.nan]]])
def test_polygons_that_are_none(polygon):
    with pytest.raises(InvalidInput, match=r"a\.png: a polygon"):
        masks.from_polygons([np.array(polygon, float)], photo((5, 6)))


@pytest.mark.parametrize("counts", [[3, 4], [-1, 31], "", "0", "PPYo0"])
def test_run_lengths_that_do_not_add_up(counts):
    with pytest.raises(InvalidInput, match="add up"):
        masks.from_run_lengths({"size": [5, 6], "counts": counts}, photo((5, 6)))
    with pytest.raises(InvalidInput, match="size"):
        masks.from_run_lengths({"size": [6, 5], "counts": counts}, photo((5, 6)))


def test_codes_are_those_of_pycocotools():
    mask = np.random.default_rng(0).random((37, 53)) > 0.4
    np.testing.assert_array_equal(coco.decode(masks.to_run_lengths(mask)), mask)
