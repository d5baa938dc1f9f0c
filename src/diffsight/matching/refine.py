"""Matches read off the cells of two photos: window soft-argmax and the flip test, without training.

Sources: Zhang et al., 2023 (sd-dino, arXiv 2305.15347) and Zhang et al., 2023 (GeoAware-SC, arXiv 2311.17034).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Points, Size
from ..types import Picture, Reading
from .nearest import TargetMap, mutual_argmax, sample, unit

Sampling = Literal["bilinear", "floor"]
Peak = Literal["pixel", "cell", "window"]
Masking = Literal["inf", "zero"]


COARSE = 12
"""Blocks a side at most by which views are compared."""


@dataclass(frozen=True)
class Refinement:
    """How a match is read off the cosines of a point with a photo's cells.

    Attributes:
        sampling: a point's vector is interpolated between cells, or (``floor``) that of the cell it lies in.
        peak: ``pixel``, the best pixel of the photo, the map interpolated between cells (DIFT); ``cell``, the centre of
            the best cell; ``window``, the soft-argmax of the cells around the best one.
        window: cells that the window reaches to each side of the best one; 5 is an 11 x 11 window.
        temperature: of the softmax in the window, in units of cosine.
        masking: ``inf`` leaves cells outside of the window out; ``zero`` sets their cosine to 0 instead, so that weak
            matches are drawn to the middle of the photo, as in the published code.
        flip: match from the mirrored source where that is more like the target.
        shape: how strongly points that are carried over together keep their arrangement, in units of the temperature;
            0 finds each on its own.
        shape_width: how far points may stray from it, as a fraction of its extent.
    """

    sampling: Sampling = "bilinear"
    peak: Peak = "pixel"
    window: int = 5
    temperature: float = 0.02
    masking: Masking = "inf"
    flip: bool = False
    shape: float = 0.0
    shape_width: float = 0.15

    def __post_init__(self) -> None:
        choices = {"sampling": ("bilinear", "floor"), "peak": ("pixel", "cell", "window"), "masking": ("inf", "zero")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise InvalidInput(f"unknown {name} {getattr(self, name)!r}; use {', '.join(known)}")
        if self.window < 0 or not self.temperature > 0:
            raise InvalidInput(
                f"a window of {self.window} and temperature {self.temperature} do not suit; use 0 cells or more, and a "
                "temperature above 0"
            )
        if not self.shape >= 0 or not self.shape_width > 0 or (self.shape and self.peak == "pixel"):
            raise InvalidInput(
                f"shape {self.shape} of width {self.shape_width} does not suit the peak {self.peak}; use 0 or more, a "
                "width above 0, and the peak window or cell"
            )


PRESETS: dict[str, dict[str, Any]] = {
    "plain": {},
    "best": {"peak": "window", "shape": 4.0},
}
"""``plain`` nearest neighbours at the photo's resolution, as DIFT; ``best``, the most accurate on world pictures."""


def refinement(preset: str, model: dict[str, Any], **changes: Any) -> Refinement:
    """A preset, with a model's own settings, and with single ones replaced; None replaces nothing.

    Raises:
        InvalidInput: for an unknown preset, or a setting that does not suit.
    """
    if preset not in PRESETS:
        raise InvalidInput(f"unknown preset {preset!r}; use {' or '.join(PRESETS)}")
    given = {name: value for name, value in changes.items() if value is not None}
    return Refinement(**{**model, **PRESETS[preset], **given})


