"""Cityscapes-27: photos of streets, each pixel one of 27 classes (Cordts et al., 2016, arXiv 1604.01685)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..world import make_scene
from .base import Benchmark, LabelledPhoto
from .painting import SIDE, label_values, save_photo

CLASSES = (
    "road",
    "sidewalk",
    "parking",
    "rail track",
    "building",
    "wall",
    "fence",
    "guard rail",
    "bridge",
    "tunnel",
    "pole",
    "polegroup",
    "traffic light",
    "traffic sign",
    "vegetation",
    "terrain",
    "sky",
    "person",
    "rider",
    "car",
    "truck",
    "bus",
    "caravan",
    "trailer",
    "train",
    "motorcycle",
    "bicycle",
)
FIRST = 7
"""The label value of the first class; those below it are not counted."""

TABLE = np.full(256, -1)
TABLE[FIRST : FIRST + len(CLASSES)] = np.arange(len(CLASSES))

WORLD = {
    "person": "person",
    "face": "rider",
    "car": "car",
    "flower": "vegetation",
    "aeroplane": "truck",
    "boat": "bus",
    "chair": "bicycle",
    "teapot": "motorcycle",
    "bird": "traffic light",
    "butterfly": "traffic sign",
    "fish": "trailer",
    "dog": "caravan",
}
"""The class that stands for each category of the world, whose streets are quiet otherwise."""

STATIC = 4
PHOTO, LABELS = "_leftImg8bit.png", "_gtFine_labelIds.png"


def read(root: Path, split: str) -> list[LabelledPhoto]:
    """The photos of a split that have labels, by city and name."""
    return [_sample(root, path) for path in sorted((root / "gtFine" / split).glob(f"*/*{LABELS}"))]


def _sample(root: Path, labels: Path) -> LabelledPhoto:
    name = labels.name.removesuffix(LABELS)
    split, city = labels.parts[-3:-1]
    return LabelledPhoto(name, root / "leftImg8bit" / split / city / f"{name}{PHOTO}", labels, TABLE, 512)


def write_world(root: Path, seed: int, count: int) -> None:
    """Scenes of two or three objects on a road, twice as wide as high; what hides them is static, which is ignored."""
    values = {kind: FIRST + CLASSES.index(name) for kind, name in WORLD.items()}
    for i in range(count):
        scene = make_scene(seed + i, SIDE, 2 * SIDE, count=2 + i % 2)
        name = f"world_{i:06d}_000000"
        save_photo(scene.image, root / "leftImg8bit" / "val" / "world" / f"{name}{PHOTO}")
        save_photo(label_values(scene, values, FIRST, STATIC), root / "gtFine" / "val" / "world" / f"{name}{LABELS}")


CITYSCAPES = Benchmark(
    name="cityscapes",
    title="Cityscapes-27",
    kind="segments",
    read=read,
    write_world=write_world,
    splits=("val", "train"),
    counts={"val": 500, "train": 2_975},
    source="https://www.cityscapes-dataset.com",
    layout="leftImg8bit/val/ and gtFine/val/, each with a folder for every city",
)
