"""The tab Transfer as a visitor meets it: a real server, a real browser."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO

from diffsight.app.transfer import EXAMPLE, EXAMPLE_SIDE, FACE
from diffsight.world import make_scene

TAB = "transfer"

HINT = "document.querySelector('#transfer-hint').innerText.trim()"
LINE = "document.querySelector('#transfer-status').innerText.trim()"
STOCK = "document.querySelector('#transfer-stock').innerText.trim()"
CORRECTED = "document.querySelector('#transfer-again:not(:disabled)')"


def shown(selector):
    return f"!!document.querySelector('{selector}') && !!document.querySelector('{selector}').offsetParent"


def spots(board):
    return f"document.querySelectorAll('#{board} .spot').length"


def carry(browser, button):
    """Press a button that begins to carry, and wait for the end."""
    known = "document.querySelector('#transfer-carry').known"
    browser.wait(shown(button))
    browser.value(f"{known} = true")  # the button goes while the job runs, and comes back as another
    browser.press(button)
    browser.wait(f"{shown('#transfer-carry')} && !{known} && {spots('transfer-check')} > 0")


def download(browser, folder):
    """The COCO file, loaded by COCO's own tools."""
    folder.mkdir()
    browser.downloads(folder)
    browser.press("#transfer-coco")
    browser.wait_for_file(folder / "annotations.json")
    return COCO(folder / "annotations.json")


def points(coco, name):
    (image,) = [image for image in coco.imgs.values() if image["file_name"] == name]
    (note,) = coco.imgToAnns[image["id"]]
    return np.array(note["keypoints"]).reshape(-1, 3)


def scene(number):
    return make_scene(EXAMPLE[number], EXAMPLE_SIDE, kinds=("face",))


def truth(thing):
    return thing.keypoints[[thing.names.index(name) for name in FACE.keypoints]]


def test_clicks_are_carried_checked_and_exported(browser, other, tmp_path):
    carry(browser, "#transfer-example")
    assert browser.value(spots("transfer-board")) == 8
    browser.press("#transfer-clear")
    browser.wait(f"{HINT} == 'Click: left eye (1 of 8)' && {spots('transfer-board')} == 0")
    for number, (x, y) in enumerate(truth(scene(0).objects[0]) / EXAMPLE_SIDE, start=1):
        browser.click(*browser.place("#transfer-board .photo", x, y))
        browser.wait(f"{spots('transfer-board')} == {number}")
    browser.wait(f"{HINT}.startsWith('All 8 points')")
    browser.press("#transfer-undo")
    browser.wait(f"{HINT} == 'Click: right ear (8 of 8)'")
    browser.press("#transfer-skip")
    browser.wait(f"{HINT}.startsWith('All 8 points')")
    carry(browser, "#transfer-carry")

    before = download(browser, tmp_path / "before")
    right = []
    for number in range(1, 7):
        thing = scene(number).objects[0]
        found = points(before, f"face-{number + 1}.png")
        far = np.linalg.norm(found[:7, :2] + 0.5 - truth(thing)[:7], axis=1)
        right.append((far < 0.1 * np.ptp(thing.box.reshape(2, 2), axis=0).max()).mean())
        assert found[7].tolist() == [0, 0, 0]
    assert np.mean(right) > 0.75

    sure = {before.imgs[note["image_id"]]["file_name"]: note.get("score") for note in before.anns.values()}
    assert sure.pop("face-1.png") is None
    order = []
    for number in range(1, 7):
        order.append(browser.wait(f"{LINE}.startsWith('Photo {number} of 6') && {LINE}").split(": ")[1].split(",")[0])
        browser.press("#transfer-next")
    browser.wait(f"{LINE}.startsWith('Photo 1 of 6')")
    assert order == sorted(sure, key=sure.get)

    start = browser.place('#transfer-check [data-point="2"]', 0.5, 0.5)
    x, y, width = browser.value(
        "(r => [r.x, r.y, r.width])(document.querySelector('#transfer-check .photo').getBoundingClientRect())"
    )
    end = x + 0.25 * width, y + 0.75 * width
    browser.drag(start, end)
    browser.wait(f"!!{CORRECTED}")
    assert browser.value(LINE).endswith("corrected by hand")
    changed = download(browser, tmp_path / "changed")
    assert points(changed, order[0])[2, :2] + 0.5 == pytest.approx([64, 192], abs=1)
    assert points(changed, order[0])[3:].tolist() == points(before, order[0])[3:].tolist()

    browser.value("document.querySelector('#transfer-check [data-point=\"4\"]').focus()")
    for _ in range(3):
        browser.key("ArrowRight")
    browser.wait(f"{LINE}.endsWith('corrected by hand')")
    carry(browser, "#transfer-again")
    browser.wait(f"{LINE}.startsWith('Photo 1 of 6: {order[1]}') || !{LINE}.includes('{order[0]}')")
    again = download(browser, tmp_path / "again")
    assert points(again, order[0])[2].tolist() == points(changed, order[0])[2].tolist()
    moved = points(again, order[0])[4, :2] - points(before, order[0])[4, :2]
    assert moved == pytest.approx([3, 0], abs=0.01)
    for name in order[1:]:
        assert points(again, name).tolist() != points(before, name).tolist()

    browser.value("document.querySelector('#transfer-check .photo').focus()")
    browser.key("ArrowLeft")
    browser.wait(f"{LINE}.startsWith('Photo 6 of 6: {order[0]}')")
    assert other.value(HINT).startswith("Choose a photo")
    assert not other.value(shown("#transfer-check"))


