from __future__ import annotations

import numpy as np
import pytest

from diffsight.errors import InvalidInput
from diffsight.images import load_picture
from diffsight.segmentation.borders import _Guide, sharpen_borders
from diffsight.types import VOID, Segmentation

from .. import literal


def _halves(height, width, split):
    """A photo with an edge at column ``split``."""
    image = np.full((height, width, 3), 40, np.uint8)
    image[:, split:] = (200, 120, 60)
    return image


def _two(labels):
    return Segmentation(np.asarray(labels, np.uint16), np.array([0.6, 0.7]), ("left", "right"), np.array([0.1, 0.2]))


@pytest.mark.parametrize("size", [(40, 60), (37, 61), (700, 900)])
@pytest.mark.parametrize("share", [0.3, 0.6, 1.0])
def test_a_border_moves_to_the_edge_within_its_reach(size, share):
    height, width = size
    split = width // 2
    radius = width / 10
    labels = np.zeros(size)
    labels[:, split + round(share * radius) :] = 1
    found = sharpen_borders(_two(labels), load_picture(_halves(height, width, split)), radius)
    before, after = ((cut != (np.arange(width) >= split)).mean() for cut in (labels, found.labels))
    assert before > 0.02
    assert after < 0.25 * before
    assert found.names == ("left", "right")


def test_the_filter_is_the_least_squares_fit_in_every_window(rng):
    image = rng.integers(0, 256, (13, 11, 3), np.uint8)
    mask = (rng.random((13, 11)) < 0.5).astype(np.float32)
    model = _Guide(image, 2, 0.01).explain(mask)
    colours = image.astype(np.float64) / 255
    value = (model[..., :3] * colours).sum(axis=2) + model[..., 3]
    wanted = literal.guided_filter(colours, mask.astype(np.float64), 2, 0.01)
    inside = slice(4, -4)  # windows beyond the border are a matter of taste
    np.testing.assert_allclose(value[inside, inside], wanted[inside, inside], atol=1e-4)


def test_a_plain_photo_keeps_straight_borders():
    labels = np.zeros((30, 40))
    labels[:, 17:] = 1
    found = sharpen_borders(_two(labels), load_picture(np.full((30, 40, 3), 99, np.uint8)), radius=4)
    np.testing.assert_array_equal(found.labels, labels)


def test_unseen_pixels_stay_unseen_and_lost_segments_are_dropped(rng):
    labels = np.zeros((50, 50))
    labels[25, 25] = 1  # a speck
    labels[:, :5] = VOID
    found = sharpen_borders(_two(labels), load_picture(np.full((50, 50, 3), 99, np.uint8)), radius=6)
    assert len(found) == 1
    assert found.names == ("left",)
    assert found.scores.tolist() == [0.6]
    assert ((found.labels == VOID) == (labels == VOID)).all()


@pytest.mark.parametrize("radius", [0, -1, float("nan")])
def test_a_radius_that_does_not_suit(radius):
    with pytest.raises(InvalidInput, match="above 0"):
        sharpen_borders(_two(np.zeros((4, 4))), load_picture(_halves(4, 4, 2)), radius)
