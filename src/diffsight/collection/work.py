"""What a worker does for a collection: one photo after the other is read, projected and packed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from ..engine import run
from ..errors import InvalidInput, UnreadableFile
from ..files import file_digest
from ..images import load_picture
from ..readers import Reader
from .basis import Basis, compact
from .manifest import Manifest
from .shards import Entry


@dataclass(frozen=True)
class Photo:
    """A photo to be added.

    Attributes:
        name: that it will have.
        path: of the file.
        rival: where the photo was found that has the name, if there is one; then this one can only be known already.
    """

    name: str
    path: Path
    rival: str = ""

    @property
    def clash(self) -> str:
        """That the name belongs to another photo."""
        return (
            f"{self.path}: the collection has another photo named {self.name!r} (of {self.rival}); rename this one, or "
            "delete that one first"
        )


@dataclass(frozen=True, eq=False)
class Described:
    """A photo that was read.

    Attributes:
        entry: which one.
        vectors: (cells, D) as stored; without axes the (C, h, w) map of ``compact``.
    """

    entry: Entry
    vectors: Tensor


@dataclass(frozen=True)
class Left:
    """A photo that was not read: why, or nothing if its content is known."""

    why: str = ""


Outcome = Described | Left


@dataclass(frozen=True, eq=False)
class Describer:
    """Reads photos whose content is not known.

    Attributes:
        reader: of photos.
        form: the collection's facts and axes; None where the axes are still to be found.
        known: digests of photos that are not to be read.
    """

    reader: Reader
    form: tuple[Manifest, Basis] | None
    known: AbstractSet[str]

    def __call__(self, photo: Photo) -> Outcome:
        """Describe one photo, alone, so that its vectors do not hang on which others are added with it."""
        digest = file_digest(photo.path)
        if digest in self.known:
            return Left()
        if photo.rival:
            return Left(photo.clash)
        try:
            picture = load_picture(photo.path)
        except UnreadableFile as error:
            return Left(str(error))
        reading = self.reader.read([picture])[0]
        entry, features = Entry(photo.name, str(photo.path.resolve()), digest, reading.fit), compact(reading)
        if self.form is None:
            return Described(entry, features)
        manifest, basis = self.form
        return Described(entry, manifest.pack(basis.project(features, reading.fit)))


@dataclass(frozen=True, eq=False)
class Recipe:
    """Makes a describer, on whatever machine.

    Attributes:
        open_reader: opens the reader.
        fingerprint: that it must have.
        form, known: as the describer has them.
    """

    open_reader: Callable[[], Reader]
    fingerprint: str
    form: tuple[Manifest, Basis] | None
    known: AbstractSet[str]

    def __call__(self) -> Describer:
        """Open the reader.

        Raises:
            InvalidInput: if it is another one here than where the run was started.
        """
        reader = self.open_reader()
        if reader.fingerprint != self.fingerprint:
            raise InvalidInput(
                f"a worker has other weights of {reader.name} than the command (fingerprint {reader.fingerprint[:8]}, "
                f"not {self.fingerprint[:8]}); use the same on all machines"
            )
        return Describer(reader, self.form, self.known)


@dataclass(frozen=True)
class Spread:
    """Who reads photos.

    Attributes:
        engine, workers, gpus: as ``engine.run`` takes them.
        open_reader: opens the same reader on another machine, and can be pickled; only the engine ``ray`` needs it.
    """

    engine: str = "local"
    workers: int | None = None
    gpus: float = 0
    open_reader: Callable[[], Reader] | None = None

    def describe(
        self, reader: Reader, photos: Sequence[Photo], known: set[str], form: tuple[Manifest, Basis] | None = None
    ) -> Iterator[tuple[Photo, Outcome]]:
        """Describe photos, in order.

        Args:
            reader: of this process.
            photos: to be added.
            known: digests of photos that are not to be read; a worker of this process sees it grow.
            form: the collection's facts and axes, once there are any.

        Raises:
            InvalidInput: for an engine that cannot be used, or without ``open_reader`` if it is needed.
        """
        here = Describer(reader, form, known)
        if self.engine == "local":
            return run(lambda: here, photos, engine=self.engine, workers=self.workers)
        if self.open_reader is None:
            raise InvalidInput(f"the engine {self.engine} opens readers elsewhere; give open_reader, too")
        recipe = Recipe(self.open_reader, reader.fingerprint, form, frozenset(known))
        return run(recipe, photos, engine=self.engine, workers=self.workers, gpus=self.gpus)


@dataclass
class Added:
    """What became of photos: how many were added or known already, and a line for each that was skipped."""

    added: int = 0
    known: int = 0
    skipped: list[str] = field(default_factory=list)

    def __add__(self, other: Added) -> Added:
        return Added(self.added + other.added, self.known + other.known, self.skipped + other.skipped)
