"""Read a UNet from outside: hooks for features, processors for attention, and an early stop.

The network's own forward runs unchanged up to the last wanted module, so what is read equals the full pass bit for bit;
hooks and processors are always taken off again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..types import AND, Capture, Heads, Taps
from .base import Tap, TapTable

TILE = 2**20
"""Attention scores computed at a time where no gradient is wanted: as many as fit a processor's cache."""


class Stop(Exception):
    """Ends a pass once all that is wanted has been seen."""


class _AttentionRecorder:
    """Stands in for a module's attention processor: adds its map to those it is averaged with, then lets it work."""

    def __init__(self, original: Any, group: _Group) -> None:
        self.original = original
        self.group = group

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        self.group.add(attn, hidden_states, encoder_hidden_states, attention_mask)
        return self.original(attn, hidden_states, encoder_hidden_states, attention_mask, **kwargs)


class _Group:
    """The mean of the maps of some layers, added up as the layers run; ``keep`` gets it once all have run."""

    def __init__(self, layers: int, keep: Callable[[Tensor], None], heads: Heads) -> None:
        self.layers = self.awaited = layers
        self.keep = keep
        self.heads = heads
        self.total: Tensor | None = None

    def add(self, attn: Any, hidden: Tensor, context: Tensor | None, mask: Tensor | None) -> None:
        self.total = attention_map(attn, hidden, context, mask, self.heads, onto=self.total, weight=1 / self.layers)
        self.awaited -= 1
        if self.awaited == 0:
            self.keep(self.total)


def attention_map(
    attn: Any,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None = None,
    attention_mask: Tensor | None = None,
    heads: Heads = "all",
    *,
    onto: Tensor | None = None,
    weight: float = 1.0,
) -> Tensor:
    """The attention of a diffusers ``Attention`` module, averaged over heads, as (B, queries, keys) float32.

    One head of a tile of queries is held at a time, so the peak is little more than the map itself. Scores and softmax
    are float32 whatever the network's format: small shares matter to whoever takes their logarithm.

    Args:
        attn: the module.
        hidden_states, encoder_hidden_states, attention_mask: what the module is called with.
        heads: which heads are averaged.
        onto: a map of the same shape to add to, in place where no gradient is wanted.
        weight: of this map.
    """
    if hidden_states.ndim == 4:
        hidden_states = hidden_states.flatten(2).transpose(1, 2)
    keys = hidden_states if encoder_hidden_states is None else encoder_hidden_states
    if attention_mask is not None:
        attention_mask = attn.prepare_attention_mask(attention_mask, keys.shape[1], len(hidden_states))
    if attn.group_norm is not None:
        hidden_states = attn.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
    if encoder_hidden_states is None:
        keys = hidden_states
    elif attn.norm_cross:
        keys = attn.norm_encoder_hidden_states(keys)
    masks = None if attention_mask is None else attention_mask.float().unflatten(0, (-1, attn.heads))
    return attend(attn, attn.to_q(hidden_states), keys, masks, heads, onto=onto, weight=weight)


