"""Scores as pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..grid import Points, Size, warp_points

ALPHAS = (0.05, 0.1, 0.2)

Base = Literal["bbox", "source_bbox", "image", "keypoints", "keypoints_padded", "cub_x_scale"]

PADDED = 40
"""Keypoints that the released code of CATs, DHPF and prompt matching fills every list up to, with (-1, -1)."""

FRAME = 512
"""Side of the square that prompt matching squeezes photos into, pixels."""


@dataclass(frozen=True)
class Annotation:
    """What is known of one photo of a pair, in its pixels.

    Attributes:
        size: (height, width).
        box: of the object, (x0, y0, x1, y1).
        keypoints: (N, 2) those known in both photos.
    """

    size: Size
    box: tuple[float, float, float, float]
    keypoints: Points


def threshold(base: Base, source: Annotation, target: Annotation) -> float:
    """The length that PCK's alpha is a fraction of; the same predictions score 52 or 67 by this choice alone.

    Args:
        base: ``bbox``, longer side of the target's box (SPair-71k's standard); ``source_bbox``, of the source's, as the
            code of prompt matching does; ``image``, longer side of the target; ``keypoints``, longer side of the tight
            box around the target's keypoints; ``keypoints_padded``, likewise with the padding that some code forgets to
            leave out; ``cub_x_scale``, the target's box in a frame of 512 pixels, scaled by its width only.
        source, target: of the pair.

    Raises:
        InvalidInput: for an unknown base, or no keypoints to measure.
    """
    if base not in get_args(Base):
        raise InvalidInput(f"unknown threshold {base!r}; use {', '.join(get_args(Base))}")
    if base.startswith("keypoints") and len(target.keypoints) == 0:
        raise InvalidInput("the target has no keypoints to measure a threshold by")
    if base == "image":
        return float(max(target.size))
    if base.startswith("keypoints"):
        rows = max(0, PADDED - len(target.keypoints)) if base == "keypoints_padded" else 0
        return float(np.ptp(np.concatenate([target.keypoints, np.full((rows, 2), -1.0)]), axis=0).max())
    x0, y0, x1, y1 = source.box if base == "source_bbox" else target.box
    side = max(x1 - x0, y1 - y0)
    return side * FRAME / target.size[1] if base == "cub_x_scale" else float(side)


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


@dataclass(frozen=True)
class MaskScore:
    """Unsupervised segmentation, each photo's segments assigned to classes by most shared pixels (Hungarian).

    Attributes:
        acc: share of pixels whose segment was given their class, percent.
        miou: intersection over union, totals over all photos, mean over classes, percent; as DiffSeg is scored. Surplus
            segments go to classes absent from the photo, and which one depends on the order of ties.
        miou_present: likewise, with only the classes in a photo taking its segments; it has no ties of that kind.
        images: how many photos were scored.
    """

    acc: float
    miou: float
    miou_present: float
    images: int


def mask_score(results: Sequence[tuple[npt.NDArray[np.integer], npt.NDArray[np.integer]]], classes: int) -> MaskScore:
    """Score photos (DiffSeg: Tian et al., 2024, section 4).

    Args:
        results: for each photo the segments found and the true classes, (H, W) each; true values below 0 or from
            ``classes`` on are not counted; segments at 65535 (not seen) take no class.
        classes: how many there are.

    Raises:
        InvalidInput: if no photo has a counted pixel, or shapes differ.
    """
    absent_too, present = np.zeros((3, classes)), np.zeros((3, classes))
    images = 0
    for found, truth in results:
        if found.shape != truth.shape:
            raise InvalidInput(f"labels of {found.shape} do not fit a truth of {truth.shape}")
        valid = (truth >= 0) & (truth < classes)
        if not valid.any():
            continue
        images += 1
        _, segment = np.unique(found[valid], return_inverse=True)
        shared = np.zeros((classes, max(classes, segment.max() + 1)))
        np.add.at(shared, (truth[valid], segment), 1)
        unseen = np.unique(found[valid]) == np.iinfo(np.uint16).max
        missed = np.zeros(classes)
        if unseen.any():
            column = int(np.flatnonzero(unseen)[0])
            missed, shared[:, column] = shared[:, column].copy(), 0
        absent_too += _assign(shared, missed, np.arange(classes))
        present += _assign(shared, missed, np.flatnonzero(shared.sum(axis=1) + missed))
    if not images:
        raise InvalidInput("no photo has a pixel of a known class to score")
    hits, _, misses = absent_too
    return MaskScore(
        acc=100 * float(hits.sum() / (hits + misses).sum()),
        miou=_mean_iou(absent_too),
        miou_present=_mean_iou(present),
        images=images,
    )


def _mean_iou(counts: npt.NDArray[np.float64]) -> float:
    """Mean over the classes that occur, percent, from (3, classes) hits, false and missed pixels."""
    union = counts.sum(axis=0)
    return 100 * float((counts[0][union > 0] / union[union > 0]).mean())


def _assign(
    shared: npt.NDArray[np.float64], missed: npt.NDArray[np.float64], rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """(3, classes) hits, false and missed pixels, if only ``rows`` may take segments."""
    from scipy.optimize import linear_sum_assignment

    counts = np.zeros((3, len(shared)))
    own, columns = linear_sum_assignment(shared[rows], maximize=True)
    taken = rows[own]
    counts[0, taken] = shared[taken, columns]
    counts[1, taken] = shared[:, columns].sum(axis=0) - shared[taken, columns]
    counts[2] = shared.sum(axis=1) + missed - counts[0]
    return counts


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
        auc: area under the curve of that share up to each threshold, percent of the whole.
        missing: share of pairs without a homography, percent.
        pairs: how many were scored.
    """

    pixels: tuple[float, ...]
    correct: tuple[float, ...]
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
        missing=100 * float(np.isinf(own).mean()),
        pairs=len(own),
    )


def matching_accuracy(
    query: Points, matched: Points, truth: npt.NDArray[np.float64], pixels: Sequence[float] = PIXELS
) -> tuple[float, ...]:
    """Share of (N, 2) matches within each distance of where the true homography puts them, percent; 0 without any."""
    off = np.linalg.norm(warp_points(query, truth) - matched, axis=1)
    return tuple(100 * float((off <= limit).mean()) if len(off) else 0.0 for limit in pixels)
