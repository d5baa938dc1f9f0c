from __future__ import annotations

import hashlib

import numpy as np
import pytest
from PIL import Image

from diffsight.datasets import benchmark, files_of
from diffsight.datasets.coco_stuff import CLASSES, TABLE
from diffsight.errors import UnreadableFile
from diffsight.video.masks import load_labels
from diffsight.world import CLUTTER, RESERVED, make_scene

COCO = benchmark("coco-stuff")
FIRST = RESERVED + 2  # clutter hides something in the second and the third scene from here

STUFF = """
17 17 22 20 20 22 15 25 16 13 12 12 17 17 23 15 15 17 15 21
15 25 13 13 13 13 13 22 26 14 14 15 22 21 21 24 20 22 15 17
16 15 22 24 21 17 25 16 21 17 22 16 21 21 25 21 26 21 24 20
17 14 21 26 15 23 20 21 24 15 24 22 25 15 20 17 17 22 14 18
18 18 18 18 18 18 26 26 19 19 24
"""
"""The classes of label values 91 to 181, one by one, against which the table's sets are held."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("coco")
    COCO.write_world(root, FIRST, 3)
    return root


def test_the_table_of_classes():
    assert [len(values) for values in CLASSES.values()] == [
        *(6, 6, 10, 10, 8, 8, 8, 10, 6, 1, 10, 8, 2, 6, 4, 11, 4, 11, 7, 2, 6, 11, 9, 2, 6, 5, 5)
    ]
    assert sum(map(len, CLASSES.values())) == 182  # so none is listed twice, as 182 values have a class:
    assert np.flatnonzero(TABLE >= 0).tolist() == list(range(182))
    assert TABLE[91:182].tolist() == [int(number) for number in STUFF.split()]
    digest = hashlib.sha256(TABLE.astype(np.int16).tobytes()).hexdigest()
    assert digest == "cfc7cb157eef4d1e683c8fcab668a1d3b971853a251bac7e062a627c0756ed33"


def test_the_world_written_is_the_world_read(tree):
    samples = COCO.samples(tree)
    assert [sample.id for sample in samples] == ["000000000001", "000000000002", "000000000003"]
    kinds = {"person": "person", "face": "person", "car": "vehicle", "chair": "furniture (things)", "teapot": "kitchen"}
    kinds |= dict.fromkeys(("boat", "aeroplane"), "vehicle") | dict.fromkeys(("bird", "fish", "dog"), "animal")
    kinds |= {"butterfly": "animal", "flower": "plant"}
    for number, sample in enumerate(samples):
        scene = make_scene(FIRST + number, 128, 160, count=2 + number % 2)
        truth = np.full((128, 160), list(CLASSES).index("wall"))
        for i, thing in enumerate(scene.objects, 1):
            truth[scene.instances == i] = list(CLASSES).index(kinds[thing.category])
        truth[scene.instances == CLUTTER] = -1
        assert (load_labels(sample.labels)[scene.instances == CLUTTER] == 255).all()
        picture, labels = sample.load()
        assert picture.size == labels.shape == (512, 512)
        np.testing.assert_array_equal(labels, truth[:, 16:-16].repeat(4, axis=0).repeat(4, axis=1))
        shown = picture.array().reshape(128, 4, 128, 4, 3).mean(axis=(1, 3))
        assert np.abs(shown - scene.image[:, 16:-16]).mean() < 8
        assert all(path.exists() for path in files_of(sample))


@pytest.mark.parametrize("axes", [(0, 1, 2), (1, 0, 2)], ids=["wide", "high"])
def test_cropped_and_resized_by_hand(tmp_path, axes):
    """Of a photo of 3 x 8 pixels the columns 2 to 4 are left; brought to 6, each pixel is mixed with its neighbours."""
    photo, values = np.zeros((3, 8, 3), np.uint8), np.full((3, 8), 255, np.uint8)
    photo[:, 3], values[:, 2:5] = 240, [0, 15, 181]
    (tmp_path / "val2017").mkdir()
    (tmp_path / "annotation_val2017").mkdir()
    Image.fromarray(values.transpose(axes[:2])).save(tmp_path / "annotation_val2017" / "7.png")
    Image.fromarray(photo.transpose(axes)).save(tmp_path / "7.png")
    (tmp_path / "7.png").rename(tmp_path / "val2017" / "7.jpg")
    (tmp_path / "Coco164kFull_Stuff_Coarse_7.txt").write_text("7")
    (sample,) = COCO.samples(tmp_path)
    for side, shown, classes in ((6, [0, 60, 180, 180, 60, 0], [9, 9, 7, 7, 24, 24]), (1, [240], [7])):
        picture, labels = type(sample)(sample.id, sample.photo, sample.labels, sample.classes, side).load()
        assert picture.array()[:, :, 0].transpose(axes[:2]).tolist() == [shown] * side
        assert labels.transpose(axes[:2]).tolist() == [classes] * side


def test_wrong_roots_and_damaged_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"Coarse_7\.txt.*cocostuff.*STEGO"):
        COCO.samples(tmp_path)
    _, middle, _ = COCO.samples(tree)
    whole = middle.labels.read_bytes()
    try:
        middle.labels.write_bytes(whole[:100])
        with pytest.raises(UnreadableFile, match=r"000000000002\.png cannot be read"):
            middle.load()
        Image.new("L", (160, 100)).save(middle.labels)
        with pytest.raises(UnreadableFile, match=r"000000000002\.png is 160x100, but .*000000000002\.jpg 160x128"):
            middle.load()
    finally:
        middle.labels.write_bytes(whole)
