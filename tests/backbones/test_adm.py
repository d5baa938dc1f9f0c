from __future__ import annotations

import os
import pickle
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.backbones.adm import adm_taps, load_adm
from diffsight.backbones.adm_layout import RELEASED, AdmConfig
from diffsight.backbones.base import Card
from diffsight.backbones.cards import ADM_TASKS
from diffsight.errors import InvalidInput, ModelUnavailable
from diffsight.images import load_picture
from diffsight.matching import nearest
from diffsight.probe import Probe
from diffsight.types import Taps
from diffsight.world.scene import make_pair
from tests.backbones.published_adm import PublishedAdm

TINY = AdmConfig(channels=32, head_channels=16)
CARD = Card("adm", "", "MIT", 552.8, "", ADM_TASKS)
BLOCKS = tuple(f"out{i}" for i in range(18))
TABLE = [
    *[(1024, 32), (1024, 32), (1024, 16)],
    *[(1024, 16), (1024, 16), (1024, 8)],
    *[(512, 8), (512, 8), (512, 4)],
    *[(512, 4), (512, 4), (512, 2)],
    *[(256, 2), (256, 2), (256, 1)],
    *[(256, 1), (256, 1), (256, 1)],
]
side = st.integers(1, 200) | st.sampled_from([32, 64, 160])


def load_tiny(path, dtype=torch.float32):
    return load_adm(path, CARD, torch.device("cpu"), dtype, TINY)


@pytest.fixture(scope="module")
def published():
    torch.manual_seed(0)
    network = PublishedAdm(**asdict(TINY)).eval().requires_grad_(False)
    for name, weight in network.named_parameters():
        if weight.ndim == 1:  # norms and biases of their own, so that none can stand in for another
            weight.uniform_(0.5, 1.5) if name.endswith("weight") else weight.uniform_(-0.2, 0.2)
    return network


