from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from diffsight.datasets import benchmark, files_of
from diffsight.errors import UnreadableFile
from diffsight.images import load_picture
from diffsight.video.masks import davis_palette, load_labels
from diffsight.world import CLUTTER, RESERVED, make_clip

DAVIS = benchmark("davis")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("davis")
    DAVIS.write_world(root, RESERVED, 3)
    return root


def test_the_world_written_is_the_world_read(tree):
    samples = DAVIS.samples(tree)
    assert [sample.id for sample in samples] == ["world-0000", "world-0001", "world-0002"]
    for number, sample in enumerate(samples):
        scenes = make_clip(RESERVED + number, 12, 128)
        assert len(sample.frames) == len(sample.masks) == len(scenes)
        for photo, mask, scene in zip(sample.frames, sample.masks, scenes, strict=True):
            expected = np.where(scene.instances == CLUTTER, 0, scene.instances)
            np.testing.assert_array_equal(load_labels(mask), expected)
            assert np.abs(load_picture(photo).array().astype(int) - scene.image).mean() < 2  # JPEG
    with Image.open(samples[0].masks[0]) as image:
        assert image.mode == "P"
        np.testing.assert_array_equal(np.reshape(image.getpalette(), (-1, 3)), davis_palette())


def test_wrong_roots_and_missing_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"ImageSets/2017/val\.txt.*davischallenge"):
        DAVIS.samples(tmp_path)
    shutil.copytree(tree, tmp_path / "tree")
    root = tmp_path / "tree"
    clip = root / "JPEGImages" / "480p" / "world-0001"
    (clip / "00004.jpg").unlink()
    (root / "Annotations" / "480p" / "world-0001" / "00007.png").unlink()
    missing = [path for sample in DAVIS.samples(root) for path in files_of(sample) if not path.exists()]
    assert [path.name for path in missing] == ["00004.jpg", "00007.png"]
    shutil.rmtree(clip)
    shutil.rmtree(root / "Annotations" / "480p" / "world-0001")
    with pytest.raises(UnreadableFile, match="480p/world-0001 holds no frames"):
        DAVIS.samples(root)
    (root / "ImageSets" / "2017" / "val.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UnreadableFile, match=r"cannot read .*val\.txt"):
        DAVIS.samples(root)
