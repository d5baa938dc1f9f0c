"""Photos on disk with something of every kind marked on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffsight.transfer.annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from diffsight.world import make_scene

DOG = Category("dog", ("nose", "left eye", "尾"), ((0, 1), (1, 2)))
STICKER = Category("sticker <b>&")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three photos: a procedural one in a folder within, a plain one, and one that is stored lying on its side."""
    (tmp_path / "in").mkdir()
    Image.fromarray(make_scene(1_000_000_000, 64).image).save(tmp_path / "in" / "写真 & 1.png")
    Image.new("RGB", (40, 30), "olive").save(tmp_path / "b.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (30, 20), "navy").save(tmp_path / "c.jpg", exif=turned)
    return tmp_path


@pytest.fixture
def album(folder: Path) -> Annotations:
    """Points of every visibility, boxes, masks with a hole, and a photo without anything."""
    mask = np.zeros((64, 64), bool)
    mask[10:50, 5:40] = True
    mask[20:30, 10:20] = False
    first = Instance(
        "dog",
        np.array([[10.25, 20.5], [30.125, 0.0], [np.nan, np.nan]]),
        np.array([VISIBLE, HIDDEN, ABSENT], np.int8),
        (5.0, 0.0, 40.0, 50.0),
        mask,
        np.array([0.9, 0.25, np.nan]),
        0.625,
    )
    second = Instance("sticker <b>&", np.zeros((0, 2)), np.zeros(0, np.int8), (41.5, 2.0, 64.0, 12.25))
    third = Instance("dog", np.array([[20.0, 30.0], [0.5, 0.5], [1.0, 29.0]]), np.full(3, VISIBLE, np.int8))
    photos = (
        AnnotatedPhoto("in/写真 & 1.png", folder / "in" / "写真 & 1.png", (64, 64), (first, second)),
        AnnotatedPhoto("b.png", folder / "b.png", (30, 40)),
        AnnotatedPhoto("c.jpg", folder / "c.jpg", (30, 20), (third,)),
    )
    return Annotations((DOG, STICKER), photos)


def same(first: Annotations, second: Annotations, *, boxes: bool = True, masks: bool = True) -> None:
    """Require that two say the same, but for what a format cannot hold."""
    for one, other in zip(first.photos, second.photos, strict=True):
        assert (one.name, one.path, one.size) == (other.name, other.path, other.size)
        for a, b in zip(one.instances, other.instances, strict=True):
            assert (a.category, a.confidence) == (b.category, b.confidence)
            np.testing.assert_allclose(b.keypoints, a.keypoints, atol=5.1e-4)
            np.testing.assert_array_equal(b.visibility, a.visibility)
            if boxes:
                assert (a.box is None) == (b.box is None)
                np.testing.assert_allclose(b.box or (), a.box or (), atol=1.1e-3)
            if masks:
                assert (a.mask is None) == (b.mask is None)
                np.testing.assert_array_equal(a.mask, b.mask)
            assert (a.point_confidence is None) == (b.point_confidence is None)
            if a.point_confidence is not None and b.point_confidence is not None:
                np.testing.assert_allclose(b.point_confidence, a.point_confidence, atol=1e-6)
