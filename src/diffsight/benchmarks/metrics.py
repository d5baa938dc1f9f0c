"""Scores as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput

ALPHAS = (0.05, 0.1, 0.2)


@dataclass(frozen=True)
class PairErrors:
    """The outcome of one pair of photos.

    Attributes:
        category: of the pair.
        distances: (N,) from the predicted to the true point, pixels.
        threshold: the length that alpha is a fraction of, pixels; for ``bbox`` the longer side of the target's box.
    """

    category: str
    distances: npt.NDArray[np.float64]
    threshold: float


@dataclass(frozen=True)
class Pck:
    """Percentage of correct keypoints: those within ``alpha * threshold`` of the truth, the bound included.

    Attributes:
        alpha: the fraction.
        per_point: over all points pooled, percent.
        per_image: mean over pairs of each pair's share, percent.
        points: how many points were scored.
        pairs: how many pairs had any.
    """

    alpha: float
    per_point: float
    per_image: float
    points: int
    pairs: int


def pck(results: Sequence[PairErrors], alpha: float) -> Pck:
    """Score pairs; those without a point are left out.

    Raises:
        InvalidInput: if no pair has a point, or alpha is not positive.
    """
    if not alpha > 0:
        raise InvalidInput(f"alpha is {alpha}; it must be above 0")
    hits = [r.distances <= alpha * r.threshold for r in results if len(r.distances)]
    if not hits:
        raise InvalidInput("no pair has a keypoint to score")
    return Pck(
        alpha,
        per_point=100 * float(np.concatenate(hits).mean()),
        per_image=100 * float(np.mean([hit.mean() for hit in hits])),
        points=sum(map(len, hits)),
        pairs=len(hits),
    )
