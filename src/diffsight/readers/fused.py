"""Several networks or settings as one map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Fit, Size
from ..types import Picture, Reading
from .base import Reader, digest, one_stage

STAGE = "fused"
"""What the one stage of a fused reading is called."""


class Fused:
    """Parts side by side in one map, whose cosine is the weighted mean of the parts' cosines.

    Diffusion features and those of vision transformers err in different places, so together they match better than
    either alone (Zhang et al., 2023, arXiv 2305.15347; 2024, arXiv 2311.17034).

    Each part is brought to the first one's grid, by where its cells lie in the photo, and normalised there; the papers
    take the coarsest grid, so the part that has it comes first. Parts of weight 0 are left out from the start.

    Args:
        parts: what reads; they may lay photos out differently.
        weights: of each part's cosine, 0 or more; only their ratios matter. Equal ones if left out.
        name: what to call it; the parts' names joined by ``+`` if left out.

    Raises:
        InvalidInput: for no parts, or weights that do not suit them.
    """

    def __init__(
        self, parts: Sequence[Reader], weights: Sequence[float] | None = None, name: str | None = None
    ) -> None:
        shares = share_weights([1.0] * len(parts) if weights is None else weights, len(parts))
        self.parts = tuple(part for part, share in zip(parts, shares, strict=True) if share)
        self.weights = tuple(share for share in shares if share)
        self.name = "+".join(part.name for part in self.parts) if name is None else name

    @property
    def fingerprint(self) -> str:
        """Of the parts and their weights."""
        return digest([part.fingerprint for part in self.parts], self.weights)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of each part that is read, in order."""
        return tuple(sum(part.channels) for part in self.parts)

    @property
    def refine(self) -> dict[str, Any]:
        """Those of the first part."""
        return self.parts[0].refine

    @property
    def record(self) -> dict[str, Any]:
        """Each part's, with its weight."""
        parts = zip(self.parts, self.weights, strict=True)
        return {"parts": [{"name": part.name, "weight": weight, **part.record} for part, weight in parts]}

    def fit(self, picture: Picture) -> Fit:
        """How the first part lays a photo out."""
        return self.parts[0].fit(picture)

    def read(self, pictures: Sequence[Picture]) -> list[Reading]:
        """Read each photo once with every part."""
        return [self._join(readings) for readings in zip(*(part.read(pictures) for part in self.parts), strict=True)]

    def _join(self, readings: Sequence[Reading]) -> Reading:
        fit, grid = readings[0].fit, readings[0].grid()
        units = [F.normalize(resample(reading, fit, grid), dim=0, eps=1e-12) for reading in readings]
        scaled = [math.sqrt(weight) * unit for weight, unit in zip(self.weights, units, strict=True)]
        return one_stage(fit, STAGE, torch.cat(scaled))


def resample(reading: Reading, fit: Fit, grid: Size) -> Tensor:
    """A reading's (C, h, w) map at the cells of another layout of the same photo, bilinear, clamped at the border.

    Args:
        reading: of one feature stage.
        fit: the other layout.
        grid: (height, width) of its map.
    """
    features, own = reading.feature(), reading.grid()
    if (fit, grid) == (reading.fit, own):
        return features
    rows, columns = np.indices(grid, dtype=np.float64)
    cells = fit.to_pixels(np.stack([columns.ravel(), rows.ravel()], axis=1), grid)
    places = (reading.fit.to_grid(cells, own) + 0.5) * 2 / own[::-1] - 1  # -1 to 1 from border to border
    sampling = torch.from_numpy(places).to(features).reshape(1, *grid, 2)
    return F.grid_sample(features[None], sampling, mode="bilinear", padding_mode="border", align_corners=False)[0]


def share_weights(weights: Sequence[float], parts: int) -> tuple[float, ...]:
    """Weights of a number of parts, scaled to a sum of 1.

    Raises:
        InvalidInput: for another number of them, one that is negative or not finite, or none above 0.
    """
    if not parts:
        raise InvalidInput("nothing to join; give one reader or more")
    if len(weights) != parts:
        raise InvalidInput(f"{len(weights)} weights do not suit {parts} parts; give one for each")
    if not all(math.isfinite(weight) and weight >= 0 for weight in weights) or not any(weights):
        raise InvalidInput(f"weights {list(weights)} do not suit; use numbers of 0 or more, one of them above 0")
    total = math.fsum(weights)
    return tuple(weight / total for weight in weights)
