"""The nouns of annotating: named points, boxes and masks on photos, whichever tool they came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..grid import Points, Size

ABSENT, HIDDEN, VISIBLE = 0, 1, 2
"""Visibility of a keypoint, as COCO counts it: not labelled, labelled but covered, seen."""

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels, edges of the photo at 0 and at its width and height."""


@dataclass(frozen=True)
class Category:
    """What is annotated.

    Attributes:
        name: of the category, unique within its annotations.
        keypoints: names of its K points, in order; empty where only boxes or masks are marked.
        bones: pairs of keypoint numbers, from 0, that are drawn as a skeleton.
    """

    name: str
    keypoints: tuple[str, ...] = ()
    bones: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, eq=False)
class Instance:
    """One object on one photo.

    Attributes:
        category: the name of its category.
        keypoints: (K, 2) as (x, y) in pixels of the upright photo, pixel centres at +0.5; NaN where ABSENT.
        visibility: (K,) of ABSENT, HIDDEN, VISIBLE.
        box: around it, if marked.
        mask: (H, W) where it is, if marked.
        point_confidence: (K,) how likely each point is right, 0 to 1; None for marks made by hand.
        confidence: likewise of the whole object.
    """

    category: str
    keypoints: Points
    visibility: npt.NDArray[np.int8]
    box: Box | None = None
    mask: npt.NDArray[np.bool_] | None = None
    point_confidence: npt.NDArray[np.float64] | None = None
    confidence: float | None = None


@dataclass(frozen=True, eq=False)
class AnnotatedPhoto:
    """A photo and what is marked on it.

    Attributes:
        name: the file's name as annotations hold it; a relative path with forward slashes.
        path: where the file is.
        size: (height, width) of the upright photo.
        instances: the objects.
    """

    name: str
    path: Path
    size: Size
    instances: tuple[Instance, ...] = ()


@dataclass(frozen=True, eq=False)
class Annotations:
    """Annotated photos and the categories they speak of."""

    categories: tuple[Category, ...]
    photos: tuple[AnnotatedPhoto, ...]

    def category(self, name: str) -> Category:
        """The category of a name; names are unique."""
        return next(own for own in self.categories if own.name == name)
