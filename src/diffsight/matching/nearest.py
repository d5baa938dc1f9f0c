"""Nearest neighbours at full photo resolution, without ever building a full-size feature map.

The DIFT paper (Tang et al., 2023, arXiv 2306.03881) upsamples a (C, h, w) map bilinearly to the photo's H x W,
normalises every pixel's vector, and takes the pixel with the highest cosine. The same numbers come cheaper:

* the inner product with a query is linear, so the (h, w) scores are upsampled instead of the C channels;
* the squared length of an interpolated vector is a quadratic form in the inner products of its four corners, which five
  small maps hold for all cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Points, two_taps
from ..types import Matches, Reading

EPSILON = 1e-12
TILE = 2**26
"""Scores held at once, in bytes; larger photos are searched in bands of rows."""

Coordinates = npt.NDArray[np.float64]
Measure = Literal["cosine", "distance"]
"""What nearest means: the highest cosine, or the smallest Euclidean distance."""


def sample(features: Tensor, cells: Points) -> Tensor:
    """Interpolate a (C, h, w) map bilinearly at (N, 2) cell coordinates (x, y); (N, C), clamped at the border."""
    _, height, width = features.shape
    (x, fx), (y, fy) = (_torch_taps(cells[:, axis], size, features) for axis, size in ((0, width), (1, height)))
    x1, y1 = (x + 1).clamp(max=width - 1), (y + 1).clamp(max=height - 1)
    above = features[:, y, x] * (1 - fx) + features[:, y, x1] * fx
    below = features[:, y1, x] * (1 - fx) + features[:, y1, x1] * fx
    return (above * (1 - fy) + below * fy).T


def _torch_taps(coordinates: Coordinates, cells: int, like: Tensor) -> tuple[Tensor, Tensor]:
    base, fraction = two_taps(coordinates, cells)
    return torch.from_numpy(base).to(like.device), torch.from_numpy(fraction).to(like)


def _blend(maps: Tensor, base: Tensor, fraction: Tensor) -> Tensor:
    """Interpolate the rows (axis -2) of a map."""
    after = (base + 1).clamp(max=maps.shape[-2] - 1)
    return torch.lerp(maps[..., base, :], maps[..., after, :], fraction[:, None])


def _across(base: Tensor, cells: int, weight: Tensor, next_weight: Tensor) -> Tensor:
    """The (cells, N) matrix by which rows of cells become so much of N cells plus so much of the ones after them.

    Multiplying by it is several times as quick as picking the cells of every place of a photo.
    """
    matrix = weight.new_zeros(cells, len(base))
    places = torch.arange(len(base), device=base.device)
    matrix[base, places] = weight
    matrix[(base + 1).clamp(max=cells - 1), places] += next_weight
    return matrix


@dataclass(frozen=True)
class TargetMap:
    """A feature map prepared for search: the map, and the inner products of neighbouring cells.

    Attributes:
        features: (C, h, w).
        own: (h, w), each cell with itself.
        right: (h, w), with its right neighbour; like the others, border cells are their own missing neighbours.
        below: (h, w), with the cell below.
        diagonal: (h, w), the sum of the products along both diagonals of the block whose upper left cell it is.
    """

    features: Tensor
    own: Tensor
    right: Tensor
    below: Tensor
    diagonal: Tensor

    @classmethod
    def prepare(cls, features: Tensor) -> TargetMap:
        """Compute the inner products of a (C, h, w) map."""
        rightward = torch.cat([features[:, :, 1:], features[:, :, -1:]], dim=2)
        downward = torch.cat([features[:, 1:], features[:, -1:]], dim=1)
        corner = torch.cat([downward[:, :, 1:], downward[:, :, -1:]], dim=2)

        def inner(a: Tensor, b: Tensor) -> Tensor:
            return torch.linalg.vecdot(a, b, dim=0)

        return cls(
            features,
            own=inner(features, features),
            right=inner(features, rightward),
            below=inner(features, downward),
            diagonal=inner(features, corner) + inner(downward, rightward),
        )

    def cosines(self, vectors: Tensor, rows: Coordinates, columns: Coordinates) -> Tensor:
        """Cosine of unit vectors with the interpolated map.

        Args:
            vectors: (K, C), each of length 1.
            rows: (H,) cell coordinates y.
            columns: (W,) cell coordinates x.

        Returns:
            (K, H, W).
        """
        scores, norms = self._scores(vectors, rows, columns)
        return scores.div_(norms)

    def closeness(self, vectors: Tensor, rows: Coordinates, columns: Coordinates) -> Tensor:
        """Half the squared length of vectors, of any length, minus half their squared distance from the map; (K, H, W).

        The place where it is highest is the nearest by Euclidean distance.
        """
        scores, norms = self._scores(vectors, rows, columns)
        return scores.sub_(norms.square_().div_(2))

    def _scores(self, vectors: Tensor, rows: Coordinates, columns: Coordinates) -> tuple[Tensor, Tensor]:
        """Inner products with the interpolated map (K, H, W), and the map's lengths (H, W)."""
        channels, height, width = self.features.shape
        y, fy = _torch_taps(rows, height, self.features)
        x, fx = _torch_taps(columns, width, self.features)
        scores = (vectors @ self.features.reshape(channels, -1)).view(-1, height, width)
        return _blend(scores, y, fy) @ _across(x, width, 1 - fx, fx), self._norms(y, fy, x, fx)

    def _norms(self, y: Tensor, fy: Tensor, x: Tensor, fx: Tensor) -> Tensor:
        """Length of the interpolated vector at every (row, column), at least ``EPSILON``."""
        height, width = self.own.shape
        y1 = (y + 1).clamp(max=height - 1)
        a, b = fy[:, None], fx
        upper, lower, cross = (1 - a) ** 2, a**2, a * (1 - a)
        column = upper * self.own[y] + lower * self.own[y1] + 2 * cross * self.below[y]
        between = upper * self.right[y] + lower * self.right[y1] + cross * self.diagonal[y]
        once, twice = _across(x, width, (1 - b) ** 2, b**2), _across(x, width, 2 * b * (1 - b), torch.zeros_like(b))
        squared = torch.addmm(column @ once, between, twice)
        return squared.clamp_(min=0).sqrt_().clamp_(min=EPSILON)

    def nearest(
        self, vectors: Tensor, rows: Coordinates, columns: Coordinates, measure: Measure = "cosine"
    ) -> tuple[Tensor, Tensor]:
        """The best place for each vector: (K, 2) as (column, row) indices, and (K,) cosines of unit vectors.

        By ``distance`` vectors may have any length, and the values are their ``closeness``. Of equal scores the first
        in row-major order wins.
        """
        compare = self.cosines if measure == "cosine" else self.closeness
        step = max(1, TILE // (vectors.element_size() * max(1, len(vectors)) * len(columns)))
        best = torch.full((len(vectors),), -torch.inf, dtype=vectors.dtype, device=vectors.device)
        place = torch.zeros(len(vectors), dtype=torch.long, device=vectors.device)
        for start in range(0, len(rows), step):
            band = compare(vectors, rows[start : start + step], columns).flatten(1)
            score, index = band.max(dim=1)
            better = score > best
            best = torch.where(better, score, best)
            place = torch.where(better, index + start * len(columns), place)
        return torch.stack([place % len(columns), place // len(columns)], dim=1), best

    def peaks(
        self, vector: Tensor, rows: Coordinates, columns: Coordinates, count: int, apart: tuple[float, float]
    ) -> tuple[Tensor, Tensor]:
        """The ``count`` best places for one unit vector (C,), at least ``apart`` (x, y) photo pixels from each other.

        Returns:
            (n, 2) as (column, row) indices and (n,) cosines, best first; n < count where the photo is too small.
        """
        step = max(1, TILE // (vector.element_size() * len(columns)))
        bands = [self.cosines(vector[None], rows[i : i + step], columns)[0] for i in range(0, len(rows), step)]
        scores = torch.cat(bands)
        places, values = [], []
        for _ in range(count):
            value, index = scores.flatten().max(dim=0)
            if value == -torch.inf:
                break
            row, column = divmod(int(index), len(columns))
            places.append((column, row))
            values.append(value)
            reach_x, reach_y = (max(0, int(np.ceil(a)) - 1) for a in apart)
            scores[
                max(0, row - reach_y) : row + reach_y + 1, max(0, column - reach_x) : column + reach_x + 1
            ] = -torch.inf
        return torch.tensor(places), torch.stack(values)


def unit(vectors: Tensor) -> Tensor:
    """Scale (N, C) vectors to length 1."""
    return vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True).clamp(min=EPSILON)


def describe(reading: Reading, points: Points, stage: str | None = None) -> Tensor:
    """The unit feature vector at (N, 2) photo pixels, (N, C)."""
    return unit(sample(reading.feature(stage), reading.fit.to_grid(points, reading.grid(stage))))


def _search(
    vectors: Tensor, target: TargetMap, reading: Reading, stage: str | None
) -> tuple[Points, npt.NDArray[np.float64]]:
    grid = reading.grid(stage)
    places, scores = target.nearest(vectors, reading.fit.pixel_rows(grid), reading.fit.pixel_columns(grid))
    return _to_pixels(places, reading), scores.double().cpu().numpy()


def _to_pixels(places: Tensor, reading: Reading) -> Points:
    top, _, left, _ = reading.fit.window
    return places.cpu().numpy() + np.array([left + 0.5, top + 0.5])


def cell_size(reading: Reading, stage: str | None = None) -> tuple[float, float]:
    """Width and height of a grid cell in photo pixels."""
    height, width = reading.grid(stage)
    fit = reading.fit
    return fit.network[1] / width / fit.scale[0], fit.network[0] / height / fit.scale[1]


def _leads_back(
    points: Points, matched: Points, origin: TargetMap, source: Reading, target: Reading, stage: str | None
) -> npt.NDArray[np.bool_]:
    """Whether each match's own nearest neighbour in the source is its query, within a grid cell."""
    back, _ = _search(describe(target, matched, stage), origin, source, stage)
    return np.asarray((np.abs(back - points) <= cell_size(source, stage)).all(axis=1))


def match(source: Reading, target: Reading, points: Points, stage: str | None = None) -> Matches:
    """Find points of one photo in another, at the resolution of the target photo.

    Args:
        source: reading of the photo that the points lie in.
        target: reading of the photo to search, at the same stage.
        points: (N, 2) as (x, y) in pixels of the source photo, pixel centres at +0.5; any real numbers inside it.
        stage: feature stage; the first one read if left out.

    Returns:
        Matches whose score is the cosine; matched points are centres of target pixels.

    Raises:
        InvalidInput: for a point outside the source photo.
    """
    points = source.fit.check_points(points)
    if len(points) == 0:
        return Matches(points, points.copy(), np.empty(0), np.empty(0, bool))
    goal = TargetMap.prepare(target.feature(stage))
    matched, scores = _search(describe(source, points, stage), goal, target, stage)
    origin = TargetMap.prepare(source.feature(stage))
    mutual = _leads_back(points, matched, origin, source, target, stage)
    return Matches(points, matched, scores, mutual)


def match_top(source: Reading, target: Reading, points: Points, count: int, stage: str | None = None) -> list[Matches]:
    """The ``count`` best places for each point, at least one grid cell apart; one ``Matches`` a point, best first.

    Raises:
        InvalidInput: for a point outside the source photo or a count below 1.
    """
    if count < 1:
        raise InvalidInput(f"cannot give the {count} best places; ask for at least 1")
    points = source.fit.check_points(points)
    goal = TargetMap.prepare(target.feature(stage))
    grid = target.grid(stage)
    rows, columns = target.fit.pixel_rows(grid), target.fit.pixel_columns(grid)
    origin, found = TargetMap.prepare(source.feature(stage)), []
    for point, vector in zip(points, describe(source, points, stage), strict=True):
        places, scores = goal.peaks(vector, rows, columns, count, cell_size(target, stage))
        matched = _to_pixels(places, target)
        mutual = _leads_back(point, matched, origin, source, target, stage)
        found.append(Matches(np.tile(point, (len(matched), 1)), matched, scores.double().cpu().numpy(), mutual))
    return found


def score_maps(
    source: Reading, target: Reading, points: Points, rows: int, columns: int, stage: str | None = None
) -> Tensor:
    """The cosine of each point with the whole target photo, at any resolution.

    Returns:
        (N, rows, columns); NaN where the network does not see the photo.
    """
    points = source.fit.check_points(points)
    y, x = target.fit.raster(rows, columns, target.grid(stage))
    unseen = torch.from_numpy(np.isnan(y)[:, None] | np.isnan(x)[None])
    goal = TargetMap.prepare(target.feature(stage))
    maps = goal.cosines(describe(source, points, stage), np.nan_to_num(y), np.nan_to_num(x))
    return maps.masked_fill_(unseen, torch.nan)


def suggest_points(source: Reading, target: Reading, count: int, stage: str | None = None) -> Points:
    """Well-spread points of the source photo that match both ways, the most object-like first.

    Candidates are grid cells that are each other's nearest neighbour. A cell is taken for background as far as it
    resembles the rim of its own photo. Of the best candidates those are kept whose match at full resolution leads back.

    Returns:
        (n, 2) photo pixels, n <= count.
    """
    here, there = source.feature(stage), target.feature(stage)
    grid = source.grid(stage)
    a, b = (unit(f.flatten(1).T) for f in (here, there))
    forward, backward = mutual_argmax(a, b)
    cells = torch.arange(len(a))
    candidates = cells[backward[forward] == cells]
    rim = torch.zeros(grid, dtype=torch.bool)
    rim[[0, -1]] = rim[:, [0, -1]] = True
    likeness = (a[candidates] @ a[rim.flatten()].T).max(dim=1).values
    agreement = (a[candidates] * b[forward[candidates]]).sum(dim=1)
    order = (agreement * (1 - likeness)).argsort(descending=True, stable=True)
    places = torch.stack([candidates % grid[1], candidates // grid[1]], dim=1)[order].numpy().astype(float)
    pixels = source.fit.to_pixels(places, grid)
    top, bottom, left, right = source.fit.window
    inside = (pixels >= (left, top)).all(axis=1) & (pixels <= (right, bottom)).all(axis=1)
    best = pixels[inside][: 8 * count]
    return _spread(best[~match(source, target, best, stage).one_way], count, np.array([right - left, bottom - top]))


def mutual_argmax(a: Tensor, b: Tensor, block: int = 2048) -> tuple[Tensor, Tensor]:
    """Nearest row of (M, C) for each row of (N, C), and the other way round, by inner product; ties go to the first."""
    forward = []
    best = b.new_full((len(b),), -torch.inf)
    backward = torch.zeros(len(b), dtype=torch.long, device=b.device)
    for start in range(0, len(a), block):
        scores = a[start : start + block] @ b.T
        forward.append(scores.argmax(dim=1))
        value, index = scores.max(dim=0)
        backward = torch.where(value > best, index + start, backward)
        best = torch.maximum(best, value)
    return torch.cat(forward), backward


def _spread(points: Points, count: int, extent: npt.NDArray[np.float64]) -> Points:
    """Take points in order, skipping those too close to one taken; loosen the distance until ``count`` are found."""
    taken: list[int] = []
    for distance in (0.16, 0.12, 0.09, 0.06, 0.03):
        for i in range(len(points)):
            if len(taken) == count:
                break
            if i not in taken and all(np.linalg.norm((points[i] - points[j]) / extent) >= distance for j in taken):
                taken.append(i)
    return points[taken]
