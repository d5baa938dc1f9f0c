"""Annotations of LabelMe: one JSON a photo, with points, rectangles and polygons.

LabelMe counts pixels from the edge of the photo, so that the centre of the first is (0.5, 0.5).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidInput, UnreadableFile
from ..grid import Points
from . import masks
from .annotations import ABSENT, VISIBLE, AnnotatedPhoto, Annotations, Box, Category, Instance, check
from .photos import PhotoFolder, box_within, parse_json, read_text, written_by

OBJECT = "object"
"""The category of points that share their group with no rectangle or polygon."""

SHAPES = ("point", "rectangle", "polygon")


@dataclass(frozen=True, eq=False)
class Group:
    """Shapes that mark one object.

    Attributes:
        category: the label of its rectangle and polygons.
        points: by label, (2,) each.
        box: its rectangle, if it has one.
        polygons: (N, 2) each; together its mask.
    """

    category: str
    points: dict[str, Points]
    box: Box | None
    polygons: tuple[Points, ...]


def read_labelme_folder(folder: Path, photos: Path | None) -> Annotations:
    """Annotations of a folder of LabelMe files, in the order of their names.

    Raises:
        UnreadableFile: if it holds none, one is not in LabelMe's format, or a photo is missing.
        InvalidInput: if what they hold contradicts itself.
    """
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise UnreadableFile(f"{folder} holds no LabelMe file (*.json); give a folder of them, COCO JSON or CSV")
    files = [(path, parse_json(read_text(path), path)) for path in paths]
    return read_labelme(files, PhotoFolder(folder if photos is None else photos, folder))


def read_labelme(files: Sequence[tuple[Path, dict[str, Any]]], photos: PhotoFolder) -> Annotations:
    """Annotations of LabelMe files.

    Shapes of one ``group_id`` mark one object: points are its keypoints, by their labels; the label of its rectangle
    and polygons is its category, ``object`` if it has none. Shapes without a group mark one object if points are among
    them, and an object each if not. Photos embedded in the files are not read.

    Args:
        files: path and content of each.
        photos: where the photos are.

    Raises:
        UnreadableFile: if a file is not in LabelMe's format, or a photo is missing.
        InvalidInput: if what they hold contradicts itself.
    """
    marked: list[tuple[AnnotatedPhoto, list[Group]]] = []
    names: dict[str, dict[str, None]] = {}
    for path, facts in files:
        with written_by("LabelMe", path):
            height, width = facts.get("imageHeight"), facts.get("imageWidth")
            photo = photos.find(facts["imagePath"], (int(height), int(width)) if height and width else None)
            groups = [_group(shapes, photo) for shapes in _grouped(facts["shapes"], photo)]
        marked.append((photo, groups))
        for group in groups:
            names.setdefault(group.category, {}).update(dict.fromkeys(group.points))
    categories = {name: Category(name, tuple(points)) for name, points in names.items()}
    finished = [
        replace(photo, instances=tuple(_instance(group, categories[group.category], photo) for group in groups))
        for photo, groups in marked
    ]
    return check(Annotations(tuple(categories.values()), tuple(finished)))


def _grouped(shapes: list[dict[str, Any]], photo: AnnotatedPhoto) -> list[list[dict[str, Any]]]:
    """Shapes of each object."""
    groups: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for shape in shapes:
        if shape["shape_type"] not in SHAPES:
            raise InvalidInput(
                f"{photo.name}: {shape['label']!r} is marked by a {shape['shape_type']}; use {', '.join(SHAPES)}"
            )
        groups[shape.get("group_id")].append(shape)
    alone = groups.pop(None, [])
    if any(shape["shape_type"] == "point" for shape in alone):
        return [alone, *groups.values()]
    return [*([shape] for shape in alone), *groups.values()]


def _group(shapes: list[dict[str, Any]], photo: AnnotatedPhoto) -> Group:
    points: dict[str, Points] = {}
    boxes, polygons = [], []
    labels: dict[str, None] = {}
    for shape in shapes:
        label, corners = shape["label"], np.array(shape["points"], np.float64).reshape(-1, 2)
        if shape["shape_type"] == "point":
            if label in points:
                raise InvalidInput(f"{photo.name}: two points {label!r} of one object; give each object a group id")
            (points[label],) = corners
            continue
        labels[label] = None
        if shape["shape_type"] == "rectangle":
            low, high = corners.min(axis=0).tolist(), corners.max(axis=0).tolist()
            boxes.append(box_within((low[0], low[1], high[0], high[1]), photo))
        else:
            polygons.append(corners)
    if len(labels) > 1 or len(boxes) > 1:
        raise InvalidInput(
            f"{photo.name}: one object has {len(boxes)} rectangles and the labels {', '.join(map(repr, labels))}; "
            "give each object a group id, one label and at most one rectangle"
        )
    return Group(next(iter(labels), OBJECT), points, boxes[0] if boxes else None, tuple(polygons))


def _instance(group: Group, category: Category, photo: AnnotatedPhoto) -> Instance:
    places = [group.points.get(name, np.full(2, np.nan)) for name in category.keypoints]
    return Instance(
        category.name,
        np.array(places, np.float64).reshape(-1, 2),
        np.array([VISIBLE if name in group.points else ABSENT for name in category.keypoints], np.int8),
        group.box,
        masks.from_polygons(group.polygons, photo) if group.polygons else None,
    )
