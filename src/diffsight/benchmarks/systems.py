"""The methods that a benchmark can be run with: a sample in, a prediction out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt

from ..backbones.base import Backbone
from ..backbones.registry import load, task_settings
from ..datasets import JointClip, LabelledPhoto, MaskClip, Photo, PlanePair, PointPair, Sample
from ..datasets.base import Kind
from ..errors import InvalidInput
from ..grid import Points
from ..images import load_picture, measure
from ..matching import nearest, prompt
from ..matching.aligner import Aligner, View
from ..matching.keypoints import Detector
from ..matching.matcher import Matcher
from ..matching.mls import best_buddies, transfer
from ..segmentation.segmenter import Segmenter, Solver
from ..types import Matches, Picture, Reading
from ..video import labels as video_labels
from ..video.frames import Frame
from ..video.masks import load_labels
from ..video.tracker import Tracker
from .baselines import RawPixels
from .shelf import Shelf


@dataclass(frozen=True)
class Prediction:
    """What a system says of a sample; what does not suit its kind is left empty.

    Attributes:
        matched: (N, 2) points of a pair, in pixels of the target as it is loaded; (T, J, 2) joints of a clip.
        scores: (N,) how sure a pair's points are, by the method's own measure.
        matrix: (3, 3) homography, centres at +0.5; None where none was found.
        labels: (H, W) labels of each frame of a clip, or of a photo.
    """

    matched: npt.NDArray[np.float64] | None = None
    scores: npt.NDArray[np.float64] | None = None
    matrix: npt.NDArray[np.float64] | None = None
    labels: tuple[npt.NDArray[np.integer], ...] = ()


class System(Protocol):
    """Something that can be benchmarked."""

    @property
    def settings(self) -> dict[str, Any]:
        """All that its predictions hang on besides the network, for the record."""

    def plan(self, samples: Sequence[Sample]) -> None:
        """Learn what is to come, so that what is read can be kept as long as it is needed."""

    def predict(self, sample: Sample) -> Prediction:
        """Answer one sample, on its own: the answer does not depend on those before."""


METHODS: dict[Kind, tuple[str, ...]] = {
    "points": ("dift", "mls", "prompt", "frozen", "stay"),
    "planes": ("dift", "stay"),
    "masks": ("dift", "stay"),
    "joints": ("dift", "stay"),
    "segments": ("diffseg", "ncut", "kmeans"),
}
"""What each kind of benchmark can be run with, the usual one first; ``stay`` moves nothing."""

DETECTOR: Detector = "sift"
"""Of the keypoints by which planes are aligned."""

RAW = "raw"
"""The name of the model that is no network."""


class _Stay:
    """The baseline that moves nothing: the same place, relative to the photo's sides."""

    settings: dict[str, Any] = {}  # noqa: RUF012

    def plan(self, samples: Sequence[Sample]) -> None:
        pass

    def predict(self, sample: Sample) -> Prediction:
        if isinstance(sample, PointPair):
            there, here = (np.array(side.photo.load().size[::-1]) for side in (sample.target, sample.source))
            return Prediction(sample.source.keypoints * there / here, np.ones(len(sample.source.keypoints)))
        if isinstance(sample, PlanePair):
            return Prediction(matrix=np.eye(3))
        if isinstance(sample, MaskClip):
            return Prediction(labels=(load_labels(sample.masks[0]),) * len(sample.frames))
        assert isinstance(sample, JointClip)
        return Prediction(np.repeat(sample.joints[:1], len(sample.frames), axis=0))


class _Points:
    """Pairs of photos by what a network saw in each; every photo is read once while the memory lasts."""

    def __init__(self, backbone: Backbone, method: str, changes: dict[str, Any]) -> None:
        self.matcher = Matcher(backbone, **changes)
        self.match = nearest.match if method == "dift" else _by_mls
        self.settings: dict[str, Any] = {"reading": self.matcher.reader.record}
        if method == "mls":
            self.settings["fewer than 3 best buddies"] = "nearest neighbours"
        self.shelf: Shelf[Photo, Picture, Reading] = Shelf(
            Photo.load, lambda picture: self.matcher.read(picture)[1], _reading_bytes
        )

    def plan(self, samples: Sequence[Sample]) -> None:
        self.shelf.plan([side.photo for sample in samples for side in _sides(sample)])

    def predict(self, sample: Sample) -> Prediction:
        source, target = (self.shelf.take(side.photo) for side in _sides(sample))
        assert isinstance(sample, PointPair)
        if len(sample.source.keypoints) == 0:
            return Prediction(np.zeros((0, 2)), np.zeros(0))
        found = self.match(source, target, sample.source.keypoints)
        return Prediction(found.matched, found.score)


