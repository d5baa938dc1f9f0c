"""Photos that visitors send, within limits."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ..errors import DiffsightError, InvalidInput
from ..images import check_structure, load_picture
from ..types import Picture
from .limits import MAX_BYTES, MAX_PIXELS


def open_upload(path: Path) -> Picture:
    """Load a photo that a visitor sent; what is wrong with it is said with the file's name alone, not its folder.

    Raises:
        InvalidInput: for a file beyond the limits, no photo, or one of one colour.
    """
    if path.stat().st_size > MAX_BYTES:
        raise InvalidInput(f"{path.name} is larger than {MAX_BYTES // 1024**2} MB; send a smaller photo")
    try:
        check_pixels(path)
        picture = load_picture(path)
        check_structure(picture)
    except DiffsightError as error:
        raise InvalidInput(str(error).replace(str(path), path.name)) from None
    return picture


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
