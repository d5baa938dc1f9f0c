from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.metrics.clips import (
    boundary,
    boundary_accuracy,
    joint_errors,
    joint_pck,
    region_similarity,
    score_objects,
)
from diffsight.errors import InvalidInput


def square(left, side=20, size=100):
    region = np.zeros((size, size), bool)
    region[40 : 40 + side, left : left + side] = True
    return region


EMPTY = np.zeros((100, 100), bool)


@pytest.mark.parametrize("shift", [0, 1, 5, 20, 30])
def test_j_of_a_shifted_square(shift):
    shared = max(0, 20 - shift)
    assert region_similarity(square(10 + shift), square(10)) == pytest.approx(shared / (40 - shared))


def test_empty_masks():
    assert region_similarity(EMPTY, EMPTY) == 1
    assert region_similarity(EMPTY, square(5)) == 0
    assert boundary_accuracy(EMPTY, EMPTY) == 1
    assert boundary_accuracy(EMPTY, square(5)) == 0
    assert boundary_accuracy(square(5), EMPTY) == 0


def test_the_boundary_lies_on_both_sides_of_an_edge_to_the_right_and_below():
    region = np.zeros((5, 6), bool)
    region[1:3, 2:4] = True
    expected = ["011100", "010100", "011100", "000000", "000000"]
    assert ["".join("01"[int(v)] for v in row) for row in boundary(region)] == expected
    assert not boundary(np.ones((5, 6), bool)).any()


def test_f_of_a_shifted_square():
    """The diagonal of 100 x 100 allows ceil(0.008 * 141.4) = 2 pixels.

    The boundary is a ring 21 pixels wide, of 80. Moved by 3, its right side (21 pixels) is too far off, and of its left
    side all but the 3 pixels at either end, which lie near the other's top and bottom (15): 44 of 80 are near.
    """
    assert boundary(square(10)).sum() == 80
    assert boundary_accuracy(square(12), square(10)) == 1
    assert boundary_accuracy(square(13), square(10)) == pytest.approx(44 / 80)
    assert boundary_accuracy(square(70), square(10)) == 0


def test_near_grows_with_the_photo():
    """480p's diagonal of 980 pixels allows 8."""
    mask = np.zeros((480, 854), bool)
    mask[100:300, 200:500] = True
    assert boundary_accuracy(np.roll(mask, 8, axis=1), mask) == 1
    assert boundary_accuracy(np.roll(mask, 9, axis=1), mask) < 0.8


def test_f_is_the_harmonic_mean_of_precision_and_recall():
    """Two squares where there is one: all of the true boundary is found, half of what is found is true."""
    assert boundary_accuracy(square(10) | square(70), square(10)) == pytest.approx(2 / 3)
    assert boundary_accuracy(square(10), square(10) | square(70)) == pytest.approx(2 / 3)


def test_the_first_and_the_last_frame_do_not_count():
    truth = [square(10).astype(np.uint8)] * 4
    found = [EMPTY.astype(np.uint8), truth[0], truth[0], EMPTY.astype(np.uint8)]
    (own,) = score_objects(found, truth)
    assert (own.j, own.f) == (1, 1)
    assert score_objects([truth[0], found[0], truth[0], truth[0]], truth)[0].j == 0.5
    with pytest.raises(InvalidInput, match="3 or more"):
        score_objects(truth[:2], truth[:2])


def test_objects_are_those_of_the_first_frame():
    first = np.where(square(10), 3, 0).astype(np.uint8)
    first[0, 0] = 255
    later = np.where(square(60), 4, first)
    assert len(score_objects([first] * 3, [first, later, later])) == 1


SQUARE = np.array([[0.0, 0], [30, 0], [30, 40], [0, 40]])
"""Four joints on a box whose diagonal is 50: alpha is a fraction of 30 pixels."""


def test_joint_errors_by_hand():
    truth = np.stack([SQUARE] * 3) + 100
    found = truth + np.array([3.0, 0])
    found[0] += 999  # the first frame is given
    assert joint_errors(found, truth) == pytest.approx(np.full((2, 4), 0.1))
    assert joint_errors(found, truth, strict=True) == pytest.approx(np.full((2, 4), 0.1))
    assert joint_pck([joint_errors(found, truth)], 0.1) == 100
    assert joint_pck([joint_errors(found + np.array([0.01, 0]), truth)], 0.1) == 0


@pytest.mark.parametrize("lost", [(-1.0, -1.0), (np.nan, np.nan)])
def test_joints_that_were_not_found_are_left_out_or_wrong(lost):
    truth = np.stack([SQUARE] * 2) + 100
    found = truth + np.array([3.0, 0])
    found[1, 2:] = lost
    lenient, strict = (joint_errors(found, truth, strict=own) for own in (False, True))
    # the box around the two joints found is 30 x 0: alpha is a fraction of 18 pixels
    np.testing.assert_allclose(lenient, [[3 / 18, 3 / 18, np.nan, np.nan]])
    np.testing.assert_allclose(strict, [[0.1, 0.1, np.inf, np.inf]])
    assert joint_pck([lenient], 0.2) == 100
    assert joint_pck([strict], 0.2) == 50


def test_joint_pck_is_the_mean_over_joints_of_all_clips():
    clips = [np.array([[0.0, 9.0]]), np.array([[0.0, 0.0], [0.0, np.nan], [9.0, np.nan]])]
    assert joint_pck(clips, 0.1) == pytest.approx(100 * (3 / 4 + 1 / 2) / 2)
    assert joint_pck([clips[1][1:, 1:], np.zeros((1, 1))], 0.1) == 100
    assert np.isnan(joint_pck([np.full((2, 2), np.nan)], 0.1))


def test_alpha_is_a_fraction_of_each_frames_own_box():
    truth = np.stack([SQUARE, SQUARE, 2 * SQUARE])
    found = truth + np.array([3.0, 0])
    np.testing.assert_allclose(joint_errors(found, truth), [[0.1] * 4, [0.05] * 4])


def test_a_box_without_extent_makes_all_wrong():
    truth = np.stack([SQUARE] * 2) + 100
    found = np.full_like(truth, -1)
    found[1, 0] = truth[1, 0]
    assert joint_errors(found, truth)[0, 0] == np.inf


@given(st.integers(0, 9999), st.floats(0.01, 0.5))
def test_the_strict_share_is_never_above_the_lenient_one_where_the_boxes_are_the_same(seed, alpha):
    rng = np.random.default_rng(seed)
    truth = np.repeat(np.concatenate([SQUARE, [[10, 10], [20, 20]]])[None] + 100, 5, axis=0)
    found = truth + rng.normal(0, 5, truth.shape)
    found[rng.random(found.shape[:2]) < 0.3] = -1
    found[:, :4] = truth[:, :4]  # so that the box is around all joints either way
    lenient, strict = (joint_pck([joint_errors(found, truth, strict=own)], alpha) for own in (False, True))
    assert strict <= lenient + 1e-9
