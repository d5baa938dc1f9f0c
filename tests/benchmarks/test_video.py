from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.video import (
    Followed,
    boundary,
    boundary_accuracy,
    copy_first,
    davis_clips,
    follow,
    judge,
    region_similarity,
    score,
    score_objects,
    world_clips,
)
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.video.frames import read_frames
from diffsight.video.labels import objects
from diffsight.video.masks import save_mask
from diffsight.video.propagate import Propagation
from diffsight.video.tracker import Tracker


def square(left, side=20, size=100):
    region = np.zeros((size, size), bool)
    region[40 : 40 + side, left : left + side] = True
    return region


EMPTY = np.zeros((100, 100), bool)


@pytest.mark.parametrize("shift", [0, 1, 5, 20, 30])
def test_j_of_a_shifted_square(shift):
    shared = max(0, 20 - shift)
    assert region_similarity(square(10 + shift), square(10)) == pytest.approx(shared / (40 - shared))


def test_empty_masks():
    assert region_similarity(EMPTY, EMPTY) == 1
    assert region_similarity(EMPTY, square(5)) == 0
    assert boundary_accuracy(EMPTY, EMPTY) == 1
    assert boundary_accuracy(EMPTY, square(5)) == 0
    assert boundary_accuracy(square(5), EMPTY) == 0


def test_the_boundary_lies_on_both_sides_of_an_edge_to_the_right_and_below():
    region = np.zeros((5, 6), bool)
    region[1:3, 2:4] = True
    expected = ["011100", "010100", "011100", "000000", "000000"]
    assert ["".join("01"[int(v)] for v in row) for row in boundary(region)] == expected
    assert not boundary(np.ones((5, 6), bool)).any()


def test_f_of_a_shifted_square():
    """The diagonal of 100 x 100 allows ceil(0.008 * 141.4) = 2 pixels.

    The boundary is a ring 21 pixels wide, of 80. Moved by 3, its right side (21 pixels) is too far off, and of its left
    side all but the 3 pixels at either end, which lie near the other's top and bottom (15): 44 of 80 are near.
    """
    assert boundary(square(10)).sum() == 80
    assert boundary_accuracy(square(12), square(10)) == 1
    assert boundary_accuracy(square(13), square(10)) == pytest.approx(44 / 80)
    assert boundary_accuracy(square(70), square(10)) == 0


def test_near_grows_with_the_photo():
    """480p's diagonal of 980 pixels allows 8."""
    mask = np.zeros((480, 854), bool)
    mask[100:300, 200:500] = True
    assert boundary_accuracy(np.roll(mask, 8, axis=1), mask) == 1
    assert boundary_accuracy(np.roll(mask, 9, axis=1), mask) < 0.8


def test_f_is_the_harmonic_mean_of_precision_and_recall():
    """Two squares where there is one: all of the true boundary is found, half of what is found is true."""
    assert boundary_accuracy(square(10) | square(70), square(10)) == pytest.approx(2 / 3)
    assert boundary_accuracy(square(10), square(10) | square(70)) == pytest.approx(2 / 3)


def test_the_first_and_the_last_frame_do_not_count():
    truth = [square(10).astype(np.uint8)] * 4
    found = [EMPTY.astype(np.uint8), truth[0], truth[0], EMPTY.astype(np.uint8)]
    (own,) = score_objects(found, truth)
    assert (own.j, own.f) == (1, 1)
    assert score_objects([truth[0], found[0], truth[0], truth[0]], truth)[0].j == 0.5
    with pytest.raises(InvalidInput, match="3 or more"):
        score_objects(truth[:2], truth[:2])


def test_objects_are_those_of_the_first_frame():
    first = np.where(square(10), 3, 0).astype(np.uint8)
    first[0, 0] = 255
    later = np.where(square(60), 4, first)
    assert len(score_objects([first] * 3, [first, later, later])) == 1


def test_copying_a_clip_that_stands_still_is_perfect():
    (clip,) = world_clips(1, first=5, length=4)
    still = type(clip)("still", clip.frames, clip.masks[:1] * 4, clip.points[:1] * 4, clip.visible, clip.reach)
    found = score([judge(copy_first(still), still)])
    assert (found.j, found.f, found.jf, found.points) == (100, 100, 100, 100)
    lost = Followed(still.masks, [still.points[0], *[np.full_like(still.points[0], np.nan)] * 3])
    assert score([judge(lost, still)]).points == 0


def test_a_world_clip_is_followed_better_than_copied():
    (clip,) = world_clips(1, first=3, length=8)
    tracker = Tracker(RawPixels((64, 64), 2), settings=Propagation(context=4, radius=8, temperature=0.05))
    found = follow(tracker, clip)
    assert score([judge(found, clip)]).jf > score([judge(copy_first(clip), clip)]).jf
    frames, size = read_frames([frame.array() for frame in clip.frames]), clip.frames[0].size
    for track, mask in zip(tracker.track(frames, objects(clip.masks[0], size)), found.masks, strict=True):
        assert np.array_equal(track.labels, mask)


def test_davis_layout(tmp_path, rng):
    for kind, ending in (("JPEGImages", "jpg"), ("Annotations", "png")):
        (tmp_path / kind / "480p" / "cat").mkdir(parents=True)
        for i in range(4):
            path = tmp_path / kind / "480p" / "cat" / f"{i:05d}.{ending}"
            if ending == "jpg":
                Image.fromarray(rng.integers(0, 255, (100, 100, 3), np.uint8)).save(path)
            else:
                save_mask(square(10 + i).astype(np.uint8), path)
    with pytest.raises(UnreadableFile, match="val.txt cannot be read"):
        next(davis_clips(tmp_path))
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    listed = tmp_path / "ImageSets" / "2017" / "val.txt"
    for content, message in (("", "lists no clip"), ("cat\ndog\n", "dog does not exist")):
        listed.write_text(content)
        with pytest.raises(UnreadableFile, match=message):
            next(davis_clips(tmp_path))
    listed.write_text("cat\n")
    (clip,) = davis_clips(tmp_path, 3)
    assert (clip.name, len(clip.frames), clip.masks[2][45, 12]) == ("cat", 3, 1)
    found = score([judge(copy_first(clip), clip)])
    assert found.j == pytest.approx(100 * 19 / 21)
    assert found.points is None
