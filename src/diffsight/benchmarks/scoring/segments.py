"""Photos with known classes: unsupervised segmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from ...datasets.base import LabelledPhoto
from ...errors import InvalidInput
from ...types import VOID
from ...video.masks import load_labels
from ..metrics.segments import (
    Counts,
    Overlap,
    accuracy,
    adjusted_rand,
    assign,
    boundary_f,
    class_iou,
    count,
    mean_iou,
    overlap,
)
from ..protocols import SegmentProtocol
from ..summary import Figure
from .outcome import Outcome, Row, skipped
from .predictions import Checked

PER_IMAGE = "segments assigned in each photo"
DATASET = "segments assigned once for all photos"


def nearest(labels: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """The central square of (H, W) labels brought to a side: of each pixel, the label at its centre."""
    height, width = labels.shape
    short = min(height, width)
    steps = ((np.arange(side) + 0.5) * short / side).astype(int)
    return labels[(height - short) // 2 + steps][:, (width - short) // 2 + steps]


@dataclass(frozen=True)
class _Photo:
    """What is kept of a scored photo."""

    sample: LabelledPhoto
    pixels: Overlap
    borders: float


def score_segments(
    protocol: SegmentProtocol,
    samples: Sequence[LabelledPhoto],
    checked: Checked,
    names: Sequence[str] = (),
) -> Outcome:
    """Score photos, their labels loaded one at a time; those without a pixel of a known class are skipped."""
    classes = 1 + max(int(sample.classes.max()) for sample in samples)
    if len(names) not in (0, classes):
        raise InvalidInput(f"{len(names)} names do not suit {classes} classes; give one for each, or none")
    photos = []
    for sample in samples:
        side = protocol.side or sample.side
        truth = sample.classes.astype(np.int16)[nearest(load_labels(sample.labels), side)]
        own = checked.labels(sample, {(side, side), (sample.side, sample.side)})
        found = (
            np.full(truth.shape, VOID, np.uint16) if own is None else own if len(own) == side else nearest(own, side)
        )
        pixels = overlap(found, truth, classes)
        if pixels.shared.any() or pixels.missed.any():
            photos.append(_Photo(sample, pixels, boundary_f(found, truth, classes)))
    if not photos:
        raise InvalidInput("no photo has a pixel of a known class to score")
    sides = "/".join(str(side) for side in sorted({protocol.side or photo.sample.side for photo in photos}))
    return _outcome(protocol, photos, f"{sides} pixels a side", names, len(samples) - len(photos))


def _outcome(
    protocol: SegmentProtocol, photos: Sequence[_Photo], size: str, names: Sequence[str], left_out: int
) -> Outcome:
    every = [photo.pixels for photo in photos]
    tied = [count(own, *assign(own)) for own in every]
    present = [count(own, *assign(own, present_only=True)) for own in every]
    pooled = assign(reduce(add, every))
    shared = [count(own, *pooled) for own in every]
    whole = protocol.matching == "dataset"
    totals = {name: np.sum(own, axis=0) for name, own in (("tied", tied), ("present", present), ("all", shared))}
    main = totals["all" if whole else "tied"]
    figures = [
        Figure("mIoU", f"{PER_IMAGE}, {size}", mean_iou(totals["tied"]), main=not whole),
        Figure("ACC", f"{PER_IMAGE}, {size}", accuracy(totals["tied"]), main=not whole),
        Figure("mIoU", f"{DATASET}, {size}", mean_iou(totals["all"]), main=whole),
        Figure("ACC", f"{DATASET}, {size}", accuracy(totals["all"]), main=whole),
        Figure("mIoU", f"{PER_IMAGE} to classes that are there, {size}", mean_iou(totals["present"])),
        Figure("boundary F", f"per image, {size}", float(np.mean([photo.borders for photo in photos]))),
        Figure("adjusted Rand index", f"per image, {size}", float(np.mean([adjusted_rand(own) for own in every]))),
    ]
    rows = zip(photos, shared if whole else present, strict=True)
    return Outcome(
        rows=tuple(Row(photo.sample.id, photo.sample.category, mean_iou(own)) for photo, own in rows),
        figures=(*(own for own in figures if own.main), *(own for own in figures if not own.main)),
        by_category=_by_class(main, every, names),
        skipped=skipped("no pixel of a known class", left_out),
    )


def _by_class(counts: Counts, photos: Sequence[Overlap], names: Sequence[str]) -> tuple[tuple[str, int, float], ...]:
    """IoU of each class that occurs, and how many photos show it."""
    shown = np.sum([own.shared.any(axis=1) | (own.missed > 0) for own in photos], axis=0)
    values, there = class_iou(counts), np.flatnonzero(shown).tolist()
    return tuple((names[i] if len(names) else str(i), int(shown[i]), float(values[i])) for i in there)
