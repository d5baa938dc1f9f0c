"""Edits carried from one photo to others: a sticker drawn on the source lands where it belongs in each target.

DIFT (Tang et al., 2023, arXiv 2306.03881), edit propagation: points under the sticker are matched, and the sticker is
warped by the homography that most of them agree with, or smoothly, for shapes that a plane cannot fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch

from .backbones.base import Backbone
from .errors import InvalidInput
from .grid import Points
from .images import check_structure, load_picture
from .matching import nearest
from .matching.homography import Alignment, EstimateSettings, Estimator, doubts, estimate, straight
from .matching.matcher import Matcher
from .types import Matches, Picture, Reading
from .warping import PlaneWarp, SmoothWarp, Warp, compose, enlargement, jacobians, premultiply, warp_layer

STRETCHED = 3.0
"""How many times longer one way than the other a sticker may get before that is worth a warning."""

WarpKind = Literal["homography", "affine", "smooth"]

FOLDED = 0.02
"""Share of a sticker's area that may fold over before that is worth a warning."""

SWOLLEN = 10.0
"""How many times the area of one part may outgrow another's before that is worth a warning."""


@dataclass(frozen=True)
class EditSettings:
    """How a sticker is carried over; ``PAPER`` has DIFT's own.

    Attributes:
        warp: ``homography``, ``affine``, or ``smooth`` (moving least squares between the matches that agree roughly).
        points: how many points under the sticker are matched, drawn at random.
        mutual: use only matches that lead back.
        published: compare as DIFT's script does: cells normalised before interpolation, the source read by its rule for
            coordinates, Euclidean distance.
        estimator: see ``EstimateSettings``.
        threshold: how far off an agreeing match may be, pixels of the target.
        slack: likewise for ``smooth``, as a share of the target's diagonal.
        seed: of the draws.
    """

    warp: WarpKind = "homography"
    points: int = 1000
    mutual: bool = True
    published: bool = False
    estimator: Estimator = "magsac"
    threshold: float = 5.0
    slack: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if self.warp not in get_args(WarpKind):
            raise InvalidInput(f"unknown warp {self.warp!r}; use {', '.join(get_args(WarpKind))}")
        if self.points < 4:
            raise InvalidInput(f"{self.points} points are too few to place a sticker; use 4 or more")
        if not 0 < self.slack <= 1:
            raise InvalidInput(f"slack {self.slack:g} does not suit; use above 0 up to 1")
        EstimateSettings(estimator=self.estimator, threshold=self.threshold, seed=self.seed)


PAPER = EditSettings(mutual=False, published=True, estimator="ransac")


@dataclass(frozen=True)
class EditSource:
    """A photo that has been read, and what was drawn on it.

    Attributes:
        picture: the photo.
        reading: what the network saw in it.
        sticker: (H, W, 4) uint8 RGB and straight alpha, of the photo's size.
        points: (N, 2) pixels under the sticker that are matched.
    """

    picture: Picture
    reading: Reading
    sticker: npt.NDArray[np.uint8]
    points: Points


@dataclass(frozen=True)
class Edit:
    """A target with the sticker on it, or the reason why there is none.

    Attributes:
        picture: the edited target; None if no warp could be found.
        matches: of the points under the sticker.
        alignment: which of them agree, and on what matrix; for a smooth warp on its rough affine map.
        folded: share of the sticker's area that the warp turns over.
        warnings: why the result should not be trusted; empty if nothing speaks against it.
    """

    picture: Picture | None
    matches: Matches
    alignment: Alignment
    folded: float
    warnings: tuple[str, ...]


