"""Words for segments: each gets the word whose cross-attention it holds most (DiffSeg, section 3.4).

Unlike the reference code: every layer of a size counts alike; a word is found by its characters, so that one split into
several tokens is pooled; equal words are one; segments are cut in a pass without a prompt; and of a caption every word
but stop words is a candidate, not only what a tagger calls a noun.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Fit, Size
from ..types import VOID, Segmentation

ROWS = 512
"""Photo rows counted at a time."""


def word_maps(levels: Sequence[tuple[Tensor, Size]], tokens: Sequence[Sequence[int]], grid: Size) -> Tensor:
    """Cross-attention of words: the sum over sizes on the finest grid, each word of unit length; (W, h, w).

    Args:
        levels: (queries, tokens) maps whose rows sum to 1, with the (h, w) of their queries.
        tokens: the tokens of each word; several are averaged.
        grid: (h, w) to bring all to.
    """
    total = torch.zeros(len(tokens), *grid)
    for attention, own in levels:
        words = torch.stack([attention[:, list(mine)].float().mean(dim=1) for mine in tokens])
        total += F.interpolate(words.reshape(1, -1, *own), grid, mode="bilinear", align_corners=False)[0]
    return F.normalize(total.flatten(1), dim=1, eps=1e-12).reshape(total.shape)


def name_segments(
    segmentation: Segmentation, maps: Tensor, words: Sequence[str], fit: Fit, *, margin: float = 0.0
) -> Segmentation:
    """Give each segment the word with the highest mean over its pixels.

    Args:
        segmentation: of a photo.
        maps: (W, h, w) from ``word_maps``.
        words: (W,).
        fit: how the photo was laid out.
        margin: least lead of the best word over the second, as a share of the best; below it a segment has no name.
    """
    height, width = maps.shape[1:]
    cover = _cover(segmentation, fit, (height, width))
    mean = cover @ maps.flatten(1).T.double().numpy() / np.maximum(cover.sum(axis=1, keepdims=True), 1)
    order = np.sort(mean, axis=1)
    second = order[:, -2] if len(words) > 1 else np.zeros(len(order))
    lead = (order[:, -1] - second) / np.maximum(order[:, -1], 1e-300)
    best = mean.argmax(axis=1)
    names = tuple(words[b] if ahead >= margin else "" for b, ahead in zip(best, lead, strict=True))
    scores = order[:, -1] / np.maximum(mean.sum(axis=1), 1e-300)
    return replace(segmentation, names=names, name_scores=scores)


def merge_by_name(segmentation: Segmentation) -> Segmentation:
    """Join the segments of one name; scores are averaged by area, nameless segments stay as they are.

    Raises:
        InvalidInput: for a segmentation that was not named.
    """
    if len(segmentation) and not segmentation.names:
        raise InvalidInput("segments without names cannot be joined by them; name them first")
    names = segmentation.names
    keys = [name or f"\0{i}" for i, name in enumerate(names)]
    kept = list(dict.fromkeys(keys))
    group = np.array([kept.index(key) for key in keys])
    weights = segmentation.areas
    total = np.maximum(np.bincount(group, weights, len(kept)), 1)

    def pooled(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.bincount(group, values * weights, len(kept)) / total

    table = np.append(group, VOID).astype(np.uint16)
    labels = table[np.minimum(segmentation.labels, len(group))]
    shown = tuple("" if key.startswith("\0") else key for key in kept)
    return Segmentation(labels, pooled(segmentation.scores), shown, pooled(segmentation.name_scores))


def _cover(segmentation: Segmentation, fit: Fit, grid: Size) -> npt.NDArray[np.float64]:
    """How many pixels of each segment lie in each cell, (N, h w)."""
    top, bottom, left, right = fit.window
    rows, columns = (
        np.clip(np.rint(at).astype(np.int64), 0, cells - 1)
        for at, cells in zip((fit.pixel_rows(grid), fit.pixel_columns(grid)), grid, strict=True)
    )
    cells = grid[0] * grid[1]
    count = np.zeros(len(segmentation) * cells)
    for start in range(top, bottom, ROWS):
        labels = segmentation.labels[start : min(bottom, start + ROWS), left:right].astype(np.int64)
        place = rows[start - top : start - top + len(labels), None] * grid[1] + columns
        count += np.bincount((labels * cells + place).ravel(), minlength=len(count))
    return count.reshape(len(segmentation), cells)
