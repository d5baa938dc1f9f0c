from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from diffsight.backbones.base import Card, clean_settings
from diffsight.backbones.cards import VGG_TASKS
from diffsight.backbones.vgg import BLOCKS, LEVELS, load_vgg
from diffsight.errors import InvalidInput, ModelUnavailable
from diffsight.images import load_picture
from diffsight.matching import nearest
from diffsight.probe import Probe
from diffsight.types import Taps
from diffsight.world import make_scene

CARD = Card("tiny vgg", "random weights", "-", 0, "-", {})
WIDTHS = (4, 6, 8, 10, 12)
STAGES = [name for level, count in enumerate(LEVELS, 1) for name in
          [*(f"relu{level}_{n}" for n in range(1, count + 1)), f"pool{level}"]]  # fmt: skip


def literal(levels=LEVELS, norm=False) -> nn.Sequential:
    """The ``features`` of torchvision's VGG, layer by layer."""
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    channels = 3
    for count, width in zip(levels, WIDTHS, strict=True):
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), *([nn.BatchNorm2d(width)] if norm else []), nn.ReLU()]
            nn.init.kaiming_normal_(layers[-3 if norm else -2].weight)
            channels = width
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


def by_position(network):
    state = {f"features.{key}": weight for key, weight in network.state_dict().items()}
    return state | {"classifier.0.weight": torch.zeros(5, 5), "classifier.0.bias": torch.zeros(5)}


def by_name(network):
    convolutions = [layer for layer in network if isinstance(layer, nn.Conv2d)]
    state = {f"conv{block}.weight": layer.weight.data for block, layer in zip(BLOCKS, convolutions, strict=True)}
    return state | {f"conv{block}.bias": layer.bias.data for block, layer in zip(BLOCKS, convolutions, strict=True)}


def load(path, dtype=torch.float32):
    return load_vgg(path, CARD, torch.device("cpu"), dtype)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg19.safetensors"
    save_file(by_position(literal()), path)
    return load(path)


def read(backbone, pixels, *stages):
    with torch.no_grad():
        return backbone.read(backbone.encode(pixels).mean, 0, backbone.context([""]), Taps(stages)).maps


@pytest.mark.parametrize("layout", [by_position, by_name])
@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_every_stage_equals_the_literal_network(tmp_path, layout, suffix):
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(layout(literal()), path)
    backbone = load(path)
    pixels = torch.rand(2, 3, 32, 96, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    hidden = (pixels - mean[:, None, None]) / std[:, None, None]
    expected = []
    with torch.no_grad():
        for layer in literal():
            hidden = layer(hidden)
            expected += [] if isinstance(layer, nn.Conv2d) else [hidden]
    assert [tap.name for tap in backbone.taps.features] == STAGES
    for tap, found, wanted in zip(backbone.taps.features, read(backbone, pixels, *STAGES), expected, strict=True):
        assert found.shape == (2, tap.channels, 32 // tap.stride, 96 // tap.stride)
        torch.testing.assert_close(found, wanted)


def test_the_pass_ends_at_the_last_wanted_stage(tiny):
    pixels = torch.rand(1, 3, 64, 32)
    calls = []
    handle = tiny.network.get_submodule("conv3_2").register_forward_hook(lambda *_: calls.append(1))
    early = read(tiny, pixels, "relu2_1", "relu3_1")
    assert not calls
    full = read(tiny, pixels, "relu2_1", "relu3_1", "pool5")
    handle.remove()
    assert calls == [1]
    assert all(torch.equal(a, b) for a, b in zip(early, full, strict=False))


def test_rows_of_a_batch_equal_single_readings(tiny):
    pixels = torch.rand(3, 3, 64, 32)
    together = read(tiny, pixels, "relu4_4")[0]
    for i in range(3):
        torch.testing.assert_close(together[i : i + 1], read(tiny, pixels[i : i + 1], "relu4_4")[0])


def test_fingerprints_tell_weights_and_formats_apart(tiny, tmp_path):
    save_file(by_name(literal()), tmp_path / "again.safetensors")
    assert load(tmp_path / "again.safetensors").fingerprint == tiny.fingerprint
    half = load(tmp_path / "again.safetensors", torch.bfloat16)
    assert len({b.fingerprint for b in (tiny, half, tiny.untrained(0), tiny.untrained(1))}) == 4
    assert read(half, torch.rand(1, 3, 32, 32), "pool5")[0].dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (by_position(literal((2, 2, 3, 3, 3))), "looks like VGG-16, and lacks conv3_4.weight"),
        (by_position(literal(norm=True)), "looks like VGG-19 with batch normalisation"),
        ({"conv1.weight": torch.zeros(8, 3, 7, 7), "layer1.0.bn1.bias": torch.zeros(8)}, "holds conv1.weight, layer1"),
        ([torch.zeros(3)], "holds a list, not named tensors"),
        (by_name(literal()) | {"conv2_1.weight": torch.zeros(8, 3, 3, 3)}, "size mismatch"),
    ],
)
def test_other_architectures_are_named(tmp_path, state, named):
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(ModelUnavailable, match=named) as caught:
        load(tmp_path / "other.pth")
    assert "\n" not in str(caught.value)


class Dangerous:
    def __reduce__(self):
        return (print, ("run",))


def test_missing_damaged_and_unsafe_files_are_refused(tmp_path, capsys):
    save_file(by_name(literal()), tmp_path / "whole.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "whole.safetensors").read_bytes()[:-9])
    torch.save(by_name(literal()), tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:-99])
    (tmp_path / "empty.pth").touch()
    torch.save({"conv1_1.weight": Dangerous()}, tmp_path / "unsafe.pth")
    for name in ("cut.safetensors", "cut.pth", "empty.pth", "unsafe.pth", "none.pth", "none.safetensors"):
        with pytest.raises(ModelUnavailable, match="was not read: (it is damaged|it would run|No such file)") as caught:
            load(tmp_path / name)
        assert "\n" not in str(caught.value)
    assert capsys.readouterr().out == ""


def test_what_it_cannot_do_is_refused(tiny):
    with pytest.raises(InvalidInput, match="multiple of 32"):
        tiny.encode(torch.rand(1, 3, 48, 64))
    with pytest.raises(InvalidInput, match="no stage 'relu3_5'"):
        read(tiny, torch.rand(1, 3, 32, 32), "relu3_5")
    with pytest.raises(InvalidInput, match="'tiny vgg' reads no words"):
        tiny.find_words("a cat", ["cat"])


def test_settings_name_stages_and_whole_cells():
    assert set(VGG_TASKS) == {"semantic", "geometric", "temporal", "segmentation"}
    for row in VGG_TASKS.values():
        assert row.stage in STAGES
        assert not any(side % 32 for side in row.size)
        assert (row.ensemble, row.noise, row.timestep) == (1, False, 0)


def test_a_photo_is_matched_through_the_probe(tiny, rng):
    scene = make_scene(7, 64, 96).image
    photo, shifted = load_picture(scene), load_picture(np.roll(scene, 16, axis=1))
    first, second = Probe(tiny).read([photo, shifted], clean_settings("relu3_4", (64, 96)))
    points = rng.uniform((20, 10), (50, 50), (8, 2))
    found = nearest.match(first, second, points).matched
    # 16 pixels are four whole cells, and convolutions move with the picture
    assert np.median(np.abs(found - points - (16, 0))) < 2
