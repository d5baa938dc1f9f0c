from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.protocols import protocol
from diffsight.benchmarks.scoring import score
from diffsight.datasets.base import Photo, PlanePair
from diffsight.errors import InvalidInput

DIFT = protocol("hpatches")


def moved(x, y=0.0):
    return np.array([[1.0, 0, x], [0, 1, y], [0, 0, 1]])


@pytest.fixture
def samples(tmp_path):
    Image.fromarray(np.zeros((30, 40, 3), np.uint8)).save(tmp_path / "1.png")
    photo = Photo(tmp_path / "1.png")
    return [PlanePair(f"{group}{i}", group, photo, photo, moved(5, 2)) for group in "iv" for i in range(2)]


def figures(summary):
    return {(own.metric, own.switches.split(",")[0]): own.value for own in summary.figures}


def test_the_true_homographies_score_100(samples):
    summary, rows = score("hpatches", "all", DIFT, samples, {s.id: 3 * s.homography for s in samples})
    assert [(own.metric, own.value) for own in summary.main] == [
        ("homographies@3px", 100),
        ("homographies@1px", 100),
        ("homographies@5px", 100),
    ]
    assert summary.main[0].switches.startswith("all, ")
    found = figures(summary)
    assert all(found[f"AUC@{limit}px", group] > 99.999 for limit in (1, 3, 5) for group in ("all", "i", "v"))
    assert found["homographies missing", "all"] == 0
    assert all(row.score > 99.999 for row in rows)


def test_figures_by_hand(samples):
    """Off by 0 and 2 pixels in one group, by 4 and without a homography in the other."""
    predictions = {"i0": moved(5, 2), "i1": moved(7, 2), "v0": moved(5, 6), "v1": None}
    summary, rows = score("hpatches", "all", DIFT, samples, predictions)
    found = figures(summary)
    assert [found[f"homographies@{limit}px", "all"] for limit in (1, 3, 5)] == [25, 50, 75]
    assert [found[f"homographies@{limit}px", "v"] for limit in (1, 3, 5)] == [0, 0, 50]
    assert found["AUC@5px", "all"] == pytest.approx(100 * (1 + 3 / 5 + 1 / 5 + 0) / 4)
    assert found["homographies missing", "v"] == 50
    assert summary.by_category == (("i", 2, 100.0), ("v", 2, 0.0))
    assert [row.score for row in rows] == pytest.approx([100, 60, 20, 0])
    assert summary.curve == ()


def test_random_homographies_score_0(samples):
    rng = np.random.default_rng(0)
    summary, _ = score("hpatches", "all", DIFT, samples, {s.id: rng.normal(0, 1, (3, 3)) for s in samples})
    assert [own.value for own in summary.main] == [0, 0, 0]


def test_what_does_not_fit(samples):
    predictions = {"i0": moved(5, 2), "i1": np.eye(2), "v0": np.full((3, 3), np.nan)}
    with pytest.raises(InvalidInput, match="1 missing"):
        score("hpatches", "all", DIFT, samples, predictions)
    with pytest.raises(InvalidInput, match=r"1 of a wrong shape or type \(i1\); 1 not finite \(v0\)"):
        score("hpatches", "all", DIFT, samples, {**predictions, "v1": None})
    summary, _ = score("hpatches", "all", DIFT, samples, predictions, allow_missing=True)
    assert summary.main[0].value == 25
    assert len(summary.skipped) == 3
