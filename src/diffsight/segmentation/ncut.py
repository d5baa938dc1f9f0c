"""DiffCut: recursive normalised cuts of the features' affinity (Couairon et al., NeurIPS 2024, arXiv 2406.02842)."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput

Array = npt.NDArray[np.float64]

CANDIDATES = 100
"""Places tried along the second eigenvector."""

DENSE = 64
"""Graphs up to this size are solved densely, and larger ones that the iterative solver gives up on."""


@dataclass(frozen=True)
class NcutSettings:
    """Settings of the cuts.

    Attributes:
        threshold: a cut is made while its cost is below; between 0 and 2.
        power: the affinity, from 0 to 1, is raised to it.
    """

    of: ClassVar[str] = "features"
    threshold: float = 0.5
    power: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 2:
            raise InvalidInput(f"cut threshold {self.threshold} does not suit; it must be above 0 and at most 2")
        if not (self.power > 0 and math.isfinite(self.power)):
            raise InvalidInput(f"power {self.power} does not suit; it must be above 0 and finite")


PRESETS = {"diffcut": NcutSettings(threshold=0.5), "sd-1.4": NcutSettings(threshold=0.2)}
"""DiffCut's own, for SSD-1B, and the one its authors use for Stable Diffusion 1.4."""


def affinity(features: npt.NDArray[np.floating], power: float) -> Array:
    """Cosines of (n, c) features, stretched to [0, 1] over the matrix and raised to a power; (n, n)."""
    unit = np.asarray(features, np.float64)
    unit = unit / np.maximum(np.linalg.norm(unit, axis=1, keepdims=True), 1e-12)
    cosine = unit @ unit.T
    low, high = cosine.min(), cosine.max()
    if high - low < 1e-12:
        return np.ones_like(cosine)
    return ((cosine - low) / (high - low)) ** power


def recursive_cut(weights: Array, threshold: float) -> npt.NDArray[np.int64]:
    """Split the nodes of an (n, n) affinity in two, and the halves again, while a cut costs less than the threshold.

    Returns:
        (n,) labels in the order in which parts were finished.
    """
    labels = np.zeros(len(weights), np.int64)
    waiting = [np.arange(len(weights))]
    finished = 0
    while waiting:
        nodes = waiting.pop()
        side = best_cut(weights[np.ix_(nodes, nodes)], threshold)
        if side is None:
            labels[nodes] = finished
            finished += 1
        else:
            waiting += [nodes[~side], nodes[side]]
    return labels


def best_cut(weights: Array, threshold: float) -> npt.NDArray[np.bool_] | None:
    """The cheapest normalised cut along the second eigenvector, or None if none is below the threshold.

    Shi and Malik, 2000: ``cut(A, B) / assoc(A, V) + cut(A, B) / assoc(B, V)``.

    Returns:
        (n,) whether a node is on the upper side.
    """
    degree = weights.sum(axis=1)
    if len(weights) < 2 or degree.min() <= 0:
        return _cut_loose(degree)
    vector = _second_vector(weights, degree)
    lowest, highest = vector.min(), vector.max()
    sides = vector[:, None] > np.linspace(0.99 * lowest, 0.99 * highest, CANDIDATES)
    upper = sides.astype(np.float64)
    weight_upper = degree @ upper
    weight_lower = degree.sum() - weight_upper
    crossing = weight_upper - np.einsum("nk,nk->k", upper, weights @ upper)
    possible = sides.any(axis=0) & ~sides.all(axis=0)
    cost = np.full(CANDIDATES, np.inf)
    cost[possible] = crossing[possible] * (1 / weight_upper[possible] + 1 / weight_lower[possible])
    best = int(cost.argmin())
    return sides[:, best] if cost[best] < threshold else None


def _cut_loose(degree: Array) -> npt.NDArray[np.bool_] | None:
    """Nodes without any tie are parted from the rest, together."""
    loose = degree <= 0
    return loose if 0 < loose.sum() < len(loose) else None


def _second_vector(weights: Array, degree: Array) -> Array:
    """The second generalised eigenvector of the graph Laplacian; its largest entry is positive."""
    from scipy.linalg import eigh
    from scipy.sparse.linalg import ArpackError, eigsh

    root = 1 / np.sqrt(degree)
    trivial = np.sqrt(degree / degree.sum())
    # the first eigenvector is known; sent to the far end, it cannot be mistaken for the second where both are close
    others = root[:, None] * weights * root - 2 * np.outer(trivial, trivial)
    n = len(weights)
    vector: Array | None = None
    if n > DENSE:  # the smallest of I - N are the largest of N
        with suppress(ArpackError):
            vector = eigsh(others, k=1, which="LA", v0=np.random.default_rng(0).standard_normal(n), tol=1e-8)[1][:, 0]
    if vector is None:
        vector = eigh(others, subset_by_index=[n - 1, n - 1])[1][:, 0]
    vector = root * vector
    return vector if vector[np.abs(vector).argmax()] > 0 else -vector
