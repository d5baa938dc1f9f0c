"""From samples and predictions to a summary that names every switch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ...datasets.base import Sample
from ...errors import InvalidInput
from ..protocols import JointProtocol, MaskProtocol, PlaneProtocol, PointProtocol, Protocol, SegmentProtocol
from ..summary import Summary
from .clips import score_joints, score_masks
from .outcome import Outcome, Row
from .planes import score_planes
from .points import score_points
from .predictions import Checked, OnDemand
from .segments import score_segments

__all__ = ["OnDemand", "Row", "score"]

SCORERS: dict[type[Any], Callable[..., Outcome]] = {
    PointProtocol: score_points,
    PlaneProtocol: score_planes,
    MaskProtocol: score_masks,
    JointProtocol: score_joints,
    SegmentProtocol: score_segments,
}


def score(
    benchmark: str,
    split: str,
    protocol: Protocol,
    samples: Sequence[Sample],
    predictions: Mapping[str, Any],
    *,
    allow_missing: bool = False,
    classes: Sequence[str] = (),
) -> tuple[Summary, tuple[Row, ...]]:
    """Score predictions.

    Args:
        benchmark: its name.
        split: which part of it.
        protocol: whose switches are meant, of the benchmark's kind.
        samples: all that are to be scored.
        predictions: by sample, as ``scoring.predictions`` says; asked for one at a time.
        allow_missing: take predictions that are missing or cannot be scored as wrong, and leave out those of unknown
            samples; the summary counts them.
        classes: names of the classes of a segmentation; their numbers if left out.

    Returns:
        The summary, and a row for each sample that was scored.

    Raises:
        InvalidInput: if predictions are missing, of unknown samples, of a wrong shape or not finite, unless that is
            allowed: says how many, and of which samples; or if there is nothing to score.
        UnreadableFile: if the truth of a sample cannot be read.
    """
    if not samples:
        raise InvalidInput(f"no sample of {benchmark} to score")
    options = {"names": classes} if isinstance(protocol, SegmentProtocol) else {}
    checked = Checked(predictions, samples)
    if not allow_missing:
        checked.refuse()
    outcome = SCORERS[type(protocol)](protocol, samples, checked, **options)
    if not allow_missing:
        checked.refuse()
    summary = Summary(
        benchmark=benchmark,
        split=split,
        protocol=protocol.name,
        samples=len(outcome.rows),
        skipped=(*outcome.skipped, *checked.skipped),
        figures=outcome.figures,
        by_category=outcome.by_category,
        curve=outcome.curve,
    )
    return summary, outcome.rows
