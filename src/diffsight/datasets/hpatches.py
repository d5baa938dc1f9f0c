"""HPatches: sequences of photos of one plane, under other light or from elsewhere (Balntas et al., 2017)."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..files import atomic
from ..grid import centre_matrix, corner_matrix
from ..world import make_warp_pair
from .base import Benchmark, Photo, PlanePair, damaged, read_text
from .painting import SIDE, save_photo

TOO_LARGE = (
    "i_contruction",
    "i_crownnight",
    "i_dc",
    "i_pencils",
    "i_whitebuilding",
    "v_artisans",
    "v_astronautis",
    "v_talent",
)
"""Sequences that are left out, as everybody does since D2-Net, because of their size."""

CATEGORIES = {"i_": "illumination", "v_": "viewpoint"}
"""By how a sequence's name begins."""


def read(root: Path, split: str) -> list[PlanePair]:
    """The first photo of every sequence with each other one, by name; of any folder laid out alike, too.

    The files' matrices count the centre of the first pixel as (0, 0).
    """
    folders = [folder for folder in sorted(root.iterdir()) if folder.is_dir() and folder.name not in TOO_LARGE]
    return [_pair(folder, number) for folder in folders for number in _numbers(folder)]


def _numbers(folder: Path) -> list[str]:
    """Of the photos that pair with the first: those with either file, so that the missing one is missed."""
    matrices = {path.name.removeprefix("H_1_") for path in folder.glob("H_1_*")}
    return sorted(matrices | {path.stem for path in folder.glob("[2-9].*")})


def _pair(folder: Path, number: str) -> PlanePair:
    path = folder / f"H_1_{number}"
    try:
        matrix = np.array(read_text(path, HPATCHES).split(), np.float64).reshape(3, 3)
    except ValueError as error:
        raise damaged(path, HPATCHES, f"no 3x3 matrix: {error}") from None
    source, target = (_photo(folder, own) for own in ("1", number))
    category = CATEGORIES.get(folder.name[:2], "all")
    return PlanePair(f"{folder.name}-{number}", category, source, target, corner_matrix(matrix))


def _photo(folder: Path, number: str) -> Photo:
    return Photo(next(iter(sorted(folder.glob(f"{number}.*"))), folder / f"{number}.ppm"))


def write_world(root: Path, seed: int, count: int) -> None:
    """As many sequences of each kind: planes that are seen from further and further aside, or get darker and darker."""
    for i in range(count):
        for kind in CATEGORIES:
            folder = root / f"{kind}world{i:04d}"
            for number in range(2, 7):
                aside, light = (0.05 * (number - 1), 1.0) if kind == "v_" else (0.0, 1.3 - 0.15 * number)
                drawn = make_warp_pair(seed + i, SIDE, strength=aside)
                if number == 2:
                    save_photo(drawn.source, folder / "1.ppm")
                save_photo((drawn.target * light).astype(np.uint8), folder / f"{number}.ppm")
                with atomic(folder / f"H_1_{number}") as part:
                    np.savetxt(part, centre_matrix(drawn.homography))


HPATCHES = Benchmark(
    name="hpatches",
    title="HPatches",
    kind="planes",
    read=read,
    write_world=write_world,
    splits=("test",),
    counts={"test": 540},
    source="http://icvl.ee.ic.ac.uk/vbalnt/hpatches/hpatches-sequences-release.tar.gz",
    layout="i_*/ and v_*/, each with 1.ppm to 6.ppm and H_1_2 to H_1_6",
)
