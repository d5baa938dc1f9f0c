from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.video.masks import davis_palette, load_labels, load_mask, save_mask

LABELS = np.array([[0, 1, 2], [3, 254, 255]], np.uint8)


def test_the_palette_is_the_standard_one():
    known = {0: (0, 0, 0), 1: (128, 0, 0), 2: (0, 128, 0), 3: (128, 128, 0), 4: (0, 0, 128), 8: (64, 0, 0)}
    known |= {21: (128, 64, 128), 255: (224, 224, 192)}
    assert {label: tuple(davis_palette()[label].tolist()) for label in known} == known
    assert len(np.unique(davis_palette(), axis=0)) == 256


def test_labels_come_back_from_an_indexed_png(tmp_path):
    save_mask(LABELS, tmp_path / "m.png")
    assert Image.open(tmp_path / "m.png").mode == "P"
    assert np.array_equal(load_mask(tmp_path / "m.png"), LABELS)
    assert np.array_equal(load_labels(tmp_path / "m.png"), LABELS)


@pytest.mark.parametrize(
    ("image", "labels"),
    [
        (Image.fromarray(LABELS), LABELS),
        (Image.fromarray(LABELS.astype(np.uint16)), LABELS),
        (Image.fromarray(LABELS > 1), LABELS > 1),
        (Image.fromarray(np.array([[0, 255]], np.uint8)), [[0, 1]]),
        (Image.fromarray(davis_palette()[LABELS]), LABELS),
        (Image.fromarray(np.array([[[9, 9, 9], [0, 0, 0], [1, 2, 3], [9, 9, 9]]], np.uint8)), [[1, 0, 2, 1]]),
        (Image.fromarray(np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8)), [[1, 2]]),
    ],
    ids=["grey", "16 bit", "1 bit", "black and white", "palette colours", "other colours", "no black"],
)
def test_any_kind_of_label_png_can_be_read(tmp_path, image, labels):
    image.save(tmp_path / "m.png")
    assert np.array_equal(load_mask(tmp_path / "m.png"), labels)


def test_what_is_no_mask_is_refused(tmp_path, rng):
    Image.fromarray(rng.integers(0, 255, (40, 40, 3), np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(InvalidInput, match="has 16.. colours"):
        load_mask(tmp_path / "photo.png")
    Image.fromarray(np.full((4, 4), 300, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(InvalidInput, match="labels up to 300"):
        load_mask(tmp_path / "deep.png")
    (tmp_path / "text.png").write_text("no")
    for name in ("text.png", "missing.png"):
        with pytest.raises(UnreadableFile, match="cannot be read as a mask"):
            load_mask(tmp_path / name)
