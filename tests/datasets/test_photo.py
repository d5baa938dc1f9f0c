from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.datasets import Annotation, Photo
from diffsight.errors import UnreadableFile


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("window", [None, (-2, 3, 10, 15)])
@pytest.mark.parametrize("side", [None, 8])
def test_the_size_measured_is_that_of_what_is_loaded(tmp_path, orientation, window, side):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (30, 20)).save(tmp_path / "a.jpg", exif=exif)
    photo = Photo(tmp_path / "a.jpg", window, side if window else None)
    assert photo.measure() == photo.load().size
    assert Annotation(photo, None, None, np.zeros((0, 2))).measure() == photo.measure()
    assert Annotation(photo, (5, 6), None, np.zeros((0, 2))).measure() == (5, 6)


def test_a_photo_that_cannot_be_measured(tmp_path):
    for content in (None, b"", b"no photo"):
        if content is not None:
            (tmp_path / "a.jpg").write_bytes(content)
        with pytest.raises(UnreadableFile, match=r"a\.jpg"):
            Photo(tmp_path / "a.jpg").measure()
