"""How the bundled model is trained: every number that its training depends on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

STRIDE, CHROMA = 2, 0.15
"""Pocket reads 2x2 blocks of pixels as cells of 12 channels, the colour channels at 15 % of their strength."""

TOKENS = 32
"""Length of a caption."""

UNET: dict[str, Any] = {
    "sample_size": 32,
    "in_channels": 3 * STRIDE**2,
    "out_channels": 3 * STRIDE**2,
    "block_out_channels": (64, 128, 256),
    "layers_per_block": 1,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3,
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 128,
    "attention_head_dim": (2, 2, 4),  # the number of heads, by an old slip in diffusers' naming
    "norm_num_groups": 16,
}

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "clip_sample": False,
    "prediction_type": "v_prediction",
}


@dataclass(frozen=True)
class Stage:
    """A stretch of training at one picture size.

    Attributes:
        side: side of the square pictures, pixels.
        batch: pictures a step.
        pictures: pictures in all.
        rate: (first, last) learning rate, joined by half a cosine.
    """

    side: int
    batch: int
    pictures: int
    rate: tuple[float, float]

    @property
    def steps(self) -> int:
        """Optimiser steps of the stage."""
        return self.pictures // self.batch


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run; equal recipes and data on one machine give equal weights.

    Attributes:
        stages: run one after the other.
        first_picture: seed of the first world picture: where a run whose weights are started from ended.
        photo_share: share of real photos in a batch, where photos are given.
        backdrop_share: share of world pictures painted on a crop of a photo, where photos are given.
        veil_share: share of world pictures seen through a faint photo, so that they have the texture of photos.
        veil: (least, most) strength of that photo.
        mixing: the two shares above rise from zero to full between these two pictures of the run; with both from the
            start the network settles on guessing by position, and finds no parts for a long time.
        face_share: share of pictures of one object that must show a face; the rest show any kind.
        lifelike_share: share of world pictures in which faces and persons have the colours of people.
        develop_share: share of world pictures that lose colour, and likewise of those with another gamma, a blur, or
            JPEG blocks.
        empty_share: share of captions replaced by the empty one.
        drop_share: share of words left out of the other captions.
        questions: texts that a picture is asked about at once.
        zone_share: share of world pictures whose questions name zones of parts ("left ear top").
        label_share: share of world pictures whose questions name zones, or every part apart ("left ear"); the rest are
            asked by their captions.
        crowd_share: share of world pictures that show several objects.
        timesteps: mean and spread of the logit of t / 1000; most are drawn where shapes show and colours do not.
        ema: decay of the averaged weights, which are the ones kept.
        chroma_weight: of the colour channels in the loss; brightness has 1.
        grounding: layers whose cross-attention is asked where things are.
        grounding_weight: of that lesson in the loss.
        gathering: layers whose self-attention is taught to spread evenly over the object that a cell shows.
        gathering_weight: of that lesson in the loss.
        naming: transformers whose features, cell by cell, are taught to point to the words for what the cell shows.
        naming_weight: of that lesson in the loss.
        warmup: steps over which the learning rate rises.
        seed: of weights, noise, timesteps and captions.
    """

    stages: tuple[Stage, ...] = (
        Stage(side=64, batch=16, pictures=15_360, rate=(6e-4, 5e-4)),
        Stage(side=96, batch=16, pictures=20_800, rate=(5e-4, 1e-5)),
    )
    first_picture: int = 128_800
    photo_share: float = 0.08
    backdrop_share: float = 0.25
    veil_share: float = 0.25
    veil: tuple[float, float] = (0.05, 0.3)
    mixing: tuple[int, int] = (0, 1)
    face_share: float = 0.1
    lifelike_share: float = 0.5
    develop_share: float = 0.15
    empty_share: float = 0.5
    drop_share: float = 0.15
    questions: int = 3
    zone_share: float = 0.7
    label_share: float = 0.9
    crowd_share: float = 0.25
    timesteps: tuple[float, float] = (-2.6, 1.3)
    ema: float = 0.995
    chroma_weight: float = 10.0
    grounding: tuple[str, ...] = ("up0.a1", "up1.a0")
    grounding_weight: float = 0.25
    gathering: tuple[str, ...] = ("up1.a1",)
    gathering_weight: float = 0.25
    naming: tuple[str, ...] = ("up1.a0",)
    naming_weight: float = 1.0
    warmup: int = 50
    weight_decay: float = 0.01
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimiser steps of all stages."""
        return sum(stage.steps for stage in self.stages)

    def at(self, step: int) -> tuple[Stage, int]:
        """The stage that a step belongs to, and the step's number within it."""
        for stage in self.stages:
            if step < stage.steps:
                return stage, step
            step -= stage.steps
        raise IndexError(f"step {step} lies beyond the last stage")
