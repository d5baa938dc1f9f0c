"""Following what is marked through a clip, frame by frame, into files to look at and to keep."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..draw import draw_overlay
from ..files import CONVENTION
from ..types import Picture, Track
from ..video import export
from ..video.frames import Frame, frame_names, read_frames
from ..video.labels import Target, piece_boxes
from ..video.masks import davis_palette, save_mask
from ..video.movies import video_writer
from ..video.tracker import Tracker
from .clips import Clip
from .models import Models
from .shelf import new_folder


@dataclass(frozen=True)
class Result:
    """What came of a clip.

    Attributes:
        overlay: the clip with what was followed laid over it.
        table: the labels of all frames as PNGs in a zip, or the points as CSV.
        description: everything as COCO-style JSON.
        remarks: what one should know of it, a line each.
    """

    overlay: Path
    table: Path
    description: Path
    remarks: tuple[str, ...]


def follow(models: Models, clip: Clip, target: Target, boxed: bool) -> Generator[int | Result]:
    """Follow a target through a clip; whoever stops half way leaves nothing behind.

    Args:
        models: to follow with; others may use them between two frames.
        clip: to follow it through.
        target: what the first frame shows of it.
        boxed: whether boxes were marked, and shall be drawn.

    Yields:
        The number of frames that are finished, one after the other, and at last the result.
    """
    tracker = models.tracker()
    pictures: dict[int, Picture] = {}
    annotations: list[tuple[int, dict[str, Any]]] = []
    with new_folder(clip.folder) as folder:
        overlay, points = folder / "overlay.mp4", folder / "points.csv"
        with video_writer(overlay, clip.rate) as add:
            frames = _remember(read_frames(clip.source), pictures)
            for found in models.in_turns(tracker.track(frames, target)):
                add(np.asarray(_draw(pictures.pop(found.frame), found, boxed)))
                if found.labels is None:
                    export.append_points(found, points)
                else:
                    save_mask(found.labels, folder / "labels" / f"{found.frame:05d}.png")
                    marked = export.mask_annotations(found.labels, found.ids, pieces=boxed)
                    annotations += [(found.frame, one) for one in marked]
                yield found.frame + 1
        if target.points is not None:
            rows = export.read_points(points)
            annotations = [(index, export.point_annotation(own)) for index, own in rows.items()]
            table = points
        else:
            table = Path(shutil.make_archive(str(folder / "labels"), "zip", folder / "labels"))
        description = folder / "track.json"
        _describe(description, clip, tracker, target, annotations)
    yield Result(overlay, table, description, tuple(tracker.remarks(clip.first.size, target)))


def _remember(frames: Iterable[Frame], pictures: dict[int, Picture]) -> Iterator[Frame]:
    for frame in frames:
        pictures[frame.index] = frame.picture
        yield frame


def _draw(picture: Picture, found: Track, boxed: bool) -> Image.Image:
    if found.labels is None:
        return draw_overlay(picture, points=found.points)
    boxes = piece_boxes(found.labels, found.ids) if boxed else None
    return draw_overlay(picture, labels=found.labels, boxes=boxes, colours=davis_palette())


def _describe(
    path: Path, clip: Clip, tracker: Tracker, target: Target, annotations: list[tuple[int, dict[str, Any]]]
) -> None:
    size = clip.first.size
    export.save_description(
        path,
        size,
        list(enumerate(frame_names(clip.source, range(clip.count)))),
        export.categories(target),
        annotations,
        video=clip.name,
        convention=CONVENTION,
        skipped=[],
        start=0,
        model=tracker.backbone.card.name,
        weights=tracker.backbone.fingerprint,
        reading=asdict(tracker.reading_of(size)),
        propagation=asdict(tracker.affordable(size, target)),
        batch=tracker.batch,
    )