@dataclass(frozen=True, eq=False)
class Cells:
    """A photo's feature map, ready to be compared.

    Attributes:
        reading: what it was read as.
        vectors: (h * w, C) of length 1, row by row.
        seen: (h * w,) whether a cell's centre shows the photo; others never win a match.
    """

    reading: Reading
    vectors: Tensor
    seen: Tensor

    @classmethod
    def of(cls, reading: Reading) -> Cells:
        """Scale a reading's vectors and find the cells that show the photo."""
        rows, columns = reading.fit.seen_cells(reading.grid())
        vectors = unit(reading.feature().flatten(1).T)
        return cls(reading, vectors, torch.from_numpy(np.outer(rows, columns)).flatten().to(vectors.device))

    @property
    def grid(self) -> Size:
        """(h, w)."""
        return self.reading.grid()

    @cached_property
    def fine(self) -> TargetMap:
        """The map at the resolution of the photo."""
        return TargetMap.prepare(self.reading.feature())

    @cached_property
    def coarse(self) -> Tensor:
        """(n, C) unit means over blocks of cells that show the photo by half or more; as half precision holds them."""
        blocks = (min(self.grid[0], COARSE), min(self.grid[1], COARSE))
        seen = self.seen.to(self.vectors).unflatten(0, self.grid)[None]
        shown = F.adaptive_avg_pool2d(seen, blocks).flatten()
        sums = F.adaptive_avg_pool2d(self.vectors.T.unflatten(1, self.grid) * seen, blocks)
        return unit(sums.flatten(1).T[shown >= 0.5]).half().float()

    def describe(self, points: Points, sampling: Sampling = "bilinear") -> Tensor:
        """The unit vectors at (N, 2) photo pixels, (N, C)."""
        places = self.reading.fit.to_grid(points, self.grid)
        if sampling == "floor":
            places = np.floor(places + 0.5)
        return unit(sample(self.reading.feature(), places))

    def cosines(self, vectors: Tensor) -> Tensor:
        """Cosines of (N, C) unit vectors with every cell, (N, h, w); -inf where the photo is not seen."""
        return self.seen_only(vectors @ self.vectors.T)

    def seen_only(self, scores: Tensor) -> Tensor:
        """(N, h * w) scores as maps (N, h, w), -inf where a cell does not show the photo."""
        return scores.masked_fill(~self.seen, -torch.inf).unflatten(1, self.grid)

    def locate(self, vectors: Tensor, scores: Tensor, how: Refinement) -> Points:
        """Where (N, C) vectors, whose maps are (N, h, w), are in the photo; (N, 2) pixels."""
        fit = self.reading.fit
        if how.peak == "pixel":
            rows, columns = fit.pixel_rows(self.grid), fit.pixel_columns(self.grid)
            places, _ = self.fine.nearest(unit(vectors), rows, columns)
            top, _, left, _ = fit.window
            return places.cpu().numpy() + np.array([left + 0.5, top + 0.5])
        if how.peak == "cell":
            cells = best_cells(scores).double()
        else:
            cells = window_soft_argmax(scores, how.window, how.temperature, how.masking)
        return fit.to_pixels(cells.cpu().numpy(), self.grid)


def best_cells(scores: Tensor) -> Tensor:
    """The highest cell (x, y) of (N, h, w) maps, (N, 2); of equal ones the first in reading order."""
    index = scores.flatten(1).argmax(dim=1)
    return torch.stack([index % scores.shape[2], index // scores.shape[2]], dim=1)


def near_best(scores: Tensor, window: int) -> Tensor:
    """Which cells of (N, h, w) maps may win and are within a window around the highest, (N, h, w)."""
    _, height, width = scores.shape
    x, y = best_cells(scores).unbind(dim=1)
    near_x = (torch.arange(width, device=scores.device) - x[:, None]).abs() <= window
    near_y = (torch.arange(height, device=scores.device) - y[:, None]).abs() <= window
    return near_y[:, :, None] & near_x[:, None] & (scores > -torch.inf)


def window_soft_argmax(scores: Tensor, window: int = 5, temperature: float = 0.02, masking: Masking = "inf") -> Tensor:
    """The mean place of the cells around the highest one, weighted by the softmax of their cosines.

    Args:
        scores: (N, h, w) cosines; -inf for cells that may not win.
        window: cells to each side of the highest; at the border the window is cut off.
        temperature: of the softmax.
        masking: ``inf``, or ``zero`` as published, which lets every cell outside count as a cosine of 0.

    Returns:
        (N, 2) cell coordinates (x, y), float64.
    """
    outside = -torch.inf if masking == "inf" else 0.0
    weights = softmax(scores.double().where(near_best(scores, window), outside), temperature)
    x = torch.arange(scores.shape[2], dtype=torch.float64, device=scores.device)
    y = torch.arange(scores.shape[1], dtype=torch.float64, device=scores.device)
    return torch.stack([weights.sum(dim=1) @ x, weights.sum(dim=2) @ y], dim=1)


def softmax(scores: Tensor, temperature: float) -> Tensor:
    """Of each of (N, h, w) maps over all its cells."""
    return (scores / temperature).flatten(1).softmax(dim=1).unflatten(1, scores.shape[1:])


def mirror(picture: Picture) -> Picture:
    """The photo, left and right exchanged; point (x, y) lies at (width - x, y)."""
    return Picture(picture.image.flip(2))


def mirror_points(points: Points, width: int) -> Points:
    """Where (N, 2) points of a photo lie in its mirror image."""
    return np.stack([width - points[:, 0], points[:, 1]], axis=1)


def view_distance(source: Tensor, target: Tensor) -> float:
    """How differently two photos show a thing: the mean distance of unit vectors that are each other's nearest.

    It needs no masks. ``Cells.coarse`` of the photos is compared, which tells views apart as well as all cells do.

    Args:
        source, target: (n, C) and (m, C), of length 1.

    Returns:
        0 (alike) to 2; infinite where either has no vector.
    """
    if not len(source) or not len(target):
        return float("inf")
    forward, backward = mutual_argmax(source, target)
    both = backward[forward] == torch.arange(len(source), device=source.device)
    return float((source[both] - target[forward[both]]).norm(dim=1).mean())
