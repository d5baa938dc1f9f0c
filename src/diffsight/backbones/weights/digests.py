"""Digests of files: computed once, remembered, and compared with what they must be."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...errors import ModelUnavailable, OutputFailed
from ...files import atomic
from .places import Place, cache_folder


@dataclass(frozen=True)
class Held:
    """A file on this disk and the digest that it must have.

    Attributes:
        path: of the file.
        digest: sha256 (64 digits) or git's sha1 (40 digits), hexadecimal; None if nobody has said.
    """

    path: Path
    digest: str | None = None

    @classmethod
    def of(cls, folder: Path, name: str, place: Place) -> Held:
        """A file of a place; the hub's cache names each file by its digest, which serves where the table has none."""
        path = folder / name
        blob = path.readlink().name if path.is_symlink() else ""
        stated = blob if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob) else None
        return cls(path, place.sha256(name) or stated)

    def actual(self, remembered: bool = True) -> str:
        """The digest that the file has, of the kind that it must have."""
        if self.digest is not None and len(self.digest) == 40:
            content = self.path.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return _remembered(self.path) if remembered else _sha256(self.path)

    def is_intact(self, remembered: bool = True) -> bool:
        """Whether the file has the digest that it must have; True if none is known."""
        return self.digest is None or self.actual(remembered) == self.digest

    def verdict(self) -> str:
        """Read the file and say: intact, damaged, or unknown where no digest is stated."""
        if self.digest is None:
            return "unknown" if _is_whole(self.path) else "damaged"
        return "intact" if self.is_intact(remembered=False) else "damaged"


def check(files: tuple[Held, ...]) -> None:
    """Refuse a file that is not what it must be; gigabytes are read once, then remembered.

    Raises:
        ModelUnavailable: names the file and both digests.
    """
    for file in files:
        if not file.is_intact():
            raise ModelUnavailable(
                f"{file.path} is damaged or was replaced: its digest is {file.actual()}, it must be {file.digest}; "
                "delete it, and it is fetched again when it is needed"
            )


def _is_whole(path: Path) -> bool:
    """Whether a safetensors file is as long as its header says; True for files of other kinds."""
    from safetensors import SafetensorError, safe_open

    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "np"):
                pass
    except SafetensorError:
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered(path: Path) -> str:
    """The sha256 of a file, from memory if its size and time of change are those remembered."""
    memory_path = cache_folder() / "digests.json"
    memory: dict[str, list[object]] = {}
    with suppress(OSError, ValueError):
        memory = json.loads(memory_path.read_text())
    real = path.resolve()
    state = real.stat()
    known = memory.get(str(real))
    if known is not None and known[:2] == [state.st_size, state.st_mtime_ns]:
        return str(known[2])
    digest = _sha256(real)
    memory[str(real)] = [state.st_size, state.st_mtime_ns, digest]
    with suppress(OutputFailed), atomic(memory_path) as part:  # a cache that may not be written costs time only
        part.write_text(json.dumps(memory, indent=1) + "\n")
    return digest
