"""Semantic matching scored on pairs of photos with known keypoints."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ..backbones.base import Backbone, ReadSettings
from ..errors import InvalidInput
from ..grid import Fit, Points
from ..images import load_picture
from ..matching import nearest, prompt
from ..probe import Probe
from ..transfer.tables import KeypointTable
from ..types import Picture, Reading
from ..world import RESERVED, Scene, categories, make_pair
from .metrics import PairErrors

SIDE = 128


@dataclass(frozen=True)
class KeypointPair:
    """Two photos and the keypoints visible in both.

    Attributes:
        category: what they show.
        source: photo with the query points.
        target: photo to search.
        query: (N, 2) pixels of the source.
        truth: (N, 2) pixels of the target.
        threshold: the length that PCK's alpha is a fraction of, pixels.
    """

    category: str
    source: Picture
    target: Picture
    query: Points
    truth: Points
    threshold: float


def world_pairs(per_category: int, first: int = RESERVED) -> list[KeypointPair]:
    """Draw pairs of procedural pictures: ``per_category`` of each category, from the seed ``first`` on.

    The threshold is the longer side of the box around what shows of the target object.
    """
    pairs = []
    for number, kind in enumerate(categories()):
        for i in range(per_category):
            drawn = make_pair(first + number * 10_000 + i, SIDE, kind=kind)
            a, b = drawn.source.objects[0], drawn.target.objects[0]
            seen = a.visible & b.visible
            photos = (_picture(drawn.source), _picture(drawn.target))
            threshold = float((b.box[2:] - b.box[:2]).max())
            pairs.append(KeypointPair(kind, *photos, a.keypoints[seen], b.keypoints[seen], threshold))
    return pairs


def _picture(scene: Scene) -> Picture:
    return Picture(torch.from_numpy(scene.image).permute(2, 0, 1).contiguous())


def csv_pairs(table: Path, count: int, seed: int = 0) -> list[KeypointPair]:
    """Draw pairs of different photos from a table of keypoints.

    The threshold is the longer side of the tight box around the target's true keypoints.

    Args:
        table: CSV with a column ``image`` (file names beside the table) and, for each keypoint, columns ``NAME_x`` and
            ``NAME_y`` (or ``x0``, ``y0``, ...) in pixels, empty where it is not marked, and optionally
            ``NAME_visible`` (0 or 1).
        count: pairs to draw.
        seed: of the draw.

    Raises:
        UnreadableFile: if the table cannot be read.
        InvalidInput: if it lacks columns, or two photos.
    """
    if seed < 0:
        raise InvalidInput(f"seed {seed} does not suit; use 0 or more")
    rows = KeypointTable.read(table)
    if len(rows) < 2:
        raise InvalidInput(f"{table} has one row only; give two photos or more")
    points, seen = rows.points, ~(rows.visible <= 0)  # an empty cell, NaN, counts as seen
    pictures: dict[int, Picture] = {}
    pairs = []
    rng = np.random.default_rng(seed)
    for _ in range(count):
        i, j = (int(n) for n in rng.choice(len(rows), 2, replace=False))
        for n in (i, j):
            pictures.setdefault(n, load_picture(table.parent / rows.columns["image"][n]))
        inside = [((points[n] >= 0) & (points[n] <= pictures[n].size[::-1])).all(axis=1) & seen[n] for n in (i, j)]
        extent = points[j][inside[1]]
        threshold = float(np.ptp(extent, axis=0).max()) if len(extent) else 0.0
        both = inside[0] & inside[1] & (threshold > 0)  # a single point has no extent to measure by
        pairs.append(KeypointPair(table.stem, pictures[i], pictures[j], points[i][both], points[j][both], threshold))
    return pairs


def few_points(pairs: list[KeypointPair], count: int, seed: int = 0) -> list[KeypointPair]:
    """The same pairs with at most ``count`` of their points each, drawn at random."""
    rng = np.random.default_rng(seed)
    kept = []
    for pair in pairs:
        chosen = np.sort(rng.permutation(len(pair.query))[:count])
        kept.append(replace(pair, query=pair.query[chosen], truth=pair.truth[chosen]))
    return kept


def run_pairs(backbone: Backbone, settings: ReadSettings, pairs: list[KeypointPair]) -> list[PairErrors]:
    """Match every pair by features and measure how far each prediction is from the truth; photos are read once."""
    pictures = list({id(p): p for pair in pairs for p in (pair.source, pair.target)}.values())
    read = Probe(backbone).read(pictures, settings)
    readings = {id(picture): reading for picture, reading in zip(pictures, read, strict=True)}
    return [match_errors(pair, readings[id(pair.source)], readings[id(pair.target)]) for pair in pairs]


def match_errors(pair: KeypointPair, source: Reading, target: Reading) -> PairErrors:
    """Match a pair's points by what was read of its photos, and measure how far they are off."""
    found = nearest.match(source, target, pair.query)
    return PairErrors(pair.category, np.linalg.norm(found.matched - pair.truth, axis=1), pair.threshold)


def run_prompt(
    backbone: Backbone, settings: prompt.PromptSettings, pairs: list[KeypointPair]
) -> tuple[list[PairErrors], list[PairErrors]]:
    """Match every pair by prompts.

    Returns:
        How far each prediction is from the truth; and, to see whether a point was learnt at all, how far it is found
        from itself in the source, in cells of the coarsest map.
    """
    from tqdm import tqdm

    sides = prompt.map_sides(backbone, settings)
    grid = (min(sides), min(sides))
    found, again = [], []
    for pair in tqdm(pairs, desc=f"{backbone.card.name}, {settings.mode}", unit="pair", leave=False):
        if len(pair.query) == 0:
            continue
        *_, learnt = prompt.optimise(backbone, pair.source, pair.query, settings)
        rows = {point: row for row, point in enumerate(map(tuple, learnt.points.tolist()))}
        order = np.array([rows[point] for point in map(tuple, pair.query.tolist())])  # points may coincide
        there, here = (prompt.locate(backbone, learnt, photo).matches[order] for photo in (pair.target, pair.source))
        off = np.linalg.norm(there.matched - pair.truth, axis=1)
        found.append(PairErrors(pair.category, off, pair.threshold))
        fit = Fit.make("stretch", pair.source.size, (settings.size, settings.size))
        cells = fit.to_grid(here.matched, grid) - fit.to_grid(here.query, grid)
        again.append(PairErrors(pair.category, np.linalg.norm(cells, axis=1), 1.0))
    return found, again
