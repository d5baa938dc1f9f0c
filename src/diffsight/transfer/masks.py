"""Masks as polygons and run lengths, the way COCO counts them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..grid import Points
from .annotations import AnnotatedPhoto

Mask = npt.NDArray[np.bool_]


def from_polygons(polygons: Sequence[Points], photo: AnnotatedPhoto) -> Mask:
    """What (N, 2) polygons cover together, (H, W); edges of the photo at 0 and at its width and height.

    Raises:
        InvalidInput: for a polygon of fewer than three corners, or one over a pixel outside the photo.
    """
    from pycocotools import mask as coco

    height, width = photo.size
    for polygon in polygons:
        if polygon.ndim != 2 or polygon.shape[1] != 2 or len(polygon) < 3:
            raise InvalidInput(
                f"{photo.name}: a polygon of {polygon.size} numbers; give x and y of three corners or more"
            )
        for x, y in polygon:
            if not (-1 <= x <= width + 1 and -1 <= y <= height + 1):
                raise InvalidInput(
                    f"{photo.name}: a polygon's corner ({x:g}, {y:g}) is outside the photo of {width}x{height} pixels; "
                    "move it inside"
                )
    codes = coco.frPyObjects([polygon.ravel().tolist() for polygon in polygons], height, width)
    return from_run_lengths({"size": [height, width], "counts": coco.merge(codes)["counts"].decode("ascii")}, photo)


def from_run_lengths(code: dict[str, Any], photo: AnnotatedPhoto) -> Mask:
    """The mask of COCO run lengths, compressed (a string) or not (a list).

    Raises:
        InvalidInput: for a code of another size than the photo.
    """
    height, width = photo.size
    if list(code["size"]) != [height, width]:
        raise InvalidInput(f"{photo.name}: a mask of size {code['size']}; give [height, width], [{height}, {width}]")
    counts = code["counts"]
    lengths = np.array(_lengths(counts) if isinstance(counts, str) else counts, np.int64)
    if (lengths < 0).any() or lengths.sum() != height * width:
        raise InvalidInput(
            f"{photo.name}: run lengths of a mask add up to {lengths.sum()}, not to {height * width} pixels; "
            "export it anew"
        )
    return np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape((height, width), order="F")


def _lengths(counts: str) -> list[int]:
    """Run lengths of COCO's string; its own decoder fills what a damaged string leaves out from idle memory.

    Five bits a character, low ones first, the sixth for more to come; from the fourth length on, each is told by its
    difference to the last but one.
    """
    lengths: list[int] = []
    value = shift = 0
    for sign in counts:
        bits = ord(sign) - 48
        if not 0 <= bits < 64:
            raise ValueError(f"sign {sign!r} in run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)
            lengths.append(value + lengths[-2] if len(lengths) > 2 else value)
            value = shift = 0
    return lengths


def to_run_lengths(mask: Mask) -> dict[str, Any]:
    """COCO's compressed run lengths of a mask."""
    from pycocotools import mask as coco

    code = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": list(mask.shape), "counts": code["counts"].decode("ascii")}


def row_runs(mask: Mask) -> list[int]:
    """Lengths of the runs of a mask read row by row; the first counts what is not in it, and may be 0."""
    flat = mask.ravel()
    ends = [0, *(np.flatnonzero(np.diff(flat)) + 1).tolist(), len(flat)]
    lengths = [end - start for start, end in pairwise(ends)]
    return [0, *lengths] if len(flat) and flat[0] else lengths


def bounds(mask: Mask) -> tuple[int, int, int, int] | None:
    """(x0, y0, x1, y1) of the pixels of a mask, the far side exclusive; None for an empty one."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
