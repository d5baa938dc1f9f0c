"""A diffusion transformer with its encoder as a backbone; experimental, as ``dit.py`` is.

Left out: the text encoders. The embeddings of all prompts are given, as ``encode_prompt`` of the diffusers pipelines
returns them. Attention cannot be read: there is no cross-attention, and text and image share one self-attention.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..types import Capture, Posterior, Taps
from .base import Card, ReadSettings, Tap, TapTable, Task
from .colours import check_sides
from .dit import FAMILIES, PATCH, STEPS, DitSettings, block_paths, read_blocks
from .fingerprint import weight_digest
from .latent import VaeEncoder
from .loading import DECODER, load_module, refusing
from .text import join_pooled, split_pooled
from .textless import Textless
from .weights.files import read_config


@dataclass(frozen=True)
class PromptEmbedding:
    """A prompt as a transformer reads it.

    Attributes:
        tokens: (tokens, channels).
        pooled: (channels,) one vector for the whole prompt, no longer than a token's.
    """

    tokens: Tensor
    pooled: Tensor


class DitBackbone(Textless):
    """A frozen diffusion transformer with its encoder.

    Args:
        card: what it is.
        transformer: a diffusers ``FluxTransformer2DModel`` or ``SD3Transformer2DModel``.
        vae: its ``AutoencoderKL``; the decoder is not used.
        prompts: the embedding of every prompt that will be asked for.
        settings: what is done to a block's input.
    """

    def __init__(
        self, card: Card, transformer: Any, vae: Any, prompts: Mapping[str, PromptEmbedding], settings: DitSettings
    ) -> None:
        self.card = card
        self.transformer = transformer.eval().requires_grad_(False)
        self.encoder = VaeEncoder(vae.eval().requires_grad_(False))
        self.shift: float = vae.config.shift_factor or 0.0
        self.prompts = dict(prompts)
        self.settings = settings
        self.device: torch.device = transformer.device
        self.dtype: torch.dtype = transformer.dtype
        blocks = block_paths(transformer).items()
        self.taps = TapTable(
            tuple(Tap(name, path, transformer.inner_dim, self.multiple) for name, path in blocks), attention=()
        )

    @property
    def multiple(self) -> int:
        """Both sides of the network's input must be a multiple of this many pixels: those of one token."""
        return self.encoder.stride * PATCH

    @property
    def takes_noise(self) -> bool:
        """It was trained on noise."""
        return True

    @property
    def pooled_channels(self) -> int:
        """Channels of the pooled text in a context's last row."""
        return self.transformer.config.pooled_projection_dim

    @cached_property
    def fingerprint(self) -> str:
        """A short digest of architecture, settings, number format, encoder and every weight's sums."""
        config = {key: value for key, value in dict(self.transformer.config).items() if not key.startswith("_")}
        facts = (json.dumps(config, sort_keys=True, default=str), self.settings, self.dtype, self.shift)
        return weight_digest(self.transformer, f"{facts} {self.encoder.describe()}")

    def encode(self, pixels: Tensor) -> Posterior:
        """Turn (B, 3, H, W) in [0, 1] into a clean float32 latent (B, c, H / stride, W / stride), shifted and scaled.

        Raises:
            InvalidInput: if a side is not a multiple of a token's.
        """
        check_sides(pixels, self.multiple)
        with torch.no_grad():
            posterior = self.encoder(pixels.to(self.device).float() * 2 - 1)
        return replace(posterior, mean=posterior.mean - self.shift * self.encoder.vae.config.scaling_factor)

    def add_noise(self, latent: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """The straight way of rectified flow: ``(1 - t) latent + t noise`` with t = timestep / 1000.

        Raises:
            InvalidInput: for a timestep outside 0 to 999.
        """
        if not 0 <= timestep < STEPS:
            raise InvalidInput(f"timestep {timestep} is outside the noise schedule; use 0 to {STEPS - 1}")
        return torch.lerp(latent, noise, timestep / STEPS)

    def context(self, prompts: Sequence[str]) -> Tensor:
        """The given embeddings of N prompts as (N, tokens + 1, channels), the pooled one last.

        Raises:
            InvalidInput: for a prompt whose embedding was not given.
        """
        if unknown := [prompt for prompt in prompts if prompt not in self.prompts]:
            known = ", ".join(map(repr, self.prompts)) or "none"
            raise InvalidInput(
                f"the embedding of the prompt {unknown[0]!r} was not given (known: {known}); compute it with "
                "encode_prompt of the model's diffusers pipeline"
            )
        found = [self.prompts[prompt] for prompt in prompts]
        tokens, pooled = torch.stack([own.tokens for own in found]), torch.stack([own.pooled for own in found])
        return join_pooled(tokens, pooled).to(self.device, self.dtype)

    def read(self, latent: Tensor, timestep: int, context: Tensor, taps: Taps) -> Capture:
        """Run one pass on (B, c, h, w) up to the last wanted block; each map is (B, C, h / 2, w / 2).

        Gradients flow to latent and context if they ask for them.

        Raises:
            InvalidInput: for an unknown block, or for attention, which is not offered.
        """
        self.taps.check(taps)
        tokens, pooled = split_pooled(context.to(self.device, self.dtype), self.pooled_channels)
        latent = latent.to(self.device, self.dtype)
        found = read_blocks(self.transformer, latent, timestep, tokens, pooled, taps.features, self.settings)
        return Capture(taps, tuple(found[name] for name in taps.features))

    def untrained(self, seed: int = 0) -> DitBackbone:
        """The same architecture, encoder and prompts with random transformer weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            transformer = type(self.transformer).from_config(self.transformer.config)
        nn.Module.to(transformer, self.device, self.dtype)
        card = replace(self.card, name=f"untrained {self.card.name}")
        return DitBackbone(card, transformer, self.encoder.vae, self.prompts, self.settings)

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for (height, width) tokens: activations and maps."""
        return (20 + len(taps.features)) * self.taps.features[0].channels * height * width * self.dtype.itemsize


def load_dit(
    folder: Path | str,
    prompts: Mapping[str, PromptEmbedding],
    settings: DitSettings | None = None,
    *,
    device: torch.device,
    dtype: torch.dtype,
) -> DitBackbone:
    """Load a transformer and its encoder from a folder in the hub's layout (``transformer/`` and ``vae/``).

    Every task reads the middle block by default, which is the paper's for FLUX.1-dev and a guess for others.

    Raises:
        ModelUnavailable: if a part is missing, damaged or of an unknown kind.
    """
    import diffusers

    folder = Path(folder)
    kind = read_config(folder / "transformer" / "config.json").get("_class_name")
    with refusing(folder, "it must hold transformer/ and vae/ as a FLUX.1 or Stable Diffusion 3 repository does"):
        if kind not in FAMILIES:
            raise ValueError(f"its transformer is a {kind}; known are {', '.join(FAMILIES)}")
        transformer = load_module(getattr(diffusers, kind), folder / "transformer", device, dtype)
        vae = load_module(diffusers.AutoencoderKL, folder / "vae", device, dtype, without=DECODER)
    blocks = list(block_paths(transformer))
    reading = ReadSettings(stage=blocks[len(blocks) // 2], timestep=260, ensemble=8, size=(640, 640))
    card = Card(
        name=folder.name,
        about="a diffusion transformer from a folder; experimental",
        licence="see their source",
        parameters=sum(weight.numel() for part in (transformer, vae) for weight in part.parameters()) / 1e6,
        source=str(folder),
        tasks=dict.fromkeys(get_args(Task), reading),
    )
    return DitBackbone(card, transformer, vae, prompts, settings or DitSettings())
