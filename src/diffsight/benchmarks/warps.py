"""Geometric matching scored on pairs of photos of one plane with known homographies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..backbones.base import Backbone
from ..datasets import hpatches
from ..errors import InvalidInput, UnreadableFile
from ..matching.aligner import Aligner
from ..matching.homography import EstimateSettings
from ..matching.keypoints import Detector
from ..matching.sparse import SparseSettings
from ..types import Picture
from ..world import RESERVED, make_warp_pair
from .metrics import HomographyScore, corner_error, homography_score, matching_accuracy

SIDE = 128
PIXELS = (1.0, 3.0, 5.0, 10.0)
"""Distances up to which corners and matches count as right, pixels; 10 is for coarse features on large photos."""


@dataclass(frozen=True)
class PlanePair:
    """Two photos of one plane, or where they lie.

    Attributes:
        group: of the pair.
        name: of the pair.
        source, target: the photos.
        homography: (3, 3) maps pixels of the source to pixels of the target, pixel centres at +0.5.
    """

    group: str
    name: str
    source: Picture | Path
    target: Picture | Path
    homography: npt.NDArray[np.float64]


@dataclass(frozen=True)
class PlaneErrors:
    """The outcome of one pair.

    Attributes:
        group: of the pair.
        name: of the pair.
        corners: mean distance of the corners from where they belong, pixels; infinite without a homography.
        right: share of matches within each of ``PIXELS``, percent.
        matches: how many there were.
    """

    group: str
    name: str
    corners: float
    right: tuple[float, ...]
    matches: int


@dataclass(frozen=True)
class PlaneScore:
    """The outcome of many pairs.

    Attributes:
        homographies: by their corner errors.
        corners: the median of those errors, pixels; infinite if most pairs have no homography.
        right: mean over pairs of the share of matches within each of ``PIXELS``, percent.
        matches: mean number a pair.
    """

    homographies: HomographyScore
    corners: float
    right: tuple[float, ...]
    matches: float


def world_warps(count: int, first: int = RESERVED, strength: float = 0.25) -> list[PlanePair]:
    """Draw planar warps of procedural pictures, from the seed ``first`` on."""
    pairs = []
    for seed in range(first, first + count):
        drawn = make_warp_pair(seed, SIDE, strength=strength)
        source, target = (
            Picture(torch.from_numpy(image).permute(2, 0, 1).contiguous()) for image in (drawn.source, drawn.target)
        )
        pairs.append(PlanePair("world", str(seed), source, target, drawn.homography))
    return pairs


def folder_warps(folder: Path) -> list[PlanePair]:
    """Find pairs in a folder in HPatches's layout, or laid out alike; they are grouped by light and viewpoint.

    Raises:
        UnreadableFile: for a folder or matrix that cannot be read, or a photo that is not there.
        InvalidInput: if there is no pair.
    """
    if not folder.is_dir():
        raise UnreadableFile(f"{folder} is no folder; give one of folders with 1.jpg, 2.jpg and H_1_2 each")
    pairs = [
        PlanePair(own.category, own.id, own.source.path, own.target.path, own.homography)
        for own in hpatches.read(folder, "test")
    ]
    if not pairs:
        raise InvalidInput(f"{folder} holds no pairs; give a folder of folders with 1.jpg, 2.jpg and H_1_2 each")
    return pairs


def run_warps(
    backbone: Backbone,
    pairs: Sequence[PlanePair],
    *,
    keypoints: Detector = "sift",
    count: int = 1000,
    matching: SparseSettings | None = None,
    estimation: EstimateSettings | None = None,
    **changes: Any,
) -> list[PlaneErrors]:
    """Align every pair by a model's features and measure how far the corners are off.

    Two photos are held at a time; one that several pairs in a row start from is read once. ``changes`` are of how
    photos are read.
    """
    aligner = Aligner(backbone, keypoints=keypoints, count=count, matching=matching, estimation=estimation, **changes)
    results: list[PlaneErrors] = []
    known: Picture | Path | None = None
    for pair in pairs:
        if pair.source is not known:
            known, source = pair.source, aligner.view(pair.source)
        matches, alignment = aligner.align(source, aligner.view(pair.target))
        corners = corner_error(alignment.matrix, pair.homography, source.picture.size)
        right = matching_accuracy(matches.query, matches.matched, pair.homography, PIXELS)
        results.append(PlaneErrors(pair.group, pair.name, corners, right, len(matches)))
    return results


def plane_score(results: Sequence[PlaneErrors]) -> PlaneScore:
    """Summarise pairs.

    Raises:
        InvalidInput: without a pair.
    """
    homographies = homography_score([result.corners for result in results], PIXELS)
    right = tuple(float(share) for share in np.mean([result.right for result in results], axis=0))
    corners = float(np.median([result.corners for result in results]))
    return PlaneScore(homographies, corners, right, float(np.mean([result.matches for result in results])))
