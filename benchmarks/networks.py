"""Published architectures with random weights: as slow and as large as the trained ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SCHEDULE: dict[str, Any] = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}

UNETS: dict[str, dict[str, Any]] = {
    "1.4": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "2.1": {
        "sample_size": 96,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "xl": {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}

VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "scaling_factor": 0.18215,
}


def stable_diffusion(version: str, tasks: dict[Any, Any] | None = None) -> Any:
    """A backbone of a version, in fp32 on the CPU, whose prompts all mean the same random text."""
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    from diffsight.backbones.base import Card
    from diffsight.backbones.latent import LatentBackbone, VaeEncoder

    torch.manual_seed(0)
    unet = UNet2DConditionModel(**UNETS[version])
    vae = AutoencoderKL(**VAE)
    rows = 78 if version == "xl" else 77  # XL's pooled text is one more
    context = torch.randn(1, rows, UNETS[version]["cross_attention_dim"])
    return LatentBackbone(
        Card(f"sd-{version}, random weights", "", "", 0, "", tasks or {}),
        unet,
        VaeEncoder(vae.eval().requires_grad_(False)),
        DDPMScheduler(**SCHEDULE).alphas_cumprod.double(),
        lambda prompts: context.expand(len(prompts), -1, -1),
        torch.device("cpu"),
        torch.float32,
    )


def random_network(name: str) -> Any:
    """A network that ``diffsight models`` lists, at its full size, in fp32 on the CPU."""
    import torch
    from diffusers import UNet2DModel
    from transformers import (
        CLIPVisionConfig,
        CLIPVisionModel,
        Dinov2Config,
        Dinov2Model,
        ViTConfig,
        ViTModel,
    )

    from diffsight.backbones import vit
    from diffsight.backbones.adm import AdmBackbone
    from diffsight.backbones.adm_layout import RELEASED
    from diffsight.backbones.cards import CARDS
    from diffsight.backbones.registry import load
    from diffsight.backbones.vgg import LEVELS, VggBackbone, vgg19

    card, place = CARDS[name], (torch.device("cpu"), torch.float32)
    torch.manual_seed(0)
    if name == "pocket":
        return load(name, device="cpu", dtype="float32")
    if name == "sdxl":
        return stable_diffusion("xl", card.tasks)
    if name.startswith("sd-"):
        return stable_diffusion("1.4" if name.startswith("sd-1") else "2.1", card.tasks)
    if name == "adm-256":
        return AdmBackbone(card, UNet2DModel(**RELEASED.unet_options()), *place)
    if name == "vgg-19":
        widths = [width for count, width in zip(LEVELS, (64, 128, 256, 512, 512), strict=True) for _ in range(count)]
        return VggBackbone(card, vgg19(widths), *place)
    if name == "dinov2-b":
        return vit.VitBackbone(card, Dinov2Model(Dinov2Config(image_size=518, patch_size=14)), vit.DINOV2, *place)
    if name == "dino-b8":
        network = ViTModel(ViTConfig(patch_size=8), add_pooling_layer=False)
        return vit.VitBackbone(card, network, vit.DINO, *place)
    huge = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16}
    network = CLIPVisionModel(CLIPVisionConfig(**huge, image_size=224, patch_size=14))
    return vit.VitBackbone(card, network, vit.CLIP, *place)


def save_stable_diffusion(folder: Path) -> None:
    """Write Stable Diffusion 1.4's parts with random weights as its repository holds them, tokenizer in small."""
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    UNet2DConditionModel(**UNETS["1.4"]).save_pretrained(folder / "unet")
    AutoencoderKL(**VAE).save_pretrained(folder / "vae")
    DDPMScheduler(**SCHEDULE).save_pretrained(folder / "scheduler")
    text = CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, projection_dim=768
    )
    CLIPTextModel(text).save_pretrained(folder / "text_encoder")
    characters = [chr(c) for c in range(33, 127)]
    words = [*characters, *(c + "</w>" for c in characters), "<|startoftext|>", "<|endoftext|>"]
    words += [f"<extra{i}>" for i in range(text.vocab_size - len(words))]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    tokenizer.save_pretrained(folder / "tokenizer")
    kinds = {
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
        "scheduler": ["diffusers", "DDPMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "safety_checker": [None, None],
        "feature_extractor": [None, None],
    }
    index = {"_class_name": "StableDiffusionPipeline", **kinds, "requires_safety_checker": False}
    (folder / "model_index.json").write_text(json.dumps(index))
