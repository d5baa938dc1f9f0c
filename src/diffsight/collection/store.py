"""A collection: the features of many photos in one folder, read once and never again.

manifest.json         what all photos share: model, settings, form of the vectors; written last of all by ``create``
basis.safetensors     the principal axes
index.parquet         the photos; replaced whole after every shard, so that it decides what counts
shards/NUMBER-DIGEST.safetensors     vectors, (photos, cells, components)
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor

from ..errors import InvalidInput, UnreadableFile
from ..files import check_writable, file_digest
from ..grid import Points
from ..matching import nearest
from ..readers import Reader
from ..types import Reading
from . import shards
from .basis import Basis, compact
from .index import Index
from .manifest import Manifest, Numbers
from .shards import Entry
from .upkeep import BASIS, INDEX, LOCK, MANIFEST, SHARDS, settle, writing
from .work import Added, Described, Left, Photo, Spread

DIMS = 30
"""Components a cell: with pocket at most 1/8 of its features in fp16, names and digests included."""

SAMPLE = 64
"""Photos that the axes are found from."""

FLUSH = 10.0
"""Seconds after which what was read is written; a run that is killed loses no more than that."""

SMALL = 32
"""Shards that are not full before they are joined."""

Photos = Iterable[tuple[str, Path]]
"""Names that are unique in a collection, and where the photos are."""


HERE = Spread()
"""Photos are read by this process."""


class Collection:
    """Features of photos on disk.

    Args:
        folder: that ``create`` made.

    Raises:
        UnreadableFile: if the folder is no collection, or a file of it is damaged.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.load(self.folder / MANIFEST)
        self.basis = Basis.load(self.folder / BASIS)
        self.index = Index.load(self.folder / INDEX)

    @classmethod
    def create(
        cls,
        folder: Path | str,
        reader: Reader,
        photos: Photos,
        *,
        dims: int = DIMS,
        numbers: Numbers = "int8",
        opened: dict[str, Any] | None = None,
        spread: Spread = HERE,
    ) -> tuple[Collection, Added]:
        """Find the axes from up to 64 photos, evenly chosen, and keep these photos first, then the others.

        Args:
            folder: a new or empty folder.
            reader: whose features are kept.
            photos: names and paths.
            dims: components a cell.
            numbers: how they are stored, ``int8`` or ``float16``.
            opened: how the reader was opened, kept for those who open it again.
            spread: who reads.

        Raises:
            InvalidInput: for a folder with other files, dimensions that the features do not have, unknown numbers.
            UnreadableFile: if none of the photos can be read.
            OutputFailed: if the folder cannot be written.
        """
        folder, photos = Path(folder), list(photos)
        channels = sum(reader.channels)
        if not 1 <= dims <= channels:
            raise InvalidInput(
                f"{dims} dimensions do not suit {reader.name}'s {channels} channels; use 1 to {channels}"
            )
        if numbers not in get_args(Numbers):
            raise InvalidInput(f"unknown numbers {numbers!r}; use {' or '.join(get_args(Numbers))}")
        check_writable(folder)
        _clear(folder)
        chosen = {i * len(photos) // SAMPLE for i in range(SAMPLE)} if len(photos) > SAMPLE else set(range(len(photos)))
        with writing(folder):
            report = Added()
            read = list(_described(reader, [photos[i] for i in sorted(chosen)], Index(), report, spread))
            if not read:
                raise UnreadableFile(f"no photo can be read; the first: {report.skipped[0]}" if photos else "no photos")
            basis = Basis.fit([one.vectors for one in read], dims)
            basis.save(folder / BASIS)
            height, width = read[0].vectors.shape[1:]
            digest = shards.digest((folder / BASIS).read_bytes())
            grid = (height, width)
            manifest = Manifest(reader.name, reader.fingerprint, channels, dims, numbers, grid, digest, opened or {})
            vectors = torch.stack([manifest.pack(basis.project(one.vectors, one.entry.fit)) for one in read])
            entries = shards.write(folder / SHARDS, 0, [one.entry for one in read], vectors)
            Index(entries, 1).save(folder / INDEX)
            manifest.save(folder / MANIFEST)
        kept, others = cls(folder), [photo for i, photo in enumerate(photos) if i not in chosen]
        return kept, (report + kept.append(reader, others, spread) if others else report)

    def __len__(self) -> int:
        return len(self.index.entries)

    @property
    def size(self) -> int:
        """Bytes on disk of all that it holds."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def append(self, reader: Reader, photos: Photos, spread: Spread = HERE) -> Added:
        """Add photos; those whose content is in already are not read again.

        Every few seconds what was read is written, also if the run ends early. Photos that cannot be read, and photos
        whose name belongs to another one, are skipped with a line each.

        Args:
            reader: that the collection was built with.
            photos: names and paths.
            spread: who reads; only this process writes.

        Raises:
            InvalidInput: for another reader than the collection was built with, or while another run writes it.
            OutputFailed: if the disk is full.
        """
        self.manifest.check(reader, self.folder)
        photos, report = list(photos), Added()
        with writing(self.folder):
            self.index = settle(self.folder, Index.load(self.folder / INDEX))
            self._follow(photos)
            described = _described(reader, photos, self.index, report, spread, (self.manifest, self.basis))
            pending: list[Described] = []
            room, since = self._room(), 0.0
            try:
                for one in described:
                    since = since if pending else time.monotonic()
                    pending.append(one)
                    if len(pending) == room or time.monotonic() - since > FLUSH:
                        self._flush(pending)
                        pending, room = [], self._room()
            finally:
                self._flush(pending)
            self._join(2)
        return report

    def delete(self, names: Iterable[str]) -> None:
        """Remove photos; their shards are written anew, so nothing of them stays.

        Raises:
            InvalidInput: for a name that the collection does not have, or while another run writes it.
        """
        with writing(self.folder):
            self.index = settle(self.folder, Index.load(self.folder / INDEX))
            known, gone = self.index.names, set()
            for name in names:
                if name not in known:
                    near = get_close_matches(name, known, 1)
                    hint = f"; did you mean {near[0]}?" if near else ""
                    raise InvalidInput(f"{self.folder} has no photo named {name!r}{hint}")
                gone.add(name)
            self._rewrite({known[name].shard for name in gone}, gone)

    def describe(self, reading: Reading, points: Points) -> Tensor:
        """The unit vectors of (N, 2) pixels of a photo, (N, D), as ``search`` takes them.

        Raises:
            InvalidInput: for a point outside the photo.
        """
        cells = reading.fit.to_grid(reading.fit.check_points(points), reading.grid())
        return nearest.unit(nearest.sample(self.basis.project(compact(reading), reading.fit), cells))

    def blocks(self) -> Iterator[tuple[list[Entry], Tensor]]:
        """Shard by shard the photos and their (N, cells, D) vectors, mapped from the file."""
        for name, rows in self.index.shards():
            yield rows, shards.load(self.folder / SHARDS / name)

    def _follow(self, photos: list[tuple[str, Path]]) -> None:
        """Note where known photos are now, if they are no longer where they were."""
        if all(Path(entry.path).exists() for entry in self.index.entries):
            return
        found = {file_digest(path): str(path.resolve()) for _, path in photos}
        entries = [
            e if e.digest not in found or Path(e.path).exists() else replace(e, path=found[e.digest])
            for e in self.index.entries
        ]
        self._commit(entries, self.index.following)

    def _flush(self, pending: list[Described]) -> None:
        """Write photos as a shard, and the index after it."""
        if not pending:
            return
        following = self.index.following
        vectors = torch.stack([one.vectors for one in pending])
        rows = shards.write(self.folder / SHARDS, following, [one.entry for one in pending], vectors)
        self._commit([*self.index.entries, *rows], following + 1)
        self._join(SMALL)

    def _small(self) -> dict[str, int]:
        """Shards that are not full, and how many photos each has."""
        sizes = {name: len(rows) for name, rows in self.index.shards()}
        return {name: size for name, size in sizes.items() if size < shards.PHOTOS}

    def _room(self) -> int:
        """Photos until a full shard can be made; so which photos share one does not hang on when they were written."""
        return max(1, shards.PHOTOS - sum(self._small().values()))

    def _join(self, least: int) -> None:
        """Join shards that are not full, if there are ``least`` or more, or enough for a full one."""
        small = self._small()
        if len(small) >= least or sum(small.values()) >= shards.PHOTOS:
            self._rewrite(set(small))

    def _rewrite(self, names: set[str], gone: set[str] | frozenset[str] = frozenset()) -> None:
        """Write shards anew, full ones as far as possible, without the photos that go."""
        entries = [entry for entry in self.index.entries if entry.shard not in names]
        following = self.index.following
        rows: list[Entry] = []
        vectors = torch.empty(0, dtype=self.manifest.dtype)
        old = [(name, own) for name, own in self.index.shards() if name in names]
        for number, (name, own) in enumerate(old, start=1):
            kept = [i for i, entry in enumerate(own) if entry.name not in gone]
            found = shards.load(self.folder / SHARDS / name)[kept]
            rows, vectors = rows + [own[i] for i in kept], torch.cat([vectors, found]) if rows else found
            while len(rows) >= shards.PHOTOS or (rows and number == len(old)):
                full, rows = rows[: shards.PHOTOS], rows[shards.PHOTOS :]
                entries += shards.write(self.folder / SHARDS, following, full, vectors[: shards.PHOTOS])
                vectors, following = vectors[shards.PHOTOS :], following + 1
        self._commit(entries, following)
        for name, _ in old:
            (self.folder / SHARDS / name).unlink()

    def _commit(self, entries: list[Entry], following: int) -> None:
        index = Index(entries, following)
        index.save(self.folder / INDEX)
        self.index = index


def _clear(folder: Path) -> None:
    """Make an empty folder; what an earlier ``create`` left behind when it was stopped goes."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / MANIFEST).exists():
        raise InvalidInput(f"{folder} is a collection already; add to it, or give another folder")
    own = {BASIS, INDEX, SHARDS, LOCK}
    others = [path.name for path in folder.iterdir() if path.name not in own and not path.name.startswith(".")]
    if others:
        raise InvalidInput(f"{folder} holds other files ({others[0]}); give a new or an empty folder")
    for path in (folder / SHARDS).glob("*"):
        path.unlink()


def _described(
    reader: Reader,
    photos: list[tuple[str, Path]],
    index: Index,
    report: Added,
    spread: Spread,
    form: tuple[Manifest, Basis] | None = None,
) -> Iterator[Described]:
    """Describe photos that the index does not have, each content once; the report hears of all."""
    from tqdm import tqdm

    digests, names = set(index.digests), {entry.name: entry.path for entry in index.entries}
    jobs = [Photo(name, Path(path), names.get(name, "")) for name, path in photos]
    outcomes = spread.describe(reader, jobs, digests, form)
    for photo, outcome in tqdm(outcomes, total=len(jobs), desc="collecting", unit="photo"):
        if isinstance(outcome, Left):
            report.known += not outcome.why
            report.skipped += [outcome.why] if outcome.why else []
        elif outcome.entry.digest in digests:
            report.known += 1
        elif photo.name in names:
            report.skipped.append(replace(photo, rival=names[photo.name]).clash)
        else:
            digests.add(outcome.entry.digest)
            names[photo.name] = str(photo.path)
            report.added += 1
            yield outcome
