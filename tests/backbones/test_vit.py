from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from diffsight.backbones.base import Card, clean_settings
from diffsight.backbones.cards import CLIP_TASKS, DINO_TASKS, DINOV2_TASKS
from diffsight.backbones.vit import load_vit
from diffsight.errors import InvalidInput, ModelUnavailable
from diffsight.images import load_picture
from diffsight.matching import nearest
from diffsight.probe import Probe
from diffsight.types import Taps
from diffsight.world import make_scene

BLOCKS = 3
TINY = {"hidden_size": 24, "num_hidden_layers": BLOCKS, "num_attention_heads": 2}
CARD = Card("tiny", "random weights", "-", 0, "-", {})
KINDS = ("dino", "dinov2", "clip", "clip_vision")
NATIVE = {"dino": 32, "dinov2": 42, "clip": 42, "clip_vision": 42}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Tiny networks of the real classes, saved as the public repositories are: CLIP with its text half, DINO bare."""
    from transformers import (
        CLIPConfig,
        CLIPModel,
        CLIPVisionModel,
        Dinov2Config,
        Dinov2Model,
        ViTConfig,
        ViTModel,
    )

    vision = {**TINY, "intermediate_size": 48, "image_size": 42, "patch_size": 14}
    text = {**TINY, "intermediate_size": 48, "vocab_size": 50, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    clip = CLIPConfig(vision_config=vision, text_config=text)
    networks = {
        "dino": ViTModel(ViTConfig(**TINY, intermediate_size=48, image_size=32, patch_size=8), add_pooling_layer=False),
        "dinov2": Dinov2Model(Dinov2Config(**TINY, mlp_ratio=2, image_size=42, patch_size=14)),
        "clip": CLIPModel(clip),
        "clip_vision": CLIPVisionModel(clip.vision_config),
    }
    root = tmp_path_factory.mktemp("vit")
    generator = torch.Generator().manual_seed(0)
    for kind, network in networks.items():
        for weight in network.parameters():
            weight.data = torch.randn(weight.shape, generator=generator) * 0.3
        network.save_pretrained(root / kind)
    return root


@pytest.fixture(scope="module")
def tiny(folders):
    return {kind: load(folders / kind) for kind in KINDS}


def load(folder, dtype=torch.float32):
    return load_vit(folder, CARD, torch.device("cpu"), dtype)


def read(backbone, pixels, *blocks):
    with torch.no_grad():
        latent = backbone.encode(pixels).mean
        return backbone.read(latent, 0, backbone.context([""]), Taps(tuple(f"block{b}" for b in blocks))).maps


def image(height, width, batch=1):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(height + width))


def plain(kind, folder):
    """The library's own model, with everything in it."""
    from transformers import CLIPModel, CLIPVisionModel, Dinov2Model, ViTModel

    if kind == "clip":
        return CLIPModel.from_pretrained(folder).vision_model
    if kind == "dino":
        return ViTModel.from_pretrained(folder, add_pooling_layer=False)
    return {"dinov2": Dinov2Model, "clip_vision": CLIPVisionModel}[kind].from_pretrained(folder)


@pytest.mark.parametrize("kind", KINDS)
def test_readings_equal_the_plain_forward_at_the_native_size(tiny, folders, kind):
    side = NATIVE[kind]
    pixels = image(side, side, batch=2)
    network = plain(kind, folders / kind)
    mean, std = (torch.tensor(c)[:, None, None] for c in (tiny[kind].family.mean, tiny[kind].family.std))
    with torch.no_grad():
        expected = network((pixels - mean) / std, output_hidden_states=True)
    for block, found in enumerate(read(tiny[kind], pixels, *range(BLOCKS))):
        tokens = expected.hidden_states[block + 1]
        tokens = network.layernorm(tokens) if kind == "dino" else tokens
        cells = side // tiny[kind].multiple
        assert found.shape == (2, 24, cells, cells)
        torch.testing.assert_close(found.flatten(2).transpose(1, 2), tokens[:, 1:])


def test_only_dino_is_read_after_its_final_norm(tiny, folders):
    for kind in ("dino", "dinov2"):
        pixels = image(NATIVE[kind], NATIVE[kind])
        with torch.no_grad():
            last = plain(kind, folders / kind)(tiny[kind].encode(pixels).mean).last_hidden_state[:, 1:]
        found = read(tiny[kind], pixels, BLOCKS - 1)[0].flatten(2).transpose(1, 2)
        assert torch.allclose(found, last, atol=1e-5) == (kind == "dino")


