"""Keypoints as a table (CSV): a row for each object, pixels with their centres at +0.5."""

from __future__ import annotations

import csv
import io
import re
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput, UnreadableFile
from ..files import atomic
from .annotations import ABSENT, HIDDEN, VISIBLE, AnnotatedPhoto, Annotations, Category, Instance, check
from .photos import PhotoFolder, box_within

BOX = ("box_x0", "box_y0", "box_x1", "box_y1")

Cells = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class KeypointTable:
    """Columns ``image`` and, for each keypoint, ``NAME_x`` and ``NAME_y`` (or ``x0``, ``y0``, ...), and what else.

    Attributes:
        path: of the file.
        names: of the K keypoints.
        points: (R, K, 2) pixels of each row's photo; NaN where a cell is empty.
        visible: (R, K) of ``NAME_visible``, whether the point can be seen; NaN where the cell is empty or not there.
        columns: every column's cells, by its heading.
    """

    path: Path
    names: tuple[str, ...]
    points: Cells
    visible: Cells
    columns: dict[str, tuple[str, ...]]

    @classmethod
    def read(cls, path: Path) -> KeypointTable:
        """A table from its file.

        Raises:
            UnreadableFile: if it cannot be read.
            InvalidInput: if it lacks columns or rows, or a cell is no number.
        """
        try:
            return cls.parse(path.read_text(encoding="utf-8-sig"), path)
        except (OSError, UnicodeDecodeError) as error:
            if isinstance(error, UnreadableFile):
                raise
            raise UnreadableFile(
                f"cannot read keypoints from {path}: {getattr(error, 'strerror', None) or error}; give a CSV file"
            ) from None

    @classmethod
    def parse(cls, text: str, path: Path) -> KeypointTable:
        """A table from its file's text.

        Raises:
            UnreadableFile: if it is no CSV.
            InvalidInput: if it lacks columns or rows, or a cell is no number.
        """
        try:
            heading, *rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row] or [[]]
        except csv.Error as error:
            raise UnreadableFile(f"cannot read keypoints from {path}: {error}; give a CSV file") from None
        along = [column for column in heading if re.fullmatch(r"x\d+|.+_x", column)]
        across = [f"y{column[1:]}" if re.fullmatch(r"x\d+", column) else f"{column[:-1]}y" for column in along]
        if "image" not in heading or not along or not set(across) <= set(heading) or not rows:
            raise InvalidInput(f"{path} needs a row or more and the columns image, NAME_x, NAME_y (or x0, y0, ...)")
        if len(set(heading)) < len(heading):
            twice = next(column for column in heading if heading.count(column) > 1)
            raise InvalidInput(f"{path} has the column {twice!r} twice; keep one")
        for number, row in enumerate(rows, start=1):
            if len(row) != len(heading):
                raise InvalidInput(
                    f"{path} has {len(row)} cells in row {number} below its {len(heading)} headings; give one for each"
                )
        columns = dict(zip(heading, zip(*rows, strict=True), strict=True))
        names = tuple(column[1:] if re.fullmatch(r"x\d+", column) else column[:-2] for column in along)
        x, y = ([_numbers(columns[column], column, path) for column in own] for own in (along, across))
        seen = [_numbers(columns.get(f"{name}_visible", ("",) * len(rows)), f"{name}_visible", path) for name in names]
        return cls(
            path, names, np.stack([np.stack(x, axis=1), np.stack(y, axis=1)], axis=2), np.stack(seen, 1), columns
        )

    def __len__(self) -> int:
        return len(self.points)

    def cells(self, column: str) -> tuple[str, ...]:
        """A column, empty where there is none."""
        return self.columns.get(column, ("",) * len(self))

    def numbers(self, column: str) -> Cells:
        """(R,) numbers of a column, NaN where a cell is empty.

        Raises:
            InvalidInput: if one is no number.
        """
        return _numbers(self.cells(column), column, self.path)


def _numbers(cells: tuple[str, ...], column: str, path: Path) -> Cells:
    numbers = np.full(len(cells), np.nan)
    for row, cell in enumerate(cells):
        try:
            numbers[row] = float(cell) if cell.strip() else np.nan
        except ValueError:
            numbers[row] = np.inf
        if np.isinf(numbers[row]):
            raise InvalidInput(f"{path} holds a value that is no number ({cell!r}) in column {column}")
    return numbers


