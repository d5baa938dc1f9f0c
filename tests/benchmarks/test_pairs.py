from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.backbones.registry import load
from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.metrics import pck
from diffsight.benchmarks.pairs import KeypointPair, csv_pairs, few_points, run_pairs, run_prompt, world_pairs
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.matching.prompt import settings_for
from diffsight.world import categories


def test_pairs_are_the_same_each_time_and_cover_every_category():
    first, again = world_pairs(2), world_pairs(2)
    assert [pair.category for pair in first] == [kind for kind in categories() for _ in range(2)]
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a.query, b.query)
        assert a.source.image.equal(b.source.image)
        assert len(a.query) == len(a.truth)
        assert 0 < a.threshold <= 128


def test_raw_pixels_find_a_picture_in_itself_and_little_in_another():
    pairs = world_pairs(4)
    raw = RawPixels((64, 64), 4)
    same = [KeypointPair(p.category, p.source, p.source, p.query, p.query, p.threshold) for p in pairs]
    assert pck(run_pairs(raw, raw.card.tasks["semantic"], same), 0.1).per_point > 70
    assert pck(run_pairs(raw, raw.card.tasks["semantic"], pairs), 0.1).per_point < 25


def test_few_points_of_each_pair():
    pairs = world_pairs(1)
    few = few_points(pairs, 3, seed=1)
    for pair, own in zip(pairs, few, strict=True):
        assert len(own.query) == min(3, len(pair.query))
        places = [np.flatnonzero((pair.query == point).all(axis=1)).item() for point in own.query]
        np.testing.assert_array_equal(pair.truth[places], own.truth)
        assert own.threshold == pair.threshold
    np.testing.assert_array_equal(few_points(pairs, 3, seed=1)[4].query, few[4].query)


def test_prompts_are_scored_in_the_target_and_in_their_own_photo():
    pocket = load("pocket", device="cpu", dtype="float32")
    pair = world_pairs(1)[0]
    few = KeypointPair(pair.category, pair.source, pair.source, pair.query[:2], pair.query[:2], pair.threshold)
    none = KeypointPair(pair.category, pair.source, pair.source, pair.query[:0], pair.query[:0], pair.threshold)
    settings = settings_for(pocket.card, rounds=1, steps=25, rate=0.05, crops=5, mode="frozen_queries")
    (found,), (again,) = run_prompt(pocket, settings, [few, none])
    twice = KeypointPair(*(few.category, few.source, few.source, few.query[[0, 0, 1]], few.query[[0, 0, 1]], 9.0))
    np.testing.assert_array_equal(run_prompt(pocket, settings, [twice])[0][0].distances, found.distances[[0, 0, 1]])
    np.testing.assert_allclose(again.distances, found.distances / (128 / 12))
    assert (again.distances < 1).all()


@pytest.mark.parametrize("header", ["image,eye_x,eye_y,eye_visible,nose_x,nose_y,nose_visible", "image,x0,y0,x1,y1"])
def test_tables_of_keypoints(tmp_path, header):
    marks = header.count("visible") > 0
    for name in ("a.png", "b.png", "c.png"):
        Image.new("RGB", (40, 30)).save(tmp_path / name)
    rows = [(n, 1, 2, 0, 11, 22, 1) if marks else (n, 1, 2, 11, 22) for n in ("a.png", "b.png", "c.png")]
    (tmp_path / "table.csv").write_text("\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n")
    pairs = csv_pairs(tmp_path / "table.csv", 5)
    assert len(pairs) == 5
    for pair in pairs:
        assert pair.source.path != pair.target.path
        assert pair.query.tolist() == ([] if marks else [[1, 2], [11, 22]])  # one visible point has no extent
        assert marks or pair.threshold == 20


def test_bad_tables_are_named(tmp_path):
    with pytest.raises(UnreadableFile, match="cannot read keypoints"):
        csv_pairs(tmp_path / "missing.csv", 1)
    for text in ("", "image,x0,y0\na.png,1,2\n", "image,a,b\na,1,2\nb,1,2\n", "image,x0,y0\na,1,z\nb,1,2\n"):
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(InvalidInput, match=r"bad\.csv"):
            csv_pairs(tmp_path / "bad.csv", 1)
