"""The bundled model on pictures, held against its aims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import diffsight
from diffsight.backbones.registry import load
from diffsight.backbones.weights import BUNDLED
from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.metrics import pck
from diffsight.benchmarks.pairs import csv_pairs, few_points, run_pairs, run_prompt, world_pairs
from diffsight.matching.matcher import Matcher
from diffsight.matching.prompt import settings_for

FACES = Path(__file__).parents[2] / "shared" / "data" / "faces" / "keypoints.csv"


@pytest.fixture(scope="module")
def pocket():
    return load("pocket", device="cpu", dtype="float32")


def test_it_is_small_and_deep_enough(pocket):
    assert sum(path.stat().st_size for path in (BUNDLED / "pocket").rglob("*") if path.is_file()) <= 40_000_000
    stage = pocket.card.tasks["semantic"].stage
    assert next(tap.channels for tap in pocket.taps.features if tap.name == stage) >= 128
    sides = {64 // layer.stride for layer in pocket.taps.attention}
    assert len(sides) >= 3
    assert max(sides) >= 32


def test_it_knows_words(pocket):
    assert pocket.context(["a photo of a bird, red wing", ""]).shape == (2, 32, 128)
    with pytest.raises(diffsight.InvalidInput, match="'zebra'"):
        pocket.context(["a zebra"])


@pytest.fixture(scope="module")
def world_scores(pocket):
    """PCK@0.1 of pocket, pocket untrained, and raw pixels on reserved pictures."""
    pairs = world_pairs(5)
    raw = RawPixels(pocket.card.tasks["semantic"].size, pocket.multiple)
    backbones = (pocket, pocket.untrained(), raw)
    return [pck(run_pairs(b, b.card.tasks["semantic"], pairs), 0.1).per_point for b in backbones]


def test_it_matches_world_pictures_better_than_pixels(world_scores):
    score, _, pixels = world_scores
    assert score >= 1.7 * pixels


def test_it_matches_world_pictures_far_better_than_untrained(world_scores):
    score, untrained, _ = world_scores
    assert score >= 4 * untrained


@pytest.mark.skipif(not FACES.exists(), reason="the face photos are not here")
def test_it_matches_faces_it_never_saw_far_better_than_pixels(pocket):
    pairs = csv_pairs(FACES, 20)
    raw = RawPixels(pocket.card.tasks["semantic"].size, pocket.multiple)
    score, pixels = (pck(run_pairs(b, b.card.tasks["semantic"], pairs), 0.1).per_point for b in (pocket, raw))
    assert score >= 4 * pixels


def test_prompts_light_up_the_points_they_were_learnt_for(pocket):
    settings = settings_for(pocket.card, rounds=1)
    _, again = run_prompt(pocket, settings, few_points(world_pairs(1)[:2], 2))
    assert pck(again, 1.0).points == 4
    assert pck(again, 1.0).per_point >= 70


def test_a_photo_is_found_in_itself_and_the_result_repeats():
    data = pytest.importorskip("skimage.data")
    photo = data.astronaut()
    points = np.array([[220.0, 110.0], [180.0, 200.0], [60.0, 400.0], [400.0, 300.0]])
    found, again = (diffsight.match(photo, photo, points, device="cpu") for _ in range(2))
    assert np.abs(found.matched - points).max() < 512 / 16
    np.testing.assert_array_equal(found.matched, again.matched)
    np.testing.assert_array_equal(found.score, again.score)


def test_two_real_photos_of_one_scene(pocket):
    """A stereo pair with measured disparity: most suggested matches lie near the truth."""
    data = pytest.importorskip("skimage.data")
    left, right, disparity = data.stereo_motorcycle()
    matcher = Matcher(pocket, task="geometric")
    found = matcher.match(matcher.source(left), right)
    assert len(found) == 12
    columns, rows = found.query.astype(int).T
    shift = disparity[rows, columns]
    known = np.isfinite(shift)
    truth = found.query[known] - np.stack([shift[known], np.zeros(known.sum())], axis=1)
    errors = np.linalg.norm(found.matched[known] - truth, axis=1) / left.shape[1]
    assert (errors < 0.05).mean() >= 0.6
