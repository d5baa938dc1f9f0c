"""Moving the borders of segments to edges of the photo: a guided filter over the labels (He et al., TPAMI 2013).

Attention knows borders to about a grid cell only. In windows of that size each segment's mask is explained as a linear
function of colour, and every pixel goes to the segment that is highest there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..types import VOID, Picture, Segmentation
from .labels import drop_empty

Array = npt.NDArray[Any]

WINDOW = 2.5
"""Half the side of the filter's windows for a border to move by 1; smaller ones do not see enough of either side."""

LONGER_SIDE = 640
"""The filter's coefficients are found at this size and applied at the photo's (He & Sun, arXiv 1505.00996)."""

ROWS = 512
"""Photo rows filtered at a time."""


def sharpen_borders(
    segmentation: Segmentation, picture: Picture, radius: float, smoothness: float = 1e-2
) -> Segmentation:
    """Move borders to edges of the photo; segments keep their order, and those left without a pixel are dropped.

    Args:
        segmentation: of the photo.
        picture: the photo.
        radius: how far borders may move, pixels of the photo.
        smoothness: the filter's epsilon, for colours in [0, 1]; colour differences below its root are no edge.

    Raises:
        InvalidInput: for a radius or smoothness that is not positive.
    """
    if not (radius > 0 and smoothness > 0):
        raise InvalidInput(f"radius {radius} and smoothness {smoothness} do not suit; both must be above 0")
    labels, image = segmentation.labels, picture.array()
    height, width = labels.shape
    shrink = min(1.0, LONGER_SIDE / max(height, width))
    small = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    guide = _Guide(cv2.resize(image, small, interpolation=cv2.INTER_AREA), round(WINDOW * radius * shrink), smoothness)

    best = np.full(labels.shape, -np.inf, np.float32)
    found = labels.copy()
    reach = round(2 * WINDOW * radius) + 2
    for segment, (x0, y0, x1, y1) in enumerate(segmentation.boxes):
        mask = (labels == segment).astype(np.uint8) * np.uint8(255)
        model = guide.explain(cv2.resize(mask, small, interpolation=cv2.INTER_AREA).astype(np.float32) / 255)
        columns = slice(max(0, x0 - reach), min(width, x1 + reach))
        last = min(height, y1 + reach)
        for top in range(max(0, y0 - reach), last, ROWS):
            window = slice(top, min(last, top + ROWS)), columns
            linear = _window(model, labels.shape, *window)
            value = np.einsum("hwc,hwc->hw", linear[..., :3], image[window].astype(np.float32) / 255) + linear[..., 3]
            wins = value > best[window]
            best[window][wins] = value[wins]
            found[window][wins] = segment
    found[labels == VOID] = VOID
    return drop_empty(replace(segmentation, labels=found))


class _Guide:
    """A small picture, and the inverse of its colour covariance in every window."""

    def __init__(self, image: Array, radius: int, smoothness: float) -> None:
        self.image = image.astype(np.float32) / 255
        self.side = 2 * max(1, radius) + 1
        self.mean = self._average(self.image)
        pairs = self.image[..., :, None] * self.image[..., None, :]
        joint = self._average(pairs.reshape(*image.shape[:2], 9)).reshape(pairs.shape)
        spread = joint - self.mean[..., :, None] * self.mean[..., None, :]
        self.inverse = np.linalg.inv(spread + smoothness * np.eye(3, dtype=np.float32))

    def explain(self, mask: Array) -> Array:
        """The (h, w) mask as a linear function of colour around every pixel: (h, w, 4) factors and offset."""
        average = self._average(mask[..., None])
        joint = self._average(self.image * mask[..., None]) - self.mean * average
        slope = np.einsum("hwij,hwj->hwi", self.inverse, joint)
        offset = average - (slope * self.mean).sum(axis=2, keepdims=True)
        return self._average(np.concatenate([slope, offset], axis=2))

    def _average(self, values: Array) -> Array:
        """Mean over windows of (h, w, C)."""
        size = (self.side, self.side)
        return np.stack([cv2.blur(channel, size) for channel in np.moveaxis(values, 2, 0)], axis=2)


def _window(values: Array, full: tuple[int, ...], rows: slice, columns: slice) -> Array:
    """Part of what (h, w, C) values would be at full size, bilinear."""
    y = (np.arange(rows.start, rows.stop) + 0.5) * values.shape[0] / full[0] - 0.5
    x = (np.arange(columns.start, columns.stop) + 0.5) * values.shape[1] / full[1] - 0.5
    grid_x, grid_y = np.meshgrid(x.astype(np.float32), y.astype(np.float32))
    return cv2.remap(values, grid_x, grid_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
