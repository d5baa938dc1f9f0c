import json
from dataclasses import replace
from threading import Thread
from zipfile import ZipFile

import numpy as np
import pytest
from PIL import Image

from diffsight.app.clips import EXAMPLE
from diffsight.app.limits import MAX_MARKS, MAX_STROKE
from diffsight.app.models import Models
from diffsight.app.track import TOOLS, Desk, Session, draw, status
from diffsight.cli import run
from diffsight.errors import InvalidInput
from diffsight.video.export import read_points
from diffsight.video.masks import davis_palette
from diffsight.world import make_clip

SEED, _, HEIGHT, WIDTH = EXAMPLE
SHORT = 3
"""Frames that are followed here; the page's own test follows all."""


@pytest.fixture(scope="module")
def models():
    return Models(["pocket"])


@pytest.fixture(scope="module")
def scenes():
    return make_clip(*EXAMPLE)[:SHORT]


@pytest.fixture
def desk(models, tmp_path):
    return Desk(models, tmp_path / "shelf")


@pytest.fixture
def photos(scenes, tmp_path):
    """The first frames of the example, as a visitor sends them."""

    def send():
        (tmp_path / "sent").mkdir(exist_ok=True)
        for number, scene in enumerate(scenes):
            Image.fromarray(scene.image).save(tmp_path / "sent" / f"{number}.png")
        return [str(path) for path in (tmp_path / "sent").iterdir()]

    return send


@pytest.fixture
def ready(desk, photos):
    return desk.choose_photos(Session(), photos())


def finish(desk, session):
    """Follow to the end; the frames that were said to be finished, and what came of them."""
    *done, after = desk.follow(desk.start(session))
    return done, after


def labels_of(result):
    with ZipFile(result.table) as archive:
        names = sorted(archive.namelist())
        return [np.asarray(Image.open(archive.open(name))) for name in names]


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def share(places):
    """(x, y) in pixels as the page gives them: from 0 to 1."""
    return np.asarray(places) / (WIDTH, HEIGHT)


def box_around(desk, session, thing):
    return desk.mark(session, share(thing.box.reshape(2, 2)))


def test_a_painted_object_is_followed(desk, ready, scenes):
    session = desk.choose_tool(ready, "Brush", 2, 10)
    rows, columns = np.nonzero(scenes[0].instances == 1)
    inside = np.argsort(columns)[::60]
    session = desk.mark(session, share(np.column_stack([columns, rows])[inside]))
    done, after = finish(desk, session)
    assert done == [1, 2, 3]
    first, *later = labels_of(after.result)
    assert iou(first == 2, scenes[0].instances == 1) > 0.5  # as well as one paints
    assert all(iou(labels == 2, scene.instances == 1) > 0.5 for labels, scene in zip(later, scenes[1:], strict=True))
    assert set(np.unique(later)) == {0, 2}


def test_boxes_stay_around_their_objects(desk, ready, scenes):
    session = ready
    for thing in scenes[0].objects:
        session = box_around(desk, session, thing)
    assert [mark.label for mark in session.marks] == [1, 2]
    _, after = finish(desk, session)
    description = json.loads(after.result.description.read_text())
    for note in description["annotations"]:
        x, y, width, height = note["bbox"]
        x0, y0, x1, y1 = scenes[note["image_id"]].objects[note["track_id"] - 1].box
        across, down = min(x + width, x1) - max(x, x0), min(y + height, y1) - max(y, y0)
        assert across * down / (width * height + (x1 - x0) * (y1 - y0) - across * down) > 0.6
    assert len(description["annotations"]) == 2 * SHORT


def test_points_are_followed(desk, ready, scenes):
    session = desk.choose_tool(ready, "Points", 1, 8)
    car = scenes[0].objects[0]
    names = [car.names.index(name) for name in ("tail", "door handle", "roof rear")]
    for place in car.keypoints[names]:
        session = desk.mark(session, [share(place)])
    _, after = finish(desk, session)
    assert after.result.table.name == "points.csv"
    for index, found in read_points(after.result.table).items():
        missed = np.linalg.norm(found[:, :2] - scenes[index].objects[0].keypoints[names], axis=1)
        assert missed.max() < 6  # the car is 143 pixels long; 4 at most when this was written


