"""Points of one or several photos in another, with all that speaks for and against each match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Points
from .confidence import Signals
from .nearest import cell_size, unit
from .refine import Cells, Refinement, Sampling, best_cells, mirror_points, near_best, softmax, view_distance
from .shape import arrange

Values = npt.NDArray[np.float64]
Known = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class View:
    """A photo, or its mirror image, whose points are known.

    Attributes:
        cells: what the network saw in it.
        points: (N, 2) pixels; NaN for those that it does not show.
        vectors: (N, C) their unit vectors; zero where there is no point.
    """

    cells: Cells
    points: Points
    vectors: Tensor

    @classmethod
    def of(cls, cells: Cells, points: Points, sampling: Sampling = "bilinear") -> View:
        """Take the vectors of (N, 2) points, of which some may be NaN."""
        known = np.isfinite(points).all(axis=1)
        vectors = cells.vectors.new_zeros(len(points), cells.vectors.shape[1])
        vectors[torch.from_numpy(known)] = cells.describe(points[known], sampling)
        return cls(cells, points, vectors)

    @property
    def known(self) -> Known:
        """(N,) which points it shows."""
        return np.asarray(np.isfinite(self.points).all(axis=1))


@dataclass(frozen=True, eq=False)
class Reference:
    """A photo whose points are known, and its mirror image if that was read."""

    plain: View
    flipped: View | None = None

    @classmethod
    def of(
        cls,
        cells: Cells,
        points: Points,
        flipped: Cells | None = None,
        swap: Sequence[int] | None = None,
        sampling: Sampling = "bilinear",
    ) -> Reference:
        """Take the vectors of a photo's points.

        Args:
            cells: of the photo.
            points: (N, 2) pixels, NaN for those that it does not show.
            flipped: of its mirror image, which the flip test needs.
            swap: (N,) for each point the one whose place it takes in a mirror image (right for left); itself if it has
                no sides. Left out, no point changes places.
            sampling: how vectors are taken.
        """
        plain = View.of(cells, points, sampling)
        if flipped is None:
            return cls(plain)
        order = np.arange(len(points)) if swap is None else np.asarray(swap, np.int64)
        places = mirror_points(points[order], cells.reading.fit.original[1])
        return cls(plain, View.of(flipped, places, sampling))

    @property
    def views(self) -> tuple[View, ...]:
        """The photo, and its mirror image if there is one."""
        return (self.plain,) if self.flipped is None else (self.plain, self.flipped)

    def nearer(self, target: Cells) -> View:
        """The one of plain and flipped view that is more like a photo; of equal ones the plain.

        Raises:
            InvalidInput: if the mirror image was not read.
        """
        if self.flipped is None:
            raise InvalidInput("the flip test needs the mirror image of every reference; read that too")
        plain, flipped = (view_distance(view.cells.coarse, target.coarse) for view in self.views)
        return self.flipped if flipped < plain else self.plain


@dataclass(frozen=True, eq=False)
class Located:
    """Where points are in a photo.

    Attributes:
        points: (N, 2) pixels; NaN for a point that no reference shows.
        signals: of each.
        flipped: (K,) whether each reference was matched from its mirror image.
    """

    points: Points
    signals: Signals
    flipped: Known


def locate(
    references: Sequence[Reference],
    target: Cells,
    how: Refinement | None = None,
    channels: Sequence[int] = (),
) -> Located:
    """Find the points that references show in another photo.

    The references vote with their cosines: a point's map is the mean over those that show it. What the references say
    one by one, and what their other views say, becomes a signal.

    Args:
        references: one or more, of the same N points.
        target: the photo to search.
        how: how matches are read off.
        channels: of the parts that are joined in the maps; with two or more, their agreement becomes a signal.

    Raises:
        InvalidInput: without a reference.
    """
    how = Refinement() if how is None else how
    if not references:
        raise InvalidInput("no reference is given; give one or more annotated photos")
    views = [own.nearer(target) if how.flip else own.plain for own in references]
    flipped = np.array([view is not own.plain for view, own in zip(views, references, strict=True)])
    known = np.stack([own.plain.known for own in references])
    asked = np.asarray(known.any(axis=0))
    votes = torch.stack([_vote(own.plain, view) for own, view in zip(references, views, strict=True)])[:, asked]
    mean = votes.sum(dim=0) / torch.from_numpy(known[:, asked].sum(axis=0)).to(votes)[:, None]
    scores = target.cosines(mean)
    raised, expected = _arrange([view.points[asked] for view in views], scores, target, how)
    found = target.locate(mean, raised, how)
    signals = {
        **_sharpness(scores, raised, how),
        "references": _spread(votes, known[:, asked], scores, target),
        "parts": _disagreement(mean, target, channels),
        "shape": _apart(expected, found, target),
        "flip": _other_views(references, flipped, asked, target, found, how),
        **_lead_back(views, asked, target, found, how),
    }
    return _whole(asked, found, signals, flipped)


def _vote(plain: View, view: View) -> Tensor:
    """The view's vectors (N, C) of the points that the photo shows; its own where the view lacks a point's partner."""
    both = torch.from_numpy(plain.known & view.known).to(view.vectors.device)
    return torch.where(both[:, None], view.vectors, plain.vectors)


def _whole(asked: Known, found: Points, signals: dict[str, Values], flipped: Known) -> Located:
    """Put what was found for the points asked into rows of all points."""
    points = np.full((len(asked), 2), np.nan)
    points[asked] = found
    rows = {name: np.full(len(asked), np.nan) for name in signals}
    for name, values in signals.items():
        rows[name][asked] = values
    return Located(points, Signals.of(len(asked), **rows), flipped)


def _arrange(shapes: Sequence[Points], scores: Tensor, target: Cells, how: Refinement) -> tuple[Tensor, Points]:
    """The maps with the references' arrangements added, and where those put each point, in pixels."""
    if how.shape == 0:
        return scores, np.full((len(scores), 2), np.nan)
    raised, cells = arrange(scores, shapes, how.shape, how.shape_width, how.window, how.temperature)
    return raised, target.reading.fit.to_pixels(cells, target.grid)


