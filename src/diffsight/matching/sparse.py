"""Keypoints matched by features (DIFT's geometric task: Tang et al., 2023, arXiv 2306.03881, section 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Points
from ..types import Matches, Reading
from .nearest import Measure, mutual_argmax, sample, unit

Sampling = Literal["correct", "reference"]
"""Where a keypoint lies on the feature map: by the half-pixel rule, or as DIFT's HPatches script has it."""


@dataclass(frozen=True)
class SparseSettings:
    """How keypoints are matched; the defaults are the paper's with Stable Diffusion, sampled correctly.

    Attributes:
        sampling: ``correct``, or ``reference`` to repeat the figures of DIFT's script, which is off by up to half a
            cell near the borders and fades out there.
        measure: ``cosine``, or ``distance`` as the paper uses with ADM.
        ratio: keep a match only if its distance is at most this share of the second best's (Lowe, 2004); None keeps all
            mutual neighbours, as the paper does.
    """

    sampling: Sampling = "correct"
    measure: Measure = "cosine"
    ratio: float | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("sampling", get_args(Sampling)), ("measure", get_args(Measure))):
            if getattr(self, name) not in allowed:
                raise InvalidInput(f"unknown {name} {getattr(self, name)!r}; use {' or '.join(allowed)}")
        if self.ratio is not None and not 0 < self.ratio <= 1:
            raise InvalidInput(f"ratio {self.ratio:g} does not suit; use above 0 up to 1")


def describe_keypoints(
    reading: Reading, points: Points, sampling: Sampling = "correct", stage: str | None = None
) -> Tensor:
    """The feature vector at (N, 2) photo pixels, (N, C), of its own length."""
    features, grid = reading.feature(stage), reading.grid(stage)
    if sampling == "correct":
        return sample(features, reading.fit.to_grid(points, grid))
    padded = torch.nn.functional.pad(features, (1, 1, 1, 1))  # beyond the map the script reads zeros
    return sample(padded, reading.fit.to_grid_as_published(points, grid) + 1)


def match_keypoints(
    source: Reading,
    target: Reading,
    source_points: Points,
    target_points: Points,
    settings: SparseSettings | None = None,
    stage: str | None = None,
) -> Matches:
    """Pair keypoints of two photos that are each other's nearest neighbour.

    Args:
        source, target: readings of the photos at the same stage.
        source_points, target_points: (N, 2) and (M, 2) pixels of the photos.
        settings: how to compare.
        stage: feature stage; the first one read if left out.

    Returns:
        Mutual matches in the order of ``source_points``; the score is the cosine or minus the distance.

    Raises:
        InvalidInput: for a point outside its photo.
    """
    settings = settings or SparseSettings()
    here, there = source.fit.check_points(source_points), target.fit.check_points(target_points)
    if not len(here) or not len(there):
        return Matches(np.empty((0, 2)), np.empty((0, 2)), np.empty(0), np.empty(0, bool))
    a = describe_keypoints(source, here, settings.sampling, stage)
    b = describe_keypoints(target, there, settings.sampling, stage)
    own, other, score = mutual_pairs(a, b, settings.measure, settings.ratio)
    return Matches(here[own], there[other], score, np.ones(len(own), bool))


def mutual_pairs(
    a: Tensor, b: Tensor, measure: Measure = "cosine", ratio: float | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of (N, C) and (M, C) that are each other's nearest neighbour; of equal ones the first is the nearest.

    Returns:
        Indices into a (ascending), indices into b, and the cosines or minus the distances of the pairs.
    """
    a, b = (unit(a), unit(b)) if measure == "cosine" else _as_inner_products(a.double(), b.double())
    forward, backward = mutual_argmax(a, b)
    own = torch.arange(len(a))
    keep = backward[forward] == own
    values = (a * b[forward]).sum(dim=1)
    if ratio is not None and len(b) > 1:
        best, second = (_distance(v, measure) for v in _two_best(a, b))
        keep &= best <= ratio * second
    score = values if measure == "cosine" else -_distance(values, measure)
    return own[keep].numpy(), forward[keep].numpy(), score[keep].double().numpy()


def _as_inner_products(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Extend vectors so that their inner product is minus half their squared distance."""
    lengths = [v.square().sum(dim=1, keepdim=True) / 2 for v in (a, b)]
    one = [torch.ones_like(length) for length in lengths]
    return torch.cat([a, -lengths[0], one[0]], dim=1), torch.cat([b, one[1], -lengths[1]], dim=1)


def _distance(values: Tensor, measure: Measure) -> Tensor:
    return (2 - 2 * values if measure == "cosine" else -2 * values).clamp(min=0).sqrt()


def _two_best(a: Tensor, b: Tensor, block: int = 2048) -> tuple[Tensor, Tensor]:
    values = torch.cat([(part @ b.T).topk(2, dim=1).values for part in a.split(block)])
    return values[:, 0], values[:, 1]
