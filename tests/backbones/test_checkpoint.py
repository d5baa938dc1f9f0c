"""Single files, in the layouts that people have them in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffsight.backbones.registry import CARDS, load
from diffsight.backbones.weights import NETWORKS, Network, checkpoint, resolve
from diffsight.errors import ModelUnavailable

from ..conftest import write_tokenizer
from ..original_layout import original_state

UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module", params=[1, 2])
def version(request) -> int:
    return request.param


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    """Stable Diffusion 1.x and 2.x at tiny width, with the heads and groups that their constants ask for."""
    from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    made = {}
    for version in (1, 2):
        folder = made[version] = tmp_path_factory.mktemp("sd") / str(version)
        torch.manual_seed(version)
        second = {"use_linear_projection": True, "upcast_attention": True, "attention_head_dim": (1, 1, 1, 1)}
        UNet2DConditionModel(
            **checkpoint.UNET_CONFIG,
            block_out_channels=(32 * version,) * 4,
            cross_attention_dim=64,
            sample_size=64 if version == 1 else 96,
            **({"attention_head_dim": 8} if version == 1 else second),
        ).save_pretrained(folder / "unet")
        AutoencoderKL(**checkpoint.VAE_CONFIG, block_out_channels=(32,) * 4).save_pretrained(folder / "vae")
        CLIPTextModel(
            CLIPTextConfig(
                vocab_size=300,
                hidden_size=64,
                intermediate_size=128,
                num_hidden_layers=2,
                num_attention_heads=1,
                hidden_act="quick_gelu" if version == 1 else "gelu",
                bos_token_id=298,
                eos_token_id=299,
                pad_token_id=299,
            )
        ).save_pretrained(folder / "text_encoder")
        DDIMScheduler(**checkpoint.SCHEDULE).save_pretrained(folder / "scheduler")
        write_tokenizer(folder / "tokenizer")
    return made


def assert_same(one, other) -> None:
    """Equal weights, heads, latents and contexts."""
    theirs = other.unet.state_dict()
    assert one.unet.state_dict().keys() == theirs.keys()
    assert all(torch.equal(tensor, theirs[key]) for key, tensor in one.unet.state_dict().items())
    assert heads(one.unet) == heads(other.unet)
    pixels = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(one.encode(pixels).mean, other.encode(pixels).mean)
    torch.testing.assert_close(one.context(["a b"]), other.context(["a b"]))
    torch.testing.assert_close(one.alphas, other.alphas)


def heads(unet) -> list[tuple[int, float, bool]]:
    layers = [module for name, module in unet.named_modules() if name.endswith(("attn1", "attn2"))]
    return [(layer.heads, layer.scale, layer.upcast_attention) for layer in layers]


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
def test_the_original_layout_equals_the_folder(hub, folders, version, tmp_path, ending):
    path = tmp_path / f"model{ending}"
    state = original_state(folders[version], version)
    save_file(state, path) if ending == ".safetensors" else torch.save({"state_dict": state, "global_step": 1}, path)
    shutil.copytree(folders[version] / "tokenizer", tmp_path / "tokenizer")
    one, other = (load(source, device="cpu", dtype="float32") for source in (path, folders[version]))
    assert_same(one, other)
    assert one.card.tasks["semantic"].size == ((512, 512) if version == 1 else (768, 768))
    assert one.encoder.vae.decoder is None
    assert hub.log == []


def test_the_running_average_is_preferred(hub, folders, tmp_path):
    state = original_state(folders[1], 1)
    averaged = {
        "model_ema." + key.removeprefix("model.").replace(".", ""): tensor + 1
        for key, tensor in state.items()
        if key.startswith("model.diffusion_model.")
    }
    save_file(state | averaged, tmp_path / "full.safetensors")
    config, read = checkpoint.read_unet(tmp_path / "full.safetensors")
    torch.testing.assert_close(read["conv_in.weight"], load_file(folders[1] / UNET)["conv_in.weight"] + 1)
    assert config["block_out_channels"] == (32, 32, 32, 32)


@pytest.mark.parametrize("where", ["variable of a network", "hub"])
def test_the_tokenizer_of_a_single_file_is_found_elsewhere(hub, folders, tmp_path, monkeypatch, where):
    path = tmp_path / "model.safetensors"
    save_file(original_state(folders[1], 1), path)
    with pytest.raises(ModelUnavailable, match="holds no tokenizer.*beside it"):
        load(path, device="cpu")
    if where == "hub":
        shutil.copytree(folders[1], hub.folder / "CompVis/stable-diffusion-v1-4")
    else:
        monkeypatch.setenv("DIFFSIGHT_SD14", str(folders[1]))
    hub.log.clear()
    assert_same(load(path, device="cpu", dtype="float32"), load(folders[1], device="cpu", dtype="float32"))
    assert all("/tokenizer/" in asked or "/api/" in asked for _, asked, _ in hub.log)


def test_a_known_network_from_a_single_file_has_its_card(hub, folders, tmp_path, monkeypatch):
    save_file(original_state(folders[2], 2), tmp_path / "sd-2.1.safetensors")
    monkeypatch.setenv("DIFFSIGHT_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("DIFFSIGHT_SD21_BASE", str(folders[2]))
    backbone = load("sd-2.1", device="cpu", dtype="float32")
    assert backbone.card == CARDS["sd-2.1"]
    assert_same(backbone, load(folders[2], device="cpu", dtype="float32"))


def test_a_file_of_another_version_is_refused(hub, folders, tmp_path):
    save_file(original_state(folders[1], 1), tmp_path / "model.safetensors")
    with pytest.raises(ModelUnavailable, match=r"is of Stable Diffusion 1.x, not sd-2.1"):
        load("sd-2.1", weights=tmp_path / "model.safetensors", device="cpu")


def test_a_lone_unet_takes_the_rest_from_its_base(hub, folders, version, tmp_path, monkeypatch):
    name, base = {1: ("cleandift-sd-1.5", "SD15"), 2: ("cleandift-sd-2.1", "SD21")}[version]
    file = NETWORKS[name].places[0].files[0].name
    (hub.folder / "CompVis/cleandift").mkdir(parents=True)
    state = {key: tensor + 1 for key, tensor in load_file(folders[version] / UNET).items()}
    save_file(state, hub.folder / "CompVis/cleandift" / file)
    with pytest.raises(ModelUnavailable, match="holds no scheduler, text_encoder, tokenizer, vae; sd-"):
        load(name, device="cpu")
    without_unet = tmp_path / "rest"
    shutil.copytree(folders[version], without_unet, ignore=shutil.ignore_patterns("unet"))
    monkeypatch.setenv(f"DIFFSIGHT_{base}", str(without_unet))
    backbone = load(name, device="cpu", dtype="float32")
    assert backbone.card == CARDS[name]
    assert all(torch.equal(tensor, state[key]) for key, tensor in backbone.unet.state_dict().items())
    whole = tmp_path / "whole"
    shutil.copytree(folders[version], whole)
    save_file(state, whole / UNET)
    assert_same(backbone, load(whole, device="cpu", dtype="float32"))
    assert_same(backbone, load(hub.folder / "CompVis/cleandift" / file, device="cpu", dtype="float32"))


def test_the_base_of_a_lone_unet_may_itself_be_a_single_file(hub, folders, tmp_path, monkeypatch):
    save_file(original_state(folders[1], 1), tmp_path / "base.safetensors")
    shutil.copytree(folders[1] / "tokenizer", tmp_path / "tokenizer")
    shutil.copy(folders[1] / UNET, tmp_path / "unet.safetensors")
    monkeypatch.setenv("DIFFSIGHT_SD15", str(tmp_path / "base.safetensors"))
    found = resolve(NETWORKS["cleandift-sd-1.5"], tmp_path / "unet.safetensors")
    assert found.having("unet") == tmp_path / "unet.safetensors"
    assert found.having("vae") == tmp_path / "base.safetensors"
    assert found.having("tokenizer") == tmp_path
    whole = load(folders[1], device="cpu", dtype="float32")
    assert_same(load(tmp_path / "unet.safetensors", device="cpu", dtype="float32"), whole)


class Evil:
    """Makes a folder when it is unpickled the ordinary way."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


