"""What several backbones need: digests of weights, normalised pixels, and the answers of a network without text."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InvalidInput
from ..types import Heads, Posterior
from .base import Card

Colour = tuple[float, float, float]

IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
IMAGENET_STD: Colour = (0.229, 0.224, 0.225)


def weight_digest(module: nn.Module, facts: str | bytes) -> str:
    """A short digest of every weight's name, shape and bytes, and of the facts that weights do not tell."""
    digest = hashlib.blake2b(facts.encode() if isinstance(facts, str) else facts, digest_size=16)
    for name, weight in module.state_dict().items():
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


def check_sides(pixels: Tensor, multiple: int) -> None:
    """Refuse an input whose sides a network cannot divide into its cells.

    Raises:
        InvalidInput: if a side is not a multiple.
    """
    height, width = pixels.shape[-2:]
    if height % multiple or width % multiple:
        raise InvalidInput(f"the network's input is {width}x{height}; both sides must be a multiple of {multiple}")


def normalise(pixels: Tensor, mean: Colour, std: Colour) -> Posterior:
    """Shift and scale the colours of (B, 3, H, W) in [0, 1]; there is nothing to be unsure of."""
    shift, scale = (torch.tensor(colour, device=pixels.device).reshape(3, 1, 1) for colour in (mean, std))
    latent = (pixels.float() - shift) / scale
    return Posterior(latent, torch.zeros_like(latent))


def load_pretrained(network: Any, folder: Path, **options: Any) -> Any:
    """Load a model of the transformers library from a folder, quietly and whole.

    Args:
        network: its class.
        folder: with ``config.json`` and the weights; weights of parts that the class lacks are left out.
        **options: for ``from_pretrained``.

    Raises:
        RuntimeError: if a weight is missing; the library itself would make one up.
    """
    from transformers.utils import logging

    verbosity, shows_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        model, report = network.from_pretrained(folder, local_files_only=True, output_loading_info=True, **options)
    finally:
        logging.set_verbosity(verbosity)
        if shows_bars:
            logging.enable_progress_bar()
    if missing := sorted(report["missing_keys"]):
        raise RuntimeError(f"{len(missing)} of its weights are missing, such as {missing[0]}")
    return model


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
