"""Folders of visitors: of names that nobody can guess, gone when the visitor is."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .limits import KEPT


@contextmanager
def new_folder(shelf: Path) -> Iterator[Path]:
    """Give a new folder of a name that nobody can guess; it goes again if the block fails, or is left midway."""
    folder = shelf / secrets.token_hex(16)
    folder.mkdir(parents=True)
    try:
        yield folder
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def sweep(shelf: Path) -> None:
    """Delete the folders of visitors who have not been heard of for long."""
    oldest = time.time() - 2 * KEPT
    for folder in shelf.glob("*"):
        if folder.stat().st_mtime < oldest:
            shutil.rmtree(folder, ignore_errors=True)
