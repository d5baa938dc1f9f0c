"""Homographies scored by where they take the corners."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput
from ...grid import Points, Size, warp_points
from .uncertainty import Interval, interval

PIXELS = (1.0, 3.0, 5.0)
"""Corner errors up to which a homography counts as right, pixels."""


def corner_error(found: npt.NDArray[np.float64] | None, truth: npt.NDArray[np.float64], size: Size) -> float:
    """How far a homography moves the corners from where they belong, as HPatches is scored.

    Args:
        found: (3, 3) estimated, source to target; None if there is none.
        truth: (3, 3).
        size: (height, width) of the source, whose corner pixels' centres are mapped.

    Returns:
        Mean distance of the four, pixels of the target; infinite without a homography or if a corner has no place.
    """
    if found is None:
        return float("inf")
    height, width = size
    corners = np.array([[x, y] for x in (0.5, width - 0.5) for y in (0.5, height - 0.5)])
    off = np.linalg.norm(warp_points(corners, found) - warp_points(corners, truth), axis=1)
    return float(off.mean()) if np.isfinite(off).all() else float("inf")


@dataclass(frozen=True)
class HomographyScore:
    """Estimated homographies against the truth.

    Attributes:
        pixels: the thresholds.
        correct: share of pairs whose corner error is at most each threshold, percent; a missing homography is wrong.
        intervals: 95 % of each of these shares, by the bootstrap over pairs.
        auc: area under the curve of that share up to each threshold, percent of the whole.
        missing: share of pairs without a homography, percent.
        pairs: how many were scored.
    """

    pixels: tuple[float, ...]
    correct: tuple[float, ...]
    intervals: tuple[Interval, ...]
    auc: tuple[float, ...]
    missing: float
    pairs: int


def homography_score(errors: Sequence[float], pixels: Sequence[float] = PIXELS) -> HomographyScore:
    """Summarise corner errors, infinite where there is no homography.

    Raises:
        InvalidInput: without a pair.
    """
    if not len(errors):
        raise InvalidInput("no pair to score")
    own = np.asarray(errors, dtype=np.float64)
    return HomographyScore(
        pixels=tuple(pixels),
        correct=tuple(100 * float((own <= limit).mean()) for limit in pixels),
        # the share right at t, integrated: each error up to the limit counts for the rest of the way
        auc=tuple(100 * float(np.clip(1 - own / limit, 0, None).mean()) for limit in pixels),
        intervals=tuple(_share_interval(own <= limit) for limit in pixels),
        missing=100 * float(np.isinf(own).mean()),
        pairs=len(own),
    )


def _share_interval(right: npt.NDArray[np.bool_]) -> Interval:
    return interval(lambda weights: 100 * (weights @ right) / len(right), len(right))


def matching_accuracy(
    query: Points, matched: Points, truth: npt.NDArray[np.float64], pixels: Sequence[float] = PIXELS
) -> tuple[float, ...]:
    """Share of (N, 2) matches within each distance of where the true homography puts them, percent; 0 without any."""
    off = np.linalg.norm(warp_points(query, truth) - matched, axis=1)
    return tuple(100 * float((off <= limit).mean()) if len(off) else 0.0 for limit in pixels)
