"""One linear map from a network's channels to few: principal components of unit vectors, the same for all photos."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import UnreadableFile
from ..files import save_tensors
from ..grid import Fit, Size
from ..matching.nearest import EPSILON
from ..types import Reading


@dataclass(frozen=True, eq=False)
class Basis:
    """Principal components.

    Attributes:
        mean: (C,) of the unit vectors.
        axes: (D, C), orthonormal, the largest variance first.
        kept: share of the variance that the axes keep, 0 to 1.
    """

    mean: Tensor
    axes: Tensor
    kept: float

    @classmethod
    def fit(cls, maps: Sequence[Tensor], dims: int) -> Basis:
        """Find the components of all cells of maps of ``compact``; the same maps give the same axes, signs included."""
        channels = maps[0].shape[0]
        total = torch.zeros(channels, dtype=torch.float64)
        moment = torch.zeros(channels, channels, dtype=torch.float64)
        for one in maps:
            vectors = one.flatten(1).double()
            total += vectors.sum(dim=1)
            moment += vectors @ vectors.T
        cells = sum(one[0].numel() for one in maps)
        mean = total / cells
        variance, directions = torch.linalg.eigh(moment / cells - mean.outer(mean))
        axes = directions.T.flip(0)[:dims]
        largest = axes.gather(1, axes.abs().argmax(dim=1, keepdim=True))
        kept = float(variance[-dims:].sum() / variance.sum().clamp(min=EPSILON))
        return cls(mean.float(), (axes * largest.sign()).float(), kept)

    def project(self, features: Tensor, fit: Fit) -> Tensor:
        """Turn a photo's map of ``compact`` into (D, h, w): cells of length 1, or zero if off the photo."""
        height, width = features.shape[1:]
        vectors = features.float().flatten(1) - self.mean[:, None]
        return _unit((self.axes @ vectors).view(-1, height, width)) * _shown(fit, (height, width))

    def save(self, path: Path) -> None:
        """Write it."""
        save_tensors({"mean": self.mean, "axes": self.axes, "kept": torch.tensor(self.kept)}, path)

    @classmethod
    def load(cls, path: Path) -> Basis:
        """Read it.

        Raises:
            UnreadableFile: if the file is missing or damaged.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            found = load_file(path)
            return cls(found["mean"], found["axes"], float(found["kept"]))
        except (OSError, SafetensorError, KeyError) as error:
            raise UnreadableFile(
                f"{path} is missing or damaged ({error}), without it vectors mean nothing; build the collection anew"
            ) from None


def compact(reading: Reading) -> Tensor:
    """A photo's (C, h, w) map with every cell of length 1, in fp16."""
    return _unit(reading.feature().float()).half()


def _unit(vectors: Tensor) -> Tensor:
    """Scale the vectors of a (C, h, w) map to length 1."""
    return vectors / torch.linalg.vector_norm(vectors, dim=0, keepdim=True).clamp(min=EPSILON)


def _shown(fit: Fit, grid: Size) -> Tensor:
    """Whether the centre of each cell lies in the photo, (h, w)."""
    cells = torch.cartesian_prod(torch.arange(grid[0]), torch.arange(grid[1])).flip(1).double().numpy()
    x, y = fit.to_pixels(cells, grid).T
    top, bottom, left, right = fit.window
    return torch.from_numpy((x >= left) & (x <= right) & (y >= top) & (y <= bottom)).view(grid)
