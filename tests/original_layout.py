"""The original single-file layout of Stable Diffusion, written from the parts of a folder: diffusers' names undone."""

from __future__ import annotations

import re
from pathlib import Path

import torch
from torch import Tensor

State = dict[str, Tensor]

UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
VAE_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {"layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj"}


def unet_name(key: str) -> str:
    for new, old in UNET_TOP.items():
        if key.startswith(new + "."):
            return key.replace(new, old, 1)
    place, block, kind, number, rest = re.fullmatch(
        r"(down|mid|up)_block(?:s\.(\d+))?\.(\w+)\.(\d+)\.(.+)", key
    ).groups()
    i, j = int(block or 0), int(number)
    if kind == "resnets":
        part, _, tail = rest.rpartition(".")
        rest = f"{RESNET[part]}.{tail}"
    if place == "mid":
        return f"middle_block.{2 * j if kind == 'resnets' else 1}.{rest}"
    column = {"resnets": 0, "attentions": 1}.get(kind)
    if place == "down":
        return (
            f"input_blocks.{3 * i + 3}.0.{rest.replace('conv', 'op')}"
            if column is None
            else (f"input_blocks.{3 * i + j + 1}.{column}.{rest}")
        )
    if column is None:
        return f"output_blocks.{3 * i + 2}.{1 if i == 0 else 2}.{rest}"
    return f"output_blocks.{3 * i + j}.{column}.{rest}"


def vae_entry(key: str, tensor: Tensor) -> tuple[str, Tensor]:
    key = re.sub(r"down_blocks\.(\d)\.resnets\.(\d)", r"down.\1.block.\2", key)
    key = re.sub(r"down_blocks\.(\d)\.downsamplers\.0", r"down.\1.downsample", key)
    key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
    key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
    if "mid_block.attentions.0." in key:
        prefix, rest = key.split("mid_block.attentions.0.")
        part, _, tail = rest.rpartition(".")
        key = f"{prefix}mid.attn_1.{VAE_ATTENTION[part]}.{tail}"
        tensor = tensor[:, :, None, None] if tensor.ndim == 2 else tensor
    return key, tensor.contiguous()


def open_clip_state(state: State) -> State:
    """The text encoder of 2.x, with one more layer, which is not used."""
    prefix = "cond_stage_model.model."
    out = {
        f"{prefix}positional_embedding": state["embeddings.position_embedding.weight"],
        f"{prefix}token_embedding.weight": state["embeddings.token_embedding.weight"],
        f"{prefix}ln_final.weight": state["final_layer_norm.weight"],
        f"{prefix}ln_final.bias": state["final_layer_norm.bias"],
        f"{prefix}text_projection": torch.eye(len(state["final_layer_norm.weight"])),
    }
    layers: State = {}
    for key, tensor in state.items():
        if match := re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", key):
            rest = match[2]
            for new, old in OPEN_CLIP.items():
                rest = rest.replace(new, old)
            layers[f"{match[1]}.{rest.replace('self_attn.out_proj', 'attn.out_proj')}"] = tensor
    for number in sorted({key.split(".")[0] for key in layers}):
        for kind in ("weight", "bias"):
            joined = [layers.pop(f"{number}.self_attn.{letter}_proj.{kind}") for letter in "qkv"]
            layers[f"{number}.attn.in_proj_{kind}"] = torch.cat(joined)
    last = 1 + max(int(key.split(".")[0]) for key in layers)
    layers |= {f"{last}.{key[2:]}": torch.randn_like(tensor) for key, tensor in layers.items() if key[:2] == "0."}
    return out | {f"{prefix}transformer.resblocks.{key}": tensor for key, tensor in layers.items()}


def original_state(folder: Path, version: int) -> State:
    """All weights of a folder as the original code of Stable Diffusion names them."""
    from safetensors.torch import load_file

    unet = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    vae = load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
    text = load_file(folder / "text_encoder" / "model.safetensors")
    text = {key.removeprefix("text_model."): tensor for key, tensor in text.items()}
    state = {f"model.diffusion_model.{unet_name(key)}": tensor for key, tensor in unet.items()}
    for key, tensor in vae.items():
        if key.startswith(("encoder.", "quant_conv.")):
            name, value = vae_entry(key, tensor)
            state[f"first_stage_model.{name}"] = value
    state["first_stage_model.decoder.conv_in.weight"] = torch.zeros(1)
    if version == 1:
        state |= {f"cond_stage_model.transformer.text_model.{key}": tensor for key, tensor in text.items()}
        state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    else:
        state |= open_clip_state(text)
    return {key: tensor.contiguous().clone() for key, tensor in state.items()}
