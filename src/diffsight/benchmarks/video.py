"""Label propagation scored on clips with known masks and points: DAVIS's J and F, and points within reach."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..backbones.base import Backbone
from ..datasets import davis
from ..grid import Points
from ..images import load_picture
from ..types import Picture
from ..video import labels as video_labels
from ..video.frames import Frame
from ..video.labels import read_mask, read_points
from ..video.masks import load_labels
from ..video.propagate import Memory, Propagation
from ..video.tracker import Tracker
from ..world import CLUTTER, RESERVED, make_clip
from .baselines import RawPixels
from .metrics.clips import ObjectScore, score_objects
from .metrics.uncertainty import Interval, interval

ALPHA = 0.1
"""How far a point may lie off, as a share of the longer side of its object's box."""

Region = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Clip:
    """A video and its truth.

    Attributes:
        name: of the clip.
        frames: its photos.
        masks: (H, W) labels of each frame.
        points: (K, 2) of each frame, those visible in the first; empty if there are none.
        visible: (K,) whether each shows, frame by frame.
        reach: (K,) pixels within which a point counts as found, frame by frame.
    """

    name: str
    frames: list[Picture]
    masks: list[npt.NDArray[np.uint8]]
    points: list[Points]
    visible: list[Region]
    reach: list[npt.NDArray[np.float64]]


SIDE, LENGTH = 128, 24


def world_clips(count: int, first: int = RESERVED, *, length: int = LENGTH) -> Iterator[Clip]:
    """Draw clips of two moving objects each, from the seed ``first`` on."""
    for seed in range(first, first + count):
        scenes = make_clip(seed, length, SIDE)
        shown = np.concatenate([thing.visible for thing in scenes[0].objects])
        sides = [[float((o.box[2:] - o.box[:2]).max()) for o in scene.objects] for scene in scenes]
        counts = [len(thing.keypoints) for thing in scenes[0].objects]
        yield Clip(
            f"world {seed}",
            [Picture(torch.from_numpy(scene.image).permute(2, 0, 1).contiguous()) for scene in scenes],
            [np.where(scene.instances == CLUTTER, 0, scene.instances).astype(np.uint8) for scene in scenes],
            [np.concatenate([o.keypoints for o in scene.objects])[shown] for scene in scenes],
            [np.concatenate([o.visible for o in scene.objects])[shown] for scene in scenes],
            [ALPHA * np.repeat(side, counts)[shown] for side in sides],
        )


def davis_clips(root: Path, length: int | None = None) -> Iterator[Clip]:
    """Read the clips that ``ImageSets/2017/val.txt`` lists, 480p, from a folder in DAVIS-2017's layout.

    Args:
        root: holds ``JPEGImages/480p``, ``Annotations/480p`` and ``ImageSets``.
        length: frames of each clip at most.

    Raises:
        UnreadableFile: if the list, a clip or a mask is missing.
    """
    for own in davis.read(root, "val"):
        frames = [load_picture(path) for path in own.frames[:length]]
        yield Clip(
            own.id,
            frames,
            [load_labels(path) for path in own.masks[:length]],
            [np.zeros((0, 2))] * len(frames),
            [np.zeros(0, bool)] * len(frames),
            [np.zeros(0)] * len(frames),
        )


@dataclass(frozen=True)
class Followed:
    """What was found in a clip: labels (H, W) and points (K, 2) of each frame."""

    masks: list[npt.NDArray[np.uint8]]
    points: list[Points]


def copy_first(clip: Clip) -> Followed:
    """The baseline that moves nothing."""
    count = len(clip.frames)
    return Followed([clip.masks[0]] * count, [clip.points[0]] * count)


