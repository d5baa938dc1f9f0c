"""From prompts to what a UNet's cross-attention reads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import ModelUnavailable
from .loading import refusing
from .parts import load_text_encoder
from .weights import Weights
from .weights.layout import Part
from .words import WordTable, split_words


def join_pooled(tokens: Tensor, pooled: Tensor) -> Tensor:
    """Append the text's pooled vectors (N, P) to its tokens (N, T, C) as one more row, filled up with zeros.

    So that a context is one tensor, (N, T + 1, C), whatever else than tokens the network wants.
    """
    return torch.cat([tokens, F.pad(pooled, (0, tokens.shape[2] - pooled.shape[1]))[:, None]], dim=1)


def split_pooled(context: Tensor, channels: int) -> tuple[Tensor, Tensor]:
    """Tokens and pooled vectors again, of a context made by ``join_pooled``; all tokens if ``channels`` is 0."""
    if channels == 0:
        return context, context.new_zeros(len(context), 0)
    return context[:, :-1], context[:, -1, :channels]


class Text(Protocol):
    """Turns prompts into what the UNet's cross-attention reads."""

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, tokens, channels)."""

    def token_spans(self, prompt: str) -> list[tuple[int, int]]:
        """First and last + 1 character of each token; equal for marks that stand for no character."""


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
        return self._encode(prompts, "tokenizer", "text_encoder")[0].float()

    def token_spans(self, prompt: str) -> list[tuple[int, int]]:
        """First and last + 1 character of each token; equal for marks that stand for no character."""
        tokenizer = self._tokenizer("tokenizer")
        found = tokenizer(prompt, truncation=True, return_offsets_mapping=True)
        return [(start, end) for start, end in found["offset_mapping"]]

    def _encode(self, prompts: Sequence[str], tokenizer_part: Part, encoder_part: Part) -> Any:
        """What an encoder makes of N prompts: all that it returns, hidden states included."""
        tokenizer = self._tokenizer(tokenizer_part)
        encoder = load_text_encoder(self.weights, self.dtype, encoder_part)
        if len(tokenizer) != encoder.config.vocab_size:
            raise ModelUnavailable(
                f"{self.weights.having(tokenizer_part) / tokenizer_part} knows {len(tokenizer)} tokens, the text "
                f"encoder {encoder.config.vocab_size}: it is damaged or another network's; give the one that belongs"
            )
        length = min(tokenizer.model_max_length, encoder.config.max_position_embeddings)
        ids = tokenizer(list(prompts), padding="max_length", max_length=length, truncation=True, return_tensors="pt")
        with torch.no_grad():
            return encoder(ids.input_ids, output_hidden_states=True)

    def _tokenizer(self, part: Part) -> Any:
        from transformers import CLIPTokenizerFast

        folder = self.weights.having(part) / part
        with refusing(folder, "it must hold tokenizer.json, or vocab.json and merges.txt, whole; fetch them again"):
            return CLIPTokenizerFast.from_pretrained(folder, local_files_only=True)


class XlText(ClipText):
    """The two text encoders of Stable Diffusion XL (Podell et al., 2023, arXiv 2307.01952)."""

    def __call__(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, 77 + 1, channels): both encoders' last but one layer, then the second's pooled vector.

        Raises:
            ModelUnavailable: if a tokenizer or encoder cannot be loaded.
        """
        first = self._encode(prompts, "tokenizer", "text_encoder")
        second = self._encode(prompts, "tokenizer_2", "text_encoder_2")
        tokens = torch.cat([found.hidden_states[-2] for found in (first, second)], dim=2)
        return join_pooled(tokens, second.text_embeds).float()


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
