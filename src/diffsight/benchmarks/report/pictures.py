"""What a run got right and wrong, as pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ...datasets import JointClip, LabelledPhoto, MaskClip, PlanePair, PointPair, Sample, benchmark
from ...draw import draw_overlay, draw_segments
from ...errors import DiffsightError, UnreadableFile
from ...grid import Points, warp_points
from ...images import load_picture
from ...types import VOID, Picture, Segmentation
from ...video.masks import davis_palette, load_labels
from .run import Answer, Score, ScoredRun

SIDE = 360
"""Longer side of a picture in the report, pixels."""


@dataclass(frozen=True)
class View:
    """One picture of a sample and what it shows."""

    caption: str
    image: Image.Image


@dataclass(frozen=True)
class Shot:
    """A sample of a run: ``best``, ``median`` or ``worst``, its score, and pictures of it."""

    role: str
    score: Score
    views: tuple[View, ...]


@dataclass(frozen=True)
class Gallery:
    """Pictures of a run; ``missing`` says why there are none."""

    label: str
    shots: tuple[Shot, ...] = ()
    missing: str = ""


def gallery(label: str, run: ScoredRun) -> Gallery:
    """The best, the median and the worst sample of a run, if its benchmark is still where it was."""
    chosen = best_median_worst(run.scores)
    if not chosen:
        return Gallery(label, missing="the run holds no scores of single samples")
    if run.root is None:
        return Gallery(label, missing="the run does not say where its benchmark is")
    try:
        read = benchmark(run.summary.benchmark).samples(run.root, run.summary.split)
        samples = {sample.id: sample for sample in read}
        answers = run.answers([score.id for _, score in chosen])
        shots = [
            Shot(role, score, views(samples[score.id], answers.get(score.id, Answer()), run.labels(score.id)))
            for role, score in chosen
            if score.id in samples
        ]
    except DiffsightError as error:
        return Gallery(label, missing=str(error))
    shown = tuple(shot for shot in shots if shot.views)
    return Gallery(label, shown, "" if shown else "the predictions of its samples are not kept")


def best_median_worst(scores: Sequence[Score]) -> list[tuple[str, Score]]:
    """Up to three samples, each once; of equal ones the first."""
    order = sorted((own for own in scores if np.isfinite(own.value)), key=lambda own: -own.value)
    places = {"best": 0, "worst": len(order) - 1, "median": len(order) // 2}
    picked: dict[int, str] = {}
    for role, place in places.items() if order else ():
        picked.setdefault(place, role)
    return [(picked[place], order[place]) for place in sorted(picked)]


def views(sample: Sample, answer: Answer, labels: Sequence[Path]) -> tuple[View, ...]:
    """A sample, what was found in it and what is true; nothing if there is no prediction of its kind.

    Raises:
        UnreadableFile: if a photo or a label PNG cannot be read.
    """
    if isinstance(sample, PointPair):
        return () if answer.matched is None else _points(sample, answer.matched.reshape(-1, 2))
    if isinstance(sample, PlanePair):
        return _planes(sample, answer.matrix)
    if isinstance(sample, JointClip):
        return () if answer.matched is None else _joints(sample, answer.matched.reshape(sample.joints.shape))
    if len(labels) != (len(sample.frames) if isinstance(sample, MaskClip) else 1):
        return ()
    return _masks(sample, labels) if isinstance(sample, MaskClip) else _segments(sample, labels[0])


def _points(pair: PointPair, found: Points) -> tuple[View, ...]:
    source, target = pair.source.photo.load(), pair.target.photo.load()
    return (
        View("asked", _marked(source, pair.source.keypoints)),
        View("found", _marked(target, found)),
        View("true", _marked(target, pair.target.keypoints)),
    )


def _planes(pair: PlanePair, matrix: npt.NDArray[np.float64] | None) -> tuple[View, ...]:
    source, target = pair.source.load(), pair.target.load()
    first = View("source", _small(source)[0])
    truth = View("true outline", _outlined(source, target, pair.homography))
    if matrix is None:
        return first, View("target: no homography found", _small(target)[0]), truth
    return first, View("found outline", _outlined(source, target, matrix)), truth


def _joints(clip: JointClip, found: npt.NDArray[np.float64]) -> tuple[View, ...]:
    frame = len(clip.frames) // 2
    picture = load_picture(clip.frames[frame])
    views = ("asked", load_picture(clip.frames[0]), clip.joints[0]), ("found", picture, found[frame])
    shown = (*views, ("true", picture, clip.joints[frame]))
    frames = (1, frame + 1, frame + 1)
    return tuple(
        View(f"{name}, frame {number}", _marked(own, points))
        for (name, own, points), number in zip(shown, frames, strict=True)
    )


def _masks(clip: MaskClip, labels: Sequence[Path]) -> tuple[View, ...]:
    frame = len(clip.frames) // 2
    shown = ("asked", 0, clip.masks[0]), ("found", frame, labels[frame]), ("true", frame, clip.masks[frame])
    return tuple(
        View(
            f"{name}, frame {number + 1}",
            draw_overlay(
                load_picture(clip.frames[number]), labels=load_labels(path).astype(np.uint8), colours=davis_palette()
            ),
        )
        for name, number, path in shown
    )


def _segments(sample: LabelledPhoto, labels: Path) -> tuple[View, ...]:
    square = (sample.side, sample.side)
    values = np.asarray(ImageOps.fit(_label_image(sample.labels), square, Image.Resampling.NEAREST))
    photo = ImageOps.fit(Image.fromarray(load_picture(sample.photo).array()), square, Image.Resampling.BILINEAR)
    picture = load_picture(photo)
    classes = sample.classes[values]
    found, truth = np.asarray(_label_image(labels)), np.where(classes < 0, VOID, classes)
    shown = ("segments found", found), ("true classes", truth)
    views = (View(name, draw_segments(picture, _segmentation(own.astype(np.uint16)))) for name, own in shown)
    return (View("photo", photo), *views)


def _label_image(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except OSError as error:
        raise UnreadableFile(f"{path} cannot be read as labels ({error})") from None


def _segmentation(labels: npt.NDArray[np.uint16]) -> Segmentation:
    seen = labels[labels != VOID]
    return Segmentation(labels, np.ones(int(seen.max()) + 1 if len(seen) else 0))


def _small(picture: Picture) -> tuple[Image.Image, float]:
    """The photo with its longer side at ``SIDE``, and by how much it was scaled."""
    scale = SIDE / max(picture.size)
    height, width = (max(1, round(side * scale)) for side in picture.size)
    return Image.fromarray(picture.array()).resize((width, height), Image.Resampling.LANCZOS), scale


def _marked(picture: Picture, points: Points) -> Image.Image:
    small, scale = _small(picture)
    return draw_overlay(load_picture(small), points=points * scale)


def _outlined(source: Picture, target: Picture, matrix: npt.NDArray[np.float64]) -> Image.Image:
    """The target with the frame of the source on it."""
    from PIL import ImageDraw

    small, scale = _small(target)
    height, width = source.size
    corners = np.array([(0, 0), (width, 0), (width, height), (0, height), (0, 0)], np.float64)
    outline = warp_points(corners, matrix) * scale
    for colour, thickness in (("black", 5), ("white", 2)):
        ImageDraw.Draw(small).line([tuple(point) for point in outline], fill=colour, width=thickness, joint="curve")
    return small
