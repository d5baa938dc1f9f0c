from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

import diffsight
from diffsight.backbones.registry import load
from diffsight.errors import InvalidInput
from diffsight.segmentation.borders import sharpen_borders
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
    before, after = plain.cut(prepared), sharp.cut(prepared)
    assert prepared.maps is not None
    rows, columns = prepared.maps.grid
    wanted = sharpen_borders(before, prepared.picture, 0.5 * max(90 / rows, 130 / columns))
    np.testing.assert_array_equal(after.labels, wanted.labels)
    assert (before.labels != after.labels).any()
    np.testing.assert_array_equal(sharp.segment(photo).labels, after.labels)


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


@pytest.mark.parametrize(
    "shape", [(300, 900), (1, 200), (200, 1), (64, 64)], ids=["panorama", "line", "column", "square"]
)
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_photos_of_any_shape(tiny, rng, shape, fit):
    grey = rng.integers(0, 255, shape, np.uint8)
    settings = replace(FINE, anchors=4)
    found = Segmenter(tiny, settings=settings, borders=1.0, fit=fit, size=(128, 128)).segment(grey)
    assert found.labels.shape == shape
    seen = found.labels[found.labels != VOID]
    assert sorted(np.unique(seen)) == list(range(len(found)))


def test_a_photo_of_24_megapixels(tiny, rng):
    coarse = rng.integers(0, 255, (20, 30, 3), np.uint8)
    photo = coarse.repeat(200, axis=0).repeat(200, axis=1)
    found = Segmenter(tiny, settings=replace(FINE, thresholds=(1e-3,) * 3), size=(128, 128)).segment(photo)
    assert found.labels.shape == (4000, 6000)
    assert found.areas.sum() == 24_000_000


def test_refined_proposals_are_means_of_clusters(tiny, photo):
    prepared = Segmenter(tiny, settings=FINE, size=(128, 128)).prepare(photo)
    segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
    few = replace(FINE, thresholds=(1e-3,) * 3)
    one, two = segmenter.cut(prepared, few), segmenter.cut(prepared, replace(few, refine=True))
    assert len(two) <= len(one)
    assert (one.labels != two.labels).any()


@pytest.mark.parametrize(("of", "method"), [("maps", "kmeans"), ("features", "kmeans"), ("features", "spectral")])
def test_baselines_make_as_many_segments_as_asked(tiny, photo, of, method):
    settings = KMeansSettings(3, of=of, method=method, seed=-1)
    found = Segmenter(tiny, solver="kmeans", settings=settings, size=(128, 128)).segment(photo)
    assert len(found) == 3


def test_a_crop_leaves_the_rest_void(tiny, photo):
    found = Segmenter(tiny, settings=FINE, size=(128, 128), fit="crop").segment(photo)
    assert (found.labels[:, :20] == VOID).all()
    assert (found.labels[:, 20:110] != VOID).all()


def test_names_come_from_a_second_pass_and_leave_the_cut_alone(tiny, photo):
    segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
    plain = segmenter.segment(photo)
    named = segmenter.segment(photo, names=["sky", "dog", "sky"])
    np.testing.assert_array_equal(plain.labels, named.labels)
    assert set(named.names) == {"sky", "dog"}
    swapped = segmenter.segment(photo, names=["dog", "sky"], caption="sky dog")
    assert swapped.names == segmenter.segment(photo, names=["sky", "dog"], caption="sky dog").names
    assert set(segmenter.segment(photo, caption="a dog on the sky", merge=True).names) <= {"sky", "dog"}
    for wrong in ({"names": []}, {"names": ["a", " "]}, {"caption": "of the"}, {"names": ["x"], "margin": 2}):
        with pytest.raises(InvalidInput):
            segmenter.segment(photo, **wrong)


def test_attention_at_a_point_is_a_row_of_the_aggregate(tiny, photo):
    segmenter = Segmenter(tiny, settings=FINE, size=(128, 128))
    prepared = segmenter.prepare(photo)
    assert prepared.maps is not None
    rows, columns = prepared.maps.grid
    seen = segmenter.attention_at(prepared, (1.0, 89.0), (rows, columns))
    row = prepared.maps.rows(torch.tensor([(rows - 1) * columns]))[0].numpy().reshape(rows, columns)
    np.testing.assert_allclose(seen, row, atol=1e-9)
    assert np.ptp(row) > 0
    with pytest.raises(InvalidInput, match="outside"):
        segmenter.attention_at(prepared, (200.0, 10.0), (4, 4))


def test_unsuitable_choices_are_refused(tiny, photo):
    for wrong in (
        {"solver": "magic"},
        {"solver": "ncut", "settings": FINE},
        {"stage": 7, "sizes": 1},
        {"borders": 9.0},
    ):
        with pytest.raises(InvalidInput):
            Segmenter(tiny, **wrong)
    with pytest.raises(InvalidInput, match="multiples"):
        Segmenter(tiny, fit="crop", size=(72, 72)).segment(photo)
    for size in ((0, 0), (-64, 64)):
        with pytest.raises(InvalidInput, match="multiples"):
            Segmenter(tiny, size=size).segment(photo)
    for wrong in ({"of": "colours"}, {"method": "dbscan"}, {"method": "spectral"}, {"segments": 0}):
        with pytest.raises(InvalidInput):
            KMeansSettings(**wrong)
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
