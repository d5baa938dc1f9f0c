"""What the buttons of the tab Segment do: a photo is cut into fewer or more parts, and these are named.

A visitor's state is one frozen ``Session``; every button makes a new one of it. Nothing here knows of the web.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from ..draw import draw_heat, draw_segments, panel_size, segment_colours
from ..errors import InvalidInput
from ..grid import Size
from ..images import load_picture
from ..segmentation.diffseg import DiffSegSettings
from ..segmentation.export import describe, label_image
from ..segmentation.naming import name_segments
from ..segmentation.ncut import NcutSettings
from ..segmentation.segmenter import KMeansSettings, Prepared, Segmenter, Settings, Solver, Words
from ..types import Picture, Segmentation
from ..world import RESERVED, make_scene
from .limits import MAX_NAMES
from .models import Models
from .pictures import encode, reduced
from .uploads import open_upload

EXAMPLE = (RESERVED + 777_508, 384, 512)
"""Seed, height and width of the picture that is built in."""

EXAMPLE_NAMES = "butterfly, black"
"""What it shows, and the colour that it stands on."""

DETAIL = 50.0
"""Where the slider of a threshold stands for the model's own."""

REACH: dict[Solver, float] = {"diffseg": 20.0, "ncut": 3.0}
"""How many times the model's own threshold the slider reaches at its coarse end; at its fine end, what part of it."""

COUNTS = (2, 20)
"""How few and how many parts k-means can be asked for."""

Clicks = Literal["part", "look"]


@dataclass(frozen=True)
class Photo:
    """A photo that was read.

    Attributes:
        size: (height, width) as it was sent.
        picture: the photo reduced, as it is read and shown; downloads have the size of the photo.
        readings: what the network saw in it: ``maps`` of self-attention, ``features``; each once it is needed.
    """

    size: Size
    picture: Picture
    readings: Mapping[str, Prepared] = field(default_factory=dict)


@dataclass(frozen=True)
class Session:
    """What one visitor has before them.

    Attributes:
        photo: the photo, if there is one.
        solver: how it is cut.
        levels: where the slider of each solver stands: 0 (coarse) to 100 (fine), or a number of parts.
        names: what parts may be called.
        heard: (W, h, w) where the model sees each name in the photo.
        found: the parts.
        clicks: whether a click asks for a part, or where the model looks from there.
        spot: (x, y) of the last click of that kind, in pixels of ``photo.picture``.
    """

    photo: Photo | None = None
    solver: Solver = "diffseg"
    levels: Mapping[Solver, float] = field(default_factory=lambda: {"diffseg": DETAIL, "ncut": DETAIL, "kmeans": 6})
    names: Words | None = None
    heard: Tensor | None = None
    found: Segmentation | None = None
    clicks: Clicks = "part"
    spot: tuple[float, float] | None = None


class Part(NamedTuple):
    """A part as the page shows it: shares of the photo, of the names' attention, and of its own pixels' values."""

    number: int
    name: str
    share: float
    fit: float | None
    clear: float

    @property
    def line(self) -> str:
        """All of it in words."""
        called = f": {self.name} ({self.fit:.0%} fit)" if self.name and self.fit is not None else ""
        return f"Part {self.number}{called}, {self.share:.1%} of the photo, {self.clear:.0%} clear"


