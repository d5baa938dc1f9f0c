"""Stable Diffusion's architectures with random weights: as slow and as large as the trained ones."""

from __future__ import annotations

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
}


def stable_diffusion(version: str, tasks: dict[Any, Any] | None = None) -> Any:
    """A backbone of a version, in fp32 on the CPU, whose prompts all mean the same random text."""
    import torch
    from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel

    from diffsight.backbones.base import Card
    from diffsight.backbones.latent import LatentBackbone, VaeEncoder

    torch.manual_seed(0)
    unet = UNet2DConditionModel(**UNETS[version])
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        layers_per_block=2,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    context = torch.randn(1, 77, UNETS[version]["cross_attention_dim"])
    return LatentBackbone(
        Card(f"sd-{version}, random weights", "", "", 0, "", tasks or {}),
        unet,
        VaeEncoder(vae.eval().requires_grad_(False)),
        DDPMScheduler(**SCHEDULE).alphas_cumprod.double(),
        lambda prompts: context.expand(len(prompts), -1, -1),
        torch.device("cpu"),
        torch.float32,
    )
