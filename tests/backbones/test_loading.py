"""What is wrong with a stranger's files is one line that names the file."""

from __future__ import annotations

import gc
import json
import shutil
import socket
from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from diffsight.backbones.loading import load_transformer, refusing, uncollected
from diffsight.backbones.registry import load
from diffsight.errors import InvalidInput, ModelUnavailable

UNET = "unet/diffusion_pytorch_model.safetensors"


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def write(text):
    return lambda path: path.write_text(text)


def change(**values):
    def act(path):
        path.write_text(json.dumps({**json.loads(path.read_text()), **values}))

    return act


def load_all(path):
    """Load a model, its text encoders too."""
    return load(path, device="cpu", dtype="float32").context(["a bird"])


FEWER = "describes no place for {} of its weights, such as "


@pytest.mark.parametrize(
    ("kind", "file", "act", "words"),
    [
        ("sd", UNET, cut, f"{UNET} was not read: it is damaged"),
        ("sd", "unet/config.json", write("[1]"), "unet/config.json was not read: it holds a list"),
        ("sd", "unet/config.json", change(layers_per_block=1), r"/unet cannot be loaded \(.*Unexpected key"),
        ("sd", "unet/config.json", change(layers_per_block=3), r"/unet cannot be loaded \(.*Missing key"),
        ("sd", "unet/config.json", change(sample_size=None), "unet/config.json cannot be loaded"),
        ("sd", "vae/config.json", write("[1]"), "vae/config.json was not read: it holds a list"),
        ("sd", "vae/config.json", write('"x"'), "vae/config.json was not read: it holds a str"),
        ("sd", "vae/config.json", change(block_out_channels="x"), "/vae cannot be loaded"),
        ("sd", "vae/config.json", change(latent_channels="x"), "/vae cannot be loaded"),
        ("sd", "scheduler/scheduler_config.json", write("[]"), "scheduler_config.json was not read: it holds a list"),
        ("sd", "scheduler/scheduler_config.json", write("{}"), "scheduler_config.json cannot be loaded"),
        ("sd", "model_index.json", write("{"), "model_index.json was not read: it is damaged"),
        ("sd", "text_encoder/model.safetensors", cut, "text_encoder/model.safetensors was not read: it is damaged"),
        ("sd", "text_encoder/config.json", write("{"), "text_encoder/config.json was not read: it is damaged"),
        ("sd", "text_encoder/config.json", change(num_hidden_layers=1), FEWER.format(16)),
        ("sd", "text_encoder/config.json", change(num_hidden_layers=3), "16 of its weights are missing"),
        ("sd", "text_encoder/config.json", change(num_hidden_layers="x"), "/text_encoder cannot be loaded"),
        ("sd", "tokenizer/tokenizer.json", write("{"), "/tokenizer cannot be loaded"),
        ("dino", "config.json", change(num_hidden_layers=1), FEWER.format(16)),
        (
            "dinov2",
            "config.json",
            change(num_hidden_layers=1, out_features=None, out_indices=None, stage_names=None),
            FEWER.format(18),
        ),
        ("openclip", "config.json", change(num_hidden_layers=1), FEWER.format(16)),
        ("dinov2", "config.json", change(model_type="bert"), "known here are vit, dinov2"),
        ("dinov2", "config.json", change(patch_size=0), "config.json cannot be loaded"),
        ("adm", "config.json", change(layers_per_block=1), "Unexpected key"),
        ("sdxl", "text_encoder_2/config.json", change(num_hidden_layers=1), FEWER.format(16)),
        ("sdxl", "tokenizer_2/tokenizer.json", write("{"), "/tokenizer_2 cannot be loaded"),
    ],
)
def test_a_file_that_is_wrong_is_named_in_one_line(checkpoints, tmp_path, kind, file, act, words, capfd):
    shutil.copytree(checkpoints[kind], tmp_path / "model")
    act(tmp_path / "model" / file)
    with pytest.raises(ModelUnavailable, match=words) as caught:
        load_all(tmp_path / "model")
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "model") in str(caught.value)
    assert capfd.readouterr() == ("", "")


SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}


