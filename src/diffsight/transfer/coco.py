"""Annotations in the JSON of COCO (Lin et al., 2014, arXiv 1405.0312), read and written.

COCO counts keypoints from 0 at the centres of pixels, and boxes and polygons from the edge of the photo.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InvalidInput
from ..files import save_json
from ..grid import Size
from . import masks
from .annotations import ABSENT, AnnotatedPhoto, Annotations, Box, Category, Instance, check
from .photos import PhotoFolder, box_within, parse_json, read_text, written_by

DIGITS = 3
"""Decimals of a pixel that are written."""


def read_coco(facts: dict[str, Any], path: Path, photos: PhotoFolder) -> Annotations:
    """Annotations of a COCO file; crowds, which are no single object, are left out.

    An empty ``bbox`` counts as none. ``score`` and ``point_scores``, where they are, become confidences.

    Args:
        facts: what the file holds.
        path: of the file.
        photos: where its photos are.

    Raises:
        UnreadableFile: if it is not in COCO's format, or a photo is missing.
        InvalidInput: if what it holds contradicts itself.
    """
    with written_by("COCO", path):
        categories = _by_id(path, "category", [(own["id"], _category(own)) for own in facts["categories"]])
        found = [(own["id"], photos.find(own["file_name"], _stated(own))) for own in facts["images"]]
        images = _by_id(path, "image", found)
        instances: dict[Any, list[Instance]] = defaultdict(list)
        for own in facts["annotations"]:
            for what, ids in (("image", images), ("category", categories)):
                if own[f"{what}_id"] not in ids:
                    raise InvalidInput(f"{path} has no {what} {own[f'{what}_id']!r}, which an annotation names; add it")
            if not own.get("iscrowd"):
                instances[own["image_id"]].append(
                    _instance(own, categories[own["category_id"]], images[own["image_id"]])
                )
    marked = tuple(replace(photo, instances=tuple(instances[number])) for number, photo in images.items())
    return check(Annotations(tuple(categories.values()), marked))


def read_skeleton(path: Path) -> Category:
    """The first category of a COCO file that names keypoints; photos and annotations may be missing.

    Args:
        path: of the file: ``categories`` among other things, or a list of categories, or one alone.

    Raises:
        UnreadableFile: if it is not in COCO's format.
        InvalidInput: if no category names keypoints, a name occurs twice, or a bone joins points that are not there.
    """
    facts = parse_json(read_text(path), path)
    with written_by("COCO", path):
        listed = facts.get("categories", [facts]) if isinstance(facts, dict) else facts
        found = [_category(own) for own in listed if own.get("keypoints")]
    if not found:
        raise InvalidInput(f"{path} has no category with keypoints; give one whose 'keypoints' are the points' names")
    check(Annotations(tuple(found[:1]), ()))
    return found[0]


def _by_id(path: Path, what: str, pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    known: dict[Any, Any] = {}
    for number, own in pairs:
        if number in known:
            raise InvalidInput(
                f"{path} has two of {what} {number!r}: {known[number].name!r} and {own.name!r}; keep one"
            )
        known[number] = own
    return known


def _stated(image: dict[str, Any]) -> Size | None:
    return (int(image["height"]), int(image["width"])) if image.get("height") and image.get("width") else None


def _category(own: dict[str, Any]) -> Category:
    bones = tuple((int(first) - 1, int(second) - 1) for first, second in own.get("skeleton") or ())
    return Category(own["name"], tuple(own.get("keypoints") or ()), bones)


def _instance(own: dict[str, Any], category: Category, photo: AnnotatedPhoto) -> Instance:
    count = len(category.keypoints)
    numbers = np.array(own.get("keypoints") or [0] * 3 * count, np.float64)
    if numbers.shape != (3 * count,):
        raise InvalidInput(
            f"{photo.name}: {numbers.size} numbers for the {count} keypoints of {category.name!r}; "
            "give x, y and visibility of each"
        )
    triples = numbers.reshape(count, 3)
    visibility = triples[:, 2]
    if not np.isin(visibility, (0, 1, 2)).all():
        raise InvalidInput(f"{photo.name}: visibility {visibility.tolist()}; use 0, 1 or 2")
    x, y, width, height = map(float, own.get("bbox") or (0, 0, 0, 0))
    outline = own.get("segmentation")
    scores = own.get("point_scores")
    return Instance(
        category.name,
        np.where(visibility[:, None] == ABSENT, np.nan, triples[:, :2] + 0.5),
        visibility.astype(np.int8),
        box_within((x, y, x + width, y + height), photo) if width or height else None,
        _mask(outline, photo) if outline else None,
        None if scores is None else np.array([np.nan if score is None else score for score in scores], np.float64),
        None if own.get("score") is None else float(own["score"]),
    )


def _mask(outline: Any, photo: AnnotatedPhoto) -> masks.Mask:
    if isinstance(outline, dict):
        return masks.from_run_lengths(outline, photo)
    if any(len(polygon) % 2 for polygon in outline):
        raise InvalidInput(f"{photo.name}: a polygon of an odd number of numbers; give x and y of each corner")
    return masks.from_polygons([np.array(polygon, np.float64).reshape(-1, 2) for polygon in outline], photo)


def write_coco(annotations: Annotations, path: Path) -> None:
    """Write annotations as COCO keypoints, with ``score`` and ``point_scores`` beside them where they are known.

    COCO asks for a box of every object: where none is marked, it is that around the mask, or around the points.

    Raises:
        InvalidInput: see ``check``.
        OutputFailed: if the file cannot be written.
    """
    check(annotations)
    numbers = {category.name: number for number, category in enumerate(annotations.categories, start=1)}
    objects = [
        _describe(instance, numbers[instance.category], image)
        for image, photo in enumerate(annotations.photos, start=1)
        for instance in photo.instances
    ]
    facts = {
        "images": [
            {"id": number, "file_name": photo.name, "height": photo.size[0], "width": photo.size[1]}
            for number, photo in enumerate(annotations.photos, start=1)
        ],
        "categories": [
            {
                "id": numbers[category.name],
                "name": category.name,
                "keypoints": list(category.keypoints),
                "skeleton": [[first + 1, second + 1] for first, second in category.bones],
            }
            for category in annotations.categories
        ],
        "annotations": [{"id": number, **own} for number, own in enumerate(objects, start=1)],
    }
    save_json(facts, path)


def _describe(instance: Instance, category: int, image: int) -> dict[str, Any]:
    marked = instance.visibility != ABSENT
    triples = np.zeros((len(marked), 3))
    triples[marked, :2] = instance.keypoints[marked] - 0.5
    triples[:, 2] = instance.visibility
    x0, y0, x1, y1 = instance.box or around(instance) or (0.0, 0.0, 0.0, 0.0)
    mask = instance.mask
    own = {
        "image_id": image,
        "category_id": category,
        "iscrowd": 0,
        "bbox": [round(float(side), DIGITS) for side in (x0, y0, x1 - x0, y1 - y0)],
        "area": int(mask.sum()) if mask is not None else round(float((x1 - x0) * (y1 - y0)), DIGITS),
        "segmentation": [] if mask is None else masks.to_run_lengths(mask),
        "keypoints": [
            number for x, y, v in triples.tolist() for number in (round(x, DIGITS), round(y, DIGITS), int(v))
        ],
        "num_keypoints": int(marked.sum()),
    }
    if instance.confidence is not None:
        own["score"] = round(float(instance.confidence), 6)
    if instance.point_confidence is not None:
        scores = zip(instance.point_confidence.tolist(), marked, strict=True)
        own["point_scores"] = [round(score, 6) if shown else None for score, shown in scores]
    return own


def around(instance: Instance) -> Box | None:
    """The box around an object's mask, or else around its points; None if it has neither."""
    edges = None if instance.mask is None else masks.bounds(instance.mask)
    points = instance.keypoints[instance.visibility != ABSENT]
    if edges is None and len(points):
        return (*map(float, points.min(axis=0)), *map(float, points.max(axis=0)))  # type: ignore[return-value]
    return edges
