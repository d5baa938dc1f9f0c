"""What the buttons of the tab Track do: a clip, marks in its first frame, the same things found in all others.

A visitor's state is one frozen ``Session``; every button makes a new one of it. Nothing here knows of the web.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image

from ..draw import draw_overlay, draw_spots, palette, panel_size
from ..errors import InvalidInput
from ..grid import Points
from ..video import labels
from ..video.labels import UNSEEN, Mask, Target
from ..video.masks import davis_palette
from .clips import Clip, example_clip, open_clip, open_mask, open_photos
from .following import Result, follow
from .limits import MAX_FRAMES, MAX_MARKS, MAX_OBJECTS, MAX_STROKE
from .models import Models
from .shelf import sweep

Tool = Literal["Box", "Brush", "Eraser", "Points"]
TOOLS: tuple[Tool, ...] = ("Box", "Brush", "Eraser", "Points")

SPOT = 26
"""Side of a dot, pixels."""


@dataclass(frozen=True)
class Mark:
    """Something that was drawn into the first frame.

    Attributes:
        tool: with what.
        path: (N, 2) pixels of the frame; a box goes from the first to the last, a point is where the path ends.
        label: the object; 0 for the eraser.
        width: of the brush, pixels of the frame.
    """

    tool: Tool
    path: Points
    label: int
    width: float


@dataclass(frozen=True)
class Session:
    """What one visitor has before them.

    Attributes:
        clip: to follow things through.
        mask: labels of the first frame that were sent; marks come on top.
        marks: in their order.
        tool: in hand.
        label: of the object that the brush paints.
        brush: width of the brush, in hundredths of the shorter side of the frame.
        job: the name of the work that is being done; none if empty.
        result: of the marks as they are.
        note: what became of the last work.
    """

    clip: Clip | None = None
    mask: Mask | None = None
    marks: tuple[Mark, ...] = ()
    tool: Tool = "Box"
    label: int = 1
    brush: int = 8
    job: str = ""
    result: Result | None = None
    note: str = ""


class Desk:
    """What the buttons do with a model.

    Args:
        models: shared by all visitors.
        shelf: gets a folder for each clip.
    """

    def __init__(self, models: Models, shelf: Path) -> None:
        self.models = models
        self.shelf = shelf
        self._stops: dict[str, Event] = {}

    def choose_clip(self, session: Session, path: str) -> Session:
        """Take a video file; the clip before is gone."""
        self._check_idle(session)
        sweep(self.shelf)
        return self._begin(session, open_clip(Path(path), self.shelf))

    def choose_photos(self, session: Session, paths: Sequence[str]) -> Session:
        """Take photos as the frames of a clip; the clip before is gone."""
        self._check_idle(session)
        sweep(self.shelf)
        return self._begin(session, open_photos([Path(path) for path in paths], self.shelf))

    def example(self, session: Session) -> Session:
        """Take the built-in clip with its first mask, ready to be followed."""
        self._check_idle(session)
        sweep(self.shelf)
        clip, mask = example_clip(self.shelf)
        return self.start(replace(self._begin(session, clip), mask=mask))

    def choose_tool(self, session: Session, tool: Tool, label: int, brush: int) -> Session:
        """Take another tool in hand."""
        if not (tool in TOOLS and 1 <= label <= MAX_OBJECTS and 1 <= brush <= 100):
            raise InvalidInput(f"there is no {tool} for object {label} of {brush} %; choose one of those shown")
        return replace(session, tool=tool, label=label, brush=brush)

    def choose_mask(self, session: Session, path: str) -> Session:
        """Take the labels of a PNG; marks are gone."""
        clip = self._check_marking(session)
        mask = open_mask(Path(path))
        labels.objects(mask, clip.first.size)
        return self._changed(replace(session, mask=mask, marks=()))

    def mark(self, session: Session, path: npt.ArrayLike) -> Session:
        """Draw into the first frame with the tool in hand.

        Args:
            session: with a clip.
            path: (N, 2) x and y from 0 to 1 across the frame.

        Raises:
            InvalidInput: if points and objects come together, for too many marks, a path that is too long or nowhere,
                or a box without a pixel.
        """
        clip = self._check_marking(session)
        if len(session.marks) == MAX_MARKS:
            raise InvalidInput(f"there are {MAX_MARKS} marks, as many as fit; undo or clear some")
        if session.tool == "Points" and (session.mask is not None or session.marks) and not has_points(session):
            raise InvalidInput("there are objects already, and points are followed without them; clear the marks first")
        if session.tool != "Points" and has_points(session):
            raise InvalidInput("there are points already, and objects are followed without them; clear the marks first")
        height, width = clip.first.size
        shares = np.asarray(path, np.float64).reshape(-1, 2)
        if not (1 <= len(shares) <= MAX_STROKE and np.isfinite(shares).all()):
            raise InvalidInput(f"a mark goes through 1 to {MAX_STROKE} places, not {len(shares)}; draw it in parts")
        places = np.clip(shares, 0, 1) * (width, height)
        label = _label(session)
        if label > labels.MOST:
            raise InvalidInput(f"there are {labels.MOST} objects, as many as fit; undo or clear some")
        made = Mark(session.tool, places, label, session.brush / 100 * min(height, width))
        if made.tool == "Box":
            labels.box_pixels(_corners(made), clip.first.size)
        return self._changed(replace(session, marks=(*session.marks, made)))

    def undo(self, session: Session) -> Session:
        """Take the last mark back; the mask that was sent, if there are none."""
        self._check_marking(session)
        return self._changed(replace(session, marks=session.marks[:-1], mask=session.mask if session.marks else None))

    def clear(self, session: Session) -> Session:
        """Take all marks back; the clip stays."""
        self._check_marking(session)
        return self._changed(replace(session, marks=(), mask=None))

    def start(self, session: Session) -> Session:
        """Get ready to follow what is marked; ``follow`` does it.

        Raises:
            InvalidInput: if nothing is marked.
        """
        clip = self._check_marking(session)
        _target(session, clip)
        job = secrets.token_hex(8)
        self._stops[job] = Event()
        return replace(self._changed(session), job=job)

    def cancel(self, session: Session) -> None:
        """Have the work stop after the frame that it is at."""
        if session.job in self._stops:
            self._stops[session.job].set()

    def follow(self, session: Session) -> Iterator[int | Session]:
        """Do the work that was begun.

        Yields:
            The number of frames that are finished, one after the other, and at last the next session.
        """
        if session.clip is None or session.job not in self._stops:
            return
        stop, done = self._stops[session.job], 0
        boxed = session.mask is None and all(mark.tool == "Box" for mark in session.marks)
        work = follow(self.models, session.clip, _target(session, session.clip), boxed)
        try:
            while not stop.is_set():
                item = next(work)
                if isinstance(item, Result):
                    yield replace(session, job="", result=item)
                    return
                done = item
                yield done
            yield replace(session, job="", note=f"Stopped after {done} of {session.clip.count} frames.")
        finally:
            work.close()
            self._stops.pop(session.job, None)

    def is_busy(self, session: Session) -> bool:
        """Whether the visitor's work is being done, or waits for its turn."""
        return session.job in self._stops

    def forget(self, session: Session) -> None:
        """Delete what a visitor left, and stop their work."""
        self.cancel(session)
        if session.clip is not None:
            shutil.rmtree(session.clip.folder, ignore_errors=True)

    def _begin(self, session: Session, clip: Clip) -> Session:
        self.forget(session)
        return Session(clip, tool=session.tool, label=session.label, brush=session.brush)

    def _changed(self, session: Session) -> Session:
        """Without the result of marks that it had before."""
        if session.result is not None:
            shutil.rmtree(session.result.overlay.parent, ignore_errors=True)
        return replace(session, job="", result=None, note="")

    def _check_idle(self, session: Session) -> None:
        if self.is_busy(session):
            raise InvalidInput("the clip is being followed; wait until that is done, or cancel it")

    def _check_marking(self, session: Session) -> Clip:
        self._check_idle(session)
        if session.clip is None:
            raise InvalidInput("there is no clip yet; choose one, or try the example")
        return session.clip


