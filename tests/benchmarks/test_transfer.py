from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffsight.benchmarks.transfer import (
    ALPHA,
    Outcome,
    Row,
    annotated_job,
    compare,
    fit_calibrations,
    held_out,
    score,
    world_jobs,
)
from diffsight.errors import InvalidInput
from diffsight.matching.confidence import Calibrations, Signals
from diffsight.matching.refine import refinement
from diffsight.readers import ModelReader
from diffsight.transfer.annotations import VISIBLE, AnnotatedPhoto, Annotations, Category, Instance
from diffsight.transfer.carry import Carrier, CarrySettings


@pytest.fixture(scope="module")
def reader():
    return ModelReader.open("pocket", device="cpu", dtype="float32", ensemble=1)


@pytest.fixture(scope="module")
def job():
    return world_jobs(1, 2, kinds=("bird",))[0]


def carrier(reader, job, abstain_below=0.0):
    settings = CarrySettings(refinement("best", reader.refine), flip="on", abstain_below=abstain_below)
    return Carrier(reader, job.category, settings, Calibrations.shipped("pocket"))


def test_world_jobs_repeat_and_keep_references_apart(job):
    again = world_jobs(1, 2, kinds=("bird",))[0]
    for one, other in zip(job.references + job.targets, again.references + again.targets, strict=True):
        assert one.photo.name == other.photo.name
        np.testing.assert_array_equal(one.load().image, other.load().image)
        np.testing.assert_array_equal(one.photo.instances[0].keypoints, other.photo.instances[0].keypoints)
    names = [own.photo.name for own in job.references + job.targets]
    assert len(set(names)) == 3
    assert len(job.category.keypoints) == len(job.references[0].photo.instances[0].keypoints)


def carried(job, own_carrier):
    for own in job.references:
        own_carrier.learn(own.photo, own.load())
    for own in job.targets:
        yield own, own_carrier.carry(own_carrier.read(own.load()))


def test_a_score_equals_what_is_counted_by_hand(reader, job):
    outcome = score(job, carrier(reader, job))
    right, guessed, sure = [], [], []
    for own, found in carried(job, carrier(reader, job)):
        truth = own.photo.instances[0]
        x0, y0, x1, y1 = truth.box
        for point in np.flatnonzero(np.isfinite(found.signals.peak)):
            shown = truth.visibility[point] == VISIBLE
            guessed.append(shown == (found.instance.visibility[point] == VISIBLE))
            if shown:
                far = np.hypot(*(found.instance.keypoints[point] - truth.keypoints[point]))
                right.append(far <= ALPHA * max(x1 - x0, y1 - y0))
                sure.append(found.instance.point_confidence[point])
    assert outcome.right.tolist() == right
    assert outcome.seen.tolist() == guessed
    assert outcome.confidence.tolist() == sure
    assert len(outcome.signals) == len(right)
    assert 0 < outcome.right.mean() < 1


def test_abstaining_from_everything_is_an_empty_result(reader, job):
    for _, found in carried(job, carrier(reader, job, abstain_below=1.0)):
        assert np.isnan(found.instance.keypoints).all()
        assert not found.instance.visibility.any()
        assert np.isfinite(found.signals.peak).any()
    assert not score(job, carrier(reader, job, abstain_below=1.0)).right.any()


def test_rows_differ_by_what_they_change(reader, job):
    rows = (Row("plain"), Row("cells", {"peak": "cell"}), Row("again"), Row("moved", debias=3))
    found = compare([job], reader, reader, Calibrations.shipped("pocket"), rows)
    assert list(found) == ["plain", "cells", "again", "moved"]
    np.testing.assert_array_equal(found["plain"].confidence, found["again"].confidence)
    assert not np.array_equal(found["plain"].confidence, found["cells"].confidence)
    assert not np.array_equal(found["plain"].confidence, found["moved"].confidence)
    assert found["plain"].points == sum(len(own) for own in [found["plain"].right])
    facts = found["plain"].facts()
    assert facts["risk"][-1] == pytest.approx(1 - facts["pck"], abs=0.02)


def outcome(seed, count=120):
    """Matches that are right the more often the higher their peak."""
    rng = np.random.default_rng(seed)
    peak = rng.uniform(0, 1, count)
    right = rng.uniform(0, 1, count) < peak
    return Outcome("thing", right, Signals.of(count, peak=peak, cycle=1 - peak), np.zeros(count), right, 1.0)


def test_calibrations_are_fitted_for_each_number_of_references():
    found = fit_calibrations({1: [outcome(0)], 5: [outcome(1), outcome(2)]}, "thing", "made up", {})
    assert (found.model, sorted(found.by_votes)) == ("thing", [1, 5])
    portable = fit_calibrations({1: [outcome(0)]}, "thing", "made up", {}, portable=True)
    assert not portable.is_fitted
    assert {curve.signal for curve in portable.by_votes[1].curves} == {"cycle"}


def test_what_is_held_out_is_judged_by_the_other_half():
    several = [outcome(3), outcome(4)]
    found = held_out(several)
    assert found.points == 240
    assert found.right.tolist() == [*several[0].right.tolist(), *several[1].right.tolist()]
    assert found.error_of_surest < 0.6 * found.error
    assert found.gap < 0.12
    # labels that are turned round in one half make the other half's confidence wrong
    turned = [replace(own, right=np.concatenate([own.right[:60], ~own.right[60:]])) for own in several]
    assert held_out(turned).error_of_surest > held_out(turned).error - 0.1


def test_annotated_photos_become_references_and_targets():
    dog, cat = (Instance(name, np.zeros((1, 2)), np.full(1, VISIBLE, np.int8)) for name in ("dog", "cat"))
    photos = tuple(
        AnnotatedPhoto(f"{i}.png", Path(f"{i}.png"), (9, 9), own)
        for i, own in enumerate([(dog,), (cat,), (cat, dog), (dog,)])
    )
    annotations = Annotations((Category("dog", ("nose",)), Category("cat", ("nose",))), photos)
    job = annotated_job(annotations, "dog", 2)
    assert [own.photo.name for own in job.references] == ["0.png", "2.png"]
    assert [own.photo.name for own in job.targets] == ["3.png"]
    with pytest.raises(InvalidInput, match="2 photos show 'cat', 2 of them wanted"):
        annotated_job(annotations, "cat", 2)
