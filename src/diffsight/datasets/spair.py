"""SPair-71k: pairs of photos of 18 categories with keypoints (Min et al., 2019, arXiv 1908.10543).

The files count pixels from 0, at their centres.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ..files import save_json
from ..world import categories
from .base import Annotation, Benchmark, Photo, PointPair, damaged, read_json, read_text
from .painting import SIDE, draw_pairs, save_lines, save_photo, shared, shown

LAYOUT = "large"

SLOTS = 30
"""Keypoints that every photo has a place for; what they mean depends on the category."""


def read(root: Path, split: str) -> list[PointPair]:
    """The pairs of a split, in the order of the benchmark's list."""
    lines = read_text(root / "Layout" / LAYOUT / f"{split}.txt", SPAIR).split()
    return [_pair(root, split, line) for line in lines]


def _pair(root: Path, split: str, line: str) -> PointPair:
    folder = root / "PairAnnotation" / split
    path = folder / f"{line}.json"
    if not path.exists():  # some file systems and archive tools do without colons
        path = next((p for p in [folder / f"{line.replace(':', '_')}.json"] if p.exists()), path)
    facts = read_json(path, SPAIR)
    try:
        category = facts["category"]
        source, target = (_annotation(root, category, facts, side) for side in ("src", "trg"))
        names = tuple(map(str, facts.get("kps_ids", ())))
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(path, SPAIR, repr(error)) from None
    if len(source.keypoints) != len(target.keypoints):
        counts = f"{len(source.keypoints)} keypoints in one photo, {len(target.keypoints)} in the other"
        raise damaged(path, SPAIR, counts)
    return PointPair(line, category, source, target, names)


def _annotation(root: Path, category: str, facts: dict[str, Any], side: str) -> Annotation:
    width, height = facts[f"{side}_imsize"][:2]
    x0, y0, x1, y1 = map(float, facts[f"{side}_bndbox"])
    keypoints = np.array(facts[f"{side}_kps"], np.float64).reshape(-1, 2) + 0.5
    photo = Photo(root / "JPEGImages" / category / facts[f"{side}_imname"])
    return Annotation(photo, (height, width), (x0, y0, x1, y1), keypoints)


def write_world(root: Path, seed: int, pairs: int) -> None:
    """Pairs of procedural pictures as SPair-71k's test split: ``pairs`` of each category."""
    lines: list[str] = []
    for kind in categories():
        for i, scenes in enumerate(islice(draw_pairs(kind, seed), pairs)):
            names = tuple(f"{kind}_{i:04d}_{side}" for side in "ab")
            seen = shared(scenes)
            facts: dict[str, Any] = {"category": kind, "kps_ids": [str(slot) for slot in np.flatnonzero(seen)]}
            for side, name, scene in zip(("src", "trg"), names, scenes, strict=True):
                thing = scene.objects[0]
                save_photo(scene.image, root / "JPEGImages" / kind / f"{name}.jpg")
                slots = [point.tolist() if point[0] == point[0] else None for point in shown(thing) - 0.5]
                slots += [None] * (SLOTS - len(slots))
                own = {"kps": dict(enumerate(slots)), "bndbox": thing.box.tolist(), "filename": f"{name}.jpg"}
                save_json(own, root / "ImageAnnotation" / kind / f"{name}.json")
                facts |= {
                    f"{side}_imname": f"{name}.jpg",
                    f"{side}_imsize": [SIDE, SIDE, 3],
                    f"{side}_bndbox": thing.box.tolist(),
                    f"{side}_kps": (thing.keypoints[seen] - 0.5).tolist(),
                }
            facts |= dict.fromkeys(("viewpoint_variation", "scale_variation", "truncation", "occlusion"), 0)
            lines.append(f"{len(lines) + 1:06d}-{names[0]}-{names[1]}:{kind}")
            save_json(facts, root / "PairAnnotation" / "test" / f"{lines[-1]}.json")
    save_lines(lines, root / "Layout" / LAYOUT / "test.txt")


SPAIR = Benchmark(
    name="spair",
    title="SPair-71k",
    kind="points",
    read=read,
    write_world=write_world,
    splits=("test", "val", "trn"),
    counts={"test": 12_234, "val": 5_384, "trn": 53_340},
    source="https://cvlab.postech.ac.kr/research/SPair-71k",
    layout="JPEGImages/, PairAnnotation/ and Layout/large/test.txt",
)
