"""What a step of training asks of the model: to denoise, and to know where things are."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbones.capture import attention_map
from ..device import pick_dtype
from .data import Batch
from .pocket import Pocket
from .recipe import STRIDE, Recipe

NAMING_TEMPERATURE = 0.1
"""Of the softmax over the words that a feature may point to."""


def training_loss(pocket: Pocket, alphas: Tensor, batch: Batch, generator: torch.Generator, recipe: Recipe) -> Tensor:
    """The denoising error (v-prediction), how badly the questions' words are found, and how far attention strays."""
    device = alphas.device
    latent = pocket.encoder(batch.pictures.to(device) * 2 - 1).mean
    mean, spread = recipe.timesteps
    t = (torch.randn(len(latent), generator=generator) * spread + mean).sigmoid().mul(len(alphas)).long().to(device)
    noise = torch.randn(latent.shape, generator=generator).to(device)
    signal, sigma = alphas[t].sqrt().view(-1, 1, 1, 1), (1 - alphas[t]).sqrt().view(-1, 1, 1, 1)
    velocity = signal * noise - sigma * latent
    prompt, questions = (
        pocket.words(pocket.words.tokenize(texts).to(device)) for texts in (batch.prompts, batch.questions)
    )
    questions = questions.reshape(len(latent), -1, questions.shape[-1])
    format_ = pick_dtype(device)
    with (
        torch.autocast(device.type, format_, enabled=format_ is torch.bfloat16),
        _listening(pocket, recipe.grounding, questions) as found,
        _listening(pocket, recipe.gathering) as gathered,
        _watching(pocket, recipe.naming) as seen,
    ):
        predicted = pocket.unet(signal * latent + sigma * noise, t, prompt).sample
    brightness, chroma = (predicted.float() - velocity).square().split((STRIDE**2, 2 * STRIDE**2), dim=1)
    places, things = batch.places.to(device), batch.things.to(device)
    loss = brightness.mean() + recipe.chroma_weight * chroma.mean()
    if found:
        loss += recipe.grounding_weight * torch.stack([grounding(own, places, alphas[t]) for own in found]).mean()
    if gathered:
        loss += recipe.gathering_weight * torch.stack([gathering(own, things, alphas[t]) for own in gathered]).mean()
    if seen:
        loss += recipe.naming_weight * torch.stack([naming(own, questions, places, alphas[t]) for own in seen]).mean()
    return loss


@contextmanager
def _listening(pocket: Pocket, layers: tuple[str, ...], context: Tensor | None = None) -> Iterator[list[Tensor]]:
    """Keep the attention of some layers as a pass runs: to the picture itself, or to another text than is shown.

    The queries are those of the pass; the maps (B, queries, keys) are appended layer by layer. A text that the network
    is not shown teaches it to know a part when nobody names it to it.
    """
    maps: list[Tensor] = []

    def keep(attn: Any, inputs: tuple[Tensor, ...]) -> None:
        maps.append(attention_map(attn, inputs[0], context))

    modules = {layer.name: layer.module for layer in pocket.taps.attention}
    kind = "attn1" if context is None else "attn2"
    handles = [pocket.unet.get_submodule(f"{modules[name]}.{kind}").register_forward_pre_hook(keep) for name in layers]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _watching(pocket: Pocket, stages: tuple[str, ...]) -> Iterator[list[Tensor]]:
    """Keep the features (B, C, h, w) of some transformers as a pass runs."""
    maps: list[Tensor] = []

    def keep(_module: Any, _inputs: Any, output: tuple[Tensor, ...]) -> None:
        maps.append(output[0])

    modules = {tap.name: tap.module for tap in pocket.taps.features}
    handles = [pocket.unet.get_submodule(modules[name]).register_forward_hook(keep) for name in stages]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()


def grounding(attention: Tensor, places: Tensor, visibility: Tensor) -> Tensor:
    """How far the attention of tokens is from what they name (after TokenCompose, Wang et al., CVPR 2024).

    Every cell should attend to the tokens that name what it shows rather than to others that name something, and the
    attention of a token should lie where that is.

    Args:
        attention: (B, queries, tokens), rows sum to 1.
        places: (B, tokens, PLACES, PLACES), share of each cell that shows what a token names.
        visibility: (B,) weight of each row: how much of the picture the noise leaves.
    """
    side = math.isqrt(attention.shape[1])
    share = F.adaptive_avg_pool2d(places, side).flatten(2)
    named = (share.sum(dim=2) > 0.5).float()
    share = share * named[..., None]
    attention = attention.float().transpose(1, 2) * named[..., None] + 1e-6
    wanted = share / share.sum(dim=1, keepdim=True).clamp(min=1e-6)
    weight = visibility[:, None, None] * wanted
    by_cell = -(weight * (attention / attention.sum(dim=1, keepdim=True)).log()).sum() / weight.sum().clamp(min=1e-6)
    inside = (attention * share).sum(dim=2) / attention.sum(dim=2)
    weight = visibility[:, None] * named
    by_token = -(weight * inside.clamp(min=1e-4).log()).sum() / weight.sum().clamp(min=1e-6)
    return by_cell + by_token


def gathering(attention: Tensor, things: Tensor, visibility: Tensor) -> Tensor:
    """How far the attention of cells is from being spread evenly over the object that they show: the divergence of
    Kullback and Leibler from the even spread.

    Args:
        attention: (B, queries, keys) of a square picture to itself, rows sum to 1.
        things: (B, PLACES, PLACES), the object of each cell; rows of -1 do not count.
        visibility: (B,) weight of each row: how much of the picture the noise leaves.
    """
    side = math.isqrt(attention.shape[1])
    known = (things[:, 0, 0] >= 0).float()
    shown = F.one_hot(things.clamp(min=0)).permute(0, 3, 1, 2).float()
    share = F.adaptive_avg_pool2d(shown, side).flatten(2).transpose(1, 2)
    even = share / share.sum(dim=1, keepdim=True).clamp(min=1e-6)
    best = torch.special.xlogy(even, even).sum(dim=1, keepdim=True)
    strays = best - attention.float().clamp(min=1e-8).log() @ even
    weight = (visibility * known)[:, None, None] * share
    return (weight * strays).sum() / weight.sum().clamp(min=1e-6)


def naming(features: Tensor, words: Tensor, places: Tensor, visibility: Tensor) -> Tensor:
    """How far the features of cells point from the words for what the cells show, and to others (after GLIP, Li et al.,
    CVPR 2022).

    Args:
        features: (B, C, side, side).
        words: (B, tokens, C) of the questions.
        places: (B, tokens, PLACES, PLACES), share of each cell that shows what a token names.
        visibility: (B,) weight of each row: how much of the picture the noise leaves.
    """
    share = F.adaptive_avg_pool2d(places, features.shape[-1]).flatten(2)
    named = (share.sum(dim=2) > 0.5)[..., None]
    wanted = named * share / share.sum(dim=2, keepdim=True).clamp(min=1e-6)
    cosines = F.normalize(words.float(), dim=2) @ F.normalize(features.float().flatten(2), dim=1)
    weight = visibility[:, None, None] * wanted
    chosen = (cosines / NAMING_TEMPERATURE).masked_fill(~named, -1e4).log_softmax(dim=1)
    return -(weight * chosen).sum() / weight.sum().clamp(min=1e-6)
