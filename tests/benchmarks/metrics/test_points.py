from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.metrics.points import ORIGINAL, Frame, PairErrors, pck, threshold
from diffsight.datasets.base import Annotation, Photo
from diffsight.errors import InvalidInput

SQUASH, PAD = Frame("squash", 512), Frame("pad", 840)


def annotation(size, box, keypoints):
    return Annotation(Photo(Path("photo.jpg")), size, box, np.array(keypoints, np.float64).reshape(-1, 2))


def test_averages_differ_on_unbalanced_pairs():
    results = [
        PairErrors("a", np.array([1.0, 1.0, 1.0, 99.0]), 100),
        PairErrors("a", np.array([1.0, 99.0]), 100),
        PairErrors("b", np.array([99.0]), 100),
        PairErrors("b", np.array([1.0]), 100),
        PairErrors("b", np.array([1.0, 1.0]), 100),
        PairErrors("c", np.array([]), 100),
    ]
    score = pck(results, 0.1)
    assert score.per_point == pytest.approx(100 * 7 / 10)
    assert score.per_image == pytest.approx(100 * (0.75 + 0.5 + 0 + 1 + 1) / 5)
    assert score.per_category == pytest.approx(100 * (4 / 6 + 3 / 4) / 2)
    assert score.per_category_images == pytest.approx(100 * (1.25 / 2 + 2 / 3) / 2)
    assert (score.points, score.pairs) == (10, 5)


def test_whether_the_bound_is_included():
    on = [PairErrors("a", np.array([10.0]), 100)]
    assert pck(on, 0.1).per_point == 100
    assert pck(on, 0.1, "<").per_point == 0
    assert pck([PairErrors("a", np.array([10.0001]), 100)], 0.1).per_point == 0
    assert pck([PairErrors("a", np.array([9.9999]), 100)], 0.1, "<").per_point == 100


@pytest.mark.parametrize(
    ("results", "alpha", "comparison"),
    [
        ([], 0.1, "<="),
        ([PairErrors("a", np.array([]), 9)], 0.1, "<="),
        ([PairErrors("a", np.ones(1), 9)], 0, "<="),
        ([PairErrors("a", np.ones(1), 9)], 0.1, "="),
    ],
)
def test_nothing_to_score_is_refused(results, alpha, comparison):
    with pytest.raises(InvalidInput):
        pck(results, alpha, comparison)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.lists(st.floats(0, 50), min_size=1, max_size=5)), min_size=1),
    st.floats(0.01, 0.5),
)
def test_averages_agree_with_their_definitions(pairs, alpha):
    results = [PairErrors(category, np.array(distances), 60.0) for category, distances in pairs]
    hits = [(r.category, [d <= alpha * 60.0 for d in r.distances]) for r in results]
    names = sorted({name for name, _ in hits})
    score = pck(results, alpha)
    assert score.per_point == pytest.approx(100 * np.mean([h for _, own in hits for h in own]))
    assert score.per_image == pytest.approx(100 * np.mean([np.mean(own) for _, own in hits]))
    pooled = [np.mean([h for name, own in hits for h in own if name == kind]) for kind in names]
    assert score.per_category == pytest.approx(100 * np.mean(pooled))
    images = [np.mean([np.mean(own) for name, own in hits if name == kind]) for kind in names]
    assert score.per_category_images == pytest.approx(100 * np.mean(images))
    assert pck(results, alpha, "<").per_point <= score.per_point <= pck(results, 2 * alpha).per_point


@pytest.mark.parametrize(
    ("base", "original", "squashed", "padded"),
    [
        ("bbox", 60, 50 * 512 / 200, 60 * 840 / 300),
        ("source_bbox", 80, 80 * 5.12, 80 * 8.4),
        ("image", 300, 512, 840),
        ("keypoints", 40, 40 * 512 / 300, 40 * 840 / 300),
        # from -1, which fills the list, to the pixel number 59.5 (60 less the half of the first pixel)
        ("keypoints_padded", 60.5, 49.5 * 512 / 200 + 1, 59.5 * 840 / 300 + 1),
        ("cub_x_scale", 60, 60 * 512 / 200, 60 * 840 / 300),
        ("fixed", 25.6, 25.6, 25.6),
    ],
)
def test_thresholds_by_hand_in_every_frame(base, original, squashed, padded):
    source = annotation((100, 100), (0, 0, 80, 10), [[1, 1], [2, 2]])
    target = annotation((300, 200), (20, 10, 70, 70), [[30, 20], [50, 60], [40, 50]])
    for frame, expected in ((ORIGINAL, original), (SQUASH, squashed), (PAD, padded)):
        assert threshold(base, source, target, frame, 25.6) == pytest.approx(expected)


def test_the_padding_trap():
    """Ten keypoints within 40 pixels of each other, far from the corner: 36 becomes 437."""
    points = [[400 + 4 * i, 380 + i] for i in range(10)]
    own = annotation((512, 512), (0, 0, 512, 512), np.array(points) + 0.5)
    assert threshold("keypoints", own, own) == 36
    assert threshold("keypoints_padded", own, own) == 437
    assert threshold("keypoints_padded", own, own, Frame("squash", 256)) == 219


def test_a_full_list_of_keypoints_is_not_padded():
    points = np.stack([np.arange(40) + 100.5, np.full(40, 9.5)], axis=1)
    full, some = (annotation((9, 9), (0, 0, 1, 1), points[:n]) for n in (40, 39))
    assert threshold("keypoints_padded", full, full) == 39
    assert threshold("keypoints_padded", some, some) == 139


def test_unsuitable_thresholds():
    empty = annotation((9, 9), (0, 0, 1, 1), [])
    with pytest.raises(InvalidInput, match="no keypoints"):
        threshold("keypoints", empty, empty)
    with pytest.raises(InvalidInput, match="bbox"):
        threshold("box", empty, empty)
    with pytest.raises(InvalidInput, match="length"):
        threshold("fixed", empty, empty)
