"""Writing results: whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import OutputFailed

if TYPE_CHECKING:
    from torch import Tensor

CONVENTION = "x right, y down, pixels of the upright photo, centre of the first pixel at (0.5, 0.5)"
"""What files of results say of the places in them."""


def save_tensors(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write tensors as safetensors, whole or not at all.

    Raises:
        OutputFailed: if the file cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    with atomic(path) as part:
        try:
            save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, part, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error
        part.chmod(0o644)


def check_writable(folder: Path) -> None:
    """Say at once, before any work is done, that a folder cannot be written or made.

    Raises:
        OutputFailed: if so.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "may not be written" if there.is_dir() else "is a file"
        raise OutputFailed(f"cannot write to {folder}: {there} {reason}; choose another folder")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Give a temporary path beside ``path`` to write to, and rename it into place once the block has ended well.

    Raises:
        OutputFailed: if the folder cannot be written or the disk is full; the temporary file is removed.
    """
    part = path.with_name(f".{path.stem}.{secrets.token_hex(4)}.part{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:
        raise OutputFailed(
            f"cannot write {path}: {error.strerror or error}; choose another folder or free some space"
        ) from error
    finally:
        part.unlink(missing_ok=True) if part.parent.is_dir() else None


def save_json(facts: dict[str, Any] | list[Any], path: Path, *, indent: int | None = 2) -> None:
    """Write facts as JSON, whole or not at all, on one line without ``indent``; NaN is refused, as JSON has none."""
    with atomic(path) as part:
        part.write_text(json.dumps(facts, indent=indent, allow_nan=False) + "\n")


def file_digest(path: Path) -> str:
    """A digest of a file's bytes; empty if it cannot be read, as reading it as a photo will say what is wrong."""
    try:
        with path.open("rb") as handle:
            return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    except OSError:
        return ""


def save_bytes(content: bytes, path: Path) -> None:
    """Write a file's content, whole or not at all."""
    with atomic(path) as part:
        part.write_bytes(content)
