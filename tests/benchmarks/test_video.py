from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.baselines import RawPixels
from diffsight.benchmarks.video import Followed, copy_first, davis_clips, follow, judge, score, world_clips
from diffsight.errors import UnreadableFile
from diffsight.video.frames import read_frames
from diffsight.video.labels import objects
from diffsight.video.masks import save_mask
from diffsight.video.propagate import Propagation
from diffsight.video.tracker import Tracker


def square(left, side=20, size=100):
    region = np.zeros((size, size), bool)
    region[40 : 40 + side, left : left + side] = True
    return region


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
    with pytest.raises(UnreadableFile, match="cannot read .*val.txt"):
        next(davis_clips(tmp_path))
    (tmp_path / "ImageSets" / "2017").mkdir(parents=True)
    listed = tmp_path / "ImageSets" / "2017" / "val.txt"
    listed.write_text("cat\ndog\n")
    with pytest.raises(UnreadableFile, match="dog holds no frames"):
        next(davis_clips(tmp_path))
    listed.write_text("cat\n")
    (clip,) = davis_clips(tmp_path, 3)
    assert (clip.name, len(clip.frames), clip.masks[2][45, 12]) == ("cat", 3, 1)
    found = score([judge(copy_first(clip), clip)])
    assert found.j == pytest.approx(100 * 19 / 21)
    assert found.points is None
