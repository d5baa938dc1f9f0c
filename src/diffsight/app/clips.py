"""Clips that visitors send, within limits, each in a folder of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from PIL import Image

from ..errors import DiffsightError, InvalidInput
from ..images import load_picture
from ..types import Picture
from ..video.frames import PHOTOS, frame_rate, read_frames
from ..video.labels import Mask
from ..video.masks import load_mask
from ..video.movies import open_video
from ..world import RESERVED, make_clip
from .limits import MAX_CLIP_BYTES, MAX_FRAME_PIXELS, MAX_FRAMES
from .shelf import new_folder
from .uploads import check_pixels

EXAMPLE = (RESERVED + 777_015, 12, 240, 320)
"""Seed, frames, height and width of the clip that is built in."""

EXAMPLE_RATE = Fraction(6)
"""Frames a second of it."""


@dataclass(frozen=True)
class Clip:
    """A clip that was read through.

    Attributes:
        folder: holds it and what comes of it; the clip's own, of a name that nobody can guess.
        source: the video file, or the folder of its frames.
        name: as it was sent.
        first: the first frame.
        count: of its frames.
        rate: frames a second.
    """

    folder: Path
    source: Path
    name: str
    first: Picture
    count: int
    rate: Fraction


def open_clip(path: Path, shelf: Path) -> Clip:
    """Take a video file that a visitor sent; it is moved.

    Raises:
        InvalidInput: for one beyond the limits, of a single frame, or none that can be read.
    """
    _check_bytes([path], path.name)
    with new_folder(shelf) as folder, _plain_names(folder):
        source = Path(shutil.move(path, folder / path.name))
        with open_video(source) as (_, stream):
            if stream.width * stream.height > MAX_FRAME_PIXELS:
                raise InvalidInput(
                    f"{path.name} is {stream.width}x{stream.height}, over {MAX_FRAME_PIXELS // 1_000_000} million "
                    "pixels a frame; send a smaller one, such as 1920x1080"
                )
        return _read_through(folder, source, path.name, frame_rate(source))


def open_photos(paths: Sequence[Path], shelf: Path) -> Clip:
    """Take photos that a visitor sent as the frames of a clip, in the order of their names; they are moved.

    Raises:
        InvalidInput: for photos beyond the limits, of different sizes or one name, a single one, or none.
    """
    _check_bytes(paths, "what you chose")
    if len(paths) > MAX_FRAMES:
        raise InvalidInput(f"{len(paths)} photos are more than the {MAX_FRAMES} that fit; send fewer")
    with new_folder(shelf) as folder, _plain_names(folder):
        source = folder / "frames"
        source.mkdir()
        for path in paths:
            if path.suffix.lower() not in PHOTOS or path.name.startswith("."):
                raise InvalidInput(f"{path.name} is not a photo; send {', '.join(PHOTOS)}")
            if (source / path.name).exists():
                raise InvalidInput(f"two photos are named {path.name}; frames are sorted by name, rename one")
            check_pixels(Path(shutil.move(path, source / path.name)), MAX_FRAME_PIXELS)
        return _read_through(folder, source, f"{len(paths)} photos", EXAMPLE_RATE)


def example_clip(shelf: Path) -> tuple[Clip, Mask]:
    """The built-in clip, and the true mask of its first frame."""
    seed, frames, height, width = EXAMPLE
    scenes = make_clip(seed, frames, height, width)
    with new_folder(shelf) as folder:
        source = folder / "frames"
        source.mkdir()
        for number, scene in enumerate(scenes):
            Image.fromarray(scene.image).save(source / f"{number:05d}.png", compress_level=1)
        truth = scenes[0].instances
        first = load_picture(scenes[0].image)
        return Clip(folder, source, "the example", first, frames, EXAMPLE_RATE), truth


def open_mask(path: Path) -> Mask:
    """The mask that a visitor sent, (H, W); the file is deleted.

    Raises:
        InvalidInput: for a file beyond the limits, or no mask.
    """
    with _plain_names(path.parent):
        try:
            check_pixels(path, MAX_FRAME_PIXELS)
            return load_mask(path)
        finally:
            path.unlink()


def _check_bytes(paths: Sequence[Path], name: str) -> None:
    if sum(path.stat().st_size for path in paths) > MAX_CLIP_BYTES:
        raise InvalidInput(f"{name} is larger than {MAX_CLIP_BYTES // 1024**2} MB; send a shorter or smaller clip")


def _read_through(folder: Path, source: Path, name: str, rate: Fraction) -> Clip:
    """See whether all frames can be read, so that nobody marks in vain."""
    frames = read_frames(source, stop=MAX_FRAMES + 1)
    first, count = next(frames).picture, 1 + sum(1 for _ in frames)
    if count > MAX_FRAMES:
        raise InvalidInput(f"{name} has more than {MAX_FRAMES} frames; send a shorter clip")
    if count == 1:
        raise InvalidInput(f"{name} has one frame only, and nothing to follow; send two or more")
    return Clip(folder, source, name, first, count, rate)


@contextmanager
def _plain_names(folder: Path) -> Iterator[None]:
    """Say what is wrong with a file by its name alone, not its folder."""
    try:
        yield
    except DiffsightError as error:
        text = str(error)
        for place in (folder / "frames", folder):
            text = text.replace(f"{place}/", "")
        raise InvalidInput(text) from None
