"""Matches for other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..files import atomic
from ..grid import Points
from ..types import Matches

COLMAP_CHANNELS = 128


def save_colmap(folder: Path, names: tuple[str, str], keypoints: tuple[Points, Points], matches: Matches) -> None:
    """Write keypoints and matches as COLMAP's text files.

    ``NAME.txt`` beside each photo's name is what ``colmap feature_importer`` reads, ``matches.txt`` what ``colmap
    matches_importer`` reads, ``pairs.txt`` is hloc's list of pairs. COLMAP puts the centre of the first pixel at
    (0.5, 0.5), as we do; its descriptors are left at zero, as the matches are made.

    Args:
        folder: to write to.
        names: of the two photos, as COLMAP knows them.
        keypoints: (N, 2) and (M, 2) pixels of the photos, each place once.
        matches: between keypoints.

    Raises:
        InvalidInput: if the photos share a name.
        OutputFailed: if a file cannot be written.
    """
    if names[0] == names[1]:
        raise InvalidInput(f"both photos are called {names[0]}; COLMAP needs different names, rename one")
    for name, points in zip(names, keypoints, strict=True):
        lines = [f"{x:.4f} {y:.4f} 1 0 {' '.join('0' * COLMAP_CHANNELS)}" for x, y in points]
        _write(folder / f"{name}.txt", [f"{len(points)} {COLMAP_CHANNELS}", *lines])
    pairs = zip(_places(keypoints[0], matches.query), _places(keypoints[1], matches.matched), strict=True)
    _write(folder / "matches.txt", [" ".join(names), *(f"{i} {j}" for i, j in pairs), ""])
    _write(folder / "pairs.txt", [" ".join(names)])


def _places(keypoints: Points, points: Points) -> npt.NDArray[np.int64]:
    """The index of each point among the keypoints."""
    index = {tuple(point): i for i, point in enumerate(keypoints.tolist())}
    return np.array([index[tuple(point)] for point in points.tolist()], np.int64)


def _write(path: Path, lines: list[str]) -> None:
    with atomic(path) as part:
        part.write_text("\n".join(lines) + "\n")
