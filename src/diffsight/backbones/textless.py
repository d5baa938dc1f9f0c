"""What networks that take no text, and maybe no noise either, answer alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch
from torch import Tensor

from ..errors import InvalidInput
from ..types import Heads
from .base import Card


class Textless:
    """What every network that takes no text answers alike."""

    card: Card

    @property
    def pooled_channels(self) -> int:
        """No text is pooled."""
        return 0

    def context(self, prompts: Sequence[str]) -> Tensor:
        """An empty context for each prompt."""
        return torch.zeros(len(prompts), 0, 0)

    def find_words(self, prompt: str, words: Sequence[str]) -> NoReturn:
        """Refuse: the network reads no words."""
        raise InvalidInput(
            f"the model {self.card.name!r} reads no words, so not {', '.join(words)}; use a model that reads text"
        )

    def attend(self, layer: str, query: Tensor, context: Tensor, heads: Heads = "all") -> NoReturn:
        """Refuse: without text there is no cross-attention."""
        raise InvalidInput(
            f"the model {self.card.name!r} has no cross-attention, so no layer {layer!r}; use a model that reads text"
        )


class Noiseless(Textless):
    """What every network that takes neither text nor noise answers alike."""

    @property
    def takes_noise(self) -> bool:
        """It knows none."""
        return False

    def add_noise(self, latent: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """Leave the latent as it is."""
        return latent
