from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffsight.collection.store import Collection
from diffsight.readers import ModelReader

HERE = {"device": "cpu", "dtype": "float32", "size": (64, 64), "ensemble": 1, "stage": "up2"}


@pytest.fixture(scope="session")
def reader(tiny_sd):
    return ModelReader.open(tiny_sd, **HERE)


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> list[tuple[str, Path]]:
    """Twelve photos of different shapes."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    named = []
    for i in range(12):
        path = folder / f"{i:02d}.png"
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
        coarse.resize((60 + 7 * i, 90 - 3 * i), Image.Resampling.BICUBIC).save(path)
        named.append((path.name, path))
    return named


@pytest.fixture
def kept(tmp_path, reader, photos) -> Collection:
    """A collection of the first eight photos."""
    return Collection.create(tmp_path / "kept", reader, photos[:8], dims=12)[0]
