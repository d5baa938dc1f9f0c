"""The plane that matches lie on: robust homographies, affine maps and fundamental matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from ..errors import InvalidInput
from ..grid import Points, Size, warp_points
from ..types import Matches

Kind = Literal["homography", "affine", "fundamental"]
Estimator = Literal["magsac", "ransac", "lmeds"]
Matrix = npt.NDArray[np.float64]

FEWEST: dict[Kind, int] = {"homography": 4, "affine": 3, "fundamental": 8}
"""Matches that determine each kind."""

STRAIGHT = 1e-3
"""Points whose extent across is below this share of their extent along lie on one line."""

FEW_INLIERS, LOW_SHARE = 8, 0.1
"""Fewer agreeing matches than this, or a lower share of them, can be chance."""


@dataclass(frozen=True)
class EstimateSettings:
    """How a matrix is estimated; DIFT's experiments use ``lmeds`` (Stable Diffusion) and ``ransac`` (ADM) at 3 px.

    Attributes:
        kind: what is estimated.
        estimator: ``magsac`` (MAGSAC++: Barath et al., 2020), ``ransac`` (Fischler and Bolles, 1981), or ``lmeds``
            (least median of squares: Rousseeuw, 1984), which needs no threshold but half of the matches right.
        threshold: how far off an inlier may be, pixels of the target photo.
        iterations: at most.
        confidence: chance that the best matrix has been met, at which the search stops.
        seed: of the order that matches are drawn from in; OpenCV itself always draws alike.
    """

    kind: Kind = "homography"
    estimator: Estimator = "magsac"
    threshold: float = 3.0
    iterations: int = 10_000
    confidence: float = 0.9999
    seed: int = 0

    def __post_init__(self) -> None:
        for name, allowed in (("kind", get_args(Kind)), ("estimator", get_args(Estimator))):
            if getattr(self, name) not in allowed:
                raise InvalidInput(f"unknown {name} {getattr(self, name)!r}; use {', '.join(allowed)}")
        if not 0 < self.threshold < np.inf:
            raise InvalidInput(f"threshold {self.threshold:g} does not suit; use a number of pixels above 0")
        if self.seed < 0:
            raise InvalidInput(f"seed {self.seed} does not suit; use 0 or more")
        if self.iterations < 1 or not 0 < self.confidence < 1:
            raise InvalidInput("iterations must be 1 or more and confidence between 0 and 1")


@dataclass(frozen=True)
class Alignment:
    """How one photo lies on another, as far as their matches tell.

    Attributes:
        kind: of the matrix.
        matrix: (3, 3); homography and affine map pixels of the source to pixels of the target, for a fundamental matrix
            ``target @ matrix @ source`` is 0. Pixel centres are at +0.5. None if none could be estimated.
        inliers: (N,) which matches agree with it.
        errors: (N,) how far each match is off, pixels of the target (from its epipolar line if fundamental).
        reason: why there is no matrix; empty if there is one.
    """

    kind: Kind
    matrix: Matrix | None
    inliers: npt.NDArray[np.bool_]
    errors: npt.NDArray[np.float64]
    reason: str = ""

    @property
    def median_error(self) -> float:
        """Of the inliers, pixels; NaN without any."""
        return float(np.median(self.errors[self.inliers])) if self.inliers.any() else float("nan")


def estimate(matches: Matches, settings: EstimateSettings | None = None) -> Alignment:
    """Estimate how the source photo lies on the target, in spite of wrong matches.

    Failure is a result: an alignment without a matrix that says why.
    """
    settings = settings or EstimateSettings()
    reason = _unsuitable(matches, settings.kind)
    if reason:
        return _failed(matches, settings.kind, reason)
    found = _solve(matches, settings)
    if found is None:
        return _failed(matches, settings.kind, f"no {settings.kind} agrees with enough of the {len(matches)} matches")
    matrix, inliers = found
    if _degenerate(matrix, settings.kind):
        return _failed(matches, settings.kind, f"the {settings.kind} found squeezes the photo onto a line")
    return Alignment(settings.kind, matrix, inliers, _errors(matches, matrix, settings.kind))


def doubts(alignment: Alignment, size: Size | None = None) -> tuple[str, ...]:
    """What speaks against an alignment; empty if nothing does.

    Args:
        alignment: also one without a matrix.
        size: (height, width) of the source; given, a plane must show all of it, from the front.
    """
    if alignment.matrix is None:
        return (alignment.reason,)
    found = []
    agreeing, total = int(alignment.inliers.sum()), len(alignment.inliers)
    if agreeing < FEW_INLIERS or agreeing < LOW_SHARE * total:
        found.append(f"only {agreeing} of {total} matches agree ({agreeing / total:.0%})")
    if size is not None and alignment.kind != "fundamental" and _folds(alignment.matrix, size):
        found.append(f"the {alignment.kind} turns the photo over, or part of it lies beyond the horizon")
    return tuple(found)


def _folds(matrix: Matrix, size: Size) -> bool:
    """Whether a plane mirrors a photo, or its horizon crosses it: depth is linear, so that the corners tell."""
    height, width = size
    corners = np.array([[x, y, 1.0] for x in (0, width) for y in (0, height)])
    return not bool((np.linalg.det(matrix) * (corners @ matrix[2]) > 0).all())


def _failed(matches: Matches, kind: Kind, reason: str) -> Alignment:
    return Alignment(kind, None, np.zeros(len(matches), bool), np.full(len(matches), np.nan), reason)


def _unsuitable(matches: Matches, kind: Kind) -> str:
    """Why matches cannot determine a matrix, or nothing."""
    sides = ("first", matches.query), ("second", matches.matched)
    fewest = FEWEST[kind]
    if len(matches) < fewest:
        return f"{len(matches)} matches; a {kind} needs {fewest} or more"
    for name, points in sides:
        if len(np.unique(points, axis=0)) < fewest:
            return f"the {len(matches)} matches share fewer than {fewest} places of the {name} photo"
        if straight(points):
            return f"the {len(matches)} matches lie on one line of the {name} photo"
    return ""


def straight(points: Points) -> bool:
    """Whether points lie on one line, or in one place."""
    along, across = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[:2]
    return bool(across <= STRAIGHT * along)


def _solve(matches: Matches, settings: EstimateSettings) -> tuple[Matrix, npt.NDArray[np.bool_]] | None:
    import cv2

    order = np.random.default_rng(settings.seed).permutation(len(matches))
    source, target = matches.query[order], matches.matched[order]
    method = {"magsac": cv2.USAC_MAGSAC, "ransac": cv2.RANSAC, "lmeds": cv2.LMEDS}[settings.estimator]
    limits = settings.iterations, settings.confidence
    try:
        if settings.kind == "homography":
            matrix, mask = cv2.findHomography(source, target, method, settings.threshold, None, *limits)
        elif settings.kind == "affine":
            matrix, mask = cv2.estimateAffine2D(source, target, None, method, settings.threshold, *limits)
        else:
            matrix, mask = cv2.findFundamentalMat(
                source, target, method, settings.threshold, settings.confidence, settings.iterations
            )
    except cv2.error:  # some estimators refuse degenerate samples by an exception
        return None
    if matrix is None or mask is None or not np.isfinite(matrix).all():
        return None
    inliers = np.empty(len(matches), bool)
    inliers[order] = mask.ravel().astype(bool)
    whole = np.vstack([matrix, [0.0, 0.0, 1.0]]) if len(matrix) == 2 else np.asarray(matrix, np.float64)
    return (whole, inliers) if inliers.sum() >= FEWEST[settings.kind] else None


def _degenerate(matrix: Matrix, kind: Kind) -> bool:
    if kind == "fundamental":  # its rank is two by definition
        return not np.linalg.norm(matrix) > 0
    return not abs(np.linalg.det(matrix)) > 1e-6 * np.linalg.norm(matrix[:2, :2]) ** 3


def _errors(matches: Matches, matrix: Matrix, kind: Kind) -> npt.NDArray[np.float64]:
    if kind != "fundamental":
        return np.asarray(np.linalg.norm(warp_points(matches.query, matrix) - matches.matched, axis=1))
    one = np.ones((len(matches), 1))
    lines = np.hstack([matches.query, one]) @ matrix.T
    off = np.abs((lines * np.hstack([matches.matched, one])).sum(axis=1))
    return np.asarray(off / np.maximum(np.linalg.norm(lines[:, :2], axis=1), 1e-12))
