"""Real classes at tiny size, saved to disk in the hub's layout."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch

from .hub import hub  # noqa: F401

hypothesis.settings.register_profile("suite", deadline=None)  # a machine may be busy with other work
hypothesis.settings.load_profile("suite")

LOOPBACK = ("127.0.0.1", "::1", "localhost", b"127.0.0.1", b"localhost")

TINY_UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (32, 64, 64, 64),
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "cross_attention_dim": 32,
    "attention_head_dim": 2,
    "norm_num_groups": 16,
}


@pytest.fixture(scope="session", autouse=True)
def _quiet_threads() -> None:
    torch.set_num_threads(2)


@pytest.fixture(scope="session", autouse=True)
def _loopback_only() -> Iterator[None]:
    """End a test that reaches for anything but this machine; its own error handling cannot hide that."""
    connect, find = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in LOOPBACK:
            pytest.fail(f"a test reached for {address}")
        connect(self, address)

    def guarded_find(host: Any, *arguments: Any, **options: Any) -> Any:
        if host is not None and host not in LOOPBACK:
            pytest.fail(f"a test reached for {host}")
        return find(host, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded_connect)
        patch.setattr(socket, "getaddrinfo", guarded_find)
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):  # a proxy on the loopback would lead outside
            patch.delenv(name, raising=False)
            patch.delenv(name.lower(), raising=False)
        yield


@pytest.fixture(scope="session")
def tiny_sd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Stable Diffusion folder: the structure of SD 1.x, 32 to 64 channels, random weights."""
    from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    folder = tmp_path_factory.mktemp("tiny") / "sd"
    torch.manual_seed(0)
    UNet2DConditionModel(**TINY_UNET).save_pretrained(folder / "unet")
    AutoencoderKL(
        block_out_channels=(16, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=8,
        scaling_factor=0.18215,
    ).save_pretrained(folder / "vae")
    PNDMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, skip_prk_steps=True
    ).save_pretrained(folder / "scheduler")
    CLIPTextModel(
        CLIPTextConfig(
            vocab_size=300,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=77,
            bos_token_id=298,
            eos_token_id=299,
            pad_token_id=299,
        )
    ).save_pretrained(folder / "text_encoder")
    write_tokenizer(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    return folder


@pytest.fixture(scope="session")
def tiny_sd2(tmp_path_factory: pytest.TempPathFactory, tiny_sd: Path) -> Path:
    """The same with the structure of SD 2.x: attention between linear projections."""
    from diffusers import UNet2DConditionModel

    folder = tmp_path_factory.mktemp("tiny") / "sd2"
    shutil.copytree(tiny_sd, folder, ignore=shutil.ignore_patterns("unet"))
    torch.manual_seed(0)
    UNet2DConditionModel(**TINY_UNET, use_linear_projection=True).save_pretrained(folder / "unet")
    return folder


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory, tiny_sd: Path) -> Path:
    """A Stable Diffusion XL folder: two text encoders, transformers of several blocks, added conditions."""
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    folder = tmp_path_factory.mktemp("tiny") / "xl"
    shutil.copytree(tiny_sd, folder, ignore=shutil.ignore_patterns("unet"))
    shutil.copytree(tiny_sd / "tokenizer", folder / "tokenizer_2")
    torch.manual_seed(0)
    UNet2DConditionModel(
        sample_size=128,
        block_out_channels=(32, 64, 64),
        layers_per_block=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2, 3),
        cross_attention_dim=32 + 24,
        attention_head_dim=(2, 4, 4),
        norm_num_groups=16,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=16 + 6 * 8,
    ).save_pretrained(folder / "unet")
    config = json.loads((tiny_sd / "text_encoder" / "config.json").read_text())
    second = CLIPTextConfig.from_dict({**config, "hidden_size": 24, "projection_dim": 16})
    CLIPTextModelWithProjection(second).save_pretrained(folder / "text_encoder_2")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionXLPipeline"}))
    return folder


def write_tokenizer(folder: Path) -> None:
    """A CLIP tokenizer that knows single characters only, in the files that every SD repository carries."""
    from transformers import CLIPTokenizer

    characters = [chr(c) for c in range(33, 127)]
    words = [*characters, *(c + "</w>" for c in characters)]
    words += [f"<extra{i}>" for i in range(298 - len(words))] + ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"))
    tokenizer.model_max_length = 77
    tokenizer.save_pretrained(folder)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
