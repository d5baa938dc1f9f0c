"""Semantic matching on reserved pictures of the procedural world, whose truth is exact."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..backbones.base import Backbone, ReadSettings
from ..matching import nearest
from ..probe import Probe
from ..types import Picture
from ..world import RESERVED, Scene, categories, make_pair
from .metrics import PairErrors

SIDE = 128


@dataclass(frozen=True)
class WorldPair:
    """A pair of pictures and its mutually visible keypoints."""

    category: str
    source: Picture
    target: Picture
    query: np.ndarray
    truth: np.ndarray
    threshold: float


def world_pairs(per_category: int, first: int = RESERVED) -> list[WorldPair]:
    """Draw the benchmark's pairs: ``per_category`` pairs of each category, from the seed ``first`` on."""
    pairs = []
    for number, kind in enumerate(categories()):
        for i in range(per_category):
            drawn = make_pair(first + number * 10_000 + i, SIDE, kind=kind)
            a, b = drawn.source.objects[0], drawn.target.objects[0]
            seen = a.visible & b.visible
            box = b.box
            threshold = float(max(box[2] - box[0], box[3] - box[1]))
            pairs.append(
                WorldPair(
                    kind,
                    _picture(drawn.source),
                    _picture(drawn.target),
                    a.keypoints[seen],
                    b.keypoints[seen],
                    threshold,
                )
            )
    return pairs


def _picture(scene: Scene) -> Picture:
    import torch

    return Picture(torch.from_numpy(scene.image).permute(2, 0, 1).contiguous())


def run_pairs(backbone: Backbone, settings: ReadSettings, pairs: list[WorldPair]) -> list[PairErrors]:
    """Match every pair and measure how far each prediction is from the truth."""
    probe = Probe(backbone)
    pictures = [picture for pair in pairs for picture in (pair.source, pair.target)]
    readings = probe.read(pictures, settings)
    results = []
    for i, pair in enumerate(pairs):
        found = nearest.match(readings[2 * i], readings[2 * i + 1], pair.query)
        distances = np.linalg.norm(found.matched - pair.truth, axis=1)
        results.append(PairErrors(pair.category, distances, pair.threshold))
    return results
