"""Procedural pictures as files, for trees in the layouts of benchmarks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files import atomic
from ..world import CLUTTER, Scene, WorldObject, categories, make_pair

SIDE = 128
"""Of procedural pictures, pixels."""

LENGTH = 12
"""Of procedural clips, frames."""


def draw_pairs(kind: str, seed: int) -> Iterator[tuple[Scene, Scene]]:
    """Pairs of pictures of one category without end; every category has 10,000 seeds of its own."""
    first = seed + tuple(categories()).index(kind) * 10_000
    for own in range(first, first + 10_000):
        drawn = make_pair(own, SIDE, kind=kind)
        yield drawn.source, drawn.target


def shared(scenes: tuple[Scene, Scene]) -> npt.NDArray[np.bool_]:
    """(K,) the keypoints that both pictures of a pair show."""
    first, second = (scene.objects[0] for scene in scenes)
    seen: npt.NDArray[np.bool_] = first.visible & second.visible
    return seen


def shown(thing: WorldObject) -> npt.NDArray[np.float64]:
    """(K, 2) the keypoints of an object, NaN where hidden."""
    return np.where(thing.visible[:, None], thing.keypoints, np.nan)


def label_values(scene: Scene, values: dict[str, int], background: int, clutter: int) -> npt.NDArray[np.uint8]:
    """(H, W) label values of a scene, by its objects' categories."""
    labels = np.full(scene.instances.shape, background, np.uint8)
    for number, thing in enumerate(scene.objects, start=1):
        labels[scene.instances == number] = values[thing.category]
    labels[scene.instances == CLUTTER] = clutter
    return labels


def save_photo(image: npt.NDArray[np.uint8], path: Path) -> None:
    """Write (H, W, 3) RGB or (H, W) labels in the format of the path's ending; JPEG as faithfully as it goes.

    Raises:
        OutputFailed: if it cannot be written.
    """
    from PIL import Image

    options: dict[str, Any] = {"quality": 100, "subsampling": 0} if path.suffix in (".jpg", ".jpeg") else {}
    with atomic(path) as part:
        Image.fromarray(image).save(part, **options)


def save_lines(lines: Iterable[str], path: Path) -> None:
    """Write a list or table.

    Raises:
        OutputFailed: if it cannot be written.
    """
    with atomic(path) as part:
        part.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def save_mat(facts: dict[str, Any], path: Path) -> None:
    """Write variables as a MATLAB file.

    Raises:
        OutputFailed: if it cannot be written.
    """
    from scipy.io import savemat

    with atomic(path) as part:
        savemat(part, facts)
