from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.images import load_picture
from diffsight.matching.confidence import Calibrations
from diffsight.matching.refine import Refinement
from diffsight.readers import ModelReader
from diffsight.segmentation.segmenter import Segmenter
from diffsight.transfer.annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Category, Instance
from diffsight.transfer.carry import Carrier, CarrySettings, other_sides
from diffsight.types import Picture

from .worlds import SIDE, bare, kind, marked, paint

FACE = kind("face")


@pytest.fixture(scope="module")
def reader():
    return ModelReader.open("pocket", device="cpu")


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    folder = tmp_path_factory.mktemp("faces")
    return [paint(folder, f"{seed}.png", seed) for seed in range(4)]


@pytest.fixture(scope="module")
def carrier(reader, faces):
    return learnt(reader, faces[:2])


def learnt(reader, photos, category=FACE, **settings):
    own = Carrier(reader, category, CarrySettings(**settings), Calibrations.shipped("pocket"))
    for photo in photos:
        own.learn(photo, load_picture(photo.path))
    return own


def carried(own: Carrier, photo: AnnotatedPhoto, parts=None) -> Instance:
    return own.carry(own.read(load_picture(photo.path)), parts).instance


def overlap(one, other) -> float:
    """Intersection over union of two boxes."""
    low, high = np.maximum(one[:2], other[:2]), np.minimum(one[2:], other[2:])
    both = np.prod(np.maximum(high - low, 0))
    return float(both / (sum(np.prod(np.subtract(own[2:], own[:2])) for own in (one, other)) - both))


@pytest.mark.parametrize(
    "names",
    [
        ("left_eye", "right_eye"),
        ("leftEye", "rightEye"),
        ("lefteye", "righteye"),
        ("LEFT-EYE", "RIGHT-EYE"),
        ("L_Eye", "R_Eye"),
        ("LEye", "REye"),
        ("eye l", "eye r"),
        ("l_ankle", "r_ankle"),
        ("Left eye", "right_Eye"),
        ("left 眼", "right 眼"),
        ("toe.2.left", "toe.2.right"),
        ("right", "left"),
    ],
)
def test_sides_are_told_by_names(names):
    assert other_sides(("nose", *names, "chin")) == (0, 2, 1, 3)


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("0", "1", "2"),
        ("nose", "chin"),
        ("left eye", "right ear"),
        ("lefteye", "bright eye"),
        ("lip", "rip"),
        ("左目", "右目"),
        ("left_1", "right_2"),
        ("eye", "Eye"),
    ],
)
def test_names_without_a_partner_stay(names):
    assert other_sides(names) == tuple(range(len(names)))


@given(st.permutations(["left_eye", "right_eye", "L ear", "R ear", "noseLeft", "noseRight", "mouth", "left_tail"]))
def test_the_other_side_of_the_other_side_is_the_side(names):
    other = other_sides(names)
    assert tuple(other[k] for k in other) == tuple(range(len(names)))
    assert sum(k != own for k, own in enumerate(other)) == 6


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"flip": "maybe"}, "auto, on, off"),
        ({"votes": 0}, "1 or more"),
        ({"abstain_below": 1.5}, "0 to 1"),
        ({"seen_from": -0.1}, "0 to 1"),
        ({"abstain_below": float("nan")}, "0 to 1"),
    ],
)
def test_settings_that_do_not_suit(settings, reason):
    with pytest.raises(InvalidInput, match=reason):
        CarrySettings(**settings)


def test_a_reference_finds_itself(carrier, faces):
    truth = faces[0].instances[0]
    found = carried(carrier, faces[0])
    seen = truth.visibility == VISIBLE
    assert np.median(np.linalg.norm(found.keypoints - truth.keypoints, axis=1)[seen]) < SIDE / 16
    assert overlap(found.box, truth.box) > 0.6
    assert found.mask is None
    assert ((found.point_confidence >= 0) & (found.point_confidence <= 1)).all()
    assert 0 < found.confidence <= 1
    known = found.visibility != ABSENT
    assert found.confidence == pytest.approx(found.point_confidence[known].mean())
    np.testing.assert_array_equal(np.isfinite(found.keypoints).all(axis=1), known)
    sure = found.point_confidence >= carrier.settings.seen_from
    np.testing.assert_array_equal(found.visibility[known], np.where(sure, VISIBLE, HIDDEN)[known])


