"""Percentage of correct keypoints, with every switch that changes the number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ...datasets.base import Annotation
from ...errors import InvalidInput
from ...grid import Points, Size
from .uncertainty import Interval, interval

ALPHAS = (0.05, 0.1, 0.2)

Base = Literal["bbox", "source_bbox", "image", "keypoints", "keypoints_padded", "cub_x_scale", "fixed"]
Averaging = Literal["per_image", "per_point", "per_category", "per_category_images"]
Comparison = Literal["<=", "<"]

PADDED = 40
"""Keypoints that the released code of CATs, DHPF and prompt matching fills every list up to, with (-1, -1)."""


@dataclass(frozen=True)
class Frame:
    """The pixels that distances and thresholds are measured in.

    Attributes:
        kind: ``original``, the photo's own; ``squash``, as if it were stretched to a square; ``pad``, as if it were
            resized, its aspect kept, until it fits a square.
        side: of the square.
    """

    kind: Literal["original", "squash", "pad"] = "original"
    side: int = 0

    def scale(self, size: Size) -> Points:
        """(2,) pixels of the frame for each pixel of a photo of (height, width), along x and y."""
        height, width = size
        if self.kind == "original":
            return np.array([1.0, 1.0])
        if self.kind == "squash":
            return np.array([self.side / width, self.side / height])
        return np.array([self.side / max(size)] * 2)

    def __str__(self) -> str:
        if self.kind == "original":
            return "original pixels"
        return f"{'squashed' if self.kind == 'squash' else 'padded'} to {self.side} x {self.side}"


ORIGINAL = Frame()


def threshold(
    base: Base, source: Annotation, target: Annotation, frame: Frame = ORIGINAL, length: float | None = None
) -> float:
    """The length that PCK's alpha is a fraction of; the same predictions score 52 or 67 by this choice alone.

    Args:
        base: ``bbox``, longer side of the target's box (SPair-71k's standard); ``source_bbox``, of the source's, as the
            code of prompt matching does; ``image``, longer side of the target; ``keypoints``, longer side of the tight
            box around the target's keypoints; ``keypoints_padded``, likewise with the padding that some code forgets to
            leave out, -1 in the frame where the first pixel's centre is 0; ``cub_x_scale``, longer side of the target's
            box in its own pixels, brought to the frame by the scale of x alone; ``fixed``, the length given.
        source, target: of the pair.
        frame: where to measure.
        length: pixels of the frame, for ``fixed``.

    Returns:
        Pixels of the frame.

    Raises:
        InvalidInput: for an unknown base, no box or keypoints to measure, or no length for ``fixed``.
    """
    if base not in get_args(Base):
        raise InvalidInput(f"unknown threshold {base!r}; use {', '.join(get_args(Base))}")
    if base == "fixed":
        if length is None:
            raise InvalidInput("a fixed threshold needs a length in pixels")
        return float(length)
    side = source if base == "source_bbox" else target
    size = side.measure()
    scale = frame.scale(size)
    if base == "image":
        return float((scale * np.array(size[::-1])).max())
    if base in ("keypoints", "keypoints_padded"):
        if len(target.keypoints) == 0:
            raise InvalidInput("the target has no keypoints to measure a threshold by")
        corners = [((target.keypoints - 0.5) * scale).min(axis=0), ((target.keypoints - 0.5) * scale).max(axis=0)]
        if base == "keypoints_padded" and len(target.keypoints) < PADDED:
            corners = [np.minimum(corners[0], -1), np.maximum(corners[1], -1)]
        return float((corners[1] - corners[0]).max())
    if side.box is None:
        raise InvalidInput(f"the photos have no boxes to measure a threshold {base!r} by; use image or keypoints")
    x0, y0, x1, y1 = side.box
    if base == "cub_x_scale":
        return max(x1 - x0, y1 - y0) * float(scale[0])
    return max((x1 - x0) * float(scale[0]), (y1 - y0) * float(scale[1]))


@dataclass(frozen=True)
class PairErrors:
    """The outcome of one pair of photos.

    Attributes:
        category: of the pair.
        distances: (N,) from the predicted to the true point, pixels; infinite where there is no prediction.
        threshold: the length that alpha is a fraction of, pixels; for ``bbox`` the longer side of the target's box.
    """

    category: str
    distances: npt.NDArray[np.float64]
    threshold: float


@dataclass(frozen=True)
class Pck:
    """Percentage of correct keypoints: those within ``alpha * threshold`` of the truth.

    Attributes:
        alpha: the fraction.
        per_point: over all points pooled, percent.
        per_image: mean over pairs of each pair's share, percent.
        per_category: mean over categories of the share of each one's points, percent.
        per_category_images: mean over categories of the mean over each one's pairs, percent.
        points: how many points were scored.
        pairs: how many pairs had any.
    """

    alpha: float
    per_point: float
    per_image: float
    per_category: float
    per_category_images: float
    points: int
    pairs: int


@dataclass(frozen=True)
class Pool:
    """The points of many pairs side by side; every pair has one or more.

    Attributes:
        distances: (P,) from the predicted to the true points, pixels.
        pairs: (P,) the pair of each point, 0 to N - 1.
        categories: (N,) the category of each pair, 0 to C - 1.
        thresholds: (N,) the length that alpha is a fraction of, pixels.
    """

    distances: npt.NDArray[np.float64]
    pairs: npt.NDArray[np.int64]
    categories: npt.NDArray[np.int64]
    thresholds: npt.NDArray[np.float64]

    @classmethod
    def of(cls, results: Sequence[PairErrors]) -> Pool:
        """Pool pairs; those without a point are left out, and categories are numbered by name.

        Raises:
            InvalidInput: if no pair has a point.
        """
        scored = [result for result in results if len(result.distances)]
        if not scored:
            raise InvalidInput("no pair has a keypoint to score")
        return cls(
            distances=np.concatenate([result.distances for result in scored]),
            pairs=np.repeat(np.arange(len(scored)), [len(result.distances) for result in scored]),
            categories=np.unique([result.category for result in scored], return_inverse=True)[1],
            thresholds=np.array([result.threshold for result in scored], np.float64),
        )

    def hits(self, alpha: float, comparison: Comparison = "<=") -> npt.NDArray[np.bool_]:
        """(P,) whether each point is right.

        Raises:
            InvalidInput: if alpha is not positive, or for an unknown comparison.
        """
        if not alpha > 0:
            raise InvalidInput(f"alpha is {alpha}; it must be above 0")
        if comparison not in get_args(Comparison):
            raise InvalidInput(f"unknown comparison {comparison!r}; use {' or '.join(get_args(Comparison))}")
        reach = (alpha * self.thresholds)[self.pairs]
        right: npt.NDArray[np.bool_] = self.distances <= reach if comparison == "<=" else self.distances < reach
        return right

    def by_image(self, hits: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
        """(N,) share of each pair's points."""
        return _means(hits, self.pairs)

    def by_category(self, hits: npt.NDArray[np.bool_], *, of_images: bool = False) -> npt.NDArray[np.float64]:
        """(C,) share of each category's points, or the mean of its pairs' shares."""
        if of_images:
            return _means(self.by_image(hits), self.categories)
        return _means(hits, self.categories[self.pairs])

    def pck(self, alpha: float, comparison: Comparison = "<=") -> Pck:
        """All averages.

        Raises:
            InvalidInput: if alpha is not positive, or for an unknown comparison.
        """
        hits = self.hits(alpha, comparison)
        return Pck(
            alpha,
            per_point=100 * float(hits.mean()),
            per_image=100 * float(self.by_image(hits).mean()),
            per_category=100 * float(self.by_category(hits).mean()),
            per_category_images=100 * float(self.by_category(hits, of_images=True).mean()),
            points=len(hits),
            pairs=len(self.thresholds),
        )

    def interval(self, alpha: float, comparison: Comparison = "<=") -> Interval:
        """Where ``per_point`` would lie for other pairs of the kind, percent: 95 %, by the bootstrap over pairs."""
        points = np.bincount(self.pairs)
        right = np.bincount(self.pairs, self.hits(alpha, comparison))
        return interval(lambda weights: 100 * (weights @ right) / (weights @ points), len(points))


def _means(values: npt.NDArray[np.generic], groups: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The mean of the values of each group."""
    return np.bincount(groups, values) / np.bincount(groups)


def pck(results: Sequence[PairErrors], alpha: float, comparison: Comparison = "<=") -> Pck:
    """Score pairs; those without a point are left out.

    Raises:
        InvalidInput: if no pair has a point, alpha is not positive, or for an unknown comparison.
    """
    return Pool.of(results).pck(alpha, comparison)
