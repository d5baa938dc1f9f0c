"""What a benchmark's files become: typed samples, with points in pixels whose centres lie at +0.5."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, UnreadableFile
from ..grid import Points, Size
from ..images import load_picture, measure
from ..types import Picture
from ..video.masks import load_labels

Kind = Literal["points", "planes", "masks", "joints", "segments"]

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Photo:
    """A photo on disk, or a window of it brought to a size.

    Attributes:
        path: of the file.
        window: (x0, y0, x1, y1) of what is used, pixels; where it reaches beyond the photo, its edge is repeated. None
            for all of it.
        side: the window, a square then, is resized to this side by Lanczos; None to leave it.
    """

    path: Path
    window: tuple[int, int, int, int] | None = None
    side: int | None = None

    def load(self) -> Picture:
        """Read it.

        Raises:
            UnreadableFile: if it cannot be.
        """
        picture = load_picture(self.path)
        if self.window is None:
            return picture
        import torch
        from PIL import Image

        x0, y0, x1, y1 = self.window
        height, width = picture.size
        rows, columns = np.arange(y0, y1).clip(0, height - 1), np.arange(x0, x1).clip(0, width - 1)
        image = Image.fromarray(picture.array()[rows[:, None], columns])
        if self.side is not None:
            image = image.resize((self.side, self.side), Image.Resampling.LANCZOS)
        return Picture(torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous(), self.path)

    def measure(self) -> Size:
        """(height, width) of what ``load`` gives; of the file, the header is read at most.

        Raises:
            UnreadableFile: if it cannot be read.
        """
        if self.side is not None:
            return self.side, self.side
        if self.window is not None:
            x0, y0, x1, y1 = self.window
            return y1 - y0, x1 - x0
        return measure(self.path)

    def to_window(self, points: Points) -> Points:
        """(N, 2) pixels of the file, in pixels of what is loaded."""
        if self.window is None:
            return points
        x0, y0, x1, y1 = self.window
        scale = 1.0 if self.side is None else self.side / np.array([x1 - x0, y1 - y0])
        moved: Points = (points - (x0, y0)) * scale
        return moved


@dataclass(frozen=True)
class Annotation:
    """What is known of one photo of a pair, in pixels of the photo as it is loaded.

    Attributes:
        photo: where it is.
        size: (height, width) as the benchmark's files state it; None where they do not, see ``measure``.
        box: of the object, (x0, y0, x1, y1); None in benchmarks that have none.
        keypoints: (N, 2) those known in both photos.
    """

    photo: Photo
    size: Size | None
    box: Box | None
    keypoints: Points

    def measure(self) -> Size:
        """Its size as stated, or read from the photo.

        Raises:
            UnreadableFile: if the photo is needed and cannot be read.
        """
        return self.photo.measure() if self.size is None else self.size


@dataclass(frozen=True)
class PointPair:
    """Two photos whose keypoints correspond by index.

    Attributes:
        id: one of its kind in the benchmark.
        category: what they show.
        source, target: the photo with the query points, and the one to search.
        names: (N,) of the keypoints; empty if unknown.
    """

    id: str
    category: str
    source: Annotation
    target: Annotation
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlanePair:
    """Two photos of one plane.

    Attributes:
        id: one of its kind in the benchmark.
        category: illumination or viewpoint, say.
        source, target: the photos.
        homography: (3, 3), pixels of the source to pixels of the target, centres at +0.5.
    """

    id: str
    category: str
    source: Photo
    target: Photo
    homography: npt.NDArray[np.float64]


@dataclass(frozen=True)
class MaskClip:
    """A video and, for each frame, the PNG of its labels.

    Attributes:
        id: its name.
        frames: its photos.
        masks: label PNGs, as many.
    """

    id: str
    frames: tuple[Path, ...]
    masks: tuple[Path, ...]

    @property
    def category(self) -> str:
        """Clips are not grouped."""
        return "all"


@dataclass(frozen=True)
class JointClip:
    """A video and the joints of one person in it.

    Attributes:
        id: its name.
        category: the action.
        frames: its photos, T.
        joints: (T, J, 2) in pixels of the frames.
    """

    id: str
    category: str
    frames: tuple[Path, ...]
    joints: npt.NDArray[np.float64]


@dataclass(frozen=True)
class LabelledPhoto:
    """A photo and the class of each of its pixels.

    Attributes:
        id: one of its kind in the benchmark.
        photo: where it is.
        labels: PNG of the file's own label values.
        classes: (256,) the class of each label value, -1 for those that are not counted.
        side: photo and labels are cropped to their central square and brought to this side.
    """

    id: str
    photo: Path
    labels: Path
    classes: npt.NDArray[np.int64]
    side: int

    @property
    def category(self) -> str:
        """Photos are not grouped."""
        return "all"

    def load(self) -> tuple[Picture, npt.NDArray[np.int64]]:
        """Read both, cropped and resized: the photo bilinearly without antialiasing, labels by the nearest pixel.

        Returns:
            The photo, and (side, side) the class of each of its pixels, -1 for those that are not counted.

        Raises:
            UnreadableFile: if one cannot be read, or they are not of one size.
            InvalidInput: for labels in colours.
        """
        import torch
        import torch.nn.functional as F

        picture, values = load_picture(self.photo), load_labels(self.labels)
        height, width = picture.size
        if values.shape != picture.size:
            rows, columns = values.shape
            raise UnreadableFile(
                f"{self.labels} is {columns}x{rows}, but {self.photo} {width}x{height}; fetch them anew"
            )
        short = min(height, width)
        top, left = (height - short) // 2, (width - short) // 2
        image = torch.from_numpy(picture.array()[top : top + short, left : left + short]).permute(2, 0, 1).float() / 255
        image = F.interpolate(image[None], (self.side, self.side), mode="bilinear")[0]
        nearest = ((np.arange(self.side) + 0.5) * short / self.side).astype(int)
        return Picture(image, self.photo), self.classes[values[top + nearest[:, None], left + nearest]]


Sample = PointPair | PlanePair | MaskClip | JointClip | LabelledPhoto


def files_of(sample: Sample) -> Iterator[Path]:
    """Every file that a sample needs besides the lists and tables it was read from."""
    if isinstance(sample, PointPair):
        yield from (sample.source.photo.path, sample.target.photo.path)
    elif isinstance(sample, PlanePair):
        yield from (sample.source.path, sample.target.path)
    elif isinstance(sample, MaskClip):
        yield from (*sample.frames, *sample.masks)
    elif isinstance(sample, JointClip):
        yield from sample.frames
    else:
        yield from (sample.photo, sample.labels)


@dataclass(frozen=True)
class Benchmark:
    """A benchmark as data.

    Attributes:
        name: what the command line calls it.
        title: what papers call it.
        kind: of its samples.
        read: from its folder and a split to its samples, in the benchmark's own order.
        write_world: writes a small tree of procedural pictures in its layout: folder, seed, and how many samples of
            each category, about.
        splits: what can be read, the usual one first.
        counts: how many samples each split of the real data has; splits whose number is not known are left out.
        source: where it can be had.
        layout: what its folder holds, in one line.
    """

    name: str
    title: str
    kind: Kind
    read: Callable[[Path, str], Sequence[Sample]]
    write_world: Callable[[Path, int, int], None]
    splits: tuple[str, ...]
    counts: dict[str, int]
    source: str
    layout: str

    def samples(self, root: Path, split: str | None = None) -> list[Sample]:
        """Read a split.

        Args:
            root: the benchmark's folder.
            split: one of ``splits``; the first if left out.

        Raises:
            UnreadableFile: for a folder that is missing or not in the benchmark's layout, or a damaged annotation.
            InvalidInput: for an unknown split.
        """
        split = self.splits[0] if split is None else split
        if split not in self.splits:
            raise InvalidInput(f"unknown split {split!r} of {self.title}; use {', '.join(self.splits)}")
        if not root.is_dir():
            raise UnreadableFile(f"{root} is no folder; {self.advice}")
        samples = list(self.read(root, split))
        if not samples:
            raise UnreadableFile(f"{root} holds no sample of {self.title}, split {split}; {self.advice}")
        return samples

    @property
    def advice(self) -> str:
        """What the folder must hold, and where to get it."""
        return f"give the folder of {self.title}, which holds {self.layout} (from {self.source})"


def read_text(path: Path, benchmark: Benchmark) -> str:
    """The text of a list or table.

    Raises:
        UnreadableFile: if it cannot be read; says what the folder must hold.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, benchmark, error) from None