@pytest.fixture(scope="module")
def checkpoint(published, tmp_path_factory):
    path = tmp_path_factory.mktemp("adm") / "tiny.pt"
    torch.save(published.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def tiny(checkpoint):
    return load_tiny(checkpoint)


def pixels(height, width, rows=1, seed=0):
    return torch.randn(rows, 3, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width", "timestep"), [(64, 64, 101), (32, 96, 999)])
def test_it_computes_what_the_published_network_does(tiny, published, height, width, timestep):
    latent = pixels(height, width, rows=2)
    expected, outputs = published(latent, torch.full((2,), timestep))
    torch.testing.assert_close(tiny.unet(latent, timestep).sample, expected, atol=1e-5, rtol=0)
    got = tiny.read(latent, timestep, tiny.context(["", ""]), Taps(BLOCKS))
    for block, output in zip(BLOCKS, outputs, strict=True):
        torch.testing.assert_close(got[f"feature:{block}"], output, atol=1e-5, rtol=0)


def test_stopping_early_changes_no_bit(tiny):
    latent = pixels(32, 64)
    kept = {}
    handles = [
        tiny.unet.get_submodule(tap.module).register_forward_hook(
            lambda _m, _i, out, name=tap.name: kept.__setitem__(name, out)
        )
        for tap in tiny.taps.features
    ]
    tiny.unet(latent, 51)
    for handle in handles:
        handle.remove()
    for block in ("out0", "out2", "out4", "out8", "out11", "out17"):
        assert torch.equal(tiny.read(latent, 51, tiny.context([""]), Taps((block,))).maps[0], kept[block]), block


def test_stopping_early_leaves_out_what_comes_after(tiny):
    ran = []
    handles = [block.register_forward_pre_hook(lambda *_: ran.append(1)) for block in tiny.unet.up_blocks]
    tiny.read(pixels(32, 32), 51, tiny.context([""]), Taps(("out4",)))
    for handle in handles:
        handle.remove()
    assert len(ran) == 2


def test_the_released_network_has_the_published_size_and_blocks():
    from diffusers import UNet2DModel

    with torch.device("meta"):
        unet = UNet2DModel(**RELEASED.unet_options())
    assert sum(p.numel() for p in unet.parameters()) == 552_814_086
    assert [(tap.channels, tap.stride) for tap in adm_taps(unet.config).features] == TABLE
    assert [s.stage for s in ADM_TASKS.values()][:3] == ["out4", "out11", "out7"]
    for task in ADM_TASKS.values():
        assert not any(side % 32 for side in task.size)


def test_the_table_tells_the_truth(tiny):
    latent = pixels(96, 64)
    got = tiny.read(latent, 51, tiny.context([""]), Taps(BLOCKS))
    for tap, values, (channels, stride) in zip(tiny.taps.features, got.maps, TABLE, strict=True):
        assert (tap.channels, tap.stride) == (channels // 8, stride)
        assert values.shape == (1, tap.channels, 96 // tap.stride, 64 // tap.stride), tap.name


@given(side, side)
@settings(max_examples=40, deadline=None)
def test_sides_must_be_multiples_of_32(tiny, height, width):
    image = torch.rand(1, 3, height, width)
    if height % 32 == width % 32 == 0:
        torch.testing.assert_close(tiny.encode(image).mean, 2 * image - 1)
    else:
        with pytest.raises(InvalidInput, match="multiple of 32"):
            tiny.encode(image)


def test_the_published_network_needs_multiples_of_32_too(published):
    with pytest.raises(RuntimeError, match="Sizes of tensors must match"):
        published(pixels(48, 64), torch.tensor([51]))


def test_rows_of_a_batch_equal_single_rows(tiny):
    latent = pixels(64, 64, rows=3)
    together = tiny.read(latent, 101, tiny.context([""] * 3), Taps(("out4", "out11")))
    for i in range(3):
        alone = tiny.read(latent[i : i + 1], 101, tiny.context([""]), Taps(("out4", "out11")))
        for a, b in zip(together.maps, alone.maps, strict=True):
            torch.testing.assert_close(a[i], b[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("timestep", "alpha"), [(0, 0.9999), (41, 0.97886876), (51, 0.96886911), (101, 0.89325113)])
def test_the_noise_schedule(tiny, timestep, alpha):
    assert abs(float(tiny.alphas[timestep]) - alpha) < 1e-8
    latent, noise = torch.full((1, 3, 2, 2), 2.0), torch.ones(1, 3, 2, 2)
    expected = torch.full((1, 3, 2, 2), 2 * alpha**0.5 + (1 - alpha) ** 0.5)
    torch.testing.assert_close(tiny.add_noise(latent, noise, timestep), expected, atol=1e-5, rtol=0)


def test_file_and_folder_give_the_same_network(tiny, published, tmp_path):
    from safetensors.torch import save_file

    save_file(published.state_dict(), tmp_path / "tiny.safetensors")
    tiny.unet.save_pretrained(tmp_path / "folder")
    latent = pixels(32, 32)
    expected = tiny.read(latent, 51, tiny.context([""]), Taps(("out4",))).maps[0]
    for path in (tmp_path / "tiny.safetensors", tmp_path / "folder"):
        again = load_tiny(path)
        assert again.fingerprint == tiny.fingerprint
        got = again.read(latent, 51, again.context([""]), Taps(("out4",))).maps[0]
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=0)


def test_half_precision_and_untrained_read_the_same_shapes(tiny, checkpoint):
    half = load_tiny(checkpoint, torch.bfloat16)
    for backbone in (half, tiny.untrained(seed=1)):
        got = backbone.read(pixels(32, 64), 51, backbone.context([""]), Taps(("out4",)))
        assert got.maps[0].shape == (1, 128, 2, 4)
        assert got.maps[0].dtype == backbone.dtype
    assert len({tiny.fingerprint, half.fingerprint, tiny.untrained(1).fingerprint, tiny.untrained(2).fingerprint}) == 4


def test_words_are_refused(tiny):
    with pytest.raises(InvalidInput, match="reads no words, so not wing"):
        tiny.find_words("a bird", ["wing"])
    with pytest.raises(InvalidInput, match="no cross-attention, so no layer"):
        tiny.attend("up1.a0", torch.zeros(1), torch.zeros(1))
    with pytest.raises(InvalidInput, match="no attention layer"):
        tiny.read(pixels(32, 32), 0, tiny.context([""]), Taps(self_attention=("up1.a0",)))


class Program:
    """What an attacker would pickle: loading it makes a folder."""

    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def refused(path, match, config=TINY):
    with pytest.raises(ModelUnavailable, match=match) as caught:
        load_adm(path, CARD, torch.device("cpu"), torch.float32, config)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("write", [torch.save, lambda thing, path: path.write_bytes(pickle.dumps(thing, protocol=2))])
def test_a_program_in_a_pickle_is_refused_and_not_run(tmp_path, published, write):
    write(dict(published.state_dict()) | {"extra": Program(tmp_path / "ran")}, tmp_path / "evil.pt")
    refused(tmp_path / "evil.pt", "was not read: it would run")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("ending", ["pt", "safetensors", "folder"])
def test_what_is_cut_off_is_refused(tmp_path, tiny, published, checkpoint, ending):
    from safetensors.torch import save_file

    path = victim = tmp_path / f"cut.{ending}"
    if ending == "pt":
        path.write_bytes(checkpoint.read_bytes())
    elif ending == "safetensors":
        save_file(published.state_dict(), path)
    else:
        tiny.unet.save_pretrained(path)
        victim = path / "diffusion_pytorch_model.safetensors"
    whole = victim.read_bytes()
    for size in (len(whole) // 2, 100, 0):
        victim.write_bytes(whole[:size])
        refused(path, "was not read: it is damaged, cut off")


def test_what_is_not_there_is_refused(tmp_path):
    refused(tmp_path / "none.pt", "No such file")
    refused(tmp_path, "config.json")


def test_other_networks_are_refused(tmp_path, published, checkpoint, tiny_sd):
    refused(checkpoint, r"conv_in.weight is \(32, 3, 3, 3\), not \(64, 3, 3, 3\)", replace(TINY, channels=64))
    refused(checkpoint, "output_blocks.6.1.norm.weight, which is no weight", replace(TINY, attention_factors=(16, 32)))
    refused(checkpoint, "ADM in .* cannot be loaded", replace(TINY, layers=3))
    refused(tiny_sd / "unet", "'UNet2DConditionModel', not of a UNet2DModel")
    refused(tiny_sd / "unet" / "diffusion_pytorch_model.safetensors", "no weight of this network")
    for other, match in (
        ({"label_emb.weight": torch.zeros(1000, 128)}, "label_emb.weight, which is no weight"),
        ({"out.2.weight": torch.zeros(3, 32, 3, 3)}, r"\(3, 32, 3, 3\), not \(6, 32, 3, 3\)"),
    ):
        torch.save(dict(published.state_dict()) | other, tmp_path / "other.pt")
        refused(tmp_path / "other.pt", match)
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    refused(tmp_path / "list.pt", "holds a list, not named tensors")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"num_class_embeds": 10}, "num_class_embeds 10, ADM has None"),
        ({"norm_eps": 1e-6}, "norm_eps 1e-06"),
        ({"down_block_types": ("DownBlock2D",), "up_block_types": ("UpBlock2D",)}, "built of DownBlock2D"),
    ],
)
def test_folders_of_other_networks_are_refused(tmp_path, change, match):
    from diffusers import UNet2DModel

    options = AdmConfig(32, (1,), 1, (), 16).unet_options()
    UNet2DModel(**options | change).save_pretrained(tmp_path / "other")
    refused(tmp_path / "other", match)


def test_a_world_picture_is_found_in_itself_and_searched_for_in_another(tiny):
    pair = make_pair(0, 96)
    pictures = [load_picture(scene.image) for scene in (pair.source, pair.target)]
    reading = replace(ADM_TASKS["geometric"], size=(64, 64), ensemble=2)
    source, target = Probe(tiny).read(pictures, reading)
    assert source.feature().shape == (64, 32, 32)
    thing = pair.source.objects[0]
    points = np.floor(thing.keypoints[thing.visible]) + 0.5
    found = nearest.match(source, source, points)
    assert np.abs(found.matched - points).max() <= 1  # the outermost pixels of a photo have equal features
    np.testing.assert_allclose(found.score, 1, atol=1e-5)
    other = nearest.match(source, target, points)
    assert ((other.matched > 0) & (other.matched < 96)).all()
    assert (other.score < found.score).all()


def test_sizes_that_do_not_suit_are_said_before_the_network_runs(tiny):
    picture = load_picture(np.zeros((40, 40, 3), np.uint8))
    with pytest.raises(InvalidInput, match="multiples of 32"):
        Probe(tiny).read([picture], replace(ADM_TASKS["semantic"], size=(80, 96)))
