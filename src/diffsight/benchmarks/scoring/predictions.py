"""What a system said of a benchmark's samples, and what may be wrong with it.

Predictions are a mapping from a sample's id. Its values are, by the kind of the benchmark:

- points: (N, 2), where each keypoint of the source lies in the target as it is loaded, pixels, centres at +0.5;
- planes: (3, 3), pixels of the source to pixels of the target; None where no homography was found;
- masks: label maps (H, W) of all frames;
- joints: (T, J, 2) pixels of the frames; NaN or x < 0 for a joint that was not found;
- segments: labels (H, W), 65535 (255 in labels of one byte) where there is none.

It may load what it is asked for, so that never more than one sample's labels are in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ...datasets.base import PointPair, Sample
from ...errors import InvalidInput

T = TypeVar("T")

NAMED = 3
"""How many samples a message names."""

MISSING, UNKNOWN, UNSHAPED, NOT_FINITE = "missing", "of unknown samples", "of a wrong shape or type", "not finite"
MEANS = {
    MISSING: "prediction missing, counted as wrong",
    UNKNOWN: "prediction of an unknown sample, left out",
    UNSHAPED: "prediction of a wrong shape or type, counted as wrong",
    NOT_FINITE: "prediction not finite, counted as wrong",
}


class OnDemand(Mapping[str, T], Generic[T]):
    """Predictions that are loaded when they are asked for, and not kept.

    Args:
        ids: of the samples that there are predictions for.
        load: from a sample's id to its prediction.
    """

    def __init__(self, ids: Iterable[str], load: Callable[[str], T]) -> None:
        self._ids = dict.fromkeys(ids)
        self._load = load

    def __getitem__(self, sample: str) -> T:
        if sample not in self._ids:
            raise KeyError(sample)
        return self._load(sample)

    def __contains__(self, sample: object) -> bool:
        return sample in self._ids

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)


class Checked:
    """Predictions that are looked at one by one; what is wrong with them is remembered.

    Args:
        predictions: by the ids of samples.
        samples: those of the benchmark; those without anything to score need no prediction.
    """

    def __init__(self, predictions: Mapping[str, Any], samples: Iterable[Sample]) -> None:
        self.predictions = predictions
        known = {sample.id: has_truth(sample) for sample in samples}
        self.faults: dict[str, list[str]] = {
            MISSING: [own for own, needed in known.items() if needed and own not in predictions],
            UNKNOWN: [own for own in predictions if own not in known],
            UNSHAPED: [],
            NOT_FINITE: [],
        }

    def numbers(self, sample: Sample, shape: tuple[int, ...]) -> npt.NDArray[np.float64] | None:
        """A sample's prediction; None, and noted, if it has none of that shape."""
        if sample.id not in self.predictions:
            return None
        try:
            found = np.asarray(self.predictions[sample.id], np.float64)
        except (TypeError, ValueError):
            found = np.zeros(0)
        if found.shape == shape:
            return found
        self.faults[UNSHAPED].append(sample.id)
        return None

    def labels(self, sample: Sample, shapes: Iterable[tuple[int, ...]]) -> npt.NDArray[np.integer] | None:
        """A sample's label map; None, and noted, if it has none of one of those shapes."""
        if sample.id not in self.predictions:
            return None
        found = np.asarray(self.predictions[sample.id])
        if found.shape in shapes and np.issubdtype(found.dtype, np.integer):
            return found
        self.faults[UNSHAPED].append(sample.id)
        return None

    def masks(self, sample: Sample, shapes: list[tuple[int, ...]]) -> list[npt.NDArray[np.integer]] | None:
        """The label maps of a clip; None, and noted, if it has not one of each of those shapes."""
        if sample.id not in self.predictions:
            return None
        found = [np.asarray(own) for own in self.predictions[sample.id]]
        if [own.shape for own in found] == shapes and all(np.issubdtype(own.dtype, np.integer) for own in found):
            return found
        self.faults[UNSHAPED].append(sample.id)
        return None

    def refuse(self) -> None:
        """Say what is wrong so far.

        Raises:
            InvalidInput: if anything is.
        """
        parts = [f"{len(ids)} {what} ({_named(ids)})" for what, ids in self.faults.items() if ids]
        if parts:
            raise InvalidInput(f"predictions do not fit the samples: {'; '.join(parts)}; mend them, or allow missing")

    @property
    def skipped(self) -> list[tuple[str, int]]:
        """What was wrong, how it was taken, and how often."""
        return [(MEANS[what], len(ids)) for what, ids in self.faults.items() if ids]


def has_truth(sample: Sample) -> bool:
    """Whether there is anything to score: a pair may have no keypoint that both photos show."""
    return not isinstance(sample, PointPair) or len(sample.target.keypoints) > 0


def _named(ids: list[str]) -> str:
    return ", ".join(ids[:NAMED]) + (", ..." if len(ids) > NAMED else "")
