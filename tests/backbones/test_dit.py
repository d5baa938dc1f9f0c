"""Real diffusers classes at tiny size against their pieces run by hand."""

from __future__ import annotations

import json
import shutil
from functools import cache

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.backbones.base import ReadSettings
from diffsight.backbones.dit import FLUX_DEV, DitSettings, block_paths, read_blocks
from diffsight.backbones.dit_backbone import PromptEmbedding, load_dit
from diffsight.errors import InvalidInput, ModelUnavailable
from diffsight.images import load_picture
from diffsight.matching.matcher import Matcher
from diffsight.probe import Probe
from diffsight.types import Taps

CPU = torch.device("cpu")
TOKENS, WIDTH, POOLED = 5, 24, 12


def flux(guidance: bool = True):
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    return FluxTransformer2DModel(
        in_channels=16,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        pooled_projection_dim=POOLED,
        guidance_embeds=guidance,
        axes_dims_rope=(4, 4, 8),
    ).eval()


def sd3():
    from diffusers import SD3Transformer2DModel

    torch.manual_seed(0)
    return SD3Transformer2DModel(
        sample_size=32,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=WIDTH,
        caption_projection_dim=32,
        pooled_projection_dim=POOLED,
        pos_embed_max_size=16,
        dual_attention_layers=(0, 1),
        qk_norm="rms_norm",
    ).eval()


def inputs(height: int = 6, width: int = 10, rows: int = 2):
    generator = torch.Generator().manual_seed(1)
    latent = torch.randn(rows, 4, height, width, generator=generator)
    tokens = torch.randn(rows, TOKENS, WIDTH, generator=generator)
    return latent, tokens, torch.randn(rows, POOLED, generator=generator)


def modulated(tokens, linear, temb, discard, chunks):
    """Steps 3 to 5 of the recipe, as written."""
    tokens = tokens.clone()
    tokens[:, :, list(discard)] = 0
    centred = tokens - tokens.mean(dim=2, keepdim=True)
    normed = centred / (centred.square().mean(dim=2, keepdim=True) + 1e-6).sqrt()
    shift, scale = linear(torch.nn.functional.silu(temb)).chunk(chunks, dim=1)[:2]
    return normed * (1 + scale[:, None]) + shift[:, None]


def grid(tokens, height, width):
    return torch.stack([tokens[:, i] for i in range(height * width)], dim=2).reshape(len(tokens), -1, height, width)


