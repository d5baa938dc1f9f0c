from __future__ import annotations

import weakref

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.protocols import PROTOCOLS
from diffsight.benchmarks.scoring import OnDemand, score
from diffsight.benchmarks.scoring.segments import nearest
from diffsight.datasets.base import LabelledPhoto
from diffsight.errors import InvalidInput

PER_IMAGE, DATASET, SMALL = PROTOCOLS["coco-stuff"]
CLASSES = np.full(256, -1)
CLASSES[10:37] = np.arange(27)  # file values 10 to 36


def photos(folder, maps, side=128):
    samples = []
    for i, values in enumerate(maps):
        Image.fromarray(values.astype(np.uint8)).save(folder / f"{i}.png")
        samples.append(LabelledPhoto(str(i), folder / f"{i}.jpg", folder / f"{i}.png", CLASSES, side))
    return samples


def quarters(seed, count=4):
    """Label values of four blocks, with a frame that is not counted."""
    values = 10 + np.random.default_rng(seed).permutation(27)[:count]
    blocks = np.kron(values[np.arange(4) % count].reshape(2, 2), np.ones((64, 64), int))
    blocks[:3] = 255
    return blocks


@pytest.fixture
def samples(tmp_path):
    return photos(tmp_path, [quarters(seed) for seed in range(6)])


def truths(samples):
    return {s.id: np.asarray(Image.open(s.labels)).astype(np.uint16) for s in samples}


def figure(summary, metric, start):
    (found,) = [own.value for own in summary.figures if own.metric == metric and own.switches.startswith(start)]
    return found


def test_true_segments_score_100_by_every_figure_and_however_numbered(samples):
    for own in (PER_IMAGE, DATASET, SMALL):
        summary, rows = score("coco-stuff", "val", own, samples, truths(samples))
        assert {figure.value for figure in summary.figures} == {100}
        assert {row.score for row in rows} == {100}
        assert [figure.metric for figure in summary.main] == ["mIoU", "ACC"]
        assert {number for _, _, number in summary.by_category} == {100}
        assert sum(count for _, count, _ in summary.by_category) == 6 * 4
    order = np.random.default_rng(0).permutation(256)
    summary, _ = score("coco-stuff", "val", PER_IMAGE, samples, {k: order[v] for k, v in truths(samples).items()})
    assert {figure.value for figure in summary.figures} == {100}


def test_numbers_that_change_from_photo_to_photo_suit_one_matching_only(tmp_path):
    """The same two halves in three photos, numbered the other way round in one: a third of all pixels is wrong."""
    halves = np.full((128, 128), 10)
    halves[64:] = 11
    samples = photos(tmp_path, [halves] * 3)
    found = {"0": halves - 10, "1": halves - 10, "2": 11 - halves}
    summary, rows = score("coco-stuff", "val", DATASET, samples, found)
    assert figure(summary, "ACC", "segments assigned in each photo,") == 100
    assert [own.value for own in summary.main] == pytest.approx([50, 100 * 2 / 3])
    assert all(own.switches.startswith("segments assigned once") for own in summary.main)
    assert [row.score for row in rows] == [100, 100, 0]


def test_one_segment_scores_its_largest_class(tmp_path):
    values = np.full((128, 128), 12)
    values[:32] = 13
    (sample,) = photos(tmp_path, [values])
    summary, rows = score("coco-stuff", "val", PER_IMAGE, [sample], {"0": np.zeros((128, 128), int)})
    assert figure(summary, "ACC", "segments assigned in each photo,") == 75
    assert summary.main[0].value == pytest.approx(37.5)  # of 75 and 0
    assert rows[0].score == pytest.approx(37.5)
    assert summary.by_category == (("2", 1, 75.0), ("3", 1, 0.0))
    assert figure(summary, "boundary F", "per image") == 0
    assert figure(summary, "adjusted Rand index", "per image") == 0