def test_another_photo_is_found_better_than_by_guessing(carrier, faces):
    truth = faces[2].instances[0]
    found = carried(carrier, faces[2])
    x0, y0, x1, y1 = truth.box
    near = np.linalg.norm(found.keypoints - truth.keypoints, axis=1) < 0.2 * max(x1 - x0, y1 - y0)
    assert near[truth.visibility == VISIBLE].mean() > 0.5
    assert overlap(found.box, truth.box) > 0.4


def test_a_box_moves_with_its_points_and_ends_at_the_photo(reader, faces):
    own = learnt(reader, faces[:1])
    image = load_picture(faces[0].path).image
    x0, y0, x1, y1 = faces[0].instances[0].box
    middle = int((x0 + x1) / 2)
    moved = Picture(image.roll(-16, 2))
    target = own.read(moved)
    box = own.carry(target).instance.box
    assert overlap(box, (x0 - 16, y0, x1 - 16, y1)) > overlap(box, (x0, y0, x1, y1))
    cut = own.carry(own.read(Picture(image[:, :, middle:].contiguous()))).instance
    assert 0 <= cut.box[0] < cut.box[2] <= SIDE - middle
    assert 0 <= cut.box[1] < cut.box[3] <= SIDE


@pytest.mark.parametrize("marks", ["box", "mask"])
def test_references_without_points_give_box_and_mask_by_likeness(reader, faces, marks):
    shown = [bare(photo, **{marks: getattr(photo.instances[0], marks)}) for photo in faces[:2]]
    own = learnt(reader, shown, Category("face"))
    found = carried(own, faces[0], Segmenter("pocket", device="cpu").segment(load_picture(faces[0].path)))
    assert found.keypoints.shape == (0, 2)
    assert found.visibility.shape == found.point_confidence.shape == (0,)
    assert 0.5 < found.confidence <= 1
    assert overlap(found.box, faces[0].instances[0].box) > 0.4
    truth = faces[0].instances[0].mask
    assert (found.mask & truth).sum() / (found.mask | truth).sum() > 0.3


def test_points_and_box_choose_the_parts_of_a_mask_where_no_reference_has_one(reader, faces):
    own = learnt(reader, [marked(photo, mask=None) for photo in faces[:2]])
    parts = Segmenter("pocket", device="cpu").segment(load_picture(faces[0].path))
    found = carried(own, faces[0], parts)
    assert found.mask.shape == (SIDE, SIDE)
    for part in range(len(parts)):
        assert found.mask[parts.labels == part].all() or not found.mask[parts.labels == part].any()


def test_hidden_points_are_not_looked_for_but_the_box_is(reader, faces):
    hidden = np.full(len(FACE.keypoints), HIDDEN, np.int8)
    photo = faces[0]
    points = np.nan_to_num(photo.instances[0].keypoints, nan=1.0)
    own = learnt(reader, [marked(photo, keypoints=points, visibility=hidden, mask=None)])
    found = carried(own, photo)
    assert (found.visibility == ABSENT).all()
    assert np.isnan(found.keypoints).all()
    assert (found.point_confidence == 0).all()
    assert overlap(found.box, photo.instances[0].box) > 0.4


def test_a_point_that_no_reference_shows_is_not_found(reader, faces):
    visibility = faces[0].instances[0].visibility.copy()
    visibility[5] = HIDDEN
    found = carried(learnt(reader, [marked(faces[0], visibility=visibility)]), faces[1])
    assert found.visibility[5] == ABSENT
    assert found.point_confidence[5] == 0
    assert (found.visibility != ABSENT).sum() > 5


def test_a_photo_with_nothing_marked_gives_nothing(reader, faces):
    found = carried(learnt(reader, [bare(faces[0])], Category("face")), faces[1])
    assert (found.box, found.mask, found.confidence) == (None, None, 0.0)


