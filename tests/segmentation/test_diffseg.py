from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.segmentation import aggregate
from diffsight.segmentation.aggregate import Aggregate, Level
from diffsight.segmentation.diffseg import (
    PRESETS,
    DiffSegSettings,
    Merging,
    anchor_cells,
    divergence,
    merge,
)

from .. import literal


def draw_maps(grid, seed, sharpness, zeros=0.0):
    """Smooth-ish random distributions, some with exact zeros."""
    generator = torch.Generator().manual_seed(seed)
    n = grid[0] * grid[1]
    logits = sharpness * (torch.randn(n, 4, generator=generator) @ torch.randn(4, n, generator=generator))
    maps = logits.softmax(dim=1) * (torch.rand(n, n, generator=generator) >= zeros)
    maps[:, 0] += 1e-6
    return maps / maps.sum(dim=1, keepdim=True)


def test_anchors_are_those_of_the_reference():
    assert list(anchor_cells((64, 64), 4)[:4]) == [0, 21, 42, 63]
    assert list(anchor_cells((64, 64), 16)[:16]) == [64 + c for c in range(1, 62, 4)]
    assert list(anchor_cells((64, 64), 8)[:8]) == list(range(0, 64, 9))
    assert list(anchor_cells((64, 64), 32)[:32]) == list(range(0, 63, 2))
    assert len(anchor_cells((64, 64), 64)) == 4096
    assert list(anchor_cells((5, 7), 1)) == [2 * 7 + 3]
    for bad in (0, -1, 6):
        with pytest.raises(InvalidInput, match="anchors"):
            anchor_cells((5, 7), bad)


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(st.integers(2, 6), st.integers(2, 7)),
    st.integers(0, 999),
    st.sampled_from([0.05, 0.3, 1.0, 4.0]),
    st.sampled_from([0.0, 0.3]),
    st.sampled_from([1e-6, 0.05, 0.4, 1.1, 5.0, 1e6]),
    st.booleans(),
)
def test_fast_merging_equals_the_literal_loop(grid, seed, sharpness, zeros, threshold, disjoint):
    maps = draw_maps(grid, seed, sharpness, zeros)
    merging = Merging(Aggregate([Level(maps, grid)], [1.0]), min(grid))
    found = merging.proposals(
        DiffSegSettings(thresholds=(threshold,) * 3, anchors=min(grid), rule="disjoint" if disjoint else "repo")
    )
    expected = literal.diffseg(maps, anchor_cells(grid, min(grid)).tolist(), [threshold] * 3, disjoint)
    assert found.shape == expected.shape
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
    assert not found.isnan().any()
    np.testing.assert_array_equal(found.argmax(dim=0), expected.argmax(dim=0))


