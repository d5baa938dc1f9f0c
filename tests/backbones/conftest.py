"""Small networks of every kind, saved in the layouts that the large ones are published in."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from diffsight.backbones.adm_layout import AdmConfig

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory, tiny_sd, tiny_sd2, tiny_xl):
    """By kind of network: a folder or file that ``DIFFSIGHT_...`` may name."""
    from diffusers import UNet2DModel
    from transformers import CLIPVisionConfig, CLIPVisionModel, Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    root = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    ViTModel(ViTConfig(**SMALL, image_size=32, patch_size=8), add_pooling_layer=False).save_pretrained(root / "dino")
    Dinov2Model(Dinov2Config(**SMALL, image_size=42, patch_size=14)).save_pretrained(root / "dinov2")
    CLIPVisionModel(CLIPVisionConfig(**SMALL, image_size=42, patch_size=14)).save_pretrained(root / "clip")
    UNet2DModel(**AdmConfig(channels=32, head_channels=16).unet_options()).save_pretrained(root / "adm")
    save_file(_vgg(), root / "vgg19.safetensors")
    return {
        "sd": tiny_sd,
        "sd2": tiny_sd2,
        "sdxl": tiny_xl,
        "ssd": tiny_xl,
        "adm": root / "adm",
        "dinov2": root / "dinov2",
        "dino": root / "dino",
        "openclip": root / "clip",
        "vgg": root / "vgg19.safetensors",
    }


def _vgg():
    state, channels, position = {}, 3, 0
    for count, width in zip((2, 2, 4, 4, 4), (4, 6, 8, 10, 12), strict=True):
        for _ in range(count):
            layer = nn.Conv2d(channels, width, 3)
            state |= {f"features.{position}.weight": layer.weight.data, f"features.{position}.bias": layer.bias.data}
            channels, position = width, position + 2
        position += 1
    return state
