from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO

from diffsight.errors import UnreadableFile
from diffsight.types import Track
from diffsight.video.export import (
    append_points,
    load_soft,
    mask_annotations,
    point_annotation,
    read_points,
    save_description,
    save_soft,
    trim_points,
)


def track(frame, points=((1.5, 2.0), (np.nan, np.nan))):
    soft = torch.zeros(3, 4, 5)
    soft[1, 0, 0], soft[0, 3, 3] = 0.25, frame
    return Track(frame, (1, 2), soft, points=np.array(points))


def test_only_the_last_soft_labels_are_kept(tmp_path):
    for frame in (98, 99, 100, 99_999, 100_000):
        save_soft(track(frame), tmp_path, keep=3)
    found = load_soft(tmp_path)
    assert list(found) == [100, 99_999, 100_000]
    assert torch.equal(found[100], track(100).soft)
    save_soft(track(100_001), tmp_path, keep=0)
    assert list(load_soft(tmp_path)) == [100_001]
    (tmp_path / "100001.safetensors").write_bytes(b"cut")
    with pytest.raises(UnreadableFile, match="damaged file.*delete that folder"):
        load_soft(tmp_path)


def test_points_come_back_and_are_cut_off_after_a_frame(tmp_path):
    path = tmp_path / "points.csv"
    for frame in (3, 4, 5):
        append_points(track(frame), path)
    lines = path.read_text().splitlines()
    assert lines[:3] == ["frame,point,x,y,score", "3,1,1.500,2.000,0.25000", "3,2,,,0.00000"]
    found = read_points(path)
    assert list(found) == [3, 4, 5]
    assert np.array_equal(found[5], [[1.5, 2, 0.25], [np.nan, np.nan, 0]], equal_nan=True)
    with path.open("a") as handle:
        handle.write("4")  # of frame 41 or so
    trim_points(path, 4)
    assert path.read_text().splitlines() == lines[:5]


@pytest.mark.parametrize("content", ["", "frame,poi", "frame,point,x,y,score\n0,1,2"])
def test_points_of_which_no_frame_is_finished_go(tmp_path, content):
    """A run may be killed between making the file and its first line."""
    path = tmp_path / "points.csv"
    path.write_text(content)
    trim_points(path, -1)
    trim_points(path, -1)
    assert not path.exists()


def labels():
    found = np.zeros((20, 30), np.uint8)
    found[2:8, 3:9], found[0, 1], found[10:12, :4] = 5, 5, 9
    return found


def test_masks_load_as_coco(tmp_path):
    path = tmp_path / "track.json"
    annotations = [(4, a) for a in mask_annotations(labels(), (5, 7, 9))] + [
        (6, a) for a in mask_annotations(labels(), (9,))
    ]
    categories = [{"id": i, "name": f"object {i}"} for i in (5, 7, 9)]
    save_description(path, (20, 30), [(4, "a.png"), (6, "b.png")], categories, iter(annotations), seed=1)
    assert json.loads(path.read_text())["info"] == {"seed": 1}
    coco = COCO(str(path))
    assert coco.getImgIds() == [4, 6]
    assert coco.imgs[6] == {"id": 6, "frame": 6, "file_name": "b.png", "height": 20, "width": 30}
    assert coco.getCatIds() == [5, 7, 9]
    five, nine = coco.loadAnns(coco.getAnnIds(imgIds=[4]))
    assert np.array_equal(coco.annToMask(five), labels() == 5)
    assert np.array_equal(coco.annToMask(nine), labels() == 9)
    assert (five["bbox"], five["area"]) == ([1, 0, 8, 8], 37)
    assert len(coco.getAnnIds()) == 3
    assert len({annotation["id"] for annotation in coco.anns.values()}) == 3


def test_the_box_may_be_that_of_the_largest_piece():
    (found,) = mask_annotations(labels(), (5,), pieces=True)
    assert (found["bbox"], found["area"]) == ([3, 2, 6, 6], 37)


def test_points_load_as_coco(tmp_path):
    rows = np.array([[1.5, 2.0, 0.25], [np.nan, np.nan, 0.0]])
    category = {"id": 1, "name": "points", "keypoints": ["point 1", "point 2"], "skeleton": []}
    save_description(tmp_path / "track.json", (20, 30), [(0, "v.mp4")], [category], [(0, point_annotation(rows))])
    (found,) = COCO(str(tmp_path / "track.json")).anns.values()
    assert (found["keypoints"], found["num_keypoints"], found["scores"]) == ([1.5, 2.0, 2, 0, 0, 0], 1, [0.25, 0.0])
