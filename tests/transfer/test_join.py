from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diffsight.errors import InvalidInput
from diffsight.transfer.annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from diffsight.transfer.join import agree, alike, join, narrow, only

DOG, CAT = Category("dog", ("nose", "tail"), ((0, 1),)), Category("cat")


def mark(category=DOG, x=1.0, **marks):
    count = len(category.keypoints)
    points = np.stack([np.arange(count) + x, np.full(count, 2.0)], axis=1)
    return Instance(category.name, points, np.full(count, VISIBLE, np.int8), **marks)


@pytest.fixture
def photo(tmp_path):
    """A photo by its name, with marks; names that start alike are copies of one."""

    def make(name, *instances):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (20, 10), (ord(path.name[0]), 0, 0)).save(path, "PNG")
        return AnnotatedPhoto(name, path, (10, 20), instances)

    return make


def test_files_are_put_together_in_order(photo):
    first = Annotations((DOG,), (photo("b.png", mark()), photo("a.png", mark(x=3))))
    second = Annotations((CAT, DOG), (photo("c.png", mark(CAT), mark()), photo("d.png")))
    whole = join([first, second])
    assert whole.categories == (DOG, CAT)
    assert [own.name for own in whole.photos] == ["b.png", "a.png", "c.png", "d.png"]


def test_a_photo_that_is_marked_alike_twice_counts_once(photo):
    one, other = (Annotations((DOG,), (photo(name, mark(x=x)),)) for name, x in (("a.png", 1), ("a copy.png", 1.04)))
    assert [own.name for own in join([one, one, other]).photos] == ["a.png"]


@pytest.mark.parametrize("name", ["a.png", "a copy.png", "in/a.png"])
@pytest.mark.parametrize("marks", [(), (mark(x=2),), (mark(CAT),), (mark(), mark())])
def test_marks_that_contradict_are_refused_by_name(photo, name, marks):
    one, other = Annotations((DOG, CAT), (photo("a.png", mark()),)), Annotations((DOG, CAT), (photo(name, *marks),))
    with pytest.raises(InvalidInput, match=r"a.*png.* not (marked )?alike; keep the marks of one"):
        join([one, other])


def test_keypoints_are_matched_by_name(photo):
    turned, short = Category("dog", ("tail", "nose")), Category("dog", ("tail",))
    sure = mark(turned, point_confidence=np.array([0.1, 0.9]))
    several = [Annotations((own,), (photo(f"{i}.png", mark(own)),)) for i, own in enumerate((short, DOG, turned))]
    whole = join([*several, Annotations((turned,), (photo("x.png", sure),))])
    assert whole.categories == (DOG,)
    first, second, third, fourth = (own.instances[0] for own in whole.photos)
    np.testing.assert_array_equal(first.keypoints, [[np.nan, np.nan], [1, 2]])
    assert first.visibility.tolist() == [ABSENT, VISIBLE]
    np.testing.assert_array_equal(second.keypoints, [[1, 2], [2, 2]])
    np.testing.assert_array_equal(third.keypoints, [[2, 2], [1, 2]])
    assert fourth.point_confidence.tolist() == [0.9, 0.1]


def test_other_keypoints_of_one_category_contradict(photo):
    other = Category("dog", ("nose", "ear", "paw"))
    with pytest.raises(InvalidInput, match="'dog' has the keypoints nose, tail in one file and nose, ear, paw"):
        join([Annotations((DOG,), (photo("a.png", mark()),)), Annotations((other,), (photo("b.png", mark(other)),))])


@pytest.mark.parametrize(
    ("names", "categories", "photos"),
    [([], ["dog"], ["a.png"]), (["dog"], ["dog"], ["a.png"]), (["dog", "dog"], ["dog"], ["a.png"])],
)
def test_only_what_is_shown(photo, names, categories, photos):
    found = only(Annotations((CAT, DOG), (photo("b.png"), photo("a.png", mark()))), names)
    assert [own.name for own in found.categories] == categories
    assert [own.name for own in found.photos] == photos


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["dgo"], "no category 'dgo'; they have cat, dog"),
        (["dog", "cat"], "no reference shows 'cat'"),
        ([""], "no category ''"),
    ],
)
def test_a_category_that_is_not_to_be_had(photo, names, reason):
    with pytest.raises(InvalidInput, match=reason):
        only(Annotations((CAT, DOG), (photo("a.png", mark()),)), names)


def test_references_that_show_nothing(photo):
    with pytest.raises(InvalidInput, match="the references show no object"):
        only(Annotations((CAT,), (photo("a.png"),)), [])


def test_narrow_keeps_objects_of_the_categories_alone(photo):
    whole = Annotations((CAT, DOG), (photo("a.png", mark(CAT), mark()), photo("b.png", mark(CAT))))
    found = narrow(whole, {"dog"})
    assert found.categories == (DOG,)
    assert [(own.name, [each.category for each in own.instances]) for own in found.photos] == [("a.png", ["dog"])]


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"keypoints": np.array([[1.04, 2], [2, 1.96]])}, True),
        ({"keypoints": np.array([[1.06, 2], [2, 2]])}, False),
        ({"visibility": np.array([VISIBLE, HIDDEN], np.int8)}, False),
        ({"box": None}, True),
        ({"box": (0, 0, 5, 5.04)}, True),
        ({"box": (0, 0, 5, 5.06)}, False),
        ({"mask": None}, True),
        ({"mask": np.ones((10, 20), bool)}, False),
        ({"category": "cat"}, False),
        ({"confidence": 0.5, "point_confidence": np.zeros(2)}, True),
    ],
)
def test_what_is_alike(change, same):
    own = mark(box=(0.0, 0.0, 5.0, 5.0), mask=np.eye(10, 20, dtype=bool))
    other = replace(own, **change)
    assert alike([own], [other]) == alike([other], [own]) == same
    assert alike([own, mark(CAT)], [mark(CAT), other]) == same or change.get("category")
    assert not alike([own], [])


def test_corrections_are_marks_by_hand_in_the_known_order(photo):
    turned = Category("dog", ("tail", "nose"))
    known = Annotations((DOG,), (photo("a.png", mark()),))
    found = mark(turned, confidence=0.5, point_confidence=np.array([0.5, np.nan]))
    alike_a = replace(mark(turned), keypoints=mark().keypoints[::-1])
    (own,) = agree(known, [Annotations((turned,), (photo("b.png", found), photo("a copy.png", alike_a)))])
    assert own.name == "b.png"
    np.testing.assert_array_equal(own.instances[0].keypoints, [[2, 2], [1, 2]])
    assert own.instances[0].confidence is own.instances[0].point_confidence is None


def test_corrections_name_no_further_keypoints(photo):
    longer = Category("dog", ("nose", "tail", "ear"))
    known = Annotations((DOG,), (photo("a.png", mark()),))
    with pytest.raises(InvalidInput, match="no keypoint 'ear' of 'dog'; they have nose, tail"):
        agree(known, [Annotations((longer,), (photo("b.png", mark(longer)),))])


@pytest.mark.parametrize("name", ["a.png", "b.png"])
def test_corrections_contradict_neither_references_nor_each_other(photo, name):
    known = Annotations((DOG,), (photo("a.png", mark()),))
    with pytest.raises(InvalidInput, match=f"{name} is marked twice"):
        agree(known, [Annotations((DOG,), (photo(name, mark(x=x)),)) for x in (4, 5)])
