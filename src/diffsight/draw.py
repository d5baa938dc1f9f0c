"""Pictures of results: matches in numbered colours, heat maps."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .errors import InvalidInput
from .files import atomic
from .grid import Points
from .types import VOID, Picture, Segmentation

MARGIN = 12
PANEL = (640, 480)
"""Largest (width, height) of one photo in a drawing, pixels."""


GOLDEN = 0.618034


@dataclass(frozen=True)
class Panel:
    """A photo in a drawing, and the numbered points on it.

    Attributes:
        picture: the photo.
        points: (N, 2) pixels of the photo.
        faint: (N,) points to draw as rings instead of discs.
        title: a line above it.
    """

    picture: Picture
    points: Points
    faint: npt.NDArray[np.bool_] | None = None
    title: str = ""


def palette(count: int) -> list[tuple[int, int, int]]:
    """Clearly different colours, the same for the same count."""
    colours = []
    for i in range(count):
        red, green, blue = colorsys.hsv_to_rgb(i / max(1, count), 0.85 if i % 2 else 0.65, 1.0 if i % 2 else 0.92)
        colours.append((int(255 * red), int(255 * green), int(255 * blue)))
    return colours


def segment_colours(count: int) -> list[tuple[int, int, int]]:
    """Colours of segments: the i-th is the same however many there are, and far from the ones before it."""
    colours = []
    for i in range(count):
        level = (0.95, 0.75, 1.0)[i % 3]
        red, green, blue = colorsys.hsv_to_rgb((0.02 + i * GOLDEN) % 1, (0.75, 0.55, 0.9)[i % 3], level)
        colours.append((int(255 * red), int(255 * green), int(255 * blue)))
    return colours


def panel_size(picture: Picture) -> tuple[int, int]:
    """(width, height) at which a photo is drawn: as large as the panel allows, at least one pixel a side."""
    height, width = picture.size
    scale = min(PANEL[0] / width, PANEL[1] / height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def draw_panels(panels: Sequence[Panel]) -> Image.Image:
    """Draw photos side by side, with the same number and colour for the same point on each.

    Raises:
        InvalidInput: without a panel.
    """
    if not panels:
        raise InvalidInput("nothing to draw; give at least one photo")
    font = ImageFont.load_default(15)
    heading = 26
    sizes = [panel_size(panel.picture) for panel in panels]
    width = sum(w for w, _ in sizes) + MARGIN * (len(panels) + 1)
    sheet = Image.new("RGB", (width, max(h for _, h in sizes) + heading + MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    left = MARGIN
    for panel, (w, h) in zip(panels, sizes, strict=True):
        photo = Image.fromarray(panel.picture.array()).resize((w, h), Image.Resampling.LANCZOS)
        sheet.paste(photo, (left, heading))
        pen.text((left, 5), _shorten(panel.title or panel.picture.name, w, font), fill="black", font=font)
        scale = (w / panel.picture.size[1], h / panel.picture.size[0])
        draw_spots(sheet, panel.points * scale + (left, heading), palette(len(panel.points)), panel.faint)
        left += w + MARGIN
    return sheet


def draw_spots(
    sheet: Image.Image,
    points: Points,
    colours: Sequence[tuple[int, int, int]],
    faint: npt.NDArray[np.bool_] | None = None,
    *,
    side: int = 22,
) -> None:
    """Lay numbered discs over an image, which is changed.

    Args:
        sheet: the image.
        points: (N, 2) pixels of the image.
        colours: one for each point.
        faint: (N,) points to draw as rings instead of discs.
        side: of a disc, pixels.
    """
    for number, (point, colour) in enumerate(zip(points, colours, strict=True)):
        ring = faint is not None and bool(faint[number])
        spot = _spot(str(number + 1), colour, ring, side)
        sheet.paste(spot, (round(point[0] - side / 2), round(point[1] - side / 2)), spot)


def _shorten(text: str, width: int, font: Any) -> str:
    while len(text) > 4 and font.getlength(text) > width:
        text = text[: -4 if text.endswith("...") else -1].rstrip(".") + "..."
    return text


def _spot(text: str, colour: tuple[int, int, int], ring: bool, side: int = 22) -> Image.Image:
    """A numbered disc, drawn large and shrunk so that its edge is smooth."""
    fine = 4
    big = Image.new("RGBA", (side * fine, side * fine))
    pen = ImageDraw.Draw(big)
    edge = (1, 1, side * fine - 2, side * fine - 2)
    pen.ellipse(edge, fill=(*colour, 110 if ring else 255), outline=(0, 0, 0, 255), width=fine + 2)
    middle = side * fine / 2
    font = ImageFont.load_default(side * fine * 12 / 22)
    pen.text((middle, middle), text, fill=(0, 0, 0, 255), font=font, anchor="mm")
    return big.resize((side, side), Image.Resampling.LANCZOS)


def draw_heat(picture: Picture, scores: npt.NDArray[np.floating], point: npt.NDArray[np.float64] | None) -> Image.Image:
    """Lay a score map over a photo, dark for the lowest score and bright for the highest, with a cross at ``point``.

    Args:
        picture: the photo.
        scores: (rows, columns) over the whole photo, of any size; NaN counts as lowest.
        point: (x, y) in pixels of the photo.
    """
    from matplotlib import colormaps

    width, height = panel_size(picture)
    score = Image.fromarray(scores.astype(np.float32)).resize((width, height), Image.Resampling.BILINEAR)
    level = np.asarray(score) - np.nanmin(np.asarray(score))
    level = np.nan_to_num(level / max(float(np.nanmax(level)), 1e-12), nan=0.0)
    warm = Image.fromarray((colormaps["inferno"](level)[..., :3] * 255).astype(np.uint8))
    photo = (
        Image.fromarray(picture.array()).resize((width, height), Image.Resampling.LANCZOS).convert("L").convert("RGB")
    )
    sheet = Image.blend(photo, warm, 0.65)
    if point is not None:
        x, y = point[0] * width / picture.size[1], point[1] * height / picture.size[0]
        pen = ImageDraw.Draw(sheet)
        for length, colour, thickness in ((11, "black", 5), (10, "white", 2)):
            pen.line((x - length, y, x + length, y), fill=colour, width=thickness)
            pen.line((x, y - length, x, y + length), fill=colour, width=thickness)
    return sheet


def draw_segments(picture: Picture, segmentation: Segmentation, *, strength: float = 0.55) -> Image.Image:
    """Lay a segmentation over its photo: a colour for each segment, a dark outline between them, names if it has any.

    Args:
        picture: the photo.
        segmentation: of the same size.
        strength: of the colours, 0 to 1.

    Raises:
        InvalidInput: if the sizes differ.
    """
    if segmentation.labels.shape != picture.size:
        raise InvalidInput(f"labels of {segmentation.labels.shape} do not fit a photo of {picture.size}")
    width, height = panel_size(picture)
    photo = np.asarray(Image.fromarray(picture.array()).resize((width, height), Image.Resampling.LANCZOS), np.float32)
    rows = ((np.arange(height) + 0.5) * picture.size[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * picture.size[1] / width).astype(int)
    labels = segmentation.labels[rows[:, None], columns]
    seen = labels != VOID
    table = np.array([*segment_colours(len(segmentation)), (128, 128, 128)], np.float32)
    paint = table[np.where(seen, labels, len(segmentation))]
    sheet = photo + (paint - photo) * np.where(seen, strength, 0.7)[..., None]
    edge = np.zeros(labels.shape, bool)
    edge[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    edge[1:] |= labels[1:] != labels[:-1]
    sheet[edge] *= 0.25
    image = Image.fromarray(sheet.round().astype(np.uint8))
    for i, name in enumerate(segmentation.names):
        if name and (labels == i).any():
            _write_name(image, name, labels == i)
    return image


def draw_overlay(
    picture: Picture,
    *,
    labels: npt.NDArray[np.uint8] | None = None,
    points: Points | None = None,
    boxes: npt.NDArray[np.int64] | None = None,
    colours: npt.NDArray[np.uint8] | None = None,
    strength: float = 0.5,
) -> Image.Image:
    """Lay labels with a white outline, boxes and numbered points over a photo, at its own size.

    Args:
        picture: the photo.
        labels: (H, W) of its size; 0 and 255 are left as they are.
        points: (N, 2) pixels; NaN is left out.
        boxes: (N, 4) as (x0, y0, x1, y1); empty ones are left out.
        colours: (256, 3) of the labels; the i-th box has the colour of label i + 1.
        strength: of the colours, 0 to 1.

    Raises:
        InvalidInput: if labels have another size.
    """
    pixels = picture.array()
    table = np.array([(0, 0, 0), *segment_colours(255)], np.uint8) if colours is None else colours
    if labels is not None:
        if labels.shape != picture.size:
            raise InvalidInput(f"labels of {labels.shape} do not fit a photo of {picture.size}")
        shown = (labels != 0) & (labels != 255)
        across, down = labels[:, 1:] != labels[:, :-1], labels[1:] != labels[:-1]
        edge = np.zeros(labels.shape, bool)
        edge[:, 1:] |= across
        edge[:, :-1] |= across
        edge[1:] |= down
        edge[:-1] |= down
        paint = table[labels].astype(np.float32)
        pixels = np.where(shown[..., None], pixels + (paint - pixels) * strength, pixels).round().astype(np.uint8)
        pixels[edge & shown] = 255
    image = Image.fromarray(pixels)
    pen = ImageDraw.Draw(image)
    for (x0, y0, x1, y1), colour in zip([] if boxes is None else boxes.tolist(), table[1:].tolist(), strict=False):
        if x1 > x0:
            pen.rectangle((x0, y0, x1 - 1, y1 - 1), outline=tuple(colour), width=2)
    count = 0 if points is None else len(points)
    for number, ((x, y), colour) in enumerate(zip([] if points is None else points, palette(count), strict=True)):
        if not np.isnan(x):
            spot = _spot(str(number + 1), colour, False)
            image.paste(spot, (round(x - spot.width / 2), round(y - spot.height / 2)), spot)
    return image


def _write_name(image: Image.Image, name: str, mask: npt.NDArray[np.bool_]) -> None:
    """Write a name where the mask is thickest."""
    x, y = thickest(mask)
    pen = ImageDraw.Draw(image)
    font = ImageFont.load_default(14)
    half = font.getlength(name) / 2 + 2
    x = min(max(x, half), max(half, image.width - half))
    pen.text((x, y), name, fill="white", stroke_width=2, stroke_fill="black", font=font, anchor="mm")


def thickest(mask: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """The pixel (x, y) of an (H, W) mask that is farthest from its border."""
    import cv2

    padded = np.pad(mask, 1).astype(np.uint8)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = divmod(int(depth.argmax()), depth.shape[1])
    return float(x), float(y)


def outline_path(mask: npt.NDArray[np.bool_], scale: float, tolerance: float = 0.0) -> str:
    """The borders of a mask, holes included, as an SVG path.

    Args:
        mask: (H, W).
        scale: units of the page for one pixel.
        tolerance: how far the path may lie from the border, pixels; a short path needs few.
    """
    import cv2

    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    if tolerance:
        contours = [cv2.approxPolyDP(ring, tolerance, closed=True) for ring in contours]
    rings = [((ring[:, 0] + 0.5) * scale).round(1).tolist() for ring in contours]
    return " ".join("M" + " L".join(f"{x:g},{y:g}" for x, y in ring) + "Z" for ring in rings)


def draw_sheet(
    images: Sequence[Image.Image], titles: Sequence[str], *, columns: int = 4, side: int = 240
) -> Image.Image:
    """Lay pictures out on one sheet, each at most ``side`` pixels, with a line below it.

    Raises:
        InvalidInput: without a picture.
    """
    if not images:
        raise InvalidInput("nothing to draw; give at least one picture")
    columns = min(columns, len(images))
    line, cell = 22, side + MARGIN
    rows = -(-len(images) // columns)
    sheet = Image.new("RGB", (columns * cell + MARGIN, rows * (cell + line) + MARGIN), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for i, (image, title) in enumerate(zip(images, titles, strict=True)):
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        left, top = MARGIN + i % columns * cell, MARGIN + i // columns * (cell + line)
        sheet.paste(small, (left + (side - small.width) // 2, top + (side - small.height) // 2))
        pen.text((left, top + side + 3), _shorten(title, side, font), fill="black", font=font)
    return sheet


def save_picture(image: Image.Image, path: Path) -> None:
    """Write a picture whole or not at all; the format follows the name.

    Raises:
        OutputFailed: if it cannot be written.
    """
    with atomic(path) as part:
        image.save(part)
