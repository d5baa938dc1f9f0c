"""The photos of the tab Match, with their points, as HTML.

The photos are sent once, as files; a click sends the places of the points alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import gradio as gr
import numpy as np
from PIL import Image

from ...draw import panel_size, segment_colours
from ...grid import Points
from ..match_results import heat_maps
from ..match_state import Photo, Session
from ..pictures import data_url, encode
from .parts import scripted

KEYS = "Click a spot; by keyboard, move the cross with the arrow keys and press Enter."


def photos_part(session: Session) -> gr.HTML:
    """The part of the page; its event ``mark`` tells the place of a click in the first photo, 0 to 1."""
    return scripted("match", photos_html(session), elem_id="match-photos")


def photos_html(session: Session) -> str:
    """All photos with their points, or frames that say what belongs there."""
    figures = [_left(session)]
    heats: list[Image.Image | None] = [*heat_maps(session)] or [None] * len(session.targets)
    for i, (target, heat) in enumerate(zip(session.targets, heats, strict=True)):
        matches = session.found[i].matches if session.found else None
        places = np.zeros((0, 2)) if matches is None else matches.matched
        dots = _dots(target, places, [] if matches is None else matches.one_way.tolist())
        what = f"{target.name}, where the points are looked for"
        figures.append(_figure("match-targets", target.name, _image(target, what, heat) + dots))
    if not session.targets:
        figures.append(_empty("match-targets", "the photos to search"))
    return f'<div class="photos">{"".join(figures)}</div>'


def _left(session: Session) -> str:
    if session.left is None:
        return _empty("match-left", "the photo to click")
    photo = session.left
    points = np.array(session.points).reshape(-1, 2)
    inside = _image(photo, f"{photo.name}, with the points", None) + _dots(photo, points, [False] * len(points))
    label = escape(f"{photo.name}. {KEYS}")
    return _figure(
        "match-left",
        f"Click here: {photo.name}",
        f'{inside}<span class="cross"></span>',
        f'class="photo clicked" tabindex="0" role="application" aria-label="{label}"',
    )


def _figure(upload: str, caption: str, inside: str, photo: str = 'class="photo"') -> str:
    return (
        f'<figure data-upload="{upload}"><figcaption>{escape(caption)}</figcaption><div {photo}>{inside}</div></figure>'
    )


def _empty(upload: str, what: str) -> str:
    return (
        f'<figure data-upload="{upload}"><div class="empty">Drop {what} here, or use the button above.</div></figure>'
    )


def _image(photo: Photo, alt: str, heat: Image.Image | None) -> str:
    width, height = panel_size(photo.picture)
    address = f"gradio_api/file={photo.file}" if heat is None else data_url(encode(heat, "jpeg"))
    return f'<img src="{address}" alt="{escape(alt)}" width="{width}" height="{height}" draggable="false">'


def _dots(photo: Photo, points: Points, faint: Sequence[bool]) -> str:
    """Numbered discs at points in pixels of the photo as it was sent."""
    shares = 100 * points / photo.size[::-1]
    spots = zip(shares.tolist(), segment_colours(len(points)), faint, strict=True)
    return "".join(
        f'<span class="dot{" faint" * pale}{" last" * (number == len(points))}" aria-hidden="true" '
        f'style="left:{x:.3f}%;top:{y:.3f}%;background:rgb{colour};color:{_ink(colour)}">{number}</span>'
        for number, ((x, y), colour, pale) in enumerate(spots, start=1)
    )


def _ink(colour: tuple[int, int, int]) -> str:
    """Black or white, whichever reads better on a colour."""
    red, green, blue = ((value / 255) ** 2.2 for value in colour)
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.18 else "white"
