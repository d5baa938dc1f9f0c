"""Unsupervised segmentation: segments are assigned to classes by shared pixels, photo by photo or once for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ...errors import InvalidInput
from ...types import VOID
from .clips import boundary_match
from .uncertainty import Interval, interval

Labels = npt.NDArray[np.integer]
Counts = npt.NDArray[np.float64]
"""(3, classes): pixels of each class that are right, pixels wrongly given to it, and its pixels that were missed."""


@dataclass(frozen=True)
class Overlap:
    """How classes and segments share the counted pixels of a photo, or of many whose segments mean the same.

    Attributes:
        shared: (classes, segments) pixels; a column for every label up to the largest, and for as many as classes.
        missed: (classes,) pixels without a segment.
    """

    shared: npt.NDArray[np.int64]
    missed: npt.NDArray[np.int64]

    def __add__(self, other: Overlap) -> Overlap:
        wide, narrow = sorted((self.shared, other.shared), key=lambda own: -own.shape[1])
        rest = np.zeros((len(wide), wide.shape[1] - narrow.shape[1]), np.int64)
        return Overlap(wide + np.concatenate([narrow, rest], axis=1), self.missed + other.missed)


def overlap(found: Labels, truth: Labels, classes: int) -> Overlap:
    """Count the pixels that each class shares with each segment.

    Args:
        found: (H, W) segments, 0 or more; 65535, or 255 in labels of one byte, where there is none.
        truth: (H, W) classes; those below 0 or from ``classes`` on are not counted.
        classes: how many there are.

    Raises:
        InvalidInput: if the shapes differ or labels lie outside 0 to 65535.
    """
    if found.shape != truth.shape:
        raise InvalidInput(f"labels of {found.shape} do not fit a truth of {truth.shape}")
    none = 255 if found.dtype == np.uint8 else VOID
    seen = found != none
    labels = found if seen.all() else np.where(seen, found, 0)
    if labels.size and not 0 <= labels.min() <= labels.max() < VOID:
        raise InvalidInput(f"labels go from {labels.min()} to {labels.max()}; use 0 to {VOID - 1}, and {VOID} for none")
    columns = max(classes, int(labels.max(initial=0)) + 1)
    # one row more for pixels that are not counted, one column more for those without a segment
    height, width = classes + 1, columns + 1
    small = np.min_scalar_type(height * width)  # a fraction of the memory, and of the time
    rows = np.where((truth >= 0) & (truth < classes), truth, classes).astype(small)
    cells = rows * small.type(width) + np.where(seen, labels, columns).astype(small)
    table = np.bincount(cells.ravel(), minlength=height * width).reshape(height, width)
    return Overlap(table[:classes, :columns], table[:classes, columns])


def assign(pixels: Overlap, *, present_only: bool = False) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Give every class one segment at most so that the shared pixels are most (Hungarian).

    SciPy's solver on the matrix of counts, as DiffSeg is scored: segments beyond the classes that are there go to
    classes that are not, and to which one hangs on the order of ties.

    Args:
        pixels: of a photo or of many.
        present_only: classes without a pixel take no segment.

    Returns:
        Classes and the segments they take.
    """
    from scipy.optimize import linear_sum_assignment

    rows = np.arange(len(pixels.shared))
    if present_only:
        rows = np.flatnonzero(pixels.shared.sum(axis=1) + pixels.missed)
    chosen, columns = linear_sum_assignment(pixels.shared[rows], maximize=True)
    return rows[chosen], columns


def count(pixels: Overlap, classes: npt.NDArray[np.int64], segments: npt.NDArray[np.int64]) -> Counts:
    """Right, wrong and missed pixels of every class, once some classes have taken a segment each.

    A segment that the photo does not have is empty; one that no class took is missed by the classes it lies on.
    """
    there = segments < pixels.shared.shape[1]
    classes, segments = classes[there], segments[there]
    counts = np.zeros((3, len(pixels.shared)))
    counts[0, classes] = pixels.shared[classes, segments]
    counts[1, classes] = pixels.shared[:, segments].sum(axis=0) - counts[0, classes]
    counts[2] = pixels.shared.sum(axis=1) + pixels.missed - counts[0]
    return counts


