import csv

import numpy as np
import pytest
from PIL import Image

from diffsight.app.limits import MAX_POINTS
from diffsight.app.match import EXAMPLE, SPOT, Desk, Row, Session, clear, draw, rows, status, table, undo
from diffsight.app.models import Models
from diffsight.draw import segment_colours
from diffsight.errors import InvalidInput
from diffsight.world import make_pair

GOOD = ("bumper", "tail", "roof rear", "rear window foot")
"""Keypoints of the example that the bundled model finds."""


@pytest.fixture(scope="module")
def desk():
    return Desk(Models(["pocket"]))


@pytest.fixture(scope="module")
def ready(desk):
    return desk.example(Session())


@pytest.fixture(scope="module")
def pair():
    seed, side, kind = EXAMPLE
    return make_pair(seed, side, kind=kind)


def keypoint(scene, name):
    thing = scene.objects[0]
    return thing.keypoints[thing.names.index(name)]


def place(session, pair, name):
    """Where a keypoint is on the page."""
    return keypoint(pair.source, name) * session.left.page_scale


@pytest.mark.parametrize("name", GOOD)
def test_a_click_finds_the_keypoint(desk, ready, pair, name):
    session = desk.click(ready, place(ready, pair, name))
    x0, y0, x1, y1 = pair.target.objects[0].box
    radius = 0.1 * max(x1 - x0, y1 - y0)  # that of PCK at 0.1
    assert np.linalg.norm(session.found[0].matched[0] - keypoint(pair.target, name)) < radius
    (row,) = rows(session)
    assert row.point == 1
    assert 0 <= row.confidence <= 1
    assert (row.left_x, row.left_y) == pytest.approx(keypoint(pair.source, name), abs=0.1)


def test_clicks_count_in_pixels_of_the_photo_as_it_was_sent(desk, ready, pair, tmp_path):
    for name, scene in (("left", pair.source), ("right", pair.target)):
        Image.fromarray(scene.image).resize((3000, 2000), Image.Resampling.BICUBIC).save(tmp_path / f"{name}.png")
    session = desk.choose_left(Session(), str(tmp_path / "left.png"))
    session = desk.choose_right(session, str(tmp_path / "right.png"))
    assert session.left.shown.size == (640, 427)
    assert session.left.source.picture.size == (683, 1024)
    wanted = keypoint(pair.source, "tail") * (3000 / 256, 2000 / 256)
    session = desk.click(session, wanted * session.left.page_scale)
    assert session.found[0].query[0] == pytest.approx(wanted)
    missed = session.found[0].matched[0] * (256 / 3000, 256 / 2000) - keypoint(pair.target, "tail")
    assert np.linalg.norm(missed) < 20


def test_both_photos_carry_the_dot_in_one_colour(desk, ready, pair):
    session = desk.click(desk.click(ready, place(ready, pair, "tail")), place(ready, pair, "bumper"))
    for image, photo, where in zip(draw(session), (session.left, session.right), ("query", "matched"), strict=True):
        x, y = getattr(session.found[1], where)[0] * photo.page_scale
        beside_the_number = image.getpixel((round(x), round(y - SPOT * 0.36)))
        assert beside_the_number == pytest.approx(segment_colours(2)[1], abs=2)
        assert np.asarray(photo.shown).shape == np.asarray(image).shape
    assert (np.asarray(draw(ready)[0]) == np.asarray(ready.left.shown)).all()


def test_undo_and_clear(desk, ready, pair):
    one = desk.click(ready, place(ready, pair, "tail"))
    two = desk.click(one, place(ready, pair, "bumper"))
    assert undo(two) == one
    assert undo(ready) == ready
    assert clear(two) == ready


def test_visitors_do_not_mix(desk, ready, pair):
    alone = desk.click(ready, place(ready, pair, "tail"))
    other = desk.example(Session())
    other = desk.click(other, place(other, pair, "bumper"))
    mine = desk.click(ready, place(ready, pair, "tail"))
    assert rows(mine) == rows(alone)
    assert [row[0] for row in rows(other)] == [1]
    assert rows(other)[0][3:5] == pytest.approx(keypoint(pair.source, "bumper"), abs=0.1)


def test_another_photo_takes_the_points_away(desk, ready, pair, tmp_path):
    Image.fromarray(pair.target.image).save(tmp_path / "b.png")
    session = desk.click(ready, place(ready, pair, "tail"))
    assert desk.choose_right(session, str(tmp_path / "b.png")).found == ()
    assert desk.choose_left(session, str(tmp_path / "b.png")).found == ()


def test_what_is_wrong_is_said(desk, ready, tmp_path):
    with pytest.raises(InvalidInput, match="no photo on the left"):
        desk.click(Session(), (1, 1))
    with pytest.raises(InvalidInput, match="no photo on the right"):
        desk.click(Session(left=ready.left), (1, 1))
    with pytest.raises(InvalidInput, match="outside the photo"):
        desk.click(ready, (-5, 1))
    full = Session(ready.left, ready.right, desk.click(ready, (240, 240)).found * MAX_POINTS)
    with pytest.raises(InvalidInput, match="as many as fit"):
        desk.click(full, (240, 240))
    (tmp_path / "notes.txt").write_text("no photo")
    with pytest.raises(InvalidInput, match=r"^notes\.txt is not a photo"):
        desk.choose_left(ready, str(tmp_path / "notes.txt"))


def test_one_line_says_what_to_do(desk, ready, pair):
    assert status(Session()) == "Choose two photos, or try the example."
    assert status(Session(left=ready.left)) == "Now choose the photo on the right."
    assert status(ready) == "Click a spot in the left photo."
    assert status(desk.click(ready, place(ready, pair, "tail"))).startswith("Point 1: found at ")


def test_the_table(desk, ready, pair):
    session = desk.click(ready, place(ready, pair, "tail"))
    header, row = csv.reader(table(session).splitlines())
    assert tuple(header) == Row._fields
    assert [float(value) for value in row[3:]] == list(rows(session)[0][3:])
    assert table(ready).count("\n") == 1
