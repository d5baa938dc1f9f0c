"""Videos scored by their masks (DAVIS: Perazzi et al., 2016; Pont-Tuset et al., 2017) and by their joints (JHMDB)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput
from ...video.labels import UNSEEN

BOUND = 0.008
"""How far boundaries may lie apart, as a share of the image's diagonal."""

BODY = 0.6
"""The length that alpha is a fraction of for joints, as a share of the diagonal of the box around them."""

Masks = Sequence[npt.NDArray[np.integer]]
Region = npt.NDArray[np.bool_]
Joints = npt.NDArray[np.float64]


def region_similarity(found: Region, truth: Region) -> float:
    """J of one object in one frame: intersection over union; 1 if both are empty (Perazzi et al., 2016)."""
    union = (found | truth).sum()
    return float((found & truth).sum() / union) if union else 1.0


def boundary_accuracy(found: Region, truth: Region) -> float:
    """F of one object in one frame: of both boundaries, how much lies near the other; 1 if both are empty, 0 if one is.

    Near is within ``BOUND`` of the image's diagonal, rounded up to whole pixels (Perazzi et al., 2016).
    """
    return boundary_match(boundary(found), boundary(truth))


def boundary_match(own: Region, true: Region) -> float:
    """Harmonic mean of how much of each boundary, (H, W), lies near the other; 1 if both are empty, 0 if one is."""
    radius = int(np.ceil(BOUND * np.hypot(*true.shape)))
    span = np.arange(-radius, radius + 1)
    disc = (span[:, None] ** 2 + span**2 <= radius**2).astype(np.uint8)
    if not own.any() or not true.any():
        return float(own.any() == true.any())
    near_own, near_true = (cv2.dilate(edge.astype(np.uint8), disc).astype(bool) for edge in (own, true))
    precision, recall = float(near_true[own].mean()), float(near_own[true].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def boundary(region: Region) -> Region:
    """Pixels that differ from their neighbour to the right, below, or both; beyond the border all stays the same."""
    wide = np.pad(region, ((0, 1), (0, 1)), mode="edge")
    own = wide[:-1, :-1]
    edges: Region = (own != wide[:-1, 1:]) | (own != wide[1:, :-1]) | (own != wide[1:, 1:])
    return edges


@dataclass(frozen=True)
class ObjectScore:
    """J and F of one object of one clip, means over its frames, 0 to 1."""

    j: float
    f: float


def score_objects(found: Masks, truth: Masks) -> list[ObjectScore]:
    """Score the objects of a clip's first frame; the first and the last frame do not count, as in DAVIS's protocol.

    Raises:
        InvalidInput: for a clip of less than three frames, or another number or size of masks.
    """
    if len(truth) < 3 or [m.shape for m in found] != [m.shape for m in truth]:
        raise InvalidInput(
            f"{len(found)} masks cannot be scored against {len(truth)}; give as many of equal sizes, 3 or more"
        )
    scores = []
    for label in objects(truth[0]):
        pairs = [(own == label, true == label) for own, true in zip(found[1:-1], truth[1:-1], strict=True)]
        j, f = (float(np.mean([rule(*pair) for pair in pairs])) for rule in (region_similarity, boundary_accuracy))
        scores.append(ObjectScore(j, f))
    return scores


def objects(first: npt.NDArray[np.integer]) -> npt.NDArray[np.integer]:
    """The labels of the objects in a clip's first mask; 0 is background and 255 unknown."""
    return np.unique(first[(first != 0) & (first != UNSEEN)])


def joint_errors(found: Joints, truth: Joints, *, strict: bool = False) -> npt.NDArray[np.float64]:
    """How far a person's joints are off, each frame in units of ``BODY`` times the diagonal of the box around them.

    A joint whose prediction has x < 0, or none (NaN), was not found. The code of videowalk, which papers follow, leaves
    such joints out of the count and of the box.

    Args:
        found: (T, J, 2) pixels.
        truth: (T, J, 2) pixels.
        strict: joints that were not found are wrong, and the box is around all of them.

    Returns:
        (T - 1, J), the first frame not scored: infinite for what is wrong at any distance, NaN for what does not count.
    """
    present = found[1:, :, 0] >= 0  # false for NaN
    boxed = np.ones_like(present) if strict else present
    inside = np.where(boxed[..., None], truth[1:], np.nan)
    with np.errstate(all="ignore"):
        sides = np.fmax.reduce(inside, axis=1) - np.fmin.reduce(inside, axis=1)
        off = np.linalg.norm(found[1:] - truth[1:], axis=2) / (BODY * np.linalg.norm(sides, axis=1))[:, None]
    off[np.isnan(off)] = np.inf  # 0 / 0: a box without extent
    off[~present] = np.inf if strict else np.nan
    return off


def joint_pck(errors: Sequence[npt.NDArray[np.float64]], alpha: float) -> float:
    """Share of each joint's counted frames within alpha, over all clips, mean over the joints, percent.

    Args:
        errors: of each clip, as ``joint_errors`` gives them.
        alpha: the bound, included.

    Returns:
        Percent; NaN if nothing counts.
    """
    pooled = np.concatenate(errors)
    counted = (~np.isnan(pooled)).sum(axis=0)
    if not counted.any():
        return float("nan")
    hits = (pooled <= alpha).sum(axis=0)
    return 100 * float((hits[counted > 0] / counted[counted > 0]).mean())
