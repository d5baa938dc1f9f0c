"""Annotations in the XML of CVAT for images, version 1.1.

CVAT counts pixels from the edge of the photo, so that the centre of the first is (0.5, 0.5).
"""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from ..files import atomic
from ..grid import Points
from .annotations import ABSENT, HIDDEN, AnnotatedPhoto, Annotations, Category, Instance, check
from .coco import around
from .masks import Mask, bounds, row_runs

CONFIDENCE = "confidence"
"""The attribute that holds it; the labels of the task must have it too, as text."""


def write_cvat(annotations: Annotations, path: Path) -> None:
    """Write annotations as CVAT takes them in for a task with the same photos and labels.

    A category with keypoints is a skeleton, and CVAT lets nothing else bear its label: its boxes and masks have the
    label ``NAME area``. Points that are not labelled are outside, in the middle of their object; hidden ones occluded.
    What marks one object is a group.

    Raises:
        InvalidInput: see ``check``.
        OutputFailed: if the file cannot be written.
    """
    check(annotations)
    root = Element("annotations")
    SubElement(root, "version").text = "1.1"
    labels = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    for category in annotations.categories:
        _describe(labels, category)
    group = 0
    for number, photo in enumerate(annotations.photos):
        height, width = photo.size
        image = SubElement(root, "image", id=str(number), name=photo.name, width=str(width), height=str(height))
        for instance in photo.instances:
            group += 1
            _mark(image, photo, instance, annotations.category(instance.category), str(group))
    ElementTree.indent(root)
    with atomic(path) as part:
        ElementTree.ElementTree(root).write(part, encoding="utf-8", xml_declaration=True)


def area_label(category: Category) -> str:
    """The label of a category's boxes and masks."""
    return f"{category.name} area" if category.keypoints else category.name


def _describe(labels: Element, category: Category) -> None:
    if category.keypoints:
        _label(labels, category.name, "skeleton")
        for name in category.keypoints:
            SubElement(_label(labels, name, "points"), "parent").text = category.name
    _label(labels, area_label(category), "any")


def _label(labels: Element, name: str, kind: str) -> Element:
    label = SubElement(labels, "label")
    SubElement(label, "name").text = name
    SubElement(label, "type").text = kind
    attribute = SubElement(SubElement(label, "attributes"), "attribute")
    facts = {"name": CONFIDENCE, "mutable": "False", "input_type": "text", "default_value": "", "values": ""}
    for fact, text in facts.items():
        SubElement(attribute, fact).text = text
    return label


def _mark(image: Element, photo: AnnotatedPhoto, instance: Instance, category: Category, group: str) -> None:
    if instance.box is not None:
        edges = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(_number, instance.box), strict=True))
        box = _shape(image, "box", area_label(category), group, instance.confidence)
        box.attrib.update(edges)
    if instance.mask is not None and instance.mask.any():
        mask = _shape(image, "mask", area_label(category), group, instance.confidence)
        mask.attrib.update(run_lengths(instance.mask))
    if category.keypoints:
        _skeleton(image, photo, instance, category, group)


def _skeleton(image: Element, photo: AnnotatedPhoto, instance: Instance, category: Category, group: str) -> None:
    height, width = photo.size
    x0, y0, x1, y1 = instance.box or around(instance) or (0.0, 0.0, float(width), float(height))
    middle: Points = np.array([(x0 + x1) / 2, (y0 + y1) / 2])
    skeleton = _shape(image, "skeleton", category.name, group, instance.confidence)
    for k, name in enumerate(category.keypoints):
        absent = instance.visibility[k] == ABSENT
        sure = None if absent or instance.point_confidence is None else float(instance.point_confidence[k])
        point = _shape(skeleton, "points", name, None, sure, occluded=bool(instance.visibility[k] == HIDDEN))
        point.set("outside", str(int(absent)))
        x, y = middle if absent else instance.keypoints[k]
        point.set("points", f"{_number(x)},{_number(y)}")


def _shape(
    parent: Element, kind: str, label: str, group: str | None, confidence: float | None, *, occluded: bool = False
) -> Element:
    shape = SubElement(parent, kind, label=label, source="auto", occluded=str(int(occluded)))
    if group is not None:
        shape.attrib.update(z_order="0", group_id=group)
    if confidence is not None:
        SubElement(shape, "attribute", name=CONFIDENCE).text = f"{confidence:.4f}"
    return shape


def run_lengths(mask: Mask) -> dict[str, str]:
    """A mask that is not empty: the runs of its box, row by row from what is not in it, and where that box lies."""
    x0, y0, x1, y1 = bounds(mask) or (0, 0, 0, 0)
    runs = ", ".join(map(str, row_runs(mask[y0:y1, x0:x1])))
    return {"rle": runs, "left": str(x0), "top": str(y0), "width": str(x1 - x0), "height": str(y1 - y0)}


def _number(side: float) -> str:
    return f"{side:.3f}"
