"""The nouns that travel between modules."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .errors import InvalidInput
from .grid import Fit, Points, Size


@dataclass(frozen=True)
class Picture:
    """A photo in memory.

    Attributes:
        image: (3, H, W) uint8 or float32 in [0, 1], RGB.
        path: where it came from, if from a file.
    """

    image: Tensor
    path: Path | None = None

    @property
    def size(self) -> Size:
        """(height, width) in pixels."""
        return self.image.shape[1], self.image.shape[2]

    @property
    def name(self) -> str:
        """The file's name, or ``picture``."""
        return self.path.name if self.path else "picture"

    def array(self) -> npt.NDArray[np.uint8]:
        """The photo as (H, W, 3) uint8."""
        image = self.image if self.image.dtype == torch.uint8 else (self.image * 255).round().to(torch.uint8)
        return np.ascontiguousarray(image.permute(1, 2, 0).cpu().numpy())


Heads = Literal["all", "last_half"]

AND = "+"
"""Joins attention layers whose maps are wanted as one average."""


@dataclass(frozen=True)
class Taps:
    """What a pass must return, by the names of the backbone's tap table.

    Attributes:
        features: stages whose output is kept.
        self_attention: layers whose self-attention is kept, averaged over heads. Layers of one size may be joined by
            ``+``: their average is formed as the pass runs, and only one map is held.
        cross_attention: layers whose cross-attention is kept, likewise.
        heads: which heads are averaged: all, or the last half of them (as one reference code does).
    """

    features: tuple[str, ...] = ()
    self_attention: tuple[str, ...] = ()
    cross_attention: tuple[str, ...] = ()
    heads: Heads = "all"

    @property
    def keys(self) -> tuple[str, ...]:
        """One key a wanted map, such as ``feature:up1`` or ``self:up1.a0``."""
        kinds = (("feature", self.features), ("self", self.self_attention), ("cross", self.cross_attention))
        return tuple(f"{kind}:{name}" for kind, names in kinds for name in names)


@dataclass(frozen=True)
class Posterior:
    """A clean latent, and how sure the encoder is of it.

    Attributes:
        mean: (B, c, h, w) float32.
        std: of the same shape; zero for an encoder without uncertainty.
    """

    mean: Tensor
    std: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One latent from the posterior, (B, c, h, w)."""
        return self.mean + self.std * torch.randn(self.mean.shape, generator=generator).to(self.mean)


@dataclass(frozen=True)
class Capture:
    """What a pass returned.

    Attributes:
        taps: what was asked for.
        maps: one tensor for each of ``taps.keys``: features (B, C, h, w), attention (B, queries, keys or tokens) with
            rows that sum to 1. A reading of one photo has no batch axis.
    """

    taps: Taps
    maps: tuple[Tensor, ...]

    def apply(self, function: Callable[..., Tensor], *others: Capture) -> Capture:
        """Combine captures of equal taps map by map."""
        return replace(self, maps=tuple(map(function, self.maps, *(other.maps for other in others))))

    def __getitem__(self, key: str) -> Tensor:
        keys = self.taps.keys
        if key not in keys:
            raise InvalidInput(f"{key!r} was not read; this reading holds {', '.join(keys)}")
        return self.maps[keys.index(key)]


@dataclass(frozen=True)
class Reading:
    """What the network saw in one photo.

    Attributes:
        fit: how the photo became the network's input.
        capture: what was asked for, without the batch axis.
    """

    fit: Fit
    capture: Capture

    def feature(self, stage: str | None = None) -> Tensor:
        """The (C, h, w) map of a stage; of the first one read if none is named."""
        stages = self.capture.taps.features
        return self.capture[f"feature:{stage or (stages[0] if stages else '')}"]

    def grid(self, stage: str | None = None) -> Size:
        """(h, w) of a stage's map."""
        height, width = self.feature(stage).shape[1:]
        return height, width

    def self_attention(self, layer: str) -> Tensor:
        """The (queries, keys) self-attention of a layer, averaged over heads."""
        return self.capture[f"self:{layer}"]

    def cross_attention(self, layer: str) -> Tensor:
        """The (queries, tokens) cross-attention of a layer, averaged over heads."""
        return self.capture[f"cross:{layer}"]