@pytest.mark.parametrize("kind", ["dino", "dinov2", "clip"])
@settings(max_examples=8, deadline=None)
@given(rows=st.integers(1, 9), columns=st.integers(1, 9))
def test_position_embeddings_are_interpolated_to_the_grid(tiny, kind, rows, columns):
    backbone = tiny[kind]
    parts = backbone.network.embeddings
    table = parts.position_embedding.weight if kind == "clip" else parts.position_embeddings[0]
    project = parts.patch_embedding if kind == "clip" else parts.patch_embeddings.projection
    first = parts.class_embedding if kind == "clip" else parts.cls_token[0, 0]
    side = int((len(table) - 1) ** 0.5)
    square = table[1:].T.reshape(1, 24, side, side)
    if (rows, columns) != (side, side):
        square = F.interpolate(square, size=(rows, columns), mode="bicubic", align_corners=False)

    pixels = image(rows * backbone.multiple, columns * backbone.multiple)
    with torch.no_grad():
        patches = (project(backbone.encode(pixels).mean) + square).flatten(2).transpose(1, 2)
    expected = torch.cat([(first + table[0])[None, None], patches], dim=1)
    seen = []
    handle = parts.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    (found,) = read(backbone, pixels, 0)
    handle.remove()
    torch.testing.assert_close(seen[0], expected)
    assert found.shape == (1, 24, rows, columns)


@pytest.mark.parametrize("kind", ["dino", "dinov2", "clip"])
def test_rows_of_a_batch_equal_single_readings(tiny, kind):
    step = tiny[kind].multiple
    pixels = image(3 * step, 5 * step, batch=3)
    together = read(tiny[kind], pixels, 1)[0]
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], read(tiny[kind], pixels[i : i + 1], 1)[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["dino", "dinov2", "clip"])
def test_the_pass_ends_at_the_last_wanted_block(tiny, kind):
    backbone = tiny[kind]
    pixels = image(5 * backbone.multiple, 2 * backbone.multiple)
    last = backbone.network.get_submodule(backbone.taps.features[-1].module)
    calls = []
    handle = last.register_forward_hook(lambda *_: calls.append(1))
    early = read(backbone, pixels, 1)[0]
    assert not calls
    full = read(backbone, pixels, 0, 1, BLOCKS - 1)
    handle.remove()
    assert calls == [1]
    assert torch.equal(early, full[1])


def test_of_clip_only_the_picture_half_is_loaded(tiny, folders):
    assert sum(p.numel() for p in tiny["clip"].network.parameters()) < sum(
        weight.numel() for weight in load_file(folders / "clip" / "model.safetensors").values()
    )
    pixels = image(28, 56)
    state = {k.removeprefix("vision_model."): v for k, v in load_file(folders / "clip" / "model.safetensors").items()}
    half = load(folders / "clip_vision")
    half.network.load_state_dict({k: state[k] for k in half.network.state_dict()})
    assert torch.equal(read(half, pixels, 1)[0], read(tiny["clip"], pixels, 1)[0])


def test_loading_is_quiet(folders, monkeypatch, caplog, capfd):
    logger = logging.getLogger("transformers")
    monkeypatch.setattr(logger, "propagate", True)
    level = logger.level
    load(folders / "clip")  # half of its weights are not wanted
    assert not caplog.records
    assert capfd.readouterr() == ("", "")
    assert logger.level == level


def test_fingerprints_tell_weights_formats_and_families_apart(tiny, folders):
    again, half = load(folders / "dino"), load(folders / "dino", torch.bfloat16)
    assert again.fingerprint == tiny["dino"].fingerprint
    prints = {b.fingerprint for b in (*tiny.values(), half, again.untrained(0), again.untrained(1))}
    assert len(prints) == 7
    assert again.untrained(1).fingerprint == again.untrained(1).fingerprint
    half_read = read(half, image(40, 24), 2)[0]
    assert half_read.dtype == torch.bfloat16
    torch.testing.assert_close(half_read.float(), read(again, image(40, 24), 2)[0], atol=0.3, rtol=0.1)


def test_a_half_precision_run_reads_the_sixteen_bit_file(folders, tmp_path):
    shutil.copytree(folders / "dinov2", tmp_path / "both")
    state = load_file(folders / "dinov2" / "model.safetensors")
    halves = {name: (2 * weight).half() for name, weight in state.items()}
    save_file(halves, tmp_path / "both" / "model.fp16.safetensors", metadata={"format": "pt"})
    for dtype, factor in ((torch.float32, 1), (torch.float16, 2)):
        weight = load(tmp_path / "both", dtype).network.layernorm.weight
        torch.testing.assert_close(weight, (factor * state["layernorm.weight"]).to(dtype))


