"""Self-attention of many layers as one map per cell (Tian et al., 2024, arXiv 2308.12469, section 3.2).

A layer of (h, w) cells says how much each of its cells attends to each other one: (h w, h w), rows that sum to 1. To
put layers of several sizes together, the key axes are brought to the finest grid by bilinear interpolation, the query
axes by repetition. Both are linear, so each size is handled once on its own grid, from the coarsest up, and only the
last step has as many rows as the finest grid; that step is done tile by tile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Size, two_taps

Weighting = Literal["repo", "paper"]

TILE_BYTES = 64 * 2**20
"""Rows are formed about so many bytes at a time."""

KEEP_BYTES = 300 * 2**20
"""An aggregate up to this size is kept whole once it has been formed."""


@dataclass(frozen=True)
class Level:
    """The self-attention of all layers of one size.

    Attributes:
        attention: (h w, h w) mean over layers and heads; rows sum to 1.
        grid: (h, w).
    """

    attention: Tensor
    grid: Size


class Aggregate:
    """The weighted mean of all levels on the finest grid: (n, n) with rows that sum to 1, where n is its cells.

    Args:
        levels: one for each size, in any order; each must divide the next finer one.
        shares: the weight of each, from ``level_weights``.

    Raises:
        InvalidInput: for grids that do not nest, or weights of another number.
    """

    def __init__(self, levels: Sequence[Level], shares: Sequence[float]) -> None:
        if not levels or len(levels) != len(shares):
            raise InvalidInput(f"{len(levels)} levels and {len(shares)} weights; give one or more, and as many weights")
        order = sorted(range(len(levels)), key=lambda i: levels[i].grid[0] * levels[i].grid[1])
        grids = [levels[i].grid for i in order]
        for coarse, fine in pairwise(grids):
            if any(many % few for many, few in zip(fine, coarse, strict=True)):
                raise InvalidInput(f"a level of {coarse} cells does not divide the next finer one of {fine}")
        *below, finest = order
        self.grid, self._below = grids[-1], grids[-2] if below else None
        self._finest, self._share = levels[finest].attention, shares[finest]
        self._coarse: Tensor | None = None
        for before, i in zip([None, *grids], below, strict=False):
            own = shares[i] * _lift_keys(levels[i], self.grid)
            if self._coarse is not None and before is not None:
                own += self._coarse[_parents(levels[i].grid, before)]
            self._coarse = own
        self._whole: Tensor | None = None

    def __len__(self) -> int:
        return self.grid[0] * self.grid[1]

    def rows(self, cells: Tensor) -> Tensor:
        """The maps of some cells, (len(cells), n) float32."""
        if self._whole is not None:
            return self._whole[cells]
        rows = self._finest[cells].float() * self._share
        if self._coarse is not None and self._below is not None:
            rows += self._coarse[_parents(self.grid, self._below)[cells]]
        return rows

    def tiles(self) -> Iterator[tuple[int, int, Tensor]]:
        """All maps in order, as (first, last + 1, rows)."""
        n = len(self)
        keep = self._whole is None and 4 * n * n <= KEEP_BYTES
        whole = torch.empty(n, n) if keep else self._whole
        step = max(1, TILE_BYTES // (4 * n))
        for start in range(0, n, step):
            stop = min(n, start + step)
            if self._whole is not None:
                rows = self._whole[start:stop]
            else:
                rows = self.rows(torch.arange(start, stop))
                if whole is not None:
                    whole[start:stop] = rows
            yield start, stop, rows
        self._whole = whole

    def whole(self) -> Tensor:
        """All maps at once, (n, n) float32; kept from then on, whatever its size."""
        if self._whole is None:
            self._whole = self.rows(torch.arange(len(self)))
        return self._whole


def level_weights(
    grids: Sequence[Size], layers: Sequence[int], weighting: Weighting | Sequence[float] = "repo"
) -> list[float]:
    """The weight of each attention size; they sum to 1.

    Args:
        grids: (h, w) of each size.
        layers: how many layers have it.
        weighting: ``repo`` weighs a size by the side of its grid, as the reference code does; ``paper`` weighs each
            layer so; or a weight for each size, in the order of ``grids``.

    Raises:
        InvalidInput: for unsuitable weights.
    """
    sides = [float(np.sqrt(h * w)) for h, w in grids]
    if isinstance(weighting, str):
        if weighting not in get_args(Weighting):
            raise InvalidInput(f"unknown weighting {weighting!r}; use {', '.join(get_args(Weighting))} or a list")
        weights = [s * (n if weighting == "paper" else 1) for s, n in zip(sides, layers, strict=True)]
    else:
        weights = [float(weight) for weight in weighting]
        if len(weights) != len(grids):
            raise InvalidInput(f"{len(weights)} weights given for {len(grids)} attention sizes; give one for each")
        if not all(np.isfinite(weights)) or min(weights) < 0 or sum(weights) == 0:
            raise InvalidInput(f"weights {weights} do not suit; they must be finite, not negative, and not all zero")
    return [weight / sum(weights) for weight in weights]


def _lift_keys(level: Level, grid: Size) -> Tensor:
    """Bring the key axes of a level to a finer grid; rows still sum to 1."""
    (h, w), (fine_h, fine_w) = level.grid, grid
    maps = level.attention.float().reshape(-1, h, w)
    up_y, up_x = _interpolation(h, fine_h), _interpolation(w, fine_w)
    scale = (h * w) / (fine_h * fine_w)
    return torch.einsum("Yy,qyx,Xx->qYX", up_y, maps, up_x).flatten(1) * scale


def _interpolation(cells: int, fine: int) -> Tensor:
    """The (fine, cells) matrix of bilinear interpolation along one axis, half-pixel centres, borders clamped."""
    base, fraction = two_taps((np.arange(fine) + 0.5) * cells / fine - 0.5, cells)
    matrix = np.zeros((fine, cells), np.float32)
    np.add.at(matrix, (np.arange(fine), base), 1 - fraction)
    np.add.at(matrix, (np.arange(fine), np.minimum(base + 1, cells - 1)), fraction)
    return torch.from_numpy(matrix)


def _parents(fine: Size, coarse: Size) -> Tensor:
    """The cell of the coarse grid that each cell of the fine grid lies in, (fine cells,)."""
    rows = torch.arange(fine[0]) // (fine[0] // coarse[0])
    columns = torch.arange(fine[1]) // (fine[1] // coarse[1])
    return (rows[:, None] * coarse[1] + columns).flatten()
