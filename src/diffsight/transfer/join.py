"""Annotations from several files as one, and what they may not say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import InvalidInput
from .annotations import AnnotatedPhoto, Annotations, Category, Instance

NEAR = 0.05
"""Marks that are less than this apart, in pixels, are the same: tools round what they export."""


def join(several: Sequence[Annotations]) -> Annotations:
    """Put annotations of several files together; a photo that is marked alike in two of them counts once.

    Raises:
        InvalidInput: if they contradict each other: a category with other keypoints, or a photo with other marks.
    """
    categories: dict[str, Category] = {}
    photos: dict[str, AnnotatedPhoto] = {}
    for own in several:
        for category in own.categories:
            known = categories.setdefault(category.name, category)
            if known.keypoints != category.keypoints:
                raise InvalidInput(
                    f"{category.name!r} has the keypoints {_list(known.keypoints)} in one file and "
                    f"{_list(category.keypoints)} in another; name them alike, in one order"
                )
        for photo in own.photos:
            before = photos.setdefault(str(photo.path.resolve()), photo)
            if not alike(before.instances, photo.instances):
                raise InvalidInput(f"{photo.name} is marked in two files, and not alike; keep one of them")
    return Annotations(tuple(categories.values()), tuple(photos.values()))


def only(annotations: Annotations, names: Sequence[str]) -> Annotations:
    """The categories of these names; all that show an object if no name is given.

    Raises:
        InvalidInput: for a category that is not there, or of which no photo shows an object.
    """
    shown = {own.category for photo in annotations.photos for own in photo.instances}
    known = [category.name for category in annotations.categories]
    for name in names:
        if name not in known:
            raise InvalidInput(f"the references have no category {name!r}; they have {_list(known)}")
        if name not in shown:
            raise InvalidInput(f"no reference shows {name!r}; mark one or more, or leave the category out")
    kept = [category for category in annotations.categories if category.name in (names or shown)]
    if not kept:
        raise InvalidInput("the references show no object; mark one or more")
    wanted = {category.name for category in kept}
    photos = [
        replace(photo, instances=tuple(own for own in photo.instances if own.category in wanted))
        for photo in annotations.photos
    ]
    return Annotations(tuple(kept), tuple(photo for photo in photos if photo.instances))


def alike(some: Sequence[Instance], others: Sequence[Instance]) -> bool:
    """Whether objects are marked alike, but for rounding; what only one of them has marked besides does not count."""
    return len(some) == len(others) and all(map(_alike, some, others))


def _alike(one: Instance, other: Instance) -> bool:
    if one.category != other.category or not np.array_equal(one.visibility, other.visibility):
        return False
    if not np.allclose(one.keypoints, other.keypoints, rtol=0, atol=NEAR, equal_nan=True):
        return False
    if one.box and other.box and not np.allclose(one.box, other.box, rtol=0, atol=NEAR):
        return False
    return one.mask is None or other.mask is None or np.array_equal(one.mask, other.mask)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
