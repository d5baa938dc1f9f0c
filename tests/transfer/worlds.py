"""Photos of the procedural world, with all that is to be seen on them marked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from diffsight.transfer.annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from diffsight.world import RESERVED, categories, make_scene

SIDE = 128


def kind(name: str) -> Category:
    """A category of the world."""
    scene = make_scene(RESERVED, 32, kinds=(name,))
    return Category(name, tuple(scene.objects[0].names))


def paint(folder: Path, name: str, seed: int, kinds: tuple[str, ...] = ("face",)) -> AnnotatedPhoto:
    """Draw a photo, and mark points, box and mask of each object."""
    assert set(kinds) <= set(categories())
    scene = make_scene(RESERVED + seed, SIDE, kinds=kinds)
    folder.mkdir(exist_ok=True)
    Image.fromarray(scene.image).save(folder / name)
    instances = []
    for number, thing in enumerate(scene.objects, start=1):
        inside = ((thing.keypoints >= 0) & (thing.keypoints <= SIDE)).all(axis=1)
        visibility = np.where(inside, np.where(thing.visible, VISIBLE, HIDDEN), ABSENT).astype(np.int8)
        points = np.where(inside[:, None], thing.keypoints, np.nan)
        box = tuple(float(side) for side in thing.box)
        instances.append(Instance(thing.category, points, visibility, box, scene.instances == number))  # type: ignore[arg-type]
    return AnnotatedPhoto(name, folder / name, (SIDE, SIDE), tuple(instances))


def album(photos: list[AnnotatedPhoto]) -> Annotations:
    """Photos and the categories that they show."""
    names = dict.fromkeys(own.category for photo in photos for own in photo.instances)
    return Annotations(tuple(kind(name) for name in names), tuple(photos))


def marked(photo: AnnotatedPhoto, **changes: object) -> AnnotatedPhoto:
    """A photo whose only object is marked otherwise."""
    return replace(photo, instances=(replace(photo.instances[0], **changes),))  # type: ignore[arg-type]


def bare(photo: AnnotatedPhoto, **marks: object) -> AnnotatedPhoto:
    """A photo whose only object has these marks and no keypoints."""
    none = {"keypoints": np.zeros((0, 2)), "visibility": np.zeros(0, np.int8), "box": None, "mask": None}
    return marked(photo, **{**none, **marks})
