from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.metrics import (
    Annotation,
    PairErrors,
    corner_error,
    homography_score,
    mask_score,
    matching_accuracy,
    pck,
    threshold,
)
from diffsight.errors import InvalidInput


def test_per_point_and_per_image_differ_on_unbalanced_pairs():
    results = [
        PairErrors("a", np.array([1.0, 1.0, 1.0, 99.0]), 100),
        PairErrors("b", np.array([99.0]), 100),
        PairErrors("b", np.array([]), 100),
    ]
    score = pck(results, 0.1)
    assert score.per_point == pytest.approx(100 * 3 / 5)
    assert score.per_image == pytest.approx(100 * (0.75 + 0) / 2)
    assert (score.points, score.pairs) == (5, 2)


def test_the_bound_is_included():
    assert pck([PairErrors("a", np.array([10.0]), 100)], 0.1).per_point == 100
    assert pck([PairErrors("a", np.array([10.0001]), 100)], 0.1).per_point == 0


@pytest.mark.parametrize(
    ("results", "alpha"), [([], 0.1), ([PairErrors("a", np.array([]), 9)], 0.1), ([PairErrors("a", np.ones(1), 9)], 0)]
)
def test_nothing_to_score_is_refused(results, alpha):
    with pytest.raises(InvalidInput):
        pck(results, alpha)


@pytest.mark.parametrize(
    ("base", "expected"),
    [
        ("bbox", 60),
        ("source_bbox", 80),
        ("image", 300),
        ("keypoints", 40),
        ("keypoints_padded", 61),  # from -1, which fills the list, to 60
        ("cub_x_scale", 60 * 512 / 200),
    ],
)
def test_thresholds_on_an_example(base, expected):
    source = Annotation((100, 100), (0, 0, 80, 10), np.array([[1.0, 1.0], [2.0, 2.0]]))
    target = Annotation((300, 200), (20, 10, 70, 70), np.array([[30.0, 20.0], [50.0, 60.0], [40.0, 50.0]]))
    assert threshold(base, source, target) == pytest.approx(expected)


def test_a_full_list_of_keypoints_is_not_padded():
    points = np.stack([np.arange(40) + 100.0, np.full(40, 9.0)], axis=1)
    full, some = (Annotation((9, 9), (0, 0, 1, 1), points[:n]) for n in (40, 39))
    assert threshold("keypoints_padded", full, full) == 39
    assert threshold("keypoints_padded", some, some) == 139


def test_unsuitable_thresholds():
    empty = Annotation((9, 9), (0, 0, 1, 1), np.zeros((0, 2)))
    with pytest.raises(InvalidInput, match="no keypoints"):
        threshold("keypoints", empty, empty)
    with pytest.raises(InvalidInput, match="bbox"):
        threshold("box", empty, empty)


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


def moved(x, y):
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


def test_corner_errors_by_hand():
    assert corner_error(moved(3, 4), np.eye(3), (10, 20)) == 5
    assert corner_error(5 * moved(3, 4), moved(3, 4), (10, 20)) == pytest.approx(0)
    # doubling about the photo's corner moves the pixel centre (x, y) by its own distance from (0, 0)
    corners = np.hypot([0.5, 19.5, 0.5, 19.5], [0.5, 0.5, 9.5, 9.5])
    assert corner_error(np.diag([2.0, 2, 1]), np.eye(3), (10, 20)) == pytest.approx(corners.mean())
    # with pixel centres at whole numbers, as HPatches counts: the same doubling about the first pixel's centre
    about = moved(0.5, 0.5) @ np.diag([2.0, 2, 1]) @ moved(-0.5, -0.5)
    hpatches = np.hypot([0, 19, 0, 19], [0, 0, 9, 9]).mean()
    assert corner_error(about, np.eye(3), (10, 20)) == pytest.approx(hpatches)


def test_no_homography_is_wrong_at_any_threshold():
    horizon = np.array([[1.0, 0, 0], [0, 1, 0], [-1 / 19.5, 0, 1]])  # a corner has no place
    assert corner_error(None, np.eye(3), (10, 20)) == np.inf
    assert corner_error(horizon, np.eye(3), (10, 20)) == np.inf
    score = homography_score([np.inf, np.inf])
    assert score.correct == score.auc == (0, 0, 0)
    assert score.missing == 100


def test_homography_figures_by_hand():
    score = homography_score([0.5, 1.0, 2.0, 4.0, np.inf])
    assert score.correct == (40, 60, 80)
    assert score.auc == pytest.approx((100 * 0.5 / 5, 100 * (2.5 + 2 + 1) / 3 / 5, 100 * (4.5 + 4 + 3 + 1) / 5 / 5))
    assert (score.missing, score.pairs) == (20, 5)
    with pytest.raises(InvalidInput, match="no pair"):
        homography_score([])


def test_matching_accuracy_by_hand():
    query = np.array([[1.0, 1], [2, 2], [3, 3], [4, 4]])
    found = query + np.array([[10, 0], [10, 1], [10, 3], [99, 0]])
    assert matching_accuracy(query, found, moved(10, 0)) == (50, 75, 75)
    assert matching_accuracy(query[:0], found[:0], np.eye(3)) == (0, 0, 0)
