import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from diffsight.app.limits import MAX_BYTES
from diffsight.app.uploads import open_upload
from diffsight.errors import InvalidInput


def png_header(width, height):
    """A PNG that says how large it is, and ends where its pixels begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + b"\0\0\1\0IDAT"


def test_a_photo_is_loaded(tmp_path, rng):
    image = rng.integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    assert (open_upload(tmp_path / "a.png").array() == image).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no photo", "a.png is not a photo that can be read"),
        (b"", "a.png is empty"),
        (png_header(30, 20), "a.png is damaged or cut off"),
        (png_header(5000, 4001), "a.png has over 20 million pixels"),
        (png_header(60_000, 60_000), "a.png has over 20 million pixels"),
        (bytes(MAX_BYTES + 1), "a.png is larger than 20 MB"),
    ],
    ids=["text", "empty", "cut off", "many pixels", "bomb", "many bytes"],
)
def test_what_is_no_photo_is_refused_in_one_line(tmp_path, content, reason):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InvalidInput, match=f"^{reason}") as refused:
        open_upload(tmp_path / "a.png")
    assert str(tmp_path) not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_photo_of_one_colour_is_refused(tmp_path):
    Image.new("RGB", (30, 20), "teal").save(tmp_path / "a.png")
    with pytest.raises(InvalidInput, match=r"^a\.png is of one colour"):
        open_upload(tmp_path / "a.png")
