from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from diffsight.benchmarks.metrics.segments import (
    accuracy,
    adjusted_rand,
    assign,
    boundary_f,
    class_iou,
    count,
    label_borders,
    mask_score,
    mean_iou,
    overlap,
)
from diffsight.errors import InvalidInput


def grid(*rows):
    return np.array([[int(c) for c in row] for row in rows], np.uint16)


def test_masks_are_assigned_per_photo_whatever_their_numbers():
    truth = grid("0011", "0022")
    score = mask_score([(truth, truth), (2 - truth, truth), (truth + 9, truth)], 3)
    assert (score.acc, score.miou, score.miou_present, score.images) == (100, 100, 100, 3)


def test_mask_figures_by_hand():
    found, truth = grid("0001", "2221"), grid("0011", "0011")
    # class 0 takes segment 0 or 2 (2 pixels each), class 1 takes segment 1 (2 pixels)
    score = mask_score([(found, truth)], 2)
    assert score.acc == pytest.approx(100 * 4 / 8)
    one = 2 / 5, 2 / 4
    assert score.miou_present == pytest.approx(100 * sum(one) / 2)


def test_surplus_segments_go_to_absent_classes_but_not_in_the_second_figure():
    found, truth = grid("0012"), grid("0000")
    score = mask_score([(found, truth)], 3)
    assert score.acc == 50
    assert score.miou < score.miou_present == 50
    assert mask_score([(found, np.array([[0, 0, 0, 255]]))], 3).acc == pytest.approx(200 / 3)


def test_unseen_pixels_count_as_missed():
    found = np.array([[0, 0, 65535, 65535]], np.uint16)
    score = mask_score([(found, grid("0001"))], 2)
    assert score.acc == 50
    assert score.miou_present == pytest.approx(100 * (2 / 3 + 0) / 2)


@given(st.integers(0, 999), st.permutations(range(4)))
def test_renumbering_changes_no_mask_figure_without_ties(seed, order):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, (9, 11))
    found = np.where(rng.random(truth.shape) < 0.7, truth, rng.integers(0, 4, truth.shape))
    one, two = mask_score([(found, truth)], 4), mask_score([(np.array(order)[found], truth)], 4)
    assert one.acc == pytest.approx(two.acc)
    assert one.miou_present == pytest.approx(two.miou_present)


def test_masks_that_cannot_be_scored_are_refused():
    with pytest.raises(InvalidInput, match="fit"):
        mask_score([(grid("00"), grid("000"))], 2)
    with pytest.raises(InvalidInput, match="no photo"):
        mask_score([(grid("00"), grid("99"))], 2)


def draw(seed, classes=5, segments=7):
    """A truth with uncounted pixels, and segments of which some are not seen."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(-1, classes, (9, 11))
    found = rng.integers(0, segments, truth.shape).astype(np.uint16)
    found[rng.random(truth.shape) < 0.1] = 65535
    return found, truth


@given(st.integers(0, 9999), st.permutations(range(7)))
def test_every_counted_pixel_is_right_or_missed(seed, order):
    found, truth = draw(seed)
    for present_only in (False, True):
        pixels = overlap(found, truth, 27)
        counts = count(pixels, *assign(pixels, present_only=present_only))
        assert counts[0].sum() + counts[2].sum() == (truth >= 0).sum()
    renumbered = np.where(found == 65535, found, np.array([*order, 0])[np.minimum(found, 7)]).astype(np.uint16)
    other = overlap(renumbered, truth, 27)
    assert accuracy(count(other, *assign(other))) == pytest.approx(accuracy(counts))


@given(st.integers(0, 9999), st.permutations(range(6)))
def test_miou_of_present_classes_is_the_same_however_classes_are_numbered(seed, order):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 3, (12, 13))
    found = np.where(rng.random(truth.shape) < 0.8, truth, 3 + rng.integers(0, 2, truth.shape))
    one, two = (mask_score([(found, own)], 6) for own in (truth, np.array(order)[truth]))
    assert one.miou_present == pytest.approx(two.miou_present)
    assert one.acc == pytest.approx(two.acc)


def test_ties_between_absent_classes_change_miou_but_not_the_rest():
    """The first photo's surplus segment goes to an absent class; the second photo has only one of the two."""
    first = grid("0001"), grid("0000")
    for absent, other in ((1, 2), (2, 1)):
        second = grid("11"), np.full((1, 2), absent)
        third = grid("1111"), np.full((1, 4), other)
        scores = mask_score([first, second, third], 3)
        assert scores.acc == pytest.approx(900 / 10)
        assert scores.miou_present == pytest.approx(100 * (3 / 4 + 1 + 1) / 3)
        taken = assign(overlap(*first, 3))
        took = int(taken[0][taken[1] == 1][0])  # SciPy's choice among the absent
        ious = [3 / 4, 1, 1]
        pixels = {absent: 2, other: 4}[took]
        ious[took] = pixels / (pixels + 1)
        assert scores.miou == pytest.approx(100 * np.mean(ious))