def _sides(sample: Sample) -> tuple[Any, Any]:
    assert isinstance(sample, PointPair)
    return sample.source, sample.target


def _reading_bytes(reading: Reading) -> int:
    return sum(own.nbytes for own in reading.capture.maps)


def _by_mls(source: Reading, target: Reading, points: Points) -> Matches:
    """Best buddies and moving least squares; where there are too few, the nearest neighbours."""
    try:
        return transfer(source, target, points)
    except InvalidInput:
        if len(best_buddies(source, target)) >= 3:
            raise
        return nearest.match(source, target, points)


class _Prompts:
    """Pairs of photos by learnt prompts; those of a source photo's points serve all its targets."""

    def __init__(self, backbone: Backbone, settings: prompt.PromptSettings) -> None:
        self.backbone = backbone
        self.prompt = settings
        self.settings = {"prompt": asdict(settings)}

    def plan(self, samples: Sequence[Sample]) -> None:
        pass

    def predict(self, sample: Sample) -> Prediction:
        assert isinstance(sample, PointPair)
        if len(sample.source.keypoints) == 0:
            return Prediction(np.zeros((0, 2)), np.zeros(0))
        *_, learnt = prompt.optimise(self.backbone, sample.source.photo.load(), sample.source.keypoints, self.prompt)
        rows = {point: row for row, point in enumerate(map(tuple, learnt.points.tolist()))}
        order = np.array([rows[point] for point in map(tuple, sample.source.keypoints.tolist())])  # points may coincide
        found = prompt.locate(self.backbone, learnt, sample.target.photo.load()).matches[order]
        return Prediction(found.matched, found.score)


class _Planes:
    """Photos of planes by keypoints, features and a robust estimate."""

    def __init__(self, backbone: Backbone, changes: dict[str, Any]) -> None:
        self.aligner = Aligner(backbone, keypoints=DETECTOR, **changes)
        own = self.aligner
        facts = {"keypoints": DETECTOR, "count": own.count, "matching": asdict(own.matching)}
        self.settings = {"reading": own.matcher.reader.record, **facts, "estimation": asdict(own.estimation)}
        self.shelf: Shelf[Photo, Picture, View] = Shelf(
            Photo.load, self.aligner.view, lambda view: _reading_bytes(view.reading)
        )

    def plan(self, samples: Sequence[Sample]) -> None:
        self.shelf.plan([photo for sample in samples for photo in self._photos(sample)])

    def predict(self, sample: Sample) -> Prediction:
        source, target = map(self.shelf.take, self._photos(sample))
        return Prediction(matrix=self.aligner.align(source, target)[1].matrix)

    @staticmethod
    def _photos(sample: Sample) -> tuple[Photo, Photo]:
        assert isinstance(sample, PlanePair)
        return sample.source, sample.target


class _Clips:
    """Videos by label propagation."""

    def __init__(self, backbone: Backbone, changes: dict[str, Any]) -> None:
        self.tracker = Tracker(backbone, **changes)
        self.settings = {"reading": asdict(self.tracker.reading), "propagation": asdict(self.tracker.settings)}

    def plan(self, samples: Sequence[Sample]) -> None:
        pass

    def predict(self, sample: Sample) -> Prediction:
        assert isinstance(sample, MaskClip | JointClip)
        frames = (Frame(i, load_picture(path)) for i, path in enumerate(sample.frames))
        if isinstance(sample, MaskClip):
            first = load_labels(sample.masks[0])
            tracks = self.tracker.track(frames, video_labels.objects(first, first.shape))
            return Prediction(labels=tuple(cast("npt.NDArray[np.uint8]", track.labels) for track in tracks))
        height, width = measure(sample.frames[0])
        marks = np.clip(sample.joints[0], 0, (width, height))  # a joint out of the picture is marked at its border
        tracks = self.tracker.track(frames, video_labels.points(marks))
        return Prediction(np.stack([cast(Points, track.points) for track in tracks]))


