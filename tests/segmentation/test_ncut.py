from __future__ import annotations

import numpy as np
import pytest

from diffsight.errors import InvalidInput
from diffsight.segmentation import ncut
from diffsight.segmentation.kmeans import kmeans, refine, spectral
from diffsight.segmentation.labels import indicators
from diffsight.segmentation.ncut import NcutSettings, affinity, best_cut, recursive_cut

from .. import literal


def cliques(*sizes, bridge=0.01):
    owner = np.repeat(np.arange(len(sizes)), sizes)
    return np.where(owner[:, None] == owner, 1.0, bridge), owner


@pytest.mark.parametrize("sizes", [(5, 7), (60, 50)])
def test_two_cliques_are_cut_at_the_bridge(sizes):
    weights, owner = cliques(*sizes)
    side = best_cut(weights, 0.5)
    assert side is not None
    assert len(set(zip(side, owner, strict=True))) == 2
    assert best_cut(weights, literal.ncut_cost(weights, side) * 0.999) is None
    assert best_cut(weights, literal.ncut_cost(weights, side) * 1.001) is not None


def test_the_cut_is_the_cheapest_of_the_candidates(rng):
    weights = rng.random((24, 24)) ** 3
    weights = weights + weights.T
    side = best_cut(weights, 2.0)
    assert side is not None
    cost = literal.ncut_cost(weights, side)
    assert best_cut(weights, cost - 1e-9) is None


def test_recursion_finds_all_parts_and_loose_nodes():
    weights, owner = cliques(8, 5, 6, bridge=0.001)
    labels = recursive_cut(weights, 0.5)
    assert len(set(zip(labels, owner, strict=True))) == 3
    weights[3], weights[:, 3] = 0, 0
    labels = recursive_cut(weights, 0.5)
    assert (labels == labels[3]).sum() == 1
    assert recursive_cut(np.ones((1, 1)), 0.5).tolist() == [0]
    assert set(recursive_cut(cliques(9)[0], 0.5)) == {0}


@pytest.mark.parametrize("bridge", [0.0, 1e-20, 1e-12])
@pytest.mark.parametrize("sizes", [(90, 70), (110, 100, 100)])
def test_clear_clusters_are_cut_and_no_cut_is_empty(bridge, sizes):
    weights, owner = cliques(*sizes, bridge=bridge)
    labels = recursive_cut(weights, 0.5)
    assert len(set(zip(labels, owner, strict=True))) == len(sizes)


def test_features_in_tight_groups_end():
    """The first eigenvector, taken for the second, once made this run forever."""
    rng = np.random.default_rng(9)
    count = rng.integers(2, 4)
    sizes, channels = rng.integers(35, 90, count), int(rng.integers(3, 20))
    noise = rng.choice([1e-3, 1e-2, 3e-2]) * rng.standard_normal((sizes.sum(), channels))
    features = np.repeat(np.abs(np.eye(count, channels)), sizes, axis=0) + noise
    labels = recursive_cut(affinity(features, 10.0), 0.5)
    owner = np.repeat(np.arange(count), sizes)
    assert len(set(zip(labels, owner, strict=True))) == count


def test_affinity_lies_between_0_and_1(rng):
    features = rng.standard_normal((20, 8))
    found = affinity(features, 10)
    assert found.min() == 0
    assert found.max() == pytest.approx(1)
    np.testing.assert_allclose(found, found.T)
    assert (affinity(np.ones((4, 3)), 10) == 1).all()


@pytest.mark.parametrize(
    "wrong", [{"threshold": 0}, {"threshold": 3}, {"threshold": float("nan")}, {"power": 0}, {"power": float("inf")}]
)
def test_unsuitable_settings_are_refused(wrong):
    with pytest.raises(InvalidInput):
        NcutSettings(**wrong)


def test_clustering_finds_plain_groups_and_repeats(rng):
    owner = np.repeat([0, 1, 2], 20)
    vectors = np.eye(3)[owner] + 0.05 * rng.standard_normal((60, 3))
    for cluster in (kmeans, spectral):
        labels = cluster(vectors, 3, seed=1)
        assert len(set(zip(labels, owner, strict=True))) == 3
        np.testing.assert_array_equal(labels, cluster(vectors, 3, seed=1))
        for count in (0, 61):
            with pytest.raises(InvalidInput, match="segments"):
                cluster(vectors, count)
    np.testing.assert_array_equal(indicators(owner).argmax(axis=0), owner)


def test_refinement_moves_proposals_to_the_means_of_what_is_nearest(rng):
    owner = np.repeat([0, 1], 10)
    maps = (np.eye(2)[owner] + 0.01 * rng.random((20, 2))).astype(np.float32)
    found = refine(maps, np.array([[0.8, 0.3], [0.2, 0.9]]))
    np.testing.assert_allclose(found, [maps[:10].mean(0), maps[10:].mean(0)], atol=1e-5)


def test_a_constant_eigenvector_cuts_nothing(monkeypatch):
    monkeypatch.setattr(ncut, "_second_vector", lambda weights, degree: np.full(len(degree), 0.1))
    for seed in range(20):  # the empty side weighs nothing but rounding, now above and now below 0
        weights = np.random.default_rng(seed).random((90, 90)) + 0.1
        side = best_cut(weights + weights.T, 2.0)
        assert side is None
