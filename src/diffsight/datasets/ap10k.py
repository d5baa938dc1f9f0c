"""AP-10K: photos of animals with 17 keypoints, paired within a species, across species and across families.

The animals are of Yu et al., 2021 (arXiv 2108.12617), the pairs of Zhang et al., 2024 (arXiv 2311.17034). The files
count pixels from 0, at their centres.

The pairs are read where the folder has them. Of the original folder they are made by the same rules, from sorted lists,
so that two machines agree. They are not the published ones to the letter: those hang on the unsorted order of folders,
on a list of crowded photos that were left out, and on draws.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache, cached_property
from itertools import chain, combinations, islice, product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..files import save_json
from ..world import Scene, make_scene
from .base import Annotation, Benchmark, Photo, PointPair, damaged, read_json
from .painting import SIDE, save_photo

NAMES = (
    "left eye",
    "right eye",
    "nose",
    "neck",
    "root of tail",
    "left shoulder",
    "left elbow",
    "left front paw",
    "right shoulder",
    "right elbow",
    "right front paw",
    "left hip",
    "left knee",
    "left back paw",
    "right hip",
    "right knee",
    "right back paw",
)

SPLITS = ("test", "test_cross_species", "test_cross_family")

FEWEST = 3
"""Keypoints that a photo, and both photos of a pair, must show."""

LAST = 30
"""Photos of each species that are for testing: those with the highest numbers."""

NEAR, FAR = 400, 30
"""Pairs drawn across the species of each family, and for each pair of families."""

SEED = 42
"""Of the draw."""


@dataclass(frozen=True)
class _Animal:
    """One photo: file, family, species, (height, width), box, and (17, 3) x, y, visibility."""

    path: Path
    family: str
    species: str
    size: tuple[int, int]
    box: tuple[float, float, float, float]
    points: npt.NDArray[np.float64]

    @cached_property
    def seen(self) -> frozenset[int]:
        """Numbers of the keypoints that it shows."""
        return frozenset(np.flatnonzero(self.points[:, 2] > 0).tolist())


def read(root: Path, split: str) -> list[PointPair]:
    """The pairs of a split, sorted by name."""
    if (root / "annotations").is_dir() and not (root / "PairAnnotation").is_dir():
        return _made(root, split)
    animal = cache(lambda *parts: _read_animal(root, parts))
    pairs = []
    for path in sorted((root / "PairAnnotation" / split).glob("*.json")):
        facts = read_json(path, AP10K)
        try:
            source, target = (animal(*Path(facts[f"{side}_json_path"]).parts[-3:]) for side in ("src", "trg"))
        except (KeyError, TypeError) as error:
            raise damaged(path, AP10K, repr(error)) from None
        category = path.stem[2 * len(source.path.stem) + 2 :]  # after a colon, or what stands for it
        pairs.append(_pair(source, target, category))
    return pairs


def _read_animal(root: Path, parts: tuple[str, ...]) -> _Animal:
    family, species, name = parts
    path = root.joinpath("ImageAnnotation", *parts)
    photo = root.joinpath("JPEGImages", family, species, name).with_suffix(".jpg")
    facts = read_json(path, AP10K)
    try:
        return _animal(photo, family, species, facts, facts)
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, AP10K, repr(error)) from None


def _animal(photo: Path, family: str, species: str, image: dict[str, Any], facts: dict[str, Any]) -> _Animal:
    x, y, width, height = map(float, facts["bbox"])
    points = np.array(facts["keypoints"], np.float64).reshape(len(NAMES), 3)
    size = int(image["height"]), int(image["width"])
    return _Animal(photo, family, species, size, (x, y, x + width, y + height), points)


def _pair(source: _Animal, target: _Animal, category: str) -> PointPair:
    seen = sorted(source.seen & target.seen)
    first, second = (
        Annotation(Photo(own.path), own.size, own.box, own.points[seen, :2] + 0.5) for own in (source, target)
    )
    name = f"{source.path.stem}-{target.path.stem}:{category}"
    return PointPair(name, category, first, second, tuple(NAMES[i] for i in seen))


def _made(root: Path, split: str) -> list[PointPair]:
    """Pairs of the original folder."""
    herds: dict[str, dict[str, list[_Animal]]] = defaultdict(lambda: defaultdict(list))
    for own in sorted(_originals(root), key=lambda animal: (animal.family, animal.species, animal.path)):
        herds[own.family][own.species].append(own)
    tests = {family: {species: own[-LAST:] for species, own in herd.items()} for family, herd in herds.items()}
    families = {family: list(chain.from_iterable(herd.values())) for family, herd in tests.items()}
    draw = random.Random(SEED)
    if split == "test":
        chosen = [
            (species, list(_usable(combinations(own, 2)))) for herd in tests.values() for species, own in herd.items()
        ]
    elif split == "test_cross_species":
        among = {family: (both for both in combinations(own, 2) if _differ(*both)) for family, own in families.items()}
        chosen = [(family, _drawn(draw, pairs, NEAR)) for family, pairs in among.items()]
    else:
        chosen = [("all", _drawn(draw, product(*both), FAR)) for both in combinations(families.values(), 2)]
    return sorted((_pair(*both, category) for category, pairs in chosen for both in pairs), key=lambda pair: pair.id)


def _differ(first: _Animal, second: _Animal) -> bool:
    return first.species != second.species


def _drawn(draw: random.Random, pairs: Iterable[tuple[_Animal, _Animal]], most: int) -> list[tuple[_Animal, _Animal]]:
    usable = list(_usable(pairs))
    return draw.sample(usable, min(len(usable), most))


def _usable(pairs: Iterable[tuple[_Animal, _Animal]]) -> Iterator[tuple[_Animal, _Animal]]:
    """Those that show enough keypoints in common."""
    return ((a, b) for a, b in pairs if len(a.seen & b.seen) >= FEWEST)


def _originals(root: Path) -> Iterator[_Animal]:
    """The first animal of each photo of the original lists, if it shows enough keypoints."""
    for part in ("train", "val", "test"):
        path = root / "annotations" / f"ap10k-{part}-split1.json"
        facts = read_json(path, AP10K)
        try:
            kinds = {own["id"]: (own["supercategory"], own["name"]) for own in facts["categories"]}
            images = {own["id"]: own for own in facts["images"]}
            first = {own["image_id"]: own for own in reversed(facts["annotations"])}
            for number, own in sorted(first.items()):
                image = images[number]
                animal = _animal(root / "data" / image["file_name"], *kinds[own["category_id"]], image, own)
                if len(animal.seen) >= FEWEST:
                    yield animal
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, AP10K, repr(error)) from None


FAMILIES = {"Aves": {"bird": "bird"}, "Canidae": {"dog": "dog", "wolf": "dog"}, "Pisces": {"fish": "fish"}}
"""Families and species of the world's tree, each with the category that it is drawn as."""

