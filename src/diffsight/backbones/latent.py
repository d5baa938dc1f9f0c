"""Diffusion UNets with an encoder in front: Stable Diffusion 1.x, 2.x and XL, and the bundled model.

They differ in their parts, never in their path: an encoder (a VAE's, or blocks of pixels), a text encoder (CLIP, or a
word table), a noise schedule and a UNet. Only these are loaded: no decoder, no safety checker, no pipeline.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from ..errors import InvalidInput, ModelUnavailable
from ..types import AND, Capture, Heads, Posterior, Taps
from .attention import tile_attention
from .base import Card
from .capture import attend, run_tapped, unet_taps
from .diffusion import DiffusionBackbone, Encoder
from .fingerprint import weight_digest
from .loading import refusing
from .parts import load_schedule, load_unet, load_vae
from .pixels import PixelBlocks
from .text import ClipText, Text, WordText, XlText, split_pooled
from .weights import Weights
from .weights.files import read_config

# Weights are held with the channels of a pixel side by side (channels_last): convolutions on them are faster.


class VaeEncoder:
    """The encoder half of an ``AutoencoderKL``."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae.to(memory_format=torch.channels_last)
        self.stride = 2 ** (len(vae.config.block_out_channels) - 1)
        self.scale = float(vae.config.scaling_factor)
        if not self.scale > 0:
            raise ValueError(f"the autoencoder's scaling_factor is {self.scale}")

    def describe(self) -> str:
        """A digest of the weights and the scaling factor."""
        return weight_digest(self.vae, str(self.vae.config.scaling_factor))

    def __call__(self, pixels: Tensor) -> Posterior:
        """The scaled posterior of (B, 3, H, W) as (B, c, H / stride, W / stride)."""
        posterior = self.vae.encode(pixels.to(self.vae.dtype)).latent_dist
        return Posterior(posterior.mean.float() * self.scale, posterior.std.float() * self.scale)


