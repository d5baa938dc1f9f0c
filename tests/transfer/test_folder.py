from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.files import save_tensors
from diffsight.transfer.annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Instance
from diffsight.transfer.folder import OUTPUTS, TransferFolder, from_facts, to_facts
from diffsight.transfer.reading import read_annotations
from diffsight.transfer.work import Before, Job, Labelled

from .conftest import DOG, STICKER, same

AFTER = Before({"dog": ("key", "mirrored")}, np.full((3, 4), 0.5, np.float16))


@pytest.fixture
def kept(tmp_path):
    return TransferFolder(tmp_path / "out")


def found(folder, name="b.png", confidence=0.5):
    """A photo of the folder with a dog on it."""
    points = np.array([[10.25, 20.5], [30.125, 0.0], [np.nan, np.nan]])
    visibility = np.array([VISIBLE, HIDDEN, ABSENT], np.int8)
    dog = Instance("dog", points, visibility, (5.0, 0.0, 40.0, 25.0), np.eye(30, 40, dtype=bool), None, confidence)
    return AnnotatedPhoto(name, folder / name, (30, 40), (replace(dog, point_confidence=np.array([0.9, 0.25, 0.0])),))


def keep(kept, photo):
    kept.keep(Job(photo.name, photo.path), Labelled(photo, AFTER))


def moved(photo):
    (own,) = photo.instances
    hand = replace(own, keypoints=own.keypoints + np.array([1, 0]), point_confidence=None, confidence=None)
    return replace(photo, instances=(hand,))


def paint(path, colour):
    Image.new("RGB", (40, 30), colour).save(path)


@settings(max_examples=30)
@given(
    st.integers(0, 5).flatmap(
        lambda count: st.tuples(
            arrays.arrays(np.float64, (count, 2), elements=st.floats(0, 30)),
            arrays.arrays(np.int8, count, elements=st.integers(0, 2)),
            arrays.arrays(np.float64, count, elements=st.floats(0, 1)),
        )
    ),
    st.none() | arrays.arrays(np.bool_, (30, 40)),
    st.none() | st.tuples(*[st.floats(0, 30)] * 4),
    st.none() | st.floats(0, 1),
)
def test_marks_survive_json_exactly(points, mask, box, confidence):
    places, visibility, sure = points
    places = np.where(visibility[:, None] == ABSENT, np.nan, places)
    one = Instance("dog", places, visibility, box, mask, sure, confidence)
    other = from_facts(json.loads(json.dumps(to_facts(one))), AnnotatedPhoto("b.png", None, (30, 40)))
    assert (other.category, other.box, other.confidence) == ("dog", box, confidence)
    for name in ("keypoints", "visibility", "mask", "point_confidence"):
        np.testing.assert_array_equal(getattr(other, name), getattr(one, name))


def test_what_was_labelled_is_known_to_the_next_run(folder, kept):
    photo = found(folder)
    keep(kept, photo)
    (job,) = kept.jobs({"b.png": photo.path})
    assert job.before.used == AFTER.used
    np.testing.assert_array_equal(job.before.coarse, AFTER.coarse)
    again = kept.photo("b.png", photo.path)
    np.testing.assert_array_equal(again.instances[0].keypoints, photo.instances[0].keypoints)
    kept.keep(job, Labelled())
    assert kept.jobs({"b.png": photo.path})[0].before is not None


def test_another_photo_of_the_name_is_another(folder, kept):
    photo = found(folder)
    keep(kept, photo)
    before = kept.photo("b.png", photo.path)
    paint(photo.path, "red")
    assert kept.jobs({"b.png": photo.path})[0].before is None
    assert kept.differs(before)


def test_a_photo_that_cannot_be_read_any_more_loses_its_marks(folder, kept):
    photo = found(folder)
    keep(kept, photo)
    kept.keep(Job("b.png", photo.path), Labelled(failure="b.png is damaged"))
    assert kept.jobs({"b.png": photo.path})[0].before is None
    kept.keep(Job("b.png", photo.path), Labelled(failure="b.png is damaged"))


def test_marks_as_they_were_found_are_no_correction(folder, kept):
    photo = found(folder)
    assert kept.differs(photo)
    keep(kept, photo)
    assert not kept.differs(photo)
    assert kept.differs(moved(photo))
    kept.correct(moved(photo))
    assert not kept.differs(moved(photo))
    assert kept.differs(photo)
    (own,) = kept.corrections({"a.png": folder / "a.png", "b.png": photo.path})
    np.testing.assert_array_equal(own.instances[0].keypoints, moved(photo).instances[0].keypoints)
    assert own.instances[0].confidence is None
    assert kept.corrections({}) == ()


