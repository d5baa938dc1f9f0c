"""Whether a confidence ranks matches, and whether it means what it says."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RiskCoverage:
    """The error rate among the most confident matches, by how many of them are kept.

    Attributes:
        coverage: (N,) share of matches kept, 1 / N to 1.
        risk: (N,) share of wrong ones among them.
    """

    coverage: Values
    risk: Values

    @property
    def area(self) -> float:
        """The mean risk over all coverages (AURC; Geifman et al., 2019, arXiv 1805.08206); NaN without matches."""
        return float(self.risk.mean()) if len(self.risk) else float("nan")

    def at(self, coverage: float) -> float:
        """The risk where a share of the matches is kept; at least one is. NaN without matches."""
        return float(self.risk[max(0, round(coverage * len(self.risk)) - 1)]) if len(self.risk) else float("nan")


def risk_coverage(confidence: npt.ArrayLike, right: npt.ArrayLike) -> RiskCoverage:
    """Sort N matches, the most confident first, and count the wrong ones; equal confidences share their risk.

    What is right may also be a share, 0 to 1.
    """
    sure, wrong = np.asarray(confidence, np.float64), 1 - np.asarray(right, np.float64)
    levels, place, counts = np.unique(-sure, return_inverse=True, return_counts=True)
    means = np.bincount(place, wrong, minlength=len(levels)) / counts  # ties in no particular order
    number = np.arange(1, len(sure) + 1)
    return RiskCoverage(number / len(sure), np.cumsum(np.repeat(means, counts)) / number)


@dataclass(frozen=True, eq=False)
class Reliability:
    """How often matches of a confidence are right.

    Attributes:
        confidence: (B,) mean of each bin that holds any.
        rate: (B,) share of right matches.
        count: (B,) matches.
    """

    confidence: Values
    rate: Values
    count: npt.NDArray[np.int64]

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap between the two over all matches; NaN without any.

        Guo et al., 2017, arXiv 1706.04599.
        """
        gaps = np.repeat(np.abs(self.confidence - self.rate), self.count)
        return float(gaps.mean()) if len(gaps) else float("nan")


def reliability(confidence: npt.ArrayLike, right: npt.ArrayLike, bins: int = 10) -> Reliability:
    """Sort N matches into bins of equal width by their confidence, 0 to 1."""
    sure, truth = np.asarray(confidence, np.float64), np.asarray(right, np.float64)
    place = np.clip((sure * bins).astype(int), 0, bins - 1)
    count = np.bincount(place, minlength=bins)
    held = count > 0
    mean, rate = (np.bincount(place, values, minlength=bins)[held] / count[held] for values in (sure, truth))
    return Reliability(mean, rate, count[held])
