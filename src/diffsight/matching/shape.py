"""Points that are carried over together keep about the arrangement that they have in their reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..grid import Points
from .refine import softmax, window_soft_argmax

FEWEST = 4
"""Points that an arrangement needs."""

ROUNDS = 3
"""How often places are found and the arrangement is fitted to them."""

STEPS = 8
"""Steps of the robust fit."""

Complex = npt.NDArray[np.complex128]


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
    enough = [shape for shape in shapes if np.isfinite(shape).all(axis=1).sum() >= FEWEST]
    for _ in range(ROUNDS if enough else 0):
        prior, expected = _expectation(raised, np.stack(enough), width, window, temperature)
        raised = scores + strength * temperature * prior
    return raised, expected


def _expectation(
    scores: Tensor, shapes: Points, width: float, window: int, temperature: float
) -> tuple[Tensor, Points]:
    """The mean of the Gaussians of (K, N, 2) shapes, (N, h, w), and of their centres, (N, 2)."""
    places = window_soft_argmax(scores, window, temperature).cpu().numpy()
    sure = softmax(scores.double(), temperature).flatten(1).amax(dim=1).cpu().numpy()
    laid = fit_similarity(shapes, places, sure)(shapes)
    extent = (np.nanmax(laid, axis=1) - np.nanmin(laid, axis=1)).max(axis=1)
    reach = torch.from_numpy(width * np.maximum(1.0, extent)).to(scores)[:, None, None]
    centres = torch.from_numpy(laid).to(scores)
    y, x = (torch.arange(side, dtype=scores.dtype, device=scores.device) for side in scores.shape[1:])
    bell_x, bell_y = (
        torch.exp(-((axis - centres[:, :, own, None]) ** 2) / (2 * reach**2)).nan_to_num()
        for own, axis in enumerate((x, y))
    )
    counts = np.isfinite(laid[:, :, :1]).sum(axis=0)
    shown = np.maximum(counts, 1)
    mean = np.where(counts > 0, np.nansum(laid, axis=0) / shown, np.nan)
    total = torch.einsum("knh,knw->nhw", bell_y, bell_x)
    return total / torch.from_numpy(shown).to(scores)[:, :, None], mean


@dataclass(frozen=True, eq=False)
class Similarity:
    """A turn, a scale and a shift, as ``turn * z + shift`` on points z = x + iy; or several, (...,) of them."""

    turn: Complex
    shift: Complex

    def __call__(self, points: Points) -> Points:
        """Move (..., N, 2) points."""
        moved = self.turn[..., None] * _complex(points) + self.shift[..., None]
        return np.stack([moved.real, moved.imag], axis=-1)

    @property
    def scale(self) -> npt.NDArray[np.float64]:
        """How much longer lengths become."""
        return np.abs(self.turn)


def fit_similarity(shape: Points, places: Points, weights: npt.NDArray[np.float64]) -> Similarity:
    """The similarity that lays points over others best; far-off ones hardly count.

    The least-squares fit is repeated with Cauchy weights, whose scale is the median distance.

    Args:
        shape: (..., N, 2) points, each set to be laid over the places; NaN for those that do not count.
        places: (N, 2).
        weights: (N,) of the places, above 0.
    """
    known = np.asarray(np.isfinite(shape).all(axis=-1))
    source, goal = np.where(known, _complex(shape), 0), _complex(places)
    prior = np.where(known, weights, 0.0)
    least = 1e-12 * np.max(np.abs(source) ** 2, axis=-1, keepdims=True)  # of points in one place the turn is unknown
    own = prior
    for _ in range(STEPS):
        share = own / own.sum(axis=-1, keepdims=True)
        centre, middle = ((share * points).sum(axis=-1, keepdims=True) for points in (source, goal))
        spread = (share * np.abs(source - centre) ** 2).sum(axis=-1, keepdims=True)
        cross = (share * np.conj(source - centre) * (goal - middle)).sum(axis=-1, keepdims=True)
        turn = np.divide(cross, spread, out=np.ones_like(cross), where=spread > least)
        off = np.abs(turn * (source - centre) + middle - goal)
        own = prior / (1 + (off / np.maximum(_median(off, known), 1e-6)) ** 2)
    return Similarity(turn[..., 0], (middle - turn * centre)[..., 0])


def _complex(points: Points) -> Complex:
    return np.asarray(points[..., 0] + 1j * points[..., 1])


def _median(values: npt.NDArray[np.float64], known: npt.NDArray[np.bool_]) -> npt.NDArray[np.float64]:
    """Of the known values along the last axis, which is kept."""
    ordered = np.sort(np.where(known, values, np.inf), axis=-1)
    count = known.sum(axis=-1, keepdims=True)
    middle = np.concatenate([(count - 1) // 2, count // 2], axis=-1)
    return np.take_along_axis(ordered, middle, axis=-1).mean(axis=-1, keepdims=True)