def _sharpness(scores: Tensor, raised: Tensor, how: Refinement) -> dict[str, Values]:
    """How much the maps of cosines stand out around the cells that were chosen, (N,) each."""
    inside = near_best(raised, how.window)
    weights = softmax(raised.double().masked_fill(~inside, -torch.inf), how.temperature)
    x, y = best_cells(raised).unbind(dim=1)
    peak = scores[torch.arange(len(scores), device=x.device), y, x]
    outside = scores.masked_fill(inside, -torch.inf).flatten(1).amax(dim=1)
    lead = torch.where(outside.isfinite(), peak - outside, peak)
    cells = inside.flatten(1).sum(dim=1).clamp(min=2)
    entropy = -torch.xlogy(weights, weights).flatten(1).sum(dim=1) / cells.double().log()
    found = {"peak": peak, "lead": lead, "entropy": entropy}
    return {name: values.double().cpu().numpy() for name, values in found.items()}


def _spread(votes: Tensor, known: Known, scores: Tensor, target: Cells) -> Values:
    """How far the references one by one (K, N, C) would put each point from where they put it together, (N,)."""
    if len(votes) == 1:
        return np.full(len(scores), np.nan)
    own = _pixels(target, target.cosines(votes.flatten(0, 1))).reshape(*known.shape, 2)
    off = _apart(own, _pixels(target, scores), target)
    several = known.sum(axis=0) > 1
    return np.where(several, _mean(np.where(known, off, np.nan)), np.nan)


def _disagreement(vectors: Tensor, target: Cells, channels: Sequence[int]) -> Values:
    """How far apart the parts of a joined map would put each point: their mean distance from their middle, (N,)."""
    if len(channels) < 2:
        return np.full(len(vectors), np.nan)
    pieces = zip(vectors.split(list(channels), dim=1), target.vectors.split(list(channels), dim=1), strict=True)
    places = np.stack([_pixels(target, target.seen_only(unit(a) @ unit(b).T)) for a, b in pieces])
    return np.asarray(_apart(places, places.mean(axis=0), target).mean(axis=0))


def _pixels(target: Cells, scores: Tensor) -> Points:
    """The centre of the best cell, in photo pixels."""
    return target.reading.fit.to_pixels(best_cells(scores).double().cpu().numpy(), target.grid)


def _lead_back(views: Sequence[View], asked: Known, target: Cells, found: Points, how: Refinement) -> dict[str, Values]:
    """How far from its query each match leads back to: the mean over views, and the share that come home."""
    far, home = (np.full((len(views), len(found)), np.nan) for _ in range(2))
    vectors = target.describe(found, how.sampling)
    for row, view in enumerate(views):
        shown = view.known[asked]
        own = vectors[shown]
        back = view.cells.locate(own, view.cells.cosines(own), how)
        query = view.points[asked][shown]
        far[row, shown] = _apart(back, query, view.cells)
        home[row, shown] = (np.abs(back - query) <= cell_size(view.cells.reading)).all(axis=1)
    return {"cycle": _mean(far), "mutual": _mean(home)}


def _other_views(
    references: Sequence[Reference], flipped: Known, asked: Known, target: Cells, found: Points, how: Refinement
) -> Values:
    """How far from the match the views that were not chosen put each point: the mean over them, (N,).

    Points that only one of the views shows are left out, as the photo then votes whichever view is chosen.
    """
    pairs = [own.views if flip else own.views[::-1] for own, flip in zip(references, flipped, strict=True)]
    others = [pair for pair in pairs if len(pair) == 2]
    far = np.full((len(others), len(found)), np.nan)
    if others:
        shown = np.stack([(other.known & chosen.known)[asked] for other, chosen in others])
        vectors = torch.stack([other.vectors[asked] for other, _ in others])[torch.from_numpy(shown)]
        places = target.locate(vectors, target.cosines(vectors), how)
        far[shown] = _apart(places, found[shown.nonzero()[1]], target)
    return _mean(far)


def _apart(here: Points, there: Points, cells: Cells) -> Values:
    """Distances (...,) of points (..., 2) of a photo, as fractions of its longer side."""
    return np.asarray(np.linalg.norm(here - there, axis=-1) / max(cells.reading.fit.original))


def _mean(values: Values) -> Values:
    """Of the known values in each column; NaN where none is."""
    counts = np.isfinite(values).sum(axis=0)
    return np.where(counts > 0, np.nansum(values, axis=0) / np.maximum(counts, 1), np.nan)
