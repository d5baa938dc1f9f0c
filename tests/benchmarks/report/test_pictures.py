from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.report.pictures import SIDE, best_median_worst, views
from diffsight.benchmarks.report.run import Answer, Score
from diffsight.datasets import JointClip, LabelledPhoto, MaskClip, Photo, PlanePair, benchmark
from diffsight.video.masks import davis_palette, save_mask
from diffsight.world import make_clip, make_scene, make_warp_pair


def save(array, path):
    Image.fromarray(array).save(path)
    return path


def scored(*values):
    return [Score(str(i), "all", value) for i, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((10, 90, 50), [("best", 90), ("median", 50), ("worst", 10)]),
        ((10, 90, 50, 20), [("best", 90), ("median", 20), ("worst", 10)]),
        ((10, 90), [("best", 90), ("worst", 10)]),
        ((7,), [("best", 7)]),
        ((float("nan"), 3), [("best", 3)]),
        ((), []),
    ],
)
def test_best_median_and_worst_are_three_different_samples(values, expected):
    assert [(role, score.value) for role, score in best_median_worst(scored(*values))] == expected


def test_points_are_drawn_where_they_were_found(tmp_path):
    benchmark("spair").write_world(tmp_path, 0, 1)
    pair = benchmark("spair").samples(tmp_path)[0]
    asked, found, true = views(pair, Answer(matched=pair.target.keypoints.ravel()), ())
    assert [view.caption for view in (asked, found, true)] == ["asked", "found", "true"]
    assert found.image.size == (SIDE, SIDE)
    np.testing.assert_array_equal(found.image, true.image)
    elsewhere = views(pair, Answer(matched=pair.target.keypoints.ravel() + 9), ())[1]
    assert (np.asarray(elsewhere.image) != np.asarray(true.image)).any()
    assert views(pair, Answer(), ()) == ()


def test_planes_are_outlined_and_a_missing_homography_is_said(tmp_path):
    drawn = make_warp_pair(0, 96)
    photos = [Photo(save(own, tmp_path / name)) for own, name in ((drawn.source, "a.png"), (drawn.target, "b.png"))]
    pair = PlanePair("a-b", "viewpoint", *photos, drawn.homography)
    _, found, true = views(pair, Answer(matrix=drawn.homography), ())
    np.testing.assert_array_equal(found.image, true.image)
    _, nothing, true = views(pair, Answer(), ())
    assert nothing.caption == "target: no homography found"
    assert (np.asarray(nothing.image) != np.asarray(true.image)).any()


@pytest.fixture
def clip(tmp_path):
    drawn = make_clip(0, 4, 96)
    frames = [save(scene.image, tmp_path / f"{i}.jpg") for i, scene in enumerate(drawn)]
    return drawn, tuple(frames)


def test_masks_have_the_colours_of_davis(tmp_path, clip):
    drawn, frames = clip
    masks = []
    for i in range(4):
        mask = np.zeros(drawn[i].image.shape[:2], np.uint8)
        mask[10 * i : 10 * i + 30, 20:60] = 1
        save_mask(mask, tmp_path / f"{i}.png")
        masks.append(tmp_path / f"{i}.png")
    sample = MaskClip("clip", frames, tuple(masks))
    asked, found, true = views(sample, Answer(), masks)
    assert [view.caption for view in (asked, found, true)] == ["asked, frame 1", "found, frame 3", "true, frame 3"]
    np.testing.assert_array_equal(found.image, true.image)
    shown = np.asarray(true.image).astype(int)
    assert shown[20, 30].tolist() == [255, 255, 255]  # the outline
    plain = clip[0][2].image.astype(int)
    assert ((shown - plain) * (davis_palette()[1] - plain) >= 0)[26, 40].all()  # within, towards the label's colour
    wrong = views(sample, Answer(), masks[::-1])[1]
    assert (np.asarray(wrong.image) != np.asarray(true.image)).any()
    assert views(sample, Answer(), ()) == ()


def test_joints_of_the_middle_frame_are_drawn(clip):
    _, frames = clip
    joints = np.random.default_rng(0).uniform(10, 80, (4, 5, 2))
    sample = JointClip("clip", "wave", frames, joints)
    asked, found, true = views(sample, Answer(matched=joints.ravel()), ())
    assert [view.caption for view in (asked, found, true)] == ["asked, frame 1", "found, frame 3", "true, frame 3"]
    np.testing.assert_array_equal(found.image, true.image)


def test_segments_are_drawn_over_the_square_that_is_scored(tmp_path):
    scene = make_scene(0, 96, count=2)
    photo = save(np.pad(scene.image, ((0, 0), (16, 16), (0, 0))), tmp_path / "photo.png")
    values = np.zeros((96, 128), np.uint8)
    values[:, 64:] = 7
    values[:8] = 255
    labels = save(values, tmp_path / "labels.png")
    classes = np.full(256, -1)
    classes[[0, 7]] = 0, 1
    sample = LabelledPhoto("photo", photo, labels, classes, 96)
    truth = values[:, 16:-16]
    own = np.where(truth == 255, 65535, truth == 7).astype(np.uint16)
    plain, found, true = views(sample, Answer(), [save(own, tmp_path / "found.png")])
    assert plain.image.size == (96, 96)
    np.testing.assert_array_equal(plain.image, scene.image)
    np.testing.assert_array_equal(found.image, true.image)
    assert views(sample, Answer(), ()) == ()
