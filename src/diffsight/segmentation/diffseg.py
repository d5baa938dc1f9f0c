"""DiffSeg: merge attention maps that say the same (Tian et al., CVPR 2024, arXiv 2308.12469).

The maps of a regular grid of anchor cells are compared with the maps of all cells; each anchor becomes the mean of what
is like it. Those proposals are merged with each other, and every pixel goes to the proposal that is highest there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Size
from .aggregate import Aggregate, Weighting

TINY = 1.2e-38
"""Shares are not taken below this (float32 without subnormals) before a logarithm, so that a zero neither becomes NaN
nor loses its anchor."""

GUARD = 1e-4
"""Distances this close to the threshold are computed again in double precision."""

Rule = Literal["repo", "disjoint"]


@dataclass(frozen=True)
class DiffSegSettings:
    """Settings of the merging.

    Attributes:
        thresholds: largest distance (nats) at which maps merge, one for each iteration; the first compares anchors with
            all cells, the others proposals with each other.
        anchors: per side of the grid.
        weighting: of the attention sizes: ``repo``, ``paper`` or a weight for each size from the finest on.
        rule: ``repo`` lets a proposal serve in several merges, as the reference code does; ``disjoint`` uses each once.
        refine: replace each proposal by the mean of its k-means cluster, started from the proposals.
        half: compare anchors in half precision, as the reference code does: maps with a share that is too small for it
            are like nothing, and such anchors are lost. To repeat its figures only.
    """

    of: ClassVar[str] = "maps"
    thresholds: tuple[float, ...] = (1.1, 1.1, 1.1)
    anchors: int = 16
    weighting: Weighting | tuple[float, ...] = "repo"
    rule: Rule = "repo"
    refine: bool = False
    half: bool = False

    def __post_init__(self) -> None:
        if not self.thresholds:
            raise InvalidInput("no threshold given; give one for each iteration, such as 1.1 1.1 1.1")
        for threshold in self.thresholds:
            if not (threshold > 0 and math.isfinite(threshold)):
                raise InvalidInput(f"threshold {threshold} does not suit; it must be above 0 and finite, as 0.5 or 1.5")
        if self.anchors < 1:
            raise InvalidInput(f"{self.anchors} anchors a side are too few; use 1 or more")
        if self.rule not in get_args(Rule):
            raise InvalidInput(f"unknown rule {self.rule!r}; use {' or '.join(get_args(Rule))}")


PRESETS = {
    "coco-stuff": DiffSegSettings(thresholds=(1.1, 1.1, 1.1)),
    "cityscapes": DiffSegSettings(thresholds=(0.9, 0.9, 0.9)),
    "demo": DiffSegSettings(thresholds=(0.9, 0.9, 0.9), refine=True),
}
"""The paper's settings for its two benchmarks, and those of its demo."""


def anchor_cells(grid: Size, per_side: int) -> npt.NDArray[np.int64]:
    """The anchors' cells in reading order, (per_side ** 2,); a single anchor is the middle cell.

    Raises:
        InvalidInput: for more anchors a side than cells.
    """
    if not 1 <= per_side <= min(grid):
        raise InvalidInput(f"{per_side} anchors a side do not fit a grid of {grid}; use 1 to {min(grid)}")
    rows, columns = (_spread(cells, per_side) for cells in grid)
    return (rows[:, None] * grid[1] + columns).ravel()