class _Segments:
    """Photos cut into parts."""

    def __init__(self, backbone: Backbone, solver: Solver, changes: dict[str, Any]) -> None:
        self.segmenter = Segmenter(backbone, solver=solver, **changes)
        self.settings = {
            "reading": asdict(self.segmenter.reading),
            "solver": solver,
            "cut": asdict(self.segmenter.settings),
        }

    def plan(self, samples: Sequence[Sample]) -> None:
        pass

    def predict(self, sample: Sample) -> Prediction:
        assert isinstance(sample, LabelledPhoto)
        return Prediction(labels=(self.segmenter.segment(sample.load()[0]).labels,))


def load_system(
    kind: Kind,
    model: str,
    method: str | None = None,
    *,
    untrained: bool = False,
    device: str | None = None,
    dtype: str | None = None,
    changes: dict[str, Any] | None = None,
    prompt_changes: Sequence[str] = (),
) -> tuple[System, Backbone | None]:
    """Get ready to run a kind of benchmark; returns the network too, which ``stay`` has none of.

    Args:
        kind: of the benchmark.
        model: what ``diffsight.load`` takes, or ``raw`` for the pixels themselves.
        method: one of ``METHODS[kind]``; the usual one if left out.
        untrained: the same network with random weights.
        device, dtype: of the network.
        changes: single settings of reading.
        prompt_changes: ``NAME=VALUE`` settings of prompt matching.

    Raises:
        InvalidInput: for a method or settings that do not suit.
        ModelUnavailable: if the weights cannot be had.
    """
    method = METHODS[kind][0] if method is None else method
    if method not in METHODS[kind]:
        raise InvalidInput(f"unknown method {method!r} for {kind}; use {', '.join(METHODS[kind])}")
    if prompt_changes and method not in ("prompt", "frozen"):
        raise InvalidInput("--set changes prompt matching; use it with --method prompt or frozen")
    if method == "stay":
        return _Stay(), None
    changes = changes or {}
    backbone: Backbone
    if model == RAW:
        if method not in ("dift", "mls"):
            raise InvalidInput(f"the model {RAW} is no network; it suits the methods dift and mls only")
        backbone = _raw(kind)
    else:
        backbone = load(model, device=device, dtype=dtype)
    if untrained:
        backbone = backbone.untrained()
    if kind == "points" and method in ("prompt", "frozen"):
        if changes:
            raise InvalidInput(f"{', '.join(changes)} does not suit prompts; change them by --set NAME=VALUE")
        mode: prompt.Mode = "exact" if method == "prompt" else "frozen_queries"
        own = replace(prompt.change(prompt.settings_for(backbone.card), prompt_changes), mode=mode)
        return _Prompts(backbone, own), backbone
    if kind == "points":
        return _Points(backbone, method, changes), backbone
    if kind == "planes":
        return _Planes(backbone, changes), backbone
    if kind == "segments":
        return _Segments(backbone, cast(Solver, method), changes), backbone
    return _Clips(backbone, changes), backbone


def _raw(kind: Kind) -> RawPixels:
    """Raw pixels as finely as the bundled model reads for the task."""
    backbone = load("pocket")
    task = {"points": "semantic", "planes": "geometric"}.get(kind, "temporal")
    own = task_settings(backbone.card, task)
    stride = next(tap.stride for tap in backbone.taps.features if tap.name == own.stage)
    return RawPixels(own.size, min(stride, backbone.multiple))


@dataclass(frozen=True)
class SystemRecipe:
    """What ``load_system`` takes, to be loaded where it is needed."""

    kind: Kind
    model: str
    method: str | None = None
    untrained: bool = False
    device: str | None = None
    dtype: str | None = None
    changes: dict[str, Any] = field(default_factory=dict)
    prompt_changes: tuple[str, ...] = ()

    def load(self) -> tuple[System, Backbone | None]:
        """The system and its network."""
        return load_system(**vars(self))

    def __call__(self) -> System:
        """The system."""
        return self.load()[0]