def test_a_pickle_that_would_run_code_is_not_run(hub, tmp_path):
    path, trace = tmp_path / "evil.ckpt", tmp_path / "trace"
    torch.save({"state_dict": {"a": torch.zeros(1)}, "callbacks": Evil(trace)}, path)
    with pytest.raises(ModelUnavailable, match=r"it would run posix.mkdir; use the .safetensors"):
        load(path, device="cpu")
    assert not trace.exists()
    torch.load(path, weights_only=False)  # the file is what it claims to be
    assert trace.exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "holds a list, not named tensors"),
        ({"state_dict": [1]}, "holds a list, not named tensors"),
        ({1: torch.zeros(1)}, "holds 1, no named tensors"),
        ({"epoch": 3}, "holds epoch, no named tensors"),
        ({}, "holds nothing, no named tensors"),
    ],
)
@pytest.mark.parametrize("name", ["pocket", "adm-256", "vgg-19"])
def test_a_pickle_without_named_tensors_is_refused(hub, tmp_path, name, content, words):
    torch.save(content, tmp_path / "x.ckpt")
    with pytest.raises(ModelUnavailable, match=f"x.ckpt was not read: it {words}"):
        load(name, weights=tmp_path / "x.ckpt", device="cpu")


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"lora_unet_down_blocks_0.lora_down.weight": (4, 4)}, "a LoRA"),
        ({"encoder.conv_in.weight": (8, 3, 3, 3), "decoder.conv_in.weight": (8, 4, 3, 3)}, "a VAE"),
        ({"first_stage_model.encoder.conv_in.weight": (8, 3, 3, 3)}, "a VAE"),
        ({"text_model.embeddings.token_embedding.weight": (8, 4)}, "a text encoder"),
        ({"conditioner.embedders.1.model.positional_embedding": (1,)}, "Stable Diffusion XL"),
        ({"conv_in.weight": (8, 4, 3, 3), "add_embedding.linear_1.weight": (8, 8)}, "Stable Diffusion XL"),
        (
            {"double_blocks.0.img_attn.norm.key_norm.scale": (8,), "img_in.weight": (8, 64)},
            "architecture (flux",
        ),
        ({"model.diffusion_model.input_blocks.0.0.weight": (8, 9, 3, 3)}, "another architecture (inpainting)"),
        ({"input_blocks.0.0.weight": (8, 3, 3, 3)}, "guided diffusion (ADM)"),
        ({"anything.weight": (2,)}, "an unknown kind (it holds anything.weight"),
    ],
)
def test_files_of_other_kinds_are_named(hub, tmp_path, keys, words):
    path = tmp_path / "file.safetensors"
    save_file({key: torch.zeros(shape) for key, shape in keys.items()}, path)
    with pytest.raises(ModelUnavailable) as caught:
        load(path, device="cpu")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("ending", [".safetensors", ".ckpt"])
@pytest.mark.parametrize("damage", ["cut", "junk", "empty"])
def test_damaged_files_are_refused(hub, folders, tmp_path, ending, damage):
    path = tmp_path / f"file{ending}"
    state = load_file(folders[1] / UNET)
    save_file(state, path) if ending == ".safetensors" else torch.save(state, path)
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "junk": b"junk" * 99, "empty": b""}[damage])
    with pytest.raises(ModelUnavailable, match="damaged") as caught:
        load(path, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_unet_with_a_missing_weight_is_refused(hub, folders, tmp_path):
    state = load_file(folders[1] / UNET)
    del state["mid_block.resnets.0.conv1.weight"]
    shutil.copytree(folders[1], tmp_path / "sd")
    save_file(state, tmp_path / "sd" / UNET)
    with pytest.raises(ModelUnavailable, match=r"mid_block.resnets.0.conv1.weight"):
        load(tmp_path / "sd", device="cpu")
    network = Network("own", None, ())
    assert resolve(network, tmp_path / "sd").path == tmp_path / "sd"