def _spread(cells: int, count: int) -> npt.NDArray[np.int64]:
    if count == 1:
        return np.array([cells // 2])
    step = (cells - 1) // (count - 1)
    return (cells - 1 - step * (count - 1)) // 2 + step * np.arange(count)


class Merging:
    """The merging of one photo's maps; distances do not depend on the threshold, so moving it is cheap.

    Args:
        maps: the aggregated self-attention.
        anchors: per side of the grid.
    """

    def __init__(self, maps: Aggregate, anchors: int = 16) -> None:
        self.maps = maps
        self.anchors = torch.from_numpy(anchor_cells(maps.grid, anchors))
        self.own = maps.rows(self.anchors)
        self.distances = self._compare(half=False)

    def _compare(self, half: bool) -> Tensor:
        """The distance of every anchor's map to the map of every cell, (anchors, n)."""
        own, log_own, negentropy = _terms(self.own, half)
        distances = torch.empty(len(own), len(self.maps))
        for start, stop, rows in self.maps.tiles():
            others, log_others, others_negentropy = _terms(rows, half)
            tile = distances[:, start:stop]
            torch.mm(own, log_others.T, out=tile)
            tile.addmm_(log_own, others.T)
            tile.neg_().add_(negentropy[:, None]).add_(others_negentropy).mul_(0.5)
        return distances

    def near(self, threshold: float) -> Tensor:
        """Which cells each anchor is like, (anchors, n) bool, as if computed in double precision."""
        near = self.distances < threshold
        doubtful = ((self.distances - threshold).abs() < GUARD).nonzero()
        for pairs in doubtful.split(1024):
            p = self.own[pairs[:, 0]].double().clamp(min=TINY)
            q = self.maps.rows(pairs[:, 1]).double().clamp(min=TINY)
            exact = 0.5 * ((p - q) * (p.log() - q.log())).sum(dim=1)
            near[pairs[:, 0], pairs[:, 1]] = exact < threshold
        near[torch.arange(len(near)), self.anchors] = True
        return near

    def near_half(self, threshold: float) -> Tensor:
        """The same in half precision; anchors that are like nothing are left out."""
        near = self._compare(half=True) < threshold  # false for NaN
        return near[near.any(dim=1)]

    def proposals(self, settings: DiffSegSettings) -> Tensor:
        """The merged maps, (K, n) float64, rows that sum to 1.

        Raises:
            InvalidInput: if half precision loses every anchor.
        """
        near = (self.near_half if settings.half else self.near)(settings.thresholds[0])
        if len(near) == 0:
            raise InvalidInput("half precision loses every anchor of this photo; leave it off")
        total = torch.zeros(len(near), len(self.maps))
        for start, stop, rows in self.maps.tiles():
            total.addmm_(near[:, start:stop].float(), rows)
        proposals = total.double() / near.sum(dim=1, keepdim=True)
        for threshold in settings.thresholds[1:]:
            proposals = merge(proposals, threshold, settings.rule)
        return proposals


def _terms(maps: Tensor, half: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """(K, n) maps p, ``log(n p)``, and the mean of that under p, (K,); the factor n cancels and keeps numbers small.

    In half precision p and ``log(p)`` are rounded, and the mean of a map with a zero is NaN.
    """
    if half:
        maps = maps.half().float()
        log = maps.log().half().float()
    else:
        log = maps.clamp(min=TINY).log_().add_(math.log(maps.shape[1]))
    return maps, log, torch.linalg.vecdot(maps, log)


def divergence(maps: Tensor) -> Tensor:
    """Symmetric Kullback-Leibler divergence of (K, n) maps with each other, (K, K), nats: half of both directions."""
    _, log, negentropy = _terms(maps)
    cross = maps @ log.T
    return 0.5 * (negentropy[:, None] + negentropy - cross - cross.T)


def merge(proposals: Tensor, threshold: float, rule: Rule = "repo") -> Tensor:
    """One round of merging (K, n) proposals, in their order.

    A proposal that nothing has taken yet becomes the mean of all that are nearer than the threshold, those taken before
    included (``repo``) or not (``disjoint``).
    """
    near = (divergence(proposals) < threshold).fill_diagonal_(True).numpy()
    taken = np.zeros(len(near), bool)
    groups = []
    for i, row in enumerate(near):
        if not taken[i]:
            groups.append(row if rule == "repo" else row & ~taken)
            taken |= row
    members = torch.from_numpy(np.stack(groups)).to(proposals.dtype)
    return members @ proposals / members.sum(dim=1, keepdim=True)
