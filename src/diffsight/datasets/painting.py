"""Procedural pictures as files, for trees in the layouts of benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files import atomic

SIDE = 128
"""Of procedural pictures, pixels."""


def save_photo(image: npt.NDArray[np.uint8], path: Path) -> None:
    """Write (H, W, 3) RGB in the format of the path's ending; JPEG as faithfully as it goes.

    Raises:
        OutputFailed: if it cannot be written.
    """
    from PIL import Image

    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if path.suffix in (".jpg", ".jpeg") else {}
    with atomic(path) as part:
        Image.fromarray(image).save(part, **options)
