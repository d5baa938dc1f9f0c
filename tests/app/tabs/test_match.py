"""The tab Match as a visitor meets it: a real server, a real browser."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from diffsight.app.limits import MAX_TARGETS
from diffsight.app.match import EXAMPLE
from diffsight.world import make_pair, make_scene

TAB = "match"

STATUS = "(document.querySelector('#match-status [role=status]')?.innerText ?? '')"
FIGURES = "document.querySelectorAll('#match-photos figure')"
READY = f"{STATUS}.startsWith('Click a spot')"


def start(browser):
    """Open the example."""
    browser.press("#match-example")
    browser.wait(f"document.querySelectorAll('#match-photos img').length == 3 && {READY}")
    browser.wait("[...document.querySelectorAll('#match-photos img')].every(i => i.complete && i.naturalWidth == 480)")


def scenes():
    """The pictures of the example, the clicked one first."""
    seed, third, side, kind = EXAMPLE
    pair = make_pair(seed, side, kind=kind)
    return pair.source, pair.target, make_scene(third, side, kinds=(kind,))


def keypoint(scene, name):
    """From 0 to 1."""
    thing = scene.objects[0]
    return thing.keypoints[thing.names.index(name)] / EXAMPLE[2]


def mark(browser, x, y):
    browser.click(*browser.place("#match-photos .clicked", x, y))


def dots(browser, figure):
    """Where the dots of a photo are, from 0 to 1; the photo that is clicked is 1."""
    places = browser.value(
        f"[...document.querySelectorAll('#match-photos figure:nth-child({figure}) .dot')]"
        ".map(dot => [dot.style.left, dot.style.top])"
    )
    return [[float(share.removesuffix("%")) / 100 for share in place] for place in places]


def choose(browser, selector, text):
    """Press the choice of that beginning."""
    script = f"[...document.querySelectorAll('{selector}')].findIndex(e => e.innerText.trim().startsWith('{text}'))"
    browser.wait(f"{script} >= 0")
    browser.value(f"[...document.querySelectorAll('{selector}')][{script}].setAttribute('data-chosen', '')")
    browser.press("[data-chosen]")
    browser.value("document.querySelector('[data-chosen]')?.removeAttribute('data-chosen')")


def test_a_visit(browser, other, tmp_path):
    start(browser)
    source, *targets = scenes()
    mark(browser, *keypoint(source, "tail"))
    browser.wait(f"{STATUS}.startsWith('Point 1: found in car 2.png (')")
    browser.wait("document.querySelector('#match-found')?.innerText.includes('car 3.png')")
    assert dots(browser, 1)[0] == pytest.approx(keypoint(source, "tail"), abs=0.006)  # a pixel of the window
    places = []
    for figure, scene in enumerate(targets, start=2):
        x0, y0, x1, y1 = scene.objects[0].box
        (found,) = dots(browser, figure)
        assert np.linalg.norm(found - keypoint(scene, "tail")) * EXAMPLE[2] < 0.1 * max(x1 - x0, y1 - y0)
        places.append(found)

    browser.downloads(tmp_path)
    for kind in ("csv", "json", "png"):
        browser.press(f"#match-{kind}")
        browser.wait_for_file(tmp_path / f"matches.{kind}")
    rows = list(csv.DictReader((tmp_path / "matches.csv").read_text().splitlines()))
    assert [row["target"] for row in rows] == ["car 2.png", "car 3.png"]
    for row, found in zip(rows, places, strict=True):
        shares = float(row["right_x"]) / EXAMPLE[2], float(row["right_y"]) / EXAMPLE[2]
        assert shares == pytest.approx(found, abs=0.003)
    assert len(json.loads((tmp_path / "matches.json").read_text())["matches"]) == 2
    with Image.open(tmp_path / "matches.png") as drawing:
        assert drawing.width == 3 * 480 + 4 * 12

    assert other.value(STATUS).startswith("Choose one photo")
    browser.press("#match-undo")
    browser.wait(READY)


def test_no_click_of_a_burst_is_lost(browser):
    start(browser)
    wanted = [(0.1 + 0.08 * i, 0.9 - 0.07 * i) for i in range(10)]
    for x, y in [browser.place("#match-photos .clicked", x, y) for x, y in wanted]:
        browser.click(x, y)
    browser.wait(f"{STATUS}.startsWith('Point 10:')")
    found = sorted(dots(browser, 1))  # clicks a few milliseconds apart may overtake each other on their way
    assert found == [pytest.approx(place, abs=0.006) for place in wanted]
    assert [len(dots(browser, figure)) for figure in (2, 3)] == [10, 10]


def test_photos_are_sent_once(browser):
    start(browser)
    for number in (1, 2):
        mark(browser, 0.3 * number, 0.5)
        browser.wait(f"{STATUS}.startsWith('Point {number}:')")
    sent = [url for url in browser.asked if "file=" in url and url.endswith(".jpg")]
    assert len(sent) == len(set(sent)) == 3


def test_model_method_and_heat(browser):
    start(browser)
    for number, name in enumerate(("tail", "bumper"), start=1):
        mark(browser, *keypoint(scenes()[0], name))
        browser.wait(f"{STATUS}.startsWith('Point {number}:')")
    seen = [(browser.value(STATUS), dots(browser, 2))]
    for chosen, opened, choices in (
        ("keep the arrangement", "#match-method", "#match-method label"),
        ("pocket+", "#match-model input", "[role=option]"),
    ):
        browser.press(opened)
        choose(browser, choices, chosen)
        browser.wait(f"{STATUS}.startsWith('Point 2:') && {STATUS} != {json.dumps(seen[-1][0])}")
        browser.wait("document.querySelectorAll('#match-photos figure:nth-child(2) .dot').length == 2")
        seen.append((browser.value(STATUS), dots(browser, 2)))
    assert len({str(places) for _, places in seen}) == 3
    first = "document.querySelector('#match-photos figure:nth-child(2) img').src"
    browser.press("#match-alike input")
    browser.wait(f"{first}.startsWith('data:image/jpeg')")
    browser.press("#match-alike input")
    browser.wait(f"{first}.endsWith('.jpg')")


def test_learning_can_be_cancelled_and_done(browser):
    start(browser)
    mark(browser, *keypoint(scenes()[0], "tail"))
    choose(browser, "#match-method label", "learn each point")
    browser.wait(f"{STATUS}.startsWith('1 point to learn')")
    browser.press("#match-learn")
    step = "+(/step (\\d+) of 40/.exec(document.querySelector('#match-progress')?.innerText || '') || [0, 0])[1]"
    browser.wait(f"{step} >= 6")
    mark(browser, 0.5, 0.5)  # while it learns
    browser.wait(f"{STATUS}.startsWith('2 points to learn')")
    reached = browser.value(step)
    assert 6 <= reached < 40
    browser.press("#match-cancel")
    browser.wait("!document.querySelector('#match-progress')?.offsetParent")
    assert browser.value(STATUS).startswith("2 points to learn")
    assert [len(dots(browser, figure)) for figure in (1, 2)] == [2, 0]
    browser.press("#match-undo")
    browser.wait(f"{STATUS}.startsWith('1 point to learn')")
    browser.press("#match-learn")
    assert browser.wait(step) < 6  # it begins anew; the work before has ended
    browser.wait(f"{step} >= 20")
    browser.wait(f"{STATUS}.startsWith('Point 1: found in car 2.png, car 3.png.')")
    assert [len(dots(browser, figure)) for figure in (1, 2, 3)] == [1, 1, 1]


def test_photos_of_ones_own(browser, tmp_path):
    for name, scene in zip(("a", "b", "c"), scenes(), strict=True):
        Image.fromarray(scene.image).save(tmp_path / f"{name}.png")
    (tmp_path / "notes.png").write_text("no photo")
    buttons = {name: f"[data-testid^={label}]" for name, label in (("left", "Photo\\ "), ("targets", "Photos"))}
    browser.wait(f"!!document.querySelector('{buttons['targets']}')")
    browser.upload(buttons["left"], tmp_path / "a.png")
    browser.wait(f"{STATUS} == 'Now choose photos to search.'")
    browser.upload(buttons["targets"], tmp_path / "b.png", tmp_path / "c.png")
    browser.wait(READY)
    mark(browser, *keypoint(scenes()[0], "tail"))
    browser.wait(f"{STATUS}.startsWith('Point 1: found in b.png (')")

    browser.upload(buttons["targets"], tmp_path / "b.png", tmp_path / "notes.png")
    browser.wait("document.body.innerText.includes('notes.png is not a photo that can be read')")
    browser.upload(buttons["targets"], *[tmp_path / "b.png"] * (MAX_TARGETS + 1))
    browser.wait(f"document.body.innerText.includes('choose up to {MAX_TARGETS}')")
    browser.wait(f"{STATUS}.startsWith('Point 1: found in b.png')")  # it is empty while it is drawn anew

    drop = "(() => { const files = new DataTransfer();"
    drop += "files.items.add(new File(['no photo'], 'dropped.png', {type: 'image/png'}));"
    drop += "const event = new DragEvent('drop', {bubbles: true, cancelable: true, dataTransfer: files});"
    drop += f"{FIGURES}[0].dispatchEvent(event); return event.defaultPrevented }})()"
    assert browser.value(drop)
    browser.wait("document.body.innerText.includes('dropped.png is not a photo that can be read')")


def test_the_keyboard_marks_a_spot(browser):
    start(browser)
    browser.value("document.querySelector('#match-photos .clicked').focus()")
    press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: '%s', bubbles: true}))"
    for key in (*["ArrowRight"] * 3, "ArrowUp", "Enter"):
        browser.value(press % key)
    browser.wait(f"{STATUS}.startsWith('Point 1:')")
    assert dots(browser, 1)[0] == pytest.approx((0.53, 0.49), abs=0.001)
