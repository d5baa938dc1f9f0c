"""Video files in and out: frames by number, without decoding what nobody wants."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, UnreadableFile
from ..files import atomic

Pixels = npt.NDArray[np.uint8]

CONTAINERS = (
    "asf,av1,avi,dv,flv,gif,h264,hevc,ivf,m4v,matroska,mjpeg,mov,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,vc1,webm,"
    "yuv4mpegpipe,aac,flac,mp3,wav"
)
"""Kinds of files that are opened, as FFmpeg calls them; playlists, which name other files, and texts are not.
Sounds are, to be told that they hold no pictures."""


@contextmanager
def open_video(path: Path) -> Iterator[tuple[Any, Any]]:
    """Give the container and its first video stream, as PyAV has them.

    Raises:
        UnreadableFile: if it cannot be read, or holds no pictures.
    """
    import av

    if not path.is_file():
        raise UnreadableFile(f"{path} does not exist; give a video file or a folder of frames")
    try:
        container = av.open(str(path), options={"format_whitelist": CONTAINERS, "protocol_whitelist": "file"})
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableFile(f"{path} cannot be read as a video ({_reason(error)}); give a whole one") from None
    with container:
        if not container.streams.video:
            kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
            raise UnreadableFile(f"{path} holds no pictures, only {kinds}; give a video")
        yield container, container.streams.video[0]


def _reason(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error)


def decode(path: Path, wanted: Callable[[int], bool], stop: int | None = None) -> Iterator[tuple[int, Any]]:
    """Decode the frames that are wanted, in order.

    Frames that nobody wants are passed over from keyframe to keyframe; those given are the same as if all were decoded.

    Args:
        path: of the video.
        wanted: is asked once of each number, from 0 on.
        stop: number of the first frame not to ask of any more.

    Yields:
        The number of a frame and the frame as PyAV has it, or the reason (str) why it could not be decoded.

    Raises:
        UnreadableFile: if the video cannot be read, or holds no frames.
    """
    index = _index(path)
    if index is not None:
        yield from _decode_wanted(path, index, filter(wanted, range(len(index.numbers))[:stop]))
        return
    number = -1
    for number, frame in enumerate(_decode_all(path)):
        if number == stop:
            return
        if wanted(number):
            yield number, frame
    if number < 0:
        raise UnreadableFile(f"{path} holds no frames; give a whole video")


@dataclass(frozen=True)
class _Index:
    """Where a video's frames lie.

    Attributes:
        numbers: of the frames, from 0, by the time at which each is shown.
        keys: numbers of those that decoding can begin at, rising from 0.
    """

    numbers: dict[int, int]
    keys: list[int]

    def key(self, number: int) -> int:
        """Where to begin in order to decode a frame."""
        return self.keys[bisect_right(self.keys, number) - 1]


def _index(path: Path) -> _Index | None:
    """Read off the packets, none of which is decoded; None if they do not say when each frame is shown."""
    with open_video(path) as (container, stream):
        packets = [(p.pts, p.is_keyframe) for p in _packets(container, stream) if p.size and not p.is_discard]
    if any(time is None for time, _ in packets) or not any(key for _, key in packets):
        return None
    first = min(time for time, key in packets if key)
    times = sorted(time for time, _ in packets if time >= first)  # a recording may begin with what nothing decodes
    numbers = {time: number for number, time in enumerate(times)}
    return _Index(numbers, sorted(numbers[t] for t, key in packets if key)) if len(numbers) == len(times) else None


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    """All packets up to the first that cannot be read."""
    import av

    try:
        yield from container.demux(stream)
    except av.FFmpegError:
        return


def _decode_wanted(path: Path, index: _Index, wanted: Iterator[int]) -> Iterator[tuple[int, Any]]:
    import av

    goal, fed, feeding, reason = next(wanted, None), -1, False, "there is no picture"
    with open_video(path) as (container, stream):
        for packet in _packets(container, stream):
            if goal is None:
                return
            number = index.numbers.get(packet.pts, -1)
            feeding = feeding or number == index.key(goal)
            if not feeding:
                continue
            fed = number if packet.is_keyframe else fed
            try:
                frames = packet.decode()
            except av.FFmpegError as error:
                frames, reason = [], _reason(error)
            for frame in frames:
                shown = index.numbers.get(frame.pts, -1)
                while goal is not None and goal < shown:
                    yield goal, reason
                    goal = next(wanted, None)
                if goal == shown:
                    yield goal, frame
                    goal = next(wanted, None)
                if goal is not None and goal > shown + 1 and index.key(goal) > fed:
                    stream.codec_context.flush_buffers()
                    feeding = False
                    break
        while goal is not None:
            yield goal, reason
            goal = next(wanted, None)


def _decode_all(path: Path) -> Iterator[Any]:
    import av

    with open_video(path) as (container, stream):
        for packet in _packets(container, stream):
            try:
                yield from packet.decode()
            except av.FFmpegError as error:
                yield _reason(error)


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
        # on several threads, or with its macroblock tree, x264 writes the same pictures differently from run to run
        stream: Any = container.add_stream("gif" if gif else "libx264", rate, options={} if gif else {"mbtree": "0"})
        stream.codec_context.thread_count = 1
        stream.pix_fmt = "pal8" if gif else "yuv420p"
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
