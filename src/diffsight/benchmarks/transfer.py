"""Annotations carried from a few photos to many, scored where the truth is known."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InvalidInput
from ..grid import Fit
from ..images import load_picture
from ..matching.confidence import ANY, NAMES, PORTABLE, Calibration, Calibrations, Signals, fit
from ..matching.refine import PRESETS, Refinement
from ..readers import Debiased, Reader
from ..transfer.annotations import HIDDEN, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from ..transfer.carry import Carrier, CarrySettings, Flip
from ..types import Picture, Reading
from ..world import RESERVED, Scene, WorldObject, categories, make_scene
from .metrics.confidence import reliability, risk_coverage

SUREST = 0.3
"""Share of points that a person would not check."""

NEUTRAL = Calibrations(ANY, {1: Calibration((), 0.5, 0.0)})
"""Knows nothing."""

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
    """The points of a category's targets that can be checked: those that the target shows.

    Attributes:
        category: its name.
        right: (N,) whether each lies within ``ALPHA`` of the truth.
        signals: (N,) of each.
        confidence: (N,) of each.
        seen: (M,) over all points that were found, whether their visibility was guessed right.
        milliseconds: of matching a photo that has been read; the mean.
    """

    category: str
    right: npt.NDArray[np.bool_]
    signals: Signals
    confidence: npt.NDArray[np.float64]
    seen: npt.NDArray[np.bool_]
    milliseconds: float


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

    marks = world_marks(draw().objects[0])
    return Labelled(AnnotatedPhoto(f"{kind}_{seed}", Path(), (SIDE, SIDE), (marks,)), load)


def world_marks(shown: WorldObject) -> Instance:
    """The truth about an object of the world, as annotations hold it."""
    x0, y0, x1, y1 = shown.box.tolist()
    visibility = np.where(shown.visible, VISIBLE, HIDDEN).astype(np.int8)
    return Instance(shown.category, shown.keypoints, visibility, (x0, y0, x1, y1))


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


def score(job: Job, carrier: Carrier) -> Outcome:
    """Carry a job out and check it; of several objects on a photo the first counts."""
    for own in job.references:
        carrier.learn(own.photo, own.load())
    right, signals, seen, sure, seconds = [], [], [], [], 0.0
    for own in job.targets:
        target = carrier.read(own.load())
        start = perf_counter()
        carried = carrier.carry(target)
        seconds += perf_counter() - start
        found = carried.instance
        truth = next(one for one in own.photo.instances if one.category == job.category.name)
        assert found.point_confidence is not None
        known = np.isfinite(carried.signals.peak)  # what no reference shows cannot be found
        shown = truth.visibility == VISIBLE
        far = np.linalg.norm(found.keypoints - truth.keypoints, axis=1)
        right.append((far <= ALPHA * _length(truth))[shown & known])
        signals.append(carried.signals[shown & known])
        sure.append(found.point_confidence[shown & known])
        seen.append((shown == (found.visibility == VISIBLE))[known])
    return Outcome(
        job.category.name,
        np.concatenate(right),
        Signals.join(signals),
        np.concatenate(sure),
        np.concatenate(seen),
        1000 * seconds / max(1, len(job.targets)),
    )


def _length(truth: Instance) -> float:
    """The longer side of the object's box, or of the tight box around its points if none is marked."""
    if truth.box is not None:
        x0, y0, x1, y1 = truth.box
        return max(x1 - x0, y1 - y0)
    return float(np.ptp(truth.keypoints[np.isfinite(truth.keypoints).all(axis=1)], axis=0).max())


@dataclass(frozen=True)
class Row:
    """One way to carry annotations, for a table.

    Attributes:
        label: what it adds to plain nearest neighbours of one model.
        changes: of ``Refinement``.
        flip: as ``CarrySettings`` has it.
        debias: directions of position taken out of the maps.
        join: whether the joined maps are read.
    """

    label: str
    changes: dict[str, Any] = field(default_factory=dict)
    flip: Flip = "off"
    debias: int = 0
    join: bool = False


