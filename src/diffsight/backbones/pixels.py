"""An encoder without a network: blocks of pixels, with colour kept quieter than brightness.

Noise drowns the quieter channels first. A denoiser trained on them sees shapes whose colours are gone, and has to find
out what it sees (and what the caption says of it) to paint them: a lesson in parts that plain pixels do not give.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..types import Posterior

OPPONENT = torch.tensor([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.0, -0.5], [-0.25, 0.5, -0.25]])
"""Brightness, red against blue, green against both; each in [-1, 1] for colours in [-1, 1]."""


class PixelBlocks:
    """Every ``stride`` x ``stride`` block of pixels becomes one cell.

    Args:
        stride: side of a block, pixels.
        chroma: factor on the two colour channels; brightness has 1.
    """

    def __init__(self, stride: int, chroma: float) -> None:
        self.stride = stride
        self.chroma = chroma
        self.matrix = OPPONENT * torch.tensor([[1.0], [chroma], [chroma]])

    def __call__(self, pixels: Tensor) -> Posterior:
        """Fold (B, 3, H, W) in [-1, 1] into (B, 3 stride^2, H / stride, W / stride), without uncertainty."""
        channels = torch.einsum("ij,bjhw->bihw", self.matrix.to(pixels.device), pixels.float())
        latent = F.pixel_unshuffle(channels, self.stride)
        return Posterior(latent, torch.zeros_like(latent))

    def describe(self) -> str:
        """What sets this encoder apart from others, for fingerprints."""
        return f"pixel blocks {self.stride} {self.chroma}"

    def decode(self, latent: Tensor) -> Tensor:
        """The inverse: (B, 3, H, W) in [-1, 1]."""
        channels = F.pixel_shuffle(latent, self.stride)
        return torch.einsum("ij,bjhw->bihw", torch.linalg.inv(self.matrix).to(latent), channels)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write ``config.json`` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"stride": self.stride, "chroma": self.chroma}, indent=1) + "\n")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> PixelBlocks:
        """Read what ``save_pretrained`` wrote."""
        return cls(**json.loads((Path(folder) / "config.json").read_text()))
