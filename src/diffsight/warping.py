"""Pictures laid over others: by a plane's matrix, or smoothly by matches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from .grid import Points, Size, two_taps, warp_points
from .matching.mls import moving_least_squares

Layer = npt.NDArray[np.float32]
"""(H, W, 4) RGB times alpha, and alpha, in [0, 1]."""

BAND = 256
LATTICE = 65


class Warp(Protocol):
    """A map of the source photo onto the target photo; points are (N, 2) pixels, pixel centres at +0.5."""

    def forward(self, points: Points) -> Points:
        """Where points of the source land in the target; NaN beyond the horizon."""

    def backward(self, size: Size) -> Iterator[tuple[int, Points]]:
        """For bands of rows of a (height, width) target: the first row, and where its pixels come from, (h, w, 2)."""


@dataclass(frozen=True)
class PlaneWarp:
    """A homography or an affine map.

    Attributes:
        matrix: (3, 3), source to target.
        centre: (x, y) of the source; what lies beyond the horizon as seen from there does not show.
    """

    matrix: npt.NDArray[np.float64]
    centre: tuple[float, float]

    def forward(self, points: Points) -> Points:
        """Where points of the source land in the target; NaN beyond the horizon."""
        moved = warp_points(points, self.matrix)
        depth = np.column_stack([points, np.ones(len(points))]) @ self.matrix[2] * self._side
        return np.where(depth[:, None] > 0, moved, np.nan)

    @property
    def _side(self) -> float:
        return float(np.sign(self.matrix[2] @ (*self.centre, 1.0)))

    def backward(self, size: Size) -> Iterator[tuple[int, Points]]:
        """For bands of rows of a target of (height, width): the first row, and where each pixel comes from."""
        height, width = size
        inverse = np.linalg.inv(self.matrix).astype(np.float64)
        for top in range(0, height, BAND):
            x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(top, min(height, top + BAND)) + 0.5)
            places = np.stack([x.ravel(), y.ravel()], axis=1)
            depth = np.column_stack([places, np.ones(len(places))]) @ inverse[2] * self._side
            came = np.where(depth[:, None] > 0, warp_points(places, inverse), np.nan)
            yield top, came.reshape(*x.shape, 2)


@dataclass(frozen=True)
class SmoothWarp:
    """Moving least squares between matches, for shapes that a plane cannot fit.

    Attributes:
        source: (K, 2) control points.
        target: (K, 2) where they land.
        softness: over what share of the control points' spread their noise is averaged.
    """

    source: Points
    target: Points
    softness: float = 0.2

    def forward(self, points: Points) -> Points:
        """Where points of the source land in the target."""
        return self._carry(points, self.source, self.target)

    def _carry(self, points: Points, source: Points, target: Points) -> Points:
        spread = float(source.std(axis=0).max())
        return moving_least_squares(points, source, target, softness=self.softness * spread)

    def backward(self, size: Size) -> Iterator[tuple[int, Points]]:
        """For bands of rows of a target of (height, width): the first row, and where each pixel comes from.

        The map is computed on a lattice and interpolated between its nodes.
        """
        height, width = size
        across, down = np.linspace(0, width, LATTICE), np.linspace(0, height, LATTICE)
        nodes = np.stack(np.meshgrid(across, down), axis=-1).reshape(-1, 2)
        lattice = self._carry(nodes, self.target, self.source).reshape(LATTICE, LATTICE, 2)
        x, fx = two_taps((np.arange(width) + 0.5) / width * (LATTICE - 1), LATTICE)
        wide = lattice[:, x] * (1 - fx)[:, None] + lattice[:, x + 1] * fx[:, None]
        for top in range(0, height, BAND):
            rows = np.arange(top, min(height, top + BAND)) + 0.5
            y, fy = two_taps(rows / height * (LATTICE - 1), LATTICE)
            yield top, wide[y] * (1 - fy)[:, None, None] + wide[y + 1] * fy[:, None, None]


def premultiply(image: npt.NDArray[np.uint8]) -> Layer:
    """Turn (H, W, 3) or (H, W, 4) with straight alpha into a layer."""
    if image.shape[2] == 3:
        image = np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])
    layer: Layer = np.divide(image, 255, dtype=np.float32)
    layer[..., :3] *= layer[..., 3:]
    return layer


def warp_layer(layer: Layer, warp: Warp, size: Size) -> Layer:
    """Lay a layer over a target of (height, width); transparent where the source does not reach.

    Where the warp shrinks, the layer is shrunk first, so that thin lines do not break up.
    """
    import cv2

    shrink = _shrinkage(layer, warp)
    height, width = (max(1, round(side * shrink)) for side in layer.shape[:2])
    small = np.asarray(cv2.resize(layer, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    scale = np.array([small.shape[1] / layer.shape[1], small.shape[0] / layer.shape[0]])
    result = np.zeros((*size, 4), np.float32)
    for top, came in warp.backward(size):
        places = np.nan_to_num(came * scale - 0.5, nan=-9.0).clip(-9, 1e6).astype(np.float32)
        columns, rows = np.ascontiguousarray(places[..., 0]), np.ascontiguousarray(places[..., 1])
        result[top : top + len(places)] = cv2.remap(small, columns, rows, cv2.INTER_LINEAR, borderValue=(0, 0, 0, 0))
    return result


def _shrinkage(layer: Layer, warp: Warp) -> float:
    """The usual scale of the warp where the layer shows, at most 1."""
    areas = enlargement(jacobians(layer[..., 3] > 0, warp))
    positive = areas[np.isfinite(areas) & (areas > 0)]
    return float(np.clip(np.sqrt(np.median(positive)), 1 / 64, 1)) if len(positive) else 1.0


def compose(layer: Layer, photo: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Lay a layer over an (H, W, 3) photo of its size."""
    mixed = layer[..., :3] * 255 + photo * (1 - layer[..., 3:])
    return np.asarray(mixed.round().clip(0, 255), dtype=np.uint8)


def jacobians(mask: npt.NDArray[np.bool_], warp: Warp, cells: int = 32) -> npt.NDArray[np.float64]:
    """How a warp moves, turns and stretches what a mask covers: its derivative, cell by cell of a lattice.

    Args:
        mask: (H, W) over the source.
        warp: of the source.
        cells: a side of the lattice over the mask's box.

    Returns:
        (n, 2, 2) for the cells whose middle is covered, or for all if none is; NaN beyond the horizon. A determinant
        below 0 means that the warp folds over there.
    """
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.zeros((0, 2, 2))
    x = np.linspace(columns[0], columns[-1] + 1, cells + 1)
    y = np.linspace(rows[0], rows[-1] + 1, cells + 1)
    moved = warp.forward(np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)).reshape(cells + 1, cells + 1, 2)
    along, down = moved[:-1, 1:] - moved[:-1, :-1], moved[1:, :-1] - moved[:-1, :-1]
    derivative = np.stack([along / (x[1] - x[0]), down / (y[1] - y[0])], axis=-1)
    middle_x, middle_y = ((a[1:] + a[:-1]) / 2 for a in (x, y))
    covered = mask[middle_y.astype(int)[:, None], middle_x.astype(int)]
    held: npt.NDArray[np.float64] = derivative[covered if covered.any() else np.ones_like(covered)]
    return held


def enlargement(changes: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The determinants of (n, 2, 2) derivatives: ratios of areas, below 0 where folded over, NaN beyond the horizon."""
    areas: npt.NDArray[np.float64] = changes[:, 0, 0] * changes[:, 1, 1] - changes[:, 0, 1] * changes[:, 1, 0]
    return areas
