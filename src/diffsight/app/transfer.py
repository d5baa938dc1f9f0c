"""What the buttons of the tab Transfer do: named points of one photo, carried to many, corrected, exported.

A visitor's state is one frozen ``Session``; every button makes a new one of it. Carrying goes on beside the buttons: it
works on the session as it was when it began, and ``take`` brings what it found into the session as it is then.
"""

from __future__ import annotations

import filecmp
import os
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import InvalidInput
from ..files import save_bytes
from ..grid import Size
from ..images import load_picture
from ..matching.confidence import Calibrations
from ..matching.refine import refinement
from ..transfer.annotations import ABSENT, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from ..transfer.carry import CarrySettings
from ..transfer.work import Job, Labelled, Transfer
from ..types import Picture
from ..world import RESERVED, Scene, make_scene
from .limits import MAX_PHOTOS
from .models import Models
from .pictures import encode, reduced
from .shelf import new_folder, sweep
from .uploads import measure_upload, open_upload, plain_name

EXAMPLE = tuple(RESERVED + 777_100 + number for number in (1, 0, 2, 3, 4, 5, 6))
"""Seeds of the built-in pictures, the marked one first."""

EXAMPLE_SIDE = 256

FACE = Category(
    "face",
    (
        "left eye",
        "right eye",
        "nose tip",
        "left mouth corner",
        "right mouth corner",
        "chin",
        "left ear",
        "right ear",
    ),
    ((0, 2), (1, 2), (3, 4)),
)
"""What is marked on the built-in pictures."""

THING = Category("thing")
"""What is marked before a visitor names it."""

Place = tuple[float, float]


@dataclass(frozen=True)
class Sent:
    """A photo that was sent.

    Attributes:
        name: a plain one, unique among a visitor's photos.
        path: where it is kept.
        size: (height, width), upright.
    """

    name: str
    path: Path
    size: Size

    @property
    def shown(self) -> Path:
        """Where it is kept at the size it has on the page."""
        return self.path.with_suffix(".jpg")


@dataclass(frozen=True)
class Outcome:
    """How far carrying has come.

    Attributes:
        done, total: photos.
        answers: what each photo got, by where it is kept.
        run: which run this is of, see ``Session``.
    """

    done: int = 0
    total: int = 0
    answers: Mapping[Path, Labelled] = field(default_factory=dict)
    run: str = ""


@dataclass(frozen=True)
class Session:
    """What one visitor has before them.

    Attributes:
        folder: of their photos; of a name that nobody can guess.
        category: what is marked, and the names of its points.
        reference: the photo that is marked.
        marks: its first points, in pixels of it; None for one that does not show.
        photos: to be labelled.
        left_out: why other photos are not among them.
        found: what carrying gave, by where a photo is kept.
        corrected: photos with points that were set right by hand, likewise.
        order: of looking the photos over: the least certain first.
        at: which of them is looked at.
        model: that carries.
        run: a token of the carrying that is under way; empty if none is.
    """

    folder: Path | None = None
    category: Category = THING
    reference: Sent | None = None
    marks: tuple[Place | None, ...] = ()
    photos: tuple[Sent, ...] = ()
    left_out: tuple[str, ...] = ()
    found: Mapping[Path, Labelled] = field(default_factory=dict)
    corrected: Mapping[Path, AnnotatedPhoto] = field(default_factory=dict)
    order: tuple[Sent, ...] = ()
    at: int = 0
    model: str | None = None
    run: str = ""

    @property
    def carrying(self) -> bool:
        """Whether that is under way."""
        return bool(self.run)

    @property
    def annotated(self) -> AnnotatedPhoto | None:
        """The photo that is marked, with its points."""
        if self.reference is None:
            return None
        missing = len(self.category.keypoints) - len(self.marks)
        points = np.array([mark or (np.nan, np.nan) for mark in (*self.marks, *[None] * missing)]).reshape(-1, 2)
        visibility = np.where(np.isnan(points[:, 0]), ABSENT, VISIBLE).astype(np.int8)
        own = self.reference
        return AnnotatedPhoto(own.name, own.path, own.size, (Instance(self.category.name, points, visibility),))

    @property
    def viewed(self) -> Sent | None:
        """The photo that is looked at."""
        return self.order[self.at] if self.order else None

    @property
    def references(self) -> tuple[AnnotatedPhoto, ...]:
        """What is marked by hand: the first photo, and those that were corrected."""
        marked = [self.annotated] if self.annotated and any(self.marks) else []
        return (*marked, *(self.corrected[sent.path] for sent in self.photos if sent.path in self.corrected))

    @property
    def todo(self) -> tuple[Sent, ...]:
        """The photos that nobody has marked by hand."""
        own = None if self.reference is None else self.reference.path
        return tuple(
            sent
            for sent in self.photos
            if sent.path not in self.corrected and not (own and filecmp.cmp(own, sent.path, shallow=False))
        )

    def marked(self, sent: Sent) -> AnnotatedPhoto | None:
        """A photo as it was corrected, or else as it was found."""
        found = self.found.get(sent.path)
        return self.corrected.get(sent.path) or (found.photo if found else None)

    @property
    def names(self) -> set[str]:
        """Those of all photos."""
        return {sent.name for sent in (*self.photos, *([self.reference] if self.reference else []))}


