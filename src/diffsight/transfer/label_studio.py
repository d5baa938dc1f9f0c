"""Annotations as pre-annotated tasks of Label Studio, with the labelling interface that they need.

Its regions are counted in percent of the photo's width and height.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree

from ..files import atomic, save_json
from .annotations import ABSENT, HIDDEN, AnnotatedPhoto, Annotations, Instance, check
from .masks import Mask, row_runs

SERVED = "/data/local-files/?d="
"""What Label Studio calls photos of its local storage."""

CONTROLS = {"keypoints": "KeyPointLabels", "boxes": "RectangleLabels", "masks": "BrushLabels"}

POINT = 0.6
"""Size at which a keypoint is shown, percent of the photo's width."""

WORD, SIZES = 8, (4, 8, 12, 16)
"""Bits of a value in a brush, and of the four kinds of run lengths."""


def write_label_studio(annotations: Annotations, path: Path, *, served: str = SERVED) -> Path:
    """Write tasks with predictions (JSON), and beside them the labelling interface (XML).

    A keypoint that is hidden says so in its notes. Keypoints and mask of an object hang on its box, if it has one.

    Args:
        annotations: what was found.
        path: of the tasks.
        served: what stands before a photo's name where Label Studio serves it.

    Returns:
        The path of the labelling interface.

    Raises:
        InvalidInput: see ``check``.
        OutputFailed: if a file cannot be written.
    """
    check(annotations)
    save_json([_task(photo, annotations, served) for photo in annotations.photos], path, indent=None)
    interface = path.with_suffix(".xml")
    with atomic(interface) as part:
        part.write_text(labelling_interface(annotations), encoding="utf-8")
    return interface


def labelling_interface(annotations: Annotations) -> str:
    """The XML that a Label Studio project is set up with."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Image", name="image", value="$image", zoom="true")
    kinds = [category.name for category in annotations.categories]
    points = list(dict.fromkeys(name for category in annotations.categories for name in category.keypoints))
    for (name, tag), labels in zip(CONTROLS.items(), (points, kinds, kinds), strict=True):
        if labels:
            control = ElementTree.SubElement(view, tag, name=name, toName="image")
            for label in labels:
                ElementTree.SubElement(control, "Label", value=label)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def _task(photo: AnnotatedPhoto, annotations: Annotations, served: str) -> dict[str, Any]:
    regions = [
        region
        for number, instance in enumerate(photo.instances, start=1)
        for region in _regions(f"object{number}", photo, instance, annotations.category(instance.category).keypoints)
    ]
    prediction: dict[str, Any] = {"model_version": "diffsight", "result": regions}
    sure = [instance.confidence for instance in photo.instances if instance.confidence is not None]
    if sure:
        prediction["score"] = round(float(min(sure)), 6)
    return {"data": {"image": served + quote(photo.name)}, "predictions": [prediction]}


def _regions(
    name: str, photo: AnnotatedPhoto, instance: Instance, keypoints: tuple[str, ...]
) -> Iterator[dict[str, Any]]:
    height, width = photo.size
    parent = {} if instance.box is None else {"parentID": f"{name}-box"}
    if instance.box is not None:
        x0, y0, x1, y1 = instance.box
        extent = {"width": _share(x1 - x0, width), "height": _share(y1 - y0, height)}
        value: dict[str, Any] = {**_percent(x0, y0, photo), **extent, "rotation": 0}
        yield _region(f"{name}-box", "boxes", instance.category, value, photo, instance.confidence)
    if instance.mask is not None and instance.mask.any():
        value = {"format": "rle", "rle": brush(instance.mask)}
        yield _region(f"{name}-mask", "masks", instance.category, value, photo, instance.confidence) | parent
    for k, label in enumerate(keypoints):
        if instance.visibility[k] != ABSENT:
            x, y = instance.keypoints[k].tolist()
            value = {**_percent(x, y, photo), "width": POINT}
            sure = None if instance.point_confidence is None else float(instance.point_confidence[k])
            note = {"meta": {"text": ["hidden"]}} if instance.visibility[k] == HIDDEN else {}
            yield _region(f"{name}-point{k + 1}", "keypoints", label, value, photo, sure) | parent | note


def _region(
    name: str, control: str, label: str, value: dict[str, Any], photo: AnnotatedPhoto, score: float | None
) -> dict[str, Any]:
    kind = CONTROLS[control].lower()
    return {
        "id": name,
        "type": kind,
        "from_name": control,
        "to_name": "image",
        "original_width": photo.size[1],
        "original_height": photo.size[0],
        "image_rotation": 0,
        "value": {**value, kind: [label]},
        **({} if score is None else {"score": round(float(score), 6)}),
    }


def _percent(x: float, y: float, photo: AnnotatedPhoto) -> dict[str, float]:
    return {"x": _share(x, photo.size[1]), "y": _share(y, photo.size[0])}


def _share(length: float, side: int) -> float:
    return round(100 * float(length) / side, 6)


def brush(mask: Mask) -> list[int]:
    """A mask as a brush of Label Studio: RGBA row by row, 255 where it is, packed as thi.ng/rle-pack does.

    After a header (32 bits for the number of values, 5 for the bits of a value less one, 4 for those of each kind of
    run length less one) there follow runs: a 1, two bits for the kind, the length less one, the value.
    """
    longest = 1 << SIZES[-1]
    bits = [f"{4 * mask.size:032b}", f"{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for number, run in enumerate(row_runs(mask)):
        value = "1" * WORD if number % 2 else "0" * WORD
        left = 4 * run
        while left:
            length = min(left, longest)
            kind = next(k for k, size in enumerate(SIZES) if length <= 1 << size)
            bits.append(f"1{kind:02b}{length - 1:0{SIZES[kind]}b}{value}")
            left -= length
    packed = "".join(bits)
    packed += "0" * (-len(packed) % 8)
    return list(int(packed, 2).to_bytes(len(packed) // 8, "big"))
