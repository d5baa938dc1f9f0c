"""The papers' formulas written plainly: slow, and what the fast versions are held against."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(features: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(features[None], (height, width), mode="bilinear", align_corners=False)[0]


def full_cosines(
    source: Tensor, source_size: tuple[int, int], pixels: np.ndarray, target: Tensor, size: tuple[int, int]
) -> Tensor:
    """DIFT as published: both maps at full size, normalised per pixel, the source read at integer pixels (x, y)."""
    a = upsample(source, *source_size)
    b = upsample(target, *size)
    a = a / a.norm(dim=0, keepdim=True).clamp(min=1e-12)
    b = b / b.norm(dim=0, keepdim=True).clamp(min=1e-12)
    vectors = a[:, pixels[:, 1], pixels[:, 0]].T
    return torch.einsum("kc,chw->khw", vectors, b)
