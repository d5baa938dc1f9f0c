"""Label propagation: each cell takes the labels of the cells most like it in the frames before.

The DIFT paper (Tang et al., 2023, arXiv 2306.03881, section 5.3; protocol of Jabri et al., 2020, arXiv 2006.14613)
compares all cells of a frame with all cells of 29 others, sets to zero what lies outside a window, keeps the k largest
of each cell and averages their labels. Here only cells within reach of a window are compared, tile by tile, one context
frame after the other; of each cell only the best k + 1 so far are held, and the answer is the same.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..errors import InvalidInput
from ..grid import Size

Window = Literal["square", "circle"]
Ties = Literal["kept", "first"]
Shrink = Literal["nearest", "area"]

TILE = 8
"""Side of a tile in cells: larger ones compare more cells in vain, smaller ones make poor use of matrix products."""


@dataclass(frozen=True)
class Propagation:
    """How labels are followed; the defaults are DIFT's for DAVIS-2017 with Stable Diffusion.

    Attributes:
        context: frames before the present one that labels are taken from, besides the first.
        radius: how far a cell looks, in cells.
        window: ``square``, up to and with the radius both ways; ``circle``, strictly within it.
        top: the k best cells of all context frames count.
        temperature: of the softmax over their cosines.
        ties: ``kept``, all cells as good as the k-th count; ``first``, k and no more.
        pad: the context of early frames is filled up with copies of the first, as JHMDB's protocol does.
        shrink: a cell of the first mask has the label of the pixel at its middle (``nearest``), or the share of each
            label among its pixels (``area``), which does not lose small objects.
        spread: each label's map is spread to 0..1 before the highest is taken, as DAVIS's protocol does.
    """

    context: int = 28
    radius: int = 15
    window: Window = "square"
    top: int = 15
    temperature: float = 0.2
    ties: Ties = "kept"
    pad: bool = False
    shrink: Shrink = "nearest"
    spread: bool = True

    def __post_init__(self) -> None:
        least = {"context": 0, "radius": 1 if self.window == "circle" else 0, "top": 1}
        for name, bound in least.items():
            if not (isinstance(value := getattr(self, name), int) and value >= bound):
                raise InvalidInput(f"{name} is {value}; it must be a whole number, {bound} or more")
        if not 0 < self.temperature < float("inf"):
            raise InvalidInput(f"temperature is {self.temperature}; it must be above 0")
        for name, kind in (("window", Window), ("ties", Ties), ("shrink", Shrink)):
            if getattr(self, name) not in get_args(kind):
                raise InvalidInput(f"unknown {name} {getattr(self, name)!r}; use {' or '.join(get_args(kind))}")


PRESETS: dict[str, dict[str, Any]] = {
    "davis": {},
    "davis-adm": {"temperature": 0.1, "top": 10},
    "jhmdb": {"temperature": 0.1, "radius": 5, "window": "circle", "ties": "first", "pad": True},
}
"""What differs from the defaults: DIFT's settings for DAVIS with ADM, and its radius and temperature for JHMDB."""


def settings_for(card_defaults: dict[str, Any], preset: str | None = None, **changes: Any) -> Propagation:
    """The settings of a model's card, or of a preset, with single ones replaced; None replaces nothing.

    Raises:
        InvalidInput: for an unknown preset, or a setting out of range.
    """
    if preset is not None and preset not in PRESETS:
        raise InvalidInput(f"unknown preset {preset!r}; use {', '.join(PRESETS)}")
    base = Propagation(**(card_defaults if preset is None else PRESETS[preset]))
    return replace(base, **{name: value for name, value in changes.items() if value is not None})


def affordable(settings: Propagation, grid: Size, channels: int, labels: int, memory: int) -> Propagation:
    """The settings with as long a context as fits a budget.

    Args:
        settings: as wished.
        grid: (h, w) of the feature map.
        channels: of it.
        labels: maps of soft labels, background included.
        memory: bytes for the features and labels of the context and of the present frame.

    Raises:
        InvalidInput: if not even the first frame and one before the present fit.
    """
    frame = 4 * grid[0] * grid[1] * (channels + 2 * labels)  # labels are held, and laid side by side when used
    fits = memory // frame - 2
    if fits < min(1, settings.context):
        raise InvalidInput(
            f"{memory / 2**20:.0f} MiB do not hold three frames of {grid[1]}x{grid[0]} cells with {labels} labels "
            f"({3 * frame / 2**20:.0f} MiB); give more memory or a smaller size"
        )
    return replace(settings, context=min(settings.context, fits))


@dataclass(frozen=True)
class _Tile:
    """A block of cells and the cells that their windows reach.

    Attributes:
        rows, columns: of the n cells.
        near_rows, near_columns: of the m cells within reach of any of them.
        far: (n, m) which of those lie outside a cell's own window.
        cells: (m,) their numbers in row-major order.
    """

    rows: slice
    columns: slice
    near_rows: slice
    near_columns: slice
    far: Tensor
    cells: Tensor


