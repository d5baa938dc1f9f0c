"""Videos: J and F of masks, PCK of joints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ...datasets.base import JointClip, MaskClip
from ...errors import InvalidInput
from ...video.masks import load_labels
from ..metrics.clips import ObjectScore, joint_errors, joint_pck, objects, score_objects
from ..protocols import JointProtocol, MaskProtocol
from ..summary import Figure
from .outcome import CURVE, Outcome, Row, by_category, skipped
from .predictions import NOT_FINITE, Checked

MASKS = "per object, first and last frame left out"
JOINTS = {
    False: "per joint, 0.6 of the diagonal around the joints found, those not found left out",
    True: "per joint, 0.6 of the diagonal around all joints, those not found wrong",
}


def score_masks(protocol: MaskProtocol, samples: Sequence[MaskClip], checked: Checked) -> Outcome:
    """Score clips by their objects; those without three frames, or an object in the first, are skipped."""
    scored: list[tuple[MaskClip, list[ObjectScore]]] = []
    for sample in samples:
        own = _objects(sample, checked)
        if own:
            scored.append((sample, own))
    if not scored:
        raise InvalidInput("no clip has an object to score")
    return Outcome(
        rows=tuple(Row(sample.id, sample.category, _jf(own)[0]) for sample, own in scored),
        figures=tuple(
            Figure(metric, f"{MASKS}, over all objects", value, main=True)
            for metric, value in zip(("J&F", "J", "F"), _jf([o for _, own in scored for o in own]), strict=True)
        ),
        by_category=by_category(
            [sample.category for sample, _ in scored], lambda own: _jf([o for i in own for o in scored[i][1]])[0]
        ),
        skipped=skipped("clip without an object, or of less than three frames", len(samples) - len(scored)),
    )


def _objects(sample: MaskClip, checked: Checked) -> list[ObjectScore]:
    truth = [load_labels(path) for path in sample.masks]
    found = checked.masks(sample, [own.shape for own in truth])
    if len(truth) < 3:
        return []
    return [ObjectScore(0, 0)] * len(objects(truth[0])) if found is None else score_objects(found, truth)


def _jf(scores: list[ObjectScore]) -> tuple[float, float, float]:
    """J&F, J and F, percent."""
    j, f = (100 * float(np.mean([getattr(own, kind) for own in scores])) for kind in ("j", "f"))
    return (j + f) / 2, j, f


def score_joints(protocol: JointProtocol, samples: Sequence[JointClip], checked: Checked) -> Outcome:
    """Score clips by their joints, those that were not found left out and counted as wrong."""
    found = [_joints(sample, checked) for sample in samples]
    errors = {
        strict: [joint_errors(own, sample.joints, strict=strict) for own, sample in zip(found, samples, strict=True)]
        for strict in (protocol.strict, not protocol.strict)
    }
    scored = [i for i, own in enumerate(errors[protocol.strict]) if not np.isnan(own).all()]
    if not scored:
        raise InvalidInput("no joint was found in any clip, and such joints are left out; score by protocol strict")
    main = [errors[protocol.strict][i] for i in scored]
    headline = protocol.alphas[0]
    figures = [
        Figure(f"PCK@{alpha:g}", f"{JOINTS[strict]}, first frame left out, <=", value, main=strict == protocol.strict)
        for strict, own in errors.items()
        for alpha in protocol.alphas
        if not np.isnan(value := joint_pck(own, alpha))
    ]
    return Outcome(
        rows=tuple(
            Row(samples[i].id, samples[i].category, _share(own, headline)) for i, own in zip(scored, main, strict=True)
        ),
        figures=tuple(figures),
        by_category=by_category(
            [samples[i].category for i in scored], lambda own: joint_pck([main[i] for i in own], headline)
        ),
        skipped=skipped("clip without a joint found", len(samples) - len(scored)),
        curve=tuple((alpha, joint_pck(main, alpha)) for alpha in CURVE),
    )


def _joints(sample: JointClip, checked: Checked) -> npt.NDArray[np.float64]:
    """A clip's predicted joints; infinitely far off where there is no prediction."""
    found = checked.numbers(sample, sample.joints.shape)
    if found is None:
        return np.full(sample.joints.shape, np.inf)
    wrong = np.isinf(found).any(axis=2) | (np.isnan(found).sum(axis=2) == 1)
    if wrong.any():
        checked.faults[NOT_FINITE].append(sample.id)
    return np.where(wrong[..., None], np.inf, found)


def _share(errors: npt.NDArray[np.float64], alpha: float) -> float:
    return 100 * float((errors[~np.isnan(errors)] <= alpha).mean())
