"""How far a map is from what it shall become, without forming maps of the frame's size."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


@cache
def upsampling(cells: int, pixels: int) -> Tensor:
    """The (pixels, cells) matrix of linear interpolation with half-pixel centres, float64."""
    basis = torch.eye(cells, dtype=torch.float64)[None]
    return F.interpolate(basis, pixels, mode="linear", align_corners=False)[0].T.contiguous()


@dataclass(frozen=True)
class Target:
    """What the maps of some rows shall look like at the frame's size, known by its products only.

    Attributes:
        projected: for each side of a map, U^T T U: (B, n, n).
        norm: (B,) sum of T squared.
    """

    projected: dict[int, Tensor]
    norm: Tensor


def gaussian_profiles(points: Tensor, side: int, sigma: float, half_pixel: bool = True) -> Tensor:
    """Gaussians of peak 1 along the axes of a frame, (B, 2, side), at (B, 2) points (x, y); ``sigma`` in pixels."""
    centres = torch.arange(side, dtype=torch.float64) + (0.5 if half_pixel else 0.0)
    return torch.exp(-0.5 * ((centres - points.double()[..., None]) / sigma) ** 2)


def gaussian_target(points: Tensor, side: int, sigma: float, sizes: Iterable[int], half_pixel: bool = True) -> Target:
    """Gaussians of peak 1 at (B, 2) points (x, y) of the frame, ``sigma`` pixels wide."""
    x, y = gaussian_profiles(points, side, sigma, half_pixel).unbind(dim=1)
    projected = {n: (y @ upsampling(n, side))[:, :, None] * (x @ upsampling(n, side))[:, None] for n in sizes}
    return Target(projected, x.square().sum(dim=1) * y.square().sum(dim=1))


def mask_target(masks: Tensor, sizes: Iterable[int]) -> Target:
    """(B, side, side) masks of the frame, 1 inside."""
    masks = masks.double()
    operators = {n: upsampling(n, masks.shape[-1]) for n in sizes}
    return Target({n: u.T @ masks @ u for n, u in operators.items()}, masks.square().sum(dim=(1, 2)))


def map_loss(maps: Sequence[Tensor], target: Target, side: int) -> Tensor:
    """Mean squared difference of each layer's upsampled map and the target, averaged over layers; (B,).

    With U the upsampling and G = U^T U, |U A U^T - T|^2 = <A, G A G> - 2 <A, U^T T U> + |T|^2, so that no map of the
    frame's size is formed. In double precision, as the terms nearly cancel.

    Args:
        maps: (B, n, n) for each layer.
        target: at the frame's size.
        side: of the frame.
    """
    total = torch.zeros_like(target.norm)
    for own in maps:
        attention = own.double()
        operator = upsampling(own.shape[-1], side).to(own.device)
        gram = operator.T @ operator
        seen = (attention * (gram @ attention @ gram)).sum(dim=(1, 2))
        total = total + seen - 2 * (attention * target.projected[own.shape[-1]]).sum(dim=(1, 2)) + target.norm
    return total / (len(maps) * side**2)
