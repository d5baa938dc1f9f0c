"""Against the minimal list of facts in the paper's released code."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.backbones.registry import load
from diffsight.errors import DiffsightError, InvalidInput, UnreadableFile
from diffsight.images import load_picture
from diffsight.matching.prompt import (
    PRESETS,
    PromptEmbeddings,
    PromptSettings,
    change,
    layer_maps,
    learning,
    locate,
    optimise,
    read_released,
    settings_for,
    steps,
    target_maps,
)
from diffsight.matching.prompt.frame import Frame, attention, seeded, start_range
from diffsight.matching.prompt.loss import gaussian_target, map_loss, mask_target
from diffsight.matching.prompt.settings import default_layers
from diffsight.types import Taps
from diffsight.world import make_scene

SMALL = PromptSettings(size=128, rounds=2, steps=3, crops=5, offsets=2, rate=0.05)


@pytest.fixture(scope="module")
def tiny(tiny_sd):
    return load(tiny_sd, device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def photo():
    return load_picture(make_scene(3, 90, 130, kinds=("bird",)).image)


def last(results):
    *_, result = results
    return result


def test_settings_say_which_preset_they_are():
    pocket = load("pocket", device="cpu").card
    assert settings_for(pocket, "hedlin").preset == "hedlin"
    assert settings_for(pocket).preset == "default"
    assert change(settings_for(pocket), ["seed=3"]).preset == "default"
    moved = change(change(settings_for(pocket), ["rounds=3"]), ["steps=2"])
    assert moved.preset == "default, changed"


def test_presets_are_the_papers():
    code, paper = PRESETS["hedlin"], PRESETS["default"]
    assert (code.noise, code.heads, code.fit_timestep, code.read_timestep) == ("uniform", "last_half", 140, 40)
    assert (paper.noise, paper.heads, paper.fit_timestep, paper.read_timestep) == ("gaussian", "all", 140, 140)
    for own in (code, paper):
        assert (own.rounds, own.steps, own.crops, own.token) == (5, 129, 20, 1)
        assert own.rate == 0.0023755632081200314
        assert own.sigma * 512 == pytest.approx(27.97853316316864)
        assert int(512 * own.crop) == 477
        assert int(own.margin * 477) == 71


def test_timesteps_mix_as_the_schedule_says(tiny):
    one, nothing = torch.ones(1), torch.zeros(1)
    for timestep, signal, noise in ((140, 0.917476, 0.397791), (40, 0.980758, 0.195228)):
        assert float(tiny.add_noise(one, nothing, timestep)) == pytest.approx(signal, abs=1e-6)
        assert float(tiny.add_noise(nothing, one, timestep)) == pytest.approx(noise, abs=1e-6)


def test_layers_are_those_of_the_paper(tiny):
    assert default_layers(tiny.taps) == ("up1.a0", "up1.a1", "up1.a2", "up2.a0")
    assert default_layers(load("pocket", device="cpu").taps) == ("up0.a0", "up0.a1", "up1.a0")


@pytest.mark.parametrize(
    ("point", "expected"),
    [(0, (0, 0)), (71, (0, 0)), (72, (0, 1)), (256, (0, 35)), (440, (34, 35)), (441, (35, 35)), (511, (35, 35))],
)
def test_crops_keep_the_point_off_their_border(point, expected):
    assert start_range(point, 512, 477, 71) == expected


def test_every_point_has_a_legal_crop_among_few_offsets(tiny, photo):
    for offsets in (2, 6):
        frame = Frame(tiny, photo, replace(PRESETS["default"], offsets=offsets))
        for at in range(513):
            low, high = start_range(at, 512, frame.crop, frame.margin)
            assert ((frame.starts >= low) & (frame.starts <= high)).any()
    assert list(frame.starts) == [0, 7, 14, 21, 28, 35]


def test_the_target_is_one_at_its_centre_and_falls_as_a_gaussian():
    n = 64  # a map of the frame's own size sees the target itself
    target = gaussian_target(torch.tensor([[20.5, 30.5]]), n, 5.0, [n]).projected[n][0]
    assert float(target[30, 20]) == pytest.approx(1)
    assert float(target[30, 25]) == pytest.approx(np.exp(-0.5))
    assert float(target[35, 20]) == pytest.approx(np.exp(-0.5))
    shifted = gaussian_target(torch.tensor([[20.0, 30.0]]), n, 5.0, [n], half_pixel=False).projected[n][0]
    assert float(shifted[30, 20]) == pytest.approx(1)


def literal_loss(maps, targets, side):
    """Every map upsampled to the frame and compared there."""
    losses = []
    for own in maps:
        large = F.interpolate(own[:, None].double(), (side, side), mode="bilinear", align_corners=False)[:, 0]
        losses.append((large - targets).square().mean(dim=(1, 2)))
    return torch.stack(losses).mean(dim=0)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 999), st.sampled_from([64, 120]), st.booleans())
def test_the_loss_without_large_maps_equals_the_literal_one(seed, side, as_mask):
    generator = torch.Generator().manual_seed(seed)
    maps = [torch.rand(3, n, n, generator=generator, dtype=torch.float64).requires_grad_() for n in (8, 8, 16)]
    points = torch.rand(3, 2, generator=generator) * side
    centres = torch.arange(side, dtype=torch.float64) + 0.5
    x, y = (torch.exp(-0.5 * ((centres - points[:, i, None].double()) / 7.0) ** 2) for i in (0, 1))
    large = y[:, :, None] * x[:, None]
    if as_mask:
        large = (large > 0.5).double()
        target = mask_target(large, [8, 16])
    else:
        target = gaussian_target(points, side, 7.0, [8, 16])
    fast, slow = map_loss(maps, target, side), literal_loss(maps, large, side)
    torch.testing.assert_close(fast, slow, atol=1e-10, rtol=1e-9)
    for one, two in zip(torch.autograd.grad(fast.sum(), maps), torch.autograd.grad(slow.sum(), maps), strict=True):
        torch.testing.assert_close(one, two, atol=1e-10, rtol=1e-8)


def test_the_pass_stops_early_and_equals_the_whole_one(tiny, rng):
    latent, context = torch.randn(2, 4, 16, 16), torch.randn(2, 77, 32)
    layers = default_layers(tiny.taps)
    early = tiny.read(latent, 140, context, Taps(cross_attention=layers))
    whole = tiny.read(latent, 140, context, Taps(features=("up3",), cross_attention=layers))
    for layer, side in zip(layers, (4, 4, 4, 8), strict=True):
        assert early[f"cross:{layer}"].shape == (2, side**2, 77)
        assert torch.equal(early[f"cross:{layer}"], whole[f"cross:{layer}"])


def test_the_last_half_of_the_heads(tiny):
    latent, context = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 32)
    every, half = (
        tiny.read(latent, 9, context, Taps(cross_attention=("up1.a0",), heads=h)) for h in ("all", "last_half")
    )
    attn = tiny.unet.get_submodule("up_blocks.1.attentions.0.transformer_blocks.0.attn2")
    query = tiny.read(latent, 9, context, Taps(features=("up1.a0.query",)))["feature:up1.a0.query"]
    q, k = (
        t.unflatten(-1, (attn.heads, -1)).transpose(1, 2)
        for t in (query.flatten(2).transpose(1, 2), attn.to_k(context))
    )
    heads = (q @ k.transpose(2, 3) * attn.scale).softmax(dim=-1)
    torch.testing.assert_close(every.maps[0], heads.mean(dim=1))
    torch.testing.assert_close(half.maps[0], heads[:, attn.heads // 2 :].mean(dim=1))
    torch.testing.assert_close(tiny.attend("up1.a0", query, context, "last_half"), half.maps[0])


@pytest.mark.parametrize("mode", ["exact", "frozen_queries"])
def test_points_learnt_together_equal_points_learnt_alone(tiny, photo, mode):
    own = replace(SMALL, mode=mode)
    points = [(20.0, 30.0), (100.5, 60.0), (64.0, 45.0)]
    together = last(optimise(tiny, photo, points, own))
    for i, point in enumerate(points):
        alone = last(optimise(tiny, photo, [point], own))
        torch.testing.assert_close(alone.vectors[0], together.vectors[i], atol=2e-4, rtol=1e-3)
        torch.testing.assert_close(alone.losses[0], together.losses[i], atol=1e-6, rtol=1e-4)
    few = list(optimise(tiny, photo, points, own, memory=1))
    assert [len(part) for part in few] == [1, 2, 3]
    torch.testing.assert_close(few[-1].vectors, together.vectors, atol=2e-4, rtol=1e-3)
    again = last(optimise(tiny, photo, points, own))
    assert torch.equal(again.vectors, together.vectors)


def gradient(tiny, photo, rows, taps=None):
    """Of the summed losses to the embeddings of some rows, each with its own point, crop and noise."""
    frame = Frame(tiny, photo, SMALL)
    layers = default_layers(tiny.taps)
    vectors = torch.stack([torch.randn(77, 32, generator=seeded(row)) for row in rows]).requires_grad_()
    starts = [(int(frame.starts[row % 2]), int(frame.starts[row // 2])) for row in rows]
    if taps is None:
        maps = attention(frame, starts, 140, vectors, layers, [(row,) for row in rows])
    else:
        noisy = [frame.noisy(s, 140, seeded(SMALL.seed, frame.digest, r)) for s, r in zip(starts, rows, strict=True)]
        captured = tiny.read(torch.stack(noisy), 140, vectors, taps)
        columns = [captured[f"cross:{layer}"][:, :, SMALL.token] for layer in layers]
        maps = [column.unflatten(1, (int(column.shape[1] ** 0.5),) * 2) for column in columns]
    points = torch.tensor([[20.0 + 9 * row, 50.0 + 5 * row] for row in rows])
    map_loss(maps, gaussian_target(points, 128, 7.0, {4, 8}), 128).sum().backward()
    return vectors.grad


def test_learning_says_after_each_step_how_far_it_is(tiny, photo):
    points, row = [(40.0, 30.0), (70.0, 50.0)], 1  # bytes, so that points are learnt one by one
    told = list(steps(tiny, photo, points, SMALL, memory=row))
    assert [step.number for step in told] == [1, 2, 3, 4, 5, 6]
    assert {step.total for step in told} == {6}
    assert [None if step.finished is None else len(step.finished) for step in told] == [None, None, 1, None, None, 2]
    assert told[2].loss == pytest.approx(float(told[2].finished.losses.mean()), rel=1e-6)
    whole = last(optimise(tiny, photo, points, SMALL, memory=row))
    assert torch.equal(told[-1].finished.vectors, whole.vectors)


def test_gradients_of_batched_rows_equal_those_of_single_rows(tiny, photo):
    together = gradient(tiny, photo, [0, 1, 2, 3])
    assert float(together.norm()) > 0
    for row in range(4):
        alone = gradient(tiny, photo, [row])[0]
        assert float((together[row] - alone).norm() / alone.norm()) < 1e-4


def test_gradients_of_the_stopped_pass_equal_those_of_the_whole_one(tiny, photo):
    whole = Taps(features=("up3",), cross_attention=default_layers(tiny.taps))
    torch.testing.assert_close(gradient(tiny, photo, [0, 3]), gradient(tiny, photo, [0, 3], whole), rtol=1e-5, atol=0)


def test_five_hundred_points(tiny, photo):
    points = np.stack([np.linspace(0, 130, 500), np.linspace(90, 0, 500)], axis=1)
    own = replace(SMALL, size=64, rounds=1, steps=1, crops=4)
    learnt = last(optimise(tiny, photo, points, own, memory=2**27))
    found = locate(tiny, learnt, photo, memory=2**27)
    assert found.matches.matched.shape == (500, 2)
    assert found.maps.shape == (500, 64, 64)


def test_targets_of_another_aspect(tiny, photo):
    learnt = last(optimise(tiny, photo, [(20, 30)], replace(SMALL, steps=1)))
    for height, width in ((200, 40), (33, 257)):
        target = load_picture(make_scene(4, height, width, kinds=("bird",)).image)
        (x, y), (spread,) = locate(tiny, learnt, target).matches.matched[0], locate(tiny, learnt, target).spread
        assert 0 <= x <= width
        assert 0 <= y <= height
        assert spread <= np.hypot(height, width)


def test_only_the_supervised_row_moves_if_asked(tiny, photo):
    whole = last(optimise(tiny, photo, [(20, 30)], replace(SMALL, steps=1)))
    row = last(optimise(tiny, photo, [(20, 30)], replace(SMALL, steps=1, rows="supervised")))
    changed = (whole.vectors != row.vectors).any(dim=3)[0]
    assert changed.any()
    assert not changed[:, SMALL.token].any()


def test_what_is_finished_is_not_learnt_again(tiny, photo, monkeypatch):
    first = last(optimise(tiny, photo, [(20, 30)], SMALL))
    seen = []
    original = learning._descend
    monkeypatch.setattr(
        learning, "_descend", lambda frame, rows, *rest: seen.extend(rows) or original(frame, rows, *rest)
    )
    both = last(optimise(tiny, photo, [(50, 60), (20, 30)], SMALL, known=first))
    assert {point for point, _ in seen} == {(50.0, 60.0)}
    assert torch.equal(both.vectors[1], first.vectors[0])
    assert both.points.tolist() == [[50, 60], [20, 30]]
    assert last(optimise(tiny, photo, [(20, 30)], SMALL, known=first)).points.tolist() == [[20, 30]]


def literal_search(frame, vectors, layers, backbone):
    """One embedding read crop by crop, every map at full size."""
    own, side = frame.settings, frame.side
    total, hits = torch.zeros(len(layers), side, side), torch.zeros(side, side)
    for number in range(own.crops):
        place = [(0, 0), (0, side), (side, 0), (side, side)][number] if number < 4 else None
        if place is None:
            index = int((total / hits.clamp(min=1)).mean(dim=0).argmax())
            place = (index % side + 0.5, index // side + 0.5)
        x, y = frame.draw(np.array(place, float), seeded(own.seed, frame.digest, "read", number, "crop"))
        noisy = frame.noisy((x, y), own.read_timestep, seeded(own.seed, frame.digest, "read", number))
        capture = backbone.read(noisy[None], own.read_timestep, vectors[None], Taps(cross_attention=layers))
        for i, m in enumerate(capture.maps):
            n = int(m.shape[1] ** 0.5)
            large = F.interpolate(m[0, :, own.token].reshape(1, 1, n, n), (frame.crop,) * 2, mode="bilinear")
            total[i, y : y + frame.crop, x : x + frame.crop] += large[0, 0]
        hits[y : y + frame.crop, x : x + frame.crop] += 1
    assert (hits > 0).all()
    return total / hits


def test_reading_equals_the_literal_loop(tiny, photo):
    learnt = last(optimise(tiny, photo, [(20, 30), (100, 60)], SMALL))
    found = locate(tiny, learnt, photo)
    frame = Frame(tiny, photo, SMALL)
    layers = default_layers(tiny.taps)
    with torch.no_grad():
        for i in range(2):
            rounds = torch.stack([literal_search(frame, vector, layers, tiny) for vector in learnt.vectors[i]])
            mean = rounds.mean(dim=0)
            maps = mean.flatten(1).softmax(dim=1).unflatten(1, (128, 128)).mean(dim=0)
            torch.testing.assert_close(found.maps[i], maps, atol=1e-8, rtol=1e-4)
            y, x = divmod(int(found.maps[i].argmax()), 128)
            place = (np.array([x, y]) + 0.5) * (130 / 128, 90 / 128)
            np.testing.assert_allclose(found.matches.matched[i], place)
            assert found.matches.score[i] == pytest.approx(float(mean.mean(dim=0)[y, x]), abs=1e-6)
    chunked = locate(tiny, learnt, photo, memory=1)
    np.testing.assert_array_equal(chunked.matches.matched, found.matches.matched)


def test_embeddings_are_kept_in_files(tiny, photo, tmp_path):
    learnt = last(optimise(tiny, photo, [(20, 30)], SMALL))
    learnt.save(tmp_path / "a.safetensors")
    again = PromptEmbeddings.load(tmp_path / "a.safetensors")
    assert again.settings == learnt.settings
    assert torch.equal(again.vectors, learnt.vectors)
    one, two = locate(tiny, learnt, photo), locate(tiny, again, photo)
    assert torch.equal(one.maps, two.maps)
    with pytest.raises(InvalidInput, match="another network"):
        locate(tiny.untrained(5), again, photo)
    assert torch.equal(locate(tiny.untrained(5), again, photo, force=True).maps.isfinite(), torch.ones(1, 128, 128) > 0)
    (tmp_path / "b.safetensors").write_bytes((tmp_path / "a.safetensors").read_bytes()[:500])
    for name in ("b.safetensors", "none.safetensors"):
        with pytest.raises(UnreadableFile, match="prompt learn"):
            PromptEmbeddings.load(tmp_path / name)


def test_embeddings_of_the_released_code_are_read_like_our_own(tiny, photo, tmp_path):
    learnt = last(optimise(tiny, photo, [(20, 30), (100, 60)], replace(SMALL, noise="uniform")))
    places = Frame(tiny, photo, PRESETS["hedlin"]).to_frame(learnt.points)
    padded = torch.full((1, 2, 40), -1.0)
    padded[0, :, :2] = torch.from_numpy(places).T
    contexts = learnt.vectors[:, :, None]
    torch.save({"contexts": contexts, "src_kps": padded, "idx": 7, "pck": 0.5}, tmp_path / "correspondence_data_007.pt")
    read = read_released(tmp_path / "correspondence_data_007.pt", tiny, photo)
    np.testing.assert_allclose(read.points, learnt.points, atol=1e-4)
    assert read.settings == PRESETS["hedlin"]
    ours, theirs = (locate(tiny, e, photo, learnt.settings) for e in (learnt, read))
    assert torch.equal(ours.maps, theirs.maps)
    torch.save({"contexts": contexts[..., :5], "src_kps": padded}, tmp_path / "narrow.pt")
    with pytest.raises(InvalidInput, match="reads"):
        read_released(tmp_path / "narrow.pt", tiny, photo)


class RunsCode:
    """Unpickling this would make a folder."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return Path.mkdir, (self.folder,)


