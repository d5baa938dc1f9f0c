"""ADM's network in two layouts: the one that OpenAI released, and that of a diffusers ``UNet2DModel``.

Both compute the same with the options of ``FIXED``; only the names of the weights and the order of queries, keys and
values within an attention layer differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from torch import Tensor

FIXED: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 6,  # the noise and its variance
    "center_input_sample": False,
    "time_embedding_type": "positional",
    "flip_sin_to_cos": True,  # cosines first
    "freq_shift": 0,
    "act_fn": "silu",
    "norm_eps": 1e-5,
    "norm_num_groups": 32,
    "attn_norm_num_groups": 32,  # without it the middle attention would have no norm
    "mid_block_type": "UNetMidBlock2D",
    "mid_block_scale_factor": 1,
    "add_attention": True,
    "downsample_type": "resnet",
    "upsample_type": "resnet",
    "resnet_time_scale_shift": "scale_shift",
    "class_embed_type": None,
    "num_class_embeds": None,
}
"""What ``UNet2DModel`` must be told to compute what ADM does, whatever its size."""

DOWN = {True: "AttnDownBlock2D", False: "ResnetDownsampleBlock2D"}
UP = {True: "AttnUpBlock2D", False: "ResnetUpsampleBlock2D"}
"""The blocks of diffusers for a level with self-attention and for one without."""

NAME = re.compile(
    r"(?P<block>(?:input|output)_blocks\.\d+\.\d+|(?:middle_block|time_embed|out)\.\d+)"
    r"(?P<layer>\..+)?\.(?P<kind>weight|bias)"
)
"""A weight of the released file."""

LAYERS = {
    "": "",
    ".in_layers.0": ".norm1",
    ".in_layers.2": ".conv1",
    ".emb_layers.1": ".time_emb_proj",
    ".out_layers.0": ".norm2",
    ".out_layers.3": ".conv2",
    ".skip_connection": ".conv_shortcut",
    ".norm": ".group_norm",
    ".qkv": ".to_{}",
    ".proj_out": ".to_out.0",
}
"""Layers within a block: as released, and in a ``UNet2DModel``."""


@dataclass(frozen=True)
class AdmConfig:
    """The shape of an ADM network; the defaults are those of ``256x256_diffusion_uncond.pt``.

    Attributes:
        channels: at full size.
        multipliers: of the channels at each level; every level halves the size.
        layers: residual blocks of a level on the way down; there is one more on the way up.
        attention_factors: the downsampling factors at which self-attention follows each residual block.
        head_channels: width of an attention head; it cannot be told from the weights.
    """

    channels: int = 256
    multipliers: tuple[int, ...] = (1, 1, 2, 2, 4, 4)
    layers: int = 2
    attention_factors: tuple[int, ...] = (8, 16, 32)
    head_channels: int = 64

    def unet_options(self) -> dict[str, Any]:
        """The arguments of a ``UNet2DModel`` that computes the same."""
        attends = [2**level in self.attention_factors for level in range(len(self.multipliers))]
        return FIXED | {
            "block_out_channels": tuple(self.channels * multiplier for multiplier in self.multipliers),
            "layers_per_block": self.layers,
            "down_block_types": tuple(DOWN[level] for level in attends),
            "up_block_types": tuple(UP[level] for level in reversed(attends)),
            "attention_head_dim": self.head_channels,
        }


RELEASED = AdmConfig()


def convert(state: dict[str, Tensor], config: AdmConfig = RELEASED) -> dict[str, Tensor]:
    """Turn the weights of a released file into those of a ``UNet2DModel``.

    Raises:
        ValueError: for a weight that the network does not have.
    """
    blocks = _block_names(config)
    converted: dict[str, Tensor] = {}
    for name, weight in state.items():
        match = NAME.fullmatch(name)
        layer = (match["layer"] or "") if match else None
        if match is None or match["block"] not in blocks or layer not in LAYERS:
            raise ValueError(f"it holds {name}, which is no weight of this network")
        place = f"{blocks[match['block']]}{LAYERS[layer]}.{match['kind']}"
        if layer == ".qkv":
            # rows come head by head, each with its query, key and value
            heads = weight.reshape(-1, 3, config.head_channels, *weight.shape[1:2])
            converted |= {place.format(letter): heads[:, i].flatten(0, 1) for i, letter in enumerate("qkv")}
        else:
            converted[place] = weight.squeeze(-1) if layer == ".proj_out" else weight
    return converted


def _block_names(config: AdmConfig) -> dict[str, str]:
    """The path of every block: as released, and in a ``UNet2DModel``."""
    names = {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
        "input_blocks.0.0": "conv_in",
        "middle_block.0": "mid_block.resnets.0",
        "middle_block.1": "mid_block.attentions.0",
        "middle_block.2": "mid_block.resnets.1",
        "out.0": "conv_norm_out",
        "out.2": "conv_out",
    }
    layers = config.layers
    for level in range(len(config.multipliers)):
        first = 1 + level * (layers + 1)
        for layer in range(layers):
            names[f"input_blocks.{first + layer}.0"] = f"down_blocks.{level}.resnets.{layer}"
            names[f"input_blocks.{first + layer}.1"] = f"down_blocks.{level}.attentions.{layer}"
        names[f"input_blocks.{first + layers}.0"] = f"down_blocks.{level}.downsamplers.0"
    for level, factor in enumerate(reversed([2**i for i in range(len(config.multipliers))])):
        for layer in range(layers + 1):
            parts = [f"resnets.{layer}"]
            parts += [f"attentions.{layer}"] if factor in config.attention_factors else []
            parts += ["upsamplers.0"] if layer == layers else []
            for i, part in enumerate(parts):
                names[f"output_blocks.{level * (layers + 1) + layer}.{i}"] = f"up_blocks.{level}.{part}"
    return names
