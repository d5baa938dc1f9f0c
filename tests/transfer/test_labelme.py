from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.transfer.annotations import ABSENT, VISIBLE, Category
from diffsight.transfer.reading import read_annotations


def shape(label: str, kind: str, *points: tuple[float, float], group: int | None = None) -> dict[str, Any]:
    return {"label": label, "points": list(points), "group_id": group, "shape_type": kind, "flags": {}}


def save(folder: Path, *shapes: dict[str, Any], photo: str = "b.png", name: str = "b.json", **facts: Any) -> Path:
    content = {"version": "5.4.1", "flags": {}, "shapes": shapes, "imagePath": photo, "imageData": "A" * 100_000}
    (folder / name).write_text(json.dumps({**content, **facts}))
    return folder / name


def test_shapes_of_a_group_are_one_object(folder):
    path = save(
        folder,
        shape("nose", "point", (3, 4.5), group=1),
        shape("dog", "rectangle", (20, 25), (1, 2), group=1),
        shape("dog", "polygon", (1, 2), (4, 2), (4, 5), (1, 5), group=1),
        shape("dog", "polygon", (10, 2), (12, 2), (12, 5), (10, 5), group=1),
        shape("tail", "point", (30, 20), group=2),
        shape("dog", "rectangle", (25, 10), (40, 30), group=2),
        shape("cat", "rectangle", (0, 0), (2, 2)),
        shape("cat", "rectangle", (5, 0), (7, 2)),
        imageHeight=30,
        imageWidth=40,
    )
    annotations = read_annotations(path)
    assert set(annotations.categories) == {Category("cat"), Category("dog", ("nose", "tail"))}
    cats, dogs = ([own for own in annotations.photos[0].instances if own.category == name] for name in ("cat", "dog"))
    assert [own.box for own in cats] == [(0, 0, 2, 2), (5, 0, 7, 2)]
    assert [own.box for own in dogs] == [(1, 2, 20, 25), (25, 10, 40, 30)]
    np.testing.assert_array_equal(dogs[0].keypoints, [[3, 4.5], [np.nan, np.nan]])
    assert [own.visibility.tolist() for own in dogs] == [[VISIBLE, ABSENT], [ABSENT, VISIBLE]]
    assert dogs[0].mask is not None
    assert dogs[0].mask.sum() == 9 + 6
    assert dogs[1].mask is None


def test_points_without_a_group_are_one_object(folder):
    points = [shape("auge", "point", (3, 4)), shape("尾", "point", (5, 6))]
    (instance,) = read_annotations(save(folder, *points)).photos[0].instances
    assert (instance.category, instance.box, len(instance.keypoints)) == ("object", None, 2)
    (instance,) = read_annotations(save(folder, *points, shape("dog", "rectangle", (0, 0), (9, 9)))).photos[0].instances
    assert (instance.category, instance.box, len(instance.keypoints)) == ("dog", (0, 0, 9, 9), 2)


def test_a_folder_is_read_in_order_with_photos_elsewhere(folder):
    (folder / "marks").mkdir()
    save(folder / "marks", shape("tail", "point", (1, 1)), photo="c.jpg", name="2.json")
    save(folder / "marks", shape("nose", "point", (1, 1)), photo="in\\写真 & 1.png", name="1.json")
    save(folder / "marks", photo="b.png", name="3.json")
    annotations = read_annotations(folder / "marks", folder)
    assert [photo.name for photo in annotations.photos] == ["in/写真 & 1.png", "c.jpg", "b.png"]
    assert annotations.categories == (Category("object", ("nose", "tail")),)
    assert annotations.photos[2].instances == ()
    with pytest.raises(UnreadableFile, match="say where the photos are"):
        read_annotations(folder / "marks")


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 30)), min_size=1, max_size=133))
def test_coordinates_are_taken_as_they_are(tmp_path_factory, points):
    folder = tmp_path_factory.mktemp("labelme")
    Image.new("RGB", (40, 30)).save(folder / "b.png")
    path = save(folder, *(shape(str(k), "point", point) for k, point in enumerate(points)))
    (instance,) = read_annotations(path).photos[0].instances
    np.testing.assert_array_equal(instance.keypoints, points)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (
            [shape("eye", "circle", (1, 1), (2, 2))],
            r"b\.png: 'eye' is marked by a circle; use point, rectangle, polygon",
        ),
        ([shape("eye", "point", (1, 1)), shape("eye", "point", (2, 1))], "two points 'eye' of one object"),
        ([shape("eye", "point", (41, 1))], r"b\.png: keypoint 'eye' at \(41, 1\) is outside the photo of 40x30"),
        (
            [shape("a", "rectangle", (0, 0), (1, 1), group=3), shape("b", "polygon", (0, 0), (1, 1), group=3)],
            "'a', 'b'",
        ),
        ([shape("a", "rectangle", (0, 0), (1, 1), group=3)] * 2, "2 rectangles"),
        ([shape("a", "rectangle", (0, 0), (1, 99))], "the box"),
        ([shape("a", "polygon", (0, 0), (1, 9))], "a polygon of 4 numbers"),
        ([shape("", "rectangle", (0, 0), (1, 1))], "give every category a name"),
    ],
)
def test_what_contradicts_itself(folder, shapes, message):
    with pytest.raises(InvalidInput, match=message):
        read_annotations(save(folder, *shapes))


def test_files_that_do_not_fit_their_photos(folder):
    for facts, message in (
        ({"photo": "../b.png"}, "outside its folder"),
        ({"imageHeight": 40, "imageWidth": 30}, "upright it is 40x30"),
    ):
        with pytest.raises(InvalidInput, match=message):
            read_annotations(save(folder, **facts))
    (folder / "marks").mkdir()
    for name in ("1.json", "2.json"):
        save(folder / "marks", name=name)
    with pytest.raises(InvalidInput, match=r"the photo 'b\.png' is there 2 times"):
        read_annotations(folder / "marks", folder)


@pytest.mark.parametrize("broken", [{"label": "a"}, {"label": "a", "shape_type": "point", "points": [[1]]}, 3, None])
def test_what_is_not_as_labelme_has_it(folder, broken):
    with pytest.raises(UnreadableFile, match=r"b\.json is not as LabelMe has it"):
        read_annotations(save(folder, broken))
    (folder / "none").mkdir()
    with pytest.raises(UnreadableFile, match="holds no LabelMe file"):
        read_annotations(folder / "none")
    (folder / "none" / "list.json").write_text("[1, 2]")
    with pytest.raises(UnreadableFile, match=r"list\.json is not as LabelMe has it"):
        read_annotations(folder / "none")
