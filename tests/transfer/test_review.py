from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from diffsight.errors import OutputFailed, UnreadableFile
from diffsight.transfer.annotations import Annotations, Category
from diffsight.transfer.review import level, outline_path, write_review

HOSTILE = "<script>alert(1)</script>\"'&{{ 7 * 7 }}.png"


class Page(HTMLParser):
    """Every tag with its attributes, and the text of table cells and headings."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: dict[str, list[str]] = {}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.setdefault(self.inside, []).append(data.strip())

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for own, attributes in self.tags if own == tag]


def test_the_least_certain_photo_comes_first(album, folder):
    page = Page(write_review(album, folder / "out").read_text(encoding="utf-8"))
    assert page.words["h2"] == ["b.png", "in/写真 & 1.png", "c.jpg"]  # nothing, 0.625, marked by hand
    assert [own["data-confidence"] for own in page.all("article")] == ["0.0", "0.625", "1"]
    assert page.words["th"][1] == "Point"
    cells = [text for text in page.words["td"] if not text.isdigit()]
    assert cells == ["left eye", "nose", "nose", "left eye", "尾"]  # 0.25 before 0.9
    assert [own["class"] for own in page.all("g") if own.get("id")][:2] == ["sure", "doubtful hidden"]


def test_every_row_belongs_to_a_point_of_its_own(album, folder):
    photo = album.photos[0]
    first = photo.instances[0]
    lower = replace(first, confidence=0.125)
    several = replace(photo, instances=(first, first, lower))
    page = Page(write_review(Annotations(album.categories, (several,)), folder / "out").read_text(encoding="utf-8"))
    rows = [own["data-point"] for own in page.all("tr") if "data-point" in own]
    assert len(set(rows)) == len(rows) == 6
    assert set(rows) == {own["id"] for own in page.all("g") if own.get("id")}
    assert "dog 0.12, dog 0.62, dog 0.62" in page.words["p"]


def test_marks_lie_on_the_photo_as_it_is_shown(album, folder):
    page = Page(write_review(album, folder / "out").read_text(encoding="utf-8"))
    shown = [own for own in page.all("svg") if own.get("role") == "img"]
    assert [own["viewbox"] for own in shown] == ["0 0 640.0 480.0", "0 0 640.0 640.0", "0 0 426.67 640.0"]
    nose = next(own for own in page.all("circle") if own["cx"] == "102.5")
    assert nose["cy"] == "205.0"
    assert {"x": "50.0", "y": "0.0", "width": "350.0", "height": "500.0"}.items() <= next(
        own for own in page.all("rect") if own["class"] == "box"
    ).items()
    for image in page.all("img"):
        assert image["alt"]
        with Image.open(folder / "out" / str(image["src"])) as photo:
            assert max(photo.size) <= 640
    sizes = [Image.open(folder / "out" / "review" / f"000{n}.jpg").size for n in (1, 2, 3)]
    assert sizes == [(64, 64), (40, 30), (20, 30)]


def test_names_are_text_and_nothing_else(album, folder):
    image = album.photos[0].path.rename(folder / "odd.png")
    photo = replace(album.photos[0], name=HOSTILE, path=image)
    photo = replace(photo, instances=(replace(photo.instances[0], category=HOSTILE),))
    category = Category(HOSTILE, ("<b>nose", "onload='x'", "</title><script>"), ((0, 1),))
    path = write_review(Annotations((category,), (photo,)), folder / "out")
    page = Page(path.read_text(encoding="utf-8"))
    assert len(page.all("script")) == 1
    assert page.all("b") == []
    assert page.words["h2"] == [HOSTILE]
    assert page.all("article")[0]["data-name"] == f"{HOSTILE} {HOSTILE}"
    assert not any(key.startswith("on") for tag, own in page.tags for key in own if tag != "form")


def test_the_page_needs_nothing_from_elsewhere(album, folder):
    text = write_review(album, folder / "out").read_text(encoding="utf-8")
    assert not re.search(r"https?:|//|@import|url\(", text.replace("</", ""))
    page = Page(text)
    assert [own["src"] for own in page.all("img")] == [f"review/000{n}.jpg" for n in (2, 1, 3)]
    inputs = page.all("input")
    assert [own["type"] for own in inputs] == ["search", "range"]
    assert len(page.all("label")) == len(inputs)
    before = path_bytes(folder)
    write_review(album, folder / "out")
    assert path_bytes(folder) == before


def path_bytes(folder):
    return {path: path.read_bytes() for path in sorted((folder / "out").rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("confidence", "name"),
    [(None, "given"), (0, "doubtful"), (0.4999, "doubtful"), (0.5, "fair"), (0.8, "sure"), (1, "sure")],
)
def test_levels(confidence, name):
    assert level(confidence) == name


def test_outlines_go_around_a_mask_and_its_holes():
    mask = np.zeros((10, 10), bool)
    mask[2:8, 2:8] = True
    mask[4:6, 4:6] = False
    assert outline_path(mask, 2.0).count("M") == outline_path(mask, 2.0).count("Z") == 2
    assert "M5,5 L5,15 L15,15 L15,5Z" in outline_path(mask, 2.0)
    assert outline_path(np.zeros((3, 3), bool), 1.0) == ""


def test_photos_and_folders_that_cannot_be_used(album, folder):
    (folder / "file").touch()
    with pytest.raises(OutputFailed, match="is a file"):
        write_review(album, folder / "file")
    (folder / "b.png").write_bytes(b"no photo")
    with pytest.raises(UnreadableFile, match=r"b\.png"):
        write_review(album, folder / "out")
    assert not (folder / "out" / "review.html").exists()