@torch.no_grad()
def flux_by_hand(network, latent, timestep, tokens, pooled, guidance, discard):
    """The inputs of all blocks of FLUX, its pieces called one by one."""
    rows, channels, height, width = latent.shape
    squares = latent.view(rows, channels, height // 2, 2, width // 2, 2).permute(0, 2, 4, 1, 3, 5)
    image = network.x_embedder(squares.reshape(rows, -1, 4 * channels))
    times = torch.full((rows,), float(timestep))
    strength = [torch.full((rows,), 1000 * guidance)] if guidance is not None else []
    temb = network.time_text_embed(times, *strength, pooled)
    text = network.context_embedder(tokens)
    places = [[0, y, x] for y in range(height // 2) for x in range(width // 2)]
    rotary = network.pos_embed(torch.tensor([[0, 0, 0]] * TOKENS + places).float())
    found = {}
    for i, block in enumerate(network.transformer_blocks):
        found[f"double{i}"] = modulated(image, block.norm1.linear, temb, discard, 6)
        text, image = block(image, text, temb, rotary)
    for i, block in enumerate(network.single_transformer_blocks):
        found[f"single{i}"] = modulated(image, block.norm.linear, temb, discard, 3)
        text, image = block(image, text, temb, rotary)
    return {name: grid(tokens, height // 2, width // 2) for name, tokens in found.items()}


@torch.no_grad()
def sd3_by_hand(network, latent, timestep, tokens, pooled, discard):
    image = network.pos_embed(latent)
    temb = network.time_text_embed(torch.full((len(latent),), float(timestep)), pooled)
    text = network.context_embedder(tokens)
    found = {}
    for i, block in enumerate(network.transformer_blocks):
        found[f"joint{i}"] = modulated(image, block.norm1.linear, temb, discard, 9 if block.use_dual_attention else 6)
        text, image = block(image, text, temb)
    height, width = latent.shape[-2:]
    return {name: grid(tokens, height // 2, width // 2) for name, tokens in found.items()}


@pytest.mark.parametrize("guidance", [3.5, 1.0, None])
@pytest.mark.parametrize("discard", [(), (3, 30)])
def test_flux_equals_its_pieces_by_hand(guidance, discard):
    network = flux(guidance is not None)
    latent, tokens, pooled = inputs()
    choice = DitSettings(discard=discard, guidance=guidance or 0.0)
    blocks = ("single2", "double0", "double1", "single0")
    with torch.no_grad():
        got = read_blocks(network, latent, 260, tokens, pooled, blocks, choice)
    expected = flux_by_hand(network, latent, 260, tokens, pooled, guidance, discard)
    assert list(got) == list(blocks)
    for name in blocks:
        assert got[name].shape == (2, 32, 3, 5)
        torch.testing.assert_close(got[name], expected[name], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("discard", [(), (3, 30)])
def test_sd3_equals_its_pieces_by_hand(discard):
    network = sd3()
    latent, tokens, pooled = inputs()
    blocks = ("joint0", "joint1", "joint2")
    with torch.no_grad():
        got = read_blocks(network, latent, 90, tokens, pooled, blocks, DitSettings(discard=discard))
    expected = sd3_by_hand(network, latent, 90, tokens, pooled, discard)
    for name in blocks:
        torch.testing.assert_close(got[name], expected[name], atol=1e-4, rtol=1e-4)


def test_blocks_are_named_in_the_order_of_execution():
    assert list(block_paths(flux())) == ["double0", "double1", "single0", "single1", "single2"]
    assert block_paths(sd3()) == {f"joint{i}": f"transformer_blocks.{i}" for i in range(3)}


NETWORK = cache(flux)
"""One for all examples of a property."""


@settings(max_examples=8, deadline=None)
@given(height=st.integers(1, 5), width=st.integers(1, 5), channel=st.integers(0, 31))
def test_a_discarded_channel_has_no_say(height, width, channel):
    network = NETWORK()
    latent, tokens, pooled = inputs(2 * height, 2 * width, rows=1)

    def huge(_block, _arguments, named):
        named["hidden_states"][:, :, channel] += 1e4
        return (), named

    def read(discard: tuple[int, ...]) -> torch.Tensor:
        return read_blocks(network, latent, 260, tokens, pooled, ("double1",), DitSettings(discard))["double1"]

    with torch.no_grad():
        discarded, kept = read((channel,)), read(())
        handle = network.transformer_blocks[1].register_forward_pre_hook(huge, with_kwargs=True)
        massive, ruled = read((channel,)), read(())
        handle.remove()
    assert discarded.shape == (1, 32, height, width)
    assert torch.equal(discarded, massive)
    assert not torch.allclose(kept, ruled, atol=0.1)


def test_without_adaln_the_tokens_come_raw():
    network = sd3()
    latent, tokens, pooled = inputs()
    with torch.no_grad():
        raw = read_blocks(network, latent, 0, tokens, pooled, ("joint0",), DitSettings(adaln=False))["joint0"]
        embedded = network.pos_embed(latent)
    torch.testing.assert_close(raw, grid(embedded, 3, 5))


def test_the_pass_ends_at_the_last_block_and_leaves_no_hook():
    network = flux()
    latent, tokens, pooled = inputs()

    def never(*_arguments):
        raise AssertionError("the pass went on")

    network.single_transformer_blocks[1].register_forward_pre_hook(never)
    read_blocks(network, latent, 260, tokens, pooled, ("double1", "single0"), DitSettings())
    with pytest.raises(AssertionError, match="went on"):
        read_blocks(network, latent, 260, tokens, pooled, ("double1", "single2"), DitSettings())
    left = [len(module._forward_pre_hooks) for module in network.modules()]
    assert sum(left) == 1


def test_gradients_reach_latent_and_text():
    latent, tokens, pooled = (t.requires_grad_() for t in inputs())
    read_blocks(flux(), latent, 260, tokens, pooled, ("single1",), DitSettings())["single1"].square().sum().backward()
    assert all(float(t.grad.abs().sum()) > 0 for t in (latent, tokens, pooled))


@pytest.mark.parametrize(
    ("size", "block", "discard", "message"),
    [
        ((6, 10), "single3", (), "no block 'single3'; it has double0, double1, single0"),
        ((6, 10), "single0", (32,), "no channel 32 to discard; use 0 to 31"),
        ((6, 10), "single0", (-1,), "no channel -1"),
        ((6, 9), "single0", (), "9x6; both sides must be a multiple of 2"),
    ],
)
def test_what_does_not_suit_is_refused(size, block, discard, message):
    latent, tokens, pooled = inputs(*size)
    with pytest.raises(InvalidInput, match=message):
        read_blocks(flux(), latent, 260, tokens, pooled, (block,), DitSettings(discard=discard))


def test_sd3_knows_places_up_to_a_size():
    with pytest.raises(InvalidInput, match="34x6; this model knows places up to 32 a side"):
        read_blocks(sd3(), *inputs(6, 34)[:1], 0, *inputs()[1:], ("joint0",), DitSettings())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The layout of a FLUX repository, with the encoder at 4 pixels a cell."""
    from diffusers import AutoencoderKL

    folder = tmp_path_factory.mktemp("dit") / "tiny-flux"
    flux().save_pretrained(folder / "transformer")
    torch.manual_seed(1)
    AutoencoderKL(
        block_out_channels=(8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4,
        norm_num_groups=4,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    ).save_pretrained(folder / "vae")
    return folder


def prompts():
    _, tokens, pooled = inputs()
    return {"a cat": PromptEmbedding(tokens[0], pooled[0]), "": PromptEmbedding(tokens[1], pooled[1])}


@pytest.fixture(scope="module")
def backbone(folder):
    return load_dit(folder, prompts(), DitSettings(discard=(3,)), device=CPU, dtype=torch.float32)


def test_a_reading_through_the_probe_equals_the_pieces(backbone, rng):
    reading = ReadSettings(stage="single1", timestep=260, ensemble=2, size=(24, 40), prompt="a cat", noise=False)
    picture = load_picture(rng.random((24, 40, 3)))
    (got,) = Probe(backbone).read([picture], reading)
    _, tokens, pooled = inputs()
    latent = backbone.encode(picture.image[None]).mean
    expected = flux_by_hand(backbone.transformer, latent, 260, tokens[:1], pooled[:1], 3.5, (3,))["single1"]
    torch.testing.assert_close(got.feature(), expected[0], atol=1e-4, rtol=1e-4)


def test_latents_are_shifted_then_scaled(backbone, folder):
    from diffusers import AutoencoderKL

    pixels = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = AutoencoderKL.from_pretrained(folder / "vae").encode(pixels * 2 - 1).latent_dist
    posterior = backbone.encode(pixels)
    torch.testing.assert_close(posterior.mean, (whole.mean - 0.1159) * 0.3611)
    torch.testing.assert_close(posterior.std, whole.std * 0.3611)
    with pytest.raises(InvalidInput, match="multiple of 8"):
        backbone.encode(torch.rand(1, 3, 24, 36))


@pytest.mark.parametrize("timestep", [0, 90, 260, 999])
def test_noise_is_mixed_on_a_straight_way(backbone, timestep):
    latent, noise = torch.full((1, 4, 2, 2), 2.0), torch.full((1, 4, 2, 2), -1.0)
    expected = (1 - timestep / 1000) * 2 - timestep / 1000
    torch.testing.assert_close(backbone.add_noise(latent, noise, timestep), torch.full((1, 4, 2, 2), expected))
    for outside in (-1, 1000):
        with pytest.raises(InvalidInput, match="0 to 999"):
            backbone.add_noise(latent, noise, outside)


def test_a_matcher_finds_a_picture_in_itself(backbone, rng):
    picture = load_picture(np.kron(rng.random((6, 6, 3)), np.ones((8, 8, 1))))
    matcher = Matcher(backbone, stage="single1", size=(48, 48), ensemble=1)
    points = [(12.0, 12.0), (36.0, 28.0)]
    matched = matcher.match(matcher.source(picture, points), picture).matched
    np.testing.assert_allclose(matched, points, atol=1)


def test_the_card_reads_the_middle_block(backbone):
    assert backbone.card.tasks["semantic"].stage == "single0"
    assert "experimental" in backbone.card.about
    assert backbone.encoder.vae.decoder is None
    assert FLUX_DEV.discard == (154, 1446)


def test_what_is_not_offered_says_so(backbone):
    latent, tokens, _ = inputs()
    with pytest.raises(InvalidInput, match="'a dog' was not given .known: 'a cat', ''"):
        backbone.context(["a dog"])
    with pytest.raises(InvalidInput, match="no attention layer"):
        backbone.read(latent, 260, backbone.context(["", ""]), Taps(self_attention=("single0",)))
    with pytest.raises(InvalidInput, match="reads no words"):
        backbone.find_words("a cat", ["cat"])
    with pytest.raises(InvalidInput, match="no cross-attention"):
        backbone.attend("single0", tokens, tokens)


def test_the_fingerprint_covers_weights_settings_and_format(backbone, folder):
    def loaded(choice: DitSettings, dtype: torch.dtype = torch.float32) -> str:
        return load_dit(folder, prompts(), choice, device=CPU, dtype=dtype).fingerprint

    same = loaded(DitSettings(discard=(3,)))
    assert same == backbone.fingerprint
    others = {loaded(DitSettings()), loaded(DitSettings(discard=(3,)), torch.bfloat16)}
    assert len({same, backbone.untrained(1).fingerprint, *others}) == 4
    assert backbone.untrained(1).fingerprint == backbone.untrained(1).fingerprint


def test_half_precision_reads_the_same_shapes(folder):
    half = load_dit(folder, prompts(), device=CPU, dtype=torch.bfloat16)
    latent, _, _ = inputs()
    got = half.read(latent, 260, half.context(["a cat", ""]), Taps(("double1", "single2")))
    assert [m.shape for m in got.maps] == [(2, 32, 3, 5)] * 2
    assert got.maps[0].dtype == torch.bfloat16


@pytest.mark.parametrize("part", ["transformer", "vae"])
def test_a_folder_that_is_not_whole_is_named(folder, tmp_path, part):
    copy = tmp_path / "broken"
    shutil.copytree(folder, copy)
    weights = copy / part / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:3000])
    with pytest.raises(
        ModelUnavailable, match=f"broken/{part}/diffusion_pytorch_model.safetensors was not read"
    ) as caught:
        load_dit(copy, {}, device=CPU, dtype=torch.float32)
    assert "\n" not in str(caught.value)
    shutil.rmtree(copy / part)
    with pytest.raises(ModelUnavailable, match="broken"):
        load_dit(copy, {}, device=CPU, dtype=torch.float32)


def test_another_kind_of_transformer_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    path = tmp_path / "other" / "transformer" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"_class_name": "PixArtTransformer2DModel"}))
    with pytest.raises(ModelUnavailable, match="is a PixArtTransformer2DModel; known are Flux"):
        load_dit(tmp_path / "other", {}, device=CPU, dtype=torch.float32)