@dataclass(frozen=True)
class Matches:
    """Points of one photo and where they are in another.

    Attributes:
        query: (N, 2) points (x, y) of the source photo, pixels, pixel centres at +0.5.
        matched: (N, 2) points (x, y) of the target photo, likewise.
        score: (N,) similarity of each match; for cosine in [-1, 1].
        mutual: (N,) whether the match leads back to its query, within a grid cell; None if that was not asked.
        confidence: (N,) how likely each match is right, 0 to 1; None if that was not asked.
    """

    query: Points
    matched: Points
    score: npt.NDArray[np.float64]
    mutual: npt.NDArray[np.bool_] | None = None
    confidence: npt.NDArray[np.float64] | None = None

    def __len__(self) -> int:
        return len(self.query)

    def __getitem__(self, keep: slice | npt.NDArray[np.bool_] | npt.NDArray[np.int64]) -> Matches:
        mutual = None if self.mutual is None else self.mutual[keep]
        confidence = None if self.confidence is None else self.confidence[keep]
        return Matches(self.query[keep], self.matched[keep], self.score[keep], mutual, confidence)

    @classmethod
    def join(cls, several: Sequence[Matches]) -> Matches:
        """Matches of one pair of photos one after the other; what was not asked of some is left out."""
        query, matched, score = (
            np.concatenate([getattr(own, name) for own in several]) for name in ("query", "matched", "score")
        )
        mutual = [own.mutual for own in several if own.mutual is not None]
        confidence = [own.confidence for own in several if own.confidence is not None]
        return cls(
            query,
            matched,
            score,
            np.concatenate(mutual) if len(mutual) == len(several) else None,
            np.concatenate(confidence) if len(confidence) == len(several) else None,
        )

    @property
    def one_way(self) -> npt.NDArray[np.bool_]:
        """(N,) whether the match is known not to lead back."""
        return np.zeros(len(self), bool) if self.mutual is None else ~self.mutual


VOID = 65535
"""The label of pixels that the network did not see."""


@dataclass(frozen=True)
class Segmentation:
    """A photo cut into its parts.

    Attributes:
        labels: (H, W) uint16 at the photo's size: 0 to N - 1, or ``VOID`` where the network did not look.
        scores: (N,) how clearly each segment wins its pixels: the mean of its value over the sum of all, 0 to 1.
        names: (N,) what each segment shows, or an empty tuple; an empty string where no word fits.
        name_scores: (N,) share of the named attention that its name has within the segment, 0 to 1; or empty.
    """

    labels: npt.NDArray[np.uint16]
    scores: npt.NDArray[np.float64]
    names: tuple[str, ...] = ()
    name_scores: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.scores)

    def mask(self, segment: int) -> npt.NDArray[np.bool_]:
        """Where a segment lies, (H, W)."""
        return self.labels == segment

    @property
    def areas(self) -> npt.NDArray[np.int64]:
        """(N,) pixels of each segment."""
        return np.bincount(self.labels[self.labels != VOID], minlength=len(self))[: len(self)]

    @property
    def boxes(self) -> npt.NDArray[np.int64]:
        """(N, 4) as (x0, y0, x1, y1) in pixels, the far side exclusive."""
        from scipy.ndimage import find_objects

        found = find_objects(np.where(self.labels == VOID, 0, self.labels.astype(np.int32) + 1), len(self))
        boxes = [[0] * 4 if f is None else [f[1].start, f[0].start, f[1].stop, f[0].stop] for f in found]
        return np.array(boxes, np.int64).reshape(-1, 4)


@dataclass(frozen=True)
class Track:
    """What is followed through a video, as one frame shows it.

    Attributes:
        frame: the frame's number in its video, from 0.
        ids: (N,) the objects' labels, 1 to 254, or the points' numbers, from 1.
        soft: (1 + N, h, w) soft labels of the network's cells, background first; later frames take theirs from them.
        labels: (H, W) uint8 in pixels of the frame: an object's label, 0 for background, 255 where the network did not
            look; None where points are followed.
        points: (N, 2) as (x, y) in pixels of the frame, NaN for one that is lost; None where objects are followed.
    """

    frame: int
    ids: tuple[int, ...]
    soft: Tensor
    labels: npt.NDArray[np.uint8] | None = None
    points: Points | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """(N,) the highest soft label of each, 0 to 1."""
        return self.soft[1:].flatten(1).amax(dim=1).double().cpu().numpy()

    @property
    def boxes(self) -> npt.NDArray[np.int64]:
        """(N, 4) the tight box of each object, (x0, y0, x1, y1), the far side exclusive; zeros for one out of sight.

        Raises:
            InvalidInput: where points are followed.
        """
        from scipy.ndimage import find_objects

        if self.labels is None:
            raise InvalidInput("points have no boxes; follow objects")
        found = find_objects(self.labels, max(self.ids))
        spans = [found[label - 1] for label in self.ids]
        return np.array([[0] * 4 if f is None else [f[1].start, f[0].start, f[1].stop, f[0].stop] for f in spans])
