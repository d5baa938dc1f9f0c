"""Diffusion UNets with an encoder in front: Stable Diffusion 1.x and 2.x, and the bundled model, in one class.

They differ in their parts, never in their path: an encoder (a VAE's, or blocks of pixels), a text encoder (CLIP, or a
word table), a noise schedule and a UNet. Only these are loaded: no decoder, no safety checker, no pipeline.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..types import AND, Capture, Heads, Posterior, Taps
from .base import Card
from .capture import attend, run_tapped, unet_taps
from .parts import load_schedule, load_text_encoder, load_unet, load_vae, unusable
from .pixels import PixelBlocks
from .weights import Weights
from .words import WordTable, split_words


def _sums(weight: Tensor) -> bytes:
    """Two sums that a change of any entry, or of their order, alters."""
    flat = weight.detach().flatten().double().cpu()
    ramp = torch.linspace(0.5, 1.5, flat.numel(), dtype=torch.float64)
    return torch.stack([flat.sum(), (flat * ramp).sum()]).numpy().tobytes()


class Text(Protocol):
    """Turns prompts into what the UNet's cross-attention reads."""

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, tokens, channels)."""

    def token_spans(self, prompt: str) -> list[tuple[int, int]]:
        """First and last + 1 character of each token; equal for marks that stand for no character."""


class Encoder(Protocol):
    """Turns pixels into the latent that the UNet was trained on."""

    stride: int

    def describe(self) -> str:
        """What sets this encoder apart from others, for fingerprints."""

    def __call__(self, pixels: Tensor) -> Posterior:
        """Encode (B, 3, H, W) in [-1, 1]."""


class VaeEncoder:
    """The encoder half of an ``AutoencoderKL``."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.stride = 2 ** (len(vae.config.block_out_channels) - 1)

    def describe(self) -> str:
        """A digest of the weights and the scaling factor."""
        digest = hashlib.blake2b(str(self.vae.config.scaling_factor).encode(), digest_size=16)
        for weight in self.vae.state_dict().values():
            digest.update(_sums(weight))
        return digest.hexdigest()

    def __call__(self, pixels: Tensor) -> Posterior:
        """The scaled posterior of (B, 3, H, W) as (B, c, H / stride, W / stride)."""
        posterior = self.vae.encode(pixels).latent_dist
        scale = self.vae.config.scaling_factor
        return Posterior(posterior.mean.float() * scale, posterior.std.float() * scale)


