"""Baselines and refinement by clustering: k-means on attention maps or features, spectral clustering on features."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput

Array = npt.NDArray[np.floating]


def kmeans(vectors: Array, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Cluster (n, c) vectors into ``count`` groups; K-Means-C and K-Means-S of the DiffSeg paper, on its maps.

    Args:
        vectors: one a cell.
        count: how many groups: a constant (K-Means-C), or as many as the truth has (K-Means-S).
        seed: of the k-means++ start.

    Returns:
        (n,) group of each vector.

    Raises:
        InvalidInput: for fewer than 1 group or more groups than vectors.
    """
    from sklearn.cluster import KMeans

    _check(count, len(vectors))
    return KMeans(count, n_init=1, random_state=_state(seed)).fit_predict(vectors)


def spectral(features: Array, count: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Cluster (n, c) features into ``count`` groups by the spectrum of their non-negative cosines.

    Raises:
        InvalidInput: for fewer than 1 group or more groups than vectors.
    """
    from sklearn.cluster import SpectralClustering

    _check(count, len(features))
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    affinity = np.clip(unit @ unit.T, 0, None)
    solver = SpectralClustering(count, affinity="precomputed", assign_labels="cluster_qr", random_state=_state(seed))
    return solver.fit_predict(affinity)


def refine(maps: Array, proposals: Array) -> Array:
    """Replace each of (K, n) proposals by the mean of its k-means cluster of (n, n) maps, started from the proposals.

    A cluster that runs empty is started again by scikit-learn at the map farthest from its centre, as in the reference.
    """
    from sklearn.cluster import KMeans

    start = np.ascontiguousarray(proposals, maps.dtype)
    return KMeans(len(start), init=start, n_init=1, max_iter=300, tol=1e-4).fit(maps).cluster_centers_


def _state(seed: int) -> int:
    """Any seed as one that scikit-learn takes."""
    return seed % 2**32


def _check(count: int, vectors: int) -> None:
    if not 1 <= count <= vectors:
        raise InvalidInput(f"{count} segments do not suit {vectors} cells; use 1 to {vectors}")
