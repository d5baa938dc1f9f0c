"""How prompts are learnt and read, every quirk of the released code as a named setting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ...backbones.base import Backbone, Card, TapTable
from ...changes import parse_changes
from ...errors import InvalidInput
from ...types import Heads, Taps

Mode = Literal["exact", "frozen_queries"]
Noise = Literal["gaussian", "uniform", "none"]
Rows = Literal["all", "supervised"]
Combine = Literal["mean", "median"]


@dataclass(frozen=True)
class PromptSettings:
    """Settings of learning and reading; the defaults are the paper's description, ``hedlin`` the released code.

    Attributes:
        size: side of the frame, pixels.
        layers: cross-attention layers; if empty, those of the coarsest stage on the way up and the first of the next.
        heads: which heads are averaged.
        token: whose map is asked for.
        rows: which tokens of the embedding are learnt: all, or the supervised one only.
        noise: its distribution. The released code's is uniform in [0, 1), which the model was not trained on.
        fit_timestep, read_timestep: noise index while learning and while reading.
        rounds: embeddings a point, each from its own random start.
        steps, rate: of Adam.
        sigma: of the Gaussian that the map shall become.
        half_pixel: the centre of the first pixel is at 0.5; the released code puts the Gaussian's at 0.
        crop: side of the random crops.
        margin: least distance of the point from a crop's border where the frame allows it, as a share of the crop.
        crops: of a target, when reading.
        offsets: places a side that crops start from, so that a photo is encoded ``offsets ** 2`` times at most; 0 for
            any place, encoded anew every time.
        pixel_softmax: each layer's map goes through a softmax over pixels before they are averaged.
        combine: the mean of the rounds' maps, or the median of their peaks.
        mode: ``exact``; or ``frozen_queries``, an approximation that ignores how an embedding changes the features it
            is compared with, and costs a fraction.
        seed: of all draws; equal seeds give equal results.
        preset: which one these are, for the record; says so if a setting was changed since.
    """

    size: int = 512
    layers: tuple[str, ...] = ()
    heads: Heads = "all"
    token: int = 1
    rows: Rows = "all"
    noise: Noise = "gaussian"
    fit_timestep: int = 140
    read_timestep: int = 140
    rounds: int = 5
    steps: int = 129
    rate: float = 0.0023755632081200314
    sigma: float = 27.97853316316864 / 512
    half_pixel: bool = True
    crop: float = 0.9316549294381423
    margin: float = 0.15
    crops: int = 20
    offsets: int = 6
    pixel_softmax: bool = True
    combine: Combine = "mean"
    mode: Mode = "exact"
    seed: int = 0
    preset: str = "default"

    def __post_init__(self) -> None:
        for own in fields(self):
            value = getattr(self, own.name)
            kinds: tuple[type, ...] = {"int": (int,), "float": (int, float)}.get(str(own.type), (object,))
            if not isinstance(value, kinds):
                raise InvalidInput(f"{own.name} is {value!r}; it must be a number of type {own.type}")
        for name in ("steps", "rounds", "crops", "size"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; use 1 or more")
        for name in ("sigma", "rate"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 < self.crop <= 1:
            raise InvalidInput(f"crop is {self.crop}; it must be above 0 and at most 1 (the whole photo)")
        if not 0 <= self.margin < 0.5:
            raise InvalidInput(f"margin is {self.margin}; it must be at least 0 and below 0.5")
        if self.offsets < 0 or self.offsets == 1:
            raise InvalidInput(f"offsets is {self.offsets}; use 2 or more a side, or 0 for any")
        choices = {"heads": Heads, "noise": Noise, "mode": Mode, "rows": Rows, "combine": Combine}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise InvalidInput(f"unknown {name} {getattr(self, name)!r}; use {', '.join(get_args(kind))}")


PRESETS = {
    "default": PromptSettings(),
    "hedlin": PromptSettings(
        heads="last_half", noise="uniform", read_timestep=40, offsets=0, half_pixel=False, preset="hedlin"
    ),
}
"""The paper's description, and what the released code does."""


CHANGED = ", changed"


