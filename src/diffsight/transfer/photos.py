"""What the readers of annotation files share: the file's text, its photos, and what is wrong with it in one line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import DiffsightError, InvalidInput, UnreadableFile
from ..grid import Size
from ..images import measure
from .annotations import AnnotatedPhoto, Box


def read_text(path: Path) -> str:
    """The text of an annotation file.

    Raises:
        UnreadableFile: if it cannot be read or is no text.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(
            f"cannot read annotations from {path}: {reason}; give COCO or LabelMe JSON, a LabelMe folder, or CSV"
        ) from None


def parse_json(text: str, path: Path) -> Any:
    """What JSON holds.

    Raises:
        UnreadableFile: if it is none.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"{path} is no whole JSON ({error}); export it anew") from None


@contextmanager
def written_by(tool: str, path: Path) -> Iterator[None]:
    """Say that a file is not in its tool's format where reading its content fails.

    Raises:
        UnreadableFile: naming the file and what it lacks.
    """
    try:
        yield
    except DiffsightError:
        raise
    except KeyError as error:
        raise UnreadableFile(f"{path} is not as {tool} has it (no {error}); export it anew") from None
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
        raise UnreadableFile(f"{path} is not as {tool} has it ({error}); export it anew") from None


@dataclass(frozen=True)
class PhotoFolder:
    """Where the photos of an annotation file are.

    Attributes:
        folder: that their names start from.
        source: the annotation file that names them.
    """

    folder: Path
    source: Path

    def find(self, name: str, stated: Size | None = None) -> AnnotatedPhoto:
        """A photo by its name, with nothing marked on it yet.

        Args:
            name: a relative path; backslashes, as Windows writes them, count as slashes.
            stated: (height, width) that the annotation file gives, if it does.

        Raises:
            InvalidInput: for a name that leads out of the folder, or a size other than that of the upright photo.
            UnreadableFile: if there is no such photo.
        """
        if not isinstance(name, str) or not name:
            raise InvalidInput(f"{self.source} names a photo {name!r}; give every photo a file name")
        slashed = name.replace("\\", "/")
        parts = PurePosixPath(slashed).parts
        if ".." in parts or PurePosixPath(slashed).is_absolute() or PureWindowsPath(slashed).drive:
            raise InvalidInput(
                f"{self.source} names the photo {name!r}, outside its folder; use relative names without '..', and "
                "say where the photos are"
            )
        path = self.folder.joinpath(*parts)
        try:
            there = path.is_file()
        except ValueError:  # a NUL in the name
            there = False
        if not there:
            raise UnreadableFile(
                f"{self.source} names the photo {name!r}, which is not in {self.folder}; say where the photos are"
            )
        size = measure(path)
        if stated is not None and stated != size:
            raise InvalidInput(
                f"{self.source} says that {name} is {stated[1]}x{stated[0]}, but upright it is {size[1]}x{size[0]}; "
                "mark the photo as it is, upright"
            )
        return AnnotatedPhoto("/".join(parts), path, size)


def box_within(box: Box, photo: AnnotatedPhoto) -> Box:
    """A box cut at the edges of its photo, beyond which tools that count pixels otherwise put it by up to a pixel.

    Raises:
        InvalidInput: if it reaches further out.
    """
    height, width = photo.size
    x0, y0, x1, y1 = box
    if not (-1 <= x0 <= x1 <= width + 1 and -1 <= y0 <= y1 <= height + 1):
        raise InvalidInput(
            f"{photo.name}: the box ({x0:g}, {y0:g}) to ({x1:g}, {y1:g}) is not within the photo of {width}x{height} "
            "pixels; move it inside"
        )
    return max(x0, 0.0), max(y0, 0.0), min(x1, float(width)), min(y1, float(height))