def has_points(session: Session) -> bool:
    """Whether points are marked, not objects."""
    return any(mark.tool == "Points" for mark in session.marks)


def _label(session: Session) -> int:
    """A box is an object of its own; the brush paints the one that was chosen."""
    if session.tool == "Box":
        used = [mark.label for mark in session.marks]
        return 1 + max([*used, 0 if session.mask is None else int(session.mask[session.mask != UNSEEN].max())])
    return session.label if session.tool == "Brush" else 0


def _corners(mark: Mark) -> npt.NDArray[np.float64]:
    ends = mark.path[[0, -1]]
    return np.concatenate([ends.min(axis=0), ends.max(axis=0)])


def _painted(session: Session, clip: Clip) -> Mask:
    """The mask that was sent, with the marks on top of it."""
    size = clip.first.size
    mask = np.zeros(size, np.uint8) if session.mask is None else session.mask.copy()
    for mark in session.marks:
        box = mark.tool == "Box"
        pixels = labels.box_pixels(_corners(mark), size) if box else labels.brush_pixels(mark.path, mark.width, size)
        mask[pixels] = mark.label
    return mask


def _target(session: Session, clip: Clip) -> Target:
    if session.mask is None and not session.marks:
        raise InvalidInput("nothing is marked yet; mark what to follow in the first frame")
    if has_points(session):
        return labels.points([mark.path[-1] for mark in session.marks])
    return labels.objects(_painted(session, clip), clip.first.size)


def draw(session: Session) -> Image.Image | None:
    """The first frame with its marks."""
    if session.clip is None:
        return None
    picture = session.clip.first
    points = np.array([mark.path[-1] for mark in session.marks if mark.tool == "Points"]).reshape(-1, 2)
    mask = None if len(points) else _painted(session, session.clip)
    sheet = draw_overlay(picture, labels=mask, colours=davis_palette())
    sheet = sheet.resize(panel_size(picture), Image.Resampling.LANCZOS)
    draw_spots(sheet, points * (np.array(sheet.size) / picture.size[::-1]), palette(len(points)), side=SPOT)
    return sheet


def status(session: Session) -> str:
    """What there is to see, or to do next, in one line."""
    if session.clip is None:
        return f"Choose a clip of at most {MAX_FRAMES} frames, or several photos as its frames, or try the example."
    if session.result is not None:
        found = f"Followed through {session.clip.count} frames; play it, or keep the files below."
        return " ".join([found, *(f"Note: {remark}." for remark in session.result.remarks)])
    if session.note:
        return f"{session.note} Change the marks, or follow again."
    if session.mask is None and not session.marks:
        return f"{session.clip.name}, {session.clip.count} frames: mark what to follow in the first one."
    count = "1 mark" if len(session.marks) == 1 else f"{len(session.marks)} marks"
    sent = "" if session.mask is None else " on top of the mask"
    return f"{count}{sent}: mark more, or press Follow."
