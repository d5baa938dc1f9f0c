"""Every model that is known by name, from small checkpoints in the layouts that the large ones are published in."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace

import pytest
import torch
from PIL import Image

from diffsight.backbones.cards import CARDS
from diffsight.backbones.registry import is_here, load
from diffsight.backbones.weights import NETWORKS
from diffsight.cli import run
from diffsight.cli.match import BASELINES
from diffsight.images import load_picture
from diffsight.probe import Probe
from diffsight.types import Taps
from diffsight.world import make_scene


def kind_of(name):
    if name.removeprefix("cleandift-").startswith("sd-"):
        return "sd2" if "sd-2" in name else "sd"
    return name.split("-")[0]


@pytest.fixture
def photos(tmp_path):
    for i in range(2):
        Image.fromarray(make_scene(i, 60, 80, kinds=("bird",)).image).save(tmp_path / f"{i}.png")
    return [str(tmp_path / f"{i}.png") for i in range(2)]


@pytest.mark.parametrize("name", [name for name in CARDS if name != "pocket"])
def test_each_model_matches_photos_from_a_local_checkpoint(name, checkpoints, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(NETWORKS[name].variable, str(checkpoints[kind_of(name)]))
    assert is_here(CARDS[name])
    side = {"vit": 56, "adm": 64}.get(CARDS[name].kind, 64)
    command = ["match", *photos, "--model", name, "--size", str(side), "--point", "30,40", "--json"]
    assert run([*command, "--device", "cpu", "--out", str(tmp_path / "o")]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["model"] == name
    (row,) = report["matches"]
    assert 0 <= row["matched_x"] <= 80
    assert 0 <= row["matched_y"] <= 60


@pytest.mark.parametrize("method", BASELINES)
def test_the_baselines_of_the_papers_by_name(method, checkpoints, photos, tmp_path, monkeypatch, capsys):
    name, way = BASELINES[method]
    assert name.split("-")[0] == method.split("+")[0]
    assert way == {"nn": "dift", "mls": "mls"}[method.split("+")[1]]
    monkeypatch.setenv(NETWORKS[name].variable, str(checkpoints[kind_of(name)]))
    command = ["match", *photos, "--point", "30,40", "--json", "--device", "cpu", "--out", str(tmp_path / "o")]
    size = ["--size", "56"] if name != "vgg-19" else ["--size", "64"]
    reports = []
    for choice in (["--method", method.upper()], ["--method", way, "--model", name]):
        assert run([*command, *choice, *size]) == 0
        reports.append(json.loads(capsys.readouterr().out))
    assert reports[0]["model"] == name
    assert reports[0]["matches"] == reports[1]["matches"]
    mutual = reports[0]["matches"][0]["mutual"]
    assert (mutual is None) == (way == "mls")
    assert run([*command, "--method", method, "--model", "pocket", "--size", "64"]) == 0  # a model of your own
    assert json.loads(capsys.readouterr().out)["model"] == "pocket"


@pytest.mark.parametrize("kind", ["sd", "sdxl", "adm", "dinov2", "dino", "openclip"])
def test_a_folder_says_itself_what_it_is(kind, checkpoints):
    backbone = load(checkpoints[kind], device="cpu", dtype="float32")
    by_name = {"sd": "sd-1.5", "sdxl": "sdxl", "adm": "adm-256", "dinov2": "dinov2-b", "dino": "dino-b8"}
    card = CARDS[by_name.get(kind, "openclip-h14")]
    assert backbone.card.kind == card.kind
    if kind != "sd":  # whose picture is of the tiny network's size
        assert backbone.card.tasks == card.tasks


@pytest.mark.parametrize("name", ["adm-256", "dinov2-b", "vgg-19", "sdxl"])
def test_what_is_not_here_fails_at_once_with_one_message(name, photos, hub, tmp_path, monkeypatch, capsys):
    import huggingface_hub.constants as constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    start = time.monotonic()
    assert run(["match", *photos, "--model", name, "--out", str(tmp_path / "o")]) == 2
    assert time.monotonic() - start < 20  # nothing is waited for
    error = capsys.readouterr().err.strip()
    assert len(error.splitlines()) == 1
    assert NETWORKS[name].variable in error
    assert "not asked: offline" in error
    assert hub.log == []
    assert not (tmp_path / "o").exists()


def test_segments_of_a_network_without_attention(checkpoints, photos, tmp_path, capsys):
    command = [
        "segment",
        photos[0],
        "--model",
        str(checkpoints["dinov2"]),
        "--size",
        "56",
        "--out",
        str(tmp_path / "o"),
    ]
    assert run([*command, "--device", "cpu"]) == 2
    assert "ncut" in capsys.readouterr().err
    assert run([*command, "--device", "cpu", "--solver", "ncut"]) == 0


def literal_conditions(folder, prompt):
    """Tokens and pooled text as the pipeline of Stable Diffusion XL makes them."""
    from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    tokens = []
    for number, kind in (("", CLIPTextModel), ("_2", CLIPTextModelWithProjection)):
        tokenizer = CLIPTokenizer.from_pretrained(folder / f"tokenizer{number}")
        ids = tokenizer([prompt], padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
        found = kind.from_pretrained(folder / f"text_encoder{number}")(ids, output_hidden_states=True)
        tokens.append(found.hidden_states[-2])
    return torch.cat(tokens, dim=2), found.text_embeds


@torch.no_grad()
def test_xl_is_given_its_added_conditions(tiny_xl):
    backbone = load(tiny_xl, device="cpu", dtype="float32")
    latent, prompt = torch.randn(2, 4, 8, 16), "a bird"
    context = backbone.context([prompt, ""])
    tokens, pooled = literal_conditions(tiny_xl, prompt)
    torch.testing.assert_close(context[:1, :-1], tokens)
    torch.testing.assert_close(context[0, -1, :16], pooled[0])
    kept = []
    handle = backbone.unet.up_blocks[1].register_forward_hook(lambda _m, _i, output: kept.append(output))
    sizes = torch.tensor([[64.0, 128.0, 0.0, 0.0, 64.0, 128.0]])
    backbone.unet(latent[:1], 101, tokens, added_cond_kwargs={"text_embeds": pooled, "time_ids": sizes})
    handle.remove()
    got = backbone.read(latent, 101, context, Taps(("up1",), cross_attention=("up0.a0.b2",)))
    torch.testing.assert_close(got["feature:up1"][:1], kept[0], atol=1e-5, rtol=1e-5)
    assert got["cross:up0.a0.b2"].shape == (2, 2 * 4, 77)
    names = [tap.name for tap in backbone.taps.attention]
    assert names[:4] == ["down1.a0.b0", "down1.a0.b1", "down1.a1.b0", "down1.a1.b1"]
    assert len(names) == 2 * 2 + 2 * 3 + 3 + 3 * 3 + 3 * 2
    modules = {tap.name: tap.module for tap in backbone.taps.features}
    assert modules["down.self"] == modules["down2.a1.b2.self"]


def test_xl_attends_to_its_tokens_only(tiny_xl):
    backbone = load(tiny_xl, device="cpu", dtype="float32")
    latent, context = torch.randn(1, 4, 8, 8), backbone.context(["a bird"])
    taps = Taps(features=("up0.a0.b0.query",), cross_attention=("up0.a0.b0",))
    with torch.no_grad():
        read = backbone.read(latent, 101, context, taps)
        attended = backbone.attend("up0.a0.b0", read["feature:up0.a0.b0.query"], context)
    torch.testing.assert_close(attended, read["cross:up0.a0.b0"])


@pytest.mark.parametrize(("kind", "reason"), [("sdxl", "pooled"), ("dinov2", "no cross-attention")])
def test_prompts_are_learnt_where_there_are_tokens_only(kind, reason, checkpoints, photos, tmp_path, capsys):
    command = ["prompt", "learn", photos[0], "--point", "30,40", "--out", str(tmp_path / "p.safetensors")]
    assert run([*command, "--model", str(checkpoints[kind]), "--device", "cpu"]) == 2
    assert reason in capsys.readouterr().err


def test_xl_reads_a_photo(tiny_xl, photos):
    backbone = load(tiny_xl, device="cpu", dtype="float16")
    assert backbone.encoder.vae.dtype == torch.float32  # in half precision it overflows
    backbone = load(tiny_xl, device="cpu", dtype="float32")
    settings = backbone.card.tasks["segmentation"]
    reading = Probe(backbone).read([load_picture(photos[0])], replace(settings, size=(64, 64)))[0]
    assert reading.feature().shape == (64, 2, 2)


@pytest.mark.parametrize(
    ("kind", "part", "wild"),
    [
        ("dinov2", "", {"patch_size": 0}),
        ("dinov2", "", {"num_attention_heads": 0}),
        ("dinov2", "", {"hidden_act": "foo"}),
        ("sd", "unet", {"attention_head_dim": 0}),
        ("sd", "unet", {"norm_num_groups": 0}),
        ("sd", "vae", {"scaling_factor": None}),
        ("sd", "vae", {"scaling_factor": 0}),
        ("adm", "", {"attention_head_dim": 0}),
    ],
)
def test_a_wild_configuration_is_one_line(kind, part, wild, checkpoints, photos, tmp_path, capsys):
    folder = tmp_path / "model"
    shutil.copytree(checkpoints[kind], folder)
    path = folder / part / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **wild}))
    command = ["match", *photos, "--model", str(folder), "--point", "30,40", "--out", str(tmp_path / "o")]
    assert run([*command, "--size", "56" if kind == "dinov2" else "64", "--device", "cpu"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
