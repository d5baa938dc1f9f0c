import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from diffsight.app.match import Desk
from diffsight.app.match_results import Row, drawing, heat_maps, report, rows, status, table
from diffsight.app.match_state import LEARNT, Found, Session
from diffsight.app.models import Models
from diffsight.draw import palette
from diffsight.matching.rows import COLUMNS
from diffsight.types import Matches


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    return Desk(Models(["pocket"]), tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def session(desk):
    """The example with two points."""
    return desk.click(desk.click(desk.example(Session()), (0.12, 0.48)), (0.69, 0.68))


def test_one_line_says_what_to_do(desk, session):
    assert status(Session()).startswith("Choose one photo to click")
    assert status(Session(left=session.left)) == "Now choose photos to search."
    assert status(Session(targets=session.targets)) == "Now choose the photo to click."
    assert status(Session(session.left, session.targets)) == "Click a spot in the first photo."
    assert status(desk.choose_model(session, "pocket")) == "Looking for 2 points..."
    assert status(desk.choose_method(session, LEARNT)).startswith("2 points to learn")
    assert status(session).startswith("Point 2: found in car 2.png (")


def test_doubt_is_said(session):
    (first, second), one_way = session.found, np.array([False, False])
    doubtful = Found(replace(second.matches, mutual=one_way, confidence=np.array([0.5, 0.314])))
    line = status(replace(session, found=(first, doubtful)))
    assert "car 3.png (31% sure, doubtful). Doubtful, drawn pale: searched from there" in line
    assert "doubtful" not in status(session)


def test_the_table(session):
    header, *lines = csv.reader(io.StringIO(table(session).decode()))
    assert tuple(header) == Row._fields
    assert [(line[0], line[1]) for line in lines] == [(n, f"car {i}.png") for n in "12" for i in (2, 3)]
    for line, row in zip(lines, rows(session), strict=True):
        assert [float(value) for value in line[4:]] == list(row[4:])
        assert row.sure == f"{float(line[2]):.0%}"
    assert table(Session()).count(b"\n") == 1


def test_the_report_is_what_the_command_writes(session):
    facts = json.loads(report(session))
    assert list(facts) == ["convention", "matches"]
    assert [tuple(row) for row in facts["matches"]] == [COLUMNS] * 4
    first, own = facts["matches"][2], session.found[1].matches
    assert (first["target"], first["point"], first["rank"]) == ("car 3.png", 1, 1)
    assert (first["matched_x"], first["matched_y"]) == tuple(own.matched[0])


def test_the_drawing_shows_all_photos_with_their_points(session):
    with Image.open(io.BytesIO(drawing(session))) as image:
        assert image.format == "PNG"
        assert image.size == (3 * 480 + 4 * 12, 480 + 26 + 12)
        x, y = session.found[1].matches.matched[1] * 480 / 256 + (12 + 2 * 492, 26)
        assert image.getpixel((round(x), round(y - 8))) == pytest.approx(palette(2)[1], abs=8)


def test_heat_maps_are_shown_where_they_are_asked_and_known(desk, session):
    assert heat_maps(session) == []
    asked = desk.show_alike(session, True)
    for heat, photo, own in zip(heat_maps(asked), asked.targets, asked.found, strict=True):
        assert heat.size == (480, 480)
        assert photo.size == (256, 256)
        x, y = own.matches.matched[1] * 480 / 256
        pixels = np.asarray(heat.convert("L"), float)
        assert pixels[round(y) - 3 : round(y) + 3, round(x) - 3 : round(x) + 3].mean() > pixels.mean() + 20
    assert heat_maps(desk.choose_method(asked, LEARNT)) == []


def test_matches_without_confidence_are_told_as_such(session):
    plain = [own.matches for own in session.found]
    bare = tuple(Found(Matches(own.query, own.matched, own.score)) for own in plain)
    learnt = Session(session.left, session.targets, session.points, bare)
    assert status(learnt) == "Point 2: found in car 2.png, car 3.png."
    assert {(row.confidence, row.both_ways, row.sure) for row in rows(learnt)} == {(None, None, "-")}
    assert table(learnt).splitlines()[1].startswith(b"1,car 2.png,,,")
    assert json.loads(report(learnt))["matches"][0]["confidence"] is None
