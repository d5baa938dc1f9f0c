"""What was followed, on disk: soft labels to go on from, points as CSV, everything as COCO-style JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import UnreadableFile
from ..files import atomic, save_tensors
from ..grid import Size
from ..types import Track
from .labels import Mask, Target, piece_boxes

COLUMNS = ("frame", "point", "x", "y", "score")

Rows = dict[int, npt.NDArray[np.float64]]
"""Points by frame: (N, 3) x, y and score; NaN for the place of one that is lost."""


def save_soft(track: Track, folder: Path, keep: int) -> None:
    """Write a frame's soft labels, the sign that it is finished, and delete all but the last ``keep`` frames'."""
    save_tensors({"soft": track.soft}, folder / f"{track.frame:05d}.safetensors")
    for path in _kept(folder)[: -max(1, keep)]:
        path.unlink()


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("[0-9]*.safetensors"), key=lambda path: int(path.stem))


def load_soft(folder: Path) -> dict[int, torch.Tensor]:
    """The soft labels that were kept, by frame.

    Raises:
        UnreadableFile: for a damaged file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return {int(path.stem): load_file(path)["soft"] for path in _kept(folder)}
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise UnreadableFile(f"{folder} holds a damaged file ({error}); delete that folder to start over") from None


def append_points(track: Track, path: Path) -> None:
    """Add a frame's points to a CSV file; empty fields for a point that is lost."""
    assert track.points is not None  # objects have masks
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerows([COLUMNS] if new else [])
        for number, (x, y), score in zip(track.ids, track.points.tolist(), track.scores.tolist(), strict=True):
            place = ("", "") if np.isnan(x) else (f"{x:.3f}", f"{y:.3f}")
            writer.writerow([track.frame, number, *place, f"{score:.5f}"])


def read_points(path: Path) -> Rows:
    """The points of a CSV file, by frame."""
    rows: dict[int, list[list[float]]] = {}
    with path.open(newline="", encoding="utf-8") as handle:
        for row in csv.DictReader(handle):
            values = [float(row[name] or "nan") for name in ("x", "y", "score")]
            rows.setdefault(int(row["frame"]), []).append(values)
    return {frame: np.array(values) for frame, values in rows.items()}


def trim_points(path: Path, last: int) -> None:
    """Leave out of a CSV file what was written of frames after ``last``; without any before, the file itself goes."""
    if last < 0:
        path.unlink(missing_ok=True)
    elif path.exists():
        header, *lines = path.read_text(encoding="utf-8").splitlines()
        whole = [line for line in lines if line.count(",") == len(COLUMNS) - 1]  # the last may have been cut off
        kept = [line for line in whole if int(line.split(",")[0]) <= last]
        with atomic(path) as part:
            part.write_text("\n".join([header, *kept, ""]), encoding="utf-8")


def categories(target: Target) -> list[dict[str, Any]]:
    """COCO categories: one for each object, or one whose keypoints are the points."""
    if target.points is None:
        return [{"id": label, "name": f"object {label}"} for label in target.ids]
    return [{"id": 1, "name": "points", "keypoints": [f"point {i}" for i in target.ids], "skeleton": []}]


def mask_annotations(labels: Mask, ids: tuple[int, ...], *, pieces: bool = False) -> Iterator[dict[str, Any]]:
    """COCO annotations of the objects that a frame shows, without their numbers.

    Args:
        labels: (H, W) of the frame.
        ids: the objects' labels.
        pieces: give the box (x, y, width, height) of an object's largest piece instead of all of it.
    """
    from pycocotools import mask as coco

    found = piece_boxes(labels, ids) if pieces else None
    for i, label in enumerate(ids):
        code = coco.encode(np.asfortranarray((labels == label).astype(np.uint8)))
        if area := int(coco.area(code)):
            counts = {"size": list(labels.shape), "counts": code["counts"].decode()}
            x, y, width, height = (int(side) for side in coco.toBbox(code))
            if found is not None:
                x, y = found[i, :2].tolist()
                width, height = (found[i, 2:] - found[i, :2]).tolist()
            box = [x, y, width, height]
            yield {"category_id": label, "track_id": label, "area": area, "bbox": box, "segmentation": counts}


def point_annotation(points: npt.NDArray[np.float64]) -> dict[str, Any]:
    """A COCO annotation of a frame's points (N, 3): x, y and 2 for each, zeros for one that is lost."""
    seen = ~np.isnan(points[:, 0])
    flat = np.where(seen[:, None], np.column_stack([points[:, :2], np.full(len(points), 2)]), 0).ravel().tolist()
    scores = points[:, 2].tolist()
    return {"category_id": 1, "keypoints": flat, "num_keypoints": int(seen.sum()), "scores": scores}


def save_description(
    path: Path,
    size: Size,
    frames: list[tuple[int, str]],
    categories: list[dict[str, Any]],
    annotations: Iterable[tuple[int, dict[str, Any]]],
    **facts: Any,
) -> None:
    """Write COCO-style JSON, one annotation a line as they come, so that memory does not grow with the video.

    Args:
        path: of the file.
        size: (height, width) of the frames.
        frames: number and name of each.
        categories: as ``categories`` gives them.
        annotations: frame and annotation of each.
        **facts: what else ``info`` shall hold.
    """
    images = [
        {"id": index, "frame": index, "file_name": name, "height": size[0], "width": size[1]} for index, name in frames
    ]
    with atomic(path) as part, part.open("w", encoding="utf-8") as handle:
        handle.write(f'{{"info": {json.dumps(facts)},\n"categories": {json.dumps(categories)},\n')
        handle.write(f'"images": {json.dumps(images)},\n"annotations": [')
        for number, (frame, annotation) in enumerate(annotations, start=1):
            line = {"id": number, "image_id": frame, "iscrowd": 0, **annotation}
            handle.write(("\n" if number == 1 else ",\n") + json.dumps(line))
        handle.write("\n]}\n")
