"""What the tab Match says, shows and hands out of a session: lines, tables, files."""

from __future__ import annotations

import csv
import io
import json
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..draw import Panel, draw_heat, draw_panels
from ..files import CONVENTION
from ..matching.rows import match_row
from .match_state import LEARNT, Session, check_photos
from .pictures import encode


class Row(NamedTuple):
    """A point in one photo: pixels of the photos as they were sent; None for what the method does not tell."""

    point: int
    target: str
    confidence: float | None
    both_ways: bool | None
    left_x: float
    left_y: float
    right_x: float
    right_y: float

    @property
    def sure(self) -> str:
        """The confidence in per cent."""
        return "-" if self.confidence is None else f"{self.confidence:.0%}"


def status(session: Session) -> str:
    """What there is to see, or to do next, in one line."""
    if not session.photos:
        return "Choose one photo to click and some to search, or try the example."
    if session.left is None or not session.targets:
        return f"Now choose {'the photo to click' if session.left is None else 'photos to search'}."
    if not session.points:
        return "Click a spot in the first photo."
    if session.known < len(session.points):
        waiting = len(session.points) - session.known
        if session.method != LEARNT:
            return f"Looking for {_count(waiting, 'point')}..."
        return f"{_count(waiting, 'point')} to learn: click more, or press Learn and find."
    last = [row for row in rows(session) if row.point == len(session.points)]
    doubt = any(row.both_ways is False for row in last)
    note = " Doubtful, drawn pale: searched from there, it is found elsewhere." if doubt else ""
    return f"Point {len(session.points)}: found in {', '.join(map(_find, last))}.{note}"


def _find(row: Row) -> str:
    notes = [f"{row.sure} sure"] if row.confidence is not None else []
    notes += ["doubtful"] if row.both_ways is False else []
    return f"{row.target} ({', '.join(notes)})" if notes else row.target


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def rows(session: Session) -> list[Row]:
    """One row a point and photo, in the order of the clicks."""
    return [
        Row(
            number + 1,
            target.name,
            None if own.matches.confidence is None else round(float(own.matches.confidence[number]), 3),
            None if own.matches.mutual is None else bool(own.matches.mutual[number]),
            *(round(float(value), 1) for value in (*own.matches.query[number], *own.matches.matched[number])),
        )
        for number in range(session.known)
        for target, own in zip(session.targets, session.found, strict=True)
    ]


def table(session: Session) -> bytes:
    """The rows as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Row._fields)
    writer.writerows(rows(session))
    return text.getvalue().encode()


def report(session: Session) -> bytes:
    """The matches as JSON, as ``diffsight match`` writes them."""
    matches = [
        match_row(target.name, number + 1, own.matches[number : number + 1])
        for target, own in zip(session.targets, session.found, strict=True)
        for number in range(session.known)
    ]
    return (json.dumps({"convention": CONVENTION, "matches": matches}, indent=2, allow_nan=False) + "\n").encode()


def drawing(session: Session) -> bytes:
    """All photos side by side with the points that were found, as ``diffsight match`` draws a pair; PNG.

    Raises:
        InvalidInput: if a photo is missing.
    """
    left = check_photos(session)
    panels = [Panel(left.picture, np.array(session.points[: session.known]).reshape(-1, 2) * left.scale)]
    for target, own in zip(session.targets, session.found, strict=True):
        panels.append(Panel(target.picture, own.matches.matched * target.scale, own.matches.one_way))
    return encode(draw_panels(panels), "png")


def heat_maps(session: Session) -> list[Image.Image]:
    """Each target with where else the last point looks alike; nothing if that was not asked, or is not known yet."""
    if not session.alike or session.known < len(session.points):
        return []
    return [
        draw_heat(target.picture, own.alike.cpu().numpy(), None)
        for target, own in zip(session.targets, session.found, strict=True)
        if own.alike is not None
    ]
