"""The whole job in one object: read the source once, match any number of targets."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor

from ..backbones.base import Backbone
from ..grid import Points
from ..images import load_picture
from ..readers import Reader, open_reader
from ..types import Matches, Picture, Reading
from . import nearest
from .confidence import Calibrations, Signals
from .locate import Reference, locate
from .refine import Cells, Refinement, mirror, refinement


@dataclass(frozen=True)
class Source:
    """A photo that has been read, ready to be found in others, or to be searched.

    Attributes:
        picture: the photo.
        cells: what the network saw in it.
        points: (N, 2) as (x, y) in its pixels; None to suggest points for each target.
        flipped: what the network saw in its mirror image, where matching tries that.
    """

    picture: Picture
    cells: Cells
    points: Points | None
    flipped: Cells | None = None

    @property
    def reading(self) -> Reading:
        """What the network saw in the photo, as it was read."""
        return self.cells.reading


class Matcher:
    """Finds points of one photo in others (DIFT: Tang et al., 2023, arXiv 2306.03881).

    Example:
        >>> matcher = Matcher("pocket")
        >>> source = matcher.source("a.jpg", [(120.0, 80.0)])
        >>> matches = matcher.match(source, "b.jpg")

    Args:
        model: a loaded backbone; or what ``diffsight.load`` takes, or the name of a recipe that joins several maps
            (``pocket+``, ``sd+dino``, ...).
        task: ``semantic``, ``geometric`` or ``temporal``; chooses the model's settings.
        refine: how matches are read off: ``plain`` (DIFT), ``best``, or settings.
        flip: also try the mirrored source, where that is more like the target; left and right change places then.
        calibrations: from signals to the probability that a match is right; those shipped for the model if left out.
        device, dtype: for a model that is still to be loaded; what suits the machine if left out.
        store: a folder that keeps readings across runs.
        **changes: single settings that replace the task's: stage, timestep, ensemble, size, fit, prompt, noise,
            posterior, seed; of a recipe, prompt, seed, ensemble and weights.

    Raises:
        InvalidInput: for an unknown model, task or setting.
        ModelUnavailable: if the weights cannot be had.
    """

    def __init__(
        self,
        model: Backbone | str | Path = "pocket",
        *,
        task: str = "semantic",
        refine: str | Refinement = "plain",
        flip: bool = False,
        calibrations: Calibrations | None = None,
        device: str | None = None,
        dtype: str | None = None,
        store: Path | None = None,
        **changes: Any,
    ) -> None:
        self.reader: Reader = open_reader(model, task, device=device, dtype=dtype, store=store, **changes)
        how = refinement(refine, self.reader.refine) if isinstance(refine, str) else refine
        self.how = replace(how, flip=flip or how.flip)
        own = Calibrations.shipped(self.reader.name, self.reader.record)
        self.calibrations = own if calibrations is None else calibrations

    def refined(self, preset: str) -> Matcher:
        """A matcher for the same readings that reads matches off in another way.

        Raises:
            InvalidInput: for an unknown preset.
        """
        other = copy(self)
        other.how = refinement(preset, self.reader.refine, flip=self.how.flip)
        return other

    def read(self, photo: Any) -> tuple[Picture, Reading]:
        """Load a photo and read it."""
        picture = load_picture(photo)
        return picture, self.reader.read([picture])[0]

    def source(self, photo: Any, points: npt.ArrayLike | None = None) -> Source:
        """Read the photo that the points lie in.

        Args:
            photo: whatever ``load_picture`` takes.
            points: (N, 2) as (x, y) in its pixels, pixel centres at +0.5; left out, points are suggested per target.

        Raises:
            InvalidInput: for a point outside the photo; found before the network runs.
        """
        picture = load_picture(photo)
        if points is not None:
            points = self.reader.fit(picture).check_points(points)
        readings = self.reader.read([picture, mirror(picture)] if self.how.flip else [picture])
        cells, *flipped = map(Cells.of, readings)
        return Source(picture, cells, points, *flipped)

    def match(self, source: Source, target: Any) -> Matches:
        """Find the source's points in another photo: a path, array or a photo read before.

        The score is the cosine at the match; confidence is the probability that the match is right, as far as the
        model was calibrated.
        """
        reading = target if isinstance(target, Reading) else self.read(target)[1]
        return self.find(source, Cells.of(reading))[0]

    def find(self, source: Source, cells: Cells) -> tuple[Matches, Signals]:
        """Likewise in the cells of a photo that was read, with all that speaks for and against each match."""
        points = self.points_for(source, cells.reading)
        reference = Reference.of(source.cells, points, source.flipped, sampling=self.how.sampling)
        found = locate([reference], cells, self.how, self.reader.channels)
        view = reference.views[int(found.flipped[0])]
        score = (view.vectors * cells.describe(found.points)).sum(dim=1).double().cpu().numpy()
        is_plain = self.how == Refinement(**self.reader.refine)
        confidence = self.calibrations.suit(0 if is_plain else 1)(found.signals)
        return Matches(points, found.points, score, found.signals.mutual == 1, confidence), found.signals

    def match_top(self, source: Source, target: Reading, points: Points, count: int) -> list[Matches]:
        """The ``count`` best places for each point, one ``Matches`` a point, best first."""
        return nearest.match_top(source.reading, target, points, count)

    def points_for(self, source: Source, target: Reading, count: int = 12) -> Points:
        """The source's points, or well-spread mutual ones if it has none."""
        if source.points is not None:
            return source.points
        return nearest.suggest_points(source.reading, target, count)

    def scores(self, source: Source, target: Reading, points: Points, size: tuple[int, int]) -> Tensor:
        """Heat maps: the cosine of each point with the whole target photo; (N, rows, columns), NaN where not seen."""
        return nearest.score_maps(source.reading, target, points, *size)