def _unreadable(path: Path, benchmark: Benchmark, error: Exception) -> UnreadableFile:
    reason = getattr(error, "strerror", None) or error
    return UnreadableFile(f"cannot read {path} ({reason}); {benchmark.advice}")


def read_json(path: Path, benchmark: Benchmark) -> Any:
    """The content of a JSON file.

    Raises:
        UnreadableFile: if it cannot be read or is no JSON.
    """
    import json

    text = read_text(path, benchmark)
    try:
        return json.loads(text)
    except ValueError as error:
        raise damaged(path, benchmark, error) from None


def read_mat(path: Path, benchmark: Benchmark) -> dict[str, Any]:
    """The variables of a MATLAB file; sides of one are dropped, and structs are dictionaries.

    Raises:
        UnreadableFile: if it cannot be read or is no MATLAB file.
    """
    from scipy.io import loadmat

    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, benchmark, error) from None
    try:
        return dict(loadmat(BytesIO(content), simplify_cells=True))
    except Exception as error:  # of many types, as the damaged byte leads to
        raise damaged(path, benchmark, error) from None


def damaged(path: Path, benchmark: Benchmark, why: object) -> UnreadableFile:
    """The error for a file that is there but does not hold what it must."""
    return UnreadableFile(f"{path} is not as {benchmark.title} has it ({why}); fetch it anew from {benchmark.source}")


def missing_files(samples: Sequence[Sample]) -> dict[Path, None]:
    """The files that samples need and that are not there, each once, in order."""
    needed = dict.fromkeys(path for sample in samples for path in files_of(sample))
    return {path: None for path in needed if not path.is_file()}


def present(benchmark: Benchmark, samples: Sequence[Sample], *, skip: bool = False) -> list[Sample]:
    """The samples whose files are all there.

    Raises:
        UnreadableFile: if some are not, unless they may be skipped; or if none are.
    """
    missing = missing_files(samples)
    if missing and not skip:
        first = ", ".join(map(str, list(missing)[:3]))
        raise UnreadableFile(
            f"{len(missing)} files of {benchmark.title} are missing, the first: {first}; fetch them from "
            f"{benchmark.source}, or skip their samples (--skip-missing)"
        )
    found = [sample for sample in samples if not any(path in missing for path in files_of(sample))]
    if not found:
        raise UnreadableFile(f"every sample of {benchmark.title} lacks a file; {benchmark.advice}")
    return found
