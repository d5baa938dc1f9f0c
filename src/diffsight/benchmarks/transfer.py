"""Annotations carried from a few photos to many, scored where the truth is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InvalidInput
from ..images import load_picture
from ..matching.confidence import Signals
from ..transfer.annotations import HIDDEN, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from ..transfer.carry import Carrier
from ..types import Picture
from ..world import RESERVED, Scene, categories, make_scene

SIDE = 128
"""Of world pictures, pixels."""

ALPHA = 0.1
"""A point is right within this fraction of the longer side of the object's box."""


@dataclass(frozen=True, eq=False)
class Labelled:
    """A photo with its truth, loaded when it is needed."""

    photo: AnnotatedPhoto
    load: Callable[[], Picture]


@dataclass(frozen=True, eq=False)
class Job:
    """One category: photos that are annotated, and photos to label."""

    category: Category
    references: tuple[Labelled, ...]
    targets: tuple[Labelled, ...]


@dataclass(frozen=True, eq=False)
class Outcome:
    """The points of one category's targets that can be checked: those that the target shows.

    Attributes:
        category: its name.
        right: (N,) whether each lies within ``ALPHA`` of the truth.
        signals: (N,) of each.
        seen: (M,) over all points that were found, whether the target shows it.
        sure: (M,) how sure the carrier was of each of those.
    """

    category: str
    right: npt.NDArray[np.bool_]
    signals: Signals
    seen: npt.NDArray[np.bool_]
    sure: npt.NDArray[np.float64]


def world_jobs(references: int, targets: int, first: int = RESERVED, kinds: Sequence[str] = ()) -> list[Job]:
    """A job for each category of the world, of pictures from the seed ``first`` on."""
    jobs = []
    for number, kind in enumerate(categories()):
        if kinds and kind not in kinds:
            continue
        names = make_scene(first + number * 10_000, SIDE, kinds=(kind,)).objects[0].names
        category = Category(kind, names)
        drawn = tuple(_world_photo(first + number * 10_000 + i, kind) for i in range(references + targets))
        jobs.append(Job(category, drawn[:references], drawn[references:]))
    return jobs


def _world_photo(seed: int, kind: str) -> Labelled:
    def draw() -> Scene:
        return make_scene(seed, SIDE, kinds=(kind,))

    def load() -> Picture:
        return Picture(torch.from_numpy(draw().image).permute(2, 0, 1).contiguous())

    shown = draw().objects[0]
    box = (float(shown.box[0]), float(shown.box[1]), float(shown.box[2]), float(shown.box[3]))
    visibility = np.where(shown.visible, VISIBLE, HIDDEN).astype(np.int8)
    instance = Instance(kind, shown.keypoints, visibility, box)
    return Labelled(AnnotatedPhoto(f"{kind}_{seed}", Path(), (SIDE, SIDE), (instance,)), load)


def annotated_job(annotations: Annotations, category: str, references: int) -> Job:
    """The first ``references`` annotated photos of a category, and the rest to be labelled.

    Raises:
        InvalidInput: if no photo is left to be labelled.
    """
    photos = [
        Labelled(photo, partial(load_picture, photo.path))
        for photo in annotations.photos
        if any(own.category == category for own in photo.instances)
    ]
    if len(photos) <= references:
        raise InvalidInput(
            f"{len(photos)} photos show {category!r}, {references} of them wanted as references; annotate more photos"
        )
    return Job(annotations.category(category), tuple(photos[:references]), tuple(photos[references:]))


def carry_out(job: Job, carrier: Carrier) -> Iterator[tuple[Labelled, Instance, Signals]]:
    """Learn the job's references and find the object in each of its targets."""
    for own in job.references:
        carrier.learn(own.photo, own.load())
    for own in job.targets:
        carried = carrier.carry(carrier.read(own.load()))
        yield own, carried.instance, carried.signals


def score(job: Job, carrier: Carrier) -> Outcome:
    """Carry a job out and check it; of several objects on a photo the first counts."""
    right, signals, seen, sure = [], [], [], []
    for own, found, evidence in carry_out(job, carrier):
        truth = next(one for one in own.photo.instances if one.category == job.category.name)
        assert found.point_confidence is not None
        shown = truth.visibility == VISIBLE
        known = np.isfinite(evidence.peak)  # what no reference shows cannot be found
        far = np.linalg.norm(found.keypoints - truth.keypoints, axis=1)
        right.append((far <= ALPHA * _length(truth))[shown & known])
        signals.append(evidence[shown & known])
        seen.append(shown[known])
        sure.append(found.point_confidence[known])
    return Outcome(
        job.category.name, np.concatenate(right), Signals.join(signals), np.concatenate(seen), np.concatenate(sure)
    )


def _length(truth: Instance) -> float:
    """The longer side of the object's box, or of the tight box around its points if none is marked."""
    if truth.box is not None:
        x0, y0, x1, y1 = truth.box
        return max(x1 - x0, y1 - y0)
    return float(np.ptp(truth.keypoints[np.isfinite(truth.keypoints).all(axis=1)], axis=0).max())
