"""Predictions from a run folder, or in a plain format that any system can write.

The plain format is a folder:

* keypoints: ``points.csv`` with the columns ``id, index, x, y``, or ``points.json`` with ``{id: [[x, y], ...]}``;
* homographies: ``matrices.json`` with ``{id: 3 x 3}``, null where none was found;
* joints of clips: ``points.json`` with ``{id: [frame][joint][x, y]}``;
* masks of clips: ``ID/00000.png`` and so on; segments of photos: ``ID.png``.

Most systems count the centre of the first pixel as (0, 0); here it is (0.5, 0.5), so that points are moved on reading.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from ..datasets import JointClip, MaskClip, Sample
from ..datasets.base import Kind
from ..errors import InvalidInput, UnreadableFile
from ..grid import corner_matrix
from .runs import LABELS, label_paths, read_table
from .scoring import OnDemand

Origin = Literal["centre", "corner"]
"""What (0, 0) is: the centre of the first pixel, or its corner."""

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]


def _label_files(folder: Path, samples: Sequence[Sample]) -> OnDemand[Labels | tuple[Labels, ...]]:
    """The label maps in a folder, of those samples that it holds."""
    paths = {
        sample.id: label_paths(folder, sample.id, len(sample.frames) if isinstance(sample, MaskClip) else None)
        for sample in samples
    }
    clips = {sample.id for sample in samples if isinstance(sample, MaskClip)}

    def load(key: str) -> Labels | tuple[Labels, ...]:
        maps = tuple(_labels(path) for path in paths[key])
        return maps if key in clips else maps[0]

    return OnDemand([key for key, own in paths.items() if own[0].exists()], load)


def _labels(path: Path) -> Labels:
    from PIL import Image

    try:
        with Image.open(path) as image:
            labels = np.asarray(image)
    except (OSError, ValueError, SyntaxError) as error:
        raise UnreadableFile(f"cannot read labels from {path} ({error}); give an indexed or grey PNG") from None
    if labels.ndim != 2:
        raise InvalidInput(f"{path} holds colours, not labels; give an indexed or grey PNG")
    return labels


Predictions = Mapping[str, Any]
"""By the sample's id, as ``scoring.predictions`` says."""


def load_run(folder: Path, kind: Kind, samples: Sequence[Sample]) -> Predictions:
    """What a finished run predicted.

    Raises:
        UnreadableFile: if it is not finished.
    """
    if not (folder / "predictions.parquet").exists():
        raise UnreadableFile(f"{folder} holds no finished run; finish it by the same `diffsight bench run` command")
    if kind in ("masks", "segments"):
        return _label_files(folder / LABELS, samples)
    rows = read_table(folder / "predictions.parquet").to_pylist()
    if kind == "planes":
        return {row["id"]: None if row["matrix"] is None else np.reshape(row["matrix"], (3, 3)) for row in rows}
    joints = {sample.id: sample.joints.shape[1] for sample in samples if isinstance(sample, JointClip)}
    shapes = {row["id"]: (-1, joints[row["id"]], 2) if row["id"] in joints else (-1, 2) for row in rows}
    return {row["id"]: np.reshape(row["matched"], shapes[row["id"]]) for row in rows}


def load_folder(folder: Path, kind: Kind, samples: Sequence[Sample], origin: str = "centre") -> Predictions:
    """Read predictions in the plain format.

    Args:
        folder: of them.
        kind: of the benchmark.
        samples: that are predicted.
        origin: what (0, 0) is in them.

    Raises:
        UnreadableFile: if the files are missing or damaged.
    """
    if origin not in get_args(Origin):
        raise InvalidInput(f"unknown origin {origin!r}; use {' or '.join(get_args(Origin))}")
    if not folder.is_dir():
        raise UnreadableFile(f"{folder} is no folder; give one with predictions")
    if kind in ("masks", "segments"):
        return _label_files(folder, samples)
    offset = 0.5 if origin == "centre" else 0.0
    if kind == "planes":
        found = _json(folder / "matrices.json")
        matrices = {key: None if own is None else _numbers(own, (3, 3), key) for key, own in found.items()}
        if origin == "corner":
            return matrices
        return {key: None if own is None else corner_matrix(own) for key, own in matrices.items()}
    table = folder / "points.csv"
    if kind == "points" and table.exists():
        return {key: points + offset for key, points in _table(table).items()}
    shape = (-1, 2) if kind == "points" else (-1, _joints(samples), 2)
    return {key: _numbers(own, shape, key) + offset for key, own in _json(folder / "points.json").items()}


def _joints(samples: Sequence[Sample]) -> int:
    return next(sample.joints.shape[1] for sample in samples if isinstance(sample, JointClip))


def _numbers(value: object, shape: tuple[int, ...], key: str) -> Array:
    try:
        return np.asarray(value, np.float64).reshape(shape)
    except (TypeError, ValueError):
        wanted = " x ".join("N" if side < 0 else str(side) for side in shape)
        raise InvalidInput(f"the prediction of {key} is not {wanted} numbers") from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(f"cannot read predictions from {path} ({reason})") from None
    if not isinstance(found, dict):
        raise InvalidInput(f"{path} must hold an object with a prediction for each sample's id")
    return found


def _table(path: Path) -> dict[str, Array]:
    """Points of each sample in the order of their indices."""
    rows: dict[str, dict[int, tuple[float, float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            for row in csv.DictReader(handle):
                rows.setdefault(row["id"], {})[int(row["index"])] = float(row["x"]), float(row["y"])
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise UnreadableFile(f"cannot read {path} ({error!r}); it needs the columns id, index, x, y") from None
    for key, points in rows.items():
        if sorted(points) != list(range(len(points))):
            raise InvalidInput(f"the points of {key} in {path} are not numbered from 0 on without gaps")
    return {key: np.array([points[i] for i in range(len(points))]) for key, points in rows.items()}
