"""A page to look annotations over, the least certain photos first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ..draw import outline_path, save_picture
from ..files import atomic, check_writable
from ..images import load_picture
from .annotations import ABSENT, HIDDEN, AnnotatedPhoto, Annotations, Category, Instance, check

if TYPE_CHECKING:
    from jinja2 import Environment

SIDE = 640
"""Longer side of a photo on the page; what is marked on it is drawn in these units."""

FEW = 12
"""Points of a photo that are listed without being asked for."""

LEVELS = {"sure": 0.8, "fair": 0.5, "doubtful": 0.0}
"""The confidence at which each begins; ``given`` is what was marked by hand."""


@dataclass(frozen=True)
class Mark:
    """A point as the page shows it.

    Attributes:
        number: within its object, from 1.
        name: of the keypoint.
        x, y: in units of the page.
        hidden: whether it is covered.
        confidence: 0 to 1; None for one marked by hand.
        level: one of ``LEVELS``, or ``given``.
    """

    number: int
    name: str
    x: float
    y: float
    hidden: bool
    confidence: float | None
    level: str


@dataclass(frozen=True)
class Thing:
    """An object as the page shows it.

    Attributes:
        category: what it is.
        marks: its points, in their order.
        bones: (x0, y0, x1, y1) of each whose ends are both marked, in units of the page.
        box: (x, y, width, height) likewise, if marked.
        outline: of its mask, as an SVG path; empty without one.
        confidence: 0 to 1; None where all is marked by hand.
        level: one of ``LEVELS``, or ``given``.
    """

    category: str
    marks: tuple[Mark, ...]
    bones: tuple[tuple[float, ...], ...]
    box: tuple[float, ...] | None
    outline: str
    confidence: float | None
    level: str


@dataclass(frozen=True)
class Card:
    """A photo as the page shows it.

    Attributes:
        name: of the photo.
        picture: its path beside the page.
        size: (width, height) in units of the page.
        things: what is marked on it.
        confidence: that of its least certain object, 0 if none was found; None where all is marked by hand.
        level: one of ``LEVELS``, or ``given``.
    """

    name: str
    picture: str
    size: tuple[float, float]
    things: tuple[Thing, ...]
    confidence: float | None
    level: str

    @property
    def doubts(self) -> list[tuple[int, Mark]]:
        """Every point with its object's number, from 1; the least certain first, those marked by hand last."""
        pairs = [(number, mark) for number, thing in enumerate(self.things, start=1) for mark in thing.marks]
        return sorted(pairs, key=lambda pair: _rank(pair[1].confidence))


def write_review(annotations: Annotations, out: Path) -> Path:
    """Write ``review.html`` and, in ``review/``, the photos it shows.

    Args:
        annotations: to be looked over; their photos must be there.
        out: folder to write to; made if it is not there.

    Returns:
        The path of the page.

    Raises:
        InvalidInput: see ``check``.
        UnreadableFile: if a photo cannot be read.
        OutputFailed: if ``out`` cannot be written.
    """
    check(annotations)
    check_writable(out)
    cards = []
    for number, photo in enumerate(annotations.photos, start=1):
        name = f"review/{number:04d}.jpg"
        image = Image.fromarray(load_picture(photo.path).array())
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        save_picture(image, out / name)
        cards.append(_card(photo, annotations, name))
    cards.sort(key=lambda card: (_rank(card.confidence), card.name))
    text = _environment().get_template("review.html").render(cards=cards, levels=LEVELS, few=FEW)
    with atomic(out / "review.html") as part:
        part.write_text(text, encoding="utf-8")
    return out / "review.html"


def level(confidence: float | None) -> str:
    """How a confidence is called and coloured."""
    if confidence is None:
        return "given"
    return next(name for name, start in LEVELS.items() if confidence >= start)


def _rank(confidence: float | None) -> float:
    return 2.0 if confidence is None else confidence


def _card(photo: AnnotatedPhoto, annotations: Annotations, picture: str) -> Card:
    height, width = photo.size
    scale = SIDE / max(width, height)
    found = [_thing(own, annotations.category(own.category), scale) for own in photo.instances]
    things = tuple(sorted(found, key=lambda thing: _rank(thing.confidence)))
    sure = min((thing.confidence for thing in things), key=_rank) if things else 0.0
    return Card(photo.name, picture, (round(width * scale, 2), round(height * scale, 2)), things, sure, level(sure))


def _thing(instance: Instance, category: Category, scale: float) -> Thing:
    marked = np.flatnonzero(instance.visibility != ABSENT).tolist()
    places = {k: [round(side * scale, 2) for side in instance.keypoints[k].tolist()] for k in marked}
    known = instance.point_confidence
    marks = []
    for k, (x, y) in places.items():
        sure = None if known is None else float(known[k])
        hidden = bool(instance.visibility[k] == HIDDEN)
        marks.append(Mark(k + 1, category.keypoints[k], x, y, hidden, sure, level(sure)))
    bones = tuple((*places[a], *places[b]) for a, b in category.bones if a in places and b in places)
    box = None
    if instance.box is not None:
        x0, y0, x1, y1 = (float(side) * scale for side in instance.box)
        box = tuple(round(side, 2) for side in (x0, y0, x1 - x0, y1 - y0))
    whole = instance.confidence
    if whole is None and known is not None and marked:
        whole = float(known[marked].mean())
    outline = "" if instance.mask is None else outline_path(instance.mask, scale)
    return Thing(category.name, tuple(marks), bones, box, outline, whole, level(whole))


@cache
def _environment() -> Environment:
    """Templates beside this file; everything put into them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
