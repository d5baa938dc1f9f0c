from __future__ import annotations

import contextlib
import copy
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pycocotools.coco import COCO

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.transfer.annotations import VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from diffsight.transfer.coco import write_coco
from diffsight.transfer.reading import read_annotations

from .conftest import same

FACTS: dict[str, Any] = {
    "images": [{"id": 7, "file_name": "b.png", "width": 40, "height": 30}],
    "categories": [{"id": 3, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": [[1, 2]]}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 3, "keypoints": [0, 2.5, 2, 0, 0, 0], "bbox": [0, 0, 10, 5]},
        {"id": 2, "image_id": 7, "category_id": 3, "iscrowd": 1, "segmentation": {"size": [30, 40], "counts": [1200]}},
    ],
}


def read(folder: Path, facts: Any) -> Annotations:
    (folder / "a.json").write_text(json.dumps(facts))
    return read_annotations(folder / "a.json")


def changed(*keys: str | int, value: Any) -> Any:
    """The facts with one of them changed."""
    facts = copy.deepcopy(FACTS)
    place: Any = facts
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    return facts


def test_keypoints_count_from_centres_of_pixels_and_crowds_are_left_out(folder):
    annotations = read(folder, FACTS)
    assert annotations.categories == (Category("dog", ("nose", "tail"), ((0, 1),)),)
    (instance,) = annotations.photos[0].instances
    np.testing.assert_array_equal(instance.keypoints, [[0.5, 3.0], [np.nan, np.nan]])
    assert instance.visibility.tolist() == [2, 0]
    assert instance.box == (0, 0, 10, 5)
    assert instance.mask is instance.point_confidence is instance.confidence is None


@pytest.mark.parametrize(
    "outline",
    [[[0, 0, 3, 0, 3, 2, 0, 2], [0, 2, 1, 2, 1, 30, 0, 30]], {"size": [30, 40], "counts": [0, 30, 0, 2, 28, 2, 1138]}],
)
def test_masks_of_polygons_and_run_lengths(folder, outline):
    (instance,) = read(folder, changed("annotations", 0, "segmentation", value=outline)).photos[0].instances
    expected = np.zeros((30, 40), bool)
    expected[:2, :3] = expected[:, 0] = True
    np.testing.assert_array_equal(instance.mask, expected)


def test_what_is_written_is_read_again(album, folder):
    write_coco(album, folder / "out.json")
    again = read_annotations(folder / "out.json")
    assert again.categories == album.categories
    same(album, again, boxes=False)
    assert again.photos[0].instances[0].box == album.photos[0].instances[0].box
    assert again.photos[2].instances[0].box == (0.5, 0.5, 20, 30)  # around the points, as COCO wants one
    write_coco(again, folder / "again.json")
    assert (folder / "again.json").read_bytes() == (folder / "out.json").read_bytes()
    same(album, read_annotations((folder / "out.json").rename(folder / "in" / "o.json"), folder), boxes=False)


def test_pycocotools_loads_what_is_written(album, folder):
    write_coco(album, folder / "out.json")
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(folder / "out.json")
    assert [own["name"] for own in coco.loadCats(coco.getCatIds())] == ["dog", "sticker <b>&"]
    first, second, third = coco.loadAnns(coco.getAnnIds())
    instance = album.photos[0].instances[0]
    assert instance.mask is not None
    np.testing.assert_array_equal(coco.annToMask(first), instance.mask)
    assert (first["area"], first["num_keypoints"], first["bbox"]) == (instance.mask.sum(), 2, [5, 0, 35, 50])
    assert first["keypoints"] == [9.75, 20, 2, 29.625, -0.5, 1, 0, 0, 0]
    assert (first["score"], first["point_scores"]) == (0.625, [0.9, 0.25, None])
    assert "score" not in second
    assert "point_scores" not in third
    assert (second["image_id"], third["image_id"]) == (1, 3)


@given(
    points=st.lists(st.tuples(st.floats(0, 40), st.floats(0, 30)), max_size=133),
    sure=st.none() | st.floats(0, 1).map(lambda value: round(value, 6)),
)
def test_coordinates_survive(tmp_path_factory, points, sure):
    folder = tmp_path_factory.mktemp("survive")
    Image.new("RGB", (40, 30)).save(folder / "b.png")
    keypoints = np.array(points, float).reshape(-1, 2)
    seen = np.full(len(points), VISIBLE, np.int8)
    instance = Instance("dog", keypoints, seen, (0.0, 0.0, 40.0, 30.0), None, None, sure)
    category = Category("dog", tuple(map(str, range(len(points)))))
    album = Annotations((category,), (AnnotatedPhoto("b.png", folder / "b.png", (30, 40), (instance,)),))
    write_coco(album, folder / "out.json")
    same(album, read_annotations(folder / "out.json"))


@pytest.mark.parametrize(
    ("keys", "value", "message"),
    [
        (("images", 0, "file_name"), "../b.png", "outside its folder"),
        (("images", 0, "file_name"), "gone.png", r"'gone\.png', which is not in"),
        (("images", 0, "width"), 30, r"b\.png is 30x30, but upright it is 40x30"),
        (("images",), FACTS["images"] * 2, "two of image 7: 'b.png' and 'b.png'"),
        (("images",), [{**FACTS["images"][0], "id": n} for n in (7, 8)], r"the photo 'b\.png' is there 2 times"),
        (("categories",), [*FACTS["categories"], {"id": 3, "name": "cat"}], "two of category 3: 'dog' and 'cat'"),
        (("categories",), [*FACTS["categories"], {"id": 4, "name": "dog"}], "the category 'dog' is there 2 times"),
        (("categories", 0, "skeleton"), [[0, 1]], "joins points 0 and 1; points are counted from 1 to 2"),
        (("annotations", 0, "image_id"), 8, "no image 8"),
        (("annotations", 0, "category_id"), "dog", "no category 'dog'"),
        (("annotations", 0, "keypoints"), [1, 1, 2], "3 numbers for the 2 keypoints of 'dog'"),
        (("annotations", 0, "keypoints"), [1, 1, 2, 1, 1, 3], "visibility"),
        (
            ("annotations", 0, "keypoints"),
            [1, 1, 2, 40, 1, 1],
            r"b\.png: keypoint 'tail' at \(40\.5, 1\.5\) is outside",
        ),
        (("annotations", 0, "keypoints"), [1, 1, 2, float("nan"), 1, 1], "keypoint 'tail'"),
        (("annotations", 0, "bbox"), [0, 0, 50, 5], "the box"),
        (("annotations", 0, "segmentation"), [[1, 1, 2, 2, 3]], "a polygon of an odd number"),
        (("annotations", 0, "segmentation"), {"size": [30, 40], "counts": [3]}, "add up to 3, not to 1200"),
        (("annotations", 0, "score"), 3, "a confidence of 3"),
        (("annotations", 0, "point_scores"), [1], "1 confidences for 2 keypoints"),
    ],
)
def test_what_contradicts_itself(folder, keys, value, message):
    with pytest.raises((InvalidInput, UnreadableFile), match=message) as caught:
        read(folder, changed(*keys, value=value))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("images", 0), {"id": 7}),
        (("images",), 3),
        (("images", 0, "id"), []),
        (("categories", 0, "skeleton"), [["a", "b"]]),
        (("annotations", 0), {}),
        (("annotations", 0, "keypoints"), ["a", 1, 2, 1, 1, 2]),
        (("annotations", 0, "keypoints"), {"nose": 1}),
        (("annotations", 0, "bbox"), [1, 2, 3]),
        (("annotations", 0, "segmentation"), {"size": [30, 40]}),
        (("annotations", 0, "segmentation"), {"size": [30, 40], "counts": "~é"}),
        (("annotations", 0, "segmentation"), 5),
    ],
)
def test_what_is_not_as_coco_has_it(folder, keys, value):
    with pytest.raises(UnreadableFile, match=r"a\.json is not as COCO has it \(.*\); export it anew"):
        read(folder, changed(*keys, value=value))


def test_nothing_is_written_that_could_not_be_read(album, folder):
    photo = album.photos[2]
    lost = replace(photo.instances[0], keypoints=photo.instances[0].keypoints + 100)
    with pytest.raises(InvalidInput, match="outside the photo"):
        write_coco(replace(album, photos=(replace(photo, instances=(lost,)),)), folder / "out.json")
    assert not (folder / "out.json").exists()
