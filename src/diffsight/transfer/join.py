"""Annotations from several files as one, and what they may not say."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from ..errors import InvalidInput
from ..files import file_digest
from .annotations import ABSENT, AnnotatedPhoto, Annotations, Category, Instance

NEAR = 0.05
"""Marks that are less than this apart, in pixels, are the same: tools round what they export."""


def join(several: Sequence[Annotations]) -> Annotations:
    """Put annotations of several files together; a photo that is marked alike in two of them counts once.

    Keypoints are known by their names: a category has those of the file that names most, in its order; what another
    file does not name is not labelled there.

    Raises:
        InvalidInput: if they contradict each other: a category with keypoints that the longest list of them lacks, or
            a photo with other marks.
    """
    categories: dict[str, Category] = {}
    for category in (category for own in several for category in own.categories):
        known = categories.setdefault(category.name, category)
        longer, shorter = (category, known) if len(category.keypoints) > len(known.keypoints) else (known, category)
        if not set(shorter.keypoints) <= set(longer.keypoints):
            raise InvalidInput(
                f"{category.name!r} has the keypoints {_list(known.keypoints)} in one file and "
                f"{_list(category.keypoints)} in another; name them alike"
            )
        categories[category.name] = longer
    photos: dict[str, AnnotatedPhoto] = {}
    for own in several:
        for photo in own.photos:
            instances = tuple(_order(each, own, categories[each.category]) for each in photo.instances)
            before = photos.setdefault(file_digest(photo.path), replace(photo, instances=instances))
            if not alike(before.instances, instances):
                raise InvalidInput(
                    f"{before.path} and {photo.path} are one photo, but not marked alike; keep the marks of one"
                    if before.path != photo.path
                    else f"{photo.path} is marked twice, and not alike; keep the marks of one"
                )
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
    if not shown:
        raise InvalidInput("the references show no object; mark one or more")
    return narrow(annotations, names or shown)


def narrow(annotations: Annotations, names: Collection[str]) -> Annotations:
    """The objects of these categories, and the photos that show one."""
    photos = [
        replace(photo, instances=tuple(own for own in photo.instances if own.category in names))
        for photo in annotations.photos
    ]
    categories = tuple(own for own in annotations.categories if own.name in names)
    return Annotations(categories, tuple(photo for photo in photos if photo.instances))


def agree(known: Annotations, several: Sequence[Annotations]) -> tuple[AnnotatedPhoto, ...]:
    """The photos of further files that are none of the known ones, as marked by hand, keypoints in the known order.

    Raises:
        InvalidInput: if they contradict what is known, or each other, or name further keypoints.
    """
    whole = join([known, *several])
    for category in whole.categories:
        names = known.category(category.name).keypoints
        if further := [name for name in category.keypoints if name not in names]:
            raise InvalidInput(
                f"the references have no keypoint {further[0]!r} of {category.name!r}; they have {_list(names)}"
            )
    return tuple(
        replace(photo, instances=tuple(replace(own, point_confidence=None, confidence=None) for own in photo.instances))
        for photo in whole.photos[len(known.photos) :]
    )


def alike(some: Sequence[Instance], others: Sequence[Instance]) -> bool:
    """Whether objects are marked alike, but for rounding; what only one of them has marked besides does not count.

    Args:
        some, others: of one photo, each category's in the same order.
    """
    pairs = zip(*(sorted(own, key=lambda instance: instance.category) for own in (some, others)), strict=False)
    return len(some) == len(others) and all(_alike(one, other) for one, other in pairs)


def _alike(one: Instance, other: Instance) -> bool:
    if one.category != other.category or not np.array_equal(one.visibility, other.visibility):
        return False
    if not np.allclose(one.keypoints, other.keypoints, rtol=0, atol=NEAR, equal_nan=True):
        return False
    if one.box and other.box and not np.allclose(one.box, other.box, rtol=0, atol=NEAR):
        return False
    return one.mask is None or other.mask is None or np.array_equal(one.mask, other.mask)


def _order(instance: Instance, own: Annotations, category: Category) -> Instance:
    """An object's keypoints in the order of its category."""
    names = own.category(instance.category).keypoints
    if names == category.keypoints:
        return instance
    places = [category.keypoints.index(name) for name in names]
    points = np.full((len(category.keypoints), 2), np.nan)
    visibility = np.full(len(category.keypoints), ABSENT, np.int8)
    points[places], visibility[places] = instance.keypoints, instance.visibility
    sure = None
    if instance.point_confidence is not None:
        sure = np.full(len(category.keypoints), np.nan)
        sure[places] = instance.point_confidence
    return replace(instance, keypoints=points, visibility=visibility, point_confidence=sure)


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"
