"""Pictures of an alignment: matches as lines, and one photo laid over the other."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from .draw import MARGIN, panel_size
from .files import atomic
from .matching.homography import Alignment, Matrix
from .types import Matches, Picture
from .warping import PlaneWarp, compose, premultiply, warp_layer

GOOD, BAD = (40, 220, 90), (230, 60, 50)
FAINT = 90
"""Opacity of lines, 0 to 255, so that the photos show through many of them."""

LINES = 120
"""Lines drawn at most of each kind; every match has its dots."""

CHECKS = 8
"""Fields of the checkerboard along the longer side."""

Photo = npt.NDArray[np.uint8]


def draw_inliers(source: Picture, target: Picture, matches: Matches, alignment: Alignment) -> Image.Image:
    """Two photos side by side, a line for each match: green if it agrees with the alignment, red if not."""
    sizes = [panel_size(picture) for picture in (source, target)]
    shift = sizes[0][0] + MARGIN
    sheet = Image.new("RGB", (shift + sizes[1][0], max(height for _, height in sizes)), "white")
    for picture, size, left in zip((source, target), sizes, (0, shift), strict=True):
        sheet.paste(Image.fromarray(picture.array()).resize(size, Image.Resampling.LANCZOS), (left, 0))
    here, there = (
        points * (width / picture.size[1], height / picture.size[0]) + (left, 0)
        for points, picture, (width, height), left in zip(
            (matches.query, matches.matched), (source, target), sizes, (0, shift), strict=True
        )
    )
    pen = ImageDraw.Draw(sheet, "RGBA")
    for which, colour in ((~alignment.inliers, BAD), (alignment.inliers, GOOD)):
        chosen = np.flatnonzero(which)
        for i in _some(chosen):
            pen.line((*here[i], *there[i]), fill=(*colour, FAINT), width=2)
        for x, y in (*here[chosen], *there[chosen]):
            pen.ellipse((x - 2, y - 2, x + 2, y + 2), fill=colour)
    return sheet


def _some(indices: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    chosen = np.linspace(0, len(indices) - 1, min(len(indices), LINES)).round().astype(int)
    return indices[chosen]


def warp_source(source: Picture, target: Picture, matrix: Matrix) -> Photo:
    """The source as seen from the target, (H, W, 4) uint8 of the target's size; transparent where it does not reach."""
    warp = PlaneWarp(matrix, (source.size[1] / 2, source.size[0] / 2))
    layer = warp_layer(premultiply(source.array()), warp, target.size)
    colour = layer[..., :3] / np.maximum(layer[..., 3:], 1e-6)
    straight = np.concatenate([colour, layer[..., 3:]], axis=2)
    return np.asarray((straight * 255).round().clip(0, 255), dtype=np.uint8)


def overlay(warped: Photo, target: Picture) -> Image.Image:
    """The warped source in green and the target in magenta, by brightness: grey where they agree, coloured where not.

    Where the source does not reach, the target is grey.
    """
    below = np.asarray(Image.fromarray(target.array()).convert("L"), np.float32)
    above = np.asarray(Image.fromarray(warped[..., :3]).convert("L"), np.float32)
    alpha = warped[..., 3] / np.float32(255)
    green = (above * alpha + below * (1 - alpha)).round()
    return Image.fromarray(np.stack([below, green, below], axis=2).astype(np.uint8))


def checkerboard(warped: Photo, target: Picture) -> Image.Image:
    """Fields of the target and of the warped source in turn; edges run through where the alignment is right."""
    height, width = target.size
    field = max(height, width) / CHECKS
    rows, columns = ((np.arange(side) / field).astype(int) for side in (height, width))
    shown = (rows[:, None] + columns) % 2 == 1
    return Image.fromarray(compose(premultiply(warped) * shown[..., None].astype(np.float32), target.array()))


def save_blink(warped: Photo, target: Picture, path: Path) -> None:
    """Write an endless GIF that shows the target and the warped source on it in turn.

    Raises:
        OutputFailed: if it cannot be written.
    """
    size = panel_size(target)
    photos = (target.array(), compose(premultiply(warped), target.array()))
    frames = [Image.fromarray(photo).resize(size, Image.Resampling.LANCZOS) for photo in photos]
    both = Image.fromarray(np.vstack([np.asarray(frame) for frame in frames]))
    palette = both.quantize(256)  # one for both, so that nothing but the photos differs between them
    first, second = (frame.quantize(palette=palette) for frame in frames)
    with atomic(path) as part:
        first.save(part, save_all=True, append_images=[second], duration=600, loop=0)
