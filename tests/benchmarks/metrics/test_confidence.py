from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.metrics.confidence import reliability, risk_coverage

matches = st.lists(st.tuples(st.sampled_from([0.1, 0.25, 0.5, 0.9, 1.0]), st.booleans()), min_size=1, max_size=20)


def test_risk_by_hand():
    found = risk_coverage([0.2, 0.9, 0.5, 0.7], [False, True, True, False])  # right, wrong, right, wrong
    np.testing.assert_allclose(found.coverage, [0.25, 0.5, 0.75, 1.0])
    np.testing.assert_allclose(found.risk, [0, 1 / 2, 1 / 3, 1 / 2])
    assert found.area == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert [found.at(share) for share in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0, 0, 1 / 2, 1 / 2])


def test_ties_share_their_risk_by_hand():
    found = risk_coverage([0.9, 0.5, 0.5, 0.1], [True, True, False, False])
    np.testing.assert_allclose(found.risk, [0, 0.5 / 2, 1 / 3, 2 / 4])
    np.testing.assert_allclose(risk_coverage([0.3] * 5, [True, False, False, False, False]).risk, 0.8)


def test_unknown_confidences_come_last():
    np.testing.assert_allclose(risk_coverage([float("nan"), 0.1, float("nan")], [0, 1, 1]).risk, [0, 1 / 4, 1 / 3])


@given(matches, st.randoms())
def test_the_order_of_matches_does_not_matter(pairs, random):
    mixed = random.sample(pairs, len(pairs))
    np.testing.assert_allclose(
        risk_coverage(*zip(*pairs, strict=True)).risk, risk_coverage(*zip(*mixed, strict=True)).risk
    )


@given(matches)
def test_risk_equals_the_mean_over_all_orders_of_ties(pairs):
    found = risk_coverage(*zip(*pairs, strict=True))
    for kept in range(1, len(pairs) + 1):
        least = sorted((sure for sure, _ in pairs), reverse=True)[kept - 1]
        above = [not right for sure, right in pairs if sure > least]
        tied = [not right for sure, right in pairs if sure == least]
        expected = (sum(above) + (kept - len(above)) * sum(tied) / len(tied)) / kept
        assert found.risk[kept - 1] == pytest.approx(expected)


def test_calibration_error_by_hand():
    found = reliability([0.05, 0.15, 0.12, 0.95, 1.0], [False, True, False, True, True])
    np.testing.assert_allclose(found.confidence, [0.05, 0.135, 0.975])
    np.testing.assert_allclose(found.rate, [0, 0.5, 1])
    assert found.count.tolist() == [1, 2, 2]
    assert found.error == pytest.approx((0.05 + 2 * 0.365 + 2 * 0.025) / 5)
    assert reliability([0.0, 1.0], [False, True]).error == 0
    assert reliability([0.0, 1.0], [True, False], bins=1).error == 0
    assert reliability([0.0, 1.0], [True, False]).error == 1


@given(matches, st.integers(1, 15))
def test_bins_hold_every_match_once(pairs, bins):
    sure, right = map(np.array, zip(*pairs, strict=True))
    found = reliability(sure, right, bins)
    assert found.count.sum() == len(pairs)
    assert found.confidence @ found.count == pytest.approx(sure.sum())
    assert found.rate @ found.count == pytest.approx(right.sum())
    gaps = [
        abs(sum(sure[own] - right[own]))
        for own in (np.minimum(np.floor(sure * bins), bins - 1) == b for b in range(bins))
    ]
    assert found.error == pytest.approx(sum(gaps) / len(pairs))


@pytest.mark.filterwarnings("error")
def test_without_matches_there_is_no_figure():
    nothing = risk_coverage([], [])
    assert len(nothing.risk) == len(nothing.coverage) == 0
    assert all(math.isnan(value) for value in (nothing.area, nothing.at(0.5), reliability([], []).error))