def read_keypoint_table(table: KeypointTable, photos: PhotoFolder) -> Annotations:
    """Annotations of a table.

    A point without coordinates, or at (0, 0) or outside its photo with ``NAME_visible`` 0, is not labelled; with
    ``NAME_visible`` 0 anywhere else it is hidden. Further columns that may be there: ``category`` (else all are named
    like the file), ``object``, without which each photo has one row, ``NAME_confidence`` and ``confidence``, and
    ``box_x0`` to ``box_y1``.

    Raises:
        UnreadableFile: if a photo is missing.
        InvalidInput: if what it holds contradicts itself.
    """
    visibility = _visibility(table)
    sure = np.stack([table.numbers(f"{name}_confidence") for name in table.names], axis=1)
    boxes = np.stack([table.numbers(column) for column in BOX], axis=1)
    whole = table.numbers("confidence")
    labels = [cell or table.path.stem for cell in table.cells("category")]
    known: npt.NDArray[np.bool_] = np.isfinite(table.points).all(axis=2) | np.isfinite(table.visible)
    held = [bool(row.any()) for row in np.concatenate([known, np.isfinite(boxes)], axis=1)]
    own = {
        label: np.flatnonzero(known[[kind == label for kind in labels]].any(axis=0))
        for label, there in zip(labels, held, strict=True)
        if there
    }
    found: dict[str, AnnotatedPhoto] = {}
    instances: dict[str, list[Instance]] = defaultdict(list)
    for row, name in enumerate(table.columns["image"]):
        if name in found and "object" not in table.columns:
            raise InvalidInput(f"{table.path} has two rows of {name}; number its objects in a column 'object'")
        photo = found[name] = found.get(name) or photos.find(name)
        if not held[row]:
            continue
        columns = own[labels[row]]
        points = table.points[row, columns]
        outside = ((points < 0) | (points > photo.size[::-1])).any(axis=1)
        shown = np.where(outside & (visibility[row, columns] == HIDDEN), ABSENT, visibility[row, columns])
        instance = Instance(
            labels[row],
            np.where(shown[:, None] == ABSENT, np.nan, points),
            shown,
            None if np.isnan(boxes[row]).all() else box_within(tuple(boxes[row].tolist()), photo),
            None,
            None if np.isnan(sure[row, columns]).all() else sure[row, columns],
            None if np.isnan(whole[row]) else float(whole[row]),
        )
        instances[name].append(instance)
    categories = tuple(Category(label, tuple(table.names[k] for k in columns)) for label, columns in own.items())
    marked = tuple(replace(photo, instances=tuple(instances[name])) for name, photo in found.items())
    return check(Annotations(categories, marked))


def _visibility(table: KeypointTable) -> npt.NDArray[np.int8]:
    """(R, K) of ABSENT, HIDDEN, VISIBLE."""
    blank = np.isnan(table.points)
    if (blank.any(axis=2) & ~blank.all(axis=2)).any():
        row, k = np.argwhere(blank.any(axis=2) & ~blank.all(axis=2))[0]
        raise InvalidInput(
            f"{table.columns['image'][row]}: {table.names[k]!r} has only one of x and y; give both or none"
        )
    if not np.isin(table.visible[~np.isnan(table.visible)], (0, 1)).all():
        raise InvalidInput(f"{table.path} holds a visibility other than 0 and 1; use these")
    hidden = table.visible == 0
    absent = blank.all(axis=2) | (hidden & (table.points == 0).all(axis=2))
    return np.where(absent, ABSENT, np.where(hidden, HIDDEN, VISIBLE)).astype(np.int8)


def write_keypoint_table(annotations: Annotations, path: Path) -> None:
    """Write annotations as a table: a row for each object, and for each photo without one; masks are left out.

    Raises:
        InvalidInput: see ``check``.
        OutputFailed: if the file cannot be written.
    """
    check(annotations)
    names = list(dict.fromkeys(name for category in annotations.categories for name in category.keypoints))
    points = [f"{name}_{part}" for name in names for part in ("x", "y", "visible", "confidence")]
    heading = ["image", "object", "category", *points, *BOX, "confidence"]
    with atomic(path) as part, part.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, heading, lineterminator="\n")
        writer.writeheader()
        for photo in annotations.photos:
            for number, instance in enumerate(photo.instances, start=1):
                cells = _cells(instance, annotations.category(instance.category))
                writer.writerow({"image": photo.name, "object": number, **cells})
            if not photo.instances:
                writer.writerow({"image": photo.name})


def _cells(instance: Instance, category: Category) -> dict[str, object]:
    cells: dict[str, object] = {"category": category.name}
    for k, name in enumerate(category.keypoints):
        visibility = instance.visibility[k]
        cells[f"{name}_visible"] = int(visibility == VISIBLE)
        if visibility != ABSENT:
            cells[f"{name}_x"], cells[f"{name}_y"] = (round(side, 3) for side in instance.keypoints[k].tolist())
            if instance.point_confidence is not None:
                cells[f"{name}_confidence"] = round(float(instance.point_confidence[k]), 6)
    if instance.box is not None:
        cells.update(zip(BOX, (round(float(side), 3) for side in instance.box), strict=True))
    if instance.confidence is not None:
        cells["confidence"] = round(float(instance.confidence), 6)
    return cells
