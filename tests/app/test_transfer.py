import csv
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from diffsight.app import transfer_marks as marks
from diffsight.app.limits import MAX_KEYPOINTS, MAX_NAME, MAX_PHOTOS
from diffsight.app.models import Models
from diffsight.app.transfer import EXAMPLE, EXAMPLE_SIDE, FACE, Desk, Outcome, Session, forget
from diffsight.errors import InvalidInput
from diffsight.transfer.annotations import ABSENT, VISIBLE
from diffsight.world import make_scene

NAMES = "\n".join(FACE.keypoints)


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(Models(["pocket"]), tmp_path_factory.mktemp("visitors"))


@pytest.fixture(scope="module")
def scenes():
    return [make_scene(seed, EXAMPLE_SIDE, kinds=("face",)) for seed in EXAMPLE]


@pytest.fixture(scope="module")
def files(tmp_path_factory, scenes):
    folder = tmp_path_factory.mktemp("photos")
    for number, scene in enumerate(scenes, start=1):
        Image.fromarray(scene.image).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def truth(scene):
    thing = scene.objects[0]
    return thing.keypoints[[thing.names.index(name) for name in FACE.keypoints]]


def carried(desk, session):
    """What the button does, to its end."""
    session = desk.start(session)
    *_, outcome = desk.carry(session)
    return marks.take(session, outcome)


@pytest.fixture(scope="module")
def annotated(desk, files, scenes):
    """The first photo with every point clicked, and the other photos."""
    session = marks.rename(desk.choose(Session(), str(files[0])), "face", NAMES)
    for x, y in truth(scenes[0]):
        session = marks.place(session, (x / EXAMPLE_SIDE, y / EXAMPLE_SIDE))
    return desk.send(session, [str(file) for file in files[1:]])


@pytest.fixture(scope="module")
def short(annotated):
    """Likewise with three other photos."""
    return replace(annotated, photos=annotated.photos[:3])


@pytest.fixture(scope="module")
def reviewed(desk, annotated):
    return carried(desk, annotated)


def shares(session, scenes):
    """Of each labelled photo the share of points within a tenth of the face's longer side."""
    for sent, scene in zip(session.photos, scenes[1:], strict=True):
        thing = scene.objects[0]
        seen = thing.visible[[thing.names.index(name) for name in FACE.keypoints]]
        far = np.linalg.norm(session.marked(sent).instances[0].keypoints - truth(scene), axis=1)[seen]
        yield (far < 0.1 * np.ptp(thing.box.reshape(2, 2), axis=0).max()).mean()


def test_clicked_points_are_found_on_the_other_photos(reviewed, scenes):
    assert len(reviewed.order) == 6
    assert np.mean(list(shares(reviewed, scenes))) > 0.8  # 0.90 was measured


def test_the_example_is_ready_to_be_carried(desk, scenes):
    session = desk.example(Session())
    assert session.carrying
    assert [sent.name for sent in session.photos] == [f"face-{number}.png" for number in range(2, 8)]
    assert session.annotated.instances[0].keypoints == pytest.approx(truth(scenes[0]))


def test_the_least_certain_photo_comes_first(reviewed):
    sure = [reviewed.marked(sent).instances[0].confidence for sent in reviewed.order]
    assert sure == sorted(sure)
    assert sure[0] < sure[-1]
    assert marks.look(reviewed) == f"Photo 1 of 6: {reviewed.order[0].name}, {sure[0]:.0%} sure"
    assert marks.step(reviewed, -1).viewed == reviewed.order[-1]
    assert marks.step(marks.step(reviewed, 1), -1) == reviewed


def test_the_page_says_which_point_is_next(desk, files):
    session = Session()
    assert marks.hint(session).startswith("Choose a photo")
    session = desk.choose(session, str(files[0]))
    assert marks.hint(session).startswith("Name the points")
    session = marks.rename(session, "dog", "nose\n\n  left eye \ntail")
    assert marks.hint(session) == "Click: nose (1 of 3)"
    session = marks.skip(marks.place(session, (0.25, 0.5)))
    assert marks.hint(session) == "Click: tail (3 of 3)"
    session = marks.place(session, (1, 1))
    assert marks.hint(session).startswith("All 3 points")
    own = session.annotated.instances[0]
    assert own.keypoints == pytest.approx(np.array([[64, 128], [np.nan, np.nan], [256, 256]]), nan_ok=True)
    assert own.visibility.tolist() == [VISIBLE, ABSENT, VISIBLE]
    assert marks.move(session, 1, (0, 0.5)).marks[1] == (0, 128)
    assert marks.remove(session, 0).marks == (None, None, (256, 256))
    assert marks.undo(session).marks == session.marks[:2]
    assert marks.clear(session).marks == ()
    assert marks.rename(session, "dog", "nose").marks == session.marks[:1]


