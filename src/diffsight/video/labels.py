"""From masks, boxes and points of the first frame to soft labels of cells, and back in every frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Fit, Points, Size
from .propagate import Shrink

Mask = npt.NDArray[np.uint8]

UNSEEN = 255
"""The label of pixels that the network did not see; in a first mask, of pixels of which nothing is known."""

MOST = 254
"""Objects that the labels of one byte tell apart."""

SIGMA = 0.5
"""Width of the Gaussian that marks a point, in cells (JHMDB's protocol)."""

PEAKS = 3
"""Cells whose weighted mean is a point's place (JHMDB's protocol)."""


@dataclass(frozen=True)
class Target:
    """What to follow, as the first frame has it: objects or points.

    Attributes:
        ids: the objects' labels, 1 to 254 in rising order; or the points' numbers, from 1.
        mask: (H, W) uint8 with those labels, 0 for background, 255 where nothing is known; None for points.
        points: (N, 2) pixels of the first frame; None for objects.
    """

    ids: tuple[int, ...]
    mask: Mask | None = None
    points: Points | None = None

    def soft(self, fit: Fit, grid: Size, shrink: Shrink = "nearest") -> Tensor:
        """Labels of cells, (1 + N, h, w) float32, background first.

        Raises:
            InvalidInput: for a point that the network does not see.
        """
        if self.points is not None:
            return _mark_points(fit.check_points(self.points), fit, grid)
        assert self.mask is not None  # it is one or the other
        return _shrink_mask(self.mask, self.ids, fit, grid, shrink)


def objects(mask: npt.NDArray[np.integer], size: Size) -> Target:
    """Follow the objects of a mask.

    Args:
        mask: (H, W): 0 is background, 1 to 254 are objects, 255 is unknown.
        size: (height, width) of the first frame.

    Raises:
        InvalidInput: for another size, labels out of range, or no object.
    """
    if mask.shape != size:
        given = "x".join(map(str, mask.shape[::-1]))
        raise InvalidInput(
            f"the mask is {given}, but the frame is {size[1]}x{size[0]}; give a mask of the frame's size"
        )
    if mask.min() < 0 or mask.max() > UNSEEN:
        raise InvalidInput(
            f"the mask has labels from {mask.min()} to {mask.max()}; use 0 for background, 1 to {MOST} for objects"
        )
    ids = tuple(int(label) for label in np.unique(mask) if label not in (0, UNSEEN))
    if not ids:
        raise InvalidInput("the mask shows no object; label what to follow 1 or higher")
    return Target(ids, mask=mask.astype(np.uint8))


def boxes(corners: npt.ArrayLike, size: Size) -> Target:
    """Follow what lies in boxes (N, 4), each (x0, y0, x1, y1) in pixels; where they overlap the later one counts.

    Raises:
        InvalidInput: for a box without a pixel of the frame, or too many.
    """
    array = np.asarray(corners, np.float64).reshape(-1, 4)
    if len(array) > MOST:
        raise InvalidInput(f"{len(array)} boxes are too many; give {MOST} at most")
    mask = np.zeros(size, np.uint8)
    for number, corner in enumerate(array, start=1):
        mask[box_pixels(corner, size)] = number
    target = objects(mask, size)
    if len(target.ids) < len(array):
        hidden = min(set(range(1, len(array) + 1)) - set(target.ids))
        raise InvalidInput(f"box {hidden} is covered by later ones; give boxes that show")
    return target


def box_pixels(corners: npt.ArrayLike, size: Size) -> npt.NDArray[np.bool_]:
    """The pixels (H, W) of a frame whose middle lies in a box (x0, y0, x1, y1).

    Raises:
        InvalidInput: if there is none.
    """
    x0, y0, x1, y1 = np.asarray(corners, np.float64)
    y, x = np.arange(size[0])[:, None] + 0.5, np.arange(size[1]) + 0.5
    inside: npt.NDArray[np.bool_] = (x >= x0) & (x <= x1) & (y >= y0) & (y <= y1)
    if not inside.any():
        raise InvalidInput(
            f"box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) holds no pixel of the frame ({size[1]}x{size[0]}); give "
            "x0 < x1 and y0 < y1 inside of it"
        )
    return inside


def brush_pixels(path: Points, width: float, size: Size) -> npt.NDArray[np.bool_]:
    """The pixels (H, W) of a frame that a round brush covers.

    Args:
        path: (N, 2) pixels of the frame that its middle passes through, N at least 1.
        width: of the brush, pixels.
        size: (height, width) of the frame.
    """
    from PIL import Image, ImageDraw

    sheet = Image.new("L", size[::-1])
    pen = ImageDraw.Draw(sheet)
    places = [(float(x) - 0.5, float(y) - 0.5) for x, y in path]  # there pixels are counted from their middles
    pen.line(places, fill=1, width=max(1, round(width)))
    for place in places:
        pen.circle(place, max(0.0, width / 2 - 0.5), fill=1)  # its edge counts
    return np.asarray(sheet) > 0


def points(places: npt.ArrayLike) -> Target:
    """Follow points (N, 2), each (x, y) in pixels of the first frame."""
    array = np.asarray(places, np.float64)
    return Target(tuple(range(1, len(array) + 1)), points=array)


def _shrink_mask(mask: Mask, ids: tuple[int, ...], fit: Fit, grid: Size, shrink: Shrink) -> Tensor:
    table = np.full(256, -1)
    table[[0, *ids]] = np.arange(len(ids) + 1)
    channels = table[mask]
    cells = np.stack(np.meshgrid(np.arange(grid[1]), np.arange(grid[0])), axis=-1).reshape(-1, 2)
    middle = np.floor(fit.to_pixels(cells.astype(np.float64), grid)).astype(int)
    inside = ((middle >= 0) & (middle < fit.original[::-1])).all(axis=1)
    own = np.full(len(cells), -1)
    own[inside] = channels[middle[inside, 1], middle[inside, 0]]
    soft = (own == np.arange(len(ids) + 1)[:, None]).astype(np.float32)
    if shrink == "area":
        shares, counts = _shares(channels, len(ids) + 1, fit, grid)
        soft = np.where(counts > 0, shares / np.maximum(counts, 1), soft).astype(np.float32)
    return torch.from_numpy(soft).reshape(-1, *grid)


def _shares(
    channels: npt.NDArray[np.int64], count: int, fit: Fit, grid: Size
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Pixels of each label in each cell, (count, h w), and all pixels that lie in it, (h w,)."""
    top, bottom, left, right = fit.window
    rows = np.clip(np.rint(fit.pixel_rows(grid)), 0, grid[0] - 1).astype(int)
    columns = np.clip(np.rint(fit.pixel_columns(grid)), 0, grid[1] - 1).astype(int)
    cells = (rows[:, None] * grid[1] + columns).ravel()
    seen = channels[top:bottom, left:right].ravel()
    known = seen >= 0
    cells_all = grid[0] * grid[1]
    shares = np.bincount(seen[known] * cells_all + cells[known], minlength=count * cells_all)
    return shares.reshape(count, cells_all).astype(float), np.bincount(cells, minlength=cells_all)


def _mark_points(places: Points, fit: Fit, grid: Size) -> Tensor:
    """A Gaussian for each point, cut off at three sigmas; background where there is none."""
    cells = torch.from_numpy(fit.to_grid(places, grid)).float()
    dx = torch.arange(grid[1]) - cells[:, :1]
    dy = torch.arange(grid[0]) - cells[:, 1:]
    squared = dy[:, :, None] ** 2 + dx[:, None, :] ** 2
    marks = torch.exp(-squared / (2 * SIGMA**2)) * (squared <= (3 * SIGMA) ** 2)
    background = (marks.sum(dim=0, keepdim=True) == 0).float()
    return torch.cat([background, marks])


def read_mask(soft: Tensor, ids: tuple[int, ...], fit: Fit, spread: bool = True) -> Mask:
    """The label of every pixel of a frame, from soft labels of cells (1 + N, h, w); 255 where it was not seen.

    As DAVIS's protocol does: bilinear to the network's input, each map spread to 0..1, the highest, nearest pixel.
    """
    highest = torch.full(fit.network, -torch.inf, device=soft.device)
    winner = torch.zeros(fit.network, dtype=torch.uint8, device=soft.device)
    for own, label in zip(soft, (0, *ids), strict=True):
        full = F.interpolate(own[None, None], fit.network, mode="bilinear", align_corners=False)[0, 0]
        low, high = float(full.min()), float(full.max())
        if spread and high > max(low, 0.0):  # a map that is the same everywhere has nothing to spread
            full = (full - low) / (high - low)
        winner = torch.where(full > highest, label, winner)
        highest = torch.maximum(highest, full)
    labels = np.full(fit.original, UNSEEN, np.uint8)
    top, bottom, left, right = fit.window
    rows = np.clip(np.floor(fit.pixel_rows(fit.network) + 0.5), 0, fit.network[0] - 1).astype(int)
    columns = np.clip(np.floor(fit.pixel_columns(fit.network) + 0.5), 0, fit.network[1] - 1).astype(int)
    labels[top:bottom, left:right] = winner.to(torch.uint8).cpu().numpy()[rows[:, None], columns]
    return labels


def read_points(soft: Tensor, fit: Fit) -> Points:
    """Where points are, (N, 2) pixels, from soft labels of cells (1 + N, h, w); NaN for one that no cell shows.

    As JHMDB's protocol does: the weighted mean of the three highest cells of each map, the background left out.
    """
    height, width = soft.shape[1:]
    weights, cells = soft[1:].flatten(1).double().topk(min(PEAKS, height * width))
    places = torch.stack([cells % width, cells // width], dim=2).double()
    mean = (weights[..., None] * places).sum(dim=1) / weights.sum(dim=1, keepdim=True)
    return fit.to_pixels(mean.cpu().numpy(), (height, width))


def piece_boxes(labels: Mask, ids: tuple[int, ...]) -> npt.NDArray[np.int64]:
    """The tight box of the largest connected piece of each label, (N, 4) as (x0, y0, x1, y1); zeros where none shows.

    The far side is exclusive. What a few stray pixels far off would blow up is no box to follow an object by.
    """
    from scipy.ndimage import find_objects, label

    found = np.zeros((len(ids), 4), np.int64)
    for row, own in zip(found, ids, strict=True):
        pieces, count = label(labels == own)
        if count:
            largest = np.bincount(pieces.ravel())[1:].argmax()
            rows, columns = find_objects(pieces)[largest]
            row[:] = columns.start, rows.start, columns.stop, rows.stop
    return found
