from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from diffsight.backbones.registry import load
from diffsight.errors import InvalidInput, ModelUnavailable
from diffsight.types import Taps


@pytest.fixture(scope="module")
def tiny(tiny_sd):
    return load(tiny_sd, device="cpu", dtype="float32")


def test_loads_without_a_decoder(tiny):
    assert tiny.encoder.vae.decoder is None
    assert not any(p.requires_grad or p.is_meta for p in tiny.unet.parameters())
    assert not any(p.is_meta for p in tiny.encoder.vae.encoder.parameters())


def test_encoding_equals_the_whole_autoencoder(tiny, tiny_sd):
    from diffusers import AutoencoderKL

    vae = AutoencoderKL.from_pretrained(tiny_sd / "vae")
    pixels = torch.rand(2, 3, 40, 64, generator=torch.Generator().manual_seed(0))
    posterior = tiny.encode(pixels)
    with torch.no_grad():
        expected = vae.encode(pixels * 2 - 1).latent_dist
    torch.testing.assert_close(posterior.mean, expected.mean * 0.18215)
    torch.testing.assert_close(posterior.std, expected.std * 0.18215)
    assert posterior.mean.shape == (2, 4, 5, 8)


def test_old_names_of_the_autoencoder_are_understood(tiny, tiny_sd, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_sd, tmp_path / "old")
    path = tmp_path / "old" / "vae" / "diffusion_pytorch_model.safetensors"
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    state = load_file(path)
    for new, old in names.items():
        state = {k.replace(new, old): v for k, v in state.items()}
    save_file(state, path)
    old = load(tmp_path / "old", device="cpu", dtype="float32")
    pixels = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(old.encode(pixels).mean, tiny.encode(pixels).mean)


@pytest.mark.parametrize(
    ("timestep", "alpha"),
    [(0, 0.99915), (40, 0.96188591), (51, 0.95052432), (101, 0.89298054), (261, 0.65566933), (300, 0.59050106)],
)
def test_the_noise_schedule(tiny, timestep, alpha):
    assert abs(float(tiny.alphas[timestep]) - alpha) < 1e-6
    latent, noise = torch.full((1, 4, 2, 2), 2.0), torch.ones(1, 4, 2, 2)
    expected = 2 * alpha**0.5 + (1 - alpha) ** 0.5
    torch.testing.assert_close(
        tiny.add_noise(latent, noise, timestep), torch.full((1, 4, 2, 2), expected), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("timestep", [-1, 1000])
def test_timesteps_outside_the_schedule_are_refused(tiny, timestep):
    with pytest.raises(InvalidInput, match="0 to 999"):
        tiny.add_noise(torch.zeros(1, 4, 2, 2), torch.zeros(1, 4, 2, 2), timestep)


def test_context_comes_from_clip(tiny, tiny_sd):
    from transformers import CLIPTextModel, CLIPTokenizer

    tokens = CLIPTokenizer.from_pretrained(tiny_sd / "tokenizer")(
        "a cat", padding="max_length", max_length=77, return_tensors="pt"
    )
    with torch.no_grad():
        expected = CLIPTextModel.from_pretrained(tiny_sd / "text_encoder")(tokens.input_ids)[0]
    got = tiny.context(["a cat", "", "a cat"])
    assert got.shape == (3, 77, 32)
    torch.testing.assert_close(got[0], expected[0])
    assert torch.equal(got[0], got[2])
    assert not torch.equal(got[0], got[1])


def test_sides_must_suit_the_encoder(tiny):
    with pytest.raises(InvalidInput, match="multiple of 8"):
        tiny.encode(torch.rand(1, 3, 30, 32))


def test_half_precision_and_untrained_read_the_same_shapes(tiny, tiny_sd):
    half = load(tiny_sd, device="cpu", dtype="bfloat16")
    latent = torch.randn(1, 4, 6, 6)
    for backbone in (tiny, half, tiny.untrained(seed=1)):
        got = backbone.read(latent, 10, backbone.context([""]), Taps(("up1",)))
        assert got.maps[0].shape == (1, 64, 6, 6) or got.maps[0].shape == (1, 64, 3, 3)
    assert len({tiny.fingerprint, half.fingerprint, tiny.untrained(seed=1).fingerprint}) == 3
    assert tiny.fingerprint == load(tiny_sd, device="cpu", dtype="float32").fingerprint


@pytest.mark.parametrize(
    "missing",
    ["unet/config.json", "unet/diffusion_pytorch_model.safetensors", "scheduler", "vae", "tokenizer", "text_encoder"],
)
def test_a_folder_without_a_part_is_named(tiny_sd, tmp_path, missing):
    folder = tmp_path / "broken"
    shutil.copytree(tiny_sd, folder)
    victim = folder / missing
    shutil.rmtree(victim) if victim.is_dir() else victim.unlink()
    with pytest.raises(ModelUnavailable, match="broken") as caught:
        load(folder, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("part", ["unet/diffusion_pytorch_model", "vae/diffusion_pytorch_model", "text_encoder/model"])
def test_truncated_weights_are_refused(tiny_sd, tmp_path, part):
    folder = tmp_path / "cut"
    shutil.copytree(tiny_sd, folder)
    path = folder / f"{part}.safetensors"
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(ModelUnavailable, match=f"{part}.safetensors was not read: it is damaged"):
        load(folder, device="cpu").context([""])


def test_the_fingerprint_covers_encoder_and_schedule(tiny, tiny_sd, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "other"
    shutil.copytree(tiny_sd, folder)
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    state["encoder.conv_in.weight"][0, 0, 0, 0] += 1e-3
    save_file(state, path)
    assert load(folder, device="cpu", dtype="float32").fingerprint != tiny.fingerprint
    shutil.rmtree(folder / "vae")
    shutil.copytree(tiny_sd / "vae", folder / "vae")
    assert load(folder, device="cpu", dtype="float32").fingerprint == tiny.fingerprint
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"beta_end": 0.02}))
    assert load(folder, device="cpu", dtype="float32").fingerprint != tiny.fingerprint


