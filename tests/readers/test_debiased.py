from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.readers import Debiased, Fused
from diffsight.readers.debiased import BLANKS, blanks, position_basis, remove


@pytest.fixture(scope="module")
def debiased(parts):
    return Debiased(parts[0], rank=5)


def test_what_is_read_is_orthogonal_to_the_basis(debiased, parts, pictures):
    basis = debiased.basis()
    torch.testing.assert_close(basis.T @ basis, torch.eye(5), atol=1e-6, rtol=0)
    for own, plain in zip(debiased.read(pictures), parts[0].read(pictures), strict=True):
        inside = (basis.T @ own.feature().flatten(1)).abs().max()
        assert inside < 1e-5 * plain.feature().norm(dim=0).max()
        assert (basis.T @ plain.feature().flatten(1)).abs().max() > 100 * inside
        assert (own.fit, own.capture.taps) == (plain.fit, plain.capture.taps)


@given(st.integers(0, 2**32), st.integers(0, 6))
def test_removing_twice_is_removing_once(seed, rank):
    generator = torch.Generator().manual_seed(seed)
    basis = position_basis(torch.randn(7, 3, 4, generator=generator), rank)
    features = torch.randn(7, 5, 5, generator=generator)
    once = remove(features, basis)
    torch.testing.assert_close(remove(once, basis), once, atol=1e-5, rtol=0)
    if rank == 0:
        assert torch.equal(once, features)


def test_rank_zero_changes_nothing(parts, pictures):
    for own, plain in zip(Debiased(parts[0], rank=0).read(pictures), parts[0].read(pictures), strict=True):
        assert torch.equal(own.feature(), plain.feature())


def test_a_trace_of_position_is_found_and_what_is_shown_stays():
    """Maps whose first two channels say where a cell lies: one basis of rank 2 clears them, the rest is kept."""
    rows, columns = np.indices((6, 8), dtype=np.float32)
    place = torch.from_numpy(np.stack([rows - 2.5, columns - 3.5]))
    shown = torch.randn(3, 6, 8, generator=torch.Generator().manual_seed(0))
    basis = position_basis(torch.cat([place, torch.ones(3, 6, 8)]), 2)
    cleared = remove(torch.cat([place, shown]), basis)
    torch.testing.assert_close(cleared, torch.cat([torch.zeros(2, 6, 8), shown]), atol=1e-5, rtol=0)


def test_blanks_are_read_once_and_are_always_the_same(parts, pictures, monkeypatch):
    read, counts = parts[0].read, []
    monkeypatch.setattr(parts[0], "read", lambda photos: counts.append(len(photos)) or read(photos))
    reader = Debiased(parts[0], rank=3)
    assert counts == []
    first = reader.read(pictures)
    reader.read(pictures)
    assert sorted(counts) == [2, 2, BLANKS]
    again = Debiased(parts[0], rank=3).read(pictures)
    assert all(torch.equal(a.feature(), b.feature()) for a, b in zip(first, again, strict=True))


def test_half_the_blanks_are_of_one_colour_and_none_are_alike():
    flat = [float(picture.image.flatten(1).std(dim=1).max()) < 1e-6 for picture in blanks((12, 20))]
    assert sum(flat) == BLANKS / 2
    assert len({picture.image.mean().item() for picture in blanks((12, 20))}) == BLANKS
    assert all(picture.size == (12, 20) for picture in blanks((12, 20)))


def test_it_wraps_fused_readers_and_is_a_part_of_them(parts, pictures):
    outside, inside = Debiased(Fused(parts), rank=4), Fused([Debiased(parts[0], rank=4), *parts[1:]])
    assert outside.channels == inside.channels == Fused(parts).channels
    assert outside.fit(pictures[0]) == inside.fit(pictures[0]) == parts[0].fit(pictures[0])
    for reader in (outside, inside):
        assert reader.read(pictures[:1])[0].feature().shape == (152, 8, 8)


def test_the_fingerprint_follows_reader_and_rank(parts):
    readers = [parts[0], Debiased(parts[0], 1), Debiased(parts[0], 2), Debiased(parts[1], 1)]
    assert len({reader.fingerprint for reader in readers}) == 4


def test_ranks_that_do_not_suit(parts, pictures):
    for rank in (-1, 64):
        with pytest.raises(InvalidInput, match=f"rank {rank} does not suit maps of 64 channels; use 0 to 63"):
            Debiased(parts[0], rank)
    with pytest.raises(InvalidInput, match="does not suit maps of 6 cells"):
        position_basis(torch.zeros(9, 2, 3), 6)