def test_other_heads_make_another_network(folders, tiny, tmp_path):
    shutil.copytree(folders / "dinov2", tmp_path / "heads")
    path = tmp_path / "heads" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"num_attention_heads": 3}))
    assert load(tmp_path / "heads").fingerprint != tiny["dinov2"].fingerprint


def test_other_kinds_of_model_are_named(folders, tmp_path):
    shutil.copytree(folders / "dinov2", tmp_path / "other")
    path = tmp_path / "other" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"model_type": "swin"}))
    with pytest.raises(ModelUnavailable, match="'swin', not one of vit, dinov2, clip"):
        load(tmp_path / "other")


def _drop_a_weight(path):
    state = load_file(path)
    del state["encoder.layer.1.norm1.weight"]
    save_file(state, path, metadata={"format": "pt"})


def _cut_off(path):
    path.write_bytes(path.read_bytes()[:-500])


def _change_a_shape(path):
    state = load_file(path)
    save_file(state | {"layernorm.weight": torch.ones(25)}, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("config.json", lambda path: path.unlink(), "config.json was not read: No such file"),
        ("config.json", lambda path: path.write_text("{"), "config.json was not read: it is damaged"),
        ("config.json", lambda path: path.write_text("[]"), "config.json was not read: it holds a list"),
        ("model.safetensors", lambda path: path.unlink(), "broken does not hold the weights: no model.safetensors"),
        ("model.safetensors", _cut_off, "model.safetensors was not read: it is damaged"),
        ("model.safetensors", _drop_a_weight, r"1 of its weights are missing, such as encoder.layer.1.norm1.weight"),
        ("model.safetensors", _change_a_shape, "broken cannot be loaded"),
    ],
)
def test_missing_and_damaged_files_are_reported_in_one_line(folders, tmp_path, file, damage, words):
    shutil.copytree(folders / "dinov2", tmp_path / "broken")
    damage(tmp_path / "broken" / file)
    with pytest.raises(ModelUnavailable, match=words) as caught:
        load(tmp_path / "broken")
    assert "\n" not in str(caught.value)


def test_what_a_vision_transformer_cannot_do_is_refused(tiny):
    backbone = tiny["dino"]
    with pytest.raises(InvalidInput, match="30x32; both sides must be a multiple of 8"):
        backbone.encode(torch.rand(1, 3, 32, 30))
    with pytest.raises(InvalidInput, match="no stage 'block3'; it has block0, block1, block2"):
        read(backbone, image(32, 32), 3)
    with pytest.raises(InvalidInput, match="'tiny' reads no words, so not cat"):
        backbone.find_words("a cat", ["cat"])
    with pytest.raises(InvalidInput, match="'tiny' has no cross-attention"):
        backbone.attend("block0", torch.zeros(1, 4, 24), torch.zeros(1, 0, 0))
    with pytest.raises(InvalidInput, match="no attention layer 'block0'"):
        backbone.read(image(32, 32), 0, backbone.context([""]), Taps(self_attention=("block0",)))


def test_encoding_is_certain_and_takes_no_noise(tiny):
    pixels = image(42, 28)
    posterior = tiny["clip"].encode(pixels)
    assert not posterior.std.any()
    red = (pixels[:, 0] - 0.48145466) / 0.26862954
    torch.testing.assert_close(posterior.mean[:, 0], red)
    assert tiny["clip"].add_noise(posterior.mean, torch.ones_like(posterior.mean), 500) is posterior.mean


@pytest.mark.parametrize(("tasks", "patch"), [(DINO_TASKS, 8), (DINOV2_TASKS, 14), (CLIP_TASKS, 14)])
def test_settings_suit_the_published_networks(tasks, patch):
    assert set(tasks) == {"semantic", "geometric", "temporal", "segmentation"}
    for row in tasks.values():
        assert row.stage == "last"
        assert not any(side % patch for side in row.size)
        assert (row.ensemble, row.noise, row.timestep) == (1, False, 0)


@pytest.mark.parametrize("kind", ["dino", "dinov2", "clip"])
def test_a_photo_is_matched_through_the_probe(tiny, kind, rng):
    backbone = tiny[kind]
    photo = load_picture(make_scene(7, 60, 80).image)
    rows = clean_settings("block2", (6 * backbone.multiple, 8 * backbone.multiple))
    first, second = Probe(backbone).read([photo, load_picture(photo.array()[:, ::-1].copy())], rows)
    assert first.feature().shape == (24, 6, 8)
    points = rng.integers(10, 50, (8, 2)) + 0.5
    np.testing.assert_array_equal(nearest.match(first, first, points).matched, points)
    assert not np.allclose(nearest.match(first, second, points).matched, points, atol=1)
