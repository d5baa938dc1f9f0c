"""Sparse matches made dense: mutual best buddies, and moving least squares between them.

The baselines ``VGG+MLS`` and ``DINO+MLS`` of the papers' tables: best buddies of deep features (Aberman et al., 2018,
arXiv 1805.04140) carry any other point along (Schaefer, McPhail and Warren, 2006, affine deformations).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..grid import Points
from ..types import Matches, Reading
from .homography import straight
from .nearest import describe
from .sparse import mutual_pairs

BLOCK = 2**22
"""Weights held at once."""


def best_buddies(source: Reading, target: Reading, stage: str | None = None) -> Matches:
    """Grid cells of two photos that are each other's nearest neighbour by cosine, as points at their centres.

    Cells whose centre the photo does not reach (padding) take no part.
    """
    here, there = (_cells(reading, stage) for reading in (source, target))
    if not len(here) or not len(there):
        return Matches(np.empty((0, 2)), np.empty((0, 2)), np.empty(0), np.empty(0, bool))
    own, other, score = mutual_pairs(describe(source, here, stage), describe(target, there, stage))
    return Matches(here[own], there[other], score, np.ones(len(own), bool))


def _cells(reading: Reading, stage: str | None) -> Points:
    """Centres of a reading's cells that lie on the photo, row by row, (N, 2) pixels."""
    height, width = reading.grid(stage)
    cells = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2).astype(np.float64)
    pixels = reading.fit.to_pixels(cells, (height, width))
    top, bottom, left, right = reading.fit.window
    return pixels[((pixels >= (left, top)) & (pixels <= (right, bottom))).all(axis=1)]


def moving_least_squares(
    points: Points, source: Points, target: Points, falloff: float = 1.0, softness: float = 0.0
) -> Points:
    """Carry points along with control points: at every point the affine map that fits best near it.

    Schaefer et al., 2006, equation 5: control point i counts ``|source_i - point| ** (-2 * falloff)``.

    Args:
        points: (N, 2) to carry along.
        source: (K, 2) control points; a point on one of them goes exactly where it goes.
        target: (K, 2) where they go.
        falloff: how fast their influence fades.
        softness: added to every distance in quadrature, pixels; 0 is the paper's. Above 0 no control point is met
            exactly, and the noise of neighbouring ones is averaged.

    Returns:
        (N, 2).

    Raises:
        InvalidInput: with fewer than 3 control points, or all on one line.
    """
    if len(source) < 3 or straight(source):
        raise InvalidInput(f"{len(source)} control points, or all on one line; give 3 or more that are not")
    points = np.asarray(points, np.float64).reshape(-1, 2)
    step = max(1, BLOCK // len(source))
    parts = [_carry(points[i : i + step], source, target, falloff, softness) for i in range(0, len(points), step)]
    return np.concatenate(parts) if parts else points


def _carry(points: Points, source: Points, target: Points, falloff: float, softness: float) -> Points:
    squared = np.square(points[:, None] - source).sum(axis=2) + softness**2
    nearest = squared.min(axis=1, keepdims=True)
    on_control = nearest == 0
    # only ratios of weights matter; on a control point those that coincide with it count alone
    weights = np.where(on_control, squared == 0, (np.maximum(nearest, 1e-300) / np.maximum(squared, 1e-300)) ** falloff)
    weights /= weights.sum(axis=1, keepdims=True)
    middle, goal = weights @ source, weights @ target
    x, y = (source[:, axis] - middle[:, axis, None] for axis in (0, 1))
    weighted_x, weighted_y = weights * x, weights * y
    off_diagonal = (weighted_x * y).sum(axis=1)
    moments = np.stack([(weighted_x * x).sum(axis=1), off_diagonal, off_diagonal, (weighted_y * y).sum(axis=1)], axis=1)
    # the weighted places sum to nothing, so that the targets need not be centred
    mixed = np.stack([weighted_x @ target, weighted_y @ target], axis=1)
    affine = np.linalg.pinv(moments.reshape(-1, 2, 2), hermitian=True) @ mixed
    carried: Points = ((points - middle)[:, None] @ affine)[:, 0] + goal
    return np.where(on_control, goal, carried)


def transfer(source: Reading, target: Reading, points: npt.ArrayLike, stage: str | None = None) -> Matches:
    """Find points of one photo in another by best buddies and moving least squares.

    Returns:
        Matches within the target photo whose score is the cosine of the features at both ends.

    Raises:
        InvalidInput: for a point outside the source photo, or fewer than 3 best buddies.
    """
    asked = source.fit.check_points(points)
    buddies = best_buddies(source, target, stage)
    if len(buddies) < 3 or straight(buddies.query):
        raise InvalidInput(
            f"the photos share {len(buddies)} best buddies, too few or all on one line; use another model or method"
        )
    top, bottom, left, right = target.fit.window
    carried = moving_least_squares(asked, buddies.query, buddies.matched)
    matched = np.clip(carried, (left, top), (right, bottom))
    score = (describe(source, asked, stage) * describe(target, matched, stage)).sum(dim=1)
    return Matches(asked, matched, score.double().numpy())
