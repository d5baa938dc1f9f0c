from __future__ import annotations

import hashlib

import numpy as np
import pytest

from diffsight.datasets import benchmark, files_of
from diffsight.datasets.cityscapes import CLASSES, TABLE, WORLD
from diffsight.errors import UnreadableFile
from diffsight.images import load_picture
from diffsight.video.masks import load_labels
from diffsight.world import CLUTTER, RESERVED, make_scene

CITYSCAPES = benchmark("cityscapes")
FIRST = RESERVED + 2  # clutter hides something in the second and the third scene from here


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("cityscapes")
    CITYSCAPES.write_world(root, FIRST, 3)
    return root


def test_the_table_of_classes():
    """Of label values 0 to 33, those below 7 are ignored, as is -1, which a file holds as 255."""
    assert len(CLASSES) == 27
    assert TABLE[:34].tolist() == [-1] * 7 + list(range(27))
    assert (TABLE[34:] == -1).all()
    assert (CLASSES[26 - 7], CLASSES[33 - 7]) == ("car", "bicycle")
    digest = hashlib.sha256(TABLE.astype(np.int16).tobytes()).hexdigest()
    assert digest == "6a3ff7058f932112b66aa93de920d8b392600767c6a251423755b8bb538c2248"


def test_the_world_written_is_the_world_read(tree):
    samples = CITYSCAPES.samples(tree)
    assert [sample.id for sample in samples] == [f"world_{i:06d}_000000" for i in range(3)]
    for number, sample in enumerate(samples):
        scene = make_scene(FIRST + number, 128, 256, count=2 + number % 2)
        truth = np.full((128, 256), CLASSES.index("road"))
        for i, thing in enumerate(scene.objects, 1):
            truth[scene.instances == i] = CLASSES.index(WORLD[thing.category])
        truth[scene.instances == CLUTTER] = -1
        assert (load_labels(sample.labels)[scene.instances == CLUTTER] == 4).all()
        picture, labels = sample.load()
        assert picture.size == (512, 512)
        np.testing.assert_array_equal(labels, truth[:, 64:-64].repeat(4, axis=0).repeat(4, axis=1))
        np.testing.assert_array_equal(load_picture(sample.photo).array(), scene.image)


def test_wrong_roots_and_missing_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match="no sample of Cityscapes-27, split val.*gtFine/val/.*cityscapes-dataset"):
        CITYSCAPES.samples(tmp_path)
    with pytest.raises(UnreadableFile, match="split train"):
        CITYSCAPES.samples(tree, "train")
    _, middle, _ = CITYSCAPES.samples(tree)
    moved = middle.photo.rename(tmp_path / "away.png")
    try:
        missing = [path for sample in CITYSCAPES.samples(tree) for path in files_of(sample) if not path.exists()]
        assert missing == [middle.photo]
        with pytest.raises(UnreadableFile, match="world_000001_000000_leftImg8bit.png does not exist"):
            middle.load()
    finally:
        moved.rename(middle.photo)
