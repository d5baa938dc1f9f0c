"""The whole job in one object: read a photo once, cut it as often as wanted."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from ..backbones.base import Backbone, adjust
from ..backbones.captioner import Captioner
from ..backbones.registry import load, task_settings
from ..backbones.words import FILLERS
from ..errors import InvalidInput
from ..grid import Fit, Size
from ..images import load_picture
from ..probe import Probe
from ..types import AND, Picture, Reading, Segmentation, Taps
from . import ncut
from .aggregate import Aggregate, Level, level_weights
from .borders import sharpen_borders
from .diffseg import DiffSegSettings, Merging, anchor_cells
from .kmeans import kmeans, refine, spectral
from .labels import indicators, label_pixels, raster
from .naming import merge_by_name, name_segments, word_maps
from .ncut import NcutSettings

Solver = Literal["diffseg", "ncut", "kmeans"]

LONGEST = 4.0
"""Photos longer than this (long side over short) are squeezed to it before the network sees them."""

MOST_BORDERS = 4.0
"""Borders move by no more than so many cells."""

STOP_WORDS = FILLERS | {"are", "to", "by", "for", "from", "near", "next", "over", "under"}
"""Words of a caption that are no candidates for a name."""


@dataclass(frozen=True)
class KMeansSettings:
    """Settings of the baselines.

    Attributes:
        segments: how many to make.
        of: what is clustered: the self-attention ``maps``, or the ``features`` of the task's stage.
        method: ``kmeans``, or ``spectral`` for features.
        seed: of the start.
    """

    segments: int = 6
    of: Literal["maps", "features"] = "maps"
    method: Literal["kmeans", "spectral"] = "kmeans"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.segments < 1:
            raise InvalidInput(f"{self.segments} segments are too few; use 1 or more")
        if self.of not in ("maps", "features") or self.method not in ("kmeans", "spectral"):
            raise InvalidInput(
                f"cannot cluster {self.of!r} by {self.method!r}; use maps or features, kmeans or spectral"
            )
        if self.method == "spectral" and self.of == "maps":
            raise InvalidInput("spectral clustering works on features; choose those, or kmeans")


Settings = DiffSegSettings | NcutSettings | KMeansSettings


@dataclass(frozen=True)
class Words:
    """Candidate names: the prompt that holds them, and the tokens of each in it."""

    prompt: str
    words: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Prepared:
    """A photo that has been read, ready to be cut.

    Attributes:
        picture: the photo.
        reading: what the network saw in it.
        maps: its self-attention, aggregated; None for a solver that works on features.
    """

    picture: Picture
    reading: Reading
    maps: Aggregate | None

    @cached_property
    def merging(self) -> dict[int, Merging]:
        """Distances by the number of anchors; kept, so that a threshold can be moved."""
        return {}

    def resized(self, size: Size) -> Prepared:
        """The same for the photo at another size, (height, width), of which only what is cut from it takes notice.

        For a photo that was reduced before it was read; borders cannot be moved to edges that are not there.
        """
        return replace(self, reading=replace(self.reading, fit=self.reading.fit.resized(size)))


class Segmenter:
    """Cuts photos into their parts, without training, prompt or number of classes.

    Example:
        >>> segmenter = Segmenter("pocket")
        >>> parts = segmenter.segment("photo.jpg")
        >>> parts.areas, parts.boxes

    Args:
        model: a loaded backbone, or what ``diffsight.load`` takes.
        solver: ``diffseg`` merges self-attention maps; ``ncut`` cuts the graph of features; ``kmeans`` clusters
            self-attention maps.
        settings: the solver's; its defaults if left out.
        borders: how far borders may move to reach an edge of the photo, in cells of the grid; 0 leaves them.
        device, dtype: for a model that is still to be loaded; what suits the machine if left out.
        store: a folder that keeps readings across runs.
        **changes: single settings of the reading that replace the model's: stage, timestep, size, fit, prompt, noise,
            ensemble, posterior, seed. With the fit ``stretch`` the network's input has the photo's shape and the
            area of ``size``; with ``crop`` it is the square middle, as in the paper.

    Raises:
        InvalidInput: for an unknown model, solver or setting.
        ModelUnavailable: if the weights cannot be had.
    """

    def __init__(
        self,
        model: Backbone | str | Path = "pocket",
        *,
        solver: Solver = "diffseg",
        settings: Settings | None = None,
        borders: float = 0.0,
        device: str | None = None,
        dtype: str | None = None,
        store: Path | None = None,
        **changes: Any,
    ) -> None:
        if solver not in get_args(Solver):
            raise InvalidInput(f"unknown solver {solver!r}; use {', '.join(get_args(Solver))}")
        if not 0 <= borders <= MOST_BORDERS:
            raise InvalidInput(f"borders {borders} do not suit; use 0 (leave them) to {MOST_BORDERS:g} cells")
        self.borders = borders
        self.backbone = load(model, device=device, dtype=dtype) if isinstance(model, str | Path) else model
        defaults: dict[str, Settings] = {
            "diffseg": DiffSegSettings(thresholds=(self.backbone.card.merge_threshold,) * 3),
            "ncut": NcutSettings(self.backbone.card.cut_threshold),
            "kmeans": KMeansSettings(),
        }
        self.settings = defaults[solver] if settings is None else settings
        if type(self.settings) is not type(defaults[solver]):
            raise InvalidInput(f"solver {solver!r} takes {type(defaults[solver]).__name__}, not {self.settings!r}")
        if self.settings.of != "features" and not self.backbone.taps.attention:
            raise InvalidInput(
                f"the model {self.backbone.card.name!r} gives no self-attention, which this solver needs; use a Stable "
                "Diffusion model, or the solver ncut"
            )
        self.solver = solver
        self.reading = adjust(task_settings(self.backbone.card, "segmentation"), changes)
        self.probe = Probe(self.backbone, store=store)

    def prepare(self, photo: Any) -> Prepared:
        """Read a photo: its self-attention, or its features for ``ncut``.

        Raises:
            InvalidInput: for settings that do not suit the photo's grid; found before the network runs.
        """
        picture = load_picture(photo)
        settings = replace(self.reading, size=self._input_size(picture))
        if self.settings.of == "features":
            return Prepared(picture, self.probe.read([picture], settings, Taps((settings.stage,)))[0], None)
        groups = self.backbone.taps.attention_groups(self.backbone.card.merge_layers)
        grids = [self._grid(name, settings.size) for name in groups]
        layers = [name.count(AND) + 1 for name in groups]
        weights = level_weights(grids, layers, "repo")
        if isinstance(self.settings, DiffSegSettings):
            weights = level_weights(grids, layers, self.settings.weighting)
            anchor_cells(grids[0], self.settings.anchors)
        reading = self.probe.read([picture], settings, Taps(self_attention=groups))[0]
        levels = [Level(reading.self_attention(name), grid) for name, grid in zip(groups, grids, strict=True)]
        return Prepared(picture, reading, Aggregate(levels, weights))

    def fit(self, picture: Picture) -> Fit:
        """How a photo will be laid out for the network."""
        return self.probe.fit(picture, replace(self.reading, size=self._input_size(picture)))

    def cut(self, prepared: Prepared, settings: Settings | None = None) -> Segmentation:
        """Cut a photo that has been read; moving a threshold costs little, as distances are kept.

        Args:
            prepared: from ``prepare``.
            settings: replace the segmenter's for this cut. Another weighting needs another ``prepare``.
        """
        settings = self.settings if settings is None else settings
        maps, grid = self._proposals(prepared, settings)
        fit = prepared.reading.fit
        found = label_pixels(maps, grid, fit)
        if not self.borders:
            return found
        cell = max(fit.network[axis] / grid[axis] / fit.scale[1 - axis] for axis in (0, 1))
        return sharpen_borders(found, prepared.picture, self.borders * cell)

    def _proposals(self, prepared: Prepared, settings: Settings) -> tuple[npt.NDArray[np.float64], Size]:
        """A (cells,) map for each segment, (K, cells), and the grid of cells."""
        if (settings.of == "features") != (prepared.maps is None):
            raise InvalidInput(f"{settings} do not suit what was read for {self.settings}; prepare the photo for them")
        if prepared.maps is None:
            assert not isinstance(settings, DiffSegSettings)
            features = prepared.reading.feature().flatten(1).T.numpy()
            if isinstance(settings, NcutSettings):
                labels = ncut.recursive_cut(ncut.affinity(features, settings.power), settings.threshold)
            else:
                cluster = spectral if settings.method == "spectral" else kmeans
                labels = cluster(features, settings.segments, settings.seed)
            return _feature_maps(features, labels), prepared.reading.grid()
        maps = prepared.maps
        if not isinstance(settings, DiffSegSettings):
            assert isinstance(settings, KMeansSettings)
            labels = kmeans(maps.whole().numpy(), settings.segments, settings.seed)
            return indicators(labels), maps.grid
        if settings.anchors not in prepared.merging:
            prepared.merging[settings.anchors] = Merging(maps, settings.anchors)
        proposals = prepared.merging[settings.anchors].proposals(settings).numpy()
        if settings.refine:
            proposals = refine(maps.whole().numpy(), proposals)
        return proposals, maps.grid

    def segment(
        self,
        photo: Any,
        *,
        names: Sequence[str] | None = None,
        caption: str | Captioner | None = None,
        margin: float = 0.0,
        merge: bool = False,
    ) -> Segmentation:
        """Cut a photo, and name its parts if words are given.

        Args:
            photo: whatever ``load_picture`` takes, or a photo prepared before.
            names: words that segments may be called.
            caption: a sentence whose words segments may be called, unless ``names`` says which; or what writes one.
            margin: least lead of the best word over the second, 0 to 1; below it a segment has no name.
            merge: join segments of one name.

        Raises:
            InvalidInput: for words that the model does not know, or more than fit its text.
        """
        if not 0 <= margin <= 1:
            raise InvalidInput(f"margin {margin} does not suit; use 0 to 1")
        wanted = self.words(names, caption if isinstance(caption, str) else None)
        prepared = photo if isinstance(photo, Prepared) else self.prepare(photo)
        found = self.cut(prepared)
        if isinstance(caption, Captioner):
            sentence = caption(prepared.picture, prepared.reading.fit)
            wanted = self.words(names, sentence) if names is not None or content_words(sentence) else None
        if wanted is None:
            return found
        maps = self.hear(prepared, wanted)
        found = name_segments(found, maps, wanted.words, prepared.reading.fit, margin=margin)
        return merge_by_name(found) if merge else found

    def hear(self, prepared: Prepared, words: Words) -> torch.Tensor:
        """Where the model sees each of some words, (W, h, w); what ``name_segments`` takes, for any cut of the photo.

        Args:
            prepared: from ``prepare``.
            words: from ``words``.
        """
        settings = replace(self.reading, size=prepared.reading.fit.network, prompt=words.prompt)
        groups = self.backbone.taps.attention_groups()
        reading = self.probe.read([prepared.picture], settings, Taps(cross_attention=groups))[0]
        levels = [(reading.cross_attention(name), self._grid(name, settings.size)) for name in groups]
        return word_maps(levels, words.tokens, self._grid(groups[0], settings.size))

    def words(self, names: Sequence[str] | None, caption: str | None) -> Words | None:
        """The words that segments may be called, as the model reads them; None without names and caption.

        Raises:
            InvalidInput: for words that the model does not know, or more than fit its text.
        """
        words = _candidates(names, caption)
        if not words:
            return None
        prompt = caption or ", ".join(words)
        self.backbone.context([prompt])
        return Words(prompt, tuple(words), tuple(self.backbone.find_words(prompt, words)))

    def attention_at(self, prepared: Prepared, point: npt.ArrayLike, size: Size) -> npt.NDArray[np.float64]:
        """Where the cell at a point attends to, over the whole photo.

        Args:
            prepared: from ``prepare``, for a solver that reads self-attention.
            point: (x, y) in pixels of the photo.
            size: (rows, columns) of the map that is wanted.

        Returns:
            (rows, columns) map; NaN where the network did not look.

        Raises:
            InvalidInput: for a point outside the photo, or a solver that reads features.
        """
        if prepared.maps is None:
            raise InvalidInput("this solver reads no self-attention; use diffseg, or kmeans of maps, for heat maps")
        fit, grid = prepared.reading.fit, prepared.maps.grid
        place = np.rint(fit.to_grid(fit.check_points(np.asarray(point, dtype=float).reshape(-1, 2)), grid)[0])
        x, y = np.clip(place, 0, np.array(grid[::-1]) - 1).astype(int)
        return raster(prepared.maps.rows(torch.tensor([y * grid[1] + x]))[0].numpy().reshape(grid), fit, size)

    def _grid(self, group: str, size: Size) -> Size:
        stride = next(tap.stride for tap in self.backbone.taps.attention if tap.name == group.split(AND)[0])
        return size[0] // stride, size[1] // stride

    def _input_size(self, picture: Picture) -> Size:
        """The network's input for a photo: of its shape and the area asked for, in steps of the coarsest layer."""
        step = max((tap.stride for tap in self.backbone.taps.attention), default=self.backbone.multiple)
        if min(self.reading.size) < 1:
            raise InvalidInput(f"size {self.reading.size} does not suit; both sides must be multiples of {step}")
        if self.reading.fit != "stretch":
            if any(side % step for side in self.reading.size):
                raise InvalidInput(f"size {self.reading.size} does not suit; both sides must be multiples of {step}")
            return self.reading.size
        height, width = picture.size
        root = math.sqrt(min(max(width / height, 1 / LONGEST), LONGEST))
        area = math.sqrt(self.reading.size[0] * self.reading.size[1])
        return max(step, round(area / root / step) * step), max(step, round(area * root / step) * step)


def _feature_maps(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How like each part every cell is, (K, n): the dot product of its feature and the part's mean direction."""
    unit = features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    parts = indicators(labels)
    means = parts @ unit / parts.sum(axis=1, keepdims=True)
    return np.clip(means @ unit.T, 0, None)


def _candidates(names: Sequence[str] | None, caption: str | None) -> list[str]:
    if isinstance(names, str):
        raise InvalidInput(f"names is the text {names!r}; give a list of words, such as ['sky', 'dog']")
    if names is not None:
        words = [name.strip().lower() for name in names]
        if not words or not all(words):
            raise InvalidInput("an empty name was given; give words such as sky, grass, dog")
        return list(dict.fromkeys(words))
    if caption is None:
        return []
    words = content_words(caption)
    if not words:
        raise InvalidInput(f"the caption {caption!r} holds no word to name a segment with")
    return words


def content_words(caption: str) -> list[str]:
    """The words of a caption that may name a segment, each once: all but stop words and numbers."""
    found = re.findall(r"[^\W\d_]+(?:-[^\W\d_]+)*", caption.lower())
    return list(dict.fromkeys(word for word in found if word not in STOP_WORDS))
