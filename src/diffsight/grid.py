"""Coordinates. The only place that converts between pixels of a photo, pixels of the network's input, and grid cells.

The contract everywhere: points are (x, y), in pixels of the original photo, and the centre of the first pixel is at
(0.5, 0.5). A grid of n cells over a side of S pixels has the centre of cell k at (k + 0.5) * S / n.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from .errors import InvalidInput

Points = npt.NDArray[np.float64]
FitKind = Literal["stretch", "pad", "crop"]
Size = tuple[int, int]
"""(height, width)."""


@dataclass(frozen=True)
class Fit:
    """How a photo became the network's input, and the way back.

    A point p of the photo lies at ``p * scale + offset`` in the network's input, axis by axis.

    Attributes:
        original: (height, width) of the photo.
        network: (height, width) of the network's input.
        scale: (x, y) input pixels per photo pixel.
        offset: (x, y) in input pixels.
    """

    original: Size
    network: Size
    scale: tuple[float, float]
    offset: tuple[float, float]

    @classmethod
    def make(cls, kind: FitKind, original: Size, network: Size) -> Fit:
        """Lay a photo out for a network.

        Args:
            kind: ``stretch`` fills the input, aspect not kept, as the papers do; ``pad`` keeps the aspect and leaves
                equal borders; ``crop`` keeps the aspect and cuts the middle of the photo.
            original: (height, width) of the photo.
            network: (height, width) of the network's input.

        Raises:
            InvalidInput: for an unknown kind or a side below one pixel.
        """
        if kind not in get_args(FitKind):
            raise InvalidInput(f"unknown fit {kind!r}; choose one of {', '.join(get_args(FitKind))}")
        if min(*original, *network) < 1:
            raise InvalidInput(f"cannot fit a photo of {original} into {network}; every side must be at least 1 pixel")
        ratio_y, ratio_x = network[0] / original[0], network[1] / original[1]
        if kind == "stretch":
            return cls(original, network, (ratio_x, ratio_y), (0.0, 0.0))
        if kind == "pad":
            ratio = min(ratio_x, ratio_y)
            height, width = (max(1, round(side * ratio)) for side in original)
            left, top = (network[1] - width) // 2, (network[0] - height) // 2
            return cls(original, network, (width / original[1], height / original[0]), (float(left), float(top)))
        ratio = max(ratio_x, ratio_y)
        height, width = (max(1, min(s, round(n / ratio))) for s, n in zip(original, network, strict=True))
        left, top = (original[1] - width) // 2, (original[0] - height) // 2
        scale_x, scale_y = network[1] / width, network[0] / height
        return cls(original, network, (scale_x, scale_y), (-left * scale_x, -top * scale_y))

    def resized(self, original: Size) -> Fit:
        """The same layout of the same photo at another size, (height, width)."""
        ratio_y, ratio_x = (old / new for old, new in zip(self.original, original, strict=True))
        return Fit(original, self.network, (self.scale[0] * ratio_x, self.scale[1] * ratio_y), self.offset)

    @property
    def content(self) -> tuple[int, int, int, int]:
        """Rows and columns (top, bottom, left, right) of the network's input that show the photo."""
        height, width = self.original
        left, top = max(0, round(self.offset[0])), max(0, round(self.offset[1]))
        right = min(self.network[1], round(width * self.scale[0] + self.offset[0]))
        bottom = min(self.network[0], round(height * self.scale[1] + self.offset[1]))
        return top, bottom, left, right

    @property
    def window(self) -> tuple[int, int, int, int]:
        """Rows and columns (top, bottom, left, right) of the photo that the network sees."""
        left, top = (max(0, round(-o / s)) for o, s in zip(self.offset, self.scale, strict=True))
        right = min(self.original[1], round((self.network[1] - self.offset[0]) / self.scale[0]))
        bottom = min(self.original[0], round((self.network[0] - self.offset[1]) / self.scale[1]))
        return top, bottom, left, right

    def to_grid(self, points: Points, grid: Size) -> Points:
        """Turn (N, 2) photo pixels into (N, 2) cell coordinates (x, y), where cell k has its centre at k."""
        per_cell = np.array([grid[1] / self.network[1], grid[0] / self.network[0]])
        return (np.asarray(points, dtype=np.float64) * self.scale + self.offset) * per_cell - 0.5

    def to_pixels(self, cells: Points, grid: Size) -> Points:
        """Turn (N, 2) cell coordinates (x, y) into (N, 2) photo pixels; the inverse of ``to_grid``."""
        per_cell = np.array([self.network[1] / grid[1], self.network[0] / grid[0]])
        return ((np.asarray(cells, dtype=np.float64) + 0.5) * per_cell - self.offset) / self.scale

    def to_grid_as_published(self, points: Points, grid: Size, *, corners: bool = False) -> Points:
        """Cell coordinates as DIFT's own scripts compute them, to repeat their figures.

        They take the first and the last pixel's centre for the two ends of the axis. ``corners`` puts the first and the
        last cell's centre there (their edits); without it, those cells' outer edges (their homographies), so that
        points near the border lie up to half a cell off. They stretch every photo over the network's input.

        Raises:
            InvalidInput: if the photo was not stretched.
        """
        if Fit.make("stretch", self.original, self.network) != self:
            raise InvalidInput("the published sampling knows stretched photos only; use fit stretch")
        cells = np.array([grid[1], grid[0]])
        ends = np.maximum([self.original[1] - 1, self.original[0] - 1], 1)
        share = (np.asarray(points, dtype=np.float64) - 0.5) / ends
        return share * (cells - 1) if corners else share * cells - 0.5

    def pixel_rows(self, grid: Size) -> npt.NDArray[np.float64]:
        """Cell coordinate y of the centre of every photo row that the network sees."""
        top, bottom, _, _ = self.window
        rows = np.arange(top, bottom) + 0.5
        return self.to_grid(np.stack([np.zeros_like(rows), rows], axis=1), grid)[:, 1]

    def pixel_columns(self, grid: Size) -> npt.NDArray[np.float64]:
        """Cell coordinate x of the centre of every photo column that the network sees."""
        _, _, left, right = self.window
        columns = np.arange(left, right) + 0.5
        return self.to_grid(np.stack([columns, np.zeros_like(columns)], axis=1), grid)[:, 0]

    def seen_cells(self, grid: Size) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Whether each row (h,) and column (w,) of cells has its centre within the photo; padding has not.

        Of a photo so thin that it lies between centres, the nearest ones are taken.
        """
        ends = ((self.original[0], grid[0], 1), (self.original[1], grid[1], 0))
        found = []
        for side, cells, axis in ends:
            centres = np.zeros((cells, 2))
            centres[:, axis] = np.arange(cells)
            pixels = self.to_pixels(centres, grid)[:, axis]
            outside = np.maximum(-pixels, pixels - side)
            found.append(outside <= max(0.0, outside.min()))
        return found[0], found[1]

    def raster(self, rows: int, columns: int, grid: Size) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Cell coordinates of a raster over the whole photo: (rows,) y and (columns,) x; NaN where it is not seen."""
        height, width = self.original
        top, bottom, left, right = self.window
        y, x = (np.arange(rows) + 0.5) * height / rows, (np.arange(columns) + 0.5) * width / columns
        cells_y = self.to_grid(np.stack([np.zeros_like(y), y], axis=1), grid)[:, 1]
        cells_x = self.to_grid(np.stack([x, np.zeros_like(x)], axis=1), grid)[:, 0]
        return np.where((y >= top) & (y <= bottom), cells_y, np.nan), np.where(
            (x >= left) & (x <= right), cells_x, np.nan
        )

    def check_points(self, points: npt.ArrayLike, what: str = "point") -> Points:
        """Return points as (N, 2) float64 after checking that each lies where the network sees the photo.

        Raises:
            InvalidInput: for another shape, NaN, or a point outside.
        """
        try:
            array = np.asarray(points, dtype=np.float64)
        except (ValueError, TypeError):
            raise InvalidInput(f"{what}s are no numbers; give (N, 2) with a row (x, y) each") from None
        if array.ndim != 2 or array.shape[1] != 2:
            raise InvalidInput(f"{what}s have shape {array.shape}; give (N, 2) with a row (x, y) each")
        top, bottom, left, right = self.window
        seen = (
            "" if (bottom - top, right - left) == self.original else ", or outside the part of it that the crop keeps"
        )
        for x, y in array:
            if not (left <= x <= right and top <= y <= bottom):  # NaN fails every comparison
                raise InvalidInput(
                    f"{what} ({x:g}, {y:g}) is outside the photo{seen}; "
                    f"x must be in [{left}, {right}] and y in [{top}, {bottom}]"
                )
        return array


