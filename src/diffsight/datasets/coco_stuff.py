"""COCO-Stuff-27: photos of every kind, each pixel one of 27 classes (Caesar et al., 2018; Ji et al., 2019)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..world import make_scene
from .base import Benchmark, LabelledPhoto, read_text
from .painting import SIDE, label_values, save_lines, save_photo

CLASSES: dict[str, Sequence[int]] = {
    "electronic": range(71, 77),
    "appliance": range(77, 83),
    "food (things)": range(51, 61),
    "furniture (things)": range(61, 71),
    "indoor": range(83, 91),
    "kitchen": range(43, 51),
    "accessory": range(25, 33),
    "animal": range(15, 25),
    "outdoor": range(9, 15),
    "person": (0,),
    "sports": range(33, 43),
    "vehicle": range(1, 9),
    "ceiling": (101, 102),
    "floor": (100, 113, 114, 115, 116, 117),
    "food (stuff)": (120, 121, 152, 169),
    "furniture (stuff)": (97, 106, 107, 109, 111, 122, 129, 132, 155, 160, 164),
    "raw material": (99, 131, 138, 142),
    "textile": (91, 92, 103, 104, 108, 130, 136, 140, 151, 166, 167),
    "wall": range(170, 177),
    "window": (179, 180),
    "building": (94, 95, 127, 150, 157, 165),
    "ground": (110, 124, 125, 135, 139, 143, 144, 146, 148, 153, 158),
    "plant": (93, 96, 118, 123, 128, 133, 141, 162, 168),
    "sky": (105, 156),
    "solid": (126, 134, 149, 159, 161, 181),
    "structural": (98, 112, 137, 145, 163),
    "water": (119, 147, 154, 177, 178),
}
"""The classes in order, and the label values of each: COCO's category numbers less one; 255 is not labelled."""

BY_VALUE = {value: number for number, values in enumerate(CLASSES.values()) for value in values}
TABLE = np.array([BY_VALUE.get(value, -1) for value in range(256)])

LIST = "Coco164kFull_Stuff_Coarse_7.txt"

WORLD = {
    "bird": 15,
    "fish": 16,
    "dog": 17,
    "butterfly": 22,
    "person": 0,
    "face": 0,
    "car": 2,
    "boat": 8,
    "aeroplane": 4,
    "chair": 61,
    "flower": 118,
    "teapot": 46,
}
"""The label value that stands for each category of the world; those without one of their own take a relative's."""

WORLD_BACKGROUND, UNLABELLED = 170, 255


def read(root: Path, split: str) -> list[LabelledPhoto]:
    """The photos of the list that IIC, PiCIE and STEGO use, in its order."""
    return [
        LabelledPhoto(name, root / "val2017" / f"{name}.jpg", root / "annotation_val2017" / f"{name}.png", TABLE, 512)
        for name in read_text(root / LIST, COCO_STUFF).split()
    ]


def write_world(root: Path, seed: int, count: int) -> None:
    """Scenes of two or three objects in front of a wall, wider than high."""
    names = [f"{number:012d}" for number in range(1, count + 1)]
    for i, name in enumerate(names):
        scene = make_scene(seed + i, SIDE, SIDE * 5 // 4, count=2 + i % 2)
        save_photo(scene.image, root / "val2017" / f"{name}.jpg")
        labels = label_values(scene, WORLD, WORLD_BACKGROUND, UNLABELLED)
        save_photo(labels, root / "annotation_val2017" / f"{name}.png")
    save_lines(names, root / LIST)


COCO_STUFF = Benchmark(
    name="coco-stuff",
    title="COCO-Stuff-27",
    kind="segments",
    read=read,
    write_world=write_world,
    splits=("val",),
    counts={"val": 2_175},
    source="https://github.com/nightrome/cocostuff; the list from https://github.com/mhamilton723/STEGO",
    layout=f"val2017/, annotation_val2017/ (the label maps of things and stuff) and {LIST}",
)
