"""Marks of a few photos carried to another: points, box and mask, and how far they may be trusted."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Points, Size
from ..matching.confidence import Calibrations, Signals
from ..matching.locate import Reference, locate
from ..matching.refine import Cells, Refinement, mirror, mirror_points, view_distance
from ..matching.shape import FEWEST, fit_similarity
from ..readers import Reader
from ..types import VOID, Picture, Segmentation
from ..video.labels import boxes, objects, piece_boxes, read_mask
from ..video.propagate import Propagation, propagate
from .annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Box, Category, Instance

SPREAD = Propagation(radius=10_000, top=15, temperature=0.05)
"""Every cell takes the labels of the cells most like it in any reference."""

Flip = Literal["auto", "on", "off"]

RIGHT = 0.1
"""A reference's point is found by the others if it lies within this fraction of the points' extent."""

WORD = re.compile(r"(?i:left|right)|[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+|[^\W\d_]+")
"""A word in any writing: ``left_eye``, ``leftEye``, ``lefteye``, ``LEye``, ``L eye``."""

SIDES = {"left": "right", "right": "left", "l": "r", "r": "l"}


@dataclass(frozen=True)
class CarrySettings:
    """How marks are carried over.

    Attributes:
        how: how points are found; its ``flip`` is chosen by the next.
        flip: ``on`` also tries references mirrored, ``off`` does not; ``auto`` does where names tell left from right,
            and else if that finds the references' points in each other better, which needs two of them.
        votes: references that are asked about a photo: those most like it.
        abstain_below: points less sure than this are left out, 0 to 1.
        seen_from: points at least as sure as this are called visible, others hidden.
    """

    how: Refinement = field(default_factory=Refinement)
    flip: Flip = "auto"
    votes: int = 8
    abstain_below: float = 0.0
    seen_from: float = 0.4

    def __post_init__(self) -> None:
        if self.flip not in get_args(Flip):
            raise InvalidInput(f"unknown flip {self.flip!r}; use {', '.join(get_args(Flip))}")
        if self.votes < 1:
            raise InvalidInput(f"{self.votes} references cannot vote; use 1 or more")
        for name in ("abstain_below", "seen_from"):
            if not 0 <= getattr(self, name) <= 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; use 0 to 1")


@dataclass(frozen=True, eq=False)
class Known:
    """An annotated object, ready to be found in other photos.

    Attributes:
        key: a digest of its photo's name and its marks.
        instance: its marks.
        reference: its points and what the network saw.
        labels: (2, h, w) how far each cell is background and object, if a mask or box says so.
    """

    key: str
    instance: Instance
    reference: Reference
    labels: Tensor | None


@dataclass(frozen=True, eq=False)
class Carried:
    """What was carried to a photo.

    Attributes:
        instance: the marks.
        signals: of each point.
        used: keys of the references that voted.
    """

    instance: Instance
    signals: Signals
    used: tuple[str, ...]


def other_sides(names: Sequence[str]) -> tuple[int, ...]:
    """For each name the number of the one on the other side, such as ``right eye`` for ``left_eye``; else its own.

    A side is the word left or right, or L or R alone, in any writing; the other name must be there too.
    """
    split = [tuple(word.lower() for word in WORD.findall(name)) for name in names]
    number = {words: i for i, words in enumerate(split)}
    others = [tuple(SIDES.get(word, word) for word in words) for words in split]
    return tuple(
        i if words == own else number.get(words, i) for i, (own, words) in enumerate(zip(split, others, strict=True))
    )


class Carrier:
    """Carries the marks of one category from annotated photos to others; one object a photo is looked for.

    Args:
        reader: what reads photos.
        category: of the objects.
        settings: how marks are carried over.
        calibrations: from signals to the probability that a point is right.
    """

    def __init__(
        self,
        reader: Reader,
        category: Category,
        settings: CarrySettings,
        calibrations: Calibrations,
    ) -> None:
        self.reader = reader
        self.category = category
        self.settings = settings
        self.calibrations = calibrations
        self.known: list[Known] = []
        self._swap = other_sides(category.keypoints)
        self._flips: bool | None = None

    def learn(self, photo: AnnotatedPhoto, picture: Picture) -> None:
        """Take a photo's objects of the category as references.

        Raises:
            InvalidInput: for a mask or box that holds no pixel.
        """
        self._flips = None
        instances = [own for own in photo.instances if own.category == self.category.name]
        if not instances:
            return
        plain, *others = map(
            Cells.of, self.reader.read([picture] if self.settings.flip == "off" else [picture, mirror(picture)])
        )
        flipped = others[0] if others else None
        for instance in instances:
            points = np.where(instance.visibility[:, None] == VISIBLE, instance.keypoints, np.nan)
            reference = Reference.of(plain, points, flipped, self._swap, self.settings.how.sampling)
            self.known.append(Known(_key(photo, instance), instance, reference, _cell_labels(instance, photo, plain)))

    def read(self, picture: Picture) -> Cells:
        """Read a photo that the object is to be found in."""
        return Cells.of(self.reader.read([picture])[0])

    def carry(self, target: Cells, parts: Segmentation | None = None) -> Carried:
        """Find the object in another photo.

        Args:
            target: from ``read``.
            parts: the photo cut into parts; the object's mask is put together from them.

        Raises:
            InvalidInput: if nothing was learnt.
        """
        if not self.known:
            raise InvalidInput(f"no reference shows {self.category.name!r}; annotate one or more photos of it")
        known = self.nearest(target.coarse)
        how = replace(self.settings.how, flip=self.flips)
        found = locate([own.reference for own in known], target, how, self.reader.channels)
        chances = self.calibrations.suit(len(known))(found.signals)
        sure = np.where(np.isfinite(found.points).all(axis=1), chances, np.nan)
        kept = np.isfinite(sure) & (np.nan_to_num(sure) >= self.settings.abstain_below)
        visibility = np.where(kept, np.where(sure >= self.settings.seen_from, VISIBLE, HIDDEN), ABSENT).astype(np.int8)
        points = np.where(kept[:, None], found.points, np.nan)
        box = _moved_box(known, found.flipped, found.points, np.nan_to_num(sure), target.reading.fit.original)
        object_map = None if box is not None and parts is None else _object_map(known, target)
        if box is None and object_map is not None:
            box = _object_box(object_map, target)
        mask = None if parts is None else _mask(parts, object_map, target, points, box)
        whole = float(np.nanmean(sure)) if kept.any() else (0.0 if object_map is None else _sureness(object_map))
        instance = Instance(
            self.category.name,
            points,
            visibility,
            box,
            mask,
            point_confidence=np.where(kept, sure, 0.0),
            confidence=whole,
        )
        return Carried(instance, found.signals, tuple(own.key for own in known))

    @property
    def flips(self) -> bool:
        """Whether mirrored references are tried; learnt from the references if that is left to them."""
        if self.settings.flip != "auto":
            return self.settings.flip == "on"
        if self._flips is None:
            sided = self._swap != tuple(range(len(self._swap)))
            self._flips = sided or self._agreement(flip=True) > self._agreement(flip=False)
        return self._flips

    def _agreement(self, flip: bool) -> float:
        """The share of points that references find in each other, each by all the others; 0 if there are not two."""
        how, right = replace(self.settings.how, flip=flip), [np.zeros(0, bool)]
        asked = [own.reference for own in self.known[: self.settings.votes] if own.reference.plain.known.any()]
        for own in asked if len(asked) > 1 else []:
            points = own.plain.points
            found = locate([other for other in asked if other is not own], own.plain.cells, how).points
            far = np.linalg.norm(found - points, axis=1)
            right.append(far[np.isfinite(far)] <= RIGHT * np.ptp(points[own.plain.known], axis=0).max())
        found_by_others = np.concatenate(right)
        return float(found_by_others.mean()) if len(found_by_others) else 0.0

    def nearest(self, coarse: Tensor) -> list[Known]:
        """The references that vote on a photo, by its ``Cells.coarse``: those with the view most like it."""
        if len(self.known) <= self.settings.votes:
            return self.known
        far = [min(view_distance(view.cells.coarse, coarse) for view in own.reference.views) for own in self.known]
        return [self.known[i] for i in np.argsort(far, kind="stable")[: self.settings.votes]]


def _key(photo: AnnotatedPhoto, instance: Instance) -> str:
    digest = hashlib.blake2b(repr((photo.name, instance.category, instance.box)).encode(), digest_size=8)
    for marks in (instance.keypoints, instance.visibility, instance.mask):
        digest.update(b"-" if marks is None else np.ascontiguousarray(marks).tobytes())
    return digest.hexdigest()


def _extent(points: Points) -> Box:
    """The tight box around the points that are known."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _cell_labels(instance: Instance, photo: AnnotatedPhoto, cells: Cells) -> Tensor | None:
    """What a mask says; or a box, if there are too few points to move it by."""
    try:
        if instance.mask is not None:
            target = objects(instance.mask.astype(np.uint8), photo.size)
        elif instance.box is not None and (instance.visibility == VISIBLE).sum() < FEWEST:
            target = boxes([instance.box], photo.size)
        else:
            return None
    except InvalidInput as error:
        raise InvalidInput(f"{photo.name}: {error}") from None
    return target.soft(cells.reading.fit, cells.grid, "area")