DRAWN = {
    "bird": {
        "beak tip": "nose",
        "eye": "left eye",
        "back": "neck",
        "tail tip": "root of tail",
        "near foot": "left back paw",
        "far foot": "right back paw",
    },
    "dog": {
        "nose": "nose",
        "eye": "left eye",
        "withers": "neck",
        "tail tip": "root of tail",
        "near front paw": "left front paw",
        "near hind paw": "left back paw",
        "far front paw": "right front paw",
        "far hind paw": "right back paw",
    },
    "fish": {"mouth": "nose", "eye": "left eye", "gill": "neck", "tail root": "root of tail"},
}
"""Keypoint of an animal that each of the world's stands for."""


def write_world(root: Path, seed: int, pairs: int) -> None:
    """Procedural animals in the layout of pairs: ``pairs`` + 1 photos of each species.

    All pairs within a species are written; across species and families, the i-th photo of one with the i-th of another.
    """
    herds: list[tuple[str, str, list[_Animal]]] = []
    for family, kinds in FAMILIES.items():
        for species, kind in kinds.items():
            first = seed + len(herds) * 10_000
            scenes = (make_scene(first + i, SIDE, kinds=(kind,)) for i in range(10_000))
            drawn = islice((scene for scene in scenes if (_slots(scene)[:, 2] > 0).sum() >= FEWEST), pairs + 1)
            numbers = range(len(herds) * (pairs + 1) + 1, 2**31)
            own = [_save(root, family, species, *numbered) for numbered in zip(numbers, drawn, strict=False)]
            herds.append((family, species, own))
    for _, species, own in herds:
        _save_pairs(root, "test", species, combinations(own, 2))
    for (family, _, own), (other_family, _, other) in combinations(herds, 2):
        is_near = family == other_family
        split, category = ("test_cross_species", family) if is_near else ("test_cross_family", "all")
        _save_pairs(root, split, category, zip(own, other, strict=True))


def _slots(scene: Scene) -> npt.NDArray[np.float64]:
    """(17, 3) keypoints of the animal in a picture."""
    thing = scene.objects[0]
    rows = dict.fromkeys(NAMES, (0.0, 0.0, 0.0))
    for name, (x, y), visible in zip(thing.names, (thing.keypoints - 0.5).tolist(), thing.visible, strict=True):
        if visible and name in DRAWN[thing.category]:
            rows[DRAWN[thing.category][name]] = (x, y, 2.0)
    return np.array(list(rows.values()))


def _save(root: Path, family: str, species: str, number: int, scene: Scene) -> _Animal:
    x0, y0, x1, y1 = scene.objects[0].box.tolist()
    slots = _slots(scene)
    facts = {
        "id": number,
        "image_id": number,
        "iscrowd": 0,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "num_keypoints": int((slots[:, 2] > 0).sum()),
        "keypoints": slots.ravel().tolist(),
        "width": SIDE,
        "height": SIDE,
    }
    photo = root / "JPEGImages" / family / species / f"{number:012d}.jpg"
    save_photo(scene.image, photo)
    save_json(facts, root / "ImageAnnotation" / family / species / f"{number:012d}.json")
    return _animal(photo, family, species, facts, facts)


def _save_pairs(root: Path, split: str, category: str, pairs: Iterable[tuple[_Animal, _Animal]]) -> None:
    for both in _usable(pairs):
        names = [f"data/ap-10k/ImageAnnotation/{own.family}/{own.species}/{own.path.stem}.json" for own in both]
        path = root / "PairAnnotation" / split / f"{both[0].path.stem}-{both[1].path.stem}:{category}.json"
        save_json({"src_json_path": names[0], "trg_json_path": names[1]}, path)


AP10K = Benchmark(
    name="ap-10k",
    title="AP-10K",
    kind="points",
    read=read,
    write_world=write_world,
    splits=SPLITS,
    counts={},
    source="https://github.com/AlexTheBad/AP-10K, pairs by the notebook of https://github.com/Junyi42/GeoAware-SC",
    layout="PairAnnotation/, ImageAnnotation/ and JPEGImages/, or the original annotations/ and data/",
)
