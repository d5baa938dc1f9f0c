"""Label PNGs: written with DAVIS's palette, read in whatever form they come."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, UnreadableFile
from ..files import atomic
from .labels import MOST, UNSEEN, Mask


def davis_palette() -> npt.NDArray[np.uint8]:
    """The colours of labels 0 to 255, (256, 3): the bits of a label dealt out to red, green and blue, highest first."""
    labels = np.arange(256)
    colours = np.zeros((256, 3), np.int64)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= ((labels >> (3 * bit + channel)) & 1) << (7 - bit)
    return colours.astype(np.uint8)


def save_mask(mask: Mask, path: Path) -> None:
    """Write labels as an indexed PNG.

    Raises:
        OutputFailed: if it cannot be written.
    """
    from PIL import Image

    image = Image.fromarray(mask, "P")
    image.putpalette(davis_palette().ravel().tolist())
    with atomic(path) as part:
        image.save(part)


def load_labels(path: Path) -> Mask:
    """Read the labels of an indexed, grey or 16-bit PNG as they stand, (H, W).

    Raises:
        UnreadableFile: for a file that is missing or no picture.
        InvalidInput: for one of colours.
    """
    labels = _read(path)
    if labels.ndim != 2:
        raise InvalidInput(f"{path} holds colours, not labels; give an indexed PNG")
    return labels


def load_mask(path: Path) -> Mask:
    """Read what marks the objects to follow, (H, W): whatever kind of label PNG it is.

    Indexed, grey and 16-bit files hold the labels themselves; one of 0 and 255 alone marks one object. In a file of
    colours black is background; colours of DAVIS's palette mean their labels, others are numbered as they come, row by
    row.

    Raises:
        UnreadableFile: for a file that is missing or no picture.
        InvalidInput: for more than 254 colours, or labels above 255.
    """
    labels = _read(path)
    if labels.ndim == 3:
        return _number_colours(labels, path)
    return (labels != 0).astype(np.uint8) if set(np.unique(labels).tolist()) == {0, UNSEEN} else labels


def _read(path: Path) -> Mask:
    from PIL import Image

    try:
        with Image.open(path) as image:
            array = np.asarray(image if image.mode in ("1", "L", "P", "I", "I;16") else image.convert("RGB"))
    except (OSError, ValueError, SyntaxError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(f"{path} cannot be read as a mask ({reason}); give a PNG of labels") from None
    if array.max() > UNSEEN:
        raise InvalidInput(f"{path} has labels up to {array.max()}; use 0 for background, 1 to {MOST} for objects")
    return array.astype(np.uint8)


def _number_colours(colours: npt.NDArray[np.uint8], path: Path) -> Mask:
    codes, table = (_code(rgb) for rgb in (colours, davis_palette()))
    if np.isin(codes, table).all():
        order = np.argsort(table)
        return order[np.searchsorted(table, codes, sorter=order)].astype(np.uint8)
    values, first, places = np.unique(codes, return_index=True, return_inverse=True)
    if len(values) > MOST + 1:
        raise InvalidInput(f"{path} has {len(values)} colours; give a PNG of labels, or one colour for each object")
    rank = np.argsort(np.argsort(np.where(values == 0, -1, first)))
    return (rank + (0 if 0 in values else 1))[places].reshape(codes.shape).astype(np.uint8)


def _code(rgb: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    return rgb.astype(np.int64) @ np.array([65536, 256, 1])
