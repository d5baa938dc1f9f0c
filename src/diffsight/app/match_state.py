"""What a visitor of the tab Match has before them: photos, points, and where they were found."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Size
from ..matching.matcher import Source
from ..matching.prompt import PromptEmbeddings
from ..types import Matches, Picture

REFINE = {"quick": "plain", "arranged": "best"}
"""How matches are read off, by method."""

LEARNT = "learnt"
"""The method that learns each point."""


@dataclass(frozen=True, eq=False)
class Photo:
    """A photo that a visitor has before them.

    Attributes:
        picture: the photo, as it is read; it bears the photo's name.
        size: (height, width) as it was sent.
        file: the photo as the page shows it, JPEG; it is deleted with the photo.
        readings: what networks saw in it, by model; filled when first asked for.
        prompts: what was learnt of its points, by model and place; filled likewise.
    """

    picture: Picture
    size: Size
    file: Path
    readings: dict[str, Source] = field(default_factory=dict)
    prompts: dict[tuple[str, float, float], PromptEmbeddings] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """As it was sent."""
        return self.picture.name

    @property
    def scale(self) -> np.ndarray:
        """(x, y) pixels of what is read for one of the photo as it was sent."""
        return np.array(self.picture.size[::-1]) / self.size[::-1]


@dataclass(frozen=True)
class Found:
    """Where the points are in one photo.

    Attributes:
        matches: of the points that were looked for, in pixels of the photos as they were sent.
        alike: (rows, columns) how like each place is to the last point, over the whole photo; None if not asked.
    """

    matches: Matches
    alike: Tensor | None = None

    def first(self, count: int) -> Found:
        """Of the first so many points; the map is of the last one only."""
        return self if count == len(self.matches) else Found(self.matches[:count])

    def after(self, earlier: Found | None) -> Found:
        """Together with points that were found before."""
        if earlier is None:
            return self
        return replace(self, matches=Matches.join([earlier.matches, self.matches]))


@dataclass(frozen=True)
class Session:
    """What one visitor has before them.

    Attributes:
        left: the photo that is clicked.
        targets: the photos that are searched.
        points: (x, y) of each click in pixels of the left photo as it was sent, in their order.
        found: where they are in each target; of the first so many points, while others are still to be learnt.
        model: the name of the model.
        method: a key of ``REFINE``, or ``LEARNT``.
        alike: whether to show where else the last point looks alike.
    """

    left: Photo | None = None
    targets: tuple[Photo, ...] = ()
    points: tuple[tuple[float, float], ...] = ()
    found: tuple[Found, ...] = ()
    model: str = ""
    method: str = "quick"
    alike: bool = False

    @property
    def photos(self) -> tuple[Photo, ...]:
        """All of them, the left one first."""
        return (() if self.left is None else (self.left,)) + self.targets

    @property
    def known(self) -> int:
        """How many of the points were looked for."""
        return len(self.found[0].matches) if self.found else 0


@dataclass(frozen=True)
class Progress:
    """How far a long job is.

    Attributes:
        line: what it is doing.
        share: of its work that is done, 0 to 1.
        session: with all that is done so far.
    """

    line: str
    share: float
    session: Session


def check_photos(session: Session) -> Photo:
    """The left photo, once it is sure that there are targets, too.

    Raises:
        InvalidInput: if one is missing.
    """
    if session.left is None or not session.targets:
        missing = "to click" if session.left is None else "to search"
        raise InvalidInput(f"there is no photo {missing} yet; choose one, or try the example")
    return session.left


def take(session: Session, learnt: Session) -> Session:
    """Take over what a long job has found, as far as its photos, model and points are still there."""
    same = (session.left, session.targets, session.model, session.method) == (
        learnt.left,
        learnt.targets,
        learnt.model,
        learnt.method,
    )
    agreed = [mine == own for mine, own in zip(session.points, learnt.points[: learnt.known], strict=False)]
    count = agreed.index(False) if False in agreed else len(agreed)
    if not same or count <= session.known:
        return session
    return replace(session, found=tuple(own.first(count) for own in learnt.found))


def clear(session: Session) -> Session:
    """Take all points back; the photos stay."""
    return replace(session, points=(), found=())
