"""Photos as the page needs them: reduced, as bytes of a file, as an address."""

from __future__ import annotations

import io
from base64 import b64encode
from typing import Literal

from PIL import Image

from ..types import Picture

SIDE = 1024
"""Longest side to which photos are reduced, pixels; places are as fine, and a click in a large one takes no longer."""


def reduced(picture: Picture) -> Image.Image:
    """A photo of at most ``SIDE``."""
    image = Image.fromarray(picture.array())
    image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return image


def encode(image: Image.Image, kind: Literal["jpeg", "png"]) -> bytes:
    """A picture as a file of that kind holds it."""
    content = io.BytesIO()
    image.save(content, kind, quality=90)
    return content.getvalue()


def data_url(jpeg: bytes) -> str:
    """A JPEG as an address that holds it, for parts of the page that draw on it."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"
