"""The whole job in one object: read the source once, match any number of targets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy.typing as npt
from torch import Tensor

from ..backbones.base import Backbone, adjust
from ..backbones.registry import load, task_settings
from ..grid import Points
from ..images import load_picture
from ..probe import Probe
from ..types import Matches, Picture, Reading
from . import nearest


@dataclass(frozen=True)
class Source:
    """A photo that has been read, ready to be found in others.

    Attributes:
        picture: the photo.
        reading: what the network saw in it.
        points: (N, 2) as (x, y) in its pixels; None to suggest points for each target.
    """

    picture: Picture
    reading: Reading
    points: Points | None


class Matcher:
    """Finds points of one photo in others (DIFT: Tang et al., 2023, arXiv 2306.03881).

    Example:
        >>> matcher = Matcher("pocket")
        >>> source = matcher.source("a.jpg", [(120.0, 80.0)])
        >>> matches = matcher.match(source, "b.jpg")

    Args:
        model: a loaded backbone, or what ``diffsight.load`` takes.
        task: ``semantic``, ``geometric`` or ``temporal``; chooses the model's settings.
        device, dtype: for a model that is still to be loaded; what suits the machine if left out.
        store: a folder that keeps readings across runs.
        **changes: single settings that replace the task's: stage, timestep, ensemble, size, fit, prompt, noise,
            posterior, seed.

    Raises:
        InvalidInput: for an unknown model, task or setting.
        ModelUnavailable: if the weights cannot be had.
    """

    def __init__(
        self,
        model: Backbone | str | Path = "pocket",
        *,
        task: str = "semantic",
        device: str | None = None,
        dtype: str | None = None,
        store: Path | None = None,
        **changes: Any,
    ) -> None:
        self.backbone = load(model, device=device, dtype=dtype) if isinstance(model, str | Path) else model
        self.settings = adjust(task_settings(self.backbone.card, task), changes)
        self.probe = Probe(self.backbone, store=store)

    def read(self, photo: Any) -> tuple[Picture, Reading]:
        """Load a photo and read it."""
        picture = load_picture(photo)
        return picture, self.probe.read([picture], self.settings)[0]

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
            points = self.probe.fit(picture, self.settings).check_points(points)
        return Source(picture, self.probe.read([picture], self.settings)[0], points)

    def match(self, source: Source, target: Any) -> Matches:
        """Find the source's points in another photo: a path, array or a photo read before."""
        reading = target if isinstance(target, Reading) else self.read(target)[1]
        return nearest.match(source.reading, reading, self.points_for(source, reading))

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
