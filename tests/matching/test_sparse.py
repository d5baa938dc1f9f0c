from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import Fit
from diffsight.matching.sparse import SparseSettings, describe_keypoints, match_keypoints, mutual_pairs
from tests.literal import best_buddies

from .test_nearest import random_map, reading


@given(st.integers(0, 9999), st.integers(1, 13), st.integers(1, 13), st.integers(1, 4))
@settings(max_examples=200, deadline=None)
def test_mutual_neighbours_equal_a_double_loop_ties_included(seed, n, m, channels):
    rng = np.random.default_rng(seed)
    # small whole numbers: many ties, and inner products without rounding
    a, b = (torch.from_numpy(rng.integers(-1, 2, (k, channels)).astype(np.float64)) for k in (n, m))
    own, other, score = mutual_pairs(a, b, "distance")
    # a nearest neighbour by distance has the highest inner product less half its own squared length
    pairs = best_buddies(
        np.c_[a, -0.5 * (a**2).sum(1), np.ones(n)],
        np.c_[b, np.ones(m), -0.5 * (b**2).sum(1)],
    )
    assert list(zip(own.tolist(), other.tolist(), strict=True)) == pairs
    np.testing.assert_allclose(score, -np.linalg.norm(a[own] - b[other], axis=1), atol=1e-12)


@given(st.integers(0, 9999), st.integers(1, 13), st.integers(1, 13))
@settings(max_examples=100, deadline=None)
def test_mutual_neighbours_by_cosine(seed, n, m):
    a, b = (torch.randn(k, 5, generator=torch.Generator().manual_seed(seed + k), dtype=torch.float64) for k in (n, m))
    own, other, score = mutual_pairs(a, b)
    lengths = a.norm(dim=1, keepdim=True), b.norm(dim=1, keepdim=True)
    assert list(zip(own.tolist(), other.tolist(), strict=True)) == best_buddies(
        (a / lengths[0]).numpy(), (b / lengths[1]).numpy()
    )
    np.testing.assert_allclose(score, F.cosine_similarity(a[own], b[other]), atol=1e-12)


def test_ratio_drops_what_has_a_rival():
    a = torch.tensor([[0.0, 0.0], [10.0, 0.0]])
    b = torch.tensor([[1.0, 0.0], [10.0, 3.0], [10.0, -3.1]])
    assert mutual_pairs(a, b, "distance")[0].tolist() == [0, 1]
    assert mutual_pairs(a, b, "distance", ratio=0.97)[0].tolist() == [0, 1]  # 3 / 3.1 = 0.968
    assert mutual_pairs(a, b, "distance", ratio=0.96)[0].tolist() == [0]


@given(
    st.integers(0, 99),
    st.tuples(st.integers(2, 9), st.integers(2, 9)),
    st.tuples(st.integers(2, 40), st.integers(2, 40)),
)
@settings(deadline=None)
def test_both_samplings_equal_grid_sample(seed, grid, size):
    features = random_map(seed, 3, *grid)
    height, width = size
    pixels = np.random.default_rng(seed).uniform(0, (width - 1, height - 1), (6, 2))  # the first one's centre at 0
    own = reading(features, size)

    def literal(at, mode):
        at = torch.from_numpy(at)[None, :, None]
        return F.grid_sample(features[None], at, padding_mode=mode, align_corners=False)[0, :, :, 0].T

    correct = literal((pixels + 0.5) / (width, height) * 2 - 1, "border")
    torch.testing.assert_close(describe_keypoints(own, pixels + 0.5), correct, atol=1e-9, rtol=0)
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    published = literal((pixels - middle) / middle, "zeros")
    torch.testing.assert_close(describe_keypoints(own, pixels + 0.5, "reference"), published, atol=1e-9, rtol=0)


def test_published_sampling_is_right_in_the_middle_and_half_a_cell_off_at_the_border():
    fit = Fit.make("stretch", (80, 80), (64, 64))
    points = np.array([[40.0, 40.0], [79.5, 0.5]])
    right, published = fit.to_grid(points, (8, 8)), fit.to_grid_as_published(points, (8, 8))
    np.testing.assert_allclose(published[0], right[0])
    np.testing.assert_allclose(published[1], [7.5, -0.5])
    np.testing.assert_allclose(fit.to_grid_as_published(points, (8, 8), corners=True)[1], [7, 0])
    with pytest.raises(InvalidInput, match="stretch"):
        Fit.make("pad", (80, 40), (64, 64)).to_grid_as_published(points, (8, 8))


def test_a_photo_matches_itself_keypoint_by_keypoint():
    own = reading(random_map(0, 32, 8, 8), (64, 64))
    points = np.random.default_rng(0).uniform(0, 64, (30, 2))
    found = match_keypoints(own, own, points, points)
    np.testing.assert_array_equal(found.query, points)
    np.testing.assert_array_equal(found.matched, points)
    assert len(match_keypoints(own, own, points, np.empty((0, 2)))) == 0
    with pytest.raises(InvalidInput, match="outside"):
        match_keypoints(own, own, points, np.array([[65.0, 2.0]]))


@pytest.mark.parametrize("wrong", [{"sampling": "best"}, {"measure": "l1"}, {"ratio": 0.0}, {"ratio": 1.5}])
def test_unsuitable_settings(wrong):
    with pytest.raises(InvalidInput):
        SparseSettings(**wrong)
