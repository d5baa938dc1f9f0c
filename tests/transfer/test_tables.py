from __future__ import annotations

import csv

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from diffsight.errors import DiffsightError, InvalidInput, UnreadableFile
from diffsight.transfer.annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from diffsight.transfer.reading import read_annotations
from diffsight.transfer.tables import KeypointTable, write_keypoint_table

from .conftest import same


def read(folder, text: str) -> Annotations:
    (folder / "dog.csv").write_text(text, encoding="utf-8")
    return read_annotations(folder / "dog.csv")


def test_named_columns(folder):
    annotations = read(
        folder,
        "image,nose_x,nose_y,nose_visible,尾_x,尾_y,尾_visible,note\n"
        "b.png,1.5,2,1,40,30,0,far\n"
        "c.jpg,20,30,,0,0,0,\n"
        "in/写真 & 1.png,,,,3,3,,\n",
    )
    assert annotations.categories == (Category("dog", ("nose", "尾")),)
    instances = [photo.instances[0] for photo in annotations.photos]
    assert [own.visibility.tolist() for own in instances] == [[VISIBLE, HIDDEN], [VISIBLE, ABSENT], [ABSENT, VISIBLE]]
    np.testing.assert_array_equal(instances[0].keypoints, [[1.5, 2], [40, 30]])
    np.testing.assert_array_equal(instances[1].keypoints, [[20, 30], [np.nan, np.nan]])
    assert annotations.photos[1].size == (30, 20)
    assert instances[0].confidence is instances[0].point_confidence is instances[0].box is None


def test_numbered_columns_of_landmarks(folder):
    header = ",".join(f"x{k},y{k}" for k in range(68))
    annotations = read(folder, f"\ufeffimage,{header}\r\nb.png,{','.join(['7,8.5'] * 68)}\r\n")
    assert annotations.categories == (Category("dog", tuple(map(str, range(68)))),)
    np.testing.assert_array_equal(annotations.photos[0].instances[0].keypoints, [[7, 8.5]] * 68)


def test_categories_have_the_points_that_are_filled_in(folder):
    text = "image,object,category,a_x,a_y,b_x,b_y\nb.png,1,cat,1,1,,\nb.png,2,fox,2,2,3,3\nc.jpg,,,,,,\n"
    annotations = read(folder, text)
    assert annotations.categories == (Category("cat", ("a",)), Category("fox", ("a", "b")))
    assert [len(photo.instances) for photo in annotations.photos] == [2, 0]


def test_what_is_written_is_read_again(album, folder):
    write_keypoint_table(album, folder / "out.csv")
    again = read_annotations(folder / "out.csv")
    assert [(own.name, own.keypoints) for own in again.categories] == [
        (own.name, own.keypoints) for own in album.categories
    ]
    same(album, again, masks=False)
    write_keypoint_table(again, folder / "again.csv")
    assert (folder / "again.csv").read_bytes() == (folder / "out.csv").read_bytes()
    with (folder / "out.csv").open(encoding="utf-8", newline="") as handle:
        first, second, third, _ = csv.DictReader(handle)
    assert [row["image"] for row in (first, second, third)] == ["in/写真 & 1.png", "in/写真 & 1.png", "b.png"]
    assert [first[f"nose_{part}"] for part in ("x", "y", "visible", "confidence")] == ["10.25", "20.5", "1", "0.9"]
    assert (first["left eye_visible"], first["尾_x"], first["confidence"]) == ("0", "", "0.625")
    assert second["nose_x"] == third["category"] == ""


@given(st.lists(st.tuples(st.floats(0, 40), st.floats(0, 30), st.sampled_from((HIDDEN, VISIBLE))), min_size=1))
def test_coordinates_survive(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("survive")
    Image.new("RGB", (40, 30)).save(folder / "b.png")
    *points, seen = (np.array(column) for column in zip(*rows, strict=True))
    keypoints = np.stack(points, axis=1).round(3)
    seen = np.where((keypoints == 0).all(axis=1), VISIBLE, seen).astype(np.int8)  # hidden at (0, 0) is not labelled
    category = Category("dog", tuple(f"x{k}" for k in range(len(rows))))
    photo = AnnotatedPhoto("b.png", folder / "b.png", (30, 40), (Instance("dog", keypoints, seen),))
    write_keypoint_table(Annotations((category,), (photo,)), folder / "dog.csv")
    again = read_annotations(folder / "dog.csv")
    assert again.categories == (category,)
    same(Annotations((category,), (photo,)), again)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"dog\.csv needs a row or more and the columns image, NAME_x, NAME_y"),
        ("image,a_x,a_y\n", "needs a row or more"),
        ("image,a_x\nb.png,1\n", "needs a row or more"),
        ("photo,a_x,a_y\nb.png,1,1\n", "needs a row or more"),
        ("image,a_x,a_y,a_x\nb.png,1,1,1\n", "the column 'a_x' twice"),
        ("image,x0,y0,0_x,0_y\nb.png,1,1,1,1\n", "keypoint of 'dog' '0' is there 2 times"),
        ("image,a_x,a_y\nb.png,1\n", "2 cells in row 1 below its 3 headings"),
        ("image,a_x,a_y\nb.png,1,1\nc.jpg,1,1,1\n", "4 cells in row 2"),
        ("image,a_x,a_y\nb.png,1,z\n", r"no number \(.*'z'\) in column a_y"),
        ("image,a_x,a_y\nb.png,1,\n", "'a' has only one of x and y"),
        ("image,a_x,a_y,a_visible\nb.png,1,1,2\n", "visibility other than 0 and 1"),
        ("image,a_x,a_y\nb.png,1,1\nb.png,1,1\n", r"two rows of b\.png; number its objects in a column 'object'"),
        ("image,a_x,a_y\nb.png,41,1\n", r"b\.png: keypoint 'a' at \(41, 1\) is outside the photo of 40x30"),
        ("image,a_x,a_y\nb.png,inf,1\n", r"no number \('inf'\) in column a_x"),
        ("image,a_x,a_y\n../b.png,1,1\n", "outside its folder"),
        ("image,a_x,a_y\n,1,1\n", "names a photo ''"),
        ("image,a_x,a_y\ngone.png,1,1\n", r"'gone\.png', which is not in"),
        ("image,a_x,a_y,confidence\nb.png,1,1,2\n", "a confidence of 2"),
        ("image,a_x,a_y,box_x0\nb.png,1,1,2\n", "the box"),
    ],
)
def test_bad_tables(folder, text, message):
    with pytest.raises(DiffsightError, match=message) as caught:
        read(folder, text)
    assert isinstance(caught.value, InvalidInput | UnreadableFile)
    assert "\n" not in str(caught.value)


def test_tables_that_cannot_be_read(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "a.csv", tmp_path / "missing.csv", tmp_path):
        with pytest.raises(UnreadableFile, match="cannot read keypoints from"):
            KeypointTable.read(path)


def test_a_hidden_point_outside_its_photo_is_not_labelled(folder):
    annotations = read(folder, "image,a_x,a_y,a_visible,b_x,b_y,b_visible\nb.png,-3,5,0,4,5,0\n")
    assert annotations.photos[0].instances[0].visibility.tolist() == [ABSENT, HIDDEN]
