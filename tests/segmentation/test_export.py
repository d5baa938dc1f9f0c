from __future__ import annotations

import json

import numpy as np
from PIL import Image
from pycocotools import mask as coco

from diffsight.segmentation.export import describe, save_description, save_labels
from diffsight.types import VOID, Segmentation

LABELS = np.array([[0, 0, 1, VOID], [2, 2, 1, VOID]], np.uint16)
PARTS = Segmentation(LABELS, np.array([0.5, 0.25, 1.0]), ("sky", "dog", ""), np.array([0.9, 0.8, 0.1]))


def test_masks_are_those_of_coco(tmp_path):
    save_description(PARTS, tmp_path / "a.json", photo="a.jpg")
    report = json.loads((tmp_path / "a.json").read_text())
    assert report["photo"] == "a.jpg"
    assert report == {"photo": "a.jpg", **describe(PARTS)}
    for segment in report["segments"]:
        code = {**segment["segmentation"], "counts": segment["segmentation"]["counts"].encode()}
        np.testing.assert_array_equal(coco.decode(code), segment["id"] == LABELS)
        assert segment["area"] == coco.area(code)
        assert segment["bbox"] == coco.toBbox(code).tolist()
    assert [segment["name"] for segment in report["segments"]] == ["sky", "dog", ""]


def test_labels_are_indices_with_a_palette(tmp_path):
    save_labels(PARTS, tmp_path / "a.png", [(255, 0, 0), (0, 255, 0), (0, 0, 255)])
    image = Image.open(tmp_path / "a.png")
    assert image.mode == "P"
    np.testing.assert_array_equal(np.asarray(image), np.where(LABELS == VOID, 255, LABELS))
    assert image.convert("RGB").getpixel((0, 1)) == (0, 0, 255)


def test_many_segments_need_sixteen_bits(tmp_path):
    labels = np.arange(300, dtype=np.uint16)[None]
    save_labels(Segmentation(labels, np.zeros(300)), tmp_path / "a.png", [(0, 0, 0)] * 300)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "a.png")), labels)
