from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import diffsight
from diffsight.backbones.registry import load
from diffsight.errors import InvalidInput
from diffsight.segmentation.diffseg import DiffSegSettings
from diffsight.segmentation.ncut import NcutSettings
from diffsight.segmentation.segmenter import KMeansSettings, Segmenter
from diffsight.types import VOID

FINE = DiffSegSettings(thresholds=(1e-4,) * 3, anchors=8)


@pytest.fixture(scope="module")
def tiny(tiny_sd):
    return load(tiny_sd, device="cpu", dtype="float32")


@pytest.fixture
def photo(rng):
    return rng.integers(0, 255, (90, 130, 3), np.uint8)


@pytest.mark.parametrize(
    ("solver", "settings"), [("diffseg", FINE), ("ncut", NcutSettings(1.5)), ("kmeans", KMeansSettings(4))]
)
def test_every_solver_cuts_the_whole_photo_and_repeats(tiny, photo, solver, settings):
    segmenter = Segmenter(tiny, solver=solver, settings=settings, size=(128, 128))
    one, two = segmenter.segment(photo), segmenter.segment(photo)
    assert one.labels.shape == (90, 130)
    assert sorted(np.unique(one.labels)) == list(range(len(one)))
    assert one.areas.sum() == 90 * 130
    np.testing.assert_array_equal(one.labels, two.labels)
    np.testing.assert_array_equal(one.scores, two.scores)


def test_borders_move_on_request_within_their_reach(tiny, photo):
    plain = Segmenter(tiny, settings=FINE, size=(128, 128))
    prepared = plain.prepare(photo)
    sharp = Segmenter(tiny, settings=FINE, borders=0.5, size=(128, 128))
    before, after = plain.cut(prepared).labels, sharp.cut(prepared).labels
    assert after.shape == before.shape
    assert 0 < (before != after).mean() < 0.9
    np.testing.assert_array_equal(sharp.segment(photo).labels, after)


def test_moving_the_threshold_equals_a_new_run(tiny, photo):
    segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
    prepared = segmenter.prepare(photo)
    segmenter.cut(prepared)
    moved = replace(FINE, thresholds=(1e-3,) * 3)
    fresh = Segmenter(tiny, settings=moved, size=(128, 128)).segment(photo)
    np.testing.assert_array_equal(segmenter.cut(prepared, moved).labels, fresh.labels)


@pytest.mark.parametrize(
    ("size", "expected"), [((100, 100), (128, 128)), ((60, 240), (64, 256)), ((500, 40), (256, 64))]
)
def test_the_input_has_the_shape_of_the_photo(tiny, rng, size, expected):
    segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
    prepared = segmenter.prepare(rng.integers(0, 255, (*size, 3), np.uint8))
    assert prepared.reading.fit.network == expected
    assert segmenter.cut(prepared).labels.shape == size


def test_a_crop_leaves_the_rest_void(tiny, photo):
    found = Segmenter(tiny, settings=FINE, size=(128, 128), fit="crop").segment(photo)
    assert (found.labels[:, :20] == VOID).all()
    assert (found.labels[:, 20:110] != VOID).all()


def test_names_come_from_a_second_pass_and_leave_the_cut_alone(tiny, photo):
    segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
    plain = segmenter.segment(photo)
    named = segmenter.segment(photo, names=["sky", "dog", "sky"])
    np.testing.assert_array_equal(plain.labels, named.labels)
    assert set(named.names) <= {"sky", "dog"}
    assert set(segmenter.segment(photo, caption="a dog on the sky", merge=True).names) <= {"sky", "dog"}
    for wrong in ({"names": []}, {"names": ["a", " "]}, {"caption": "of the"}, {"names": ["x"], "margin": 2}):
        with pytest.raises(InvalidInput):
            segmenter.segment(photo, **wrong)


def test_attention_at_a_point_is_a_row_of_the_aggregate(tiny, photo):
    segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
    prepared = segmenter.prepare(photo)
    seen = segmenter.attention_at(prepared, (1.0, 89.0), (16, 24))
    assert prepared.maps is not None
    rows, columns = prepared.maps.grid
    assert (rows, columns) == (16, 16) or rows * columns > 0
    row = prepared.maps.rows(torch.tensor([(rows - 1) * columns]))[0].numpy().reshape(rows, columns)
    assert seen.min() >= row.min() - 1e-9
    assert seen.max() <= row.max() + 1e-9
    with pytest.raises(InvalidInput, match="outside"):
        segmenter.attention_at(prepared, (200.0, 10.0), (4, 4))


def test_unsuitable_choices_are_refused(tiny, photo):
    for wrong in ({"solver": "magic"}, {"solver": "ncut", "settings": FINE}, {"stage": 7, "sizes": 1}):
        with pytest.raises(InvalidInput):
            Segmenter(tiny, **wrong)
    with pytest.raises(InvalidInput, match="multiples"):
        Segmenter(tiny, fit="crop", size=(72, 72)).segment(photo)
    with pytest.raises(InvalidInput, match="anchors"):
        Segmenter(tiny, settings=replace(FINE, anchors=40), size=(128, 128)).segment(photo)
    with pytest.raises(InvalidInput, match="do not suit"):
        segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
        segmenter.cut(segmenter.prepare(photo), NcutSettings())


def test_one_call_and_files(tiny, photo, tmp_path):
    found = diffsight.segment(photo, model=tiny, settings=FINE, size=(128, 128))
    diffsight.save_segments(found, tmp_path / "a.png")
    diffsight.save_segments(found, tmp_path / "a.json")
    with pytest.raises(InvalidInput, match=r"\.png"):
        diffsight.save_segments(found, tmp_path / "a.jpg")
    assert diffsight.draw_segments(diffsight.load_picture(photo), found).size == (640, 443)
