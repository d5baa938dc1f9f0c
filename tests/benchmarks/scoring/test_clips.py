from __future__ import annotations

import numpy as np
import pytest

from diffsight.benchmarks.protocols import PROTOCOLS, protocol
from diffsight.benchmarks.scoring import OnDemand, score
from diffsight.datasets.base import JointClip, MaskClip
from diffsight.errors import InvalidInput
from diffsight.video.masks import load_labels, save_mask

OFFICIAL = protocol("davis")
LENIENT, STRICT = PROTOCOLS["jhmdb"]


def frame(left, label=1):
    mask = np.zeros((100, 100), np.uint8)
    mask[40:60, left : left + 20] = label
    return mask


@pytest.fixture
def clips(tmp_path):
    """Two clips of five frames with one object each that moves by one pixel a frame, and one without an object."""
    found = []
    for name, start, step in (("cat", 10, 1), ("dog", 50, 1), ("empty", None, 0)):
        paths = tuple(tmp_path / name / f"{i:05d}.png" for i in range(5))
        for i, path in enumerate(paths):
            save_mask(np.zeros((100, 100), np.uint8) if start is None else frame(start + step * i), path)
        found.append(MaskClip(name, paths, paths))
    return found


def truths(clips):
    return {clip.id: [load_labels(path) for path in clip.masks] for clip in clips}


def test_true_masks_score_100(clips):
    summary, rows = score("davis", "val", OFFICIAL, clips, truths(clips))
    assert [(own.metric, own.value) for own in summary.main] == [("J&F", 100), ("J", 100), ("F", 100)]
    assert [(row.id, row.score) for row in rows] == [("cat", 100), ("dog", 100)]
    assert summary.by_category == (("all", 2, 100.0),)
    assert summary.skipped == (("clip without an object, or of less than three frames", 1),)


def test_j_of_a_copied_first_frame(clips):
    """The object is 1, 2 and 3 pixels away in the frames that count; borders may lie 2 pixels apart."""
    found = {clip.id: [load_labels(clip.masks[0])] * 5 for clip in clips}
    summary, _ = score("davis", "val", OFFICIAL, clips, found)
    j = np.mean([(20 - d) / (20 + d) for d in (1, 2, 3)])
    f = (1 + 1 + 44 / 80) / 3
    assert [own.value for own in summary.main] == pytest.approx([100 * (j + f) / 2, 100 * j, 100 * f])


def test_the_last_frame_does_not_count_and_an_empty_prediction_scores_0(clips):
    found = truths(clips)
    found["cat"][4] = frame(0)
    found["dog"] = [np.zeros((100, 100), np.uint8)] * 5
    summary, rows = score("davis", "val", OFFICIAL, clips, found)
    assert [row.score for row in rows] == [100, 0]
    assert summary.main[0].value == 50


def test_clips_are_loaded_one_at_a_time(clips):
    asked = []

    def load(name):
        asked.append(name)
        return truths(clips)[name]

    score("davis", "val", OFFICIAL, clips, OnDemand([clip.id for clip in clips], load))
    assert asked == ["cat", "dog", "empty"]
    with pytest.raises(KeyError):
        OnDemand(["cat"], load)["dog"]


def test_masks_that_do_not_fit(clips):
    found = truths(clips)
    found["cat"] = found["cat"][:4]
    found["dog"] = [mask / 2 for mask in found["dog"]]
    with pytest.raises(InvalidInput, match=r"2 of a wrong shape or type \(cat, dog\)"):
        score("davis", "val", OFFICIAL, clips, found)
    summary, rows = score("davis", "val", OFFICIAL, clips, {"empty": found["empty"]}, allow_missing=True)
    assert [row.score for row in rows] == [0, 0]
    assert summary.skipped[1] == ("prediction missing, counted as wrong", 2)
    with pytest.raises(InvalidInput, match="no clip has an object"):
        score("davis", "val", OFFICIAL, clips[2:], {"empty": found["empty"]})


def joint_clip(name, action, frames=4):
    square = np.array([[100.0, 100], [130, 100], [130, 140], [100, 140]])  # alpha is a fraction of 30 pixels
    return JointClip(name, action, (), np.repeat(square[None], frames, axis=0))


JOINTS = [joint_clip("a", "jump"), joint_clip("b", "jump"), joint_clip("c", "walk", 6)]


@pytest.mark.parametrize("own", [LENIENT, STRICT])
def test_true_joints_score_100_and_far_ones_0(own):
    summary, rows = score("jhmdb", "test", own, JOINTS, {s.id: s.joints for s in JOINTS})
    assert [(figure.metric, figure.value) for figure in summary.main] == [("PCK@0.1", 100), ("PCK@0.2", 100)]
    assert summary.by_category == (("jump", 2, 100.0), ("walk", 1, 100.0))
    assert {row.score for row in rows} == {100}
    summary, _ = score("jhmdb", "test", own, JOINTS, {s.id: s.joints + 500 for s in JOINTS})
    assert {figure.value for figure in summary.figures} == {0}


def test_joints_not_found_are_left_out_or_wrong():
    """Two of four joints are lost in all frames; the others lie 3 pixels off, and the box around them is flat."""
    found = {s.id: s.joints + np.array([3, 0]) for s in JOINTS}
    for own in found.values():
        own[1:, 2:] = np.nan
    lenient, _ = score("jhmdb", "test", LENIENT, JOINTS, found)
    strict, rows = score("jhmdb", "test", STRICT, JOINTS, found)
    # 3 of 18 pixels among those found, of 30 among all
    assert [own.value for own in lenient.main] == [0, 100]
    assert [own.value for own in strict.main] == [50, 50]
    assert {(own.metric, own.switches, own.value) for own in lenient.figures} == {
        (own.metric, own.switches, own.value) for own in strict.figures
    }
    assert {row.score for row in rows} == {50}
    assert dict(lenient.curve)[0.17] == 100
    assert dict(lenient.curve)[0.16] == 0


def test_clips_without_a_joint_found_are_left_out_and_said_so():
    found = {**{s.id: s.joints for s in JOINTS}, "c": np.full(JOINTS[2].joints.shape, -1.0)}
    summary, rows = score("jhmdb", "test", LENIENT, JOINTS, found)
    assert [row.id for row in rows] == ["a", "b"]
    assert summary.by_category == (("jump", 2, 100.0),)
    assert summary.skipped == (("clip without a joint found", 1),)
    none = {s.id: np.full(s.joints.shape, -1.0) for s in JOINTS}
    with pytest.raises(InvalidInput, match="no joint was found"):
        score("jhmdb", "test", LENIENT, JOINTS, none)
    strict, _ = score("jhmdb", "test", STRICT, JOINTS, none)
    assert [own.value for own in strict.figures] == [0, 0]  # by the other rule there is nothing to score


def test_joints_that_do_not_fit():
    found = {s.id: s.joints.copy() for s in JOINTS}
    found["a"][1, 0, 0] = np.nan  # half a place is no joint that was not found
    found["b"] = found["b"][:2]
    with pytest.raises(InvalidInput, match=r"1 of a wrong shape or type \(b\); 1 not finite \(a\)"):
        score("jhmdb", "test", LENIENT, JOINTS, found)
    summary, rows = score("jhmdb", "test", LENIENT, JOINTS, {"a": found["a"], "c": found["c"]}, allow_missing=True)
    assert [row.score for row in rows] == pytest.approx([100 * 11 / 12, 0, 100])
    assert [count for _, count in summary.skipped] == [1, 1]
