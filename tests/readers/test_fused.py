from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import Fit
from diffsight.readers import Fused, ModelReader
from diffsight.readers.base import one_stage
from diffsight.readers.fused import resample


def cosines(a, b):
    """Of every cell of one map with every cell of another, in double precision."""
    return F.normalize(a.flatten(1).double(), dim=0).T @ F.normalize(b.flatten(1).double(), dim=0)


@pytest.fixture(scope="module")
def apart(parts, pictures):
    """What each part sees in each photo, at the cells of the first part."""
    alone = [part.read(pictures) for part in parts]
    return [[resample(own, first.fit, first.grid()) for own, first in zip(r, alone[0], strict=True)] for r in alone]


class Kept:
    """A reader of photos that were read before."""

    def __init__(self, reader, readings):
        self.name, self.fingerprint, self.channels, self.fit = (
            reader.name,
            reader.fingerprint,
            reader.channels,
            reader.fit,
        )
        self.readings = readings

    def read(self, pictures):
        return self.readings


@pytest.fixture(scope="module")
def kept(parts, pictures):
    return [Kept(part, part.read(pictures)) for part in parts]


@given(st.lists(st.floats(0, 10), min_size=3, max_size=3).filter(lambda weights: sum(weights) > 0.01))
@settings(max_examples=30)
def test_the_cosine_is_the_weighted_mean_of_the_parts(kept, pictures, weights):
    first = next(i for i, weight in enumerate(weights) if weight / sum(weights))  # tiny shares are none
    grids = [(own.fit, own.grid()) for own in kept[first].readings]
    wanted = torch.zeros(())
    for weight, part in zip(weights, kept, strict=True):
        a, b = (resample(own, *grid) for own, grid in zip(part.readings, grids, strict=True))
        wanted = wanted + weight / sum(weights) * cosines(a, b)
    a, b = (reading.feature() for reading in Fused(kept, weights).read(pictures))
    torch.testing.assert_close(cosines(a, b), wanted, atol=1e-6, rtol=0)
    torch.testing.assert_close(a.norm(dim=0), torch.ones(a.shape[1:]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("alone", [0, 1, 2])
def test_all_weight_on_one_part_reproduces_it(alone, parts, pictures):
    fused = Fused(parts, [float(i == alone) for i in range(3)])
    for own, single in zip(fused.read(pictures), parts[alone].read(pictures), strict=True):
        assert own.fit == single.fit
        torch.testing.assert_close(own.feature(), F.normalize(single.feature(), dim=0))
        wanted = cosines(single.feature(), single.feature())
        torch.testing.assert_close(cosines(own.feature(), own.feature()), wanted, atol=1e-6, rtol=0)
    assert fused.channels == parts[alone].channels
    assert fused.name == parts[alone].name


def test_a_part_of_no_weight_is_not_read(kept, pictures, monkeypatch):
    monkeypatch.setattr(kept[1], "read", lambda pictures: pytest.fail("it was read"))
    assert len(Fused(kept, [1, 0, 2]).read(pictures)) == 2


def test_order_and_company_of_photos_do_not_matter(parts, pictures):
    fused = Fused(parts, [1, 2, 3])
    together, backwards = fused.read(pictures), fused.read(pictures[::-1])[::-1]
    alone = [fused.read([picture])[0] for picture in pictures]
    for a, b, c in zip(together, backwards, alone, strict=True):
        torch.testing.assert_close(a.feature(), b.feature(), atol=1e-5, rtol=0)
        torch.testing.assert_close(a.feature(), c.feature(), atol=1e-5, rtol=0)
    assert fused.read([]) == []


def test_a_reading_has_the_first_parts_layout_and_one_stage(parts, pictures):
    fused = Fused(parts)
    (reading,) = fused.read(pictures[:1])
    assert reading.fit == fused.fit(pictures[0]) == parts[0].fit(pictures[0])
    assert reading.capture.taps.features == ("fused",)
    assert reading.feature().dtype == torch.float32
    assert fused.channels == (64, 24, 64)
    assert reading.feature().shape == (sum(fused.channels), 8, 8)
    assert fused.name == "+".join(part.name for part in parts)


def test_parts_can_be_told_apart(parts, pictures, apart):
    weights = (0.2, 0.3, 0.5)
    fused = Fused(parts, weights)
    pieces = fused.read(pictures)[0].feature().split(fused.channels)
    for piece, weight, own in zip(pieces, weights, apart, strict=True):
        torch.testing.assert_close(piece, F.normalize(own[0], dim=0) * weight**0.5)


def test_fused_readers_can_be_parts_again(parts, pictures):
    nested = Fused([Fused(parts[:2], [1, 3]), parts[2]], [4, 2])
    flat = Fused(parts, [1, 3, 2])
    assert nested.channels == (64 + 24, 64)
    for a, b in zip(nested.read(pictures), flat.read(pictures), strict=True):
        torch.testing.assert_close(a.feature(), b.feature(), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["pad", "stretch"])
@pytest.mark.parametrize("size", [(60, 60), (40, 90), (91, 33), (57, 58)])
def test_resampling_keeps_places(kind, size):
    """A map that is linear in the photo's x and y stays so on any other grid, away from the border."""

    def ramp(fit, grid):
        rows, columns = np.indices(grid, dtype=np.float64)
        places = fit.to_pixels(np.stack([columns.ravel(), rows.ravel()], axis=1), grid)
        return torch.from_numpy(places.T.reshape(2, *grid)).float()

    here, there = Fit.make("pad", size, (960, 960)), Fit.make(kind, size, (840, 700))
    reading = one_stage(there, "place", ramp(there, (30, 25)))
    found, wanted = resample(reading, here, (12, 12)), ramp(here, (12, 12))
    margin = 840 / 30  # a cell of the other map, in photo pixels at most
    inside = torch.stack([(wanted[0] - size[1] / 2).abs(), (wanted[1] - size[0] / 2).abs()])
    within = (inside[0] < size[1] / 2 - margin * size[1] / 700) & (inside[1] < size[0] / 2 - margin * size[0] / 840)
    assert within.any()
    torch.testing.assert_close(found[:, within], wanted[:, within], atol=1e-3, rtol=0)


def test_equal_grids_of_other_layouts_are_resampled():
    """A photo that is twice as wide as high fills half the rows of a padded input, and all of a stretched one."""
    stretched, padded = (Fit.make(kind, (40, 80), (80, 80)) for kind in ("stretch", "pad"))
    rows = torch.arange(8.0)[None, :, None].expand(1, 8, 8)
    found = resample(one_stage(stretched, "row", rows), padded, (8, 8))
    torch.testing.assert_close(found[0, :, 3], torch.tensor([0.0, 0.0, 0.5, 2.5, 4.5, 6.5, 7.0, 7.0]))


def test_resampling_to_its_own_cells_changes_nothing(parts, pictures):
    (reading,) = parts[0].read(pictures[:1])
    assert resample(reading, reading.fit, reading.grid()) is reading.feature()


def test_the_fingerprint_follows_parts_and_weights(parts):
    def change(part, **settings):
        return ModelReader(part.backbone, replace(part.settings, **settings))

    one = Fused(parts, [1, 2, 3]).fingerprint
    assert Fused(parts, [2, 4, 6]).fingerprint == one
    others = [
        Fused(parts, [1, 2, 4]),
        Fused(parts[:2], [1, 2]),
        Fused([parts[1], parts[0], parts[2]], [2, 1, 3]),
        Fused([change(parts[0], timestep=51), *parts[1:]], [1, 2, 3]),
    ]
    assert len({one, *(other.fingerprint for other in others)}) == 5


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], "1 weights do not suit 3 parts"),
        ([1, -1, 1], r"\[1, -1, 1\] do not suit; use numbers of 0 or more"),
        ([0, 0, 0], "one of them above 0"),
        ([1, float("nan"), 1], "do not suit"),
        ([1, float("inf"), 1], "do not suit"),
    ],
)
def test_weights_that_do_not_suit(parts, weights, message):
    with pytest.raises(InvalidInput, match=message):
        Fused(parts, weights)


def test_nothing_to_join():
    with pytest.raises(InvalidInput, match="give one reader or more"):
        Fused([])
