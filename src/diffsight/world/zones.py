"""Parts of parts: every part is cut into a few zones with names of their own, such as "wing rearmost".

The zones are cells of a grid over the part's canonical outline, so they bend and turn with the part. Their names are
what a language has for places on a thing: nothing here knows of keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from .anatomy import Category, Part, box, categories
from .paint import Array
from .scene import Scene, carry

CELL, MOST = 0.32, 3
"""Side of a zone in the canonical frame, about; and how many there are along a side of a part, at most."""

ROWS = {1: ("",), 2: ("top", "bottom"), 3: ("top", "middle", "bottom")}
COLUMNS = {
    True: {1: ("",), 2: ("rearmost", "foremost"), 3: ("rearmost", "central", "foremost")},
    False: {1: ("",), 2: ("leftmost", "rightmost"), 3: ("leftmost", "central", "rightmost")},
}
"""Names of rows and columns by their number; those of columns differ for things that are seen from the side."""


@dataclass(frozen=True)
class Zone:
    """A piece of a part.

    Attributes:
        label: the part's label and where on it: "near hind leg bottom".
        noun: index of the label's word that names the part.
        part: index of the part.
        outline: (N, 2) closed outline in the canonical frame; what lies outside the part does not count.
    """

    label: str
    noun: int
    part: int
    outline: Array


@cache
def zones(name: str) -> tuple[Zone, ...]:
    """All zones of a category, by the order of its parts."""
    category = categories()[name]
    return tuple(zone for index in range(len(category.parts)) for zone in _cut(category, index))


def zone_masks(scene: Scene) -> Iterator[tuple[Zone, Array]]:
    """Every zone of every object with the (H, W) bool mask of where it shows, if it does."""
    height, width = scene.parts.shape
    for number, thing in enumerate(scene.objects, start=1):
        category, own = categories()[thing.category], zones(thing.category)
        points = np.concatenate([zone.outline for zone in own])
        owners = [zone.part for zone in own for _ in zone.outline]
        carried = carry(category, thing.pose, points, owners, height, width)
        outlines = np.split(carried, np.cumsum([len(zone.outline) for zone in own])[:-1])
        shown = np.where(scene.instances == number, scene.parts, 0)
        for zone, outline in zip(own, outlines, strict=True):
            inside = np.zeros((height, width), np.uint8)
            cv2.fillPoly(inside, [np.round((outline - 0.5) * 16).astype(np.int32)], 1, shift=4)
            mask = (shown == zone.part + 1) & inside.astype(bool)
            if mask.any():
                yield zone, mask


def _cut(category: Category, index: int) -> Iterator[Zone]:
    part, label = category.parts[index], category.labels[index]
    left, top, right, bottom = _bounds(part)
    columns, rows = (int(np.clip(round(span / CELL), 1, MOST)) for span in (right - left, bottom - top))
    x, y = np.linspace(left, right, columns + 1), np.linspace(top, bottom, rows + 1)
    for row, vertical in enumerate(ROWS[rows]):
        for column, horizontal in enumerate(COLUMNS[category.profile][columns]):
            cell = box(x[column], y[row], x[column + 1], y[row + 1])
            name = " ".join(filter(None, (label, vertical, horizontal)))
            yield Zone(name, len(label.split()) - 1, index, cell)


def _bounds(part: Part) -> tuple[float, float, float, float]:
    """(x0, y0, x1, y1), a little wider than the outline, so that rounding leaves nothing out."""
    low, high = part.outline.min(axis=0) - 0.02, part.outline.max(axis=0) + 0.02
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])
