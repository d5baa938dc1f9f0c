"""PF-PASCAL: pairs of photos of 20 categories with keypoints (Ham et al., 2017, arXiv 1703.07144).

Two layouts are about: one keeps the keypoints in a MATLAB file for each photo; the other, that of CNNGeometric, in the
list of pairs, without boxes. The columns of the list tell which it is. Coordinates are taken as the published code
takes them: pixels from 0, at their centres.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from functools import cache, partial
from itertools import islice
from pathlib import Path

import numpy as np

from ..grid import Points
from ..world import categories
from .base import Annotation, Benchmark, Box, Photo, PointPair, damaged, read_mat, read_text
from .painting import draw_pairs, save_lines, save_mat, save_photo, shown

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)
"""By class number, from 1."""

IN_LIST = ["XA", "YA", "XB", "YB"]
"""Columns of a list that holds the keypoints."""


def read(root: Path, split: str) -> list[PointPair]:
    """The pairs of a split, in the order of its list; mirrored copies, which only training uses, are left out."""
    names = (f"{split}_pairs.csv", f"{'train' if split == 'trn' else split}_pairs_pf_pascal.csv")
    path = next((root / name for name in names if (root / name).exists()), root / names[0])
    header, *rows = list(csv.reader(read_text(path, PF_PASCAL).splitlines())) or [[]]
    marks = None if header[3:] == IN_LIST else cache(partial(_marks, root))
    pairs = []
    for number, row in enumerate(rows, 1):
        if row[3:] == ["1"]:
            continue
        try:
            pairs.append(_pair(root, number, row, marks))
        except (ValueError, LookupError) as error:
            raise damaged(path, PF_PASCAL, f"line {number + 1}: {error!r}") from None
    return pairs


def _pair(root: Path, number: int, row: list[str], marks: Callable[[str, str], tuple[Points, Box]] | None) -> PointPair:
    """One row of the list; ``marks`` gives keypoints and box by category and photo where the list has none."""
    category = dict(enumerate(CLASSES, 1))[int(row[2])]
    photos = [root / "JPEGImages" / Path(name).name for name in row[:2]]
    points: list[Points]
    boxes: list[Box | None]
    if marks is None:
        points = [np.array([axis.split(";") for axis in row[i : i + 2]], np.float64).T for i in (3, 5)]
        boxes = [None, None]
    else:
        found = [marks(category, photo.stem) for photo in photos]
        points, boxes = [own for own, _ in found], [box for _, box in found]
    known = ~np.isnan(np.stack(points)).any(axis=(0, 2))
    source, target = (
        Annotation(Photo(photo), None, box, own[known] + 0.5)
        for photo, box, own in zip(photos, boxes, points, strict=True)
    )
    return PointPair(f"{number:04d}-{photos[0].stem}-{photos[1].stem}", category, source, target)


def _marks(root: Path, category: str, photo: str) -> tuple[Points, Box]:
    """(N, 2) keypoints, NaN where absent, and the box."""
    path = root / "Annotations" / category / f"{photo}.mat"
    facts = read_mat(path, PF_PASCAL)
    try:
        x0, y0, x1, y1 = map(float, facts["bbox"])
        return np.asarray(facts["kps"], np.float64).reshape(-1, 2), (x0, y0, x1, y1)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, PF_PASCAL, repr(error)) from None


def write_world(root: Path, seed: int, pairs: int) -> None:
    """Pairs of procedural pictures as the test split in the layout of MATLAB files: ``pairs`` of each category.

    The n-th category of the world stands for the n-th class.
    """
    rows = ["source_image,target_image,class"]
    for number, kind in enumerate(categories(), 1):
        category = CLASSES[number - 1]
        for i, scenes in enumerate(islice(draw_pairs(kind, seed), pairs)):
            names = tuple(f"{kind}_{i:04d}_{side}" for side in "ab")
            for name, scene in zip(names, scenes, strict=True):
                thing = scene.objects[0]
                save_photo(scene.image, root / "JPEGImages" / f"{name}.jpg")
                facts = {"kps": shown(thing) - 0.5, "bbox": thing.box}
                save_mat(facts, root / "Annotations" / category / f"{name}.mat")
            rows.append(f"JPEGImages/{names[0]}.jpg,JPEGImages/{names[1]}.jpg,{number}")
    save_lines(rows, root / "test_pairs.csv")


PF_PASCAL = Benchmark(
    name="pf-pascal",
    title="PF-PASCAL",
    kind="points",
    read=read,
    write_world=write_world,
    splits=("test", "val", "trn"),
    counts={"test": 299, "val": 308},
    source="https://www.di.ens.fr/willow/research/proposalflow, lists of pairs from CNNGeometric",
    layout="JPEGImages/ and test_pairs.csv with Annotations/, or test_pairs_pf_pascal.csv with the keypoints in it",
)
