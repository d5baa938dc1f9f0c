from __future__ import annotations

import pickle
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from PIL import Image

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.images import load_picture
from diffsight.matching.confidence import Calibrations
from diffsight.readers import ModelReader
from diffsight.segmentation.segmenter import Segmenter
from diffsight.transfer.annotations import Annotations, Category
from diffsight.transfer.carry import CarrySettings
from diffsight.transfer.work import Job, Recipe, Transfer

from .worlds import SIDE, album, bare, paint

CALIBRATIONS = Calibrations.shipped("pocket")


@dataclass(frozen=True)
class Open:
    """Makes the reader."""

    def __call__(self) -> ModelReader:
        return ModelReader.open("pocket", device="cpu")


@pytest.fixture(scope="module")
def reader():
    return Open()()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    return [paint(folder, f"{seed}.png", seed) for seed in range(3)]


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return [paint(folder, f"{seed}.png", seed, ("dog", "fish")) for seed in range(2)]


@pytest.fixture(scope="module")
def transfer(reader, photos):
    return Transfer(reader, album(photos[:2]), CarrySettings(votes=1), CALIBRATIONS)


def test_every_category_that_a_reference_shows_is_looked_for_once(reader, pairs):
    references = replace(album(pairs[:1]), categories=(*album(pairs[:1]).categories, Category("cat")))
    own = Transfer(reader, references, CarrySettings(flip="off"), CALIBRATIONS)
    found = own.label(pairs[1].path, "other.png")
    assert (found.name, found.path, found.size) == ("other.png", pairs[1].path, (SIDE, SIDE))
    assert [own.category for own in found.instances] == ["dog", "fish"]
    assert all(own.mask is None for own in found.instances)
    assert own.label(np.asarray(Image.open(pairs[1].path))).instances[0].box == found.instances[0].box
    assert {name: len(keys) for name, keys in own(Job("1.png", pairs[1].path)).after.used.items()} == {
        "dog": 1,
        "fish": 1,
    }


def test_a_segmenter_gives_masks(reader, photos):
    cut = Transfer(reader, album(photos[:1]), CarrySettings(flip="off"), CALIBRATIONS, Segmenter("pocket"))
    (found,) = cut.label(photos[0].path).instances
    assert found.mask.shape == (SIDE, SIDE)
    assert found.mask.any()


def test_a_photo_is_done_again_only_if_others_vote(reader, transfer, photos):
    first = transfer(Job("2.png", photos[2].path))
    assert first.failure == ""
    again = Job("2.png", photos[2].path, first.after)
    assert transfer(again).photo is None
    other = Transfer(reader, album([*photos[:2], photos[2]]), CarrySettings(votes=1), CALIBRATIONS)
    done = other(again)
    assert done.photo is not None
    assert done.after.used != first.after.used


def test_what_is_kept_for_the_next_run_tells_the_voters_exactly(transfer, photos):
    answer = transfer(Job("2.png", photos[2].path))
    target = transfer.carriers[0].read(load_picture(photos[2].path))
    kept = torch.from_numpy(answer.after.coarse)
    assert kept.dtype == torch.float16
    assert torch.equal(kept.float(), target.coarse)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "is empty"), (b"no photo", "not a photo"), (None, "does not exist"), ("colour", "of one colour")],
)
def test_a_photo_that_cannot_be_labelled_says_why(transfer, tmp_path, content, reason):
    path = tmp_path / "x.png"
    if content == "colour":
        Image.new("RGB", (30, 20), "red").save(path)
    elif content is not None:
        path.write_bytes(content)
    answer = transfer(Job("x.png", path))
    assert answer.photo is answer.after is None
    assert reason in answer.failure
    assert str(path) in answer.failure


@pytest.mark.parametrize(
    ("image", "size"),
    [
        (Image.effect_noise((3, 2), 90), (2, 3)),
        (Image.effect_noise((400, 9), 90), (9, 400)),
        (Image.effect_noise((9, 400), 90).convert("RGBA"), (400, 9)),
        (Image.effect_noise((50, 40), 90).convert("I;16"), (40, 50)),
    ],
)
def test_odd_photos_get_marks_within_them(transfer, tmp_path, image, size):
    image.save(tmp_path / "x.png")
    found = transfer.label(tmp_path / "x.png")
    assert found.size == size
    for own in found.instances:
        points = own.keypoints[np.isfinite(own.keypoints).all(axis=1)]
        assert (points >= 0).all()
        assert (points <= size[::-1]).all()


def test_marks_are_of_the_upright_photo(transfer, photos, tmp_path):
    turned = Image.Exif()
    turned[0x0112] = 6
    image = Image.open(photos[2].path)
    image.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "x.png", exif=turned)
    upright, found = transfer.label(photos[2].path), transfer.label(tmp_path / "x.png")
    np.testing.assert_array_equal(found.instances[0].keypoints, upright.instances[0].keypoints)


def test_references_that_cannot_be_learnt(reader, photos, tmp_path):
    def learn(photo):
        return Transfer(reader, Annotations(album(photos[:1]).categories, (photo,)), CarrySettings(), CALIBRATIONS)

    with pytest.raises(InvalidInput, match="show no object"):
        learn(replace(photos[0], instances=()))
    with pytest.raises(UnreadableFile, match="does not exist"):
        learn(replace(photos[0], path=tmp_path / "gone.png"))
    Image.new("RGB", (SIDE, SIDE)).save(tmp_path / "black.png")
    with pytest.raises(InvalidInput, match="of one colour"):
        learn(replace(photos[0], path=tmp_path / "black.png"))


def test_a_recipe_travels_and_its_worker_answers_alike(transfer, photos):
    recipe = Recipe(album(photos[:2]), CarrySettings(votes=1), CALIBRATIONS, Open())
    worker = pickle.loads(pickle.dumps(recipe))()
    job = pickle.loads(pickle.dumps(Job("2.png", photos[2].path)))
    one, other = (pickle.loads(pickle.dumps(own(job))) for own in (transfer, worker))
    assert one.after.used == other.after.used
    for a, b in zip(one.photo.instances, other.photo.instances, strict=True):
        np.testing.assert_array_equal(a.keypoints, b.keypoints)
        assert (a.box, a.confidence) == (b.box, b.confidence)


def test_boxes_alone_are_carried_by_a_worker(reader, photos):
    boxed = bare(photos[0], box=photos[0].instances[0].box)
    own = Transfer(reader, Annotations((Category("face"),), (boxed,)), CarrySettings(), CALIBRATIONS)
    answer = own(Job("1.png", photos[1].path))
    assert len(answer.after.used["face"]) == 1
    assert answer.photo.instances[0].keypoints.shape == (0, 2)
