from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffsight.benchmarks.transfer import ALPHA, annotated_job, carry_out, score, world_jobs
from diffsight.errors import InvalidInput
from diffsight.matching.confidence import Calibrations
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


def test_a_score_equals_what_is_counted_by_hand(reader, job):
    outcome = score(job, carrier(reader, job))
    right, shown = [], []
    for own, found, signals in carry_out(job, carrier(reader, job)):
        truth = own.photo.instances[0]
        x0, y0, x1, y1 = truth.box
        for point in np.flatnonzero(np.isfinite(signals.peak)):
            shown.append(truth.visibility[point] == VISIBLE)
            if shown[-1]:
                far = np.hypot(*(found.keypoints[point] - truth.keypoints[point]))
                right.append(far <= ALPHA * max(x1 - x0, y1 - y0))
    assert outcome.right.tolist() == right
    assert outcome.seen.tolist() == shown
    assert len(outcome.signals) == len(right)
    assert outcome.sure.shape == outcome.seen.shape
    assert 0 < outcome.right.mean() < 1


def test_abstaining_from_everything_is_an_empty_result(reader, job):
    for _, found, signals in carry_out(job, carrier(reader, job, abstain_below=1.0)):
        assert np.isnan(found.keypoints).all()
        assert not found.visibility.any()
        assert np.isfinite(signals.peak).any()
    assert not score(job, carrier(reader, job, abstain_below=1.0)).right.any()


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
