from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from diffsight.errors import InvalidInput
from diffsight.transfer.annotations import ABSENT, VISIBLE, Annotations, Category, Instance, check


def test_what_is_whole_is_returned(album):
    assert check(album) is album
    assert album.category("dog").bones == ((0, 1), (1, 2))


@pytest.mark.parametrize(
    ("category", "message"),
    [
        (Category("dog", ("nose", "nose", "tail")), "keypoint of 'dog' 'nose' is there 2 times"),
        (Category("dog", ("nose", "eye", "tail"), ((0, 3),)), "joins points 1 and 4; points are counted from 1 to 3"),
        (Category("dog", ("nose", "eye\x00", "tail")), r"'eye\\x00' holds control characters"),
        (Category("dog", ("nose", "  ", "tail")), "give every keypoint of 'dog' a name"),
        (Category("dog", ("nose", 7, "tail")), "is named 7"),
        (Category("dog", ("nose", "eye")), "c.jpg|写真.*3 keypoints and 3 visibilities, but 'dog' has 2"),
        (Category("cat", ("nose", "eye", "tail")), "shows 'dog'; known are cat"),
    ],
)
def test_categories_that_contradict(album, category, message):
    with pytest.raises(InvalidInput, match=message):
        check(replace(album, categories=(category, album.categories[1])))


def test_names_that_occur_twice(album):
    with pytest.raises(InvalidInput, match="the category 'dog' is there 2 times"):
        check(replace(album, categories=(*album.categories, Category("dog"))))
    with pytest.raises(InvalidInput, match=r"the photo 'b\.png' is there 2 times"):
        check(replace(album, photos=(*album.photos, album.photos[1])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"keypoints": np.array([[20.1, 3], [1, 1], [1, 1]])},
            r"c\.jpg: keypoint 'nose' at \(20\.1, 3\) is outside .*20x30",
        ),
        ({"keypoints": np.array([[1, 1], [1, -0.1], [1, 1]])}, "keypoint 'left eye'"),
        ({"keypoints": np.array([[1, 1], [1, 1], [np.nan, 1]])}, "keypoint '尾'"),
        ({"visibility": np.array([1, 2, 3], np.int8)}, "visibility"),
        ({"box": (3.0, 3.0, 2.0, 4.0)}, "is not within the photo of 20x30"),
        ({"box": (0.0, 0.0, 20.0, np.inf)}, "box"),
        ({"mask": np.ones((20, 30), bool)}, "a mask of 30x20 on a photo of 20x30"),
        ({"confidence": 1.01}, "a confidence of 1.01"),
        ({"point_confidence": np.array([0.5, np.nan, 1])}, "a confidence of nan"),
        ({"point_confidence": np.array([0.5, 1])}, "2 confidences for 3 keypoints"),
    ],
)
def test_marks_that_do_not_fit(album, change, message):
    photo = album.photos[2]
    changed = replace(photo, instances=(replace(photo.instances[0], **change),))
    with pytest.raises(InvalidInput, match=message):
        check(Annotations(album.categories, (changed,)))


@pytest.mark.parametrize("place", [(3.0, 4.5), None])
def test_a_point_set_right_is_sure_and_the_others_stay(place):
    before = Instance(
        "bee",
        np.array([[1.0, 2.0], [5.0, 6.0], [np.nan, np.nan]]),
        np.array([VISIBLE, VISIBLE, ABSENT], np.int8),
        point_confidence=np.array([0.2, 0.6, 0.0]),
        confidence=0.4,
    )
    after = before.with_point(0, place)
    assert after.keypoints[0] == pytest.approx(place or (np.nan, np.nan), nan_ok=True)
    assert after.keypoints[1:] == pytest.approx(before.keypoints[1:], nan_ok=True)
    assert after.visibility.tolist() == [VISIBLE if place else ABSENT, VISIBLE, ABSENT]
    assert after.point_confidence.tolist() == [1.0 if place else 0.0, 0.6, 0.0]
    assert after.confidence == pytest.approx(0.8 if place else 0.6)
    assert before.confidence == 0.4
    assert before.keypoints[0].tolist() == [1.0, 2.0]
    assert replace(before, point_confidence=None).with_point(0, place).confidence is None
