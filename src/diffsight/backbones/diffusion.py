"""What all backbones made of a diffusers UNet share: encoding, noise, fingerprint, and reading it from its folder."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..types import Posterior
from .base import Card, TapTable
from .colours import check_sides
from .fingerprint import weight_digest


class Encoder(Protocol):
    """Turns pixels into what the UNet was trained on."""

    stride: int

    def describe(self) -> str:
        """What sets this encoder apart from others, for fingerprints."""

    def __call__(self, pixels: Tensor) -> Posterior:
        """Encode (B, 3, H, W) in [-1, 1], float32, in whatever format the encoder is in; the result is float32."""


class DiffusionBackbone:
    """A frozen diffusers UNet with its encoder and noise schedule.

    Args:
        card: of the model.
        unet: the network.
        encoder: what stands in front of it.
        alphas: (T,) float64, the cumulative product of 1 - beta.
        taps: what can be read.
        multiple: both sides of the input must be a multiple of this many pixels.
        device, dtype: that the network is on and in.
    """

    def __init__(
        self,
        card: Card,
        unet: Any,
        encoder: Encoder,
        alphas: Tensor,
        taps: TapTable,
        multiple: int,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.card = card
        self.unet = unet.eval().requires_grad_(False)
        self.encoder = encoder
        self.alphas = alphas
        self.taps = taps
        self.multiple = multiple
        self.device = device
        self.dtype = dtype

    @property
    def takes_noise(self) -> bool:
        """It was trained on noise."""
        return True

    @cached_property
    def fingerprint(self) -> str:
        """A short digest of architecture, number format, noise schedule, encoder and every weight's sums."""
        config = {key: value for key, value in dict(self.unet.config).items() if not key.startswith("_")}
        facts = json.dumps(config, sort_keys=True, default=str) + f"{self.dtype} {self.encoder.describe()}"
        return weight_digest(self.unet, facts.encode() + self.alphas.numpy().tobytes())

    def encode(self, pixels: Tensor) -> Posterior:
        """Turn (B, 3, H, W) in [0, 1] into a clean float32 latent (B, c, H / stride, W / stride).

        Raises:
            InvalidInput: if a side is not a multiple of ``multiple``.
        """
        check_sides(pixels, self.multiple)
        with torch.no_grad():
            return self.encoder(pixels.to(self.device).float() * 2 - 1)

    def add_noise(self, latent: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """The diffusion forward process: ``sqrt(abar_t) latent + sqrt(1 - abar_t) noise``.

        Args:
            latent: (B, c, h, w).
            noise: of the same shape, standard normal.
            timestep: raw noise index, 0 to 999; never a position in a sampler's list.

        Raises:
            InvalidInput: for a timestep outside the schedule.
        """
        if not 0 <= timestep < len(self.alphas):
            raise InvalidInput(f"timestep {timestep} is outside the noise schedule; use 0 to {len(self.alphas) - 1}")
        alpha = self.alphas[timestep]
        return float(alpha.sqrt()) * latent + float((1 - alpha).sqrt()) * noise

    def random_unet(self, seed: int) -> Any:
        """A UNet of the same architecture with random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            unet = type(self.unet).from_config(self.unet.config)
        return nn.Module.to(unet, self.device, self.dtype)