@pytest.mark.parametrize("sharpness", [0.1, 1.0, 3.0])
def test_distances_equal_the_elementwise_formula(sharpness):
    maps = draw_maps((6, 6), 3, sharpness)
    merging = Merging(Aggregate([Level(maps, (6, 6))], [1.0]), 6)
    expected = torch.tensor([[literal.divergence(p, q) for q in maps] for p in maps], dtype=torch.float64)
    torch.testing.assert_close(merging.distances.double(), expected, atol=1e-5, rtol=1e-5)
    own = divergence(maps.double())
    torch.testing.assert_close(own, expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(own, own.T)
    assert own.diagonal().abs().max() < 1e-12


def test_a_distance_at_the_threshold_is_decided_in_double_precision():
    maps = draw_maps((4, 4), 1, 0.5)
    merging = Merging(Aggregate([Level(maps, (4, 4))], [1.0]), 4)
    exact = literal.divergence(maps[3], maps[9])
    assert not merging.near(exact)[3, 9]  # the test is strict
    assert merging.near(np.nextafter(exact, 9))[3, 9]
    merging.distances[3, 9] = exact + 5e-6  # rounding of the products cannot change the decision
    assert merging.near(exact + 1e-6)[3, 9]


def test_tiles_of_any_size_give_the_same_proposals(monkeypatch):
    maps = draw_maps((6, 7), 5, 0.5)
    settings = DiffSegSettings(thresholds=(0.4,) * 2, anchors=5)
    whole = Merging(Aggregate([Level(maps, (6, 7))], [1.0]), 5)
    monkeypatch.setattr(aggregate, "TILE_BYTES", 4 * 42 * 5)
    monkeypatch.setattr(aggregate, "KEEP_BYTES", 0)
    streamed = Merging(Aggregate([Level(maps, (6, 7))], [1.0]), 5)
    torch.testing.assert_close(streamed.distances, whole.distances, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(streamed.proposals(settings), whole.proposals(settings))


def test_blocks_come_back_exactly():
    block = torch.arange(36).reshape(6, 6) // 18 * 2 + torch.arange(6) // 3
    same = (block.flatten()[:, None] == block.flatten()).float()
    maps = Aggregate([Level(same / same.sum(dim=1, keepdim=True), (6, 6))], [1.0])
    proposals = Merging(maps, 3).proposals(DiffSegSettings(anchors=3))
    assert len(proposals) == 4
    np.testing.assert_array_equal(proposals.argmax(dim=0), block.flatten())


def test_extreme_thresholds():
    maps = Aggregate([Level(draw_maps((5, 5), 2, 0.5), (5, 5))], [1.0])
    assert len(Merging(maps, 4).proposals(DiffSegSettings(thresholds=(1e9, 1e9), anchors=4))) == 1
    assert len(Merging(maps, 4).proposals(DiffSegSettings(thresholds=(1e-12,) * 3, anchors=4))) == 16
    assert len(Merging(maps, 1).proposals(DiffSegSettings(thresholds=(0.3,), anchors=1))) == 1


def test_members_taken_before_still_count_unless_rule_is_disjoint():
    """A chain: 0 is like 1, 1 is like 2; 2 is not like 0."""
    shares = torch.tensor([[0.9, 0.1], [0.5, 0.5], [0.1, 0.9]], dtype=torch.float64)
    near = divergence(shares)
    threshold = float(near[0, 1]) + 1e-9
    assert near[0, 2] > threshold
    torch.testing.assert_close(merge(shares, threshold), torch.stack([shares[:2].mean(0), shares[1:].mean(0)]))
    torch.testing.assert_close(merge(shares, threshold, "disjoint"), torch.stack([shares[:2].mean(0), shares[2]]))


def test_half_precision_loses_maps_with_small_shares_and_agrees_elsewhere():
    maps = draw_maps((8, 8), 3, 0.3)
    lost = torch.tensor([5, 18, 40])
    maps[lost, 7] = 1e-9  # zero in half precision
    merging = Merging(Aggregate([Level(maps, (8, 8))], [1.0]), 8)
    rounded = maps.half()
    log = rounded.log()
    with np.errstate(all="ignore"):
        p, q, log_p, log_q = (x.double().numpy() for x in (rounded[:, None], rounded, log[:, None], log))
        wanted = (0.5 * ((p - q) * (log_p - log_q)).sum(axis=2)) < 0.2
    assert not wanted[lost].any()
    assert wanted.sum() > 64
    found = merging.near_half(0.2).numpy()
    np.testing.assert_array_equal(found, wanted[wanted.any(axis=1)])
    assert len(merging.proposals(DiffSegSettings(thresholds=(0.2,), anchors=8, half=True))) == 61
    assert len(merging.proposals(DiffSegSettings(thresholds=(0.2,), anchors=8))) == 64


def test_half_precision_that_loses_all_is_said():
    maps = torch.eye(16)
    merging = Merging(Aggregate([Level(maps, (4, 4))], [1.0]), 4)
    with pytest.raises(InvalidInput, match="half precision"):
        merging.proposals(DiffSegSettings(anchors=4, half=True))


def test_presets_are_the_papers():
    assert PRESETS["coco-stuff"].thresholds == (1.1, 1.1, 1.1)
    assert PRESETS["cityscapes"].thresholds == (0.9, 0.9, 0.9)
    assert PRESETS["demo"].refine


@pytest.mark.parametrize(
    "wrong",
    [
        {"thresholds": ()},
        {"thresholds": (0.0,)},
        {"thresholds": (-1.0,)},
        {"thresholds": (float("nan"),)},
        {"anchors": 0},
        {"rule": "other"},
    ],
)
def test_unsuitable_settings_are_refused(wrong):
    with pytest.raises(InvalidInput):
        DiffSegSettings(**wrong)