def test_a_correction_is_exported_and_helps_the_others(desk, short):
    found = carried(desk, short)
    sent, *others = found.order
    session = marks.correct(found, 2, (0.125, 0.75))
    (image,) = [own for own in coco(session).imgs.values() if own["file_name"] == sent.name]
    (note,) = coco(session).imgToAnns[image["id"]]
    assert note["keypoints"][6:9] == pytest.approx([32 - 0.5, 192 - 0.5, 2])
    assert marks.look(session).endswith("corrected by hand")
    assert session.todo == tuple(own for own in session.photos if own != sent)
    again = carried(desk, session)
    assert again.marked(sent) is session.marked(sent)
    assert again.order[-1] == sent
    for own in others:
        assert (again.marked(own).instances[0].keypoints != found.marked(own).instances[0].keypoints).any()
    assert marks.revert(session) == found


@pytest.mark.parametrize("point", [-1, 8])
def test_a_point_that_is_not_there_cannot_be_moved(annotated, reviewed, point):
    calls = [lambda: marks.correct(reviewed, point, (0.5, 0.5)), lambda: marks.correct(reviewed, point, None)]
    calls += [lambda: marks.move(annotated, point, (0.5, 0.5)), lambda: marks.remove(annotated, point)]
    for call in calls:
        with pytest.raises(InvalidInput, match=f"no point {point + 1} among the 8"):
            call()


def test_a_point_that_does_not_show_is_taken_off(reviewed):
    own = marks.marked_photos(marks.correct(reviewed, 0, None))
    (photo,) = [photo for photo in own.photos if photo.name == reviewed.viewed.name]
    assert photo.instances[0].visibility[0] == ABSENT
    assert np.isnan(photo.instances[0].keypoints[0]).all()


def coco(session):
    path, _ = marks.export(session)
    return COCO(path)


def test_the_export_holds_every_photo_once(reviewed):
    own = coco(reviewed)
    assert [image["file_name"] for image in own.imgs.values()] == [f"{number}.png" for number in range(1, 8)]
    assert {image["id"] for image in own.imgs.values()} == {note["image_id"] for note in own.anns.values()}
    assert own.cats[1]["keypoints"] == list(FACE.keypoints)
    rows = list(csv.DictReader(marks.export(reviewed)[1].read_text().splitlines()))
    assert [row["image"] for row in rows] == [f"{number}.png" for number in range(1, 8)]
    assert marks.export(Session()) is None


def test_the_marked_photo_among_the_others_keeps_its_marks(desk, short, files):
    session = carried(desk, desk.send(replace(short, photos=short.photos[:1]), [str(files[0])]))
    assert session.photos[-1].name == "1-2.png"
    assert [image["file_name"] for image in coco(session).imgs.values()] == ["1.png", "2.png"]


def test_carrying_can_be_stopped_and_goes_on_later(desk, short):
    session = desk.start(short)
    steps = desk.carry(session)
    outcome = next(own for own in steps if own.done == 2)
    steps.close()
    stopped = marks.take(session, outcome)
    assert not desk.models.lock.locked()
    assert len(stopped.order) == 2
    assert not stopped.carrying
    again = desk.start(stopped)
    *_, outcome = desk.carry(again)
    assert [own.photo is None for own in outcome.answers.values()] == [True, True, False]
    assert len(marks.take(again, outcome).order) == 3


def test_between_two_photos_the_network_is_free(desk, short):
    for _ in desk.carry(desk.start(replace(short, photos=short.photos[:1]))):
        assert not desk.models.lock.locked()


def test_what_comes_while_carrying_is_not_lost(desk, short):
    before = desk.start(replace(short, photos=short.photos[:2]))
    *_, outcome = desk.carry(before)
    now = marks.undo(before)
    assert marks.take(now, outcome).marks == short.marks[:-1]
    assert not marks.take(now, outcome).carrying
    assert marks.take(desk.start(now), outcome).carrying
    assert not marks.stop(desk.start(now), outcome).carrying
    gone = replace(before, photos=before.photos[:1])
    assert marks.take(gone, outcome).order == before.photos[:1]


