from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import hypothesis.extra.numpy as arrays
import numpy as np
from hypothesis import assume, given

from diffsight.transfer.annotations import Annotations
from diffsight.transfer.cvat import run_lengths, write_cvat


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=30)))
def test_masks_are_runs_of_their_box_row_by_row(mask):
    assume(mask.any())
    code = run_lengths(mask)
    left, top, width, height = (int(code[name]) for name in ("left", "top", "width", "height"))
    runs = [int(run) for run in code["rle"].split(",")]
    again = np.zeros_like(mask)
    box = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(height, width)
    again[top : top + height, left : left + width] = box
    np.testing.assert_array_equal(again, mask)
    assert all(box[0].any() for box in (box, box[::-1], box.T, box.T[::-1]))


def test_labels_are_declared_with_their_attribute(album, folder):
    write_cvat(album, folder / "out.xml")
    root = ElementTree.parse(folder / "out.xml").getroot()
    assert (root.tag, root.findtext("version")) == ("annotations", "1.1")
    labels = [
        (own.findtext("name"), own.findtext("type"), own.findtext("parent")) for own in root.iterfind("meta//label")
    ]
    assert labels == [
        ("dog", "skeleton", None),
        *((name, "points", "dog") for name in ("nose", "left eye", "尾")),
        ("dog area", "any", None),
        ("sticker <b>&", "any", None),
    ]
    names = {name for name, *_ in labels}
    for label in root.iterfind("meta//label"):
        assert label.findtext("attributes/attribute/name") == "confidence"
        assert label.findtext("attributes/attribute/input_type") == "text"
    for shape in root.iterfind("image//*[@label]"):
        assert shape.get("label") in names


def test_shapes_are_in_pixels_and_grouped(album, folder):
    write_cvat(album, folder / "out.xml")
    first, second, third = ElementTree.parse(folder / "out.xml").getroot().iterfind("image")
    assert first.attrib == {"id": "0", "name": "in/写真 & 1.png", "width": "64", "height": "64"}
    assert [(own.tag, own.get("label"), own.get("group_id")) for own in first] == [
        ("box", "dog area", "1"),
        ("mask", "dog area", "1"),
        ("skeleton", "dog", "1"),
        ("box", "sticker <b>&", "2"),
    ]
    box, mask, skeleton, sticker = first
    assert [float(box.get(edge, "")) for edge in ("xtl", "ytl", "xbr", "ybr")] == [5, 0, 40, 50]
    assert (mask.get("left"), mask.get("width"), mask.get("height")) == ("5", "35", "40")
    assert [(own.get("points"), own.get("occluded"), own.get("outside")) for own in skeleton.iterfind("points")] == [
        ("10.250,20.500", "0", "0"),
        ("30.125,0.000", "1", "0"),
        ("22.500,25.000", "0", "1"),
    ]
    sure = [own.findtext("attribute[@name='confidence']") for own in (skeleton, *skeleton.iterfind("points"))]
    assert sure == ["0.6250", "0.9000", "0.2500", None]
    assert sticker.find("attribute") is None
    assert list(second) == []
    assert [own.tag for own in third] == ["skeleton"]


def test_a_skeleton_without_any_point_lies_in_the_middle(album, folder):
    photo = album.photos[2]
    nothing = replace(photo.instances[0], keypoints=np.full((3, 2), np.nan), visibility=np.zeros(3, np.int8))
    write_cvat(Annotations(album.categories, (replace(photo, instances=(nothing,)),)), folder / "out.xml")
    before = (folder / "out.xml").read_bytes()
    points = ElementTree.fromstring(before).iterfind(".//points")
    assert {own.get("points") for own in points} == {"10.000,15.000"}
    write_cvat(Annotations(album.categories, (replace(photo, instances=(nothing,)),)), folder / "out.xml")
    assert (folder / "out.xml").read_bytes() == before
