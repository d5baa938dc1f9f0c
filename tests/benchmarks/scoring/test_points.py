from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffsight.benchmarks.protocols import ORIGINAL, PROTOCOLS, PointProtocol, protocol
from diffsight.benchmarks.scoring import score
from diffsight.datasets.base import Annotation, Photo, PointPair
from diffsight.errors import InvalidInput

DIFT = protocol("spair")


def pair(name, category, keypoints, size=(200, 400), box=(0.0, 0.0, 100.0, 50.0)):
    points = np.array(keypoints, np.float64).reshape(-1, 2)
    source = Annotation(Photo(Path("a.jpg")), (100, 100), (0.0, 0.0, 40.0, 80.0), points / 2)
    return PointPair(name, category, source, Annotation(Photo(Path("b.jpg")), size, box, points))


def many(count=300, points=7, seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.choice(["cat", "dog", "bird"], count)
    return [pair(f"{i:03d}", str(kinds[i]), rng.uniform([100, 60], [300, 140], (points, 2))) for i in range(count)]


def value(summary, metric, switches):
    (found,) = [own.value for own in summary.figures if (own.metric, own.switches) == (metric, switches)]
    return found


@pytest.mark.parametrize("benchmark", ["spair", "pf-pascal", "pf-willow", "cub", "ap-10k"])
def test_perfect_predictions_score_100_by_every_flavour(benchmark):
    samples = many(20)
    for own in PROTOCOLS[benchmark]:
        summary, rows = score(benchmark, "test", own, samples, {s.id: s.target.keypoints for s in samples})
        assert {figure.value for figure in summary.figures} == {100}
        assert {row.score for row in rows} == {100}
        assert {value for _, value in summary.curve} == {100}
        assert (summary.samples, summary.skipped, summary.protocol) == (20, (), own.name)


def test_predictions_at_one_far_place_score_0():
    samples = many(20)
    summary, rows = score("spair", "test", DIFT, samples, {s.id: np.full((7, 2), -500.0) for s in samples})
    assert {figure.value for figure in summary.figures} == {0}
    assert {row.score for row in rows} == {0}


def test_random_predictions_score_the_share_of_the_photo_within_reach():
    samples, rng = many(), np.random.default_rng(1)
    predictions = {s.id: rng.uniform([0, 0], [400, 200], (7, 2)) for s in samples}
    summary, _ = score("spair", "test", DIFT, samples, predictions)
    disc = 100 * np.pi * (0.15 * 100) ** 2 / (400 * 200)  # percent; 2100 points: a standard deviation of 0.2
    found = value(summary, "PCK@0.15", "per point, longer side of the target's box, <=, original pixels")
    assert found == pytest.approx(disc, abs=0.7)


def test_all_flavours_are_there_under_names_of_their_own():
    samples = many(10)
    predictions = {s.id: s.target.keypoints + np.array([3, 0]) for s in samples}
    for own, count in ((DIFT, 5 * 4 * 4 * 2), (protocol("spair", "hedlin"), 6 * 4 * 4 * 2)):
        summary, _ = score("spair", "test", own, samples, predictions)
        assert len({(figure.metric, figure.switches) for figure in summary.figures}) == len(summary.figures) == count
    fixed = PointProtocol("mine", "me", "fixed", length=30.0)
    summary, _ = score("spair", "test", fixed, samples, predictions)
    assert summary.main[0].switches == "per image, 30 pixels, <=, original pixels"
    assert value(summary, "PCK@0.1", "per image, 30 pixels, <=, original pixels") == 100
    assert value(summary, "PCK@0.1", "per image, 30 pixels, <, original pixels") == 0


def test_the_four_averages_differ_on_an_unbalanced_set():
    """Cats: 3 of 4 points in one pair, 0 of 1 in another; dogs: 1 of 1."""
    samples = [pair("a", "cat", [[100, 90]] * 4), pair("b", "cat", [[100, 90]]), pair("c", "dog", [[100, 90]])]
    hit, miss = [100.0, 90.0], [100.0, 190.0]
    predictions = {"a": [hit, hit, hit, miss], "b": [miss], "c": [hit]}
    summary, rows = score("spair", "test", DIFT, samples, predictions)
    tail = ", longer side of the target's box, <=, original pixels"
    expected = {
        "per image": 100 * (0.75 + 0 + 1) / 3,
        "per point": 100 * 4 / 6,
        "per category of points": 100 * (3 / 5 + 1) / 2,
        "per category of images": 100 * (0.375 + 1) / 2,
    }
    for name, number in expected.items():
        assert value(summary, "PCK@0.1", name + tail) == pytest.approx(number)
    assert [(own.metric, own.switches) for own in summary.main] == [
        ("PCK@0.1", "per image" + tail),
        ("PCK@0.1", "per point" + tail),
    ]
    assert summary.figures[:2] == summary.main
    assert summary.by_category == (("cat", 2, 37.5), ("dog", 1, 100.0))
    assert [(row.id, row.category, row.score) for row in rows] == [("a", "cat", 75), ("b", "cat", 0), ("c", "dog", 100)]


def test_categories_follow_the_headline():
    samples = [pair("a", "cat", [[100, 90]] * 4), pair("b", "cat", [[100, 90]])]
    predictions = {"a": samples[0].target.keypoints, "b": [[0.0, 0.0]]}
    congealing = protocol("cub", "neural_congealing")
    assert score("cub", "test", congealing, samples, predictions)[0].by_category == (("cat", 2, 80.0),)
    assert score("cub", "test", DIFT, samples, predictions)[0].by_category == (("cat", 2, 50.0),)


def test_every_base_and_frame_by_hand():
    """The target is 400 x 200, its box 100 x 50, the source's 40 x 80 in 100 x 100; the prediction is 9 px off in x."""
    sample = pair("a", "cat", [[200.5, 100.5], [240.5, 120.5]])
    predictions = {"a": sample.target.keypoints + np.array([9, 0])}

    def flip(own, base):
        """The smallest of the alphas at which the pair is right."""
        summary, _ = score("spair", "test", own, [sample], predictions)
        names = [f"per image, {base}, <=, {own.frame}"]
        right = [a for a in (0.01, 0.05, 0.1, 0.15) if value(summary, f"PCK@{a:g}", names[0]) == 100]
        return min(right, default=None)

    assert flip(DIFT, "longer side of the target's box") == 0.1  # 9 of 100
    assert flip(DIFT, "longer side of the source's box") == 0.15  # of 80
    assert flip(DIFT, "longer side of the target photo") == 0.05  # of 400
    assert flip(DIFT, "extent of the target's keypoints") is None  # of 40
    assert flip(DIFT, "extent of the target's keypoints and their padding") == 0.05  # of 241
    squashed = protocol("spair", "hedlin")  # 9 px are 11.52
    assert flip(squashed, "longer side of the target's box") == 0.1  # of 128
    assert flip(squashed, "longer side of the source's box") == 0.05  # of 409.6
    assert flip(squashed, "longer side of the target's box by the scale of x") == 0.1  # of 128
    padded = protocol("spair", "geoaware")  # 18.9
    assert flip(padded, "longer side of the target's box") == 0.1  # of 210
    assert flip(padded, "longer side of the source's box") == 0.05  # of 672


def test_the_frame_stretches_distances():
    """Squashing a wide photo stretches the way down: 9 px of 200 become 23.04 of 512, and the box's 50 become 128."""
    sample = pair("a", "cat", [[200.5, 100.5]])
    down, along = ({"a": sample.target.keypoints + own} for own in ([0, 9], [9, 0]))
    bbox = PointProtocol("mine", "me", "bbox", frame=protocol("spair", "hedlin").frame)
    assert score("spair", "test", bbox, [sample], down)[0].main[0].value == 0
    assert score("spair", "test", bbox, [sample], along)[0].main[0].value == 100
    assert score("spair", "test", DIFT, [sample], down)[0].main[0].value == 100


def test_the_curve_rises_and_passes_through_the_headline():
    samples, rng = many(50), np.random.default_rng(2)
    predictions = {s.id: s.target.keypoints + rng.normal(0, 8, (7, 2)) for s in samples}
    summary, _ = score("spair", "test", DIFT, samples, predictions)
    alphas, values = zip(*summary.curve, strict=True)
    assert alphas == tuple(i / 100 for i in range(1, 21))
    assert list(values) == sorted(values)
    assert dict(summary.curve)[0.1] == summary.main[0].value
    assert 0 < values[0] < values[-1]


def test_pairs_without_keypoints_are_skipped_and_counted():
    samples = [pair("a", "cat", [[100, 90]]), pair("b", "cat", []), pair("c", "owl", [])]
    summary, rows = score("spair", "test", DIFT, samples, {"a": [[100, 90]]})
    assert summary.main[0].value == 100
    assert (summary.samples, len(rows)) == (1, 1)
    assert summary.skipped == (("no keypoint visible in both photos", 2),)
    with pytest.raises(InvalidInput, match="no pair has a keypoint"):
        score("spair", "test", DIFT, samples[1:], {})
    with pytest.raises(InvalidInput, match="no sample of spair"):
        score("spair", "test", DIFT, [], {})


def test_predictions_that_do_not_fit_are_counted_named_and_refused():
    samples = [pair(name, "cat", [[100, 90], [120, 90]]) for name in "abcdefgh"]
    predictions = {s.id: s.target.keypoints for s in samples}
    few = {key: predictions[key] for key in "ab"}
    with pytest.raises(InvalidInput, match=r"6 missing \(c, d, e, \.\.\.\); 1 of unknown samples \(x\)"):
        score("spair", "test", DIFT, samples, {**few, "x": predictions["a"]})
    wrong = {**predictions, "a": np.zeros((3, 2)), "b": [[np.nan, 1], [120, 90]], "c": "none", "d": [[0, 0], [1]]}
    with pytest.raises(InvalidInput, match=r"3 of a wrong shape or type \(a, c, d\); 1 not finite \(b\)"):
        score("spair", "test", DIFT, samples, wrong)


def test_predictions_that_do_not_fit_count_as_wrong_if_allowed():
    samples = [pair(name, "cat", [[100, 90], [120, 90]]) for name in "abcd"]
    predictions = {"a": samples[0].target.keypoints, "b": [[np.nan, 90], [120, 90]], "c": [[100, 90]], "x": [[1, 1]]}
    summary, rows = score("spair", "test", DIFT, samples, predictions, allow_missing=True)
    assert [row.score for row in rows] == [100, 50, 0, 0]
    assert summary.main[1].value == pytest.approx(100 * 3 / 8)
    assert summary.skipped == (
        ("prediction missing, counted as wrong", 1),
        ("prediction of an unknown sample, left out", 1),
        ("prediction of a wrong shape or type, counted as wrong", 1),
        ("prediction not finite, counted as wrong", 1),
    )


def test_a_summary_is_read_back_as_it_was(tmp_path):
    samples = many(5)
    summary, _ = score("spair", "test", DIFT, samples, {s.id: s.target.keypoints for s in samples})
    summary.save(tmp_path / "summary.json")
    assert type(summary).load(tmp_path / "summary.json") == summary
    assert str(ORIGINAL) in summary.main[0].switches