def test_bad_photos_are_left_out_and_said(desk, annotated, files, tmp_path):
    (tmp_path / "notes.png").write_text("no photo")
    Image.open(files[1]).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:3000])
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "plain.png")
    bad = [str(tmp_path / name) for name in ("notes.png", "cut.jpg", "plain.png")]
    session = desk.send(replace(annotated, photos=()), [bad[0], str(files[1]), *bad[1:]])
    assert [sent.name for sent in session.photos] == ["2.png", "cut.jpg", "plain.png"]
    session = carried(desk, session)
    assert [sent.name for sent in session.photos] == ["2.png"]
    notes, cut, plain = session.left_out
    assert "notes.png cannot be read" in notes
    assert cut.startswith("cut.jpg is damaged")
    assert plain.startswith("plain.png is of one colour")
    assert not any(str(part) in line for line in session.left_out for part in (tmp_path, session.folder))


def test_a_template_names_the_points(desk, annotated, tmp_path):
    category = {"id": 7, "name": "bee", "keypoints": ["head", "sting"], "skeleton": [[1, 2]]}
    (tmp_path / "bee.json").write_text(json.dumps({"categories": [{"id": 1, "name": "sky"}, category]}))
    session = marks.template(Session(), str(tmp_path / "bee.json"))
    assert session.category.keypoints == ("head", "sting")
    assert session.category.bones == ((0, 1),)
    assert marks.rename(session, "wasp", "head\nsting").category.bones == ((0, 1),)
    (tmp_path / "bad.json").write_text("[")
    with pytest.raises(InvalidInput, match=r"^bad\.json is no whole JSON"):
        marks.template(session, str(tmp_path / "bad.json"))


def test_names_are_kept_within_bounds(reviewed):
    with pytest.raises(InvalidInput, match="is there 2 times"):
        marks.rename(Session(), "dog", "nose\nnose")
    with pytest.raises(InvalidInput, match="more than fit"):
        marks.rename(Session(), "dog", "\n".join(map(str, range(MAX_KEYPOINTS + 1))))
    with pytest.raises(InvalidInput, match="longer than"):
        marks.rename(Session(), "dog", "x" * (MAX_NAME + 1))
    with pytest.raises(InvalidInput, match="8 points each, not 1"):
        marks.rename(reviewed, "dog", "nose")
    renamed = marks.rename(reviewed, "dog", NAMES.replace("chin", "jaw"))
    assert coco(renamed).cats[1]["keypoints"][5] == "jaw"


def test_what_is_missing_is_said(desk, annotated):
    with pytest.raises(InvalidInput, match="no point is marked"):
        desk.start(Session())
    with pytest.raises(InvalidInput, match="no photo to label"):
        desk.start(replace(annotated, photos=()))
    with pytest.raises(InvalidInput, match="no photo to mark"):
        marks.place(Session(), (0, 0))
    with pytest.raises(InvalidInput, match="have no names"):
        marks.skip(replace(annotated, category=replace(FACE, keypoints=(), bones=())))
    with pytest.raises(InvalidInput, match="all points are marked"):
        marks.place(annotated, (0, 0))
    with pytest.raises(InvalidInput, match="outside the photo"):
        marks.move(annotated, 0, (0, 1.01))
    with pytest.raises(InvalidInput, match="no photo to correct"):
        marks.correct(Session(), 0, (0, 0))
    with pytest.raises(InvalidInput, match=f"more than fit, {MAX_PHOTOS}"):
        desk.send(annotated, ["photo.png"] * (MAX_PHOTOS - 5))


def test_visitors_have_folders_of_their_own_which_go_with_them(desk, files):
    one, other = (desk.send(Session(), [str(file)]) for file in files[:2])
    assert one.folder != other.folder
    assert all(own.folder.parent == desk.shelf and len(own.folder.name) == 32 for own in (one, other))
    forget(one)
    assert not one.folder.exists()
    assert other.photos[0].path.exists()
    os.utime(other.folder, (0, 0))
    desk.send(Session(), [str(files[0])])
    assert not other.folder.exists()
    forget(Session())


def test_photos_that_are_removed_are_deleted(desk, files):
    session = desk.send(Session(), [str(file) for file in files[:2]])
    empty = marks.drop_photos(session)
    assert empty.photos == ()
    assert list(session.folder.iterdir()) == []
    assert marks.take(empty, Outcome()).order == ()