class Desk:
    """What the buttons do with a model.

    Args:
        models: shared by all visitors.
    """

    def __init__(self, models: Models) -> None:
        self.models = models

    @property
    def solvers(self) -> tuple[Solver, ...]:
        """The ways to cut a photo that the model allows; the first is what a visitor starts with."""
        return ("diffseg", "ncut", "kmeans") if self.models.backbone().taps.attention else ("ncut", "kmeans")

    def start(self) -> Session:
        """What a visitor starts with."""
        return Session(solver=self.solvers[0])

    def choose(self, session: Session, path: str) -> Session:
        """Cut a photo that was sent; slider, way of cutting and names stay as they are."""
        return self._read(session, open_upload(Path(path)))

    def example(self, session: Session) -> Session:
        """Cut and name the built-in picture, with the settings that one starts with."""
        fresh = replace(self.start(), clicks=session.clicks)
        with suppress(InvalidInput):  # a model that reads no words cuts it all the same
            fresh = replace(fresh, names=self._words(EXAMPLE_NAMES))
        seed, height, width = EXAMPLE
        return self._read(fresh, load_picture(make_scene(seed, height, width).image))

    def cut(self, session: Session, solver: Solver, level: float) -> Session:
        """Cut in that way, with its slider there."""
        return self._cut(replace(session, solver=solver, levels={**session.levels, solver: level}))

    def name(self, session: Session, text: str) -> Session:
        """Call each part by one of these words, separated by commas; without any, no more.

        Raises:
            InvalidInput: for a word that the model does not know, or more than ``MAX_NAMES``.
        """
        return self._cut(replace(session, names=self._words(text), heard=None))

    def take_clicks(self, session: Session, clicks: Clicks) -> Session:
        """Say what a click asks for; what an earlier one showed is gone."""
        return replace(session, clicks=clicks, spot=None)

    def look(self, session: Session, place: tuple[float, float]) -> Session:
        """Ask where the model looks from a place of the photo, (x, y) as shares of its width and height.

        Raises:
            InvalidInput: for a place outside the photo, or a model without self-attention.
        """
        photo = self._reading(_photo(session), "diffseg")
        height, width = photo.picture.size
        spot = place[0] * width, place[1] * height
        photo.readings["maps"].reading.fit.check_points([spot])
        return replace(session, photo=photo, spot=spot)

    def picture(self, session: Session) -> Image.Image:
        """The photo, or where the model looks from the place that was clicked."""
        photo = _photo(session)
        if session.spot is None:
            return Image.fromarray(photo.picture.array())
        width, height = panel_size(photo.picture)
        segmenter = self.models.segmenter("diffseg")
        heat = segmenter.attention_at(photo.readings["maps"], session.spot, (height, width))
        return draw_heat(photo.picture, heat, np.array(session.spot))

    def labels(self, session: Session) -> bytes:
        """The part of each pixel of the photo as it was sent, PNG, one byte each with a palette."""
        found = self._found(session, _photo(session).size)
        return encode(label_image(found, segment_colours(len(found))), "png")

    def overlay(self, session: Session) -> bytes:
        """The photo with its parts in colour, PNG."""
        photo = _photo(session)
        return encode(draw_segments(photo.picture, self._found(session, photo.picture.size)), "png")

    def description(self, session: Session) -> bytes:
        """Figures and masks of the parts, of the photo as it was sent, and what led to them, JSON."""
        segmenter = self.models.segmenter(session.solver)
        facts = {
            "model": segmenter.backbone.card.name,
            "weights": segmenter.backbone.fingerprint,
            "solver": session.solver,
            "settings": asdict(self.settings(session)),
            "reading": asdict(segmenter.reading),
            "names": None if session.names is None else list(session.names.words),
        }
        return json.dumps({**facts, **describe(self._found(session, _photo(session).size))}, indent=1).encode()

    def settings(self, session: Session) -> Settings:
        """What the slider asks of the solver."""
        level = session.levels[session.solver]
        if session.solver == "kmeans":
            return KMeansSettings(int(level), of="features")
        factor = REACH[session.solver] ** ((DETAIL - level) / DETAIL)
        card = self.models.backbone().card
        if session.solver == "ncut":
            return NcutSettings(min(card.cut_threshold / factor, 2.0))
        return DiffSegSettings(thresholds=(card.merge_threshold * factor,) * 3)

    def status(self, session: Session) -> str:
        """What there is to see, or to do next, in one line."""
        if session.found is None:
            return "Choose a photo, or try the example."
        count = len(session.found)
        made = self.settings(session)
        how = ""
        if isinstance(made, DiffSegSettings):
            how = f" (threshold {made.thresholds[0]:.3g})"
        elif isinstance(made, NcutSettings):
            how = f" (threshold {made.threshold:.3g})"
        return f"{count} part{'' if count == 1 else 's'}{how}."

    def _read(self, session: Session, picture: Picture) -> Session:
        photo = Photo(picture.size, load_picture(reduced(picture)))
        return self._cut(replace(session, photo=photo, heard=None, spot=None))

    def _reading(self, photo: Photo, solver: Solver) -> Photo:
        """The photo with what a solver needs of it."""
        kind, segmenter = _kind(solver), self.models.segmenter(solver)
        if kind in photo.readings:
            return photo
        with self.models.lock:
            return replace(photo, readings={**photo.readings, kind: segmenter.prepare(photo.picture)})

    def _words(self, text: str) -> Words | None:
        words = [word.strip() for word in text.split(",") if word.strip()]
        if len(words) > MAX_NAMES:
            raise InvalidInput(f"{len(words)} names are too many; give up to {MAX_NAMES}")
        return self.models.segmenter(self.solvers[0]).words(words, None) if words else None

    def _cut(self, session: Session) -> Session:
        photo = self._reading(_photo(session), session.solver)
        session = replace(session, photo=photo)
        if session.names is not None and session.heard is None:
            with self.models.lock:
                heard = self._segmenter(session).hear(photo.readings[_kind(session.solver)], session.names)
            session = replace(session, heard=heard)
        return replace(session, found=self._found(session, photo.picture.size))

    def _found(self, session: Session, size: Size) -> Segmentation:
        """The parts of the photo at a size, named if that was asked."""
        photo = _photo(session)
        prepared = photo.readings[_kind(session.solver)]
        if size != photo.picture.size:
            prepared = prepared.resized(size)
        found = self._segmenter(session).cut(prepared, self.settings(session))
        if session.names is None or session.heard is None:
            return found
        return name_segments(found, session.heard, session.names.words, prepared.reading.fit)

    def _segmenter(self, session: Session) -> Segmenter:
        return self.models.segmenter(session.solver)


def parts(session: Session) -> list[Part]:
    """What is known of each part, in the order of their labels."""
    found = session.found
    if found is None:
        return []
    return [
        Part(
            i + 1,
            found.names[i] if found.names else "",
            float(area / found.labels.size),
            float(found.name_scores[i]) if found.names else None,
            float(found.scores[i]),
        )
        for i, area in enumerate(found.areas)
    ]


def _photo(session: Session) -> Photo:
    if session.photo is None:
        raise InvalidInput("there is no photo yet; choose one, or try the example")
    return session.photo


def _kind(solver: Solver) -> str:
    """What a solver reads."""
    return "maps" if solver == "diffseg" else "features"
