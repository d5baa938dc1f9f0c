"""The nouns of annotating: named points, boxes and masks on photos, whichever tool they came from."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
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

    def with_point(self, number: int, place: tuple[float, float] | None) -> Instance:
        """The object with a point set right by hand, and sure, then; box and mask, which may not fit it, are left out.

        Args:
            number: of the point, from 0.
            place: (x, y) in pixels of the photo; None if it does not show.
        """
        keypoints, visibility = self.keypoints.copy(), self.visibility.copy()
        keypoints[number] = (np.nan, np.nan) if place is None else place
        visibility[number] = ABSENT if place is None else VISIBLE
        if self.point_confidence is None:
            return Instance(self.category, keypoints, visibility)
        sure = self.point_confidence.copy()
        sure[number] = place is not None
        shown = sure[visibility != ABSENT]
        whole = float(shown.mean()) if len(shown) else 0.0
        return Instance(self.category, keypoints, visibility, point_confidence=sure, confidence=whole)


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
    photos: Sequence[AnnotatedPhoto]

    def category(self, name: str) -> Category:
        """The category of a name; names are unique."""
        return next(own for own in self.categories if own.name == name)


def check(annotations: Annotations) -> Annotations:
    """Return annotations as they are, having refused what no tool could show.

    Raises:
        InvalidInput: for a name that occurs twice or holds control characters, a bone between points that are not
            there, arrays of another length or size than their category or photo asks for, a visibility or confidence
            that is none, or a keypoint or box outside its photo.
    """
    _check_names("category", [category.name for category in annotations.categories])
    _check_names("photo", [photo.name for photo in annotations.photos])
    for category in annotations.categories:
        _check_names(f"keypoint of {category.name!r}", category.keypoints)
        for bone in category.bones:
            if not all(0 <= end < len(category.keypoints) for end in bone):
                raise InvalidInput(
                    f"a bone of {category.name!r} joins points {bone[0] + 1} and {bone[1] + 1}; "
                    f"points are counted from 1 to {len(category.keypoints)}"
                )
    known = {category.name: category for category in annotations.categories}
    for photo in annotations.photos:
        for instance in photo.instances:
            if instance.category not in known:
                raise InvalidInput(f"{photo.name} shows {instance.category!r}; known are {', '.join(known) or 'none'}")
            _check_points(photo, instance, known[instance.category])
            _check_region(photo, instance)
            _check_confidence(photo, instance)
    return annotations


def _check_names(what: str, names: Sequence[str]) -> None:
    for name in names:
        if not isinstance(name, str) or not name.strip():
            raise InvalidInput(f"a {what} is named {name!r}; give every {what} a name")
        if any(unicodedata.category(sign) in ("Cc", "Cs") or sign in "\ufffe\uffff" for sign in name):
            raise InvalidInput(f"the {what} {name!r} holds control characters; rename it")
    for name, count in Counter(names).items():
        if count > 1:
            raise InvalidInput(f"the {what} {name!r} is there {count} times; name each once")


def _check_points(photo: AnnotatedPhoto, instance: Instance, category: Category) -> None:
    count = len(category.keypoints)
    if instance.keypoints.shape != (count, 2) or instance.visibility.shape != (count,):
        raise InvalidInput(
            f"{photo.name}: {len(instance.keypoints)} keypoints and {len(instance.visibility)} visibilities, but "
            f"{category.name!r} has {count}; give one of each for every keypoint"
        )
    if not np.isin(instance.visibility, (ABSENT, HIDDEN, VISIBLE)).all():
        raise InvalidInput(f"{photo.name}: visibility {instance.visibility.tolist()}; use 0, 1 or 2")
    height, width = photo.size
    for name, (x, y), visibility in zip(category.keypoints, instance.keypoints, instance.visibility, strict=True):
        if visibility != ABSENT and not (0 <= x <= width and 0 <= y <= height):  # NaN fails every comparison
            raise InvalidInput(
                f"{photo.name}: keypoint {name!r} at ({x:g}, {y:g}) is outside the photo of {width}x{height} pixels; "
                "move it inside or mark it as not labelled"
            )


def _check_region(photo: AnnotatedPhoto, instance: Instance) -> None:
    height, width = photo.size
    if instance.box is not None:
        x0, y0, x1, y1 = instance.box
        if not (0 <= x0 <= x1 <= width and 0 <= y0 <= y1 <= height):
            raise InvalidInput(
                f"{photo.name}: the box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) of a {instance.category!r} is not within the "
                f"photo of {width}x{height} pixels; give corners (x0, y0, x1, y1) inside it"
            )
    if instance.mask is not None and instance.mask.shape != photo.size:
        rows, columns = instance.mask.shape
        raise InvalidInput(
            f"{photo.name}: a mask of {columns}x{rows} on a photo of {width}x{height} pixels; give one of its size"
        )


def _check_confidence(photo: AnnotatedPhoto, instance: Instance) -> None:
    points, whole = instance.point_confidence, instance.confidence
    if points is not None and points.shape != instance.visibility.shape:
        raise InvalidInput(
            f"{photo.name}: {len(points)} confidences for {len(instance.visibility)} keypoints; give one for each"
        )
    marked = [] if points is None else points[instance.visibility != ABSENT].tolist()
    for value in (*marked, *(() if whole is None else (whole,))):
        if not 0 <= value <= 1:
            raise InvalidInput(f"{photo.name}: a confidence of {value:g}; use 0 to 1")
