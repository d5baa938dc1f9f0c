"""Small networks and photos that several tests read."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from diffsight.backbones.base import ReadSettings, clean_settings
from diffsight.backbones.registry import load
from diffsight.images import load_picture
from diffsight.readers import ModelReader


@pytest.fixture(scope="session")
def tiny_dino(tmp_path_factory):
    """A DINOv2 folder: its structure with 24 channels, random weights."""
    from transformers import Dinov2Config, Dinov2Model

    folder = tmp_path_factory.mktemp("tiny") / "dinov2"
    config = Dinov2Config(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=42, patch_size=14
    )
    torch.manual_seed(0)
    Dinov2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def diffusion(tiny_sd):
    return load(tiny_sd, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def tokens(tiny_dino):
    return load(tiny_dino, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def parts(diffusion, tokens):
    """Three readers that differ in network, layout and grid: 8, 6 and 8 cells a side."""
    return (
        ModelReader(diffusion, ReadSettings("up1", timestep=50, ensemble=1, size=(128, 128), fit="pad")),
        ModelReader(tokens, clean_settings("last", (84, 84), "pad")),
        ModelReader(diffusion, ReadSettings("up2", timestep=0, ensemble=2, size=(64, 64))),
    )


@pytest.fixture(scope="session")
def pictures():
    rng = np.random.default_rng(0)
    return [load_picture(rng.random((50, 70, 3))), load_picture(rng.random((90, 31, 3)))]
