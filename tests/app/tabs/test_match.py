"""The tab Match as a visitor meets it: a real server, a real browser."""

import csv
import json

import pytest
from PIL import Image

from diffsight.app.match import EXAMPLE
from diffsight.draw import segment_colours
from diffsight.world import make_pair

from ..browser import Browser

PHOTOS = "[...document.querySelectorAll('#left img, #right img')].filter(i => i.complete && i.naturalWidth).length == 2"
STATUS = "document.querySelector('#match-status').innerText"


def test_a_visit(server, browser, tmp_path):
    seed, side, kind = EXAMPLE
    thing = make_pair(seed, side, kind=kind).source.objects[0]
    x, y = thing.keypoints[thing.names.index("tail")] / side
    browser.press("#match-example")
    browser.wait(PHOTOS)
    browser.click(*browser.place("#left img", x, y))
    browser.wait(f"{STATUS}.startsWith('Point 1: found at')")
    browser.wait("document.querySelectorAll('#found tbody tr').length == 1")
    browser.wait(PHOTOS)
    colour = segment_colours(1)[0]
    assert browser.pixel("#left img", x * 480, y * 480 - 11) == pytest.approx(colour, abs=30)  # as JPEG has it

    browser.downloads(tmp_path)
    browser.press("#match-csv")
    browser.wait_for_file(tmp_path / "matches.csv")
    (row,) = csv.DictReader((tmp_path / "matches.csv").read_text().splitlines())
    found = float(row["right_x"]) / side * 480, float(row["right_y"]) / side * 480 - 11
    assert browser.pixel("#right img", *found) == pytest.approx(colour, abs=30)

    (tmp_path / "notes.png").write_text("no photo")
    browser.upload("input[type=file]", tmp_path / "notes.png")
    browser.wait("document.body.innerText.includes('notes.png is not a photo that can be read')")
    assert browser.value(STATUS).startswith("Point 1: found at")
    browser.save(tmp_path / "wide.png")
    browser.resize(390, 844)
    browser.wait("document.documentElement.clientWidth == 390")
    assert browser.value("document.documentElement.scrollWidth") == 390
    browser.save(tmp_path / "narrow.png")
    assert Image.open(tmp_path / "narrow.png").width == 390

    with Browser(tmp_path / "other") as other:
        other.open(server)
        assert other.wait(f"!!document.querySelector('#match-status') && {STATUS}").startswith("Choose two photos")
    browser.press("#match-undo")
    browser.wait(f"{STATUS} == 'Click a spot in the left photo.'")
    outside = [url for url in browser.asked if not url.startswith((server, "data:", "blob:"))]
    assert outside == [], json.dumps(outside)
