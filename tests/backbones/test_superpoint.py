from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import SuperPointConfig, SuperPointForKeypointDetection, ViTConfig, ViTModel

from diffsight.backbones import superpoint
from diffsight.backbones.superpoint import SuperPoint
from diffsight.errors import ModelUnavailable
from diffsight.matching.keypoints import detect
from diffsight.types import Picture
from diffsight.world import make_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The published architecture at a tenth of its width, random weights."""
    path = tmp_path_factory.mktemp("superpoint")
    torch.manual_seed(0)
    config = SuperPointConfig(encoder_hidden_sizes=[8, 8, 16, 16], decoder_hidden_size=16, descriptor_decoder_dim=8)
    network = SuperPointForKeypointDetection(config)
    for weights in network.parameters():
        torch.nn.init.normal_(weights, std=0.15)  # the library's own draw gives every pixel the same score
    network.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def photo():
    return Picture(torch.from_numpy(make_scene(3, 96, 128, count=3).image).permute(2, 0, 1).contiguous())


def test_the_surest_keypoints_of_the_network_in_pixels_of_the_photo(folder, photo):
    network = SuperPointForKeypointDetection.from_pretrained(folder)
    grey = (torch.tensor([0.299, 0.587, 0.114])[:, None, None] * photo.image / 255).sum(dim=0)
    with torch.no_grad():
        found = network(grey.expand(1, 3, -1, -1))
    surest = found.scores[0].argsort(descending=True, stable=True)[:30]
    expected = (found.keypoints[0][surest] * torch.tensor([128, 96])).numpy() + 0.5
    points = SuperPoint(folder, device="cpu")(photo, 30)
    np.testing.assert_allclose(np.sort(points, axis=0), np.sort(expected, axis=0), atol=1e-3)


def test_keypoints_of_a_shrunk_photo_lie_on_its_cells(folder, photo, monkeypatch):
    monkeypatch.setattr(superpoint, "SIDE", 64)
    points = detect(photo, SuperPoint(folder, device="cpu"), 20)
    assert 0 < len(points) <= 20
    assert ((points > 0) & (points < (128, 96))).all()
    np.testing.assert_allclose(points % 2, 1, atol=1e-3)  # centres of pixels that are two wide
    sizes = [(5, 5), (3, 300), (300, 7)]
    for size in sizes:
        own = Picture(torch.randint(0, 255, (3, *size), dtype=torch.uint8))
        assert (detect(own, SuperPoint(folder, device="cpu"), 9) <= size[::-1]).all()


def test_the_variable_names_the_weights(folder, photo, monkeypatch):
    monkeypatch.setenv("DIFFSIGHT_SUPERPOINT", str(folder))
    np.testing.assert_array_equal(detect(photo, "superpoint", 9), detect(photo, SuperPoint(folder), 9))


@pytest.mark.usefixtures("hub")
def test_without_weights_one_line_says_what_to_do(tmp_path, folder, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelUnavailable) as caught:
        SuperPoint()
    message = str(caught.value)
    assert "\n" not in message
    for part in ("magic-leap-community/superpoint: not asked: offline", "set DIFFSIGHT_SUPERPOINT", "--keypoints sift"):
        assert part in message
    assert "pocket" not in message
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:900])
    with pytest.raises(ModelUnavailable, match=r"model\.safetensors.*damaged"):
        SuperPoint(tmp_path)
    ViTModel(ViTConfig(hidden_size=8, num_hidden_layers=1, num_attention_heads=1)).save_pretrained(tmp_path / "vit")
    with pytest.raises(ModelUnavailable, match="is of DINO, not superpoint"):
        SuperPoint(tmp_path / "vit")