def accuracy(counts: Counts) -> float:
    """Share of pixels whose segment was given their class, percent; whatever the order of ties."""
    return 100 * float(counts[0].sum() / (counts[0] + counts[2]).sum())


def class_iou(counts: Counts) -> npt.NDArray[np.float64]:
    """(..., classes) intersection over union, percent; NaN for a class that neither occurs nor was given a pixel.

    Args:
        counts: (..., 3, classes), of one set of photos or of many.
    """
    union = counts.sum(axis=-2)
    return 100 * np.divide(counts[..., 0, :], union, out=np.full(union.shape, np.nan), where=union > 0)


def mean_iou(counts: Counts) -> float:
    """Mean intersection over union of the classes that occur or were given a pixel, percent."""
    return float(np.nanmean(class_iou(counts)))


def adjusted_rand(pixels: Overlap) -> float:
    """How well segments and classes agree in which pixels belong together, percent; 0 by chance, below if worse.

    Hubert and Arabie (1985); equal to scikit-learn's ``adjusted_rand_score`` of the labels, from the table alone. The
    pixels without a segment count as one.
    """
    table = np.column_stack([pixels.shared, pixels.missed]).astype(np.float64)
    total, same = table.sum(), (table**2).sum()
    apart_found, apart_true = (float((table.sum(axis=axis) ** 2).sum() - same) for axis in (1, 0))
    both, neither = same - total, total**2 - apart_found - apart_true - same
    if not apart_found and not apart_true:
        return 100.0
    chance = (both + apart_found) * (apart_found + neither) + (both + apart_true) * (apart_true + neither)
    return 200 * float((both * neither - apart_found * apart_true) / chance)


def boundary_f(found: Labels, truth: Labels, classes: int) -> float:
    """How well the borders between segments and between classes agree, percent; what they are is not asked.

    F of DAVIS, with its tolerance, between all borders of both; pixels that are not counted have none.
    """
    valid = (truth >= 0) & (truth < classes)
    return 100 * boundary_match(label_borders(found, valid), label_borders(truth, valid))


def label_borders(labels: Labels, valid: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Pixels whose label differs from that to the right, below, or both, where both are valid."""
    borders = np.zeros(labels.shape, bool)
    for down, right in ((0, 1), (1, 0), (1, 1)):
        here = slice(None, -down or None), slice(None, -right or None)
        there = slice(down, None), slice(right, None)
        borders[here] |= (labels[here] != labels[there]) & valid[there]
    return borders & valid


@dataclass(frozen=True)
class MaskScore:
    """Unsupervised segmentation, each photo's segments assigned to classes by most shared pixels (Hungarian).

    Attributes:
        acc: share of pixels whose segment was given their class, percent.
        miou: intersection over union, totals over all photos, mean over classes, percent; as DiffSeg is scored. Surplus
            segments go to classes absent from the photo, and which one depends on the order of ties.
        miou_interval: 95 % of it, by the bootstrap over photos.
        miou_present: likewise, with only the classes in a photo taking its segments; it has no ties of that kind.
        images: how many photos were scored.
    """

    acc: float
    miou: float
    miou_interval: Interval
    miou_present: float
    images: int


def mask_score(results: Iterable[tuple[Labels, Labels]], classes: int) -> MaskScore:
    """Score photos (DiffSeg: Tian et al., 2024, section 4).

    Args:
        results: for each photo the segments found and the true classes, (H, W) each, as ``overlap`` takes them.
        classes: how many there are.

    Raises:
        InvalidInput: if no photo has a counted pixel, or shapes differ.
    """
    by_photo: list[Counts] = []
    present = np.zeros((3, classes))
    for found, truth in results:
        pixels = overlap(found, truth, classes)
        if pixels.shared.any() or pixels.missed.any():
            by_photo.append(count(pixels, *assign(pixels)))
            present += count(pixels, *assign(pixels, present_only=True))
    if not by_photo:
        raise InvalidInput("no photo has a pixel of a known class to score")
    absent_too = np.stack(by_photo)
    spread = interval(
        lambda weights: np.nanmean(class_iou(np.tensordot(weights, absent_too, axes=1)), axis=-1), len(absent_too)
    )
    total = absent_too.sum(axis=0)
    return MaskScore(accuracy(total), mean_iou(total), spread, mean_iou(present), len(by_photo))