def test_a_text_encoder_without_one_of_its_weights_is_refused(tiny_sd, tmp_path):
    from safetensors.torch import load_file, save_file

    shutil.copytree(tiny_sd, tmp_path / "bald")
    path = tmp_path / "bald" / "text_encoder" / "model.safetensors"
    state = load_file(path)
    state.popitem()
    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ModelUnavailable, match="1 of its weights are missing"):
        load(tmp_path / "bald", device="cpu").context(["a cat"])


def test_weights_of_another_network_are_refused(tiny_sd, tmp_path):
    folder = tmp_path / "other"
    shutil.copytree(tiny_sd, folder)
    config = json.loads((folder / "unet" / "config.json").read_text())
    (folder / "unet" / "config.json").write_text(json.dumps(config | {"cross_attention_dim": 48}))
    with pytest.raises(ModelUnavailable, match="other/unet cannot be loaded"):
        load(folder, device="cpu")


def test_sharded_and_fp16_files_load(tiny, tiny_sd, tmp_path):
    from diffusers import UNet2DConditionModel

    unet = UNet2DConditionModel.from_pretrained(tiny_sd / "unet")
    for name, arguments in (("shards", {"max_shard_size": "1MB"}), ("half", {"variant": "fp16"})):
        folder = tmp_path / name
        shutil.copytree(tiny_sd, folder)
        shutil.rmtree(folder / "unet")
        unet.save_pretrained(folder / "unet", **arguments)
        assert not (folder / "unet" / "diffusion_pytorch_model.safetensors").exists()
        again = load(folder, device="cpu", dtype="float32")
        assert again.fingerprint == tiny.fingerprint
    np.testing.assert_equal(len(list((tmp_path / "shards" / "unet").glob("*.safetensors"))) > 1, True)


def test_words_are_found_by_their_characters(tiny):
    # the tokenizer knows single characters only, so every word is several tokens
    assert tiny.find_words("a cat, cat", ["cat", "a"]) == [(2, 3, 4, 6, 7, 8), (1,)]
    assert tiny.find_words("Big Cat", ["cat"]) == [(4, 5, 6)]
    with pytest.raises(InvalidInput, match="does not hold"):
        tiny.find_words("a cat", ["at"])
    with pytest.raises(InvalidInput, match="fewer words"):
        tiny.find_words("x" * 90 + " cat", ["cat"])


def test_what_self_attention_adds_comes_as_a_grid(tiny):
    latent = torch.randn(1, 4, 8, 16, generator=torch.Generator().manual_seed(0))
    got = tiny.read(latent, 50, tiny.context([""]), Taps(("down2.a1.self", "down2.a1")))
    assert got.maps[0].shape == got.maps[1].shape == (1, 64, 2, 4)
    module = tiny.unet.down_blocks[2].attentions[1].transformer_blocks[0].attn1
    kept = []
    handle = module.register_forward_hook(lambda _m, _i, out: kept.append(out))
    tiny.read(latent, 50, tiny.context([""]), Taps(("down2.a1",)))
    handle.remove()
    assert torch.equal(got.maps[0][0, :, 1, 3], kept[0][0, 7])


def test_parts_of_different_networks_are_named(tiny_sd, tmp_path):
    from diffusers import UNet2DConditionModel

    folder = tmp_path / "mixed"
    shutil.copytree(tiny_sd, folder, ignore=shutil.ignore_patterns("unet"))
    config = json.loads((tiny_sd / "unet" / "config.json").read_text())
    UNet2DConditionModel.from_config({**config, "cross_attention_dim": 48}).save_pretrained(folder / "unet")
    with pytest.raises(ModelUnavailable, match="gives 32 channels, its UNet reads 48"):
        load(folder, device="cpu").context(["a bird"])


@pytest.mark.parametrize("empty", ["{}", '{"a</w>": 0, "<|startoftext|>": 1, "<|endoftext|>": 2}'])
def test_a_tokenizer_of_another_network_is_refused(tiny_sd, tmp_path, empty):
    folder = tmp_path / "sd"
    shutil.copytree(tiny_sd, folder)
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "vocab.json").write_text(empty)
    with pytest.raises(ModelUnavailable, match="tokenizer"):
        load(folder, device="cpu").context(["a bird"])