def test_heads_and_halves_that_a_network_leaves_out_do_no_harm(tmp_path):
    from transformers import (
        CLIPConfig,
        CLIPModel,
        CLIPTextModel,
        CLIPTextModelWithProjection,
        CLIPVisionModel,
        Dinov2Config,
        Dinov2ForImageClassification,
        Dinov2Model,
        ViTConfig,
        ViTForImageClassification,
        ViTModel,
    )

    vision = {**SMALL, "image_size": 42, "patch_size": 14}
    text = {**SMALL, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=vision))
    numbers = {f"{half}_model.embeddings.position_ids": torch.arange(10)[None] for half in ("text", "vision")}
    published = [
        (clip, CLIPVisionModel, numbers),
        (clip, CLIPTextModel, numbers),
        (CLIPTextModelWithProjection(clip.config.text_config), CLIPTextModel, {}),
        (ViTModel(ViTConfig(**vision)), partial(ViTModel, add_pooling_layer=False), {}),
        (ViTForImageClassification(ViTConfig(**vision)), partial(ViTModel, add_pooling_layer=False), {}),
        (Dinov2ForImageClassification(Dinov2Config(**vision)), Dinov2Model, {}),
    ]
    for i, (network, kind, more) in enumerate(published):
        folder = tmp_path / str(i)
        network.save_pretrained(folder)
        state = load_file(folder / "model.safetensors")
        save_file(state | more, folder / "model.safetensors", metadata={"format": "pt"})
        options = kind.keywords if isinstance(kind, partial) else {}
        read = load_transformer(getattr(kind, "func", kind), folder, torch.float32, **options).state_dict()
        assert all(any(torch.equal(weight, other) for other in state.values()) for weight in read.values())


def test_a_single_file_that_does_not_load_is_named_without_advice_on_folders(
    checkpoints, hub, tmp_path, tiny_sd, monkeypatch
):
    state = load_file(checkpoints["vgg"])
    save_file(state | {"features.0.weight": torch.zeros(4, 4, 3, 3)}, tmp_path / "vgg.safetensors")
    with pytest.raises(ModelUnavailable, match=r"vgg.safetensors cannot be loaded .*give torchvision's"):
        load("vgg-19", weights=tmp_path / "vgg.safetensors", device="cpu")
    monkeypatch.setenv("DIFFSIGHT_SD15", str(tiny_sd))
    state = load_file(tiny_sd / UNET)
    del state["mid_block.resnets.0.conv1.weight"]
    save_file(state, tmp_path / "unet.safetensors")
    with pytest.raises(
        ModelUnavailable, match="unet.safetensors cannot be loaded .*Missing key.*conv1.weight"
    ) as caught:
        load("cleandift-sd-1.5", weights=tmp_path / "unet.safetensors", device="cpu")
    assert "folder" not in str(caught.value)


def test_our_own_errors_and_those_of_the_machine_pass():
    for error in (InvalidInput("x"), ImportError("x"), MemoryError("x"), KeyboardInterrupt()):
        with pytest.raises(type(error)), refusing("it", "give another"):
            raise error
    words = r"^it cannot be loaded \(RuntimeError: a b\); give another$"
    with pytest.raises(ModelUnavailable, match=words), refusing("it", "give another"):
        raise RuntimeError("a\n b")


def test_a_damaged_configuration_asks_no_hub(tiny_sd, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(socket.socket, "connect", lambda *arguments: asked.append(arguments))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **_: asked.append(arguments) or [])
    shutil.copytree(tiny_sd, tmp_path / "sd")
    for part in ("vae", "unet", "text_encoder"):
        Path(tmp_path / "sd" / part / "config.json").write_text("[1]")
        with pytest.raises(ModelUnavailable, match=f"{part}/config.json"):
            load_all(tmp_path / "sd")
        shutil.copy(tiny_sd / part / "config.json", tmp_path / "sd" / part)
    assert asked == []


@pytest.mark.parametrize("was_on", [True, False])
def test_loading_leaves_the_garbage_collector_as_it_was(was_on):
    before = gc.isenabled()
    (gc.enable if was_on else gc.disable)()
    try:
        with pytest.raises(ZeroDivisionError), uncollected():
            assert not gc.isenabled()
            _ = 1 / 0
        assert gc.isenabled() == was_on
    finally:
        (gc.enable if before else gc.disable)()
