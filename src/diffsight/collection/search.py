"""One point looked for in every photo of a collection: exact, block by block, at the resolution of the photos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Size
from ..matching.nearest import TargetMap
from .shards import Entry
from .store import Collection

BLOCK = 64
"""Photos compared at once, so that memory stays flat and in the processor's cache."""

SPARE = 2
"""Photos looked at closely for each that is asked for: between cells the order may change a little."""


@dataclass(frozen=True)
class Found:
    """Where a point is in a photo of a collection.

    Attributes:
        entry: the photo.
        point: (x, y) in its pixels, the centre of one.
        score: cosine of the vectors, in [-1, 1].
    """

    entry: Entry
    point: tuple[float, float]
    score: float


def search(collection: Collection, vector: Tensor, count: int) -> list[Found]:
    """Find a point in every photo and return the ``count`` photos that have it best.

    All cells of all photos are compared. Photos with the best cells are looked at closely: between the best cell and
    its neighbours vectors are interpolated, as in matching, and the best pixel counts.

    Args:
        collection: photos.
        vector: (D,), of ``Collection.describe``.
        count: photos to return; fewer come if the collection has fewer.

    Raises:
        InvalidInput: if the collection is empty or ``count`` below 1.
    """
    if count < 1:
        raise InvalidInput(f"cannot give the best {count} photos; ask for at least 1")
    if len(collection) == 0:
        raise InvalidInput(f"{collection.folder} holds no photos; add some")
    scores, cells = [], []
    for _, vectors in collection.blocks():
        for block in vectors.split(BLOCK):
            best = (collection.manifest.unpack(block).flatten(0, 1) @ vector).view(block.shape[:2]).max(dim=1)
            scores.append(best.values)
            cells.append(best.indices)
    order = torch.cat(scores).argsort(descending=True, stable=True)[: SPARE * count]
    wanted = set(order.tolist())
    best_cells, grid, found, start = torch.cat(cells), collection.manifest.grid, [], 0
    for entries, vectors in collection.blocks():
        for i in range(len(entries)):
            if start + i in wanted:
                own = collection.manifest.unpack(vectors[i]).T.unflatten(1, grid)
                found.append(locate(entries[i], own, vector, divmod(int(best_cells[start + i]), grid[1])))
        start += len(entries)
    return sorted(found, key=lambda one: -one.score)[:count]


def locate(entry: Entry, features: Tensor, vector: Tensor, cell: Size) -> Found:
    """The best pixel within one cell of a photo's best cell (row, column)."""
    grid = (features.shape[1], features.shape[2])
    rows, columns = entry.fit.pixel_rows(grid), entry.fit.pixel_columns(grid)
    top, _, left, _ = entry.fit.window
    near_rows, near_columns = (abs(axis - centre) <= 1 for axis, centre in zip((rows, columns), cell, strict=True))
    place, score = TargetMap.prepare(features).nearest(vector[None], rows[near_rows], columns[near_columns])
    x = left + int(near_columns.argmax()) + int(place[0, 0]) + 0.5
    y = top + int(near_rows.argmax()) + int(place[0, 1]) + 0.5
    return Found(entry, (x, y), float(score[0]))