def test_random_segments_score_next_to_nothing(samples):
    """Of 4 classes and 4 random segments each pair shares a quarter of its pixels."""
    rng = np.random.default_rng(0)
    found = {s.id: rng.integers(0, 4, (128, 128)) for s in samples}
    summary, _ = score("coco-stuff", "val", PER_IMAGE, samples, found)
    assert figure(summary, "ACC", "segments assigned in each photo,") == pytest.approx(25, abs=1)
    assert figure(summary, "mIoU", "segments assigned in each photo to") == pytest.approx(100 / 7, abs=1)
    assert figure(summary, "adjusted Rand index", "per image") == pytest.approx(0, abs=0.5)


def test_classes_are_named_if_names_are_given(samples):
    names = [f"class {i}" for i in range(27)]
    summary, _ = score("coco-stuff", "val", PER_IMAGE, samples, truths(samples), classes=names)
    assert {name for name, _, _ in summary.by_category} <= set(names)
    with pytest.raises(InvalidInput, match="27 classes"):
        score("coco-stuff", "val", PER_IMAGE, samples, truths(samples), classes=names[:5])


def test_the_side_is_that_of_the_protocol(tmp_path):
    """Stripes of one pixel are there at 256, and gone at 128."""
    stripes = np.where(np.arange(256) % 2, 10, 11)[None].repeat(256, axis=0)
    (sample,) = photos(tmp_path, [stripes], side=256)
    plain = {"0": np.zeros((256, 256), np.uint8)}
    full, _ = score("coco-stuff", "val", PER_IMAGE, [sample], plain)
    small, _ = score("coco-stuff", "val", SMALL, [sample], plain)
    assert [own.value for own in full.main] == [25, 50]
    assert [own.value for own in small.main] == [100, 100]
    assert "128 pixels a side" in small.main[0].switches
    assert score("coco-stuff", "val", SMALL, [sample], {"0": np.zeros((128, 128), np.uint8)})[0].main == small.main


def test_nearest_takes_the_label_at_the_centre_of_the_central_square():
    labels = np.arange(4 * 8).reshape(4, 8)
    np.testing.assert_array_equal(nearest(labels, 4), labels[:, 2:6])
    np.testing.assert_array_equal(nearest(labels, 2), labels[[1, 3]][:, [3, 5]])
    np.testing.assert_array_equal(nearest(labels[:3, :3], 6), labels[:3, :3].repeat(2, axis=0).repeat(2, axis=1))


def test_photos_without_a_known_class_are_skipped(tmp_path):
    samples = photos(tmp_path, [np.full((128, 128), 255), quarters(0)])
    summary, rows = score("coco-stuff", "val", PER_IMAGE, samples, truths(samples))
    assert [row.id for row in rows] == ["1"]
    assert summary.skipped == (("no pixel of a known class", 1),)
    with pytest.raises(InvalidInput, match="no photo"):
        score("coco-stuff", "val", PER_IMAGE, samples[:1], truths(samples[:1]))


def test_labels_that_do_not_fit(samples):
    found = {**truths(samples), "0": np.zeros((64, 64), int), "1": np.zeros((128, 128))}
    with pytest.raises(InvalidInput, match=r"2 of a wrong shape or type \(0, 1\)"):
        score("coco-stuff", "val", PER_IMAGE, samples, found)
    del found["2"]
    summary, rows = score("coco-stuff", "val", PER_IMAGE, samples, found, allow_missing=True)
    assert [row.score for row in rows] == [0, 0, 0, 100, 100, 100]
    assert figure(summary, "ACC", "segments assigned in each photo,") == 50
    assert [count for _, count in summary.skipped] == [1, 2]


def test_labels_are_not_kept(samples):
    alive = []

    def load(name):
        labels = truths(samples)[name]
        alive.append(weakref.ref(labels))
        assert sum(own() is not None for own in alive) <= 2  # this one, and the one before
        return labels

    score("coco-stuff", "val", DATASET, samples, OnDemand([s.id for s in samples], load))
    assert len(alive) == 6
