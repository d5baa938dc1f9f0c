"""Whether a collection's files are whole, and how they become so again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InvalidInput, UnreadableFile
from . import shards
from .index import Index
from .manifest import Manifest
from .shards import Entry

MANIFEST, BASIS, INDEX, SHARDS, LOCK = "manifest.json", "basis.safetensors", "index.parquet", "shards", ".lock"


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Keep a collection from being written twice at a time.

    Raises:
        InvalidInput: if another run writes it.
    """
    from filelock import FileLock, Timeout

    try:
        with FileLock(folder / LOCK, timeout=0):
            yield
    except Timeout:
        raise InvalidInput(f"{folder} is being written by another run; wait until that has ended") from None


def verify(folder: Path) -> list[str]:
    """Compare every file with its digest and the index; returns a line for each thing that is wrong.

    Raises:
        UnreadableFile: if the folder is no collection.
    """
    manifest = Manifest.load(folder / MANIFEST)
    wrong = [f"{path.name}: left behind by a run that was stopped" for path in _parts(folder)]
    basis = folder / BASIS
    if not basis.exists() or shards.digest(basis.read_bytes()) != manifest.basis:
        wrong.append(f"{BASIS}: missing or damaged, without it vectors mean nothing; build the collection anew")
    try:
        index = Index.load(folder / INDEX)
    except UnreadableFile as error:
        return [*wrong, str(error)]
    for name, rows in index.shards():
        path = folder / SHARDS / name
        if not path.exists():
            wrong.append(f"{name}: missing, with {len(rows)} photos")
        elif not shards.is_whole(path):
            wrong.append(f"{name}: damaged or cut off, with {len(rows)} photos")
        elif shards.load(path).shape != (len(rows), manifest.grid[0] * manifest.grid[1], manifest.dims):
            wrong.append(f"{name}: does not hold the {len(rows)} photos that the index says")
    for path in _unlisted(folder, index):
        left = "its photos are not in the index yet" if shards.number(path.name) >= index.following else "replaced"
        wrong.append(f"{path.name}: left behind by a run that was stopped ({left})")
    return wrong


def repair(folder: Path) -> list[str]:
    """Make a collection whole: what can be saved is, and what a stopped run left behind is taken in or removed.

    Returns:
        A line for each thing that was done; photos that are lost are named.

    Raises:
        UnreadableFile: if the folder is no collection, or the axes of its vectors are lost.
        InvalidInput: if another run writes it.
    """
    manifest = Manifest.load(folder / MANIFEST)
    basis = folder / BASIS
    if not basis.exists() or shards.digest(basis.read_bytes()) != manifest.basis:
        raise UnreadableFile(f"{basis} is missing or damaged, without it vectors mean nothing; build it anew")
    with writing(folder):
        done = []
        try:
            index = Index.load(folder / INDEX)
        except UnreadableFile:
            index = Index()
            done.append(f"{INDEX}: made again from the shards")
        return done + _Repair(folder, index, thorough=True).run()


def settle(folder: Path, index: Index) -> Index:
    """Take in what a stopped run had finished, and remove what it left behind; the caller writes the collection."""
    work = _Repair(folder, index, thorough=False)
    work.run()
    return work.index


@dataclass
class _Repair:
    """One repair; ``thorough`` compares listed shards with their digests too."""

    folder: Path
    index: Index
    thorough: bool

    def run(self) -> list[str]:
        """Do it; returns a line for each thing that was done."""
        done = [f"{path.name}: removed" for path in _parts(self.folder)]
        for path in _parts(self.folder):
            path.unlink()
        found = [path for path in (self.folder / SHARDS).glob("*") if shards.is_shard(path)]
        self.following = max([self.index.following, *(shards.number(path.name) + 1 for path in found)])
        orphans = _unlisted(self.folder, self.index)
        self.entries: list[Entry] = []
        self.dropped: list[Path] = []
        for name, rows in self.index.shards():
            path = self.folder / SHARDS / name
            if not self.thorough or (path.exists() and shards.is_whole(path)):
                self.entries += rows
            else:
                done.append(self._rescue(path, rows))
        for path in reversed(orphans):  # the newest first: of two states of a photo it is the one that counts
            done.append(self._adopt(path))
        if done:
            self.index = Index(self.entries, self.following)
            self.index.save(self.folder / INDEX)
            for path in self.dropped:
                path.unlink(missing_ok=True)
        return done

    def _rescue(self, path: Path, rows: list[Entry]) -> str:
        """Save what a damaged shard still has."""
        saved = self._copy(path, {row.digest: row for row in rows})
        lost = [row.name for row in rows if row.digest not in saved]
        self.dropped.append(path)
        if not lost:
            return f"{path.name}: damaged, all {len(rows)} photos saved"
        named = ", ".join(lost[:20]) + (f" and {len(lost) - 20} more" if len(lost) > 20 else "")
        return f"{path.name}: damaged, {len(saved)} of {len(rows)} photos saved; add these again: {named}"

    def _adopt(self, path: Path) -> str:
        """Take in a shard that the index did not come to list, or remove what the index had replaced."""
        known = Index(self.entries)
        rows = [] if shards.number(path.name) < self.index.following else shards.rescue(path)[0]
        new = {row.digest: row for row in rows if row.digest not in known.digests and row.name not in known.names}
        if len(new) == len(rows) > 0 and shards.is_whole(path):
            self.entries += rows
            return f"{path.name}: {len(rows)} photos taken into the index"
        saved = self._copy(path, new) if new else set()
        self.dropped.append(path)
        return f"{path.name}: {len(saved)} photos taken into the index" if saved else f"{path.name}: removed"

    def _copy(self, path: Path, wanted: dict[str, Entry]) -> set[str]:
        """Write the wanted photos of a shard, as far as they are whole, as a new one; returns their digests."""
        rows, vectors = shards.rescue(path) if path.exists() else ([], None)
        kept = [i for i, row in enumerate(rows) if row.digest in wanted]
        if not kept or vectors is None:
            return set()
        entries = [replace(wanted[rows[i].digest], shard="") for i in kept]
        self.entries += shards.write(self.folder / SHARDS, self.following, entries, vectors[kept])
        self.following += 1
        return {entry.digest for entry in entries}


def _parts(folder: Path) -> list[Path]:
    """Temporary files of writes that never ended."""
    return sorted(path for place in (folder, folder / SHARDS) for path in place.glob(".*.part.*"))


def _unlisted(folder: Path, index: Index) -> list[Path]:
    """Shards that the index does not list, in the order of writing."""
    listed = {name for name, _ in index.shards()}
    return sorted(p for p in (folder / SHARDS).glob("*") if shards.is_shard(p) and p.name not in listed)
