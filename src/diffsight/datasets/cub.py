"""CUB-200-2011: photos of birds with 15 parts (Wah et al., 2011), paired in three ways that papers score.

The tables count pixels from 1, at their centres, as the code of ACSM, ASIC and Neural Congealing takes them; a box
(x, y, w, h) holds the pixels x to x + w - 1.

- ``hedlin``: photos of the test split of the first three classes, whole (Hedlin et al., 2023, arXiv 2305.15581).
- ``asic``: those of these classes that ACSM's test list keeps, cropped to the bird (Gupta et al., 2023, arXiv
  2303.16201). Which pairs are scored is not published; each is taken once here.
- ``neural_congealing``: 14 subsets of 25 photos, cropped to the bird, every pair both ways (Ofri-Amar et al., 2023,
  arXiv 2302.03956).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from itertools import combinations, permutations
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..world import Scene, make_scene
from .base import Annotation, Benchmark, Photo, PointPair, damaged, read_mat, read_text
from .painting import SIDE, save_lines, save_mat, save_photo

Numbers = npt.NDArray[np.float64]

CLASSES = (1, 2, 3)
"""Class numbers of ``hedlin`` and ``asic``."""

SUBSETS = tuple(f"cub_subset_{i}_original_paths.txt" for i in range(14))
"""Lists of ``neural_congealing``, beside the tables."""

KEPT = Path("cachedir") / "cub" / "data" / "test_cub_cleaned.mat"
"""ACSM's test list."""

CROP = 256
"""Side of a photo cropped to the bird, pixels."""

PADDING = 0.05
"""Of the box on each side before it is squared, as a share of its sides."""

PARTS = (
    "back",
    "beak",
    "belly",
    "breast",
    "crown",
    "forehead",
    "left eye",
    "left leg",
    "left wing",
    "nape",
    "right eye",
    "right leg",
    "right wing",
    "tail",
    "throat",
)


@dataclass(frozen=True)
class _Bird:
    """One row of every table: path below ``images``, class, part of the test split, box, (15, 3) x, y, visible."""

    path: str
    number: int
    is_test: bool
    box: Numbers
    parts: Numbers


def read(root: Path, split: str) -> list[PointPair]:
    """The pairs of a protocol, by class or subset."""
    birds = _birds(root)
    if split == "neural_congealing":
        groups = {name.split("_original")[0]: _listed(birds, root / name) for name in SUBSETS}
    else:
        chosen = _kept(birds, root / KEPT) if split == "asic" else [bird for bird in birds.values() if bird.is_test]
        groups = {str(number): [bird for bird in chosen if bird.number == number] for number in CLASSES}
    paired = permutations if split == "neural_congealing" else combinations
    pairs: list[PointPair] = []
    for group, members in groups.items():
        for first, second in paired(members, 2):
            seen = (first.parts[:, 2] > 0) & (second.parts[:, 2] > 0)
            source, target = (_annotation(root, bird, seen, split != "hedlin") for bird in (first, second))
            name = f"{len(pairs) + 1:04d}-{source.photo.path.stem}-{target.photo.path.stem}"
            category = group if split == "neural_congealing" else source.photo.path.parent.name
            pairs.append(PointPair(name, category, source, target, tuple(np.array(PARTS)[seen].tolist())))
    return pairs


def _annotation(root: Path, bird: _Bird, seen: npt.NDArray[np.bool_], is_cropped: bool) -> Annotation:
    path = root / "images" / bird.path
    photo = Photo(path, crop_window(bird.box), CROP) if is_cropped else Photo(path)
    corners = bird.box[:2] - 1 + [np.zeros(2), bird.box[2:]]
    x0, y0, x1, y1 = photo.to_window(corners).ravel().tolist()
    size = (CROP, CROP) if is_cropped else None
    return Annotation(photo, size, (x0, y0, x1, y1), photo.to_window(bird.parts[seen, :2] - 0.5))


def crop_window(box: Numbers) -> tuple[int, int, int, int]:
    """The square window around a box (x, y, w, h) of the tables, rounded as ACSM's code does.

    Its pixels from 0 are padded by 5 % of each side, rounded, and the shorter side grows on both ends to the longer.
    """
    first, sides = box[:2] - 1, box[2:]
    low, high = (
        [_round(value) for value in corner] for corner in (first - PADDING * sides, first + sides - 1 + PADDING * sides)
    )
    width, height = (b - a + 1 for a, b in zip(low, high, strict=True))
    side = max(width, height)
    left, top = low[0] - _round((side - width) / 2), low[1] - _round((side - height) / 2)
    return left, top, left + side, top + side


def _round(value: float) -> int:
    """To the nearest integer, halves away from zero."""
    return int(math.copysign(math.floor(abs(value) + 0.5), value))


def _birds(root: Path) -> dict[str, _Bird]:
    """Every bird by its path below ``images``."""
    path = root / "images.txt"
    try:
        files = {int(number): name for number, name in (line.split() for line in read_text(path, CUB).splitlines())}
    except ValueError as error:
        raise damaged(path, CUB, error) from None
    ids = list(files)
    labels = _table(root / "image_class_labels.txt", [ids], 1)[:, 0]
    training = _table(root / "train_test_split.txt", [ids], 1)[:, 0]
    boxes = _table(root / "bounding_boxes.txt", [ids], 4)
    every = np.repeat(ids, len(PARTS)).tolist(), list(range(1, len(PARTS) + 1)) * len(ids)
    parts = _table(root / "parts" / "part_locs.txt", every, 3).reshape(-1, len(PARTS), 3)
    rows = zip(files.values(), labels, training == 0, boxes, parts, strict=True)
    return {name: _Bird(name, int(label), bool(test), box, own) for name, label, test, box, own in rows}


