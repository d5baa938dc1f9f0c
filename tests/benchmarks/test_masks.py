from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from diffsight.backbones.registry import load
from diffsight.benchmarks.masks import IGNORED, colour_segments, compare, folder_samples, world_scenes
from diffsight.cli import run
from diffsight.errors import InvalidInput
from diffsight.world import CLUTTER, TUNING, categories, make_scene


def test_scenes_know_the_class_of_every_pixel():
    samples, classes = world_scenes(4, TUNING)
    assert classes == 1 + len(categories())
    for seed, sample in enumerate(samples, start=TUNING):
        scene = make_scene(seed, 128, count=2 + seed % 2)
        assert ((sample.truth == IGNORED) == (scene.instances == CLUTTER)).all()
        assert ((sample.truth == 0) == (scene.instances == 0)).all()
        top = scene.objects[-1]
        own = sample.truth[scene.instances == len(scene.objects)]
        assert (own == 1 + list(categories()).index(top.category)).all()


def test_folders_of_labels(tmp_path, rng):
    for name in ("photos", "labels"):
        (tmp_path / name).mkdir()
    for name, value in (("a", 1), ("b", 300), ("empty", 255)):
        Image.fromarray(rng.integers(0, 255, (8, 9, 3), np.uint8)).save(tmp_path / "photos" / f"{name}.jpg")
        truth = np.full((8, 9), value, np.uint16)
        truth[0] = 255 if name == "empty" else 11
        truth[1] = 255
        Image.fromarray(truth).save(tmp_path / "labels" / f"{name}.png")
    samples, classes = folder_samples(tmp_path / "photos", tmp_path / "labels", ignored=11)
    assert classes == 301
    assert [sorted(np.unique(sample.truth)) for sample in samples] == [[IGNORED, 1], [IGNORED, 300]]
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(tmp_path / "labels" / "a.png")
    with pytest.raises(InvalidInput, match="shape"):
        folder_samples(tmp_path / "photos", tmp_path / "labels")


def test_colours_alone_part_plain_halves():
    image = np.zeros((20, 30, 3), np.uint8)
    image[:, 15:] = 255
    from diffsight.images import load_picture

    labels = colour_segments(load_picture(image), 2)
    assert len(set(zip(labels.ravel(), (image[..., 0] > 0).ravel(), strict=True))) == 2


def test_every_solver_is_scored_on_both_networks(tiny_sd, tmp_path, monkeypatch):
    samples, classes = world_scenes(2, TUNING)
    scores = dict(compare(load("pocket", device="cpu", dtype="float32"), samples, classes))
    names = ("diffseg", "ncut", "K-Means-C", "K-Means-S", "k-means of features", "spectral, features")
    assert set(scores) == {
        *(f"{name}, {model}" for name in names for model in ("pocket", "untrained pocket")),
        "k-means of colours and places",
    }
    assert all(score.images == 2 and 0 < score.acc <= 100 for score in scores.values())


def test_the_command(tmp_path, capsys):
    command = ["bench", "segments", "--scenes", "1", "--device", "cpu", "--json", str(tmp_path / "a.json")]
    assert run(command) == 0
    assert "diffseg, pocket" in capsys.readouterr().out
    assert json.loads((tmp_path / "a.json").read_text())["scores"]["diffseg, pocket"]["images"] == 1
