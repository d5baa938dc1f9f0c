from __future__ import annotations

import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from diffsight.backbones.base import ReadSettings
from diffsight.backbones.registry import load
from diffsight.benchmarks.baselines import RawPixels
from diffsight.errors import DiffsightError, InvalidInput, UnreadableFile
from diffsight.images import load_picture, network_input
from diffsight.probe import Probe, draw_noise
from diffsight.types import Picture, Taps

SETTINGS = ReadSettings(stage="up1", timestep=261, ensemble=3, size=(64, 64))


@pytest.fixture(scope="module")
def tiny(tiny_sd):
    return load(tiny_sd, device="cpu", dtype="float32")


@pytest.fixture
def pictures(rng):
    return [load_picture(rng.random((50, 70, 3))), load_picture(rng.random((90, 31, 3)))]


def test_ensemble_equals_the_mean_of_explicit_passes(tiny, pictures):
    probe = Probe(tiny)
    (reading,) = probe.read(pictures[:1], SETTINGS)
    job = probe._job(0, pictures[0], SETTINGS, Taps(("up1",)))
    maps = []
    for member in range(3):
        latent = tiny.encode(network_input(pictures[0], reading.fit)[None]).mean
        noise = draw_noise(latent.shape[1:], 0, job.digest, member)[None]
        with torch.no_grad():
            maps.append(
                tiny.read(tiny.add_noise(latent, noise, 261), 261, tiny.context([""]), Taps(("up1",))).maps[0][0]
            )
    torch.testing.assert_close(reading.feature(), torch.stack(maps).mean(dim=0), atol=1e-5, rtol=0)


def test_equal_seeds_equal_bytes_and_other_seeds_differ(tiny, pictures):
    first, second = (Probe(tiny).read(pictures, SETTINGS)[0].feature() for _ in range(2))
    assert torch.equal(first, second)
    other = Probe(tiny).read(pictures, replace(SETTINGS, seed=1))[0].feature()
    assert not torch.allclose(first, other)


def test_batches_do_not_matter(tiny, pictures):
    together = Probe(tiny).read(pictures, SETTINGS)
    tight = Probe(tiny, memory=1).read(pictures, SETTINGS)
    alone = [Probe(tiny).read([picture], SETTINGS)[0] for picture in pictures]
    for a, b, c in zip(together, tight, alone, strict=True):
        torch.testing.assert_close(a.feature(), b.feature(), atol=1e-5, rtol=0)
        torch.testing.assert_close(a.feature(), c.feature(), atol=1e-5, rtol=0)


def test_maps_of_an_ensemble_are_never_held_all_at_once(tiny, pictures, monkeypatch):
    read, made, held = tiny.read, [], []

    def watched(latent, *rest):
        capture = read(latent, *rest)
        made.append(weakref.ref(capture.maps[0]))
        held.append(sum(len(found()) for found in made if found() is not None))
        return capture

    monkeypatch.setattr(tiny, "read", watched)
    Probe(tiny).read(pictures[:1], replace(SETTINGS, ensemble=8))
    assert sum(held) >= 8
    assert max(held) <= 4


def test_the_encoder_runs_once_a_photo(tiny, pictures, monkeypatch):
    calls = []
    encode = tiny.encode
    monkeypatch.setattr(tiny, "encode", lambda pixels: calls.append(1) or encode(pixels))
    Probe(tiny, memory=1).read(pictures, replace(SETTINGS, posterior="sample"))
    assert len(calls) == 2


def test_batches_halve_when_memory_runs_out(tiny, pictures, monkeypatch):
    read, sizes = tiny.read, []

    def short(latent, *rest):
        sizes.append(len(latent))
        if len(latent) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return read(latent, *rest)

    expected = Probe(tiny).read(pictures, SETTINGS)
    monkeypatch.setattr(tiny, "read", short)
    got = Probe(tiny).read(pictures, SETTINGS)
    assert sizes[0] == 6
    assert max(sizes[2:]) <= 2
    torch.testing.assert_close(got[1].feature(), expected[1].feature(), atol=1e-5, rtol=0)


