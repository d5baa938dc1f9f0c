"""Pairs of photos of planes: how far the corners are off."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...datasets.base import Photo, PlanePair
from ..metrics.planes import corner_error, homography_score
from ..protocols import PlaneProtocol
from ..summary import Figure
from .outcome import Outcome, Row, by_category
from .predictions import NOT_FINITE, Checked

SWITCHES = "mean of four corners, original pixels, <=, a missing homography is wrong"


def score_planes(protocol: PlaneProtocol, samples: Sequence[PlanePair], checked: Checked) -> Outcome:
    """Score pairs, all and each category of them."""
    sizes: dict[Photo, tuple[int, int]] = {}
    errors = []
    for sample in samples:
        if sample.source not in sizes:
            sizes[sample.source] = sample.source.load().size
        errors.append(_error(sample, sizes[sample.source], checked))
    worst = max(protocol.pixels)
    categories = [sample.category for sample in samples]
    groups = {"all": list(range(len(samples)))}
    for index, category in enumerate(categories):
        groups.setdefault(category, []).append(index)
    figures = []
    for group, indices in groups.items():
        score = homography_score([errors[i] for i in indices], protocol.pixels)
        for limit, correct, auc in zip(protocol.pixels, score.correct, score.auc, strict=True):
            figures += [
                Figure(f"homographies@{limit:g}px", f"{group}, {SWITCHES}", correct, main=group == "all"),
                Figure(f"AUC@{limit:g}px", f"{group}, {SWITCHES}", auc),
            ]
        figures.append(Figure("homographies missing", group, score.missing))
    headline = protocol.pixels[0]
    return Outcome(
        rows=tuple(
            Row(sample.id, sample.category, 100 * max(0.0, 1 - error / worst))
            for sample, error in zip(samples, errors, strict=True)
        ),
        figures=(*(own for own in figures if own.main), *(own for own in figures if not own.main)),
        by_category=by_category(
            categories, lambda own: 100 * float(np.mean([errors[index] <= headline for index in own]))
        ),
    )


def _error(sample: PlanePair, size: tuple[int, int], checked: Checked) -> float:
    if sample.id in checked.predictions and checked.predictions[sample.id] is None:
        return float("inf")
    found = checked.numbers(sample, (3, 3))
    if found is not None and not np.isfinite(found).all():
        checked.faults[NOT_FINITE].append(sample.id)
        found = None
    return corner_error(found, sample.homography, size)
