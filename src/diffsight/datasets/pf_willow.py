"""PF-WILLOW: pairs of photos of ten classes, always with ten keypoints (Ham et al., 2016, arXiv 1511.05065).

There are no boxes. Coordinates are taken as the published code takes them: pixels from 0, at their centres.
"""

from __future__ import annotations

import csv
from itertools import islice
from pathlib import Path

import numpy as np

from ..world import categories
from .base import Annotation, Benchmark, Photo, PointPair, damaged, read_text
from .painting import draw_pairs, save_lines, save_photo, shared

CLASSES = (
    "car(G)",
    "car(M)",
    "car(S)",
    "duck(S)",
    "motorbike(G)",
    "motorbike(M)",
    "motorbike(S)",
    "winebottle(M)",
    "winebottle(wC)",
    "winebottle(woC)",
)

POINTS = 10
"""Keypoints of every pair."""

TOP = "PF-dataset"
"""The folder that names in the list begin with, whatever its name on disk."""


def read(root: Path, split: str) -> list[PointPair]:
    """The pairs, in the order of the list."""
    path = root / f"{split}_pairs.csv"
    _, *rows = list(csv.reader(read_text(path, PF_WILLOW).splitlines())) or [[]]
    pairs = []
    for number, row in enumerate(rows, 1):
        try:
            pairs.append(_pair(root, number, row))
        except ValueError as error:
            raise damaged(path, PF_WILLOW, f"line {number + 1}: {error}") from None
    return pairs


def _pair(root: Path, number: int, row: list[str]) -> PointPair:
    """One row of the list: two names, then x and y of the source's keypoints and x and y of the target's."""
    first, second = (Path(*Path(name).parts[1:]) for name in row[:2])
    points = np.array(row[2:], np.float64).reshape(2, 2, POINTS).transpose(0, 2, 1) + 0.5
    source, target = (
        Annotation(Photo(root / name), None, None, own) for name, own in zip((first, second), points, strict=True)
    )
    return PointPair(f"{number:04d}-{first.stem}-{second.stem}", first.parent.name, source, target)


def write_world(root: Path, seed: int, pairs: int) -> None:
    """Pairs of procedural pictures that share ten keypoints or more: ``pairs`` of each class.

    The n-th category of the world stands for the n-th class.
    """
    columns = [f"{axis}{photo}{i}" for photo in "AB" for axis in "XY" for i in range(1, POINTS + 1)]
    rows = [",".join(["imageA", "imageB", *columns])]
    for name, kind in zip(CLASSES, categories(), strict=False):
        drawn = (scenes for scenes in draw_pairs(kind, seed) if shared(scenes).sum() >= POINTS)
        for i, scenes in enumerate(islice(drawn, pairs)):
            files = [f"{name}/{kind}_{i:04d}_{side}.png" for side in "ab"]
            for file, scene in zip(files, scenes, strict=True):
                save_photo(scene.image, root / file)
            seen = shared(scenes)
            points = [(scene.objects[0].keypoints[seen][:POINTS] - 0.5).T for scene in scenes]
            values = map(str, np.concatenate(points).ravel().tolist())
            rows.append(",".join([*(f"{TOP}/{file}" for file in files), *values]))
    save_lines(rows, root / "test_pairs.csv")


PF_WILLOW = Benchmark(
    name="pf-willow",
    title="PF-WILLOW",
    kind="points",
    read=read,
    write_world=write_world,
    splits=("test",),
    counts={"test": 900},
    source="https://www.di.ens.fr/willow/research/proposalflow, list of pairs from CNNGeometric",
    layout="test_pairs.csv and a folder of photos for each class, such as car(G)/",
)
