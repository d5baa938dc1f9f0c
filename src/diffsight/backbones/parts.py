"""The parts of a Stable Diffusion network, from a folder in the layout of diffusers or from a single file."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .loading import DECODER, build_module, load_module, load_transformer, refusing
from .weights import Weights, checkpoint
from .weights.files import read_config
from .weights.layout import Part

SCHEDULE_KEYS = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas")
"""What the noise schedule is made from; every scheduler class stores it under these names."""

OF_STABLE_DIFFUSION = "give a whole checkpoint of Stable Diffusion 1.x or 2.x"


def load_unet(weights: Weights, device: torch.device, dtype: torch.dtype) -> Any:
    """The UNet, its weights held once in memory."""
    from diffusers import UNet2DConditionModel

    source = weights.having("unet")
    if source.is_dir():
        return load_module(UNet2DConditionModel, source / "unet", device, dtype)
    with refusing(f"the UNet in {source}", OF_STABLE_DIFFUSION):
        return build_module(UNet2DConditionModel, *checkpoint.read_unet(source), device, dtype)


def load_vae(weights: Weights, device: torch.device, dtype: torch.dtype) -> Any:
    """The autoencoder without its decoder."""
    from diffusers import AutoencoderKL

    source = weights.having("vae")
    if source.is_dir():
        return load_module(AutoencoderKL, source / "vae", device, dtype, without=DECODER)
    with refusing(f"the autoencoder in {source}", OF_STABLE_DIFFUSION):
        return build_module(AutoencoderKL, *checkpoint.read_vae(source), device, dtype, without=DECODER)


def load_text_encoder(weights: Weights, dtype: torch.dtype, part: Part = "text_encoder") -> Any:
    """A CLIP text encoder, in float32 on the CPU; the second one of XL also gives a pooled vector."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    source = weights.having(part)
    if not source.is_dir():
        with refusing(f"the text encoder in {source}", OF_STABLE_DIFFUSION):
            return checkpoint.read_text_encoder(source)
    kind = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
    return load_transformer(kind, source / part, dtype).float()


def load_schedule(weights: Weights) -> Tensor:
    """The cumulative products (abar) of the noise schedule, (timesteps,) float64."""
    from diffusers import DDPMScheduler

    source = weights.having("scheduler")
    path = source / "scheduler" / "scheduler_config.json"
    schedule = read_config(path) if source.is_dir() else checkpoint.SCHEDULE
    with refusing(path, "it must name trained_betas, or beta_schedule, beta_start and beta_end"):
        if not ("trained_betas" in schedule or {"beta_schedule", "beta_start", "beta_end"} <= schedule.keys()):
            raise ValueError("it names no noise schedule")
        return DDPMScheduler(**{k: v for k, v in schedule.items() if k in SCHEDULE_KEYS}).alphas_cumprod.double()