def test_a_released_file_cannot_run_code(tiny, photo, tmp_path):
    torch.save({"contexts": RunsCode(tmp_path / "ran"), "src_kps": 1}, tmp_path / "evil.pt")
    (tmp_path / "short.pt").write_bytes((tmp_path / "evil.pt").read_bytes()[:100])
    torch.save([1, 2], tmp_path / "other.pt")
    for name in ("evil.pt", "short.pt", "other.pt", "none.pt"):
        with pytest.raises(UnreadableFile, match="released code"):
            read_released(tmp_path / name, tiny, photo)
    assert not (tmp_path / "ran").exists()


def test_what_is_wanted_can_be_drawn(tiny, photo):
    learnt = last(optimise(tiny, photo, [(20, 30)], replace(SMALL, steps=1)))
    wanted = target_maps(learnt, photo)[0]
    y, x = divmod(int(wanted.argmax()), 128)
    np.testing.assert_allclose((np.array([x, y]) + 0.5) * (130 / 128, 90 / 128), (20, 30), atol=0.6)


def test_half_precision_keeps_embeddings_whole(tiny_sd, photo):
    half = load(tiny_sd, device="cpu", dtype="bfloat16")
    for mode in ("exact", "frozen_queries"):
        learnt = last(optimise(half, photo, [(20, 30)], replace(SMALL, mode=mode)))
        assert learnt.vectors.dtype == torch.float32
        assert learnt.losses.isfinite().all()
        assert locate(half, learnt, photo).maps.dtype == torch.float32