class ClipText:
    """A CLIP text encoder that is loaded for new prompts and released again."""

    def __init__(self, weights: Weights, dtype: torch.dtype) -> None:
        self.weights = weights
        self.dtype = dtype

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, 77, channels).

        Raises:
            ModelUnavailable: if tokenizer or encoder cannot be loaded.
        """
        from safetensors import SafetensorError

        tokenizer = self._tokenizer()
        try:
            encoder = load_text_encoder(self.weights, self.dtype)
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise unusable(self.weights.having("text_encoder"), error) from error
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        ids = tokenizer(list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        with torch.no_grad():
            return encoder(ids.input_ids)[0].float()

    def token_spans(self, prompt: str) -> list[tuple[int, int]]:
        """First and last + 1 character of each token; equal for marks that stand for no character."""
        tokenizer = self._tokenizer()
        found = tokenizer(prompt, truncation=True, return_offsets_mapping=True)
        return [(start, end) for start, end in found["offset_mapping"]]

    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizerFast

        folder = self.weights.having("tokenizer")
        try:
            return CLIPTokenizerFast.from_pretrained(folder / "tokenizer", local_files_only=True)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise unusable(folder, error) from error


class WordText:
    """The bundled model's word table."""

    def __init__(self, folder: Path) -> None:
        self.table = WordTable.from_pretrained(folder / "text_encoder").float()

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, length, channels)."""
        with torch.no_grad():
            return self.table(self.table.tokenize(prompts))

    def token_spans(self, prompt: str) -> list[tuple[int, int]]:
        """First and last + 1 character of each token; equal for the start mark."""
        self.table.tokenize([prompt])
        return [(0, 0), *(span for _, span in split_words(prompt))][: self.table.length]


class LatentBackbone:
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
        self.card = card
        self.unet = unet.eval().requires_grad_(False)
        self.encoder = encoder
        self.alphas = alphas
        self.text = text
        self.device = device
        self.dtype = dtype
        self.taps = unet_taps(unet.config, encoder.stride)
        self._contexts: dict[str, Tensor] = {}

    def untrained(self, seed: int = 0) -> LatentBackbone:
        """The same architecture, encoder and text with random UNet weights: what training is held against."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            unet = type(self.unet).from_config(self.unet.config)
        card = replace(self.card, name=f"untrained {self.card.name}")
        nn.Module.to(unet, self.device, self.dtype)
        return LatentBackbone(card, unet, self.encoder, self.alphas, self.text, self.device, self.dtype)

    @cached_property
    def fingerprint(self) -> str:
        """A short digest of architecture, number format, noise schedule, encoder and every weight's sums."""
        digest = hashlib.blake2b(digest_size=16)
        config = {key: value for key, value in dict(self.unet.config).items() if not key.startswith("_")}
        digest.update(json.dumps(config, sort_keys=True, default=str).encode())
        digest.update(f"{self.dtype} {self.encoder.describe()}".encode())
        digest.update(self.alphas.numpy().tobytes())
        for name, weight in self.unet.state_dict().items():
            digest.update(f"{name}{tuple(weight.shape)}".encode() + _sums(weight))
        return digest.hexdigest()

    @property
    def multiple(self) -> int:
        """Both sides of the network's input must be a multiple of this many pixels."""
        return self.encoder.stride

    def encode(self, pixels: Tensor) -> Posterior:
        """Turn (B, 3, H, W) in [0, 1] into a clean float32 latent (B, c, H / stride, W / stride).

        Raises:
            InvalidInput: if a side is not a multiple of the stride.
        """
        height, width = pixels.shape[-2:]
        if height % self.multiple or width % self.multiple:
            raise InvalidInput(
                f"the network's input is {width}x{height}; both sides must be a multiple of {self.multiple}"
            )
        with torch.no_grad():
            return self.encoder(pixels.to(self.device, self.dtype) * 2 - 1)

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

    def context(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, tokens, channels); each distinct prompt is encoded once."""
        new = [prompt for prompt in dict.fromkeys(prompts) if prompt not in self._contexts]
        if new:
            self._contexts.update(zip(new, self.text(new), strict=True))
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

        def forward() -> None:
            self.unet(
                latent.to(self.device, self.dtype), timestep, encoder_hidden_states=context.to(self.device, self.dtype)
            )

        capture = run_tapped(self.unet, self.taps, taps, forward)
        height, width = (side * self.encoder.stride for side in latent.shape[-2:])
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
        return attend(attn, query.flatten(2).transpose(1, 2), context.to(query), heads=heads)

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for a latent of (height, width): activations and maps."""
        total = 40 * self.taps.features[0].channels * height * width * self.dtype.itemsize
        strides = {layer.name: layer.stride for layer in self.taps.attention}
        for name in taps.self_attention:
            queries = height * width * self.encoder.stride**2 // strides[name.split(AND)[0]] ** 2
            total += 3 * 4 * queries**2
        return total


def load_latent(weights: Weights, card: Card, device: torch.device, dtype: torch.dtype) -> LatentBackbone:
    """Assemble a backbone from the parts of a Stable Diffusion network, or of the bundled one.

    Raises:
        ModelUnavailable: if a part is lacking or does not fit.
    """
    from safetensors import SafetensorError

    path = weights.path
    try:
        unet = load_unet(weights, device, dtype)
        alphas = load_schedule(weights)
        index = json.loads((path / "model_index.json").read_text()) if (path / "model_index.json").exists() else {}
        encoder: Encoder
        if (path / "pixels").is_dir():
            encoder = PixelBlocks.from_pretrained(path / "pixels")
        else:
            encoder = VaeEncoder(load_vae(weights, device, dtype).eval().requires_grad_(False))
        is_words = index.get("text_encoder", [""])[-1] == "WordTable"
        text: Text = WordText(path) if is_words else ClipText(weights, dtype)
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise unusable(path, error) from error
    return LatentBackbone(card, unet, encoder, alphas, text, device, dtype)
