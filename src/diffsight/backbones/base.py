"""What every backbone offers, and the table of what can be tapped from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import FitKind, Size
from ..types import AND, Capture, Heads, Posterior, Taps

Task = Literal["semantic", "geometric", "temporal", "segmentation"]


@dataclass(frozen=True)
class Tap:
    """A place of a network that can be read: a stage, or a transformer layer with its self- and cross-attention.

    Attributes:
        name: what ``Taps`` call it.
        module: path within the network: of a stage's block; of a layer's transformer block, with ``attn1`` (self)
            and ``attn2`` (cross).
        channels: of a stage's output, or of a layer's tokens.
        stride: network-input pixels a cell, or a query.
    """

    name: str
    module: str
    channels: int
    stride: int


@dataclass(frozen=True)
class TapTable:
    """All that a network can return, each list in the order of execution."""

    features: tuple[Tap, ...]
    attention: tuple[Tap, ...]

    def attention_groups(self, layers: tuple[str, ...] = ()) -> tuple[str, ...]:
        """Some attention layers, or all if none is named, joined by size, finest first, as ``Taps`` take them."""
        chosen = [tap for tap in self.attention if tap.name in layers or not layers]
        strides = sorted({tap.stride for tap in chosen})
        return tuple(AND.join(tap.name for tap in chosen if tap.stride == stride) for stride in strides)

    def check(self, taps: Taps) -> None:
        """Refuse names that the table does not hold.

        Raises:
            InvalidInput: names the first unknown stage or layer and lists the known ones.
        """
        stages, layers = [tap.name for tap in self.features], [tap.name for tap in self.attention]
        wanted = [(name, "stage", stages) for name in taps.features]
        joined = taps.self_attention + taps.cross_attention
        wanted += [(name, "attention layer", layers) for names in joined for name in names.split(AND)]
        for name, kind, known in wanted:
            if name not in known:
                raise InvalidInput(f"this model has no {kind} {name!r}; it has {', '.join(known) or 'none'}")
        for names in joined:
            strides = {tap.stride for tap in self.attention if tap.name in names.split(AND)}
            if len(strides) > 1:
                raise InvalidInput(f"the maps of {names!r} differ in size; join attention layers of one size only")
        if not taps.keys:
            raise InvalidInput(f"nothing to read; name at least one stage ({', '.join(stages)}) or attention layer")


@dataclass(frozen=True)
class ReadSettings:
    """How a photo is read; the default of a task is a row of the model's card.

    Attributes:
        stage: the feature stage that matching and cutting features use.
        timestep: noise index, 0 (clean) to 999 (pure noise).
        ensemble: noise draws averaged.
        size: (height, width) of the network's input, pixels.
        fit: how the photo is laid out in it.
        prompt: what the network is told to see.
        noise: whether noise is added; without it the network still gets the timestep.
        posterior: the mean of the encoder's posterior, or a draw from it.
        seed: of all draws; equal seeds give equal readings.
    """

    stage: str
    timestep: int
    ensemble: int
    size: Size
    fit: FitKind = "stretch"
    prompt: str = ""
    noise: bool = True
    posterior: Literal["mean", "sample"] = "mean"
    seed: int = 0


def clean_settings(stage: str, size: Size, fit: FitKind = "stretch") -> ReadSettings:
    """Settings for a network that takes neither noise nor timestep: one pass."""
    return ReadSettings(stage=stage, timestep=0, ensemble=1, size=size, fit=fit, noise=False)


def adjust(settings: ReadSettings, changes: dict[str, Any]) -> ReadSettings:
    """Replace single settings; None keeps the default.

    An ensemble of several draws has noise, also where the model is read without, unless ``noise`` is given as well.

    Raises:
        InvalidInput: for an unknown setting.
    """
    known = [field.name for field in fields(ReadSettings)]
    for name, value in changes.items():
        if name not in known:
            raise InvalidInput(f"unknown setting {name!r}; choose among {', '.join(known)}")
        if name in ("timestep", "ensemble", "seed") and not (value is None or isinstance(value, int)):
            raise InvalidInput(f"{name} is {value!r}; it must be a whole number")
        pair = isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(side, int) for side in value)
        if name == "size" and not (value is None or pair):
            raise InvalidInput(f"size is {value!r}; it must be (height, width) in whole pixels")
    after = replace(settings, **{name: value for name, value in changes.items() if value is not None})
    if (changes.get("ensemble") or 1) > 1 and changes.get("noise") is None and after.posterior != "sample":
        return replace(after, noise=True)
    return after


@dataclass(frozen=True)
class Card:
    """What a user wants to know of a model before choosing it.

    Attributes:
        name: as given to ``--model``.
        about: what it is good at, in a line.
        licence: of the weights.
        parameters: of all parts that are loaded, in millions.
        source: which network it is, or ``bundled``; where its weights can be had stands in ``weights``.
        tasks: default settings for each task.
        merge_layers: attention layers whose maps DiffSeg merges; all if empty, as in the paper.
        merge_threshold: distance (nats) below which it merges them.
        cut_threshold: cost below which DiffCut cuts this model's features.
        prompt: settings of prompt matching in which this model differs from the paper's, by name.
        track: settings of label propagation in which this model differs from the paper's for Stable Diffusion, by name.
        refine: settings of reading off matches in which this model differs from the published ones, by name.
        kind: of network, by which its loader is chosen.
        memory: what a pass at the semantic settings adds to the weights, one draw, float32, where it was measured.
        figure: what it reached where that was measured with this package.
    """

    name: str
    about: str
    licence: str
    parameters: float
    source: str
    tasks: dict[Task, ReadSettings] = field(repr=False)
    merge_layers: tuple[str, ...] = ()
    merge_threshold: float = 1.1
    cut_threshold: float = 0.2
    prompt: dict[str, Any] = field(default_factory=dict, repr=False)
    track: dict[str, Any] = field(default_factory=dict, repr=False)
    refine: dict[str, Any] = field(default_factory=dict, repr=False)
    kind: Literal["stable-diffusion", "adm", "vit", "vgg"] = "stable-diffusion"
    memory: str = "-"
    figure: str = "-"


class Backbone(Protocol):
    """A frozen network that can be read."""

    card: Card
    taps: TapTable
    device: torch.device

    @property
    def fingerprint(self) -> str:
        """A short digest of architecture, weights and number format."""

    @property
    def takes_noise(self) -> bool:
        """Whether timesteps and noise mean anything to the network."""

    @property
    def pooled_channels(self) -> int:
        """Channels of the pooled text that a context holds in its last row; 0 if it holds tokens only."""

    @property
    def multiple(self) -> int:
        """Both sides of the network's input must be a multiple of this many pixels."""

    def encode(self, pixels: Tensor) -> Posterior:
        """Turn (B, 3, H, W) in [0, 1] into a clean latent (B, c, h, w)."""

    def add_noise(self, latent: Tensor, noise: Tensor, timestep: int) -> Tensor:
        """Mix a latent with noise of the same shape as the schedule says for the timestep."""

    def context(self, prompts: Sequence[str]) -> Tensor:
        """Embed N prompts as (N, tokens, channels)."""

    def find_words(self, prompt: str, words: Sequence[str]) -> list[tuple[int, ...]]:
        """The tokens of each word (or phrase) in a prompt, wherever it occurs."""

    def read(self, latent: Tensor, timestep: int, context: Tensor, taps: Taps) -> Capture:
        """Run one pass on (B, c, h, w), as far as the taps need it."""

    def attend(self, layer: str, query: Tensor, context: Tensor, heads: Heads = "all") -> Tensor:
        """The cross-attention (B, queries, tokens) of queries that were read as ``LAYER.query`` to another context."""

    def untrained(self, seed: int = 0) -> Backbone:
        """The same architecture with random weights: what training is held against."""

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for an input of (height, width) times ``multiple`` pixels."""