def test_a_region_may_be_lit_up(tiny, photo):
    region = np.zeros(photo.size, bool)
    region[30:60, 40:80] = True
    learnt = last(optimise(tiny, photo, [(60, 45)], SMALL, region=region))
    assert learnt.losses.isfinite().all()
    plain = last(optimise(tiny, photo, [(60, 45)], SMALL))
    assert not torch.equal(learnt.vectors, plain.vectors)
    with pytest.raises(InvalidInput, match="region"):
        last(optimise(tiny, photo, [(60, 45)], SMALL, region=region[:5]))
    for known, other in ((learnt, None), (plain, region), (learnt, ~region)):
        with pytest.raises(InvalidInput, match="another target"):
            last(optimise(tiny, photo, [(60, 45)], SMALL, region=other, known=known))
    again = last(optimise(tiny, photo, [(60, 45)], SMALL, region=region, known=learnt))
    assert torch.equal(again.vectors, learnt.vectors)


def test_memory_that_runs_out_while_reading_changes_nothing(tiny, photo, monkeypatch):
    learnt = last(optimise(tiny, photo, [(20, 30), (100, 60)], replace(SMALL, steps=1)))
    expected = locate(tiny, learnt, photo)
    original, refused = type(tiny).read, []

    def short(self, latent, *rest):
        if len(latent) > 1:
            refused.append(len(latent))
            raise torch.OutOfMemoryError("out of memory")
        return original(self, latent, *rest)

    monkeypatch.setattr(type(tiny), "read", short)
    found = locate(tiny, learnt, photo)
    assert refused
    np.testing.assert_array_equal(found.matches.matched, expected.matches.matched)
    assert layer_maps(tiny, learnt, photo)["up1.a0"].shape == (2, 2, 4, 4)


