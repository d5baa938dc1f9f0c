"""A contact sheet: the point in the photo it was asked for, and where it was found in others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw

from ..draw import draw_sheet
from ..errors import UnreadableFile
from ..images import load_picture
from ..types import Picture
from .search import Found

SIDE = 240
"""Of a photo on the sheet, pixels."""


def draw_found(query: Picture, point: tuple[float, float], found: Sequence[Found]) -> Image.Image:
    """Lay the photo asked for and those found on one sheet, best first, with a ring around the point on each.

    A photo that is gone from its place, or can no longer be read, is a grey tile.
    """
    tiles, titles = [_mark(query, point)], [f"asked: {query.name}"]
    for rank, one in enumerate(found, start=1):
        try:
            tile = _mark(load_picture(Path(one.entry.path)), one.point)
        except UnreadableFile:
            tile = Image.new("RGB", (SIDE, SIDE), "lightgrey")
            ImageDraw.Draw(tile).text((SIDE / 2, SIDE / 2), "not there any more", fill="black", anchor="mm")
        tiles.append(tile)
        titles.append(f"{rank}  {one.cosine:.3f}  {one.entry.name}")
    return draw_sheet(tiles, titles, columns=5, side=SIDE)


def _mark(picture: Picture, point: tuple[float, float]) -> Image.Image:
    """A photo at the size of a tile, with a ring around a point."""
    height, width = picture.size
    scale = SIDE / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    tile = Image.fromarray(picture.array()).resize(size, Image.Resampling.LANCZOS, reducing_gap=2)
    pen = ImageDraw.Draw(tile)
    x, y = point[0] * size[0] / width, point[1] * size[1] / height
    for radius, colour, thickness in ((9, "black", 5), (8, "white", 3), (7, "red", 1)):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), outline=colour, width=thickness)
    return tile
