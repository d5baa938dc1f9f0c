"""From photos to what a network was trained on: the sides and the colours of its input."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InvalidInput
from ..types import Posterior

Colour = tuple[float, float, float]

IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
IMAGENET_STD: Colour = (0.229, 0.224, 0.225)


def check_sides(pixels: Tensor, multiple: int) -> None:
    """Refuse an input whose sides a network cannot divide into its cells.

    Raises:
        InvalidInput: if a side is not a multiple.
    """
    height, width = pixels.shape[-2:]
    if height % multiple or width % multiple:
        raise InvalidInput(f"the network's input is {width}x{height}; both sides must be a multiple of {multiple}")


def normalise(pixels: Tensor, mean: Colour, std: Colour) -> Posterior:
    """Shift and scale the colours of (B, 3, H, W) in [0, 1]; there is nothing to be unsure of."""
    shift, scale = (torch.tensor(colour, device=pixels.device).reshape(3, 1, 1) for colour in (mean, std))
    latent = (pixels.float() - shift) / scale
    return Posterior(latent, torch.zeros_like(latent))
