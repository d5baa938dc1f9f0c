"""Segmentations on disk: an indexed PNG of labels, and JSON with COCO run-length masks and figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..files import atomic, save_json
from ..types import VOID, Segmentation

VOID_8BIT = 255


def label_image(segmentation: Segmentation, colours: list[tuple[int, int, int]]) -> Image.Image:
    """Labels as an image: one byte a pixel with a palette, 255 for pixels not seen.

    With more than 255 segments it is 16-bit grey without a palette, and 65535 for pixels not seen.

    Args:
        segmentation: of a photo.
        colours: one for each segment, for viewers that show the palette.
    """
    if len(segmentation) > VOID_8BIT:
        return Image.fromarray(segmentation.labels)
    small = np.where(segmentation.labels == VOID, VOID_8BIT, segmentation.labels).astype(np.uint8)
    image = Image.fromarray(small, "P")
    image.putpalette([*np.array(colours, np.uint8).ravel().tolist(), *[0] * 3 * (256 - len(colours))])
    return image


def save_labels(segmentation: Segmentation, path: Path, colours: list[tuple[int, int, int]]) -> None:
    """Write ``label_image`` as a PNG.

    Raises:
        OutputFailed: if it cannot be written.
    """
    with atomic(path) as part:
        label_image(segmentation, colours).save(part)


def describe(segmentation: Segmentation) -> dict[str, Any]:
    """A segmentation as JSON can hold it; boxes are (x, y, width, height) and masks run-length codes, as in COCO."""
    from pycocotools import mask as coco

    height, width = segmentation.labels.shape
    boxes, areas = segmentation.boxes, segmentation.areas
    segments = []
    for i in range(len(segmentation)):
        x0, y0, x1, y1 = boxes[i].tolist()
        code = coco.encode(np.asfortranarray(segmentation.mask(i).astype(np.uint8)))
        segments.append(
            {
                "id": i,
                "name": segmentation.names[i] if segmentation.names else None,
                "name_score": round(float(segmentation.name_scores[i]), 5) if segmentation.names else None,
                "score": round(float(segmentation.scores[i]), 5),
                "area": int(areas[i]),
                "share": round(float(areas[i]) / (height * width), 6),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "segmentation": {"size": [height, width], "counts": code["counts"].decode()},
            }
        )
    return {"height": height, "width": width, "segments": segments}


def save_description(segmentation: Segmentation, path: Path, **facts: Any) -> None:
    """Write ``describe`` and further facts as JSON.

    Raises:
        OutputFailed: if it cannot be written.
    """
    save_json({**facts, **describe(segmentation)}, path)