def settings_for(card: Card, preset: str = "default", *, size: int | None = None, **changes: Any) -> PromptSettings:
    """A preset for a model: in the size that it was made for, and with what its card changes in the default one.

    Raises:
        InvalidInput: for an unknown preset or setting.
    """
    if preset not in PRESETS:
        raise InvalidInput(f"unknown preset {preset!r}; use {', '.join(PRESETS)}")
    own = card.prompt if preset == "default" else {}
    side = card.tasks["semantic"].size[0] if size is None else size
    return replace(PRESETS[preset], **{"size": side, **own, **changes, **({} if size is None else {"size": size})})


def change(settings: PromptSettings, texts: Sequence[str]) -> PromptSettings:
    """Replace settings by ``NAME=VALUE`` texts.

    Raises:
        InvalidInput: for an unknown name or an unsuitable value.
    """
    changed = replace(settings, **parse_changes(settings, texts, fixed=("preset",)))
    if replace(changed, seed=settings.seed) == settings:
        return changed
    return replace(changed, preset=f"{settings.preset.removesuffix(CHANGED)}{CHANGED}")


def default_layers(table: TapTable) -> tuple[str, ...]:
    """The layers of the coarsest stage on the way up that has attention, and the first of the next.

    For Stable Diffusion at 512 px these are ``up1.a0``, ``up1.a1``, ``up1.a2`` (16x16) and ``up2.a0`` (32x32).

    Raises:
        InvalidInput: for a model without cross-attention.
    """
    rising = [tap for tap in table.attention if tap.name.startswith("up")]
    if not rising:
        raise InvalidInput("this model has no cross-attention, which prompts light up; use Stable Diffusion or pocket")
    coarsest = max(tap.stride for tap in rising)
    first = [tap.name for tap in rising if tap.stride == coarsest]
    return (*first, *[tap.name for tap in rising if tap.stride < coarsest][:1])


def map_sides(backbone: Backbone, settings: PromptSettings) -> tuple[int, ...]:
    """The side of each layer's map, cells."""
    strides = {tap.name: tap.stride for tap in backbone.taps.attention}
    return tuple(settings.size // strides[layer] for layer in settings.layers or default_layers(backbone.taps))


def check_settings(backbone: Backbone, settings: PromptSettings) -> tuple[str, ...]:
    """The layers, once it is sure that the network can follow the settings.

    Raises:
        InvalidInput: for layers or a size that the network does not have.
    """
    layers = settings.layers or default_layers(backbone.taps)
    backbone.taps.check(Taps(cross_attention=layers))
    step = max(tap.stride for tap in backbone.taps.attention)
    if settings.size % step:
        raise InvalidInput(f"size {settings.size} does not suit; it must be a multiple of {step}")
    if backbone.pooled_channels:
        raise InvalidInput(
            f"{backbone.card.name} reads a pooled vector besides its tokens, for which prompts cannot be learnt; use "
            "Stable Diffusion 1.x or 2.x, or pocket"
        )
    tokens = backbone.context([""]).shape[1]
    if not 0 <= settings.token < tokens:
        raise InvalidInput(f"token {settings.token} does not exist; this model's text has tokens 0 to {tokens - 1}")
    crop = int(settings.size * settings.crop)
    if crop < 1:
        raise InvalidInput(
            f"crop {settings.crop} of {settings.size} pixels is less than one; use a larger crop or size"
        )
    legal = crop - 2 * int(settings.margin * crop) + 1  # places where a crop may start for a point in the middle
    if int(np.diff(crop_starts(settings)).max(initial=0)) > legal:
        raise InvalidInput(
            f"with crop {settings.crop}, margin {settings.margin} and {settings.offsets} offsets no crop keeps every "
            "point off its border; use more offsets, or 0 for any, or a smaller margin"
        )
    return layers


def crop_starts(settings: PromptSettings) -> npt.NDArray[np.int64]:
    """The places along an axis of the frame where crops may start."""
    free = settings.size - int(settings.size * settings.crop)
    places = np.rint(np.linspace(0, free, settings.offsets)) if settings.offsets else np.arange(free + 1)
    return np.unique(places.astype(np.int64))
