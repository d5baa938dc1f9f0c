"""What the buttons of the tab Match do: clicks on one photo, points on others.

A visitor's state is one frozen ``Session``; every button makes a new one of it. Nothing here knows of the web.
"""

from __future__ import annotations

import secrets
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..draw import panel_size
from ..errors import InvalidInput
from ..files import save_bytes
from ..images import load_picture
from ..matching.matcher import Source
from ..matching.prompt import PromptSettings, locate, settings_for, steps
from ..types import Matches, Picture
from ..world import RESERVED, make_pair, make_scene
from .limits import MAX_POINTS, MAX_TARGETS
from .match_state import LEARNT, REFINE, Found, Photo, Progress, Session, check_photos
from .models import Models
from .pictures import encode, reduced
from .uploads import open_upload, plain_name

EXAMPLE = (RESERVED + 777_002, RESERVED + 777_038, 256, "car")
"""Seed of a pair of pictures, seed of a third one, side and kind: the photos that are built in."""

LEARNING: Mapping[str, Any] = {"rounds": 1}
"""Changes of a model's settings of learning: one embedding a point is five times as quick as five."""

HEAT = 4
"""Pixels of the page that share one value of a score map, along a side."""


class Desk:
    """What the buttons do.

    Args:
        models: shared by all visitors.
        folder: for the photos that the page shows.
        learning: changes of a model's ``PromptSettings``.
    """

    def __init__(self, models: Models, folder: Path, learning: Mapping[str, Any] = LEARNING) -> None:
        self.models = models
        self.folder = folder
        self.learning = learning

    def choose_left(self, session: Session, path: str) -> Session:
        """Take the photo that will be clicked; earlier points are gone."""
        return replace(session, left=self._photo(open_upload(Path(path)), Path(path).name), points=(), found=())

    def choose_targets(self, session: Session, paths: Sequence[str]) -> Session:
        """Take the photos that will be searched, in place of earlier ones; the points stay.

        Raises:
            InvalidInput: for more than ``MAX_TARGETS``.
        """
        if len(paths) > MAX_TARGETS:
            raise InvalidInput(f"{len(paths)} photos are too many to search at once; choose up to {MAX_TARGETS}")
        targets: list[Photo] = []
        for path in map(Path, paths):
            name = plain_name(path.name, {target.name for target in targets})
            targets.append(self._photo(open_upload(path), name))
        return replace(session, targets=tuple(targets), found=())

    def example(self, session: Session) -> Session:
        """Take the built-in pictures."""
        seed, third, side, kind = EXAMPLE
        pair = make_pair(seed, side, kind=kind)
        scenes = (pair.source, pair.target, make_scene(third, side, kinds=(kind,)))
        names = [f"{kind} {number}.png" for number in (1, 2, 3)]
        left, *targets = (
            self._photo(load_picture(scene.image), name) for scene, name in zip(scenes, names, strict=True)
        )
        return replace(session, left=left, targets=tuple(targets), points=(), found=())

    def choose_model(self, session: Session, name: str) -> Session:
        """Look with another model, once the photos are read by it (``read``, ``find``)."""
        if name not in self.models.names:
            raise InvalidInput(f"there is no model {name!r} here; choose one of {', '.join(self.models.names)}")
        return replace(session, model=name, found=())

    def choose_method(self, session: Session, name: str) -> Session:
        """Find the points in another way."""
        if name not in (*REFINE, LEARNT):
            raise InvalidInput(f"there is no method {name!r}; choose one of {', '.join(REFINE)}, {LEARNT}")
        return self.find(replace(session, method=name, found=()))

    def show_alike(self, session: Session, alike: bool) -> Session:
        """Show where else the last point looks alike, or do not."""
        return self.find(replace(session, alike=alike))

    def click(self, session: Session, place: tuple[float, float]) -> Session:
        """Add a point, and find it.

        Args:
            session: with both kinds of photos.
            place: (x, y) within the left photo, 0 to 1.

        Raises:
            InvalidInput: if a photo is missing, the place is outside, or there are ``MAX_POINTS`` already.
        """
        left = check_photos(session)
        if not all(0 <= share <= 1 for share in place):
            raise InvalidInput(f"({place[0]:.2f}, {place[1]:.2f}) lies outside the photo; click into it")
        if len(session.points) == MAX_POINTS:
            raise InvalidInput(f"there are {MAX_POINTS} points, as many as fit; undo or clear some")
        height, width = left.size
        return self.find(replace(session, points=(*session.points, (place[0] * width, place[1] * height))))

    def undo(self, session: Session) -> Session:
        """Take the last point back."""
        return self.find(replace(session, points=session.points[:-1]))

    def find(self, session: Session) -> Session:
        """Look for all points; those that must be learnt are left to ``learn``."""
        count = 0 if session.method == "arranged" else min(session.known, len(session.points))
        kept = tuple(own.first(count) for own in session.found) if count else ()
        if session.left is None or not session.points or session.method == LEARNT:
            return replace(session, found=kept)
        pairs = zip(session.targets, kept or (None,) * len(session.targets), strict=True)
        return replace(session, found=tuple(self._find(session, session.left, *pair) for pair in pairs))

    def read(self, session: Session) -> Iterator[str]:
        """Have the model read all photos, as finding would on its own; says before each which one it is."""
        waiting = [photo for photo in session.photos if self._model(session) not in photo.readings]
        for number, photo in enumerate(waiting, start=1):
            yield f"Reading photo {number} of {len(waiting)}..."
            self._source(session, photo)

    def learn(self, session: Session) -> Iterator[Progress]:
        """Learn the points that are still to be found, one after the other, and find them.

        Raises:
            InvalidInput: if a photo is missing, or the model cannot learn.
        """
        left = check_photos(session)
        settings = settings_for(self.models.backbone(self._model(session)).card, **self.learning)
        total = (settings.steps + len(session.targets)) * (len(session.points) - session.known)
        done = 0
        for number, point in list(enumerate(session.points, start=1))[session.known :]:
            for taken in self._learn(session, left, point, settings):
                yield Progress(f"Learning point {number}: step {taken} of {settings.steps}", done / total, session)
                done += 1
            found = []
            for target in session.targets:
                yield Progress(f"Looking for point {number} in {target.name}", done / total, session)
                found.append(self._locate(session, point, left, target))
                done += 1
            earlier = session.found or (None,) * len(found)
            joined = (own.after(one) for one, own in zip(earlier, found, strict=True))
            session = replace(session, found=tuple(joined))
            yield Progress(f"Found point {number}", done / total, session)

    def _learn(
        self, session: Session, left: Photo, point: tuple[float, float], settings: PromptSettings
    ) -> Iterator[int]:
        """The numbers of the steps as they are taken; none for a point that was learnt before."""
        key = (self._model(session), *point)
        if key in left.prompts:
            return
        backbone = self.models.backbone(self._model(session))
        for step in self.models.in_turns(steps(backbone, left.picture, [np.array(point) * left.scale], settings)):
            if step.finished is not None:
                left.prompts[key] = step.finished
            yield step.number

    def _locate(self, session: Session, point: tuple[float, float], left: Photo, target: Photo) -> Found:
        model = self._model(session)
        with self.models.lock:
            located = locate(self.models.backbone(model), left.prompts[model, *point], target.picture)
        return Found(_as_sent(located.matches, left, target), located.maps[0])

    def _find(self, session: Session, left: Photo, target: Photo, kept: Found | None) -> Found:
        """All points in a target; those that are kept are not looked for again."""
        matcher = self.models.matcher(self._model(session), REFINE[session.method])
        cells = self._source(session, target).cells
        source = self._source(session, left)
        points = source.reading.fit.check_points(np.array(session.points) * left.scale)
        new = points[len(kept.matches) if kept else 0 :]
        if kept is None or len(new):
            matches, _ = matcher.find(replace(source, points=new), cells)
            kept = Found(_as_sent(matches, left, target)).after(kept)
        alike = None
        if session.alike:
            width, height = panel_size(target.picture)
            alike = matcher.scores(source, cells.reading, points[-1:], (-(-height // HEAT), -(-width // HEAT)))[0]
        return replace(kept, alike=alike)

    def _source(self, session: Session, photo: Photo) -> Source:
        """What the model saw in a photo; read now, if it was not yet."""
        name = self._model(session)
        if name not in photo.readings:
            with self.models.lock:
                photo.readings[name] = self.models.matcher(name).source(photo.picture)
        return photo.readings[name]

    def _model(self, session: Session) -> str:
        return session.model or self.models.names[0]

    def _photo(self, picture: Picture, name: str) -> Photo:
        shown = Image.fromarray(picture.array()).resize(panel_size(picture), Image.Resampling.LANCZOS)
        file = self.folder.resolve() / f"{secrets.token_hex(16)}.jpg"
        save_bytes(encode(shown, "jpeg"), file)
        small = replace(load_picture(reduced(picture)), path=Path(name))
        photo = Photo(small, picture.size, file)
        weakref.finalize(photo, partial(file.unlink, missing_ok=True))
        return photo


def _as_sent(matches: Matches, left: Photo, target: Photo) -> Matches:
    """From pixels of what was read to pixels of the photos as they were sent."""
    return replace(matches, query=matches.query / left.scale, matched=matches.matched / target.scale)
