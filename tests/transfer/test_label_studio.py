from __future__ import annotations

import json
from urllib.parse import unquote
from xml.etree import ElementTree

import hypothesis.extra.numpy as arrays
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given

from diffsight.transfer.label_studio import brush, write_label_studio

VALUES = {
    "keypointlabels": {"x", "y", "width", "keypointlabels"},
    "rectanglelabels": {"x", "y", "width", "height", "rotation", "rectanglelabels"},
    "brushlabels": {"format", "rle", "brushlabels"},
}
REGION = {"id", "type", "from_name", "to_name", "original_width", "original_height", "image_rotation", "value"}


def unpack(rle: list[int]) -> npt.NDArray[np.uint8]:
    """What thi.ng/rle-pack reads: values in runs, or one by one."""
    bits = "".join(f"{byte:08b}" for byte in rle)
    place = 0

    def take(count: int) -> int:
        nonlocal place
        place += count
        return int(bits[place - count : place], 2)

    total, word = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    values: list[int] = []
    while len(values) < total:
        run = take(1)
        length = take(sizes[take(2)]) + 1
        values += [take(word)] * length if run else [take(word) for _ in range(length)]
    assert len(values) == total
    assert len(bits) - place < 8
    return np.array(values, np.uint8)


@given(arrays.arrays(bool, arrays.array_shapes(min_dims=2, max_dims=2, max_side=30)))
def test_brushes_hold_all_of_a_mask(mask):
    np.testing.assert_array_equal(unpack(brush(mask)).reshape(*mask.shape, 4), 255 * np.repeat(mask[..., None], 4, 2))


@pytest.mark.parametrize("filled", [False, True])
def test_brushes_of_long_runs(filled):
    mask = np.full((300, 200), filled)
    mask[150, 3] = not filled
    np.testing.assert_array_equal(unpack(brush(mask)).reshape(300, 200, 4)[..., 3] > 0, mask)


def test_tasks_fit_the_interface(album, folder):
    interface = write_label_studio(album, folder / "tasks.json")
    assert interface == folder / "tasks.xml"
    view = ElementTree.parse(interface).getroot()
    controls = {
        own.get("name"): (own.tag.lower(), {label.get("value") for label in own})
        for own in view
        if own.get("toName") == "image"
    }
    assert controls["keypoints"] == ("keypointlabels", {"nose", "left eye", "尾"})
    assert controls["boxes"][1] == controls["masks"][1] == {"dog", "sticker <b>&"}
    tasks = json.loads((folder / "tasks.json").read_text())
    for task, photo in zip(tasks, album.photos, strict=True):
        (prediction,) = task["predictions"]
        ids = [region["id"] for region in prediction["result"]]
        assert len(set(ids)) == len(ids)
        for region in prediction["result"]:
            kind, labels = controls[region["from_name"]]
            assert region.keys() >= REGION
            assert region["type"] == kind
            assert region["value"].keys() == VALUES[kind]
            assert set(region["value"][kind]) <= labels
            assert region.get("parentID", ids[0]) in ids
            assert (region["original_height"], region["original_width"]) == photo.size
            for part in ("x", "y", "width", "height"):
                assert 0 <= region["value"].get(part, 0) <= 100
        assert unquote(task["data"]["image"]) == "/data/local-files/?d=" + photo.name


def test_places_are_in_percent_with_their_scores(album, folder):
    write_label_studio(album, folder / "tasks.json", served="s3://bucket/")
    first, second, third = json.loads((folder / "tasks.json").read_text())
    assert first["data"]["image"].startswith("s3://bucket/in/")
    assert " " not in first["data"]["image"]
    assert first["predictions"][0]["score"] == 0.625
    box, mask, nose, eye, sticker = first["predictions"][0]["result"]
    assert box["value"] == {
        "x": 7.8125,
        "y": 0,
        "width": 54.6875,
        "height": 78.125,
        "rotation": 0,
        "rectanglelabels": ["dog"],
    }
    assert (box["score"], nose["score"], eye["score"]) == (0.625, 0.9, 0.25)
    assert (nose["value"]["x"], nose["value"]["y"]) == (16.015625, 32.03125)
    assert nose["parentID"] == mask["parentID"] == box["id"]
    assert eye["meta"] == {"text": ["hidden"]}
    assert "meta" not in nose
    assert "score" not in sticker
    held = unpack(mask["value"]["rle"]).reshape(64, 64, 4)[..., 3] > 0
    np.testing.assert_array_equal(held, album.photos[0].instances[0].mask)
    assert second["predictions"][0]["result"] == []
    assert len(third["predictions"][0]["result"]) == 3
    assert "score" not in third["predictions"][0]
    before = (folder / "tasks.json").read_bytes()
    write_label_studio(album, folder / "tasks.json", served="s3://bucket/")
    assert (folder / "tasks.json").read_bytes() == before
