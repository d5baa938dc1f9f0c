from __future__ import annotations

import numpy as np
import pytest
import torch

from diffsight.errors import InvalidInput
from diffsight.grid import Fit
from diffsight.video.labels import box_pixels, boxes, brush_pixels, objects, piece_boxes, points, read_mask, read_points

FIT = Fit.make("stretch", (48, 64), (24, 32))
GRID = (12, 16)


def halves(height=48, width=64):
    mask = np.zeros((height, width), np.uint8)
    mask[:, width // 2 :] = 7
    return mask


@pytest.mark.parametrize("shrink", ["nearest", "area"])
def test_a_mask_survives_the_way_to_cells_and_back(shrink):
    target = objects(halves(), (48, 64))
    soft = target.soft(FIT, GRID, shrink)
    assert soft.shape == (2, *GRID)
    assert torch.equal(soft.sum(dim=0), torch.ones(GRID))
    assert np.array_equal(read_mask(soft, target.ids, FIT), halves())


def test_labels_need_not_be_consecutive_and_the_highest_is_not_lost():
    mask = np.zeros((48, 64), np.uint8)
    mask[:20, :20], mask[30:, 40:], mask[25, 1] = 3, 200, 254  # the last is far smaller than a cell
    target = objects(mask, (48, 64))
    assert target.ids == (3, 200, 254)
    assert target.soft(FIT, GRID).shape[0] == 4
    assert target.soft(FIT, GRID)[3].sum() == 0
    assert target.soft(FIT, GRID, "area")[3].max() == pytest.approx(1 / 16)
    assert set(np.unique(read_mask(target.soft(FIT, GRID), target.ids, FIT))) == {0, 3, 200}


def test_unknown_pixels_have_no_label():
    mask = halves()
    mask[:, :8] = 255
    soft = objects(mask, (48, 64)).soft(FIT, GRID)
    assert soft[:, :, :2].sum() == 0
    assert objects(mask, (48, 64)).ids == (7,)


def test_254_objects():
    mask = np.arange(256, dtype=np.uint8).reshape(16, 16).repeat(4, 0).repeat(4, 1)
    target = objects(mask, (64, 64))
    fit = Fit.make("stretch", (64, 64), (64, 64))
    found = read_mask(target.soft(fit, (16, 16)), target.ids, fit)
    assert len(target.ids) == 254
    assert set(np.unique(found)) >= set(range(1, 255))


def test_one_object_everywhere_stays():
    target = objects(np.full((48, 64), 5, np.uint8), (48, 64))
    assert (read_mask(target.soft(FIT, GRID), target.ids, FIT) == 5).all()


def test_maps_are_spread_before_the_highest_wins():
    soft = torch.zeros(2, *GRID)
    soft[0], soft[0, :, 8:] = 0.9, 0.6
    soft[1] = 1 - soft[0]
    assert (read_mask(soft, (1,), FIT)[:, 40:] == 1).all()
    assert (read_mask(soft, (1,), FIT, spread=False) == 0).all()


def test_what_a_crop_does_not_show_is_unseen():
    fit = Fit.make("crop", (48, 64), (32, 32))
    found = read_mask(objects(halves(), (48, 64)).soft(fit, (8, 8)), (7,), fit)
    assert (found[:, :8] == 255).all()
    assert (found[:, 56:] == 255).all()
    assert np.array_equal(found[:, 8:56], halves()[:, 8:56])


def test_a_padded_frame_has_no_labels_in_its_borders():
    fit = Fit.make("pad", (48, 64), (64, 64))
    soft = objects(halves(), (48, 64)).soft(fit, (8, 8))
    assert soft[:, [0, -1]].sum() == 0
    assert np.array_equal(read_mask(soft, (7,), fit), halves())


def test_points_come_back_within_half_a_cell():
    places = np.array([[0.5, 0.5], [31.0, 20.0], [63.9, 47.0], [17.3, 30.2]])
    soft = points(places).soft(FIT, GRID)
    assert np.abs(read_points(soft, FIT) - places).max() <= 2
    marked = soft[1:].sum(dim=0) > 0
    assert torch.equal(soft[0] == 1, ~marked)
    (alone,) = points([[22.0, 18.0]]).soft(FIT, GRID)[1:]
    assert torch.equal(alone.nonzero().amin(dim=0), torch.tensor([3, 4]))
    assert torch.equal(alone.nonzero().amax(dim=0), torch.tensor([5, 6]))


def test_a_point_on_the_middle_of_a_cell_comes_back_exactly():
    """Its own cell and two of its neighbours, which lie two sigma off and pull it a little to their side."""
    soft = torch.zeros(2, *GRID)
    soft[1, 4, 5] = 0.7
    assert read_points(soft, FIT) == pytest.approx(np.array([[22.0, 18.0]]))
    soft[1, 4, 6] = 0.7
    assert read_points(soft, FIT) == pytest.approx(np.array([[24.0, 18.0]]))


def test_a_point_that_no_cell_shows_is_lost():
    soft = torch.zeros(3, *GRID)
    soft[2, 1, 1] = 1
    found = read_points(soft, FIT)
    assert np.isnan(found[0]).all()
    assert not np.isnan(found[1]).any()


def test_boxes_become_objects_and_come_back():
    target = boxes([(2, 3, 20, 30), (30, 10, 60, 40)], (48, 64))
    assert piece_boxes(target.mask, target.ids).tolist() == [[2, 3, 20, 30], [30, 10, 60, 40]]


def test_the_box_of_an_object_is_that_of_its_largest_piece():
    mask = np.zeros((20, 30), np.uint8)
    mask[2:8, 3:9], mask[15, 28] = 1, 1
    assert piece_boxes(mask, (1, 2)).tolist() == [[3, 2, 9, 8], [0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("work", "message"),
    [
        (lambda: objects(halves(), (60, 64)), "the mask is 64x48, but the frame is 64x60"),
        (lambda: objects(np.zeros((4, 4), np.uint8), (4, 4)), "shows no object"),
        (lambda: objects(np.full((4, 4), 256), (4, 4)), "labels from 256 to 256"),
        (lambda: boxes([(5, 5, 5, 5)], (9, 9)), "holds no pixel"),
        (lambda: boxes([(1, 1, 3, 3), (0, 0, 9, 9)], (9, 9)), "box 1 is covered"),
        (lambda: boxes([(0, 0, 9, 9)] * 255, (9, 9)), "255 boxes are too many"),
        (lambda: points([(70, 1)]).soft(FIT, GRID), "outside the photo"),
    ],
)
def test_what_cannot_be_followed_is_refused(work, message):
    with pytest.raises(InvalidInput, match=message):
        work()


def test_a_brush_covers_what_is_near_its_path():
    covered = brush_pixels(np.array([(10.0, 20.0), (50.0, 20.0)]), 10, (40, 64))
    y, x = np.mgrid[:40, :64] + 0.5
    far = np.hypot(x - np.clip(x, 10, 50), y - 20)
    assert covered[far < 4].all()
    assert not covered[far > 6].any()


def test_a_single_touch_of_the_brush_is_a_disc():
    covered = brush_pixels(np.array([(20.0, 12.0)]), 8, (24, 40))
    y, x = np.mgrid[:24, :40] + 0.5
    distance = np.hypot(x - 20, y - 12)
    assert covered[distance < 3].all()
    assert not covered[distance > 5].any()


def test_a_box_holds_the_pixels_whose_middle_it_holds():
    inside = box_pixels((1.2, 0.4, 3.6, 2), (4, 6))
    assert np.argwhere(inside).tolist() == [[0, 1], [0, 2], [0, 3], [1, 1], [1, 2], [1, 3]]
