"""Frames of video files, folders of photos and iterators, one in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import DiffsightError, InvalidInput, UnreadableFile
from ..grid import Size
from ..images import load_picture
from ..types import Picture
from .movies import decode, open_video

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
RATE = Fraction(24)
"""Frames a second of clips that do not say."""

OnBad = Callable[[int, DiffsightError], None]


@dataclass(frozen=True)
class Frame:
    """A frame of a video, and its number from 0."""

    index: int
    picture: Picture


def read_frames(
    video: str | Path | Iterable[Any],
    *,
    start: int = 0,
    stop: int | None = None,
    wanted: Callable[[int], bool] = lambda index: True,
    on_bad: OnBad | None = None,
) -> Iterator[Frame]:
    """Read frames one by one, upright, in RGB.

    Args:
        video: a video file; a folder of photos, in the order of the numbers in their names; or an iterable of what
            ``load_picture`` takes.
        start: number of the first frame to give.
        stop: number of the first frame not to give any more.
        wanted: says of a frame's number whether to give it; what is not wanted is not even loaded.
        on_bad: is told of every damaged frame, and of every frame of another size than the first, which is then left
            out. Without it such a frame raises.

    Raises:
        UnreadableFile: for a video that cannot be read, has no frames, or a damaged frame.
        InvalidInput: for a start beyond the end, or a frame of another size.
    """
    if start < 0 or (stop is not None and stop <= start):
        raise InvalidInput(f"frames {start} to {stop} are none; start at 0 or later and stop after that")
    size: Size | None = None
    end = 0

    def asked(index: int) -> bool:
        nonlocal end
        end = index + 1
        return index >= start and (wanted(index) or index == start)

    for index, load in _source(video, asked, stop):
        try:
            picture = load()
            size = size or picture.size
            _check_size(picture, size, index)
        except (UnreadableFile, InvalidInput) as error:
            if on_bad is None or index == start:
                raise
            on_bad(index, error)
            continue
        yield Frame(index, picture)
    if end <= start:
        raise InvalidInput(f"there is no frame {start}: the video has {end}, counted from 0")


def _check_size(picture: Picture, size: Size, index: int) -> None:
    if picture.size != size:
        (height, width), (first_height, first_width) = picture.size, size
        raise InvalidInput(
            f"frame {index} is {width}x{height}, the first one {first_width}x{first_height}; all must have one size"
        )


def _source(
    video: str | Path | Iterable[Any], wanted: Callable[[int], bool], stop: int | None
) -> Iterator[tuple[int, Callable[[], Picture]]]:
    """Numbers of the frames that are wanted, and what loads each."""
    if isinstance(video, str | Path):
        path = Path(video)
        if not path.is_dir():
            return ((i, partial(_picture, frame, f"{path}, frame {i}")) for i, frame in decode(path, wanted, stop))
        video = photos_of(path)
    return ((i, partial(load_picture, photo)) for i, photo in enumerate(islice(video, stop)) if wanted(i))


def photos_of(folder: Path) -> list[Path]:
    """The photos of a folder; numbers in names count as numbers, so that 10.jpg comes after 9.jpg.

    Raises:
        UnreadableFile: if there are none.
    """
    found = [p for p in folder.iterdir() if p.suffix.lower() in PHOTOS and p.is_file() and not p.name.startswith(".")]
    if not found:
        raise UnreadableFile(f"{folder} holds no frames (looked for {', '.join(PHOTOS)})")
    return sorted(found, key=lambda p: [(int(part or -1), text) for text, part in re.findall(r"(\D*)(\d*)", p.stem)])


def frame_names(video: str | Path, indices: Iterable[int]) -> list[str]:
    """The files that frames came from; for each that of the whole video if it is one file."""
    path = Path(video)
    if path.is_dir():
        photos = photos_of(path)
        return [photos[index].name for index in indices]
    return [path.name for _ in indices]


def frame_count(video: str | Path) -> int | None:
    """How many frames a folder holds, or a video file says it does; None if it does not say."""
    path = Path(video)
    if path.is_dir():
        return len(photos_of(path))
    with open_video(path) as (_, stream):
        return int(stream.frames) or None


def frame_rate(video: str | Path) -> Fraction:
    """Frames a second of a video file; 24 for a folder."""
    path = Path(video)
    if path.is_dir():
        return RATE
    with open_video(path) as (_, stream):
        return Fraction(stream.average_rate or RATE)


def _picture(frame: Any, what: str) -> Picture:
    if isinstance(frame, str):
        raise UnreadableFile(f"{what} is damaged ({frame})")
    if frame.is_corrupt:
        raise UnreadableFile(f"{what} is damaged (it was decoded with errors)")
    upright = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))
    return Picture(torch.from_numpy(np.ascontiguousarray(upright)).permute(2, 0, 1).contiguous())
