"""From maps on a grid to labels of pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..grid import Fit, Size, two_taps
from ..types import VOID, Segmentation

Array = npt.NDArray[np.float64]

CHUNK = 2**22
"""Values interpolated at a time."""


def winners(maps: Array, rows: Array, columns: Array) -> npt.NDArray[np.uint16]:
    """Which of K maps is highest at each point of a raster; the first wins ties.

    Between four neighbouring cells every map is the same mixture of its values there, so a map that is highest in all
    four is highest between them; only the rest is interpolated.

    Args:
        maps: (K, h, w).
        rows, columns: (H,) y and (W,) x of the raster in cell coordinates, clamped to the grid.

    Returns:
        (H, W) indices into ``maps``.
    """
    _, height, width = maps.shape
    (y, v), (x, u) = two_taps(rows, height), two_taps(columns, width)
    y2, x2 = np.minimum(y + 1, height - 1), np.minimum(x + 1, width - 1)
    best = maps.argmax(axis=0).astype(np.uint16)
    labels = best[y[:, None], x]
    agreed = np.ones(labels.shape, bool)
    for corner in (best[y[:, None], x2], best[y2[:, None], x], best[y2[:, None], x2]):
        agreed &= corner == labels
    unsure_rows, unsure_columns = np.nonzero(~agreed)
    flat = np.ascontiguousarray(maps.reshape(len(maps), -1))
    step = max(1, CHUNK // len(maps))
    for start in range(0, len(unsure_rows), step):
        i, j = unsure_rows[start : start + step], unsure_columns[start : start + step]
        values = (
            flat[:, y[i] * width + x[j]] * ((1 - v[i]) * (1 - u[j]))
            + flat[:, y[i] * width + x2[j]] * ((1 - v[i]) * u[j])
            + flat[:, y2[i] * width + x[j]] * (v[i] * (1 - u[j]))
            + flat[:, y2[i] * width + x2[j]] * (v[i] * u[j])
        )
        labels[i, j] = values.argmax(axis=0)
    return labels


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
    """Mean share of each map's value in the sum of all, over the cells that it wins; 0 where it wins none."""
    best = maps.argmax(axis=0)
    share = maps.max(axis=0) / np.maximum(maps.sum(axis=0), 1e-300)
    count = np.bincount(best.ravel(), minlength=len(maps))
    return np.bincount(best.ravel(), share.ravel(), minlength=len(maps)) / np.maximum(count, 1)


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