def attend(
    attn: Any,
    query: Tensor,
    context: Tensor,
    masks: Tensor | None = None,
    heads: Heads = "all",
    *,
    onto: Tensor | None = None,
    weight: float = 1.0,
) -> Tensor:
    """The attention of queries that have been projected, (B, n, inner), to a context, averaged over heads."""
    query, key = (t.unflatten(-1, (attn.heads, -1)) for t in (query, attn.to_k(context)))
    if getattr(attn, "norm_q", None) is not None:
        query, key = attn.norm_q(query), attn.norm_k(key)
    chosen = range(attn.heads // 2 if heads == "last_half" else 0, attn.heads)
    weight /= len(chosen)
    if query.requires_grad or key.requires_grad:
        for head in chosen:
            mask = None if masks is None else masks[:, head]
            scores = attn.get_attention_scores(query[:, :, head].float(), key[:, :, head].float(), mask)
            onto = scores * weight if onto is None else onto + scores * weight
        assert onto is not None
        return onto
    batch, queries, keys = len(query), query.shape[1], key.shape[1]
    if onto is None:
        onto = torch.zeros(batch, queries, keys, device=query.device)
    query, key = (t.transpose(1, 2).float().contiguous() for t in (query, key))  # (B, heads, n, c)
    step = max(1, TILE // (batch * keys))
    for start in range(0, queries, step):
        tile = slice(start, start + step)
        for head in chosen:
            mask = None if masks is None else masks[:, head, tile if masks.shape[2] > 1 else slice(None)]
            onto[:, tile].add_(attn.get_attention_scores(query[:, head, tile], key[:, head], mask), alpha=weight)
    return onto


@contextmanager
def _tapped(network: nn.Module, table: TapTable, taps: Taps, found: dict[str, Tensor], stop: bool) -> Iterator[None]:
    """Attach what the taps need and take it off again; results land in ``found``."""

    def keep(key: str, value: Tensor) -> None:
        found[key] = value
        if stop and len(found) == len(set(taps.keys)):
            raise Stop

    handles, processors = [], []
    try:
        for stage in table.features:
            if stage.name in taps.features:
                module = network.get_submodule(stage.module)

                def hook(_module: nn.Module, _inputs: Any, output: Any, key: str = f"feature:{stage.name}") -> None:
                    keep(key, output[0] if isinstance(output, tuple) else output)

                handles.append(module.register_forward_hook(hook))
        modules = {layer.name: layer.module for layer in table.attention}
        for kind, names, leaf in (("self", taps.self_attention, "attn1"), ("cross", taps.cross_attention, "attn2")):
            groups: dict[str, list[_Group]] = {}
            for name in names:
                members = name.split(AND)
                group = _Group(len(members), partial(keep, f"{kind}:{name}"), taps.heads)
                for member in members:
                    groups.setdefault(member, []).append(group)
            for member, own in groups.items():
                attn: Any = network.get_submodule(f"{modules[member]}.{leaf}")
                processors.append((attn, attn.processor))
                for group in own:
                    attn.set_processor(_AttentionRecorder(attn.processor, group))
        yield
    finally:
        for handle in handles:
            handle.remove()
        for attn, processor in processors:
            attn.set_processor(processor)


def run_tapped(
    network: nn.Module, table: TapTable, taps: Taps, forward: Callable[[], Any], *, stop: bool = True
) -> Capture:
    """Run ``forward`` as far as the taps need it and return what they saw.

    Args:
        network: the module that the table's paths start from.
        table: what can be tapped.
        taps: what is wanted.
        forward: calls the network once.
        stop: end the pass as soon as all is seen; training lets it run on.

    Raises:
        InvalidInput: if the table lacks a wanted name.
        RuntimeError: if a wanted module was never called, which means that the table does not fit the network.
    """
    table.check(taps)
    found: dict[str, Tensor] = {}
    with _tapped(network, table, taps, found, stop), suppress(Stop):
        forward()
    if missing := set(taps.keys) - found.keys():
        raise RuntimeError(f"the pass ended without {sorted(missing)}; the tap table does not fit the network")
    return Capture(taps, tuple(found[key] for key in taps.keys))


def unet_taps(unet: Any, encoder_stride: int) -> TapTable:
    """The tap table of a diffusers ``UNet2DConditionModel``, from its blocks.

    Stages are ``down0``, ..., ``mid``, ``up0``, ...: the output of each block after its resampler; and the layers in
    the blocks, which the DIFT paper counts one by one: ``up1.r0``, ``up1.a0``, ``up1.r1`` ... for residual blocks and
    transformers. Attention layers are ``down0.a0`` and so on, or ``down2.a1.b9`` where a transformer is several blocks
    deep; ``LAYER.self`` is what its self-attention alone adds, ``LAYER.query`` the queries of its cross-attention. The
    last self-attention on the way down, which DiffCut reads, is also called ``down.self``.
    """
    depth = len(unet.down_blocks)
    features: list[Tap] = []
    attention: list[Tap] = []

    def block(name: str, path: str, level: int, out_level: int) -> None:
        module = unet.get_submodule(path)
        width, stride = module.resnets[-1].out_channels, encoder_stride * 2**level
        transformers = [t for t in getattr(module, "attentions", None) or () if hasattr(t, "transformer_blocks")]
        for i in range(len(transformers) if name == "mid" else len(module.resnets)):
            if name != "mid":
                features.append(Tap(f"{name}.r{i}", f"{path}.resnets.{i}", width, stride))
            if i < len(transformers):
                deep = len(transformers[i].transformer_blocks)
                for j in range(deep):
                    own = f"{name}.a{i}.b{j}" if deep > 1 else f"{name}.a{i}"
                    layer = f"{path}.attentions.{i}.transformer_blocks.{j}"
                    features.append(Tap(f"{own}.self", f"{layer}.attn1", width, stride))
                    features.append(Tap(f"{own}.query", f"{layer}.attn2.to_q", width, stride))
                    attention.append(Tap(own, layer, width, stride))
                features.append(Tap(f"{name}.a{i}", f"{path}.attentions.{i}", width, stride))
        features.append(Tap(name, path, width, encoder_stride * 2**out_level))

    for i in range(depth):
        block(f"down{i}", f"down_blocks.{i}", i, min(i + 1, depth - 1))
    features += [replace(tap, name="down.self") for tap in features if tap.name.endswith(".self")][-1:]
    if unet.mid_block is not None:
        block("mid", "mid_block", depth - 1, depth - 1)
    for i in range(len(unet.up_blocks)):
        level = depth - 1 - i
        block(f"up{i}", f"up_blocks.{i}", level, max(level - 1, 0))
    return TapTable(tuple(features), tuple(attention))
