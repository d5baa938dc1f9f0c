"""Single files: what they are, and their parts under the names that diffusers uses.

The names are translated by diffusers' own conversion. The configuration, which such a file lacks, is a table of the
constants of Stable Diffusion 1.x and 2.x (Rombach et al., 2022); widths and depths are read off the weights.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ModelUnavailable
from .files import read_shapes, read_state
from .layout import Part

if TYPE_CHECKING:
    from .files import State

UNET = "model.diffusion_model."
UNET_AVERAGED = "model_ema."
VAE = "first_stage_model."
TEXT = "cond_stage_model."
TEXT_1 = "cond_stage_model.transformer.text_model."
TEXT_2 = "cond_stage_model.model."
"""Prefixes of the original layout: the UNet and its running average, the autoencoder, CLIP (1.x), OpenCLIP (2.x)."""

UNET_CONFIG: dict[str, Any] = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}

VAE_CONFIG: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "latent_channels": 4,
    "layers_per_block": 2,
    "scaling_factor": 0.18215,
}

SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}

SAMPLE_SIZES = {1: 64, 2: 96}
"""Side of the latent that the UNet was trained on, by version."""

HEAD_WIDTH = 64
"""Channels of an attention head: of the UNet in 2.x, of the text encoders in both; the UNet of 1.x has 8 heads."""


@dataclass(frozen=True)
class Content:
    """What a single file is.

    Attributes:
        version: of Stable Diffusion, 1 or 2.
        holds: its parts.
    """

    version: int
    holds: frozenset[Part]


def inspect(path: Path) -> Content:
    """Say which parts of Stable Diffusion a file holds, from the names and shapes in it.

    Raises:
        ModelUnavailable: for a file that is no UNet of Stable Diffusion 1.x or 2.x, naming what it is; for one that is
            damaged or would run code.
    """
    state = read_shapes(path)
    other = _other_kind(state)
    if other is not None:
        raise ModelUnavailable(
            f"{path} is {other}; give a Stable Diffusion 1.x or 2.x checkpoint with its UNet, or a UNet alone"
        )
    projection = next(state[key] for key in state if key.endswith("proj_in.weight"))
    version = 2 if projection.ndim == 2 else 1
    holds: set[Part] = {"unet"}
    if any(key.startswith(UNET) for key in state):
        holds.add("scheduler")
        holds |= {"vae"} if any(key.startswith(VAE + "encoder.") for key in state) else set()
        holds |= {"text_encoder"} if any(key.startswith((TEXT_1, TEXT_2)) for key in state) else set()
    return Content(version, frozenset(holds))


def sample_size(path: Path) -> int:
    """Side of the latent that a network of the file's version was trained on: 64 in 1.x, 96 in 2.x.

    A file does not tell the 512 px variant of 2.x from the 768 px one.
    """
    return SAMPLE_SIZES[inspect(path).version]


def _other_kind(state: State) -> str | None:
    """The name of a checkpoint that is no UNet of Stable Diffusion 1.x or 2.x; None for one that is."""
    from diffusers.loaders.single_file_utils import infer_diffusers_model_type

    def starts(*prefixes: str) -> bool:
        return any(key.startswith(prefixes) for key in state)

    if any("lora" in key.lower() for key in state):
        return "a LoRA, which only changes another model"
    if starts("add_embedding.", "conditioner."):
        return "a checkpoint of Stable Diffusion XL"
    kind = infer_diffusers_model_type(state)
    if kind not in ("v1", "v2"):
        return f"a checkpoint of another architecture ({kind})"
    inputs = state.get(f"{UNET}input_blocks.0.0.weight", state.get("conv_in.weight"))
    if inputs is not None and inputs.shape[1] == 4 and any(key.endswith("proj_in.weight") for key in state):
        return None
    if starts("input_blocks."):
        return "a UNet of guided diffusion (ADM)"
    if starts(VAE, "encoder.down", "encoder.conv_in", "decoder."):
        return "a VAE"
    if starts("text_model.", TEXT, "embeddings."):
        return "a text encoder"
    return f"of an unknown kind (it holds {', '.join(list(state)[:3]) or 'nothing'} ...)"


def read_unet(path: Path) -> tuple[dict[str, Any], State]:
    """The UNet's configuration and weights; the running average of the weights where the file has one."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    state = read_state(path, lambda key: key.startswith((UNET, UNET_AVERAGED)))
    state = convert_ldm_unet_checkpoint(state, UNET_CONFIG, extract_ema=True) if state else read_state(path)
    widths = tuple(len(state[f"down_blocks.{i}.resnets.0.conv1.weight"]) for i in range(4))
    attention = "down_blocks.0.attentions.0"
    config = UNET_CONFIG | {
        "block_out_channels": widths,
        "cross_attention_dim": state[f"{attention}.transformer_blocks.0.attn2.to_k.weight"].shape[1],
    }
    if state[f"{attention}.proj_in.weight"].ndim == 4:
        return config | {"attention_head_dim": 8, "sample_size": SAMPLE_SIZES[1]}, state
    heads = tuple(width // HEAD_WIDTH for width in widths)
    second = {"attention_head_dim": heads, "use_linear_projection": True, "upcast_attention": True}
    return config | second | {"sample_size": SAMPLE_SIZES[2]}, state


def read_vae(path: Path) -> tuple[dict[str, Any], State]:
    """The configuration and weights of the autoencoder's encoder."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    wanted = (f"{VAE}encoder.", f"{VAE}quant_conv.")
    state = convert_ldm_vae_checkpoint(read_state(path, lambda key: key.startswith(wanted)), VAE_CONFIG)
    widths = tuple(len(state[f"encoder.down_blocks.{i}.resnets.0.conv1.weight"]) for i in range(4))
    return VAE_CONFIG | {"block_out_channels": widths}, state


def read_text_encoder(path: Path) -> Any:
    """A ``CLIPTextModel`` with the file's weights; of OpenCLIP all layers but the last, which 2.x does not use."""
    from diffusers.loaders.single_file_utils import convert_ldm_clip_checkpoint, convert_open_clip_checkpoint
    from transformers import CLIPTextConfig, CLIPTextModel

    state = read_state(path, lambda key: key.startswith((TEXT_1, TEXT_2)))
    is_open_clip = f"{TEXT_2}positional_embedding" in state
    if is_open_clip:
        depth = _depth(state, rf"{re.escape(TEXT_2)}transformer\.resblocks\.(\d+)\.")
        state = {key: tensor for key, tensor in state.items() if f".resblocks.{depth - 1}." not in key}
        state.pop(f"{TEXT_2}text_projection", None)
        width = state[f"{TEXT_2}ln_final.weight"].shape[0]
        state = convert_open_clip_checkpoint(_Width(CLIPTextConfig(hidden_size=width)), state)
    else:
        state = convert_ldm_clip_checkpoint(state)
    state = {key.removeprefix("text_model."): t for key, t in state.items() if not key.endswith("position_ids")}
    tokens, width = state["embeddings.token_embedding.weight"].shape
    config = CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=width,
        intermediate_size=len(state["encoder.layers.0.mlp.fc1.weight"]),
        num_hidden_layers=_depth(state, r"encoder\.layers\.(\d+)\."),
        num_attention_heads=width // HEAD_WIDTH,
        max_position_embeddings=len(state["embeddings.position_embedding.weight"]),
        hidden_act="gelu" if is_open_clip else "quick_gelu",
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
        pad_token_id=tokens - 1,
    )
    encoder = CLIPTextModel(config)
    getattr(encoder, "text_model", encoder).load_state_dict(state)
    return encoder.eval()


@dataclass(frozen=True)
class _Width:
    """What diffusers' conversion asks of a text model."""

    config: Any


def _depth(state: Collection[str], pattern: str) -> int:
    return 1 + max(int(match[1]) for key in state if (match := re.match(pattern, key)))
