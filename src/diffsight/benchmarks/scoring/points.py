"""Pairs of photos with known keypoints: PCK in all its flavours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import cast, get_args

import numpy as np
import numpy.typing as npt

from ...datasets.base import PointPair
from ...errors import InvalidInput
from ..metrics.points import Averaging, Base, Comparison, Pck, Pool, threshold
from ..protocols import PointProtocol
from ..summary import Figure
from .outcome import CURVE, Outcome, Row, skipped
from .predictions import NOT_FINITE, Checked, has_truth

ALPHAS = (0.01, 0.05, 0.1, 0.15)

BASES: dict[Base, str] = {
    "bbox": "longer side of the target's box",
    "source_bbox": "longer side of the source's box",
    "image": "longer side of the target photo",
    "keypoints": "extent of the target's keypoints",
    "keypoints_padded": "extent of the target's keypoints and their padding",
    "cub_x_scale": "longer side of the target's box by the scale of x",
    "fixed": "pixels",
}
AVERAGES: dict[Averaging, str] = {
    "per_image": "per image",
    "per_point": "per point",
    "per_category": "per category of points",
    "per_category_images": "per category of images",
}


def switches(protocol: PointProtocol, base: Base, averaging: Averaging, comparison: Comparison) -> str:
    """A flavour of PCK in words."""
    length = f"{protocol.length:g} " if base == "fixed" else ""
    return f"{AVERAGES[averaging]}, {length}{BASES[base]}, {comparison}, {protocol.frame}"


def score_points(protocol: PointProtocol, samples: Sequence[PointPair], checked: Checked) -> Outcome:
    """Score pairs; those without a keypoint visible in both photos are skipped."""
    usable = [_measured(sample) for sample in samples if has_truth(sample)]
    if not usable:
        raise InvalidInput("no pair has a keypoint to score")
    names, categories = np.unique([sample.category for sample in usable], return_inverse=True)
    pool = Pool(
        distances=np.concatenate([_distances(protocol, sample, checked) for sample in usable]),
        pairs=np.repeat(np.arange(len(usable)), [len(sample.target.keypoints) for sample in usable]),
        categories=categories,
        thresholds=_thresholds(protocol.base, protocol, usable),
    )
    hits = pool.hits(protocol.alphas[0], protocol.comparison)
    of_images = protocol.averaging[0] in ("per_image", "per_category_images")
    shares = 100 * pool.by_category(hits, of_images=of_images)
    curve = [(alpha, _average(pool.pck(alpha, protocol.comparison), protocol.averaging[0])) for alpha in CURVE]
    return Outcome(
        rows=tuple(
            Row(sample.id, sample.category, float(share))
            for sample, share in zip(usable, 100 * pool.by_image(hits), strict=True)
        ),
        figures=_figures(protocol, usable, pool),
        by_category=tuple(zip(names.tolist(), np.bincount(categories).tolist(), shares.tolist(), strict=True)),
        skipped=skipped("no keypoint visible in both photos", len(samples) - len(usable)),
        curve=tuple(curve),
    )


def _measured(sample: PointPair) -> PointPair:
    """The pair with the sizes of its photos, read once where the benchmark does not state them."""
    source, target = (replace(side, size=side.measure()) for side in (sample.source, sample.target))
    return replace(sample, source=source, target=target)


def _distances(protocol: PointProtocol, sample: PointPair, checked: Checked) -> npt.NDArray[np.float64]:
    """How far each predicted keypoint is off, in the protocol's frame; infinite where there is none."""
    truth = sample.target.keypoints
    found = checked.numbers(sample, truth.shape)
    if found is None:
        return np.full(len(truth), np.inf)
    off = np.linalg.norm((found - truth) * protocol.frame.scale(sample.target.measure()), axis=1)
    lost = ~np.isfinite(off)
    if lost.any():
        checked.faults[NOT_FINITE].append(sample.id)
    return np.where(lost, np.inf, off)


def _thresholds(base: Base, protocol: PointProtocol, samples: Sequence[PointPair]) -> npt.NDArray[np.float64]:
    return np.array([threshold(base, own.source, own.target, protocol.frame, protocol.length) for own in samples])


def _average(pck: Pck, averaging: Averaging) -> float:
    return cast(float, getattr(pck, averaging))


def _figures(protocol: PointProtocol, samples: Sequence[PointPair], pool: Pool) -> tuple[Figure, ...]:
    """Every flavour in the protocol's frame, those that it means first."""
    boxed = all(side.box is not None for sample in samples for side in (sample.source, sample.target))
    usable: dict[Base, bool] = {
        **dict.fromkeys(BASES, True),
        "fixed": protocol.length is not None,
        "bbox": boxed,
        "source_bbox": boxed,
        "cub_x_scale": boxed and protocol.frame.kind == "squash",  # with one scale for both axes it is bbox
    }
    bases = [base for base in BASES if usable[base]]
    alphas = sorted({*ALPHAS, *protocol.alphas})
    meant, others = {}, []
    for base in bases:
        own = replace(pool, thresholds=_thresholds(base, protocol, samples))
        for alpha, comparison in product(alphas, get_args(Comparison)):
            pck = own.pck(alpha, comparison)
            same = (base, comparison) == (protocol.base, protocol.comparison) and alpha in protocol.alphas
            for averaging in AVERAGES:
                text = switches(protocol, base, averaging, comparison)
                main = same and averaging in protocol.averaging
                figure = Figure(f"PCK@{alpha:g}", text, _average(pck, averaging), main)
                if main:
                    meant[alpha, averaging] = figure
                else:
                    others.append(figure)
    return (*(meant[key] for key in product(protocol.alphas, protocol.averaging)), *others)
