from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from diffsight.backbones import attention
from diffsight.backbones.attention import TiledProcessor, tile_attention, tiled_attention
from diffsight.backbones.registry import load


def draw(batch, heads, queries, keys, channels, dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    sizes = (queries, keys, keys)
    # as a projection gives them: heads beside each other, so that nothing here is contiguous
    return [torch.randn(batch, n, heads, channels, generator=generator).to(dtype).transpose(1, 2) for n in sizes]


@pytest.mark.parametrize("tile", [1, 50, 700, 2**20])
@pytest.mark.parametrize(("queries", "keys"), [(36, 36), (36, 7), (5, 77), (1, 1)])
def test_equals_the_fused_attention_however_it_is_cut(monkeypatch, tile, queries, keys):
    monkeypatch.setattr(attention, "TILE", tile)
    query, key, value = draw(3, 4, queries, keys, 8)
    torch.testing.assert_close(
        tiled_attention(query, key, value), F.scaled_dot_product_attention(query, key, value), atol=1e-6, rtol=1e-5
    )


def test_bfloat16_is_as_close_as_its_format_allows():
    exact = draw(2, 4, 576, 576, 64, torch.bfloat16)
    wanted = F.scaled_dot_product_attention(*(t.float() for t in exact))
    found = tiled_attention(*exact).float()
    assert found.dtype == torch.float32
    assert (found - wanted).norm() / wanted.norm() < 2**-6  # eight bits of a score, and of a share


def test_no_more_than_a_tile_of_scores_is_held(monkeypatch):
    monkeypatch.setattr(attention, "TILE", 4096)
    held = []
    softmax = torch.Tensor.softmax

    def watched(self, dim):
        held.append(self.numel())
        return softmax(self, dim=dim)

    monkeypatch.setattr(torch.Tensor, "softmax", watched)
    tiled_attention(*draw(2, 4, 100, 60, 8))
    assert max(held) <= 4096
    assert sum(held) == 2 * 4 * 100 * 60


@pytest.fixture(scope="module")
def pass_of_pocket():
    latent = torch.randn(2, 12, 16, 16, generator=torch.Generator().manual_seed(0))

    def run(backbone, dtype):
        context = backbone.context(["", ""]).to(dtype)
        with torch.no_grad():
            return backbone.unet(latent.to(dtype), 20, context).sample.float()

    return run


def test_a_pass_is_as_near_to_float32_as_by_fused_attention(pass_of_pocket):
    exact = pass_of_pocket(load("pocket", device="cpu", dtype="float32"), torch.float32)
    backbone = load("pocket", device="cpu", dtype="bfloat16")
    processors = backbone.unet.attn_processors
    assert all(isinstance(own, TiledProcessor) for own in processors.values())
    tiled = pass_of_pocket(backbone, torch.bfloat16)
    backbone.unet.set_attn_processor({name: own.original for name, own in processors.items()})
    fused = pass_of_pocket(backbone, torch.bfloat16)
    assert not torch.equal(tiled, fused)
    assert (tiled - exact).norm() < 1.2 * (fused - exact).norm()


def test_float32_and_other_devices_keep_the_fused_attention():
    unet = load("pocket", device="cpu", dtype="float32").unet
    tile_attention(unet, torch.device("cpu"), torch.float32)
    tile_attention(unet, torch.device("cuda"), torch.bfloat16)
    assert not any(isinstance(own, TiledProcessor) for own in unet.attn_processors.values())


def test_gradients_flow_to_the_text():
    backbone = load("pocket", device="cpu", dtype="bfloat16")
    context = backbone.context([""]).clone().requires_grad_()
    latent = torch.randn(1, 12, 16, 16, dtype=torch.bfloat16)
    backbone.unet(latent, 20, context).sample.float().square().mean().backward()
    assert context.grad.isfinite().all()
    assert context.grad.abs().sum() > 0