def test_the_files_are_those_of_the_command(desk, ready, scenes, tmp_path):
    truth = scenes[0].instances
    Image.fromarray(truth).save(tmp_path / "mask.png")
    Image.fromarray(truth).save(tmp_path / "sent.png")
    _, after = finish(desk, desk.choose_mask(ready, str(tmp_path / "sent.png")))
    frames, out = after.clip.source, tmp_path / "out"
    command = ["track", str(frames), "--mask", str(tmp_path / "mask.png"), "--out", str(out), "--batch", "1"]
    assert run(command) == 0
    mine, theirs = (json.loads(path.read_text()) for path in (after.result.description, out / "track.json"))
    assert mine["annotations"] == theirs["annotations"]
    assert mine["images"] == theirs["images"]
    assert mine["categories"] == theirs["categories"]
    assert {name: value for name, value in mine["info"].items() if name != "video"}.items() <= theirs["info"].items()
    for number, labels in enumerate(labels_of(after.result)):
        assert np.array_equal(labels, np.asarray(Image.open(out / f"{number:05d}.png")))
    assert not (tmp_path / "sent.png").exists()


def test_others_have_their_turn_between_frames(desk, ready, scenes, models):
    work = desk.follow(desk.start(box_around(desk, ready, scenes[0].objects[0])))
    turns = []

    def other():
        with models.lock:
            turns.append(len(turns))

    for _ in work:
        assert not models.lock.locked()
        thread = Thread(target=other)
        thread.start()
        thread.join()
    assert len(turns) == SHORT + 1


def test_a_network_runs_under_the_lock(desk, ready, scenes, models):
    work = desk.follow(desk.start(box_around(desk, ready, scenes[0].objects[0])))
    with models.lock:
        thread = Thread(target=lambda: next(work))
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
    thread.join()
    work.close()


def test_cancel_stops_and_leaves_nothing_but_the_marks(desk, ready, scenes):
    session = desk.start(box_around(desk, ready, scenes[0].objects[0]))
    assert desk.is_busy(session)
    for action in (desk.undo, desk.clear, desk.start, desk.example):
        with pytest.raises(InvalidInput, match="is being followed"):
            action(session)
    work = desk.follow(session)
    assert next(work) == 1
    desk.cancel(session)
    (after,) = work
    assert not desk.is_busy(after)
    assert after.result is None
    assert after.marks == session.marks
    assert status(after).startswith(f"Stopped after 1 of {SHORT} frames.")
    assert [path.name for path in after.clip.folder.iterdir()] == ["frames"]
    assert finish(desk, after)[1].result.overlay.exists()


def test_cancel_before_its_turn(desk, ready, scenes):
    session = desk.start(box_around(desk, ready, scenes[0].objects[0]))
    desk.cancel(session)
    (after,) = desk.follow(session)
    assert status(after).startswith("Stopped after 0")


def test_a_job_that_is_dropped_is_over(desk, ready, scenes):
    session = desk.start(box_around(desk, ready, scenes[0].objects[0]))
    work = desk.follow(session)
    next(work)
    work.close()  # as when a visitor leaves
    assert not desk.is_busy(session)
    assert [path.name for path in session.clip.folder.iterdir()] == ["frames"]


def test_what_a_visitor_left_goes(desk, ready, photos, scenes):
    _, after = finish(desk, box_around(desk, ready, scenes[0].objects[0]))
    changed = desk.undo(after)
    assert not after.result.overlay.exists()
    other = desk.choose_photos(changed, photos())
    assert list(desk.shelf.iterdir()) == [other.clip.folder]
    desk.forget(other)
    desk.forget(Session())
    assert list(desk.shelf.iterdir()) == []


