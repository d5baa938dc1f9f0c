"""The tab Segment as a visitor meets it: a real server, a real browser."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from diffsight.app.segment import EXAMPLE
from diffsight.benchmarks.metrics import mask_score
from diffsight.world import make_scene

TAB = "segment"

STATUS = "(document.querySelector('#segment-status [role=status]')?.innerText ?? '')"
LINE = "document.querySelector('#segment-stage .line').innerText"
PARTS = "document.querySelectorAll('#segment-stage path').length"


@pytest.fixture
def visitor(browser):
    """A visitor who looks at the example, cut into parts."""
    browser.press("#segment-example")
    browser.wait(f"{PARTS} == 3 && {STATUS}.startsWith('3 parts')")
    browser.wait("document.querySelector('#segment-stage img').naturalWidth == 512")
    return browser


def slide(browser, solver, *levels):
    """Move a slider as a hand does: from one level to the next, at once."""
    browser.value(
        f"(s => {{ for (const v of {list(levels)}) {{ s.value = v;"
        "s.dispatchEvent(new Event('input', {bubbles: true})) } })"
        f"(document.querySelector('#segment-{solver} input[type=range]'))"
    )


def place_of(browser, part):
    """Where in the window the thickest place of a part is."""
    script = f"(p => [p.dataset.x, p.dataset.y].map(Number))(document.querySelectorAll('#segment-stage path')[{part}])"
    return browser.place("#segment-stage svg", *browser.value(script))


def download(browser, folder, name, button):
    browser.downloads(folder)
    browser.press(f"#segment-{button}")
    browser.wait_for_file(folder / name)
    return folder / name


def test_parts_of_the_example(visitor, tmp_path):
    seed, height, width = EXAMPLE
    truth = make_scene(seed, height, width).instances.astype(int)
    labels = np.asarray(Image.open(download(visitor, tmp_path, "labels.png", "labels")))
    assert mask_score([(labels, np.where(truth == 255, -1, truth))], 2).miou_present > 75
    told = json.loads(download(visitor, tmp_path, "parts.json", "parts").read_text())
    assert [one["name"] for one in told["segments"]] == ["black", "butterfly", "black"]
    assert Image.open(download(visitor, tmp_path, "overlay.png", "overlay")).size == (640, 480)

    for part in (1, 0):
        visitor.click(*place_of(visitor, part))
        visitor.wait(f"{LINE}.startsWith('Part {part + 1}')")
        share = float(re.search(r"([\d.]+)% of the photo", visitor.value(LINE))[1])
        assert share == round(100 * (labels == part).mean(), 1)
    assert visitor.value("document.querySelectorAll('#segment-stage path[aria-pressed=true]').length") == 1


def test_fewer_and_more(visitor):
    slide(visitor, "diffseg", 80)
    visitor.wait(f"{STATUS}.includes('(threshold 0.00829)') && {STATUS}.startsWith({PARTS} + ' parts')")
    assert visitor.value(PARTS) > 3
    slide(visitor, "diffseg", 10)
    visitor.wait(f"{STATUS}.includes('(threshold 0.549)') && {STATUS}.startsWith({PARTS} + ' parts')")
    assert visitor.value(PARTS) < 3
    visitor.press("#segment-solver input[value=kmeans]")
    visitor.wait(f"{STATUS}.includes('6 parts.') && {PARTS} == 6")
    visitor.wait("!!document.querySelector('#segment-kmeans') && !document.querySelector('#segment-diffseg')")
    slide(visitor, "kmeans", 9)
    visitor.wait(f"{STATUS}.includes('9 parts.') && {PARTS} == 9")


def test_of_a_slide_the_end_is_shown(visitor):
    asked = len(visitor.asked)
    slide(visitor, "diffseg", *range(51, 81))
    visitor.wait(f"{STATUS}.includes('threshold 0.00829')")
    visitor.wait("document.querySelector('#segment-diffseg input[type=range]').value == 80")
    cuts = [url for url in visitor.asked[asked:] if "queue/join" in url]
    assert 1 <= len(cuts) <= 5  # of 30 places


def test_names(visitor):
    called = "[...document.querySelectorAll('#segment-stage text')].map(t => t.textContent).join()"
    write = "(f => { f.value = '%s'; f.dispatchEvent(new Event('input', {bubbles: true})) })"
    write += "(document.querySelector('#segment-names textarea, #segment-names input'))"
    assert visitor.value(called) == "black,butterfly,black"
    visitor.value(write % "flag, black")
    visitor.press("#segment-name")
    visitor.wait(f"{called} == 'black,flag,black'")
    visitor.value(write % "butterfly, zebu")
    visitor.press("#segment-name")
    visitor.wait("document.body.innerText.includes(\"does not know the word 'zebu'\")")
    assert visitor.value(called) == "black,flag,black"


def test_keys(visitor):
    visitor.value("document.querySelector('#segment-stage path[tabindex=\"0\"]').focus()")
    visitor.wait(f"{LINE}.startsWith('Part 1')")
    visitor.key("ArrowRight")
    visitor.wait(f"{LINE}.startsWith('Part 2')")
    visitor.key("Enter")
    visitor.wait("document.querySelectorAll('#segment-stage path')[1].getAttribute('aria-pressed') == 'true'")
    visitor.key("Escape")
    visitor.wait("!document.querySelector('#segment-stage path[aria-pressed=true]')")


def test_where_the_model_looks(visitor):
    shown = "document.querySelector('#segment-stage img').src.length"
    before = visitor.value(shown)
    visitor.press("#segment-clicks input[value=look]")
    visitor.wait(f"{LINE}.startsWith('Click a spot')")
    visitor.click(*visitor.place("#segment-stage svg", 0.45, 0.55))
    visitor.wait(f"{LINE}.startsWith('Bright') && {shown} != {before}")
    visitor.wait("document.querySelector('#segment-stage img').naturalWidth == 640")
    at = round(0.45 * 640), round(0.55 * 480)
    assert min(visitor.pixel("#segment-stage img", at[0] + 5, at[1])) > 220  # the cross
    inside, outside = (sum(visitor.pixel("#segment-stage img", *xy)) for xy in ((at[0], at[1] + 25), (600, 440)))
    assert inside > outside + 60
    visitor.press("#segment-clicks input[value=part]")
    visitor.wait(f"{shown} == {before}")


def test_a_visit(browser, other, tmp_path):
    assert browser.value(STATUS) == "Choose a photo, or try the example."
    seed, height, width = EXAMPLE
    Image.fromarray(make_scene(seed, height, width).image).resize((1536, 1152)).save(tmp_path / "butterfly.png")
    field = "#tab-segment input[type=file], [id*=segment] input[type=file]"
    browser.upload(field, tmp_path / "butterfly.png")
    browser.wait(f"{PARTS} > 0")
    browser.wait("document.querySelector('#segment-stage img').naturalWidth == 1024")
    assert Image.open(download(browser, tmp_path, "labels.png", "labels")).size == (1536, 1152)

    before = browser.value(STATUS)
    (tmp_path / "notes.png").write_text("no photo")
    browser.upload(field, tmp_path / "notes.png")
    browser.wait("document.body.innerText.includes('notes.png is not a photo that can be read')")
    assert browser.value(STATUS) == before
    assert other.value(STATUS).startswith("Choose a photo")
