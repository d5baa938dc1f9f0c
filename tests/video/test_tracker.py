from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import diffsight
from diffsight.benchmarks.baselines import RawPixels
from diffsight.errors import InvalidInput
from diffsight.video.frames import read_frames
from diffsight.video.labels import objects, points
from diffsight.video.propagate import Propagation
from diffsight.video.tracker import Tracker, TrackWarning
from tests import literal

SETTINGS = Propagation(context=3, radius=4, top=5, temperature=0.05)


def square_clip(count=10, height=48, width=64):
    """A textured square that moves two pixels to the right in each frame, over a texture that stays."""
    rng = np.random.default_rng(0)
    ground, square = rng.integers(0, 90, (height, width, 3)), rng.integers(160, 255, (16, 16, 3))
    frames, masks = [], []
    for i in range(count):
        frame, mask = ground.copy(), np.zeros((height, width), np.uint8)
        frame[16:32, 8 + 2 * i : 24 + 2 * i], mask[16:32, 8 + 2 * i : 24 + 2 * i] = square, 1
        frames.append(frame.astype(np.uint8))
        masks.append(mask)
    return frames, masks


@pytest.fixture
def tracker():
    return Tracker(RawPixels((48, 64), 2), settings=SETTINGS, batch=4)


def test_a_moving_square_is_followed(tracker):
    frames, masks = square_clip()
    found = list(tracker.track(read_frames(frames), objects(masks[0], (48, 64))))
    assert [track.frame for track in found] == list(range(10))
    for track, mask in zip(found, masks, strict=True):
        assert (track.labels != mask).mean() < 0.02
        assert np.abs(track.boxes - [[8 + 2 * track.frame, 16, 24 + 2 * track.frame, 32]]).max() <= 4


def test_moving_points_are_followed():
    frames, _ = square_clip()
    tracker = Tracker(RawPixels((48, 64), 2), settings=replace(SETTINGS, top=1), batch=4)
    places = np.array([(13.0, 21.0), (21.0, 29.0)])
    for track in tracker.track(read_frames(frames), points(places)):
        assert np.abs(track.points - places - [2 * track.frame, 0]).max() < 2
        assert track.labels is None


def test_the_whole_way_equals_the_formula(tracker):
    frames, masks = square_clip(6)
    target = objects(masks[0], (48, 64))
    found = list(tracker.track(read_frames(frames), target))
    readings = [reading for _, reading in tracker.read(read_frames(frames))]
    maps, soft = [reading.feature() for reading in readings], [target.soft(readings[0].fit, (24, 32))]
    for i in range(1, 6):
        used = [0, *range(max(1, i - 3), i)]
        context, labels = [maps[j] for j in used], [soft[j] for j in used]
        soft.append(literal.propagate(maps[i], context, labels, 4, 5, 0.05))
        torch.testing.assert_close(found[i].soft, soft[i], atol=1e-5, rtol=0)


def test_a_still_video_keeps_its_mask(tracker):
    frames, masks = square_clip(1)
    for track in tracker.track(read_frames(frames * 6), objects(masks[0], (48, 64))):
        assert np.array_equal(track.labels, masks[0])


@pytest.mark.parametrize("done", [0, 2, 3, 4, 7, 8])
def test_a_stopped_run_goes_on_with_the_same_numbers(tracker, done):
    frames, masks = square_clip(11)
    target = objects(masks[0], (48, 64))
    whole = list(tracker.track(read_frames(frames), target))
    known = {i: whole[i].soft for i in range(max(0, done - SETTINGS.context + 1), done + 1)}
    read = []

    def wanted(index):
        read.append(tracker.needed(0, known, index))
        return read[-1]

    rest = list(tracker.track(read_frames(frames, wanted=wanted), target, known))
    assert [track.frame for track in rest] == list(range(done + 1, 11))
    for track in rest:
        assert torch.equal(track.soft, whole[track.frame].soft)
        assert np.array_equal(track.labels, whole[track.frame].labels)
    if done == 8:  # its context lies in the last two batches; the frames of the second are not needed
        assert read == [True] * 4 + [True] * 7


def test_frames_are_taken_as_they_are_asked_for(tracker):
    """Of a video without end only the batch at hand is held."""
    frames, masks = square_clip(4)
    taken = []

    def endless():
        while True:
            taken.append(None)
            yield frames[len(taken) % 4]

    tracks = tracker.track(read_frames(endless()), objects(masks[0], (48, 64)))
    for _ in range(8):
        next(tracks)
    assert len(taken) == 8  # the second batch is read as it is full, before what comes after it is asked for


def test_a_short_memory_and_lost_objects_are_told(tracker):
    frames, masks = square_clip(4)
    masks[0][0, 1] = 9
    frame = 4 * 24 * 32 * (12 + 2 * 3)
    tight = Tracker(RawPixels((48, 64), 2), settings=SETTINGS, memory=4 * frame)
    assert tight.affordable((48, 64), objects(masks[0], (48, 64))).context == 2
    with pytest.warns(TrackWarning) as told:
        list(tight.track(read_frames(frames), objects(masks[0], (48, 64))))
    assert "shortened from 3 to 2 frames" in str(told[0].message)
    assert "label 9: too small for a cell of the 32x24 grid" in str(told[1].message)
    kept = Tracker(RawPixels((48, 64), 2), settings=replace(SETTINGS, shrink="area"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(kept.track(read_frames(frames), objects(masks[0], (48, 64))))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((480, 854), (480, 832)), ((854, 480), (832, 480)), ((720, 1280), (480, 832)), ((500, 500), (480, 480))],
)
def test_the_input_has_the_videos_shape_as_in_davis(size, expected):
    """At stride 8, as Stable Diffusion's."""
    tracker = Tracker(RawPixels((480, 832), 8))
    assert tracker.reading_of(size).size == expected


def test_a_size_or_another_fit_is_taken_as_it_is():
    assert Tracker(RawPixels((480, 832), 8), size=(64, 64)).reading_of((480, 854)).size == (64, 64)
    assert Tracker(RawPixels((64, 64), 8), fit="crop").reading_of((480, 854)).size == (64, 64)
    with pytest.raises(InvalidInput, match="short sets one side only"):
        Tracker(RawPixels((64, 64), 8), short=32, fit="crop")
    with pytest.raises(InvalidInput, match="a batch of 0 frames"):
        Tracker(RawPixels((64, 64), 8), batch=0)


def test_track_in_one_call():
    frames, masks = square_clip(3)
    own = {"model": RawPixels((48, 64), 2), "settings": SETTINGS}
    assert [len(track) for track in diffsight.track(frames, mask=masks[0], **own)] == [1, 1, 1]
    (one,) = diffsight.track(frames, points=[(13, 21)], stop=1, **own)
    assert one.points.tolist() == [[13, 21]]
    boxed = list(diffsight.track(iter(frames), boxes=[(8, 16, 24, 32)], **own))
    assert np.array_equal(boxed[0].labels, masks[0])
    with pytest.raises(InvalidInput, match="one of mask, points and boxes"):
        diffsight.track(frames, **own)
