"""Photos that visitors send, within limits."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path, PurePosixPath

from PIL import Image

from ..errors import DiffsightError, InvalidInput
from ..grid import Size
from ..images import check_structure, load_picture, measure
from ..types import Picture
from .limits import MAX_BYTES, MAX_NAME, MAX_PIXELS


def open_upload(path: Path) -> Picture:
    """Load a photo that a visitor sent; what is wrong with it is said with the file's name alone, not its folder.

    Raises:
        InvalidInput: for a file beyond the limits, no photo, or one of one colour.
    """
    _check_bytes(path)
    with by_name(path, path.name):
        check_pixels(path)
        picture = load_picture(path)
        check_structure(picture)
    return picture


def measure_upload(path: Path) -> Size:
    """(height, width) of a photo that a visitor sent, upright; of the file no more than the header is read.

    Raises:
        InvalidInput: for a file beyond the limits, or no photo.
    """
    _check_bytes(path)
    with by_name(path, path.name):
        check_pixels(path)
        return measure(path)


@contextmanager
def by_name(path: Path, name: str) -> Iterator[None]:
    """Say what is wrong with a file by its name alone.

    Raises:
        InvalidInput: for all that is wrong.
    """
    try:
        yield
    except DiffsightError as error:
        raise InvalidInput(str(error).replace(str(path), name)) from None


def plain_name(name: str, taken: Collection[str]) -> str:
    """A file's name without folders and signs that tools stumble over, and none of those that are taken."""
    own = PurePosixPath(re.sub(r"[^\w .()+-]", "_", PurePosixPath(name.replace("\\", "/")).name))
    first, suffix = (own.stem.strip(" .") or "photo")[:MAX_NAME], own.suffix[:10]
    names = (f"{first}{suffix}" if number == 1 else f"{first}-{number}{suffix}" for number in count(1))
    return next(each for each in names if each not in taken)


def _check_bytes(path: Path) -> None:
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"{path.name} is larger than {MAX_BYTES // 1024**2} MB; send a smaller photo")


def check_pixels(path: Path, most: int = MAX_PIXELS) -> None:
    """Refuse a photo of more than so many pixels by what its header says, before it is unpacked."""
    try:
        with Image.open(path) as image:
            width, height = image.size
    except Image.DecompressionBombError:
        width, height = most, most
    except (OSError, SyntaxError, ValueError):
        return  # loading it says what is wrong
    if width * height > most:
        raise InvalidInput(f"{path} has over {most // 1_000_000} million pixels; send a smaller photo")