class Desk:
    """What the buttons do with a model.

    Args:
        models: shared by all visitors.
        shelf: gets a folder for each visitor.
    """

    def __init__(self, models: Models, shelf: Path) -> None:
        self.models = models
        self.shelf = shelf

    def choose(self, session: Session, path: str) -> Session:
        """Take the photo that will be marked; earlier marks are gone."""
        picture = open_upload(Path(path))
        session, folder = self._awake(session)
        if session.reference is not None:
            discard(session.reference)
        session = replace(session, reference=None, marks=())
        reference = _keep(Path(path), folder, picture.size, session.names)
        show(picture, reference)
        return replace(session, reference=reference)

    def send(self, session: Session, paths: Sequence[str]) -> Session:
        """Take more photos to label; those that are none are left out, and it is said why.

        Raises:
            InvalidInput: for more than fit.
        """
        session, folder = self._awake(session)
        if len(session.photos) + len(paths) > MAX_PHOTOS:
            many = f"{len(session.photos) + len(paths)} photos"
            raise InvalidInput(f"{many} are more than fit, {MAX_PHOTOS}; send fewer, or remove those that are there")
        for path in map(Path, paths):
            try:
                sent = _keep(path, folder, measure_upload(path), session.names)
                session = replace(session, photos=(*session.photos, sent))
            except InvalidInput as error:
                session = replace(session, left_out=(*session.left_out, str(error)))
        return session

    def example(self, session: Session, model: str | None = None) -> Session:
        """Take the built-in pictures, the first one marked, ready to be carried."""
        forget(session)
        session, folder = self._awake(Session(model=model))
        first, *others = (make_scene(seed, EXAMPLE_SIDE, kinds=(FACE.name,)) for seed in EXAMPLE)
        reference = _paint(first, folder, "face-1.png")
        thing = first.objects[0]
        marks = tuple((float(x), float(y)) for x, y in thing.keypoints[[thing.names.index(k) for k in FACE.keypoints]])
        photos = tuple(_paint(own, folder, f"face-{number}.png") for number, own in enumerate(others, start=2))
        return self.start(replace(session, category=FACE, reference=reference, marks=marks, photos=photos), model)

    def start(self, session: Session, model: str | None = None) -> Session:
        """Begin to carry.

        Raises:
            InvalidInput: if nothing is marked, or there is no photo to carry to.
        """
        if not session.references:
            raise InvalidInput("no point is marked yet; choose a photo and click its points, or try the example")
        if not session.photos:
            raise InvalidInput("there is no photo to label yet; add some in step 2")
        return replace(session, model=model, run=secrets.token_hex(8))

    def carry(self, session: Session) -> Iterator[Outcome]:
        """Carry to every photo that nobody marked by hand; gives how far it has come after every photo.

        The network is free for others between two photos. A photo whose marks would come out as they are is left.
        """
        first, *others = session.references
        todo = session.todo
        outcome = Outcome(0, len(todo), run=session.run)
        yield outcome
        with self.models.lock:
            reader = self.models.matcher(session.model).reader
            settings = CarrySettings(refinement("best", reader.refine))
            calibrations = Calibrations.shipped(reader.name, reader.record)
            transfer = Transfer(reader, Annotations((session.category,), (first,)), settings, calibrations)
        for photo in others:
            yield outcome
            with self.models.lock:
                transfer.learn(photo)
        for done, sent in enumerate(todo, start=1):
            yield outcome
            before = session.found.get(sent.path, Labelled()).after
            with self.models.lock:
                answer = transfer(Job(sent.name, sent.path, before))
            if answer.photo is not None and not sent.shown.exists():
                show(load_picture(sent.path), sent)
            outcome = replace(outcome, done=done, answers={**outcome.answers, sent.path: answer})
        yield outcome

    def _awake(self, session: Session) -> tuple[Session, Path]:
        """The session with its folder; a new one if there is none, and those of visitors who are long gone go."""
        if session.folder is not None and session.folder.exists():
            return session, session.folder
        sweep(self.shelf)
        with new_folder(self.shelf) as folder:
            return Session(folder, session.category), folder


def _keep(path: Path, folder: Path, size: Size, taken: Collection[str]) -> Sent:
    """Copy a photo that was sent into a visitor's folder."""
    sent = Sent(plain_name(path.name, taken), folder / secrets.token_hex(8), size)
    shutil.copyfile(path, sent.path)
    return sent


def _paint(scene: Scene, folder: Path, name: str) -> Sent:
    """Put a picture that is built in into a visitor's folder."""
    sent = Sent(name, folder / secrets.token_hex(8), (EXAMPLE_SIDE, EXAMPLE_SIDE))
    save_bytes(encode(Image.fromarray(scene.image), "png"), sent.path)
    show(load_picture(scene.image), sent)
    return sent


def show(picture: Picture, sent: Sent) -> None:
    """Keep a photo at the size it has on the page."""
    save_bytes(encode(reduced(picture), "jpeg"), sent.shown)


def discard(sent: Sent) -> None:
    """Delete a photo."""
    for path in (sent.path, sent.shown):
        path.unlink(missing_ok=True)


def touch(session: Session) -> None:
    """Note that a visitor is still there."""
    if session.folder is not None and session.folder.exists():
        os.utime(session.folder)


def forget(session: Session) -> None:
    """Delete a visitor's photos."""
    if session.folder is not None:
        shutil.rmtree(session.folder, ignore_errors=True)