def _object_map(known: Sequence[Known], target: Cells) -> Tensor | None:
    """How far each cell is background and object (2, h, w), by the cells most like it in the references."""
    marked = [own for own in known if own.labels is not None]
    if not marked:
        return None
    maps = [
        cells.vectors.unflatten(0, cells.grid) for cells in (target, *(own.reference.plain.cells for own in marked))
    ]
    labels = [own.labels for own in marked if own.labels is not None]
    return propagate(maps[0], maps[1:], labels, SPREAD)


def _object_box(object_map: Tensor, target: Cells) -> Box | None:
    mask = read_mask(object_map, (1,), target.reading.fit, spread=False)
    x0, y0, x1, y1 = piece_boxes(mask, (1,))[0].tolist()
    return (float(x0), float(y0), float(x1), float(y1)) if x1 > x0 else None


def _sureness(object_map: Tensor) -> float:
    """The mean share of the object among the cells where it prevails; 0 where it prevails nowhere."""
    own = object_map[1][object_map[1] > 0.5]
    return float(own.mean()) if len(own) else 0.0


def _moved_box(
    known: Sequence[Known],
    flipped: npt.NDArray[np.bool_],
    points: Points,
    sure: npt.NDArray[np.float64],
    size: Size,
) -> Box | None:
    """The references' boxes, moved and scaled as their points are: the mean over references, within the photo."""
    moved = []
    for own, flip in zip(known, flipped, strict=True):
        view = own.reference.flipped if flip else own.reference.plain
        assert view is not None
        shown = view.known & np.isfinite(points).all(axis=1)
        if shown.sum() < FEWEST:
            continue
        corners = np.array(own.instance.box or _extent(own.instance.keypoints)).reshape(2, 2)
        if flip:
            corners = mirror_points(corners, view.cells.reading.fit.original[1])
        similarity = fit_similarity(view.points[shown], points[shown], sure[shown] + 1e-6)
        middle = similarity(corners.mean(axis=0, keepdims=True))[0]
        half = np.abs(corners[1] - corners[0]) * similarity.scale / 2
        moved.append(np.concatenate([middle - half, middle + half]))
    if not moved:
        return None
    x0, y0, x1, y1 = np.clip(np.mean(moved, axis=0), 0, [size[1], size[0]] * 2)
    return (float(x0), float(y0), float(x1), float(y1)) if min(x1 - x0, y1 - y0) >= 1 else None


def _mask(
    parts: Segmentation, object_map: Tensor | None, target: Cells, points: Points, box: Box | None
) -> npt.NDArray[np.bool_] | None:
    """The parts that the references' masks cover by half or more; without masks, those that points lie in."""
    labels = np.where(parts.labels == VOID, len(parts), parts.labels).astype(np.int64)
    if object_map is not None:
        inside = read_mask(object_map, (1,), target.reading.fit, spread=False) == 1
    elif box is not None:
        inside = boxes([box], labels.shape).mask == 1
    else:
        return None
    counts = [np.bincount(own.ravel(), minlength=len(parts) + 1)[: len(parts)] for own in (labels[inside], labels)]
    chosen = 2 * counts[0] >= np.maximum(counts[1], 1)
    if object_map is None:
        x, y = np.floor(points[np.isfinite(points).all(axis=1)]).astype(int).T
        touched = labels[y.clip(0, labels.shape[0] - 1), x.clip(0, labels.shape[1] - 1)]
        chosen &= np.bincount(touched, minlength=len(parts) + 1)[: len(parts)] > 0
    mask: npt.NDArray[np.bool_] = np.append(chosen, False)[labels]
    return mask if mask.any() else None
