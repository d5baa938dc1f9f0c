"""DAVIS-2017: videos with a mask of every object in every frame (Pont-Tuset et al., 2017, arXiv 1704.00675)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import UnreadableFile
from ..video.masks import save_mask
from ..world import CLUTTER, make_clip
from .base import Benchmark, MaskClip, read_text
from .painting import LENGTH, SIDE, save_lines, save_photo

RESOLUTION = "480p"


def read(root: Path, split: str) -> list[MaskClip]:
    """The clips that a split lists, at 480p."""
    return [_clip(root, name) for name in read_text(root / "ImageSets" / "2017" / f"{split}.txt", DAVIS).split()]


def _clip(root: Path, name: str) -> MaskClip:
    photos, masks = (root / kind / RESOLUTION / name for kind in ("JPEGImages", "Annotations"))
    # a frame counts if either of its files is there, so that the missing one is missed
    stems = sorted({path.stem for path in (*photos.glob("[0-9]*.jpg"), *masks.glob("[0-9]*.png"))})
    if not stems:
        raise UnreadableFile(f"{photos} holds no frames, but the clip is listed; {DAVIS.advice}")
    return MaskClip(name, tuple(photos / f"{stem}.jpg" for stem in stems), tuple(masks / f"{s}.png" for s in stems))


def write_world(root: Path, seed: int, count: int) -> None:
    """Clips of two moving objects each."""
    names = [f"world-{i:04d}" for i in range(count)]
    for i, name in enumerate(names):
        for number, scene in enumerate(make_clip(seed + i, LENGTH, SIDE)):
            labels = np.where(scene.instances == CLUTTER, 0, scene.instances).astype(np.uint8)
            save_photo(scene.image, root / "JPEGImages" / RESOLUTION / name / f"{number:05d}.jpg")
            save_mask(labels, root / "Annotations" / RESOLUTION / name / f"{number:05d}.png")
    save_lines(names, root / "ImageSets" / "2017" / "val.txt")


DAVIS = Benchmark(
    name="davis",
    title="DAVIS-2017",
    kind="masks",
    read=read,
    write_world=write_world,
    splits=("val", "train"),
    counts={"val": 30, "train": 60},
    source="https://davischallenge.org/davis2017/code.html",
    layout="JPEGImages/480p/, Annotations/480p/ and ImageSets/2017/val.txt",
)
