from __future__ import annotations

import numpy as np
import pytest
import torch

from diffsight.errors import InvalidInput
from diffsight.grid import Fit
from diffsight.segmentation.naming import merge_by_name, name_segments, word_maps
from diffsight.types import VOID, Segmentation

FIT = Fit.make("stretch", (8, 12), (16, 16))


def halves():
    """Left, middle and right thirds."""
    labels = np.repeat(np.arange(3, dtype=np.uint16), 4)[None].repeat(8, 0)
    return Segmentation(labels, np.array([0.5, 0.6, 0.7]))


def attention(columns):
    """(h w, tokens) attention of a 4x4 grid whose token t is looked at from column c by columns[t][c]."""
    maps = torch.tensor(columns, dtype=torch.float32)[:, None, :].expand(-1, 4, -1)
    return maps.reshape(len(columns), 16).T


def test_a_segment_gets_the_word_it_looks_at_most():
    maps = word_maps([(attention([[9, 9, 9, 9], [1, 0, 0, 0], [0, 0, 0, 1]]), (4, 4))], [(1,), (2,)], (4, 4))
    found = name_segments(halves(), maps, ["left", "right"], FIT, margin=0.1)
    assert (found.names[0], found.names[2]) == ("left", "right")
    assert found.names[1] == ""  # both words are as far from the middle
    assert found.name_scores[0] > 0.9


def test_pieces_of_a_word_are_averaged_and_loud_words_do_not_win():
    columns = [[0, 0, 0, 0], [4, 0, 0, 0], [0, 4, 0, 0], [0, 0, 30, 30]]
    maps = word_maps([(attention(columns), (4, 4))], [(1, 2), (3,)], (4, 4))
    expected = torch.tensor([2.0, 2, 0, 0]).repeat(4, 1)
    torch.testing.assert_close(maps[0], expected / expected.norm())
    assert float(maps[1].norm()) == pytest.approx(1)


def test_sizes_are_added_on_the_finest_grid():
    coarse = torch.tensor([[0.1, 0.9]]).expand(4, 2)
    maps = word_maps([(attention([[0, 0, 0, 0], [1, 0, 0, 0]]), (4, 4)), (coarse, (2, 2))], [(1,)], (4, 4))
    expected = torch.tensor([1.9, 0.9, 0.9, 0.9]).repeat(4, 1)
    torch.testing.assert_close(maps[0], expected / expected.norm())


def test_segments_of_one_name_are_joined():
    named = Segmentation(
        np.array([[0, 0, 0, 1, 2, 3, VOID]], np.uint16),
        np.array([0.2, 0.4, 0.6, 0.8]),
        ("sky", "", "sky", ""),
        np.array([1, 0, 0.5, 0]),
    )
    found = merge_by_name(named)
    assert found.labels.tolist() == [[0, 0, 0, 1, 0, 2, VOID]]
    assert found.names == ("sky", "", "")
    np.testing.assert_allclose(found.scores, [0.3, 0.4, 0.8])
    np.testing.assert_allclose(found.name_scores, [0.875, 0, 0])
    with pytest.raises(InvalidInput, match="without names"):
        merge_by_name(halves())
