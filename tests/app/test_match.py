import gc
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diffsight.app.limits import MAX_POINTS, MAX_TARGETS
from diffsight.app.match import EXAMPLE, Desk
from diffsight.app.match_state import LEARNT, Session, clear, take
from diffsight.app.models import Models
from diffsight.errors import InvalidInput
from diffsight.world import make_pair, make_scene

GOOD = ("bumper", "tail", "roof rear", "rear window foot")
"""Keypoints of the example that the bundled model finds in both targets."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(Models(["pocket", "pocket+"]), tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def ready(desk):
    session = desk.example(Session())
    assert list(desk.read(session)) == [f"Reading photo {number} of 3..." for number in (1, 2, 3)]
    return session


@pytest.fixture(scope="module")
def scenes():
    """The pictures of the example, the clicked one first."""
    seed, third, side, kind = EXAMPLE
    pair = make_pair(seed, side, kind=kind)
    return pair.source, pair.target, make_scene(third, side, kinds=(kind,))


def keypoint(scene, name):
    thing = scene.objects[0]
    return thing.keypoints[thing.names.index(name)]


def radius(scene):
    """Within which a match is right, PCK at 0.1."""
    x0, y0, x1, y1 = scene.objects[0].box
    return 0.1 * max(x1 - x0, y1 - y0)


def place(scenes, name):
    """Where a keypoint of the clicked picture is, 0 to 1."""
    return tuple(keypoint(scenes[0], name) / EXAMPLE[2])


@pytest.mark.parametrize("method", ["quick", "arranged"])
def test_clicks_find_the_keypoints_in_every_target(desk, ready, scenes, method):
    names = [name for name in GOOD if method == "quick" or name != "roof rear"]
    session = desk.choose_method(ready, method)
    for name in names:
        session = desk.click(session, place(scenes, name))
    assert session.known == len(names)
    for scene, found in zip(scenes[1:], session.found, strict=True):
        wanted = np.array([keypoint(scene, name) for name in names])
        assert (np.linalg.norm(found.matches.matched - wanted, axis=1) < radius(scene)).all()
        assert ((found.matches.confidence >= 0) & (found.matches.confidence <= 1)).all()
        assert found.matches.query == pytest.approx(np.array([keypoint(scenes[0], name) for name in names]))


def test_the_arrangement_of_points_counts_if_it_is_asked_to(desk, ready, scenes):
    session = desk.choose_method(ready, "arranged")
    for name in GOOD:
        session = desk.click(session, place(scenes, name))
    alone = desk.click(desk.choose_method(ready, "arranged"), place(scenes, "roof rear"))
    together, own = session.found[1].matches.matched[2], alone.found[1].matches.matched[0]
    assert np.linalg.norm(together - own) > 1
    quick = desk.choose_method(session, "quick")
    assert quick.found[1].matches.matched != pytest.approx(session.found[1].matches.matched, abs=1)


def test_clicks_count_in_pixels_of_the_photo_as_it_was_sent(desk, scenes, tmp_path):
    for name, scene in zip(("left", "right"), scenes, strict=False):
        Image.fromarray(scene.image).resize((3000, 2000), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    session = desk.choose_left(Session(), str(tmp_path / "left.png"))
    session = desk.choose_targets(session, [str(tmp_path / "right.png")])
    assert session.left.name == "left.png"
    assert session.left.picture.size == (683, 1024)
    with Image.open(session.left.file) as shown:
        assert shown.size == (640, 427)
    session = desk.click(session, place(scenes, "tail"))
    assert session.points[0] == pytest.approx(keypoint(scenes[0], "tail") * (3000 / 256, 2000 / 256))
    matches = session.found[0].matches
    assert matches.query[0] == pytest.approx(session.points[0])
    assert np.linalg.norm(matches.matched[0] * (256 / 3000, 256 / 2000) - keypoint(scenes[1], "tail")) < 20


def test_undo_and_clear(desk, ready, scenes):
    one = desk.click(ready, place(scenes, "tail"))
    back = desk.undo(desk.click(one, place(scenes, "bumper")))
    assert back.points == one.points
    for mine, own in zip(back.found, one.found, strict=True):
        assert mine.matches.matched == pytest.approx(own.matches.matched)
    assert desk.undo(ready) == clear(one) == ready


def test_visitors_do_not_mix(desk, ready, scenes):
    other = desk.click(desk.example(Session()), place(scenes, "bumper"))
    mine = desk.click(ready, place(scenes, "tail"))
    assert len(other.points) == len(mine.points) == 1
    assert other.left.file != mine.left.file
    assert np.array(mine.points[0]) == pytest.approx(keypoint(scenes[0], "tail"))


def test_points_stay_for_other_targets_and_go_with_the_clicked_photo(desk, ready, scenes, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        Image.fromarray(scenes[1].image).save(tmp_path / name / "car.png")
    session = desk.click(ready, place(scenes, "tail"))
    again = desk.choose_targets(session, [str(tmp_path / name / "car.png") for name in ("a", "b")])
    assert [photo.name for photo in again.targets] == ["car.png", "car-2.png"]
    assert (again.points, again.found) == (session.points, ())
    first, second = desk.find(again).found
    assert first.matches.matched == pytest.approx(session.found[0].matches.matched)
    assert second.matches.matched == pytest.approx(first.matches.matched)
    assert desk.choose_left(session, str(tmp_path / "a" / "car.png")).points == ()


def test_another_model_finds_other_places_and_the_first_one_the_same_again(desk, ready, scenes):
    session = desk.click(ready, place(scenes, "tail"))
    other = desk.choose_model(session, "pocket+")
    assert other.found == ()
    assert len(list(desk.read(other))) == 3
    assert list(desk.read(other)) == []
    other = desk.find(other)
    assert other.found[0].matches.score != pytest.approx(session.found[0].matches.score, abs=1e-4)
    back = desk.find(desk.choose_model(other, "pocket"))
    assert back.found[0].matches.score == pytest.approx(session.found[0].matches.score)


def test_where_else_the_last_point_looks_alike(desk, ready, scenes):
    session = desk.click(ready, place(scenes, "tail"))
    assert session.found[0].alike is None
    for target, found in zip(session.targets, desk.show_alike(session, True).found, strict=True):
        rows, columns = found.alike.shape
        row, column = divmod(int(found.alike.argmax()), columns)
        best = np.array([column + 0.5, row + 0.5]) * (target.size[1] / columns, target.size[0] / rows)
        assert np.linalg.norm(best - found.matches.matched[0]) < 6
        assert found.alike.max() > found.alike.min()


@pytest.fixture(scope="module")
def pupil(desk):
    """The same desk, where learning is quick and poor."""
    return Desk(desk.models, desk.folder, {"rounds": 1, "steps": 3, "crops": 1})


def test_points_are_learnt_one_by_one(pupil, ready, scenes):
    desk = pupil
    session = desk.choose_method(desk.show_alike(ready, True), LEARNT)
    for name in ("tail", "bumper"):
        session = desk.click(session, place(scenes, name))
    assert session.found == ()
    told = list(desk.learn(session))
    assert [step.line for step in told[:5]] == [
        *(f"Learning point 1: step {number} of 3" for number in (1, 2, 3)),
        *(f"Looking for point 1 in car {number}.png" for number in (2, 3)),
    ]
    assert [step.share for step in told] == sorted(step.share for step in told)
    assert told[-1].share == 1
    done = take(session, told[-1].session)
    assert done.known == 2
    assert done.found[0].alike.shape == (96, 96)
    assert done.found[0].matches.query == pytest.approx(np.array(session.points))
    assert desk.undo(done).found[0].matches.matched == pytest.approx(done.found[0].matches.matched[:1])

    partly = take(session, told[5].session)
    assert partly.known == 1
    again = list(desk.learn(partly))  # what was learnt is kept with the photo
    assert [step.line for step in again][:1] == ["Looking for point 2 in car 2.png"]
    assert again[-1].session.found[1].matches.matched == pytest.approx(done.found[1].matches.matched)


def test_a_job_that_was_left_has_no_say(desk, pupil, ready, scenes):
    session = desk.click(desk.choose_method(ready, LEARNT), place(scenes, "tail"))
    *_, last = pupil.learn(session)
    more = desk.click(session, place(scenes, "bumper"))
    assert take(more, last.session).known == 1
    assert take(desk.undo(session), last.session).found == ()
    assert take(desk.choose_method(session, "quick"), last.session).found[0].matches.confidence is not None
    assert take(desk.example(session), last.session).found == ()
    elsewhere = desk.click(desk.undo(session), (0.5, 0.5))
    assert take(elsewhere, last.session).found == ()


def test_other_clicks_go_on_while_a_point_is_learnt(desk, ready, scenes):
    job = desk.learn(desk.click(desk.choose_method(ready, LEARNT), (0.4, 0.4)))
    assert next(job).line == "Learning point 1: step 1 of 40"
    assert not desk.models.lock.locked()
    assert desk.click(ready, place(scenes, "tail")).known == 1
    assert next(job).line == "Learning point 1: step 2 of 40"
    job.close()
    assert not desk.models.lock.locked()


def test_what_is_wrong_is_said(desk, ready, tmp_path):
    with pytest.raises(InvalidInput, match="no photo to click"):
        desk.click(Session(), (0.5, 0.5))
    with pytest.raises(InvalidInput, match="no photo to search"):
        desk.click(Session(left=ready.left), (0.5, 0.5))
    for outside in ((-0.1, 0.5), (0.5, 1.01), (float("nan"), 0.5)):
        with pytest.raises(InvalidInput, match="outside the photo"):
            desk.click(ready, outside)
    with pytest.raises(InvalidInput, match="as many as fit"):
        desk.click(replace(ready, points=((1.0, 1.0),) * MAX_POINTS), (0.5, 0.5))
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(InvalidInput, match=r"^notes\.txt is not a photo"):
        desk.choose_left(ready, str(tmp_path / "notes.txt"))
    with pytest.raises(InvalidInput, match=f"choose up to {MAX_TARGETS}"):
        desk.choose_targets(ready, ["a.png"] * (MAX_TARGETS + 1))
    with pytest.raises(InvalidInput, match="no model 'sd-1.5' here; choose one of pocket, pocket"):
        desk.choose_model(ready, "sd-1.5")
    with pytest.raises(InvalidInput, match="no method"):
        desk.choose_method(ready, "guess")


def test_a_photo_takes_its_file_along(desk):
    session = desk.example(Session())
    files = [photo.file for photo in session.photos]
    assert all(file.exists() for file in files)
    del session
    gc.collect()
    assert not any(file.exists() for file in files)