def test_marks_add_up_and_are_taken_back(desk, ready, scenes, tmp_path):
    Image.fromarray((scenes[0].instances == 2).astype(np.uint8) * 7).save(tmp_path / "mask.png")
    session = desk.choose_mask(ready, str(tmp_path / "mask.png"))
    one = desk.mark(session, [(0.1, 0.9), (0.3, 0.6)])
    assert one.marks[0].label == 8
    eraser = desk.mark(desk.choose_tool(one, "Eraser", 1, 30), [(0.2, 0.75)])
    shown = np.asarray(draw(one)).astype(int), np.asarray(draw(eraser)).astype(int)
    plain = np.asarray(draw(ready)).astype(int)
    y, x = round(0.75 * shown[0].shape[0]), round(0.2 * shown[0].shape[1])
    assert np.abs(shown[0][y, x] - (plain[y, x] + davis_palette()[8]) / 2).max() < 4
    assert np.abs(shown[1][y, x] - plain[y, x]).max() < 2
    assert desk.undo(eraser).marks == one.marks
    assert desk.undo(desk.undo(one)).mask is None
    assert (desk.clear(eraser).marks, desk.clear(eraser).mask) == ((), None)


def test_what_is_wrong_is_said(desk, ready, tmp_path):
    with pytest.raises(InvalidInput, match="there is no clip yet"):
        desk.mark(Session(), [(0.5, 0.5)])
    with pytest.raises(InvalidInput, match="nothing is marked yet"):
        desk.start(ready)
    with pytest.raises(InvalidInput, match="holds no pixel of the frame"):
        desk.mark(ready, [(0.50001, 0.50001), (0.50002, 0.50002)])
    box = desk.mark(ready, [(0.1, 0.1), (0.4, 0.4)])
    points = desk.choose_tool(box, "Points", 1, 8)
    with pytest.raises(InvalidInput, match="there are objects already"):
        desk.mark(points, [(0.5, 0.5)])
    with pytest.raises(InvalidInput, match="there are points already"):
        desk.mark(desk.choose_tool(desk.mark(desk.clear(points), [(0.5, 0.5)]), "Box", 1, 8), [(0.1, 0.1), (0.4, 0.4)])
    with pytest.raises(InvalidInput, match="as many as fit"):
        desk.mark(Session(ready.clip, marks=box.marks * MAX_MARKS), [(0.1, 0.1), (0.4, 0.4)])
    Image.new("L", (9, 9), 1).save(tmp_path / "mask.png")
    with pytest.raises(InvalidInput, match="the mask is 9x9, but the frame is 320x240"):
        desk.choose_mask(ready, str(tmp_path / "mask.png"))
    with pytest.raises(InvalidInput, match="no Hammer"):
        desk.choose_tool(ready, "Hammer", 1, 8)


@pytest.mark.parametrize("tool", TOOLS)
def test_a_mark_is_somewhere_and_not_endless(desk, ready, tool):
    session = replace(ready, tool=tool)
    for path in ([], [[np.nan, 0.5]], [[0.1, 0.1], [np.inf, 0.5]], [[0.5, 0.5]] * (MAX_STROKE + 1)):
        with pytest.raises(InvalidInput, match=f"1 to {MAX_STROKE} places, not {len(path)}; draw it in parts"):
            desk.mark(session, path)
    assert len(desk.mark(session, [[0.1, 0.1], *[[0.5, 0.5]] * (MAX_STROKE - 1)]).marks) == 1


def test_one_line_says_what_to_do(desk, ready):
    assert status(Session()).startswith("Choose a clip of at most 200 frames")
    assert status(ready) == "3 photos, 3 frames: mark what to follow in the first one."
    assert status(desk.mark(ready, [(0.1, 0.1), (0.4, 0.4)])) == "1 mark: mark more, or press Follow."


def test_visitors_do_not_mix(desk, ready, photos):
    other = desk.choose_photos(Session(), photos())
    assert other.clip.folder != ready.clip.folder
    mine = desk.mark(ready, [(0.1, 0.1), (0.4, 0.4)])
    job = desk.start(mine)
    assert desk.is_busy(job)
    assert not desk.is_busy(other)
    assert desk.mark(other, [(0.5, 0.5), (0.8, 0.9)]).marks[0].label == 1
