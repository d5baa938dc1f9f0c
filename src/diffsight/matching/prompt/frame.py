"""A photo squeezed into a square, its crops, and what the network's attention makes of them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbones.base import Backbone
from ...device import derive_seed
from ...grid import Fit, Points
from ...images import network_input
from ...probe import out_of_memory
from ...types import Picture, Taps
from .settings import PromptSettings, crop_starts


def start_range(point: float, side: int, crop: int, margin: int) -> tuple[int, int]:
    """Least and greatest start of a crop along an axis that keeps ``point`` off its border where the frame allows."""
    free, pixel = side - crop, int(point)
    return min(max(0, pixel - crop + margin), free), min(max(0, pixel - margin), free)


class Frame:
    """A photo squeezed into a square, and the latents of its crops."""

    def __init__(self, backbone: Backbone, picture: Picture, settings: PromptSettings) -> None:
        self.backbone, self.settings, self.side = backbone, settings, settings.size
        self.fit = Fit.make("stretch", picture.size, (self.side, self.side))
        self.pixels = network_input(picture, self.fit)
        self.digest = hashlib.blake2b(self.pixels.numpy().tobytes(), digest_size=16).hexdigest()
        self.crop = int(self.side * settings.crop)
        self.margin = int(settings.margin * self.crop)
        self.starts = crop_starts(settings)
        self.latents: dict[tuple[int, int], Tensor] = {}
        self.queries: dict[tuple[int, int], list[Tensor]] = {}

    def to_frame(self, points: Points) -> Points:
        """Photo pixels to frame pixels."""
        return self.fit.to_grid(points, self.fit.network) + 0.5

    def to_photo(self, points: Points) -> Points:
        """Frame pixels to photo pixels."""
        return self.fit.to_pixels(points - 0.5, self.fit.network)

    def draw(self, point: npt.NDArray[np.float64], generator: torch.Generator) -> tuple[int, int]:
        """Where a crop around a point starts, (x, y)."""
        chosen = []
        for at in point:
            low, high = start_range(float(at), self.side, self.crop, self.margin)
            legal = self.starts[(self.starts >= low) & (self.starts <= high)]
            chosen.append(int(legal[torch.randint(len(legal), (1,), generator=generator)]))
        return chosen[0], chosen[1]

    def latent(self, start: tuple[int, int]) -> Tensor:
        """The clean latent of a crop at the frame's size, (c, h, w)."""
        if start in self.latents:
            return self.latents[start]
        x, y = start
        window = self.pixels[None, :, y : y + self.crop, x : x + self.crop]
        resized = F.interpolate(window, (self.side, self.side), mode="bilinear", align_corners=False)
        self.latents[start] = self.backbone.encode(resized).mean[0]
        return self.latents[start]

    def noisy(self, start: tuple[int, int], timestep: int, generator: torch.Generator) -> Tensor:
        """The latent of a crop as the network gets it."""
        latent = self.latent(start)
        kind = self.settings.noise
        if kind == "none":
            return latent
        noise = (torch.randn if kind == "gaussian" else torch.rand)(latent.shape, generator=generator)
        return self.backbone.add_noise(latent, noise.to(latent), timestep)

    def frozen(self, start: tuple[int, int], timestep: int, layers: Sequence[str], *purpose: object) -> list[Tensor]:
        """The queries of a crop under the empty prompt, a (c, h, w) map for each layer; read once."""
        if start not in self.queries:
            generator = seeded(self.settings.seed, self.digest, *purpose, start)
            taps = Taps(features=tuple(f"{layer}.query" for layer in layers))
            noisy = self.noisy(start, timestep, generator)[None]
            with torch.no_grad():
                capture = self.backbone.read(noisy, timestep, self.backbone.context([""]), taps)
            self.queries[start] = [m[0].float() for m in capture.maps]
        return self.queries[start]


def seeded(*parts: object) -> torch.Generator:
    """A generator whose draws depend on all parts and on nothing else."""
    return torch.Generator().manual_seed(derive_seed(*parts))


def attention(
    frame: Frame,
    starts: Sequence[tuple[int, int]],
    timestep: int,
    vectors: Tensor,
    layers: Sequence[str],
    seeds: Sequence[tuple[object, ...]],
) -> list[Tensor]:
    """The supervised token's map in each layer, (B, n, n), for rows with their own crop, noise and embedding."""
    settings, backbone = frame.settings, frame.backbone
    if settings.mode == "frozen_queries":
        queries = [frame.frozen(start, timestep, layers, "queries") for start in starts]
        stacked = [torch.stack(own) for own in zip(*queries, strict=True)]
        maps = [
            backbone.attend(layer, query, vectors, settings.heads) for layer, query in zip(layers, stacked, strict=True)
        ]
    else:
        noisy = [
            frame.noisy(start, timestep, seeded(settings.seed, frame.digest, *seed))
            for start, seed in zip(starts, seeds, strict=True)
        ]
        taps = Taps(cross_attention=tuple(layers), heads=settings.heads)
        capture = backbone.read(torch.stack(noisy), timestep, vectors, taps)
        maps = [capture[key] for key in taps.keys]
    columns = [m[:, :, settings.token] for m in maps]
    return [column.unflatten(1, (math.isqrt(column.shape[1]),) * 2) for column in columns]


def read_attention(
    frame: Frame,
    starts: Sequence[tuple[int, int]],
    timestep: int,
    vectors: Tensor,
    layers: Sequence[str],
    seeds: Sequence[tuple[object, ...]],
    rows: int,
) -> list[Tensor]:
    """As ``attention``, without gradients, on the CPU, so many rows in a pass, or fewer where memory runs out."""
    found: list[list[Tensor]] = []
    first = 0
    while first < len(vectors):
        part = slice(first, first + rows)
        try:
            with torch.no_grad():
                maps = attention(frame, starts[part], timestep, vectors[part], layers, seeds[part])
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or rows == 1:
                raise
            rows = max(1, rows // 2)
            continue
        found.append([m.float().cpu() for m in maps])
        first += rows
    return [torch.cat(own) for own in zip(*found, strict=True)]


def rows_within(frame: Frame, layers: Sequence[str], memory: int) -> int:
    """How many rows of a pass fit a budget in bytes, at least one."""
    side = frame.side // frame.backbone.multiple
    return max(1, memory // frame.backbone.row_bytes(side, side, Taps(cross_attention=tuple(layers))))
