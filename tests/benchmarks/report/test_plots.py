from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffsight.benchmarks.report.plots import HEIGHT, WIDTH, Line, Plot, risk_coverage
from diffsight.benchmarks.report.run import Score


def scores_of(*pairs):
    return [Score(str(i), "all", value, confidence) for i, (value, confidence) in enumerate(pairs)]


def drawn(*lines: Line):
    return ElementTree.fromstring(Plot("title <&>", "alpha", "PCK", lines).svg)


def test_lines_stay_in_the_field_and_rise_with_their_values():
    line = Line("ours", np.array([0.01, 0.05, 0.1]), np.array([0.0, 40.0, 80.0]))
    figure = drawn(line)
    (path,) = figure.findall("polyline")
    points = np.array([list(map(float, point.split(","))) for point in path.get("points").split()])
    assert (points > 0).all()
    assert (points < (WIDTH, HEIGHT)).all()
    assert (np.diff(points[:, 0]) > 0).all()
    assert (np.diff(points[:, 1]) < 0).all()
    assert np.diff(points[:, 1])[0] == pytest.approx(np.diff(points[:, 1])[1], abs=0.2)
    assert len(figure.findall("circle")) == 3
    assert {"0", "20", "80", "0.1"} <= {text.text for text in figure.findall("text")}


def test_a_line_of_zeros_and_signs_in_titles_can_be_drawn():
    figure = drawn(Line("none", np.array([0.1]), np.array([0.0])))
    assert figure.get("aria-label") == "title <&>"
    assert figure.find("polyline") is not None


def test_the_seventh_line_takes_the_first_colour_again():
    lines = [Line(str(i), np.array([0.0, 1.0]), np.array([0.0, i])) for i in range(7)]
    classes = [path.get("class") for path in drawn(*lines).findall("polyline")]
    assert classes[0] == classes[6] == "line line-0"
    assert len(set(classes)) == 6


def test_risk_by_hand():
    coverage, risk = risk_coverage(scores_of((100, 0.9), (0, 0.1), (50, 0.5), (50, 0.5)))
    np.testing.assert_allclose(coverage, [25, 50, 75, 100])
    np.testing.assert_allclose(risk, [0, 25, 100 / 3, 50])


def test_samples_without_confidence_are_left_out():
    coverage, risk = risk_coverage(scores_of((100, None), (40, 0.3), (10, float("nan"))))
    np.testing.assert_allclose((coverage, risk), [[100], [60]])
    assert len(risk_coverage(scores_of((100, None)))[0]) == 0


@given(
    st.lists(st.tuples(st.floats(0, 100), st.integers(0, 5).map(float)), min_size=1, max_size=30),
    st.randoms(use_true_random=False),
)
def test_the_order_of_samples_does_not_matter(pairs, random):
    coverage, risk = risk_coverage(scores_of(*pairs))
    random.shuffle(pairs)
    np.testing.assert_allclose(risk_coverage(scores_of(*pairs)), (coverage, risk), atol=1e-9)
    assert coverage[-1] == 100
    np.testing.assert_allclose(risk[-1], 100 - np.mean([value for value, _ in pairs]), atol=1e-9)