class LatentBackbone(DiffusionBackbone):
    """A frozen latent-diffusion UNet with its encoder, schedule and text encoder."""

    def __init__(
        self,
        card: Card,
        unet: Any,
        encoder: Encoder,
        alphas: Tensor,
        text: Text,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        taps = unet_taps(unet, encoder.stride)
        unet = unet.to(memory_format=torch.channels_last)
        tile_attention(unet, device, dtype)
        super().__init__(card, unet, encoder, alphas, taps, encoder.stride, device, dtype)
        self.text = text
        self._contexts: dict[str, Tensor] = {}

    def untrained(self, seed: int = 0) -> LatentBackbone:
        """The same architecture, encoder and text with random UNet weights: what training is held against."""
        card = replace(self.card, name=f"untrained {self.card.name}")
        unet = self.random_unet(seed)
        return LatentBackbone(card, unet, self.encoder, self.alphas, self.text, self.device, self.dtype)

    @property
    def pooled_channels(self) -> int:
        """Channels of the pooled text that a context holds in its last row; 0 but for XL."""
        config = self.unet.config
        if not wants_pooled(self.unet):
            return 0
        return int(config.projection_class_embeddings_input_dim - 6 * config.addition_time_embed_dim)

    def context(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, tokens, channels); each distinct prompt is encoded once."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._contexts]
        if new:
            found = self.text(new)
            wanted = self.unet.config.cross_attention_dim
            if found.shape[-1] != wanted:
                raise ModelUnavailable(
                    f"the text encoder of {self.card.name} gives {found.shape[-1]} channels, its UNet reads {wanted}: "
                    "they are parts of different networks; give weights that belong together"
                )
            self._contexts.update(zip(new, found, strict=True))
        return torch.stack([self._contexts[prompt] for prompt in prompts]).to(self.device, self.dtype)

    def find_words(self, prompt: str, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of each word (or phrase) in a prompt, wherever it occurs, found by their characters.

        Raises:
            InvalidInput: for a word that the prompt does not hold, or only beyond what the model reads.
        """
        spans = self.text.token_spans(prompt)
        found = []
        for word in words:
            places = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(word.lower())}(?!\w)", prompt.lower())]
            tokens = [i for i, (start, end) in enumerate(spans) if any(a < end and start < b for a, b in places)]
            if not places:
                raise InvalidInput(f"the prompt {prompt!r} does not hold the word {word!r}")
            if not tokens:
                raise InvalidInput(
                    f"{word!r} does not reach the model, which reads {len(spans)} tokens of this text; give fewer "
                    "words, and no fillers or numbers"
                )
            found.append(tuple(tokens))
        return found

    def read(self, latent: Tensor, timestep: int, context: Tensor, taps: Taps) -> Capture:
        """Run one pass on (B, c, h, w) with (B, tokens, channels), as far as the taps need it.

        Gradients flow to latent and context if they ask for them.
        """
        height, width = (side * self.encoder.stride for side in latent.shape[-2:])
        tokens, pooled = split_pooled(context.to(self.device, self.dtype), self.pooled_channels)
        # the size that the photo had, where it was cropped, the size that it shall have
        sizes = torch.tensor([[height, width, 0, 0, height, width]], device=self.device).expand(len(latent), -1)
        conditions = {"text_embeds": pooled, "time_ids": sizes} if self.pooled_channels else None

        def forward() -> None:
            self.unet(
                latent.to(self.device, self.dtype),
                timestep,
                encoder_hidden_states=tokens,
                added_cond_kwargs=conditions,
            )

        capture = run_tapped(self.unet, self.taps, taps, forward)
        strides = {f"feature:{tap.name}": tap.stride for tap in self.taps.features}
        maps = [
            # what an attention module returns is a row of tokens, not a grid
            m.transpose(1, 2).unflatten(2, (height // strides[key], width // strides[key]))
            if key in strides and m.ndim == 3
            else m
            for key, m in zip(taps.keys, capture.maps, strict=True)
        ]
        return replace(capture, maps=tuple(maps))

    def attend(self, layer: str, query: Tensor, context: Tensor, heads: Heads = "all") -> Tensor:
        """The cross-attention (B, queries, tokens) of queries that were read as ``LAYER.query`` to another context."""
        module = next(tap.module for tap in self.taps.attention if tap.name == layer)
        attn = self.unet.get_submodule(f"{module}.attn2")
        queries = query.flatten(2).transpose(1, 2).to(self.device, self.dtype)
        return attend(attn, queries, split_pooled(context.to(queries), self.pooled_channels)[0], heads=heads)

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for a latent of (height, width): activations and maps."""
        total = 40 * self.taps.features[0].channels * height * width * self.dtype.itemsize
        strides = {layer.name: layer.stride for layer in self.taps.attention}
        for name in taps.self_attention:
            queries = height * width * self.encoder.stride**2 // strides[name.split(AND)[0]] ** 2
            total += 3 * 4 * queries**2
        return total


def wants_pooled(unet: Any) -> bool:
    """Whether a UNet is conditioned on the pooled text and sizes besides its tokens, as XL's is."""
    return bool(unet.config.addition_embed_type == "text_time")


def load_latent(weights: Weights, card: Card, device: torch.device, dtype: torch.dtype) -> LatentBackbone:
    """Assemble a backbone from the parts of a Stable Diffusion network, or of the bundled one.

    Raises:
        ModelUnavailable: if a part is lacking or does not fit.
    """
    path = weights.path
    unet = load_unet(weights, device, dtype)
    alphas = load_schedule(weights)
    with refusing(path, "its parts must be those of one Stable Diffusion network"):
        encoder: Encoder
        if (path / "pixels").is_dir():
            encoder = PixelBlocks.from_pretrained(path / "pixels")
        else:
            # in half precision XL's autoencoder overflows
            whole = torch.float32 if wants_pooled(unet) and dtype == torch.float16 else dtype
            encoder = VaeEncoder(load_vae(weights, device, whole).eval().requires_grad_(False))
        index = read_config(path / "model_index.json") if (path / "model_index.json").exists() else {}
        is_words = index.get("text_encoder", [""])[-1] == "WordTable"
        kind = XlText if wants_pooled(unet) else ClipText
        text: Text = WordText(path) if is_words else kind(weights, dtype)
        return LatentBackbone(card, unet, encoder, alphas, text, device, dtype)
