"""Digests of files: computed once, remembered, and compared with what they must be."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ...errors import ModelUnavailable, OutputFailed
from ...files import atomic
from .files import is_whole
from .places import Place, cache_folder
from .receipts import Receipt

Verdict = Literal["intact", "damaged", "unknown"]

Remembered = dict[str, tuple[int, int, str]]
"""Size, time of change (ns) and sha256, by path."""


@dataclass(frozen=True)
class Held:
    """A file on this disk and the digest that it must have.

    Attributes:
        path: of the file.
        digest: sha256 (64 digits, or its first few) or git's sha1 (40 digits), hexadecimal; None if nobody has said.
    """

    path: Path
    digest: str | None = None

    @classmethod
    def of(cls, folder: Path, name: str, place: Place) -> Held:
        """A file of a place.

        Where the table has no digest, the one serves that the hub's cache names the file by, or that of the receipt of
        a file from a plain address.
        """
        path = folder / name
        blob = path.readlink().name if path.is_symlink() else ""
        stated = blob if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", blob) else None
        return cls(path, place.sha256(name) or stated or Receipt.of(path).sha256)

    def actual(self, remembered: bool = True) -> str:
        """The digest that the file has, of the kind that it must have."""
        if self.digest is not None and len(self.digest) == 40:
            content = self.path.read_bytes()
            return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
        return _remembered(self.path) if remembered else _sha256(self.path)

    def is_intact(self, remembered: bool = True) -> bool:
        """Whether the file has the digest that it must have; True if none is known."""
        return self.digest is None or self.actual(remembered).startswith(self.digest)

    def examine(self) -> tuple[Verdict, str]:
        """Read the file once; say how it is, unknown where no digest is stated, and the digest that it has."""
        actual = self.actual(remembered=False)
        if self.digest is None:
            return "unknown" if is_whole(self.path) else "damaged", actual
        return "intact" if actual.startswith(self.digest) else "damaged", actual


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


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remembered(path: Path) -> str:
    """The sha256 of a file, from memory if its size and time of change are those remembered."""
    memory = _memory()
    real = path.resolve()
    state = real.stat()
    known = memory.get(str(real))
    if known is not None and known[:2] == (state.st_size, state.st_mtime_ns):
        return known[2]
    digest = _sha256(real)
    memory[str(real)] = (state.st_size, state.st_mtime_ns, digest)
    with suppress(OutputFailed), atomic(_memory_path()) as part:  # a cache that may not be written costs time only
        part.write_text(json.dumps(memory, indent=1) + "\n")
    return digest


def _memory_path() -> Path:
    return cache_folder() / "digests.json"


def _memory() -> Remembered:
    """What was remembered; whatever is not as it was written is forgotten."""
    try:
        entries = json.loads(_memory_path().read_text()).items()
        return {path: (int(size), int(time), str(digest)) for path, (size, time, digest) in entries}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
