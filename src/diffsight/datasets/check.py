"""Whether a folder holds a benchmark, and all of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from ..errors import UnreadableFile
from ..grid import Size
from ..images import load_picture
from .base import Benchmark, PointPair, Sample, files_of


@dataclass(frozen=True)
class Check:
    """What a folder holds of a split.

    Attributes:
        samples: how many there are.
        known: how many the real data has; None where that is not known.
        digest: SHA-256 of the samples' names in order, to compare two machines by.
        files: photos and labels that the samples need.
        missing: those that are not there.
        damaged: what is wrong with those that are there but will not do, a line each; empty unless they were opened.
    """

    samples: int
    known: int | None
    digest: str
    files: int
    missing: tuple[Path, ...]
    damaged: tuple[str, ...]


def check(benchmark: Benchmark, root: Path, split: str, *, is_opened: bool = False) -> Check:
    """Read a split and look for every file that it names.

    Args:
        benchmark: which.
        root: its folder.
        split: one of the benchmark's.
        is_opened: decode each photo and label file, too, and compare its size with the one that annotations state.

    Raises:
        UnreadableFile: for a folder that is missing or not in the benchmark's layout, or a damaged annotation.
        InvalidInput: for an unknown split.
    """
    samples = benchmark.samples(root, split)
    names = "\n".join(sample.id for sample in samples)
    files = list(dict.fromkeys(path for sample in samples for path in files_of(sample)))
    missing = tuple(path for path in files if not path.is_file())
    return Check(
        samples=len(samples),
        known=benchmark.counts.get(split),
        digest=hashlib.sha256(names.encode()).hexdigest(),
        files=len(files),
        missing=missing,
        damaged=_open([path for path in files if path not in set(missing)], samples) if is_opened else (),
    )


def _open(files: list[Path], samples: list[Sample]) -> tuple[str, ...]:
    from tqdm import tqdm

    pairs = [sample for sample in samples if isinstance(sample, PointPair)]
    sides = [side for pair in pairs for side in (pair.source, pair.target) if side.photo.window is None]
    stated: dict[Path, Size | None] = {side.photo.path: side.size for side in sides}
    wrong = []
    for path in tqdm(files, desc="opening files", unit="file", delay=2, leave=False):
        try:
            size = load_picture(path).size
        except UnreadableFile as error:
            wrong.append(str(error))
            continue
        due = stated.get(path)
        if due is not None and due != size:
            wrong.append(f"{path} is {size[1]}x{size[0]}, but its annotation is for {due[1]}x{due[0]}")
    return tuple(wrong)