def follow(tracker: Tracker, clip: Clip) -> Followed:
    """Follow a clip's objects and points by one reading of each frame."""
    size = clip.frames[0].size
    fit, grid = tracker.probe.fit(clip.frames[0], tracker.reading_of(size)), tracker.grid(size)
    objects, points = video_labels.objects(clip.masks[0], size), video_labels.points(clip.points[0])
    marks = points.soft(fit, grid)[1:]  # its background would say nothing that the objects' does not
    soft = torch.cat([objects.soft(fit, grid, tracker.settings.shrink), marks]).to(tracker.backbone.device)
    found = Followed(clip.masks[:1], clip.points[:1])
    memory: Memory | None = None
    for _, reading in tracker.read(Frame(i, frame) for i, frame in enumerate(clip.frames)):
        features = tracker.features(reading)
        if memory is None:
            memory = Memory(tracker.settings, features, soft)
            continue
        own = memory.label(features)
        memory.push(features, own)
        masks, places = own[: 1 + len(objects.ids)], own[len(objects.ids) :]
        found.masks.append(read_mask(masks, objects.ids, fit, tracker.settings.spread))
        found.points.append(read_points(places, fit))
    return found


@dataclass(frozen=True)
class ClipScore:
    """How well clips were followed, percent.

    Attributes:
        j, f: means over all objects of all clips; each object's over its frames.
        jf: the mean of both.
        jf_interval: 95 % of it, by the bootstrap over clips.
        points: share of the visible points found within ``ALPHA`` of their object's box; a lost one counts as missed.
            None without points.
        objects: how many objects were scored.
        clips: in how many clips.
    """

    j: float
    f: float
    jf: float
    jf_interval: Interval
    points: float | None
    objects: int
    clips: int


@dataclass(frozen=True)
class Judged:
    """What was found in one clip, held against its truth.

    Attributes:
        objects: the score of each.
        hits: (n,) whether each point was found, of those that show in the frames after the first.
    """

    objects: list[ObjectScore]
    hits: Region


def judge(found: Followed, clip: Clip) -> Judged:
    """Hold what was found in a clip against its truth."""
    hits = [
        np.linalg.norm(found.points[i] - clip.points[i], axis=1)[clip.visible[i]] <= clip.reach[i][clip.visible[i]]
        for i in range(1, len(clip.frames))
    ]
    return Judged(score_objects(found.masks, clip.masks), np.concatenate(hits))


def score(clips: Sequence[Judged]) -> ClipScore:
    """Sum up clips."""
    objects = [own for clip in clips for own in clip.objects]
    hits = np.concatenate([clip.hits for clip in clips])
    j, f = (100 * float(np.mean([getattr(own, kind) for own in objects])) for kind in ("j", "f"))
    points = 100 * float(hits.mean()) if len(hits) else None
    sums = np.array([sum(own.j + own.f for own in clip.objects) for clip in clips])
    counts = np.array([len(clip.objects) for clip in clips])
    spread = interval(lambda weights: 50 * (weights @ sums) / (weights @ counts), len(clips))
    return ClipScore(j, f, (j + f) / 2, spread, points, len(objects), len(clips))


def compare(
    backbone: Backbone, clips: Iterable[Clip], settings: Propagation | None = None, **changes: Any
) -> dict[str, ClipScore]:
    """Score copying the first frame, and by one propagation raw pixels, a network untrained and as it is.

    Args:
        backbone: the network.
        clips: what is followed; one is held at a time.
        settings: of the propagation; the model's if left out.
        **changes: of the reading.
    """
    tracker = Tracker(backbone, settings=settings, **changes)
    raw = Tracker(RawPixels(tracker.reading.size, tracker.stage.stride), settings=tracker.settings)
    untrained = Tracker(backbone.untrained(), settings=tracker.settings, **changes)
    ways: dict[str, Callable[[Clip], Followed]] = {
        "copy of the first frame": copy_first,
        "raw pixels": partial(follow, raw),
        f"untrained {backbone.card.name}": partial(follow, untrained),
        backbone.card.name: partial(follow, tracker),
    }
    judged: dict[str, list[Judged]] = {name: [] for name in ways}
    for clip in clips:
        for name, way in ways.items():
            judged[name].append(judge(way(clip), clip))
    return {name: score(own) for name, own in judged.items()}