def test_own_photos_a_bad_one_among_them_and_cancel(browser, tmp_path):
    for number in range(3):
        large = Image.fromarray(scene(number).image).resize((640, 480), Image.Resampling.BICUBIC)
        large.save(tmp_path / f"{number}.jpg")
    (tmp_path / "notes.png").write_text("no photo")
    template = {"name": "<i>face</i>", "keypoints": ["left <b>eye</b>", "nose"], "skeleton": [[1, 2]]}
    (tmp_path / "face.json").write_text(json.dumps({"categories": [template]}))
    browser.upload("#tab-transfer input[type=file][accept*=image]", tmp_path / "0.jpg")
    browser.wait(f"{HINT}.startsWith('Name the points')")
    browser.upload("#tab-transfer input[type=file][accept*=json]", tmp_path / "face.json")
    browser.wait(f"{HINT} == 'Click: left <b>eye</b> (1 of 2)'")
    browser.click(*browser.place("#transfer-board .photo", 0.5, 0.25))
    browser.wait(f"{spots('transfer-board')} == 1")
    assert browser.value("document.querySelector('#transfer-board .spot').innerText") == "left <b>eye</b>"
    browser.value("document.querySelector('#transfer-board .photo').focus()")
    browser.key("Enter")
    browser.wait(f"{HINT}.startsWith('All 2 points')")
    names = ("1.jpg", "notes.png", "2.jpg")
    browser.upload("#tab-transfer input[type=file][multiple]", *(tmp_path / name for name in names))
    browser.wait(f"{STOCK}.startsWith('2 photos to label') && {STOCK}.includes('notes.png cannot be read')")
    carry(browser, "#transfer-carry")
    coco = download(browser, tmp_path / "own")
    assert [image["file_name"] for image in coco.imgs.values()] == ["0.jpg", "1.jpg", "2.jpg"]
    assert points(coco, "0.jpg")[:, :2] + 0.5 == pytest.approx(np.array([[320, 120], [320, 240]]), abs=1)
    assert [(image["width"], image["height"]) for image in coco.imgs.values()] == [(640, 480)] * 3

    browser.press("#transfer-remove")
    browser.wait(f"{STOCK} == 'No photos to label yet.'")
    many = [tmp_path / f"many-{number}.jpg" for number in range(40)]
    for path in many:
        path.write_bytes((tmp_path / "1.jpg").read_bytes())
    browser.upload("#tab-transfer input[type=file][multiple]", *many)
    browser.wait(f"{STOCK} == '40 photos to label.'")
    browser.press("#transfer-carry")
    browser.wait("document.querySelector('#transfer-progress progress')?.value >= 2")
    browser.press("#transfer-cancel")
    browser.wait(shown("#transfer-carry"))
    done = int(browser.wait(f"{LINE}.startsWith('Photo 1 of') && {LINE}").split(" of ")[1].split(":")[0])
    assert 2 <= done < 40
    browser.press("#transfer-undo")
    browser.wait(f"{HINT} == 'Click: nose (2 of 2)'")