PLAIN, BEST = "nearest neighbours", "best"

ROWS = (
    Row("nearest neighbours, vectors of whole cells", {"sampling": "floor"}),
    Row(PLAIN),
    Row("+ window soft-argmax", {"peak": "window"}),
    Row("+ window soft-argmax as published (0 outside)", {"peak": "window", "masking": "zero"}),
    Row("+ flip test", flip="auto"),
    Row("+ shape", {"peak": "window", "shape": PRESETS["best"]["shape"]}),
    Row("+ positions taken out (rank 20)", debias=20),
    Row("+ joined maps", join=True),
    Row(BEST, PRESETS["best"], flip="auto", join=True),
)
"""Plain nearest neighbours, what each option adds to them alone, and the best together."""


class Remembered:
    """A reader that reads each photo of a job once, however many rows ask for it."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.name, self.fingerprint, self.record = reader.name, reader.fingerprint, reader.record
        self.channels, self.refine = reader.channels, reader.refine
        self.readings: dict[str, Reading] = {}

    def fit(self, picture: Picture) -> Fit:
        """How a photo will be laid out."""
        return self.reader.fit(picture)

    def read(self, pictures: Sequence[Picture]) -> list[Reading]:
        """Read each photo, unless it was read before."""
        keys = [hashlib.blake2b(picture.array().tobytes(), digest_size=16).hexdigest() for picture in pictures]
        for key, picture in zip(keys, pictures, strict=True):
            if key not in self.readings:
                self.readings[key] = self.reader.read([picture])[0]
        return [self.readings[key] for key in keys]


@dataclass(frozen=True, eq=False)
class Scores:
    """What one row reached.

    Attributes:
        points: how many were checked.
        by_category: share of right points of each.
        confidence, right: (N,) of every point.
        milliseconds: of matching a photo that has been read; the mean.
        seen_guess: share of points whose visibility was guessed right.
    """

    points: int
    by_category: dict[str, float]
    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.bool_]
    milliseconds: float
    seen_guess: float

    @property
    def pck(self) -> float:
        """Share of right points."""
        return float(self.right.mean())

    @property
    def error(self) -> float:
        """Share of wrong points."""
        return 1 - self.pck

    @property
    def error_of_surest(self) -> float:
        """Share of wrong ones among the surest ``SUREST``."""
        return risk_coverage(self.confidence, self.right).at(SUREST)

    @property
    def area(self) -> float:
        """The area under the risk-coverage curve."""
        return risk_coverage(self.confidence, self.right).area

    @property
    def gap(self) -> float:
        """The expected calibration error."""
        return reliability(self.confidence, self.right).error

    def facts(self) -> dict[str, Any]:
        """All of it as JSON holds it, the curves thinned out."""
        curve, bins = risk_coverage(self.confidence, self.right), reliability(self.confidence, self.right)
        every = max(1, len(curve.risk) // 100)
        return {
            "points": self.points,
            "pck": self.pck,
            "error_of_surest": self.error_of_surest,
            "aurc": self.area,
            "ece": self.gap,
            "milliseconds": self.milliseconds,
            "visibility": self.seen_guess,
            "by_category": self.by_category,
            "coverage": curve.coverage[every - 1 :: every].round(4).tolist(),
            "risk": curve.risk[every - 1 :: every].round(4).tolist(),
            "reliability": np.stack([bins.confidence, bins.rate, bins.count], axis=1).round(4).tolist(),
        }


def compare(
    jobs: Sequence[Job], alone: Reader, joined: Reader, calibrations: Calibrations, rows: Sequence[Row] = ROWS
) -> dict[str, Scores]:
    """Carry every job out by every row; each photo is read once by each reader.

    Args:
        jobs: to be carried out.
        alone: one model.
        joined: what the best row reads; the same where no maps are joined.
        calibrations: of the best row; in the others they rank.
        rows: what to compare.
    """
    from tqdm import tqdm

    outcomes: dict[str, list[Outcome]] = {row.label: [] for row in rows}
    for job in tqdm(jobs, desc="carrying", unit="category"):
        single, several = Remembered(alone), Remembered(joined)
        for row in rows:
            reader: Reader = several if row.join else single
            reader = Debiased(reader, row.debias) if row.debias else reader
            how = Refinement(**{**reader.refine, **row.changes})
            carrier = Carrier(reader, job.category, CarrySettings(how, row.flip), calibrations)
            outcomes[row.label].append(score(job, carrier))
    return {label: summarise(own) for label, own in outcomes.items()}


def summarise(outcomes: Sequence[Outcome]) -> Scores:
    """The outcomes of several categories as one; every point counts alike."""
    return Scores(
        points=sum(len(own.right) for own in outcomes),
        by_category={own.category: float(own.right.mean()) for own in outcomes if len(own.right)},
        confidence=np.concatenate([own.confidence for own in outcomes]),
        right=np.concatenate([own.right for own in outcomes]),
        milliseconds=float(np.mean([own.milliseconds for own in outcomes])),
        seen_guess=float(np.concatenate([own.seen for own in outcomes]).mean()),
    )


def check(jobs: Sequence[Job], reader: Reader, how: Refinement, counts: Sequence[int]) -> dict[int, list[Outcome]]:
    """Carry jobs out with several numbers of references, as many as the jobs have at most; outcomes by number."""
    from tqdm import tqdm

    outcomes: dict[int, list[Outcome]] = {count: [] for count in counts}
    for job in tqdm(jobs, desc=f"checking {reader.name}", unit="category"):
        own = Remembered(reader)
        for count in counts:
            part = replace(job, references=job.references[:count])
            carrier = Carrier(own, job.category, CarrySettings(how, votes=count), NEUTRAL)
            outcomes[count].append(score(part, carrier))
    return outcomes


def fit_calibrations(
    outcomes: dict[int, list[Outcome]], model: str, about: str, reading: dict[str, Any], *, portable: bool = False
) -> Calibrations:
    """Fit the confidence of carried points on what was checked.

    Args:
        outcomes: by the number of references that voted.
        model: what they were found with.
        about: what they are, for the record.
        reading: how photos were read, as ``Reader.record`` has it.
        portable: use only signals that mean the same for every model, and name none.

    Raises:
        InvalidInput: for too few points, or too few right or wrong ones.
    """
    names = PORTABLE if portable else NAMES
    by_votes = {
        count: fit(Signals.join([one.signals for one in own]), np.concatenate([one.right for one in own]), names)
        for count, own in outcomes.items()
    }
    return Calibrations(ANY if portable else model, by_votes, about, {} if portable else reading)


def held_out(outcomes: Sequence[Outcome], *, portable: bool = False) -> Scores:
    """How well confidence does on matches that it was not fitted on: each half of the photos by the other half.

    Args:
        outcomes: of one number of references.
        portable: as ``fit_calibrations`` takes it.

    Raises:
        InvalidInput: if half of the points are too few to fit on.
    """
    names = PORTABLE if portable else NAMES
    firsts = [np.arange(len(own.right)) < len(own.right) // 2 for own in outcomes]  # photo by photo, in order
    signals, first = Signals.join([own.signals for own in outcomes]), np.concatenate(firsts)
    right = np.concatenate([own.right for own in outcomes])
    confidence = np.empty(len(right))
    for half in (first, ~first):
        confidence[half] = fit(signals[~half], right[~half], names)(signals[half])
    parts = np.split(confidence, np.cumsum([len(own.right) for own in outcomes])[:-1])
    return summarise([replace(own, confidence=part) for own, part in zip(outcomes, parts, strict=True)])
