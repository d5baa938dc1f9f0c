from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.segmentation import aggregate
from diffsight.segmentation.aggregate import Aggregate, Level, level_weights

from .. import literal


def draw_levels(grids, seed=0, sharpness=3.0):
    generator = torch.Generator().manual_seed(seed)
    return [
        Level((sharpness * torch.randn(h * w, h * w, generator=generator)).softmax(dim=1), (h, w)) for h, w in grids
    ]


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 3), st.integers(1, 3), st.integers(0, 99), st.permutations([1, 2, 4]))
def test_it_equals_the_published_order(h, w, seed, order):
    levels = draw_levels([(h * f, w * f) for f in order], seed)
    shares = level_weights([lv.grid for lv in levels], [1, 1, 1])
    whole = Aggregate(levels, shares).whole()
    expected = literal.aggregate([(lv.attention, lv.grid) for lv in levels], shares)
    torch.testing.assert_close(whole.double(), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(whole.sum(dim=1), torch.ones(len(whole)), atol=1e-5, rtol=0)


def test_tiles_and_single_rows_are_rows_of_the_whole(monkeypatch):
    levels = draw_levels([(4, 6), (8, 12)])
    whole = Aggregate(levels, [0.3, 0.7]).whole()
    monkeypatch.setattr(aggregate, "TILE_BYTES", 4 * 96 * 7)
    monkeypatch.setattr(aggregate, "KEEP_BYTES", 0)
    streamed = Aggregate(levels, [0.3, 0.7])
    cells = torch.tensor([0, 50, 95, 3])
    torch.testing.assert_close(streamed.rows(cells), whole[cells])
    bounds = [(start, stop) for start, stop, _ in streamed.tiles()]
    assert bounds[0] == (0, 7)
    assert bounds[-1] == (91, 96)
    torch.testing.assert_close(streamed.whole(), whole)


def test_weights_follow_the_two_rules():
    levels = [(64, 64), (32, 32), (16, 16), (8, 8)], [5, 5, 5, 1]
    assert level_weights(*levels, "repo") == pytest.approx([64 / 120, 32 / 120, 16 / 120, 8 / 120])
    assert level_weights(*levels, "paper") == pytest.approx([320 / 568, 160 / 568, 80 / 568, 8 / 568])
    assert level_weights(*levels, [2, 1, 1, 0]) == pytest.approx([0.5, 0.25, 0.25, 0])


@pytest.mark.parametrize("weights", [[1], [1, -1], [0, 0], [1, float("nan")], "mean"])
def test_other_weights_are_refused(weights):
    with pytest.raises(InvalidInput, match="weight"):
        level_weights([(4, 4), (8, 8)], [1, 1], weights)


def test_grids_that_do_not_nest_are_refused():
    with pytest.raises(InvalidInput, match="divide"):
        Aggregate(draw_levels([(3, 3), (8, 8)]), [0.5, 0.5])
    with pytest.raises(InvalidInput, match="0 levels"):
        Aggregate([], [])