def _table(path: Path, keys: Iterable[list[int]], columns: int) -> Numbers:
    """The columns of a table after its keys, which must be those given."""
    text = read_text(path, CUB)
    try:
        table = np.loadtxt(StringIO(text), ndmin=2) if text.strip() else np.zeros((0, 0))
    except ValueError as error:
        raise damaged(path, CUB, error) from None
    expected = np.array(list(keys)).T
    width = expected.shape[1]
    if table.shape != (len(expected), width + columns) or (table[:, :width] != expected).any():
        raise damaged(
            path, CUB, f"{len(table)} rows, which are not those of the {len(np.unique(expected[:, 0]))} images"
        )
    return table[:, width:]


def _listed(birds: dict[str, _Bird], path: Path) -> list[_Bird]:
    """The birds of a list of paths, of which the last two parts count."""
    return _named(birds, ["/".join(line.split("/")[-2:]) for line in read_text(path, CUB).split()], path)


def _kept(birds: dict[str, _Bird], path: Path) -> list[_Bird]:
    """The birds of one of ACSM's lists."""
    facts = read_mat(path, CUB)
    try:
        names = [str(image["rel_path"]) for image in facts["images"]]
    except (LookupError, TypeError) as error:
        raise damaged(path, CUB, repr(error)) from None
    return _named(birds, names, path)


def _named(birds: dict[str, _Bird], names: list[str], path: Path) -> list[_Bird]:
    unknown = [name for name in names if name not in birds]
    if unknown:
        raise damaged(path, CUB, f"{unknown[0]} is not in images.txt")
    return [birds[name] for name in names]


DRAWN = {
    "back": "back",
    "beak tip": "beak",
    "belly": "belly",
    "breast": "breast",
    "crown": "crown",
    "eye": "left eye",
    "near foot": "left leg",
    "wing tip": "left wing",
    "far foot": "right leg",
    "tail tip": "tail",
    "throat": "throat",
}
"""Part that each keypoint of the world's bird stands for."""


def write_world(root: Path, seed: int, pairs: int) -> None:
    """Procedural birds of three classes, ``pairs`` + 1 photos of each for testing and one for training."""
    names: list[str] = []
    birds: list[Scene] = []
    for number in CLASSES:
        for i in range(pairs + 2):
            birds.append(make_scene(seed + number * 10_000 + i, SIDE, kinds=("bird",)))
            names.append(f"{number:03d}.Bird/Bird_{number}_{i:04d}.jpg")
            save_photo(birds[-1].image, root / "images" / names[-1])
    is_training = [i % (pairs + 2) == 0 for i in range(len(names))]
    ids = range(1, len(names) + 1)
    boxes = [scene.objects[0].box for scene in birds]
    tables = {
        "images.txt": [f"{i} {name}" for i, name in zip(ids, names, strict=True)],
        "image_class_labels.txt": [f"{i} {int(name[:3])}" for i, name in zip(ids, names, strict=True)],
        "train_test_split.txt": [f"{i} {int(own)}" for i, own in zip(ids, is_training, strict=True)],
        "bounding_boxes.txt": [
            f"{i} {x0 + 1} {y0 + 1} {x1 - x0} {y1 - y0}" for i, (x0, y0, x1, y1) in zip(ids, boxes, strict=True)
        ],
        "parts/parts.txt": [f"{i} {part}" for i, part in enumerate(PARTS, 1)],
        "parts/part_locs.txt": [row for i, scene in zip(ids, birds, strict=True) for row in _part_rows(i, scene)],
    }
    tests = [name for name, training in zip(names, is_training, strict=True) if not training]
    for i, name in enumerate(SUBSETS):
        chosen = [tests[(i + j) % len(tests)] for j in range(pairs + 1)]
        tables[name] = [f"CUB_200_2011/images/{own}" for own in chosen]
    for name, lines in tables.items():
        save_lines(lines, root / name)
    save_mat({"images": np.array([(name,) for name in tests], [("rel_path", object)])}, root / KEPT)


def _part_rows(number: int, scene: Scene) -> list[str]:
    """Rows of ``part_locs.txt`` for one photo; parts that are hidden, or that the world has not, are at 0, 0."""
    thing = scene.objects[0]
    rows = dict.fromkeys(PARTS, "0.0 0.0 0")
    for name, (x, y), visible in zip(thing.names, (thing.keypoints + 0.5).tolist(), thing.visible, strict=True):
        if visible and name in DRAWN:
            rows[DRAWN[name]] = f"{x} {y} 1"
    return [f"{number} {i} {row}" for i, row in enumerate(rows.values(), 1)]


CUB = Benchmark(
    name="cub",
    title="CUB-200-2011",
    kind="points",
    read=read,
    write_world=write_world,
    splits=("hedlin", "asic", "neural_congealing"),
    counts={"hedlin": 1_248, "neural_congealing": 8_400},
    source="https://www.vision.caltech.edu/datasets/cub_200_2011; ACSM's cachedir.tar.gz for asic; "
    "https://neural-congealing.github.io for the lists of neural_congealing",
    layout=f"images.txt and the other tables, parts/ and images/; for asic also {KEPT.as_posix()}, "
    f"for neural_congealing {SUBSETS[0]} to {SUBSETS[-1]}",
)
