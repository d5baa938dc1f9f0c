"""What the buttons of the tab Match do: two photos, clicks on the left one, points on both.

A visitor's state is one frozen ``Session``; every button makes a new one of it. Nothing here knows of the web.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..draw import draw_spots, panel_size, segment_colours
from ..errors import InvalidInput
from ..grid import Size
from ..images import load_picture
from ..matching.matcher import Source
from ..types import Matches, Picture
from ..world import RESERVED, make_pair
from .limits import MAX_POINTS
from .models import Models
from .uploads import open_upload

EXAMPLE = (RESERVED + 777_002, 256, "car")
"""Seed, side and kind of the pair of pictures that is built in."""

SIDE = 1024
"""Longest side at which a photo is read, pixels; places are as fine, and a click in a large photo takes no longer."""

SPOT = 30
"""Side of a dot, pixels."""


@dataclass(frozen=True)
class Photo:
    """A photo that was read.

    Attributes:
        size: (height, width) as it was sent.
        source: what the network saw in it, reduced to ``SIDE``.
        shown: the photo at the size it has on the page.
    """

    size: Size
    source: Source
    shown: Image.Image

    @property
    def page_scale(self) -> np.ndarray:
        """(x, y) pixels of the page for one of the photo as it was sent."""
        return np.array(self.shown.size) / self.size[::-1]

    @property
    def read_scale(self) -> np.ndarray:
        """(x, y) pixels of what was read for one of the photo as it was sent."""
        return np.array(self.source.picture.size[::-1]) / self.size[::-1]


@dataclass(frozen=True)
class Session:
    """What one visitor has before them.

    Attributes:
        left: the photo that is clicked.
        right: the photo that is searched.
        found: the match of each click, in their order, in pixels of the photos as they were sent.
    """

    left: Photo | None = None
    right: Photo | None = None
    found: tuple[Matches, ...] = ()


class Row(NamedTuple):
    """A point in the table: pixels of the photos as they were sent, confidence 0 to 1 if it is known."""

    point: int
    confidence: float | None
    both_ways: bool
    left_x: float
    left_y: float
    right_x: float
    right_y: float

    @property
    def sure(self) -> str:
        """The confidence in per cent."""
        return "-" if self.confidence is None else f"{self.confidence:.0%}"


class Desk:
    """What the buttons do with a model.

    Args:
        models: shared by all visitors.
    """

    def __init__(self, models: Models) -> None:
        self.models = models

    def choose_left(self, session: Session, path: str) -> Session:
        """Read the photo that will be clicked; earlier points are gone."""
        return replace(session, left=self._read(open_upload(Path(path))), found=())

    def choose_right(self, session: Session, path: str) -> Session:
        """Read the photo that will be searched; earlier points are gone."""
        return replace(session, right=self._read(open_upload(Path(path))), found=())

    def example(self, session: Session) -> Session:
        """Take the built-in pair of pictures."""
        seed, side, kind = EXAMPLE
        pair = make_pair(seed, side, kind=kind)
        left, right = (self._read(load_picture(scene.image)) for scene in (pair.source, pair.target))
        return Session(left, right)

    def click(self, session: Session, place: tuple[float, float]) -> Session:
        """Find the point of a click in the right photo.

        Args:
            session: with both photos.
            place: (x, y) of the click in pixels of the left photo as it is shown.

        Raises:
            InvalidInput: if a photo is missing, or there are ``MAX_POINTS`` already.
        """
        if session.left is None or session.right is None:
            side = "left" if session.left is None else "right"
            raise InvalidInput(f"there is no photo on the {side} yet; choose one, or try the example")
        if len(session.found) == MAX_POINTS:
            raise InvalidInput(f"there are {MAX_POINTS} points, as many as fit; undo or clear some")
        left, right = session.left, session.right
        point = left.source.reading.fit.check_points([place / left.page_scale * left.read_scale])
        with self.models.lock:
            found, _ = self.models.matcher().find(replace(left.source, points=point), right.source.reading)
        found = replace(found, query=found.query / left.read_scale, matched=found.matched / right.read_scale)
        return replace(session, found=(*session.found, found))

    def _read(self, picture: Picture) -> Photo:
        image = Image.fromarray(picture.array())
        shown = image.resize(panel_size(picture), Image.Resampling.LANCZOS)
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
        with self.models.lock:
            source = self.models.matcher().source(np.asarray(image))
        return Photo(picture.size, source, shown)


def undo(session: Session) -> Session:
    """Take the last point back."""
    return replace(session, found=session.found[:-1])


def clear(session: Session) -> Session:
    """Take all points back; the photos stay."""
    return replace(session, found=())


def draw(session: Session) -> tuple[Image.Image | None, Image.Image | None]:
    """Both photos with their points; pale where the match does not lead back."""
    faint = np.array([bool(one.one_way[0]) for one in session.found])
    left = _marked(session.left, session, lambda one: one.query, None)
    return left, _marked(session.right, session, lambda one: one.matched, faint)


def _marked(
    photo: Photo | None, session: Session, place: Callable[[Matches], np.ndarray], faint: np.ndarray | None
) -> Image.Image | None:
    if photo is None:
        return None
    sheet = photo.shown.copy()
    points = np.array([place(one)[0] for one in session.found]).reshape(-1, 2) * photo.page_scale
    draw_spots(sheet, points, segment_colours(len(points)), faint, side=SPOT)
    return sheet


def status(session: Session) -> str:
    """What there is to see, or to do next, in one line."""
    if session.left is None and session.right is None:
        return "Choose two photos, or try the example."
    if session.left is None or session.right is None:
        return f"Now choose the photo on the {'left' if session.left is None else 'right'}."
    if not session.found:
        return "Click a spot in the left photo."
    row = rows(session)[-1]
    sure = "" if row.confidence is None else f", {row.sure} sure"
    doubt = "" if row.both_ways else "; doubtful: searched from there, it is found elsewhere (drawn pale)"
    return f"Point {row.point}: found at {row.right_x:.0f}, {row.right_y:.0f}{sure}{doubt}."


def rows(session: Session) -> list[Row]:
    """One row a point, in the order of the clicks."""
    return [
        Row(
            number,
            None if one.confidence is None else round(float(one.confidence[0]), 3),
            not one.one_way[0],
            *(round(float(value), 1) for value in (*one.query[0], *one.matched[0])),
        )
        for number, one in enumerate(session.found, start=1)
    ]


def table(session: Session) -> str:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows(session))
    return text.getvalue()
