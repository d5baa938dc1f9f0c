from __future__ import annotations

import pytest
import torch

from diffsight.backbones.capture import attention_map, run_tapped, unet_taps
from diffsight.errors import InvalidInput
from diffsight.types import Taps
from tests.conftest import TINY_UNET


@pytest.fixture(scope="module")
def unet():
    from diffusers import UNet2DConditionModel

    torch.manual_seed(0)
    return UNet2DConditionModel(**TINY_UNET).eval().requires_grad_(False)


def inputs(height: int = 8, width: int = 8, rows: int = 2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn(rows, 4, height, width, generator=generator), torch.randn(rows, 7, 32, generator=generator)


def full_pass(unet, latent, context):
    """The whole network, its block outputs kept by plain hooks: no early stop, no processors."""
    kept = {}
    handles = []
    blocks = {f"down{i}": b for i, b in enumerate(unet.down_blocks)} | {"mid": unet.mid_block}
    blocks |= {f"up{i}": b for i, b in enumerate(unet.up_blocks)}
    blocks |= {"up1.r0": unet.up_blocks[1].resnets[0], "up1.a1": unet.up_blocks[1].attentions[1]}
    for name, block in blocks.items():
        handles.append(
            block.register_forward_hook(
                lambda _m, _i, out, name=name: kept.__setitem__(name, out[0] if isinstance(out, tuple) else out)
            )
        )
    final = unet(latent, 100, context).sample
    for handle in handles:
        handle.remove()
    return kept, final


@pytest.mark.parametrize("size", [(8, 8), (12, 16), (9, 13), (7, 7), (16, 5)])
def test_truncated_reading_equals_the_full_pass_bit_for_bit(unet, size):
    latent, context = inputs(*size)
    kept, _ = full_pass(unet, latent, context)
    table = unet_taps(unet, 8)
    for stage in kept:
        got = run_tapped(unet, table, Taps((stage,)), lambda: unet(latent, 100, context))
        assert torch.equal(got.maps[0], kept[stage]), stage


def test_the_table_tells_the_truth(unet):
    latent, context = inputs(16, 16, 1)
    table = unet_taps(unet, 8)
    taps = Taps(
        tuple(t.name for t in table.features),
        tuple(t.name for t in table.attention),
        tuple(t.name for t in table.attention),
    )
    got = run_tapped(unet, table, taps, lambda: unet(latent, 100, context))
    for stage, values in zip(table.features, got.maps, strict=False):
        side = 128 // stage.stride
        tokens = stage.name.endswith((".self", ".query"))
        assert values.shape == ((1, side**2, stage.channels) if tokens else (1, stage.channels, side, side)), stage.name
    for layer in table.attention:
        queries = (128 // layer.stride) ** 2
        assert got[f"self:{layer.name}"].shape == (1, queries, queries)
        assert got[f"cross:{layer.name}"].shape == (1, queries, 7)
    assert len(table.attention) == 16


def test_attention_capture_leaves_the_output_alone_and_rows_sum_to_one(unet):
    latent, context = inputs(9, 12)
    table = unet_taps(unet, 8)
    kept, _ = full_pass(unet, latent, context)
    layers = tuple(t.name for t in table.attention)
    got = run_tapped(unet, table, Taps(("up3",), layers, layers), lambda: unet(latent, 100, context))
    assert (got["feature:up3"] - kept["up3"]).abs().max() < 1e-5
    for values in got.maps[1:]:
        torch.testing.assert_close(values.sum(dim=-1), torch.ones(values.shape[:-1]), atol=1e-5, rtol=0)


def test_attention_equals_the_formula(unet):
    attn = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    tokens = torch.randn(2, 20, 32, generator=torch.Generator().manual_seed(0))
    query, key = (layer(tokens).unflatten(-1, (attn.heads, -1)).transpose(1, 2) for layer in (attn.to_q, attn.to_k))
    width = query.shape[-1]
    expected = torch.softmax(query @ key.transpose(-1, -2) / width**0.5, dim=-1).mean(dim=1)
    torch.testing.assert_close(attention_map(attn, tokens), expected, atol=1e-6, rtol=0)


def test_joined_layers_give_their_average(unet):
    latent, context = inputs(8, 8)
    table = unet_taps(unet, 8)
    assert [name.count("+") + 1 for name in table.attention_groups()] == [5, 5, 5, 1]
    group = table.attention_groups()[1]
    alone = tuple(group.split("+"))
    taps = Taps(self_attention=(*alone, group), cross_attention=(*alone, group))
    got = run_tapped(unet, table, taps, lambda: unet(latent, 100, context))
    for kind in ("self", "cross"):
        mean = torch.stack([got[f"{kind}:{name}"] for name in alone]).mean(dim=0)
        torch.testing.assert_close(got[f"{kind}:{group}"], mean, atol=1e-6, rtol=0)
    assert not any("Recorder" in type(p).__name__ for p in unet.attn_processors.values())


def test_layers_of_different_size_cannot_be_joined(unet):
    with pytest.raises(InvalidInput, match="differ in size"):
        unet_taps(unet, 8).check(Taps(self_attention=("up1.a0+up2.a0",)))


def test_everything_is_taken_off_again_even_after_an_error(unet):
    table = unet_taps(unet, 8)
    attn = unet.up_blocks[1].attentions[0].transformer_blocks[0].attn1
    before = attn.processor

    def broken():
        assert attn.processor is not before
        raise ValueError("in the middle")

    with pytest.raises(ValueError, match="in the middle"):
        run_tapped(unet, table, Taps(("up1",), ("up1.a0",)), broken)
    assert attn.processor is before
    assert not any(module._forward_hooks for module in unet.modules())


def test_gradients_reach_the_context(unet):
    latent, context = inputs(8, 8, 1)
    context.requires_grad_()
    got = run_tapped(
        unet, unet_taps(unet, 8), Taps(cross_attention=("up1.a2", "up2.a0")), lambda: unet(latent, 100, context)
    )
    (gradient,) = torch.autograd.grad(sum(m[..., 1].sum() for m in got.maps), context)
    assert gradient.abs().max() > 0


@pytest.mark.parametrize(
    "taps", [Taps(("up9",)), Taps(self_attention=("up0.a0",)), Taps(cross_attention=("x",)), Taps()]
)
def test_unknown_names_are_refused(unet, taps):
    with pytest.raises(InvalidInput, match="up1"):
        run_tapped(unet, unet_taps(unet, 8), taps, lambda: None)


def test_a_pass_that_never_gets_there_fails_at_once(unet):
    with pytest.raises(RuntimeError, match="ended without"):
        run_tapped(unet, unet_taps(unet, 8), Taps(("up1",)), lambda: None)