def test_crops_are_encoded_once_whatever_the_settings(tiny, photo, monkeypatch):
    learnt = last(optimise(tiny, photo, [(20, 30), (100, 60)], replace(SMALL, steps=1, offsets=0)))
    seen, original = [], Frame.latent
    encode = type(tiny).encode
    monkeypatch.setattr(type(tiny), "encode", lambda self, pixels: seen.append(1) or encode(self, pixels))
    starts = set()
    monkeypatch.setattr(Frame, "latent", lambda self, start: starts.add(start) or original(self, start))
    locate(tiny, learnt, photo)
    assert len(seen) == len(starts)


@pytest.mark.parametrize("point", [(0, 0), (130, 90), (0, 90)])
def test_points_on_the_border(tiny, photo, point):
    learnt = last(optimise(tiny, photo, [point], replace(SMALL, steps=1)))
    assert locate(tiny, learnt, photo).matches.matched.shape == (1, 2)


def test_a_loss_that_is_no_number_is_named_by_its_step(tiny, photo, monkeypatch):
    original = learning.map_loss
    calls = []

    def broken(*arguments):
        calls.append(1)
        return original(*arguments) * (float("nan") if len(calls) == 2 else 1)

    monkeypatch.setattr(learning, "map_loss", broken)
    with pytest.raises(DiffsightError, match="step 2 of 3"):
        last(optimise(tiny, photo, [(20, 30)], SMALL))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"steps": 0}, "steps"),
        ({"steps": 1.5}, "steps"),
        ({"sigma": "wide"}, "sigma"),
        ({"sigma": -1.0}, "sigma"),
        ({"sigma": float("nan")}, "sigma"),
        ({"crop": 1.5}, "crop"),
        ({"margin": 0.7}, "margin"),
        ({"noise": "pink"}, "noise"),
        ({"mode": "fast"}, "mode"),
        ({"combine": "meen"}, "combine"),
        ({"rows": "supervise"}, "rows"),
        ({"offsets": 1}, "offsets"),
    ],
)
def test_unsuitable_settings(wrong, message):
    with pytest.raises(InvalidInput, match=message):
        replace(SMALL, **wrong)


def test_what_the_network_cannot_follow(tiny, photo):
    for wrong, message in (
        ({"layers": ("up9.a0",)}, "up9"),
        ({"size": 100}, "multiple"),
        ({"token": 99}, "token"),
        ({"crop": 0.5}, "offsets"),
        ({"margin": 0.49, "crop": 0.8}, "offsets"),
    ):
        with pytest.raises(InvalidInput, match=message):
            last(optimise(tiny, photo, [(20, 30)], replace(SMALL, **wrong)))
    with pytest.raises(InvalidInput, match="no points"):
        last(optimise(tiny, photo, np.zeros((0, 2)), SMALL))
    with pytest.raises(InvalidInput, match="outside"):
        last(optimise(tiny, photo, [(500, 3)], SMALL))
