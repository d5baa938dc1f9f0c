"""What a figure must be held against: the same network untrained, and no network at all."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbones.base import Card, Tap, TapTable, clean_settings
from ..backbones.textless import Noiseless
from ..grid import Size
from ..types import Capture, Posterior, Taps


class RawPixels(Noiseless):
    """A backbone without a network: the feature of a cell is its block of pixels, centred at grey.

    Args:
        size: of the input, pixels.
        stride: side of a block.
    """

    def __init__(self, size: Size = (128, 128), stride: int = 4) -> None:
        settings = clean_settings("pixels", size)
        self.card = Card(
            "raw pixels", "no network", "-", 0, "-", dict.fromkeys(("semantic", "geometric", "temporal"), settings)
        )
        self.taps = TapTable((Tap("pixels", "", 3 * stride**2, stride),), ())
        self.device = torch.device("cpu")
        self.multiple = stride
        self.fingerprint = f"raw pixels {stride}"

    def encode(self, pixels: Tensor) -> Posterior:
        """Fold (B, 3, H, W) in [0, 1] into blocks in [-1, 1]."""
        latent = F.pixel_unshuffle(pixels * 2 - 1, self.multiple)
        return Posterior(latent, torch.zeros_like(latent))

    def read(self, latent: Tensor, timestep: int, context: Tensor, taps: Taps) -> Capture:
        """Return the blocks."""
        return Capture(taps, (latent,))

    def untrained(self, seed: int = 0) -> RawPixels:
        """There is nothing to train."""
        return self

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """A row is its latent."""
        return 4 * 3 * self.multiple**2 * height * width
