from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.matching import keypoints
from diffsight.matching.keypoints import detect, grid_points, read_keypoints
from diffsight.types import Picture
from diffsight.world import make_scene

SIZE = (60, 80)


def picture(image):
    return Picture(torch.from_numpy(image).permute(2, 0, 1).contiguous())


def blob(size, x, y):
    """A photo with one soft spot whose middle is at pixel (x, y), centres at +0.5."""
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    spot = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * (size[0] / 16) ** 2))
    return picture(np.repeat(spot[..., None], 3, axis=2).astype(np.uint8))


@pytest.mark.parametrize("detection_side", [2048, 64])
def test_a_spot_is_found_where_it_is(monkeypatch, detection_side):
    monkeypatch.setattr(keypoints, "DETECTION_SIDE", detection_side)
    found = detect(blob((128, 128), 50.3, 71.8), "sift", 1)
    np.testing.assert_allclose(found, [[50.3, 71.8]], atol=0.3)


def test_the_strongest_are_kept():
    strong, weak = (blob((128, 128), x, 64.0).image.float() for x in (40.2, 90.7))
    both = Picture((strong + 0.4 * weak).clamp(max=255).byte())
    (found,) = detect(both, "sift", 1)
    np.testing.assert_allclose(found, [40.2, 64.0], atol=0.3)


@pytest.mark.parametrize("detector", ["sift", "orb", "grid"])
def test_keypoints_are_inside_each_once_and_repeatable(detector):
    photo = picture(make_scene(3, 128, 200, count=3).image)
    found = detect(photo, detector, 40)
    assert len(found) == {"sift": 40, "orb": len(found), "grid": 40}[detector]
    assert 20 <= len(found) <= 40
    assert ((found >= 0) & (found <= (200, 128))).all()
    np.testing.assert_array_equal(found, np.unique(found, axis=0))
    np.testing.assert_array_equal(found, detect(photo, detector, 40))


@pytest.mark.parametrize("detector", ["sift", "orb"])
@pytest.mark.parametrize("size", [(64, 64), (1, 1), (3, 300)])
def test_a_plain_photo_has_none(detector, size):
    assert detect(picture(np.full((*size, 3), 90, np.uint8)), detector).shape == (0, 2)


@given(st.integers(1, 90), st.integers(1, 90), st.integers(1, 200))
def test_a_grid_is_even_and_inside(height, width, count):
    found = grid_points((height, width), count)
    assert 1 <= len(found) <= max(count, 2 * (count * width / height) ** 0.5)
    np.testing.assert_allclose(found.mean(axis=0), [width / 2, height / 2])
    assert ((found > 0) & (found < (width, height))).all()


def test_files_of_other_programs(tmp_path):
    (tmp_path / "a.kp").write_text("3 4\n0 0\n3 4\n79 59.25\n")
    expected = [[0.5, 0.5], [3.5, 4.5], [79.5, 59.75]]
    np.testing.assert_allclose(read_keypoints(tmp_path / "a.kp", SIZE), expected)
    np.savez(tmp_path / "a.npz", keypoints=np.array([[3, 4, 9], [0, 0, 9], [79, 59.25, 9]]), scores=np.ones(3))
    np.testing.assert_allclose(read_keypoints(tmp_path / "a.npz", SIZE), expected)


def damaged(folder, name):
    path = folder / name
    if name == "cut.npz":
        np.savez(path, keypoints=np.random.default_rng(0).random((500, 2)))
        path.write_bytes(path.read_bytes()[:900])
    elif name == "other.npz":
        np.savez(path, points=np.ones((2, 2)))
    elif name == "objects.npz":
        np.savez(path, keypoints=np.array([object()]))
    elif name == "flat.npz":
        np.savez(path, keypoints=np.ones(4))
    elif name == "plain.npz":
        with path.open("wb") as handle:
            np.save(handle, np.ones((2, 2)))
    elif name != "missing.kp":
        texts = {"empty.kp": "", "words.kp": "x y\n", "one.kp": "3\n4\n", "ragged.kp": "1 2\n3\n"}
        texts |= {"out.kp": "3 4\n80 3\n", "nan.kp": "nan 3\n", "a.csv": "x,y\n1,2\n", "junk.npz": "junk"}
        path.write_text(texts[name])
    return path


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("missing.kp", UnreadableFile, "not found|No such"),
        ("cut.npz", UnreadableFile, "cannot read"),
        ("other.npz", UnreadableFile, "no array named keypoints"),
        ("objects.npz", UnreadableFile, "cannot read"),
        ("plain.npz", UnreadableFile, "no .npz"),
        ("junk.npz", UnreadableFile, "cannot read"),
        ("words.kp", UnreadableFile, "cannot read"),
        ("ragged.kp", UnreadableFile, "cannot read"),
        ("flat.npz", InvalidInput, "N, 2"),
        ("one.kp", InvalidInput, "N, 2"),
        ("empty.kp", InvalidInput, "no keypoints"),
        ("out.kp", InvalidInput, "1 of 2 keypoints lie out of the photo"),
        ("nan.kp", InvalidInput, "out of the photo"),
        ("a.csv", InvalidInput, ".kp"),
    ],
)
def test_unusable_files_are_refused(tmp_path, name, error, message):
    with pytest.raises(error, match=message) as caught:
        read_keypoints(damaged(tmp_path, name), SIZE)
    assert "\n" not in str(caught.value)


def test_unknown_detectors_are_refused():
    photo = picture(np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(InvalidInput, match="sift, orb, grid, superpoint"):
        detect(photo, "surf")
    with pytest.raises(InvalidInput, match="1 or more"):
        detect(photo, "sift", 0)
