from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F

from diffsight.training.lessons import gathering, grounding, naming


def test_gathering_is_the_divergence_from_an_even_spread_over_the_thing_that_a_cell_shows():
    generator = torch.Generator().manual_seed(0)
    attention = torch.randn(3, 16, 16, generator=generator).softmax(dim=2)
    things = torch.zeros(3, 16, 16, dtype=torch.long)
    things[0, :8], things[1, :, :4], things[2] = 1, 1, -1
    visible = torch.tensor([0.5, 1.0, 1.0])
    total, weights = 0.0, 0.0
    for row in range(2):
        shown = [int(things[row, 4 * (cell // 4), 4 * (cell % 4)]) for cell in range(16)]
        for query in range(16):
            same = [key for key in range(16) if shown[key] == shown[query]]
            spread = sum(-math.log(float(attention[row, query, key]) * len(same)) / len(same) for key in same)
            total, weights = total + float(visible[row]) * spread, weights + float(visible[row])
    assert float(gathering(attention, things, visible)) == pytest.approx(total / weights, abs=1e-5)
    assert float(gathering(attention[2:], things[2:], visible[2:])) == 0
    within = (things[0, ::4, ::4].flatten()[:, None] == things[0, ::4, ::4].flatten()).float() / 8
    assert float(gathering(within[None], things[:1], visible[:1])) == pytest.approx(0, abs=1e-6)


def test_grounding_is_least_where_tokens_attend_to_their_parts():
    places = torch.zeros(1, 4, 16, 16)
    places[0, 1, :8], places[0, 2, 8:] = 1, 1
    visible = torch.ones(1)
    right, wrong = torch.full((1, 4, 256), 1e-3), torch.full((1, 4, 256), 1e-3)
    right[0, 1, :128] = right[0, 2, 128:] = wrong[0, 2, :128] = wrong[0, 1, 128:] = 1
    good, even, bad = (
        float(grounding((a / a.sum(dim=1, keepdim=True)).transpose(1, 2), places, visible))
        for a in (right, torch.ones(1, 4, 256), wrong)
    )
    assert good < 0.02
    assert good < even < bad
    assert float(grounding(torch.full((1, 256, 4), 0.25), torch.zeros(1, 4, 16, 16), visible)) == 0


def test_naming_weighs_every_cell_of_what_is_named():
    generator = torch.Generator().manual_seed(0)
    features, words = torch.randn(2, 6, 4, 4, generator=generator), torch.randn(2, 5, 6, generator=generator)
    places = torch.zeros(2, 5, 16, 16)
    places[0, 1, :8], places[0, 3, 8:12] = 1, 1
    visible = torch.tensor([0.5, 1.0])
    losses = []
    for token, rows in ((1, range(2)), (3, range(2, 3))):
        for cell in product(rows, range(4)):
            cosines = [F.cosine_similarity(words[0, t], features[0, :, *cell], dim=0) / 0.1 for t in (1, 3)]
            losses.append(-torch.stack(cosines).log_softmax(dim=0)[(1, 3).index(token)] / (4 * len(rows)))
    found = naming(features, words, places, visible)
    torch.testing.assert_close(found, torch.stack(losses).sum() / 2)
    assert float(naming(features, words, torch.zeros_like(places), visible)) == 0
