"""ADM: OpenAI's diffusion network for 256 px ImageNet without classes (Dhariwal and Nichol, 2021, arXiv 2105.05233).

It works on pixels, knows no text, and is what the DIFT paper (arXiv 2306.03881) reads beside Stable Diffusion.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..types import Capture, Posterior, Taps
from .adm_layout import DOWN, FIXED, RELEASED, UP, AdmConfig, convert
from .base import Card, Tap, TapTable
from .capture import run_tapped
from .diffusion import DiffusionBackbone
from .loading import load_module, refusing
from .textless import Textless
from .weights.files import read_config, read_state


def adm_taps(config: Any) -> TapTable:
    """The tap table of a ``UNet2DModel`` with ADM's options, from its configuration.

    The stages are ``out0``, ``out1``, ...: the output blocks as the papers count them, each a residual block with its
    attention and its upsampler where it has them.
    """
    depth, per_level = len(config.up_block_types), config.layers_per_block + 1
    features: list[Tap] = []
    for level, kind in enumerate(config.up_block_types):
        for layer in range(per_level):
            rises = layer == per_level - 1 and level < depth - 1
            part = f"attentions.{layer}" if kind == UP[True] else f"resnets.{layer}"
            path = f"up_blocks.{level}.{'upsamplers.0' if rises else part}"
            stride = 2 ** (depth - 1 - level - rises)
            features.append(Tap(f"out{len(features)}", path, config.block_out_channels[depth - 1 - level], stride))
    return TapTable(tuple(features), ())


class Pixels:
    """The encoder of a network that works on pixels."""

    stride = 1

    def describe(self) -> str:
        """What sets this encoder apart from others, for fingerprints."""
        return "pixels"

    def __call__(self, pixels: Tensor) -> Posterior:
        """Take (B, 3, H, W) in [-1, 1] as they are, without uncertainty."""
        return Posterior(pixels.float(), torch.zeros_like(pixels, dtype=torch.float32))


class AdmBackbone(Textless, DiffusionBackbone):
    """ADM, frozen: reads pixels, knows no text.

    Args:
        card: of the model.
        unet: a ``UNet2DModel`` with the options of ``AdmConfig.unet_options``.
        device, dtype: that it is on and in.
    """

    def __init__(self, card: Card, unet: Any, device: torch.device, dtype: torch.dtype) -> None:
        alphas = (1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)).cumprod(dim=0)
        multiple = 2 ** (len(unet.config.block_out_channels) - 1)
        super().__init__(card, unet, Pixels(), alphas, adm_taps(unet.config), multiple, device, dtype)

    def untrained(self, seed: int = 0) -> AdmBackbone:
        """The same architecture with random weights."""
        card = replace(self.card, name=f"untrained {self.card.name}")
        return AdmBackbone(card, self.random_unet(seed), self.device, self.dtype)

    def read(self, latent: Tensor, timestep: int, context: Tensor, taps: Taps) -> Capture:
        """Run one pass on (B, 3, H, W), as far as the taps need it; gradients flow to the latent if it asks."""
        pixels = latent.to(self.device, self.dtype)
        return run_tapped(self.unet, self.taps, taps, lambda: self.unet(pixels, timestep))

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for an input of (height, width) times ``multiple`` pixels."""
        pixels = height * width * self.multiple**2
        return 16 * self.unet.config.block_out_channels[0] * pixels * self.dtype.itemsize


def load_adm(
    path: Path, card: Card, device: torch.device, dtype: torch.dtype, config: AdmConfig = RELEASED
) -> AdmBackbone:
    """Load ADM from the released file, or from a diffusers folder.

    Args:
        path: ``256x256_diffusion_uncond.pt`` or the same weights as ``.safetensors``; or a folder with config.json and
            diffusion_pytorch_model.safetensors.
        card: of the model.
        device, dtype: where and in which format to hold the network.
        config: shape of the network in a released file; a folder says its own.

    Raises:
        ModelUnavailable: if there is no such file, it is cut off, its weights are another network's, or it holds
            anything but weights; a pickled program is not run.
    """
    from diffusers import UNet2DModel

    advice = "give 256x256_diffusion_uncond.pt as OpenAI released it, or a diffusers folder of it"
    with refusing(f"ADM in {path}", advice):
        if path.is_dir():
            _check_folder(read_config(path / "config.json"))
            unet = load_module(UNet2DModel, path, device, dtype)
        else:
            with torch.device("meta"):
                unet = UNet2DModel(**config.unet_options())
            state = convert(read_state(path), config)
            _check_shapes(state, unet)
            unet.load_state_dict({name: weight.to(device, dtype) for name, weight in state.items()}, assign=True)
        return AdmBackbone(card, unet, device, dtype)


def _check_shapes(state: dict[str, Tensor], unet: Any) -> None:
    """Name the first weight that is missing or of another shape."""
    for name, weight in unet.state_dict().items():
        found = tuple(state[name].shape) if name in state else "missing"
        if found != tuple(weight.shape):
            raise ValueError(f"its weight {name} is {found}, not {tuple(weight.shape)}")


def _check_folder(config: dict[str, Any]) -> None:
    """Name the first option in which a diffusers network differs from ADM's."""
    if config.get("_class_name") != "UNet2DModel":
        raise ValueError(f"its config.json is of {config.get('_class_name')!r}, not of a UNet2DModel")
    kinds = {*config["down_block_types"], *config["up_block_types"]} - {*DOWN.values(), *UP.values()}
    if kinds:
        raise ValueError(f"its network is built of {min(kinds)}, which ADM is not")
    for option, value in FIXED.items():
        if config.get(option, value) != value:
            raise ValueError(f"its network has {option} {config[option]!r}, ADM has {value!r}")
