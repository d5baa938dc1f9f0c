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
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from ..errors import InvalidInput, ModelUnavailable
from ..types import AND, Capture, Heads, Posterior, Taps
from .base import Card
from .capture import attend, run_tapped, unet_taps
from .common import load_pretrained, weight_sums
from .diffusion import DiffusionBackbone, Encoder, load_part
from .pixels import PixelBlocks
from .words import WordTable, split_words

SCHEDULE_KEYS = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas")
"""What the noise schedule is made from; every scheduler class stores it under these names."""


class Text(Protocol):
    """Turns prompts into what the UNet's cross-attention reads."""

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, tokens, channels)."""

    def token_spans(self, prompt: str) -> list[tuple[int, int]]:
        """First and last + 1 character of each token; equal for marks that stand for no character."""


class VaeEncoder:
    """The encoder half of an ``AutoencoderKL``."""

    def __init__(self, vae: Any) -> None:
        self.vae = vae
        self.stride = 2 ** (len(vae.config.block_out_channels) - 1)

    def describe(self) -> str:
        """A digest of the weights and the scaling factor."""
        digest = hashlib.blake2b(str(self.vae.config.scaling_factor).encode(), digest_size=16)
        for weight in self.vae.state_dict().values():
            digest.update(weight_sums(weight))
        return digest.hexdigest()

    def __call__(self, pixels: Tensor) -> Posterior:
        """The scaled posterior of (B, 3, H, W) as (B, c, H / stride, W / stride)."""
        posterior = self.vae.encode(pixels).latent_dist
        scale = self.vae.config.scaling_factor
        return Posterior(posterior.mean.float() * scale, posterior.std.float() * scale)


class ClipText:
    """A CLIP text encoder that is loaded for new prompts and released again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, 77, channels).

        Raises:
            ModelUnavailable: if tokenizer or encoder cannot be loaded.
        """
        from safetensors import SafetensorError
        from transformers import CLIPTextModel

        tokenizer = self._tokenizer()
        try:
            encoder = load_pretrained(CLIPTextModel, self.folder / "text_encoder")
        except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
            raise _unusable(self.folder, error) from error
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

        try:
            return CLIPTokenizerFast.from_pretrained(self.folder / "tokenizer", local_files_only=True)
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise _unusable(self.folder, error) from error


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
        super().__init__(card, unet, encoder, alphas, taps, encoder.stride, device, dtype)
        self.text = text
        self._contexts: dict[str, Tensor] = {}

    def untrained(self, seed: int = 0) -> LatentBackbone:
        """The same architecture, encoder and text with random UNet weights: what training is held against."""
        card = replace(self.card, name=f"untrained {self.card.name}")
        unet = self.random_unet(seed)
        return LatentBackbone(card, unet, self.encoder, self.alphas, self.text, self.device, self.dtype)

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
        tokens = query.flatten(2).transpose(1, 2).to(self.device, self.dtype)
        return attend(attn, tokens, context.to(tokens), heads=heads)

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for a latent of (height, width): activations and maps."""
        total = 40 * self.taps.features[0].channels * height * width * self.dtype.itemsize
        strides = {layer.name: layer.stride for layer in self.taps.attention}
        for name in taps.self_attention:
            queries = height * width * self.encoder.stride**2 // strides[name.split(AND)[0]] ** 2
            total += 3 * 4 * queries**2
        return total


def load_latent(folder: Path, card: Card, device: torch.device, dtype: torch.dtype) -> LatentBackbone:
    """Assemble a backbone from a folder in the hub's layout (``unet``, ``scheduler``, ``text_encoder``, ``vae`` ...).

    Raises:
        ModelUnavailable: if the folder lacks a part or a part does not fit.
    """
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from safetensors import SafetensorError

    try:
        unet = load_part(UNet2DConditionModel, folder / "unet", device, dtype)
        schedule = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
        if not ("trained_betas" in schedule or {"beta_schedule", "beta_start", "beta_end"} <= schedule.keys()):
            raise KeyError("scheduler_config.json names no noise schedule")
        alphas = DDPMScheduler(**{k: v for k, v in schedule.items() if k in SCHEDULE_KEYS}).alphas_cumprod.double()
        index = json.loads((folder / "model_index.json").read_text()) if (folder / "model_index.json").exists() else {}
        encoder: Encoder
        if (folder / "pixels").is_dir():
            encoder = PixelBlocks.from_pretrained(folder / "pixels")
        else:
            vae = load_part(AutoencoderKL, folder / "vae", device, dtype, without=("decoder", "post_quant_conv"))
            encoder = VaeEncoder(vae.eval().requires_grad_(False))
        is_words = index.get("text_encoder", [""])[-1] == "WordTable"
        text: Text = WordText(folder) if is_words else ClipText(folder)
        for part in () if is_words else ("tokenizer", "text_encoder"):
            if not (folder / part).is_dir():
                raise FileNotFoundError(f"no {part}/")
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RuntimeError, SafetensorError) as error:
        raise _unusable(folder, error) from error
    return LatentBackbone(card, unet, encoder, alphas, text, device, dtype)


def _unusable(folder: Path, error: Exception) -> ModelUnavailable:
    from safetensors import SafetensorError

    if isinstance(error, SafetensorError):
        return ModelUnavailable(f"a weights file in {folder} is damaged or cut off ({error}); fetch the model again")
    return ModelUnavailable(
        f"{folder} is not a usable model ({' '.join(str(error).split())[:300]}); it must hold unet/, scheduler/, "
        "text_encoder/, tokenizer/ and vae/ as a Stable Diffusion repository does"
    )
