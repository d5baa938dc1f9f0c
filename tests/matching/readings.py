"""Readings of maps that are made up."""

from __future__ import annotations

import torch

from diffsight.grid import Fit, FitKind, Size
from diffsight.matching.refine import Cells
from diffsight.types import Capture, Reading, Taps


def random_map(seed: int, channels: int, height: int, width: int) -> torch.Tensor:
    return torch.randn(channels, height, width, generator=torch.Generator().manual_seed(seed))


def reading(features: torch.Tensor, size: Size | None = None, kind: FitKind = "stretch") -> Reading:
    """Of a photo with 10 x 10 pixels a cell, or of another size, laid out for a network of 80 x 80."""
    height, width = features.shape[1:]
    return Reading(Fit.make(kind, size or (10 * height, 10 * width), (80, 80)), Capture(Taps(("up1",)), (features,)))


def cells(features: torch.Tensor, size: Size | None = None, kind: FitKind = "stretch") -> Cells:
    return Cells.of(reading(features, size, kind))