def test_a_correction_belongs_to_its_photo(folder, kept):
    photo = found(folder)
    kept.correct(photo)
    paint(photo.path, "red")
    for ask in (lambda: kept.corrections({"b.png": photo.path}), lambda: kept.differs(photo)):
        with pytest.raises(InvalidInput, match=r"another photo than was corrected.*delete .*b\.png\.json"):
            ask()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b"null",
        b'{"photo": "x"}',
        {},
        {"facts": ""},
        {"facts": "[]"},
        {"facts": '{"photo": "x", "size": [1, 2]}'},
        {"facts": '{"photo": "PHOTO", "size": [30, 40], "instances": [{}], "used": []}'},
        {"facts": '{"photo": "PHOTO", "size": 3, "instances": [], "used": {"dog": 3}}'},
    ],
)
def test_what_was_kept_and_is_damaged_says_so(folder, kept, content):
    from diffsight.files import file_digest

    photo = found(folder)
    keep(kept, photo)
    state, correction = kept._state("b.png"), kept._correction("b.png")
    correction.parent.mkdir()
    facts = content.get("facts", "{}").replace("PHOTO", file_digest(photo.path)) if isinstance(content, dict) else ""
    if isinstance(content, dict):
        save_tensors({}, state, {"facts": facts} if content else None)
    else:
        state.write_bytes(content)
    correction.write_bytes(facts.encode() if isinstance(content, dict) else content)
    with pytest.raises(UnreadableFile, match=r"b\.png\.safetensors is damaged .*delete it"):
        kept.photo("b.png", photo.path), kept.jobs({"b.png": photo.path})
    with pytest.raises(UnreadableFile, match=r"b\.png\.safetensors is damaged"):
        kept.jobs({"b.png": photo.path})
    with pytest.raises(UnreadableFile, match=r"b\.png\.json is damaged"):
        kept.corrections({"b.png": photo.path})


def test_names_of_any_length(folder, kept):
    names = ["写" * 80 + ".png", "写" * 80 + "2.png", "b.png"]
    for name in names:
        paint(folder / name, "red")
        keep(kept, found(folder, name))
        kept.correct(found(folder, name))
    assert len(list((kept.path / "state").iterdir())) == len(list((kept.path / "corrections").iterdir())) == 3
    assert [kept.photo(name, folder / name).name for name in names] == names


@pytest.mark.parametrize("name", [*OUTPUTS, "state", "corrections"])
def test_files_of_others_are_not_replaced(kept, name):
    report = kept.path / "run.json"
    kept.check_own(report)
    kept.path.mkdir()
    kept.check_own(report)
    (kept.path / name).write_text("mine")
    with pytest.raises(InvalidInput, match=f"holds {name}, but no run.json; give another"):
        kept.check_own(report)
    report.write_text("{}")
    kept.check_own(report)


def test_everything_is_written_as_it_is_known(folder, kept):
    """What was found, what was given by hand, and nothing of photos without marks."""
    photos = {name: folder / name for name in ("b.png", "d.png", "e.png", "f.png")}
    for name in ("d.png", "e.png", "f.png"):
        paint(folder / name, "red")
    keep(kept, found(folder))
    keep(kept, found(folder, "e.png", confidence=0.1))
    given = {"d.png": moved(found(folder, "d.png"))}
    paths = kept.write((DOG, STICKER), photos, given, review=2)
    assert [path.name for path in paths] == list(OUTPUTS)
    whole = read_annotations(paths[0], folder)
    assert [own.name for own in whole.photos] == ["b.png", "d.png", "e.png"]
    same(replace(whole, photos=whole.photos[1:2]), replace(whole, photos=[given["d.png"]]), masks=False)
    page = paths[4].read_text()
    assert "e.png" in page
    assert "b.png" in page
    assert "d.png" not in page
    assert page.index("e.png") < page.index("b.png")
    assert [path.name for path in kept.write((DOG,), photos, given, review=0)] == list(OUTPUTS[:4])


def test_nothing_to_write(folder, kept):
    paths = kept.write((DOG,), {"b.png": folder / "b.png"}, {}, review=5)
    assert [path.name for path in paths] == list(OUTPUTS[:4])
    assert json.loads(paths[0].read_text())["images"] == []
