"""Frames in and pictures out: video files, folders of photos, iterators; one frame in memory at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from ..errors import DiffsightError, InvalidInput, UnreadableFile
from ..files import atomic
from ..grid import Size
from ..images import load_picture
from ..types import Picture

PHOTOS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
RATE = Fraction(24)
"""Frames a second of clips that do not say."""

Pixels = npt.NDArray[np.uint8]
OnBad = Callable[[int, DiffsightError], None]
Loader = Callable[[], Picture]


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
    for index, load in _source(video):
        end = index + 1
        if stop is not None and index >= stop:
            return
        if index < start or not (wanted(index) or index == start):
            continue
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


def _source(video: str | Path | Iterable[Any]) -> Iterator[tuple[int, Loader]]:
    if not isinstance(video, str | Path):
        return enumerate(partial(load_picture, item) for item in video)
    path = Path(video)
    if path.is_dir():
        return enumerate(partial(load_picture, photo) for photo in photos_of(path))
    if not path.is_file():
        raise UnreadableFile(f"{path} does not exist; give a video file or a folder of frames")
    return _decode(path)


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
    with _opened(path) as (_, stream):
        return int(stream.frames) or None


def frame_rate(video: str | Path) -> Fraction:
    """Frames a second of a video file; 24 for a folder."""
    path = Path(video)
    if path.is_dir():
        return RATE
    with _opened(path) as (_, stream):
        return Fraction(stream.average_rate or RATE)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    import av

    try:
        container = av.open(str(path))
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableFile(f"{path} cannot be read as a video ({_reason(error)}); give a whole one") from None
    with container:
        if not container.streams.video:
            raise UnreadableFile(f"{path} holds no pictures, only {_kinds(container)}; give a video")
        yield container, container.streams.video[0]


def _kinds(container: Any) -> str:
    return ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def _decode(path: Path) -> Iterator[tuple[int, Loader]]:
    import av

    index = 0
    with _opened(path) as (container, stream):
        packets = container.demux(stream)
        while True:
            try:
                frames = next(packets).decode()
            except StopIteration:
                break
            except av.FFmpegError as error:
                frames = [error]
            for frame in frames:
                yield index, partial(_picture, frame, f"{path}, frame {index}")
                index += 1
    if index == 0:
        raise UnreadableFile(f"{path} holds no frames; give a whole video")


def _picture(frame: Any, what: str) -> Picture:
    if isinstance(frame, Exception):
        raise UnreadableFile(f"{what} is damaged ({_reason(frame)})")
    if frame.is_corrupt:
        raise UnreadableFile(f"{what} is damaged (it was decoded with errors)")
    upright = np.rot90(frame.to_ndarray(format="rgb24"), k=round(frame.rotation / 90))
    return Picture(torch.from_numpy(np.ascontiguousarray(upright)).permute(2, 0, 1).contiguous())


@contextmanager
def video_writer(path: Path, rate: Fraction) -> Iterator[Callable[[Pixels], None]]:
    """Give a function that adds a picture (H, W, 3) to a video; the file appears when the block has ended well.

    Args:
        path: ends in ``.mp4`` (H.264; odd sides are filled up by one pixel) or ``.gif``.
        rate: frames a second.

    Raises:
        InvalidInput: for another ending.
        OutputFailed: if it cannot be written.
    """
    import av

    if path.suffix not in (".mp4", ".gif"):
        raise InvalidInput(f"cannot write a video as {path.name}; use .mp4 or .gif")
    gif = path.suffix == ".gif"
    with atomic(path) as part, av.open(str(part), "w") as container:
        stream: Any = container.add_stream("gif" if gif else "libx264", rate=rate)
        stream.pix_fmt = "pal8" if gif else "yuv420p"
        stream.codec_context.thread_count = 1  # several encode alike frames differently from run to run
        started = False

        def add(pixels: Pixels) -> None:
            nonlocal started
            if not gif:
                height, width = pixels.shape[:2]
                pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            if not started:
                stream.height, stream.width = pixels.shape[:2]
                started = True
            frame = _few_colours(pixels) if gif else av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))

        yield add
        if started:
            container.mux(stream.encode())


def _few_colours(pixels: Pixels) -> Any:
    """A picture as a frame of 256 colours of its own."""
    import av
    from PIL import Image

    image = Image.fromarray(pixels).quantize(256)
    colours = np.frombuffer(image.palette.tobytes() if image.palette else b"", np.uint8).reshape(-1, 3)
    table = np.zeros((256, 4), np.uint8)
    table[:, 0] = 255
    table[: len(colours), 1:] = colours
    indexed: Any = (np.asarray(image), table)
    return av.VideoFrame.from_ndarray(indexed, format="pal8")
