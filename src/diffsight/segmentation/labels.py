"""From maps on a grid to labels of pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from ..grid import Fit, Size, two_taps
from ..types import VOID, Segmentation

Array = npt.NDArray[np.float64]


def winners(maps: Array, rows: Array, columns: Array) -> npt.NDArray[np.uint16]:
    """Which of K maps is highest at each point of a raster; the first wins ties.

    Between four neighbouring cells every map is the same mixture of its values there. So a map that is highest in all
    four is highest between them; elsewhere only maps can win that no winner of a corner exceeds in all four.

    Args:
        maps: (K, h, w).
        rows, columns: (H,) y and (W,) x of the raster in cell coordinates, clamped to the grid.

    Returns:
        (H, W) indices into ``maps``.
    """
    count, height, width = maps.shape
    (y, v), (x, u) = two_taps(rows, height), two_taps(columns, width)
    best = maps.argmax(axis=0).astype(np.uint16)
    corners = _corners(best)
    labels = corners[0][y[:, None], x]
    unsure = np.zeros((height, width), bool)
    for corner in corners[1:]:
        unsure |= corner != corners[0]
    places = np.flatnonzero(unsure)
    values = np.stack([corner.reshape(count, -1)[:, places] for corner in _corners(maps)])  # (4, K, cells)
    able = np.ones(values.shape[1:], bool)
    for corner in corners:
        winner = np.take_along_axis(values, corner.ravel()[places][None, None], axis=1)
        able &= (values >= winner).any(axis=0)
    for place, own, may in zip(places, np.moveaxis(values, 2, 0), able.T, strict=True):
        i, j = divmod(int(place), width)
        lines = slice(*np.searchsorted(y, [i, i + 1]))
        across = slice(*np.searchsorted(x, [j, j + 1]))
        if lines.start == lines.stop or across.start == across.stop:
            continue
        chosen = np.flatnonzero(may)
        top_left, top_right, bottom_left, bottom_right = own[:, chosen, None, None]
        b, a = v[lines, None], u[None, across]
        mixed = top_left * ((1 - b) * (1 - a)) + top_right * ((1 - b) * a)
        mixed += bottom_left * (b * (1 - a)) + bottom_right * (b * a)
        labels[lines, across] = chosen[mixed.argmax(axis=0)]
    return labels


def _corners(maps: npt.NDArray[Any]) -> list[npt.NDArray[Any]]:
    """Each cell's own value, and those of its neighbours to the right, below, and both; at the border its own."""
    below = np.concatenate([maps[..., 1:, :], maps[..., -1:, :]], axis=-2)
    return [m for own in (maps, below) for m in (own, np.concatenate([own[..., 1:], own[..., -1:]], axis=-1))]


def label_pixels(maps: Array, grid: Size, fit: Fit) -> Segmentation:
    """Cut a photo, at its own size, by the highest of K maps; segments without a pixel are left out.

    Args:
        maps: (K, h w), not negative.
        grid: (h, w).
        fit: how the photo was laid out for the network.
    """
    stack = np.asarray(maps, np.float64).reshape(len(maps), *grid)
    top, bottom, left, right = fit.window
    labels = np.full(fit.original, VOID, np.uint16)
    labels[top:bottom, left:right] = winners(stack, fit.pixel_rows(grid), fit.pixel_columns(grid))
    return drop_empty(Segmentation(labels, _clarity(stack)))


def drop_empty(segmentation: Segmentation) -> Segmentation:
    """Leave out segments without a pixel; the others keep their order."""
    kept = np.flatnonzero(segmentation.areas)
    table = np.full(len(segmentation) + 1, VOID, np.uint16)
    table[kept] = np.arange(len(kept))
    names, name_scores = segmentation.names, segmentation.name_scores
    return Segmentation(
        table[np.minimum(segmentation.labels, len(segmentation))],
        segmentation.scores[kept],
        tuple(names[i] for i in kept) if names else (),
        name_scores[kept] if len(name_scores) else name_scores,
    )


def _clarity(maps: Array) -> Array:
    """Mean share of each map's value in the sum of all, over the cells that it wins; its best share if it wins none."""
    share = (maps / np.maximum(maps.sum(axis=0), 1e-300)).reshape(len(maps), -1)
    won = indicators(share.argmax(axis=0), len(maps))
    cells = won.sum(axis=1)
    return np.where(cells > 0, (share * won).sum(axis=1) / np.maximum(cells, 1), share.max(axis=1))


def indicators(labels: npt.NDArray[np.int64], count: int | None = None) -> Array:
    """(n,) labels as (count, n) maps that are 1 where the label is theirs; as many as there are labels if left out."""
    return (labels == np.arange(labels.max() + 1 if count is None else count)[:, None]).astype(np.float64)


def raster(cells: npt.NDArray[np.floating], fit: Fit, size: Size) -> npt.NDArray[np.float64]:
    """Spread an (h, w) map over the whole photo, (rows, columns) as ``size`` says; NaN where it was not seen."""
    height, width = cells.shape
    rows, columns = fit.raster(*size, cells.shape)
    (y, v), (x, u) = two_taps(np.nan_to_num(rows), height), two_taps(np.nan_to_num(columns), width)
    y2, x2 = np.minimum(y + 1, height - 1), np.minimum(x + 1, width - 1)
    along = cells[:, x] * (1 - u) + cells[:, x2] * u
    out = along[y] * (1 - v)[:, None] + along[y2] * v[:, None]
    out[np.isnan(rows)] = np.nan
    out[:, np.isnan(columns)] = np.nan
    return out
