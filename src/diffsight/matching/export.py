"""Matches for other programs: COLMAP's text files and the HDF5 files of hloc."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..files import atomic
from ..grid import Points, Size
from ..types import Matches

COLMAP_CHANNELS = 128


@dataclass(frozen=True)
class Side:
    """One photo of a pair, as another program knows it.

    Attributes:
        name: of the photo.
        size: (height, width).
        keypoints: (N, 2) pixels of the photo, pixel centres at +0.5, each place once.
    """

    name: str
    size: Size
    keypoints: Points


def save_colmap(folder: Path, source: Side, target: Side, matches: Matches) -> None:
    """Write keypoints and matches as COLMAP's text files.

    ``NAME.txt`` beside each photo's name is what ``colmap feature_importer`` reads, ``matches.txt`` what ``colmap
    matches_importer`` reads. COLMAP puts the centre of the first pixel at (0.5, 0.5), as we do; its descriptors are
    left at zero, as the matches are made.

    Args:
        folder: to write to.
        source, target: the photos.
        matches: between their keypoints.

    Raises:
        InvalidInput: if the photos share a name.
        OutputFailed: if a file cannot be written.
    """
    check_names(source.name, target.name)
    for side in (source, target):
        lines = [f"{x:.4f} {y:.4f} 1 0 {' '.join('0' * COLMAP_CHANNELS)}" for x, y in side.keypoints]
        _write(folder / f"{side.name}.txt", [f"{len(lines)} {COLMAP_CHANNELS}", *lines])
    pairs = zip(_places(source, matches.query), _places(target, matches.matched), strict=True)
    _write(folder / "matches.txt", [f"{source.name} {target.name}", *(f"{i} {j}" for i, j in pairs), ""])


def save_hloc(folder: Path, source: Side, target: Side, matches: Matches) -> None:
    """Write keypoints and matches as hloc does, for its ``triangulation`` and ``reconstruction``.

    ``features.h5`` holds a group for each photo with ``keypoints`` (N, 2) and ``image_size`` (width, height);
    ``matches.h5`` a group ``A/B`` with ``matches0`` (N,), the keypoint of B for each of A or -1, and
    ``matching_scores0``; ``pairs.txt`` names the pair. hloc counts the centre of the first pixel as (0, 0).

    Args:
        folder: to write to.
        source, target: the photos.
        matches: between their keypoints.

    Raises:
        InvalidInput: if the photos share a name, or h5py is not installed.
        OutputFailed: if a file cannot be written.
    """
    check_names(source.name, target.name)
    check_hdf5()
    features = {}
    for side in (source, target):
        features[f"{side.name}/keypoints"] = (side.keypoints - 0.5).astype(np.float32)
        features[f"{side.name}/image_size"] = np.array(side.size[::-1])
    own = _places(source, matches.query)
    matched, scores = np.full(len(source.keypoints), -1, np.int32), np.zeros(len(source.keypoints), np.float32)
    matched[own], scores[own] = _places(target, matches.matched), matches.score
    pair = f"{source.name}/{target.name}"
    _write_hdf5(folder / "features.h5", features)
    _write_hdf5(folder / "matches.h5", {f"{pair}/matches0": matched, f"{pair}/matching_scores0": scores})
    _write(folder / "pairs.txt", [f"{source.name} {target.name}"])


def check_names(source: str, target: str) -> None:
    """Refuse photos that other programs could not tell apart.

    Raises:
        InvalidInput: if they share a name.
    """
    if source == target:
        raise InvalidInput(f"both photos are called {source}; other programs need different names, rename one")


def check_hdf5() -> None:
    """Say that HDF5 files cannot be written before any work is done.

    Raises:
        InvalidInput: if h5py is not installed.
    """
    if find_spec("h5py") is None:
        raise InvalidInput("HDF5 files need h5py, which is not installed; pip install 'diffsight[hdf5]'")


def _places(side: Side, points: Points) -> npt.NDArray[np.int64]:
    """The index of each point among the keypoints."""
    index = {tuple(point): i for i, point in enumerate(side.keypoints.tolist())}
    return np.array([index[tuple(point)] for point in points.tolist()], np.int64)


def _write(path: Path, lines: list[str]) -> None:
    with atomic(path) as part:
        part.write_text("\n".join(lines) + "\n")


def _write_hdf5(path: Path, arrays: dict[str, npt.NDArray[Any]]) -> None:
    import h5py

    with atomic(path) as part, h5py.File(part, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array)
