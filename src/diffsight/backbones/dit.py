"""Read a diffusion transformer at the input of a block; experimental: FLUX.1 and Stable Diffusion 3.

A block's raw tokens are ruled by a few huge channels and match badly. What matches well is what the block itself goes
on with: its input, with those channels zeroed, normalised, and scaled and shifted by the block's own modulation (DiTF,
arXiv 2505.18584). The paper reads FLUX.1-dev at its middle block (``single9``) with ``FLUX_DEV``, 640 pixels, timestep
260 and 8 draws; for video at ``single5`` with timestep 90 and 960 pixels.

Held against the networks' own parts at tiny size; not yet run on released weights, so no score is claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InvalidInput
from .capture import Stop

PATCH = 2
"""Side of the square of latent cells that becomes one token, in both families."""

STEPS = 1000
"""Timesteps on the straight way from a clean latent to pure noise."""


@dataclass(frozen=True)
class DitSettings:
    """What is done to a block's input.

    Attributes:
        discard: channels that are zeroed first.
        adaln: normalise and modulate as the block does; without it tokens come raw, for comparison only.
        guidance: strength told to networks that were distilled with guidance.
    """

    discard: tuple[int, ...] = ()
    adaln: bool = True
    guidance: float = 3.5


FLUX_DEV = DitSettings(discard=(154, 1446))
"""The channels of FLUX.1-dev that outweigh all others."""


@dataclass(frozen=True)
class _Family:
    """How one kind of transformer is called.

    Attributes:
        blocks: what its lists of blocks are called here, and in the network, in the order of execution.
        arguments: of its ``forward``: from network, latent, time (B,) in [0, 1], tokens, pooled and guidance.
    """

    blocks: tuple[tuple[str, str], ...]
    arguments: Callable[[Any, Tensor, Tensor, Tensor, Tensor, float], dict[str, Tensor | None]]


def _flux_arguments(
    network: Any, latent: Tensor, time: Tensor, tokens: Tensor, pooled: Tensor, guidance: float
) -> dict[str, Tensor | None]:
    height, width = (side // PATCH for side in latent.shape[-2:])
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([torch.zeros_like(rows), rows, columns], dim=-1).flatten(0, 1)
    return {
        "hidden_states": F.pixel_unshuffle(latent, PATCH).flatten(2).transpose(1, 2),
        "encoder_hidden_states": tokens,
        "pooled_projections": pooled,
        "timestep": time,
        "img_ids": places.to(latent),
        "txt_ids": torch.zeros(tokens.shape[1], 3).to(latent),
        "guidance": torch.full_like(time, guidance) if network.config.guidance_embeds else None,
    }


def _sd3_arguments(
    network: Any, latent: Tensor, time: Tensor, tokens: Tensor, pooled: Tensor, guidance: float
) -> dict[str, Tensor | None]:
    largest = PATCH * network.config.pos_embed_max_size
    height, width = latent.shape[-2:]
    if max(height, width) > largest:
        raise InvalidInput(f"the latent is {width}x{height}; this model knows places up to {largest} a side")
    return {
        "hidden_states": latent,
        "encoder_hidden_states": tokens,
        "pooled_projections": pooled,
        "timestep": time * STEPS,
    }


FAMILIES = {
    "FluxTransformer2DModel": _Family(
        (("double", "transformer_blocks"), ("single", "single_transformer_blocks")), _flux_arguments
    ),
    "SD3Transformer2DModel": _Family((("joint", "transformer_blocks"),), _sd3_arguments),
}
"""The diffusers classes that can be read."""


def block_paths(network: Any) -> dict[str, str]:
    """Name and path of every block in the order of execution: ``double0`` ... ``single0`` ..., or ``joint0`` ..."""
    lists = FAMILIES[type(network).__name__].blocks
    return {f"{kind}{i}": f"{path}.{i}" for kind, path in lists for i in range(len(getattr(network, path)))}


def read_blocks(
    network: Any,
    latent: Tensor,
    timestep: int,
    tokens: Tensor,
    pooled: Tensor,
    blocks: Sequence[str],
    settings: DitSettings,
) -> dict[str, Tensor]:
    """Run one pass up to the last of some blocks and return their inputs as they go on with them.

    Args:
        network: a ``FluxTransformer2DModel`` or ``SD3Transformer2DModel``.
        latent: (B, c, h, w), noisy, with even sides.
        timestep: 0 (clean) to 999.
        tokens: (B, tokens, channels) of the prompt.
        pooled: (B, channels) of the prompt.
        blocks: names as ``block_paths`` lists them.
        settings: what is done to the inputs.

    Returns:
        (B, C, h / 2, w / 2) for each block.

    Raises:
        InvalidInput: for an unknown block or channel, or a latent that does not suit the network.
    """
    paths = block_paths(network)
    if unknown := [name for name in blocks if name not in paths]:
        raise InvalidInput(f"this model has no block {unknown[0]!r}; it has {', '.join(paths)}")
    if wrong := [channel for channel in settings.discard if not 0 <= channel < network.inner_dim]:
        raise InvalidInput(f"there is no channel {wrong[0]} to discard; use 0 to {network.inner_dim - 1}")
    height, width = latent.shape[-2:]
    if height % PATCH or width % PATCH:
        raise InvalidInput(f"the latent is {width}x{height}; both sides must be a multiple of {PATCH}")
    time = torch.full((len(latent),), timestep / STEPS, device=latent.device)
    arguments = FAMILIES[type(network).__name__].arguments(network, latent, time, tokens, pooled, settings.guidance)
    modules = {name: network.get_submodule(paths[name]) for name in blocks}
    found: dict[str, Tensor] = {}
    with _watched(modules, height * width // PATCH**2, settings, found), suppress(Stop):
        network(**arguments)
    return {name: found[name].transpose(1, 2).unflatten(2, (height // PATCH, width // PATCH)) for name in blocks}


@contextmanager
def _watched(
    blocks: Mapping[str, nn.Module], cells: int, settings: DitSettings, found: dict[str, Tensor]
) -> Iterator[None]:
    """Keep the input (B, cells, C) of each block in ``found``, and end the pass at the last."""

    def keep(block: Any, _arguments: Any, named: dict[str, Tensor], name: str) -> None:
        image = named["hidden_states"][:, -cells:]  # some versions of diffusers put the text in front
        image = image.index_fill(2, torch.tensor(settings.discard, dtype=torch.long, device=image.device), 0)
        norm = block.norm1 if hasattr(block, "norm1") else block.norm
        found[name] = norm(image, emb=named["temb"])[0] if settings.adaln else image
        if len(found) == len(blocks):
            raise Stop

    handles = [
        block.register_forward_pre_hook(partial(keep, name=name), with_kwargs=True) for name, block in blocks.items()
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
