"""How much arithmetic a piece of work takes, and how many bytes it moves at least: inputs read, outputs written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

FLOAT = 4
"""Bytes of a number; all parts run in fp32."""


def counted(work: Callable[[], Any]) -> int:
    """Floating-point operations of matrix products, convolutions and attention in one run, forwards and backwards."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    def attention(query: Any, key: Any, *_: Any, **__: Any) -> int:
        batch, heads, queries, channels = query
        return int(4 * batch * heads * queries * key[2] * channels)

    def backward(_gradient: Any, query: Any, key: Any, *_: Any, **__: Any) -> int:
        return attention(query, key) * 5 // 2  # five products instead of two

    own = torch.ops.aten  # the fused attention of processors, which PyTorch's table lacks
    table = {
        own._scaled_dot_product_flash_attention_for_cpu: attention,
        own._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    with FlopCounterMode(display=False, custom_mapping=table) as counter:
        work()
    return int(counter.get_total_flops())


def held(*things: Any) -> int:
    """Bytes of the parameters of networks, and of tensors."""
    tensors = [t for thing in things for t in (thing.parameters() if hasattr(thing, "parameters") else [thing])]
    return sum(t.numel() * t.element_size() for t in tensors)


def of_matching(points: int, channels: int, cells: tuple[int, int], pixels: tuple[int, int]) -> dict[str, int]:
    """Inner products of neighbouring cells, scores, their interpolation down and across, lengths, and the best."""
    (h, w), (height, width) = cells, pixels
    products = 2 * channels * h * w * (5 + points)
    down, across = 3 * points * height * w, 3 * points * height * width
    lengths, best = 12 * height * width, 2 * points * height * width
    flops = products + down + across + lengths + best
    return {"flops": flops, "bytes": FLOAT * channels * (h * w + points) + 16 * points}


def of_diffseg(sides: list[int], anchors: int, pixels: int) -> dict[str, int]:
    """Levels added up, distances of anchors to cells (two products), the maps of their like added, pixels labelled."""
    cells = sides[0] ** 2
    aggregation, distances, sums = 2 * len(sides) * cells**2, 4 * anchors * cells**2, 2 * anchors * cells**2
    moved = FLOAT * sum(side**4 for side in sides) + 2 * pixels
    return {"flops": aggregation + distances + sums, "bytes": moved}


def of_propagation(grid: tuple[int, int], channels: int, frames: int, radius: int, labels: int) -> dict[str, int]:
    """Cosines of each cell with those in its window of every frame; features and labels of all frames read once."""
    height, width = grid
    rows, columns = (
        sum(min(size, i + radius + 1) - max(0, i - radius) for i in range(size)) for size in (height, width)
    )
    moved = FLOAT * height * width * ((frames + 1) * channels + (frames + 1) * labels)
    return {"flops": 2 * channels * frames * rows * columns, "bytes": moved}
