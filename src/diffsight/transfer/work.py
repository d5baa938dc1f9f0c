"""What a worker does: annotated photos are learnt once, and one photo after the other gets its marks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import InvalidInput, UnreadableFile
from ..images import check_structure, load_picture
from ..matching.confidence import Calibrations
from ..matching.refine import Cells
from ..readers import Reader
from ..segmentation.segmenter import Segmenter
from ..types import Picture
from .annotations import AnnotatedPhoto, Annotations
from .carry import Carrier, CarrySettings

Coarse = npt.NDArray[np.float16]


@dataclass(frozen=True, eq=False)
class Before:
    """What is known of a photo from a run before.

    Attributes:
        used: keys of the references that voted, by category, and whether their mirror images were tried.
        coarse: (n, C) what ``Cells.coarse`` was, to compare new references with.
    """

    used: dict[str, tuple[str, ...]]
    coarse: Coarse


@dataclass(frozen=True, eq=False)
class Job:
    """A photo to label.

    Attributes:
        name: as annotations hold it.
        path: of the file.
        before: from an earlier run, if it was labelled then.
    """

    name: str
    path: Path
    before: Before | None = None


@dataclass(frozen=True, eq=False)
class Labelled:
    """A photo's marks, or why there are none.

    Attributes:
        photo: with its marks; None if it could not be read, or needs no other marks than it has.
        after: to be kept for the next run.
        failure: why it could not be read.
    """

    photo: AnnotatedPhoto | None = None
    after: Before | None = None
    failure: str = ""


@dataclass(frozen=True)
class Recipe:
    """All that a worker is made of; it can be sent to another machine.

    Attributes:
        references: annotated photos.
        settings: how marks are carried over.
        calibrations: from signals to probabilities.
        reader: makes what reads photos.
        segmenter: makes what cuts photos into parts, if masks are wanted.
    """

    references: Annotations
    settings: CarrySettings
    calibrations: Calibrations
    reader: Callable[[], Reader]
    segmenter: Callable[[], Segmenter] | None = None

    def __call__(self) -> Transfer:
        """Load the networks and learn the references."""
        return self.transfer(self.reader())

    def transfer(self, reader: Reader) -> Transfer:
        """The worker, with a reader that is open already."""
        segmenter = None if self.segmenter is None else self.segmenter()
        return Transfer(reader, self.references, self.settings, self.calibrations, segmenter)


class Transfer:
    """Carries annotations of a few photos to others.

    Example:
        >>> references = read_annotations(Path("five.json"))
        >>> transfer = Transfer(ModelReader.open("pocket"), references, CarrySettings(), Calibrations.shipped("pocket"))
        >>> photo = transfer.label("another.jpg")

    Args:
        reader: what reads photos.
        references: annotated photos; each category is carried on its own.
        settings: how marks are carried over.
        calibrations: from signals to the probability that a point is right.
        segmenter: cuts photos into parts; with it objects get masks.

    Raises:
        InvalidInput: if no category has an annotated object, or for a reference of one colour.
        UnreadableFile: for a reference that cannot be read.
    """

    def __init__(
        self,
        reader: Reader,
        references: Annotations,
        settings: CarrySettings,
        calibrations: Calibrations,
        segmenter: Segmenter | None = None,
    ) -> None:
        self.reader = reader
        self.segmenter = segmenter
        self.carriers = [Carrier(reader, category, settings, calibrations) for category in references.categories]
        for photo in references.photos:
            self.learn(photo)
        self.carriers = [carrier for carrier in self.carriers if carrier.known]
        if not self.carriers:
            raise InvalidInput("the references show no object; annotate one or more photos")

    def learn(self, photo: AnnotatedPhoto) -> None:
        """Take another annotated photo as a reference, of the categories that the first ones show.

        Raises:
            InvalidInput: for a photo of one colour.
            UnreadableFile: for one that cannot be read.
        """
        picture = load_picture(photo.path)
        check_structure(picture)
        for carrier in self.carriers:
            carrier.learn(photo, picture)

    def label(self, photo: Any, name: str = "") -> AnnotatedPhoto:
        """Find every category's object in a photo: whatever ``load_picture`` takes.

        Raises:
            UnreadableFile: for a photo that cannot be read.
            InvalidInput: for a photo of one colour.
        """
        return self._mark(load_picture(photo), name)[0]

    def __call__(self, job: Job) -> Labelled:
        """Label a photo, unless it was labelled before and the same references would vote again."""
        if job.before is not None and self._votes_by(torch.from_numpy(job.before.coarse).float()) == job.before.used:
            return Labelled()
        try:
            photo, target = self._mark(load_picture(job.path), job.name)
        except (UnreadableFile, InvalidInput) as error:
            return Labelled(failure=str(error))
        return Labelled(photo, Before(self._votes_by(target.coarse), target.coarse.half().numpy()))

    def _mark(self, picture: Picture, name: str) -> tuple[AnnotatedPhoto, Cells]:
        check_structure(picture)
        target = self.carriers[0].read(picture)
        parts = None if self.segmenter is None else self.segmenter.segment(picture)
        instances = tuple(carrier.carry(target, parts).instance for carrier in self.carriers)
        return AnnotatedPhoto(name or picture.name, picture.path or Path(), picture.size, instances), target

    def _votes_by(self, coarse: torch.Tensor) -> dict[str, tuple[str, ...]]:
        return {
            own.category.name: (*sorted(known.key for known in own.nearest(coarse)), *(["mirrored"] * own.flips))
            for own in self.carriers
        }