@lru_cache(maxsize=2)
def _tiles(grid: Size, radius: int, window: Window, device: torch.device) -> tuple[_Tile, ...]:
    def spans(size: int) -> list[tuple[slice, slice]]:
        starts = range(0, size, TILE)
        ends = [min(size, start + TILE) for start in starts]
        return [
            (slice(a, b), slice(max(0, a - radius), min(size, b + radius))) for a, b in zip(starts, ends, strict=True)
        ]

    tiles = []
    for rows, near_rows in spans(grid[0]):
        for columns, near_columns in spans(grid[1]):
            y, x, near_y, near_x = (
                torch.arange(span.start, span.stop, device=device) for span in (rows, columns, near_rows, near_columns)
            )
            dy = (y[:, None] - near_y).abs()[:, None, :, None]
            dx = (x[:, None] - near_x).abs()[None, :, None, :]
            far = (dy > radius) | (dx > radius) if window == "square" else dy**2 + dx**2 >= radius**2
            cells = (near_y[:, None] * grid[1] + near_x).flatten()
            tiles.append(_Tile(rows, columns, near_rows, near_columns, far.reshape(len(y) * len(x), -1), cells))
    return tuple(tiles)


def propagate(target: Tensor, context: Sequence[Tensor], labels: Sequence[Tensor], settings: Propagation) -> Tensor:
    """Label a frame from others.

    Args:
        target: (h, w, C) features of the frame, each cell's of length 1.
        context: likewise of the frames to take labels from.
        labels: (L, h, w) soft labels of each of those, on the same device.
        settings: how.

    Returns:
        (L, h, w) soft labels; within the range of those given.
    """
    height, width, _ = target.shape
    known = torch.stack([own.flatten(1).T for own in labels]).flatten(0, 1)  # (frames h w, L)
    found = torch.empty(height, width, known.shape[1], dtype=known.dtype, device=known.device)
    for tile in _tiles((height, width), settings.radius, settings.window, target.device):
        block = target[tile.rows, tile.columns]
        own = _label_tile(block.flatten(0, 1), context, known, tile, settings)
        found[tile.rows, tile.columns] = own.reshape(*block.shape[:2], -1)
    return found.permute(2, 0, 1).contiguous()


def _label_tile(
    queries: Tensor, context: Sequence[Tensor], known: Tensor, tile: _Tile, settings: Propagation
) -> Tensor:
    """Soft labels (n, L) of the n cells of a tile. One cosine more than k is held, so that a tie at the end shows."""
    cells = len(known) // len(context)
    values = queries.new_empty(len(queries), 0)
    places = torch.empty(len(queries), 0, dtype=torch.long, device=queries.device)
    for number, frame in enumerate(context):
        cosines = _cosines(queries, frame, tile)
        best, where = cosines.topk(min(settings.top + 1, cosines.shape[1]))
        values = torch.cat([values, best], dim=1)
        places = torch.cat([places, tile.cells[where] + number * cells], dim=1)
        values, order = values.topk(min(settings.top + 1, values.shape[1]))
        places = places.gather(1, order)
    weights = (values[:, : settings.top] / settings.temperature).softmax(dim=1)
    found = torch.einsum("nk,nkl->nl", weights.to(known), known[places[:, : settings.top]])
    if settings.ties == "kept" and values.shape[1] > settings.top:
        last, after = values[:, settings.top - 1], values[:, settings.top]
        tied = last == after
        if tied.any():
            found[tied] = _label_tied(queries, context, known, tile, values, settings)[tied]
    return found


def _label_tied(
    queries: Tensor, context: Sequence[Tensor], known: Tensor, tile: _Tile, values: Tensor, settings: Propagation
) -> Tensor:
    """Likewise, from all cells as good as the k-th or better: compared once more, and added up as they come."""
    cells = len(known) // len(context)
    highest, lowest = values[:, :1], values[:, settings.top - 1, None]
    total, mass = known.new_zeros(len(queries), known.shape[1]), known.new_zeros(len(queries), 1)
    for number, frame in enumerate(context):
        cosines = _cosines(queries, frame, tile)
        weights = ((cosines - highest) / settings.temperature).exp().where(cosines >= lowest, 0.0).to(known)
        total += weights @ known[tile.cells + number * cells]
        mass += weights.sum(dim=1, keepdim=True)
    return total / mass


def _cosines(queries: Tensor, frame: Tensor, tile: _Tile) -> Tensor:
    """(n, m) cosines of a tile's cells with those around them in another frame; -inf outside the window."""
    near = frame[tile.near_rows, tile.near_columns].flatten(0, 1)
    return (queries @ near.T).masked_fill_(tile.far, -torch.inf)


class Memory:
    """The frames that labels are taken from: the first, and the last ones before the present.

    Args:
        settings: how labels are followed.
        features: (h, w, C) of the first frame, each cell's of length 1.
        labels: (L, h, w) of the first frame.
    """

    def __init__(self, settings: Propagation, features: Tensor, labels: Tensor) -> None:
        self.settings = settings
        self.first = (features, labels)
        self.recent = deque([self.first] * (settings.context if settings.pad else 0), maxlen=settings.context)

    def label(self, features: Tensor) -> Tensor:
        """Label the present frame (h, w, C): (L, h, w), soft."""
        context, labels = zip(self.first, *self.recent, strict=True)
        return propagate(features, context, labels, self.settings)

    def push(self, features: Tensor, labels: Tensor) -> None:
        """Take a frame into the context; the oldest but the first leaves when it is full."""
        self.recent.append((features, labels))
