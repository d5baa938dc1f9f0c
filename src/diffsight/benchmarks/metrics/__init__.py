"""Scores as pure functions, a file for each kind of benchmark."""

from .planes import HomographyScore, corner_error, homography_score, matching_accuracy
from .points import ALPHAS, PairErrors, Pck, pck, threshold
from .segments import MaskScore, mask_score

__all__ = [
    "ALPHAS",
    "HomographyScore",
    "MaskScore",
    "PairErrors",
    "Pck",
    "corner_error",
    "homography_score",
    "mask_score",
    "matching_accuracy",
    "pck",
    "threshold",
]
