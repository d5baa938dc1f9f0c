"""What commands are given: points, photos and models."""

from __future__ import annotations

import csv
import hashlib
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InvalidInput, UnreadableFile
from ..files import file_digest as file_digest  # commands take it from here

if TYPE_CHECKING:
    from ..readers import Reader

Points = list[tuple[float, float]]

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".gif")


@dataclass(frozen=True)
class OpenReader:
    """Opens a reader, on whatever machine: ``open_reader`` with what the options of a command say.

    Attributes:
        size: side of the square network input, pixels.
    """

    model: str
    device: str | None = None
    dtype: str | None = None
    store: Path | None = None
    prompt: str | None = None
    seed: int | None = None
    task: str = "semantic"
    size: int | None = None
    fit: str | None = None
    stage: str | None = None
    timestep: int | None = None
    ensemble: int | None = None
    debias: int = 0

    def __call__(self) -> Reader:
        """Load the networks."""
        from ..readers import open_reader

        given: dict[str, Any] = {key: value for key, value in asdict(self).items() if value is not None}
        if self.size is not None:
            given["size"] = (self.size, self.size)
        return open_reader(given.pop("model"), given.pop("task"), **given)


def parse_point(text: str, option: str = "--point") -> tuple[float, float]:
    """Read ``X,Y``.

    Raises:
        InvalidInput: for anything else, and for numbers that are not finite.
    """
    parts = text.split(",")
    try:
        x, y = (float(part) for part in parts)
    except ValueError:
        raise InvalidInput(
            f"{option} {text!r} is not a point; write X,Y in pixels, for example {option} 120,80.5"
        ) from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise InvalidInput(f"{option} {text!r} is not finite; write X,Y in pixels, for example {option} 120,80.5")
    return x, y


def parse_box(text: str, option: str = "--box") -> tuple[float, float, float, float]:
    """Read ``X0,Y0,X1,Y1``.

    Raises:
        InvalidInput: for anything else, and for numbers that are not finite.
    """
    parts = text.split(",")
    try:
        x0, y0, x1, y1 = (float(part) for part in parts)
        if not all(math.isfinite(value) for value in (x0, y0, x1, y1)):
            raise ValueError
    except ValueError:
        raise InvalidInput(f"{option} {text!r} is no box; write X0,Y0,X1,Y1 in pixels") from None
    return x0, y0, x1, y1


def read_points(path: Path) -> Points:
    """Read a CSV file with the columns x and y, in pixels; other columns are ignored.

    Raises:
        UnreadableFile: for a missing file or one that is not text.
        InvalidInput: for a missing column or a value that is not a finite number.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as handle:
            rows = csv.DictReader(handle)
            names = [name.strip().lower() for name in rows.fieldnames or []]
            rows.fieldnames = names
            for column in ("x", "y"):
                if column not in names:
                    raise InvalidInput(
                        f"{path} has no column {column!r} (it has: {', '.join(names) or 'none'}); give x and y"
                    )
            points = []
            for row in rows:
                x, y = (row[column] or "" for column in ("x", "y"))
                try:
                    points.append(parse_point(f"{x},{y}"))
                except InvalidInput:
                    raise InvalidInput(
                        f"{path}, line {rows.line_num}: ({x}, {y}) is not a point; give finite numbers"
                    ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(
            f"cannot read points from {path}: {reason}; give a CSV file with columns x and y"
        ) from None
    if not points:
        raise InvalidInput(f"{path} holds no points; give a row for each, below the header x,y")
    return points


def collect(photos: list[Path], out: Path) -> dict[str, Path]:
    """Every photo by the stem of its results; photos of one stem keep their ending in it."""
    if out.exists() and not out.is_dir():
        raise InvalidInput(f"--out {out} is a file; give a folder")
    files: list[Path] = []
    for path in photos:
        if path.is_dir():
            if out.resolve().is_relative_to(path.resolve()):
                raise InvalidInput(f"--out {out} lies in the folder of photos {path}; give a folder outside of it")
            shown = (p for p in path.iterdir() if not p.name.startswith("."))
            inside = sorted(p for p in shown if p.suffix.lower() in ENDINGS and p.is_file())
            if not inside:
                raise InvalidInput(f"{path} holds no photos (looked for {', '.join(ENDINGS)})")
            files += inside
        else:
            if path.is_file() and out.resolve() == path.resolve().parent:
                raise InvalidInput(f"--out {out} is the folder of {path}; give another, so that no photo is replaced")
            files.append(path)
    files = list({path.resolve(): path for path in files}.values())
    stems = Counter(path.stem for path in files)
    jobs: dict[str, Path] = {}
    for path in files:
        stem = path.stem if stems[path.stem] == 1 else f"{path.stem}_{path.suffix[1:]}"
        if stem in jobs:
            stem = f"{stem}_{hashlib.blake2b(str(path.resolve()).encode(), digest_size=4).hexdigest()}"
        jobs[stem] = path
    return jobs


def refuse_other_run(report: Path, facts: dict[str, Any]) -> None:
    """Keep results of other photos from being replaced.

    Args:
        report: the JSON that a run writes last.
        facts: what must stand in it alike, if it exists.

    Raises:
        InvalidInput: if it holds the results of other photos, or is no report.
    """
    if not report.exists():
        return
    try:
        known = json.loads(report.read_text())
        same = all(known[key] == value for key, value in facts.items())
    except (OSError, ValueError, KeyError, TypeError):
        same = False
    if not same:
        raise InvalidInput(
            f"{report.parent} holds the results of another run ({report.name}); give another --out, or delete it"
        )