def test_more_segments_than_classes_stay_unassigned():
    pixels = overlap(grid("001223"), grid("000111"), 2)
    counts = count(pixels, *assign(pixels))
    assert counts.tolist() == [[2, 2], [0, 0], [1, 1]]


def test_one_assignment_for_all_photos():
    """Photo by photo all is right; once for all, segment 0 is class 0 (6 of 9 pixels) and segment 1 is class 1."""
    first = overlap(grid("000000111"), grid("000000111"), 2)
    second = overlap(grid("000"), grid("111"), 2)
    both = [count(own, *assign(own)) for own in (first, second)]
    assert accuracy(both[0] + both[1]) == 100
    pooled = first + second
    counts = count(pooled, *assign(pooled))
    assert accuracy(counts) == pytest.approx(100 * 9 / 12)
    assert mean_iou(counts) == pytest.approx(100 * (6 / 9 + 3 / 6) / 2)
    apart = sum(count(own, *assign(pooled)) for own in (first, second))
    np.testing.assert_array_equal(apart, counts)


def test_pooling_photos_with_different_numbers_of_segments():
    wide = overlap(grid("0129"), grid("0011"), 2)
    narrow = overlap(grid("01"), grid("01"), 2)
    for pooled in (wide + narrow, narrow + wide):
        assert pooled.shared.sum() == 6
        assert pooled.shared[1, 9] == 1
    counts = count(narrow, np.array([0, 1]), np.array([0, 9]))  # segment 9 is not in this photo
    assert counts.tolist() == [[1, 0], [0, 0], [0, 1]]


def test_classes_that_do_not_occur_have_no_iou():
    pixels = overlap(grid("0011"), grid("0022"), 4)
    values = class_iou(count(pixels, *assign(pixels)))
    assert values[[0, 2]].tolist() == [100, 100]
    assert np.isnan(values[[1, 3]]).all()


def test_labels_of_one_byte_mark_what_is_not_seen_by_255():
    found = np.array([[0, 255]], np.uint8)
    assert overlap(found, grid("00"), 2).missed.tolist() == [1, 0]
    assert overlap(found.astype(np.uint16), grid("00"), 2).missed.tolist() == [0, 0]
    with pytest.raises(InvalidInput, match="labels go from -1"):
        overlap(np.array([[-1, 0]]), grid("00"), 2)


@given(st.integers(0, 9999), st.integers(1, 4), st.integers(1, 4))
def test_adjusted_rand_index_is_that_of_scikit_learn(seed, classes, segments):
    found, truth = draw(seed, classes, segments)
    valid = truth >= 0
    expected = 100 * adjusted_rand_score(truth[valid], found[valid])
    assert adjusted_rand(overlap(found, truth, classes)) == pytest.approx(expected, abs=1e-9)


def test_adjusted_rand_index_of_equal_and_of_crossing_parts():
    assert adjusted_rand(overlap(grid("0011"), grid("1100"), 2)) == 100
    assert adjusted_rand(overlap(grid("0000"), grid("0000"), 1)) == 100
    # each of both cuts halves the other's parts: pairs together in both 0, in either 2, of 6
    assert adjusted_rand(overlap(grid("0101"), grid("0011"), 2)) == pytest.approx(-50)


def test_borders_lie_between_valid_pixels_only():
    labels, valid = grid("0011", "0011", "2211"), np.ones((3, 4), bool)
    rows = ["".join("01"[int(v)] for v in row) for row in label_borders(labels, valid)]
    assert rows == ["0100", "1100", "0100"]
    valid[:, 2:] = False
    rows = ["".join("01"[int(v)] for v in row) for row in label_borders(labels, valid)]
    assert rows == ["0000", "1100", "0000"]
    corner = label_borders(grid("00", "01"), np.ones((2, 2), bool))
    assert corner.tolist() == [[True, True], [True, False]]
    left = np.array([[False, True, True]])
    assert label_borders(grid("012"), left).tolist() == [[False, True, False]]


def test_boundary_f_of_halves():
    """At 100 x 100 borders may lie 2 pixels apart."""

    def halves(left):
        return np.repeat(np.arange(100)[None] >= left, 100, axis=0).astype(int)

    assert boundary_f(halves(50), halves(50), 2) == 100
    assert boundary_f(1 - halves(52), halves(50), 2) == 100
    assert boundary_f(halves(53), halves(50), 2) == 0
    assert boundary_f(halves(100), halves(50), 2) == 0
    thirds = halves(50) + halves(80)  # the second border has no partner
    assert boundary_f(thirds, halves(50), 2) == pytest.approx(100 * 2 / 3)
