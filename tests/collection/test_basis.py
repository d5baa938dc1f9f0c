from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.collection.basis import Basis
from diffsight.grid import Fit

SQUARE = Fit.make("stretch", (40, 40), (40, 40))


def maps(seed: int, count: int = 3, channels: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [F.normalize(torch.randn(channels, 4, 5, generator=generator), dim=0) for _ in range(count)]


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), dims=st.integers(1, 6))
def test_axes_are_those_of_scikit_learn(seed, dims):
    from sklearn.decomposition import PCA

    own = maps(seed)
    basis = Basis.fit(own, dims)
    vectors = torch.cat([m.flatten(1).T for m in own])
    other = PCA(dims, svd_solver="full").fit(vectors.numpy())
    np.testing.assert_allclose(np.abs(np.sum(basis.axes.numpy() * other.components_, axis=1)), 1, atol=1e-4)
    assert abs(basis.kept - other.explained_variance_ratio_.sum()) < 1e-5
    assert bool((basis.axes.gather(1, basis.axes.abs().argmax(1, keepdim=True)) > 0).all())


def test_all_axes_keep_all_angles():
    own = maps(0)
    basis = Basis.fit(own, 6)
    vectors = own[0].flatten(1) - basis.mean[:, None]
    vectors = vectors / vectors.norm(dim=0)
    found = basis.project(own[0], SQUARE).flatten(1)
    torch.testing.assert_close(found.T @ found, vectors.T @ vectors, atol=1e-5, rtol=0)


def test_cells_beyond_the_photo_are_zero():
    wide = Fit.make("pad", (20, 40), (40, 40))
    found = Basis.fit(maps(0), 4).project(maps(1)[0][:, :, :4], wide).norm(dim=0)
    torch.testing.assert_close(found, torch.tensor([0.0, 1, 1, 0])[:, None].expand(4, 4))


def test_a_basis_is_read_as_it_was_written(tmp_path):
    basis = Basis.fit(maps(0), 4)
    basis.save(tmp_path / "basis.safetensors")
    again = Basis.load(tmp_path / "basis.safetensors")
    assert torch.equal(again.mean, basis.mean)
    assert torch.equal(again.axes, basis.axes)
