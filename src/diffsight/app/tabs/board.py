"""A photo with named points on it that can be set, dragged, moved by arrow keys and taken off."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr
import numpy as np

from ...transfer.annotations import ABSENT, AnnotatedPhoto, Category
from ...transfer.review import level
from ..pictures import data_url
from .parts import scripted

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent


def board(name: str) -> gr.HTML:
    """An empty board.

    Its events: ``place`` (x, y), a click beside the points; ``shift`` (point, x, y), a point was moved; ``take_off``
    (point), it was dragged off the photo, or deleted; ``turn`` (by), an arrow key beside the points. Places are
    parts of the photo's width and height, points are counted from 0.

    Args:
        name: of the element.
    """
    return scripted("board", elem_id=name, visible=False)


def draw(photo: AnnotatedPhoto, shown: Path, category: Category, help: str) -> str:
    """What a board shows.

    Args:
        photo: with its only object.
        shown: the photo at the size it has on the page, JPEG.
        category: of the object.
        help: how to use it, for those who hear the page.
    """
    (own,) = photo.instances
    height, width = photo.size
    shares = own.keypoints / (width, height) * 100
    there = np.flatnonzero(own.visibility != ABSENT).tolist()
    sure = [None if own.point_confidence is None else float(own.point_confidence[k]) for k in there]
    spots = [
        {"k": k, "name": category.keypoints[k], "x": shares[k, 0], "y": shares[k, 1], "sure": one, "level": level(one)}
        for k, one in zip(there, sure, strict=True)
    ]
    bones = [(*shares[a], *shares[b]) for a, b in category.bones if a in there and b in there]
    image = data_url(shown.read_bytes())
    page = _environment().get_template("board.html")
    return page.render(name=photo.name, width=width, height=height, spots=spots, bones=bones, image=image, help=help)


@cache
def _environment() -> Environment:
    """Templates beside this file; everything put into them is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