def two_taps(coordinates: npt.NDArray[np.float64], cells: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Base cell and fraction for linear interpolation at cell coordinates, clamped to the border.

    The value at a coordinate is ``(1 - fraction) * map[base] + fraction * map[base + 1]``; with a single cell the base
    is 0 and the fraction 0.
    """
    clamped = np.clip(coordinates, 0, cells - 1)
    base = np.clip(np.floor(clamped), 0, max(0, cells - 2)).astype(np.int64)
    return base, clamped - base


def warp_points(points: Points, homography: npt.NDArray[np.float64]) -> Points:
    """Map (N, 2) pixels by a (3, 3) homography; points on its horizon become infinite."""
    mapped = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ np.asarray(homography).T
    with np.errstate(divide="ignore", invalid="ignore"):
        return mapped[:, :2] / mapped[:, 2:]


def centre_matrix(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A homography or affine map for programs that count the centre of the first pixel as (0, 0), such as OpenCV."""
    return _shifted(matrix, 0.5)


def corner_matrix(matrix: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The inverse of ``centre_matrix``: from (0, 0) as the centre of the first pixel to our (0.5, 0.5)."""
    return _shifted(matrix, -0.5)


def _shifted(matrix: npt.NDArray[np.float64], offset: float) -> npt.NDArray[np.float64]:
    shift = np.array([[1, 0, offset], [0, 1, offset], [0, 0, 1]])
    moved: npt.NDArray[np.float64] = np.linalg.inv(shift) @ matrix @ shift
    return moved / moved[2, 2] if moved[2, 2] else moved
