"""Attention for processors in bfloat16: plain matrix products on tiles that stay in the cache.

PyTorch's fused attention on a CPU converts tiles between bfloat16 and float32 again and again; the products themselves,
as one call each, take well under half its time. docs/speed.md holds the figures. In float32 the fused one is faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from .capture import TILE


def tiled_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """``softmax(query key^T / sqrt(c)) value`` as ``scaled_dot_product_attention`` computes it, without gradients.

    Args:
        query: (B, heads, n, c).
        key, value: (B, heads, m, c).

    Returns:
        (B, heads, n, c); scores and shares are rounded to the inputs' format.
    """
    batch, heads, queries, channels = query.shape
    query = query.reshape(-1, queries, channels) * channels**-0.5
    key, value = (t.reshape(-1, t.shape[2], channels) for t in (key, value))
    found = torch.empty_like(query)
    rows = min(queries, max(1, TILE // key.shape[1]))
    together = max(1, TILE // (rows * key.shape[1]))
    for first in range(0, batch * heads, together):
        some = slice(first, first + together)
        for start in range(0, queries, rows):
            tile = slice(start, start + rows)
            shares = torch.bmm(query[some, tile], key[some].transpose(1, 2)).softmax(dim=2)
            found[some, tile] = torch.bmm(shares, value[some])
    return found.view(batch, heads, queries, channels)


class TiledProcessor:
    """The attention processor of a transformer block; masks and gradients are left to the one it stands in for."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The attention of (B, n, channels) to itself or to a context."""
        if attention_mask is not None or torch.is_grad_enabled():
            fused: Tensor = self.original(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)
            return fused
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        projected = attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context)
        found = tiled_attention(*(t.unflatten(2, (attn.heads, -1)).transpose(1, 2) for t in projected))
        attended: Tensor = attn.to_out[0](found.transpose(1, 2).flatten(2))
        return attended


def tile_attention(network: nn.Module, device: torch.device, dtype: torch.dtype) -> None:
    """Let the transformer blocks of a diffusers UNet compute by tiles where that is faster."""
    from diffusers.models.attention import BasicTransformerBlock

    if device.type != "cpu" or dtype != torch.bfloat16:
        return
    for block in network.modules():
        if isinstance(block, BasicTransformerBlock):
            for attn in (block.attn1, block.attn2):
                if attn is not None:
                    attn.set_processor(TiledProcessor(attn.processor))