def load_sticker(path: str | Path, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
    """Read a picture with transparency as (H, W, 4) uint8.

    Args:
        path: of a PNG, WebP, TIFF or GIF.
        size: (height, width) that it must have: the source photo's.

    Raises:
        UnreadableFile: if it cannot be read.
        InvalidInput: if it has no alpha channel, shows nothing, or has another size.
    """
    from PIL import Image, ImageOps

    found = load_picture(path)  # says what is wrong with a file that cannot be read
    with Image.open(path) as image:
        if "A" not in image.getbands() and "transparency" not in image.info:
            raise InvalidInput(f"sticker {path} has no alpha channel; give one transparent around the drawing")
        sticker = np.array(ImageOps.exif_transpose(image).convert("RGBA"))
    if found.size != size:
        raise InvalidInput(
            f"sticker {path} has {found.size[1]}x{found.size[0]} pixels, but the source photo has {size[1]}x{size[0]}; "
            "draw it on a layer of the photo's own size"
        )
    if not sticker[..., 3].any():
        raise InvalidInput(f"sticker {path} is transparent everywhere; give one that shows something")
    return sticker


def points_under(sticker: npt.NDArray[np.uint8], count: int, seed: int = 0) -> Points:
    """Up to ``count`` pixels where a sticker shows, drawn at random; (N, 2), pixel centres at +0.5."""
    rows, columns = np.nonzero(sticker[..., 3])
    chosen = np.random.default_rng(seed).permutation(len(rows))[:count]
    return np.stack([columns[chosen], rows[chosen]], axis=1).astype(np.float64) + 0.5


class Editor:
    """Carries a sticker to any number of photos; the source is read once.

    Example:
        >>> editor = Editor("pocket")
        >>> source = editor.source("cat.jpg", "sunglasses.png")
        >>> editor.paste(source, "painting.jpg").picture

    Args:
        model: a loaded backbone, or what ``diffsight.load`` takes.
        settings: how the sticker is carried over.
        **options: of ``Matcher``: task, device, dtype, store and single settings of reading.
    """

    def __init__(
        self, model: Backbone | str | Path = "pocket", *, settings: EditSettings | None = None, **options: Any
    ) -> None:
        self.settings = settings or EditSettings()
        self.matcher = Matcher(model, **options)

    def source(self, photo: Any, sticker: str | Path) -> EditSource:
        """Read the photo that the sticker was drawn on.

        Raises:
            UnreadableFile, InvalidInput: for either file; see ``load_sticker``.
        """
        picture = load_picture(photo)
        check_structure(picture)
        layer = load_sticker(sticker, picture.size)
        points = points_under(layer, self.settings.points, self.settings.seed)
        read = self.matcher.source(picture, points)
        return EditSource(picture, read.reading, layer, points)

    def paste(self, source: EditSource, photo: Any) -> Edit:
        """Put the sticker on a target photo. That no warp is found is a result, with the reason in ``warnings``.

        Raises:
            UnreadableFile: if the photo cannot be read.
        """
        settings, target = self.settings, load_picture(photo)
        try:
            check_structure(target)
        except InvalidInput as plain:
            nothing = Matches(np.empty((0, 2)), np.empty((0, 2)), np.empty(0))
            return Edit(None, nothing, _align(nothing, target, settings), 0.0, (str(plain),))
        picture, reading = self.matcher.read(target)
        find = match_as_published if settings.published else nearest.match
        matches = find(source.reading, reading, source.points)
        used = matches[~matches.one_way] if settings.mutual else matches
        alignment = _align(used, picture, settings)
        warp = None if alignment.matrix is None else _warp(used, alignment, source.picture, settings)
        if warp is None:
            return Edit(None, used, alignment, 0.0, (alignment.reason or "the agreeing matches lie on one line",))
        changes = jacobians(source.sticker[..., 3] > 0, warp)
        layer = warp_layer(premultiply(source.sticker), warp, picture.size)
        warnings = (*doubts(alignment), *_distortions(changes))
        if not layer[..., 3].any():
            warnings += ("the sticker falls outside the photo",)
        edited = torch.from_numpy(compose(layer, picture.array())).permute(2, 0, 1).contiguous()
        return Edit(Picture(edited, picture.path), used, alignment, _folded(changes), warnings)


def _align(matches: Matches, target: Picture, settings: EditSettings) -> Alignment:
    """The matrix that most matches agree with; a rough affine one if the warp is to be smooth."""
    smooth = settings.warp == "smooth"
    threshold = settings.slack * float(np.hypot(*target.size)) if smooth else settings.threshold
    return estimate(
        matches,
        EstimateSettings(
            kind="homography" if settings.warp == "homography" else "affine",
            estimator=settings.estimator,
            threshold=threshold,
            seed=settings.seed,
        ),
    )


def _warp(matches: Matches, alignment: Alignment, source: Picture, settings: EditSettings) -> Warp | None:
    assert alignment.matrix is not None
    if settings.warp != "smooth":
        return PlaneWarp(alignment.matrix, (source.size[1] / 2, source.size[0] / 2))
    agreed = matches[alignment.inliers]
    if len(agreed) < 3 or straight(agreed.query) or straight(agreed.matched):
        return None
    return SmoothWarp(agreed.query, agreed.matched)


def _folded(changes: npt.NDArray[np.float64]) -> float:
    return float((~(enlargement(changes) > 0)).mean()) if len(changes) else 0.0


def _distortions(changes: npt.NDArray[np.float64]) -> tuple[str, ...]:
    """What a warp does to the sticker that no view of the same thing would."""
    found = []
    folded = _folded(changes)
    if folded > FOLDED:
        found.append(f"the warp folds {folded:.0%} of the sticker over")
    kept = changes[enlargement(changes) > 0]
    if len(kept):
        low, high = np.percentile(enlargement(kept), [5, 95])
        if high > SWOLLEN * low:
            found.append(f"one part of the sticker is enlarged {high / low:.0f} times as much as another")
        lengths = np.linalg.svd(kept, compute_uv=False)
        stretched = float(np.percentile(lengths[:, 0] / np.maximum(lengths[:, 1], 1e-12), 95))
        if stretched > STRETCHED:
            found.append(f"part of the sticker is stretched {stretched:.0f} times as much one way as the other")
    return tuple(found)


def match_as_published(source: Reading, target: Reading, points: Points, stage: str | None = None) -> Matches:
    """Find points as DIFT's edit script does.

    Cells are normalised before interpolation and not after; the source is read with the corner cells' centres on the
    corner pixels; the nearest target pixel is the one at the smallest Euclidean distance.

    Returns:
        Matches whose score is minus the distance; whether they lead back is not asked.

    Raises:
        InvalidInput: for a point outside the source photo, or a photo that was not stretched.
    """
    points = source.fit.check_points(points)
    here, there = (reading.feature(stage) for reading in (source, target))
    here, there = (f / f.norm(dim=0, keepdim=True).clamp(min=nearest.EPSILON) for f in (here, there))
    vectors = nearest.sample(here, source.fit.to_grid_as_published(points, source.grid(stage), corners=True))
    rows, columns = (axis(target.grid(stage)) for axis in (target.fit.pixel_rows, target.fit.pixel_columns))
    places, closeness = nearest.TargetMap.prepare(there).nearest(vectors, rows, columns, "distance")
    distance = (vectors.square().sum(dim=1) - 2 * closeness).clamp(min=0).sqrt()
    return Matches(points, places.numpy() + 0.5, -distance.double().numpy())
