"""Points that are carried over together keep about the arrangement that they have in their reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..grid import Points
from .refine import window_soft_argmax

FEWEST = 4
"""Points that an arrangement needs."""

ROUNDS = 3
"""How often places are found and the arrangement is fitted to them."""

STEPS = 8
"""Steps of the robust fit."""


def arrange(
    scores: Tensor, shapes: Sequence[Points], strength: float, width: float, window: int, temperature: float
) -> tuple[Tensor, Points]:
    """Favour places where a similarity of the reference's arrangement puts a point.

    Each shape is laid over the places found so far by a robust similarity, and a Gaussian around where it puts each
    point is added to that point's map; places and fit are found in turn.

    Args:
        scores: (N, h, w) cosines.
        shapes: (N, 2) arrangements, in units of their own, one a reference; NaN for points that it does not show.
        strength: height of the Gaussian, in units of the temperature.
        width: its standard deviation, as a fraction of the arrangement's extent.
        window, temperature: of the soft-argmax that finds places.

    Returns:
        The maps with what was added, and (N, 2) cell coordinates (x, y) where the shapes put each point on average;
        NaN where none could be laid over.
    """
    raised, expected = scores, np.full((len(scores), 2), np.nan)
    for _ in range(ROUNDS):
        prior, expected = _expectation(raised, shapes, width, window, temperature)
        raised = scores + strength * temperature * prior
    return raised, expected


def _expectation(
    scores: Tensor, shapes: Sequence[Points], width: float, window: int, temperature: float
) -> tuple[Tensor, Points]:
    """The mean of the shapes' Gaussians (N, h, w), and of their centres (N, 2)."""
    places = window_soft_argmax(scores, window, temperature).cpu().numpy()
    sure = (scores.double() / temperature).flatten(1).softmax(dim=1).amax(dim=1).cpu().numpy()
    y, x = (torch.arange(side, dtype=scores.dtype, device=scores.device) for side in scores.shape[1:])
    total, centres, counts = torch.zeros_like(scores), np.zeros(places.shape), np.zeros(len(places))
    for shape in shapes:
        known = np.isfinite(shape).all(axis=1)
        if known.sum() < FEWEST:
            continue
        laid = fit_similarity(shape[known], places[known], sure[known])(shape[known])
        reach = width * max(1.0, float(np.ptp(laid, axis=0).max()))
        where = torch.from_numpy(laid).to(scores)
        bell_x = torch.exp(-((x - where[:, :1]) ** 2) / (2 * reach**2))
        bell_y = torch.exp(-((y - where[:, 1:]) ** 2) / (2 * reach**2))
        total[torch.from_numpy(known)] += bell_y[:, :, None] * bell_x[:, None]
        centres[known] += laid
        counts += known
    shown = np.maximum(counts, 1)
    mean = np.where(counts[:, None] > 0, centres / shown[:, None], np.nan)
    return total / torch.from_numpy(shown).to(scores)[:, None, None], mean


@dataclass(frozen=True)
class Similarity:
    """A turn, a scale and a shift, as ``turn * z + shift`` on points z = x + iy."""

    turn: complex
    shift: complex

    def __call__(self, points: Points) -> Points:
        """Move (N, 2) points."""
        moved = self.turn * (points[:, 0] + 1j * points[:, 1]) + self.shift
        return np.stack([moved.real, moved.imag], axis=1)

    @property
    def scale(self) -> float:
        """How much longer lengths become."""
        return abs(self.turn)


def fit_similarity(shape: Points, places: Points, weights: npt.NDArray[np.float64]) -> Similarity:
    """The similarity that lays (N, 2) points over others best; far-off ones hardly count.

    The least-squares fit is repeated with Cauchy weights, whose scale is the median distance.
    """
    source, goal = (points[:, 0] + 1j * points[:, 1] for points in (shape, places))
    own, found = weights, Similarity(1, 0)
    for _ in range(STEPS):
        share = own / own.sum()
        centre, middle = share @ source, share @ goal
        spread = float(share @ np.abs(source - centre) ** 2)
        turn = share @ (np.conj(source - centre) * (goal - middle)) / spread if spread > 0 else 1.0
        found = Similarity(complex(turn), complex(middle - turn * centre))
        off = np.abs(found.turn * source + found.shift - goal)
        own = weights / (1 + (off / max(float(np.median(off)), 1e-6)) ** 2)
    return found
