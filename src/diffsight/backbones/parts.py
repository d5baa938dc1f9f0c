"""The parts of a Stable Diffusion network, from a folder in the layout of diffusers or from a single file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import ModelUnavailable
from .common import load_pretrained
from .weights import Weights, checkpoint
from .weights.layout import STEMS, Missing, Part, weight_files

SCHEDULE_KEYS = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end", "trained_betas")
"""What the noise schedule is made from; every scheduler class stores it under these names."""

DECODER = ("decoder", "post_quant_conv")
"""The half of an autoencoder that is never loaded."""


def load_unet(weights: Weights, device: torch.device, dtype: torch.dtype) -> Any:
    """The UNet, its weights held once in memory."""
    from diffusers import UNet2DConditionModel

    source = weights.having("unet")
    if source.is_dir():
        return load_part(UNet2DConditionModel, source / "unet", device, dtype)
    return _build(UNet2DConditionModel, *checkpoint.read_unet(source), device, dtype)


def load_vae(weights: Weights, device: torch.device, dtype: torch.dtype) -> Any:
    """The autoencoder without its decoder."""
    from diffusers import AutoencoderKL

    source = weights.having("vae")
    if source.is_dir():
        return load_part(AutoencoderKL, source / "vae", device, dtype, without=DECODER)
    return _build(AutoencoderKL, *checkpoint.read_vae(source), device, dtype, without=DECODER)


def load_text_encoder(weights: Weights, dtype: torch.dtype, part: Part = "text_encoder") -> Any:
    """A CLIP text encoder, in float32 on the CPU; the second one of XL also gives a pooled vector."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    source = weights.having(part)
    if not source.is_dir():
        return checkpoint.read_text_encoder(source)
    kind = CLIPTextModel if part == "text_encoder" else CLIPTextModelWithProjection
    return load_transformer(kind, source / part, dtype).float()


def load_transformer(kind: Any, folder: Path, dtype: torch.dtype, **options: Any) -> Any:
    """A model of the transformers library from its folder: its 16-bit files where those are what was picked.

    Raises:
        FileNotFoundError: if there are no weights as safetensors.
        RuntimeError: if a weight is missing.
    """
    files = _weight_files(folder, STEMS["text_encoder"], dtype)
    variant = "fp16" if ".fp16" in files[0].name else None
    return load_pretrained(kind, folder, variant=variant, use_safetensors=True, **options)


def load_schedule(weights: Weights) -> Tensor:
    """The cumulative products (abar) of the noise schedule, (timesteps,) float64."""
    from diffusers import DDPMScheduler

    source = weights.having("scheduler")
    schedule = checkpoint.SCHEDULE
    if source.is_dir():
        schedule = json.loads((source / "scheduler" / "scheduler_config.json").read_text())
    if not ("trained_betas" in schedule or {"beta_schedule", "beta_start", "beta_end"} <= schedule.keys()):
        raise KeyError("scheduler_config.json names no noise schedule")
    return DDPMScheduler(**{k: v for k, v in schedule.items() if k in SCHEDULE_KEYS}).alphas_cumprod.double()


def unusable(path: Path, error: Exception) -> ModelUnavailable:
    """What to tell the user of weights that do not load."""
    from safetensors import SafetensorError

    if isinstance(error, SafetensorError):
        return ModelUnavailable(f"a weights file in {path} is damaged or cut off ({error}); fetch the model again")
    return ModelUnavailable(
        f"{path} is not a usable model ({' '.join(str(error).split())[:300]}); it must hold unet/, scheduler/, "
        "text_encoder/, tokenizer/ and vae/ as a Stable Diffusion repository does"
    )


def load_part(kind: Any, folder: Path, device: torch.device, dtype: torch.dtype, without: tuple[str, ...] = ()) -> Any:
    """A diffusers module from its folder, without its unwanted children, its weights held once in memory."""
    from safetensors.torch import load_file

    config = json.loads((folder / "config.json").read_text())
    files = _weight_files(folder, STEMS["unet"], dtype)
    state = {key: tensor for path in files for key, tensor in load_file(path).items()}
    return _build(kind, config, state, device, dtype, without)


def _build(
    kind: Any,
    config: dict[str, Any],
    state: dict[str, Tensor],
    device: torch.device,
    dtype: torch.dtype,
    without: tuple[str, ...] = (),
) -> Any:
    """Build a diffusers module without its unwanted children."""
    with torch.device("meta"):
        module = kind.from_config(config)
    for child in without:
        setattr(module, child, None)
    kept = {_modern(k): v.to(device, dtype) for k, v in state.items() if k.split(".")[0] not in without}
    module.load_state_dict(kept, assign=True)
    return module


def _weight_files(folder: Path, stem: str, dtype: torch.dtype) -> list[Path]:
    try:
        names = weight_files([path.name for path in folder.iterdir()], stem, half=dtype != torch.float32)
    except Missing as missing:
        raise FileNotFoundError(f"{folder}: {missing}") from None
    return [folder / name for name in names]


def _modern(key: str) -> str:
    """The present name of a weight; autoencoders saved before 2023 call their attention projections otherwise."""
    for old, new in ((".query.", ".to_q."), (".key.", ".to_k."), (".value.", ".to_v."), (".proj_attn.", ".to_out.0.")):
        key = key.replace(old, new)
    return key