def test_many_points_at_once(reader, faces):
    rng = np.random.default_rng(0)
    many = Category("face", tuple(f"p{k}" for k in range(133)))
    points = rng.uniform(0, SIDE, (133, 2))
    photo = marked(faces[0], keypoints=points, visibility=np.full(133, VISIBLE, np.int8))
    found = carried(learnt(reader, [photo], many), faces[0])
    assert found.keypoints.shape == (133, 2)
    assert np.median(np.linalg.norm(found.keypoints - points, axis=1)) < SIDE / 10
    assert (found.keypoints >= 0).all()
    assert (found.keypoints <= SIDE).all()


def test_who_abstains_below_one_marks_no_point(reader, faces):
    found = carried(learnt(reader, faces[:2], abstain_below=1.0), faces[2])
    assert (found.visibility == ABSENT).all()
    assert np.isnan(found.keypoints).all()
    assert (found.point_confidence == 0).all()


def test_abstaining_leaves_out_what_is_less_sure(reader, carrier, faces):
    whole = carried(carrier, faces[2])
    limit = float(np.median(whole.point_confidence))
    found = carried(learnt(reader, faces[:2], abstain_below=limit), faces[2])
    np.testing.assert_array_equal(found.visibility != ABSENT, whole.point_confidence >= limit)
    assert found.box == whole.box


def test_those_most_like_a_photo_vote(reader, faces):
    own = learnt(reader, faces, votes=1)
    for photo, known in zip(faces, own.known, strict=True):
        assert own.carry(own.read(load_picture(photo.path))).used == (known.key,)
    assert len({known.key for known in own.known}) == len(faces)


def test_a_key_tells_marks_apart(reader, faces):
    moved = faces[0].instances[0].keypoints + 0.25
    variants = [
        faces[0],
        replace(faces[0], name="other.png"),
        marked(faces[0], keypoints=moved),
        marked(faces[0], box=(0.0, 0.0, 5.0, 5.0)),
        marked(faces[0], mask=None),
    ]
    own = learnt(reader, [*variants, faces[0]], flip="off")
    keys = [known.key for known in own.known]
    assert len(set(keys[:-1])) == len(variants)
    assert keys[-1] == keys[0]


def test_mirrored_references_help_with_a_mirrored_photo(reader, faces):
    """A face and its mirror image differ in nothing but which side is which."""
    truth = faces[0].instances[0]
    mirrored = Picture(load_picture(faces[0].path).image.flip(2))
    swap = other_sides(FACE.keypoints)
    expected = np.stack([SIDE - truth.keypoints[:, 0], truth.keypoints[:, 1]], axis=1)[list(swap)]
    far = {}
    for flip in ("off", "auto"):
        own = learnt(reader, faces[:1], flip=flip, how=Refinement(shape=0))
        points = own.carry(own.read(mirrored)).instance.keypoints
        far[flip] = np.nanmedian(np.linalg.norm(points - expected, axis=1))
    assert far["auto"] < SIDE / 16
    assert far["auto"] <= far["off"]


def test_names_with_sides_ask_for_mirror_images(reader, faces):
    assert learnt(reader, faces[:1]).flips
    assert not learnt(reader, faces[:2], flip="off").flips
    nameless = Category("face", tuple(map(str, range(len(FACE.keypoints)))))
    assert not learnt(reader, faces[:1], nameless).flips
    assert learnt(reader, faces[:1], nameless, flip="on").flips
    assert isinstance(learnt(reader, faces[:3], nameless).flips, bool)


def test_nothing_was_learnt(reader, faces):
    own = learnt(reader, faces[:2], Category("dog"))
    assert own.known == []
    with pytest.raises(InvalidInput, match="no reference shows 'dog'"):
        carried(own, faces[0])


@pytest.mark.parametrize("marks", [{"mask": np.zeros((SIDE, SIDE), bool)}, {"box": (5.0, 5.0, 5.0, 5.0)}])
def test_a_region_without_a_pixel_names_its_photo(reader, faces, marks):
    with pytest.raises(InvalidInput, match=r"^0\.png: "):
        learnt(reader, [bare(faces[0], **marks)], Category("face"))
