"""One point looked for in every photo of a collection: exact, block by block, at the resolution of the photos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InvalidInput
from ..matching.nearest import TargetMap
from .shards import Entry
from .store import Collection

BLOCK = 32
"""Photos compared at once, so that memory stays flat and in the processor's cache."""

SPARE = 2
"""Photos looked at closely for each that is asked for: between cells the order may change a little."""

RASTER = 4
"""Places a side of a cell that are compared in a large photo, before all of its pixels around the best of them."""


@dataclass(frozen=True)
class Found:
    """Where a point is in a photo of a collection.

    Attributes:
        entry: the photo.
        point: (x, y) in its pixels, the centre of one.
        cosine: of the vectors, in [-1, 1].
    """

    entry: Entry
    point: tuple[float, float]
    cosine: float


def search(collection: Collection, vector: Tensor, count: int) -> list[Found]:
    """Find a point in every photo and return the ``count`` photos that have it best.

    All cells of all photos are compared. Photos with the best cells are looked at closely: vectors are interpolated
    between cells, as in matching, and the best pixel counts.

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
    scores, query = [], vector / collection.manifest.steps  # which spares dividing everything that is stored
    for _, vectors in collection.blocks():
        for block in vectors.split(BLOCK):
            cosines = block.float().flatten(0, 1) @ query
            scores.append(cosines.view(block.shape[:2]).amax(dim=1))
    order = torch.cat(scores).argsort(descending=True, stable=True)[: SPARE * count]
    wanted = set(order.tolist())
    found, start = [], 0
    for entries, vectors in collection.blocks():
        for i in wanted & set(range(start, start + len(entries))):
            features = collection.manifest.unpack(vectors[i - start]).T.unflatten(1, collection.manifest.grid)
            found.append(locate(entries[i - start], features, vector))
        start += len(entries)
    return sorted(found, key=lambda one: (-one.cosine, one.entry.name))[:count]


def locate(entry: Entry, features: Tensor, vector: Tensor) -> Found:
    """The best pixel of a photo with a (D, h, w) map: first of a raster of several a cell, then of those around it."""
    height, width = features.shape[1:]
    target, (top, _, left, _) = TargetMap.prepare(features), entry.fit.window
    rows, columns = entry.fit.pixel_rows((height, width)), entry.fit.pixel_columns((height, width))
    down, across = max(1, len(rows) // (RASTER * height)), max(1, len(columns) // (RASTER * width))
    (x, y), _ = (one[0] for one in target.nearest(vector[None], rows[::down], columns[::across]))
    first_row, first_column = max(0, (int(y) - 1) * down), max(0, (int(x) - 1) * across)
    near = rows[first_row : (int(y) + 1) * down + 1], columns[first_column : (int(x) + 1) * across + 1]
    (x, y), cosine = (one[0] for one in target.nearest(vector[None], *near))
    return Found(entry, (left + first_column + int(x) + 0.5, top + first_row + int(y) + 0.5), float(cosine))