def test_numbers_out_of_range_are_said(tiny, pictures, monkeypatch, tmp_path):
    read = tiny.read
    monkeypatch.setattr(tiny, "read", lambda *a: read(*a).apply(lambda t: t * torch.inf))
    with pytest.raises(DiffsightError, match="float32"):
        Probe(tiny, store=tmp_path).read(pictures, SETTINGS)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_pass_through(tiny, pictures, monkeypatch):
    monkeypatch.setattr(tiny, "read", lambda *_: (_ for _ in ()).throw(RuntimeError("a bug")))
    with pytest.raises(RuntimeError, match="a bug"):
        Probe(tiny).read(pictures, SETTINGS)


def test_kept_readings_are_used_and_never_mixed_up(tiny, pictures, tmp_path, monkeypatch):
    fresh = Probe(tiny, store=tmp_path).read(pictures, SETTINGS)
    assert len(list(tmp_path.iterdir())) == 2
    changes = [
        {"seed": 1},
        {"timestep": 50},
        {"ensemble": 2},
        {"stage": "up2"},
        {"prompt": "a"},
        {"fit": "pad"},
        {"noise": False},
    ]
    for change in changes:
        Probe(tiny, store=tmp_path).read(pictures[:1], replace(SETTINGS, **change))
    Probe(tiny.untrained(seed=1), store=tmp_path).read(pictures[:1], SETTINGS)
    assert len(list(tmp_path.iterdir())) == 2 + len(changes) + 1
    monkeypatch.setattr(tiny, "read", None)
    kept = Probe(tiny, store=tmp_path).read(pictures, SETTINGS)
    # products of matrices may round otherwise where these lie otherwise in memory
    assert [own.feature().stride() for own in kept] == [own.feature().stride() for own in fresh]
    for a, b in zip(fresh, kept, strict=True):
        assert torch.equal(a.feature(), b.feature())
        assert a.fit == b.fit


def test_a_damaged_kept_reading_is_named(tiny, pictures, tmp_path):
    Probe(tiny, store=tmp_path).read(pictures[:1], SETTINGS)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UnreadableFile, match="delete it"):
        Probe(tiny, store=tmp_path).read(pictures[:1], SETTINGS)


def test_features_and_attention_in_one_pass(tiny, pictures):
    taps = Taps(("up1", "up2"), ("up1.a0",), ("up2.a2",))
    (reading,) = Probe(tiny).read(pictures[:1], SETTINGS, taps)
    assert reading.feature("up2").shape == (64, 8, 8)
    assert reading.self_attention("up1.a0").shape == (4, 4)
    assert reading.cross_attention("up2.a2").shape == (16, 77)
    with pytest.raises(InvalidInput, match="was not read"):
        reading.feature("mid")


@pytest.mark.parametrize(
    "change",
    [{"size": (60, 64)}, {"size": (0, 64)}, {"ensemble": 0}, {"stage": "x"}, {"posterior": "mode"}, {"timestep": 1000}],
)
def test_settings_are_checked(tiny, pictures, change):
    with pytest.raises(InvalidInput):
        Probe(tiny).read(pictures, replace(SETTINGS, **change))


@pytest.mark.parametrize("wrong", [{"timestep": 5}, {"ensemble": 2}, {"noise": True}, {"prompt": "a cat"}])
def test_networks_without_noise_and_text_are_given_none(wrong, rng):
    raw = RawPixels((32, 32), 4)
    photo = Picture(torch.from_numpy(rng.integers(0, 255, (3, 32, 32), np.uint8)))
    with pytest.raises(InvalidInput, match="knows no noise|reads no text"):
        Probe(raw).read([photo], replace(raw.card.tasks["semantic"], **wrong))
