from __future__ import annotations

import pytest

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.transfer.photos import PhotoFolder, box_within


def test_photos_are_measured_upright_and_named_with_slashes(folder):
    photos = PhotoFolder(folder, folder / "a.json")
    assert photos.find("c.jpg", (30, 20)).size == (30, 20)
    found = photos.find("in\\写真 & 1.png")
    assert (found.name, found.path) == ("in/写真 & 1.png", folder / "in" / "写真 & 1.png")


@pytest.mark.parametrize("name", ["../b.png", "in/../../b.png", "..\\b.png", "/etc/passwd", "C:\\b.png", "C:b.png", ""])
def test_names_that_lead_outside(folder, name):
    with pytest.raises(InvalidInput, match=r"a\.json names a photo|a\.json names the photo .* outside its folder"):
        PhotoFolder(folder / "in", folder / "a.json").find(name)


@pytest.mark.parametrize("name", ["missing.png", "in", "a\x00.png"])
def test_photos_that_are_not_there(folder, name):
    with pytest.raises(UnreadableFile, match="which is not in .*; say where the photos are"):
        PhotoFolder(folder, folder / "a.json").find(name)


def test_photos_of_another_size(folder):
    with pytest.raises(InvalidInput, match=r"c\.jpg is 30x20, but upright it is 20x30"):
        PhotoFolder(folder, folder / "a.json").find("c.jpg", (20, 30))


def test_boxes_are_cut_at_the_edge_within_a_pixel(folder):
    photo = PhotoFolder(folder, folder / "a.json").find("b.png")
    assert box_within((-0.5, 1, 41, 30), photo) == (0, 1, 40, 30)
    for box in ((-1.5, 0, 3, 3), (0, 0, 40, 31.5), (3, 3, 2, 4), (0, 0, float("nan"), 1)):
        with pytest.raises(InvalidInput, match=r"b\.png: the box"):
            box_within(box, photo)
