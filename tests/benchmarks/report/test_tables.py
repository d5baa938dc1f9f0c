from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from diffsight.benchmarks.published import published
from diffsight.benchmarks.report.run import ScoredRun
from diffsight.benchmarks.report.tables import by_category, comparison, flavours, labels, provenance, remarks
from diffsight.benchmarks.summary import Figure, Summary

BOX = "per point, target's box"
FIGURES = Figure("PCK@0.1", BOX, 50.0, main=True), Figure("PCK@0.05", BOX, 25.0)
SUMMARY = Summary("spair", "test", "dift", 12_234, (), FIGURES, (("cat", 2, 40.0), ("dog", 1, 110.0)))


def run_of(summary: Summary = SUMMARY, method: str = "dift", folder: str = "runs/a") -> ScoredRun:
    facts = ("command", "diffsight bench run"), ("versions.torch", "2.13.0"), ("date", "2026-11-21T10:00:00")
    return ScoredRun(Path(folder), "pocket", method, None, (("seed", "0"),), facts, summary, ())


def texts(row):
    return [cell.text for cell in row.cells]


def test_our_rows_come_first_and_are_marked():
    table = comparison("PCK@0.1", [run_of()])
    known = [row for row in published("spair", "PCK@0.1") if row.category is None]
    assert [row.ours for row in table.rows] == [True] + [False] * len(known)
    switches = f"{BOX}; protocol dift, test, 12,234 samples"
    assert texts(table.rows[0]) == ["50.0", "dift · pocket", "–", switches, "measured here, 2026-11-21"]
    assert sorted(row.cells[1].text for row in table.rows[1:]) == sorted(row.method for row in known)
    assert "Only the rows marked “measured here” come from runs" in table.notes[0]


def test_published_rows_carry_protocol_and_source_and_are_ranked_within_their_protocol():
    rows = [row for row in comparison("PCK@0.1", [run_of()]).rows if not row.ours]
    assert ["52.9", "DIFT", "none", "per image, bbox", "3D-SC (2026) Table 1"] in map(texts, rows)
    assert all(row.cells[3].text and row.cells[4].text for row in rows)
    protocols = [row.cells[3].text for row in rows]
    assert protocols[0].startswith("per image")
    assert protocols[-1] == "not stated"
    own = [float(row.cells[0].text) for row in rows if row.cells[3].text == "per point, bbox"]
    assert own == sorted(own, reverse=True)
    assert len(own) > 3
    second_hand = [row for row in rows if row.cells[4].text.endswith("(second hand)")]
    assert 0 < len(second_hand) < len(rows)


def test_a_metric_that_nobody_published_says_so():
    table = comparison("PCK@0.3", [run_of(replace(SUMMARY, figures=(Figure("PCK@0.3", BOX, 70.0, main=True),)))])
    assert len(table.rows) == 1
    assert table.notes == ("No published figure of this metric is at hand.",)


def test_runs_of_different_protocols_are_shown_side_by_side_and_never_merged():
    other = replace(SUMMARY, protocol="hedlin", figures=(Figure("PCK@0.1", BOX, 44.0),), samples=10)
    runs = [run_of(), run_of(other, "prompt")]
    table = flavours(runs)
    own = "dift · pocket: protocol dift, test, 12,234 samples", "prompt · pocket: protocol hedlin, test, 10 samples"
    assert table.columns == ("metric", *own, "switches")
    assert [texts(row) for row in table.rows] == [["PCK@0.1", "50.0", "44.0", BOX], ["PCK@0.05", "25.0", "–", BOX]]
    assert [cell.strong for cell in table.rows[0].cells] == [False, True, False, False]
    said = remarks(runs)
    assert said[0] == "These runs follow different protocols (dift, hedlin): their figures do not compare."
    assert said[1].startswith("prompt · pocket: ran on 10 samples; the real test split has 12,234")
    assert len(said) == 2


def test_what_was_skipped_is_said_once_for_runs_that_share_it():
    short = replace(SUMMARY, samples=12_232, skipped=(("no keypoints", 2),))
    assert remarks([run_of(short), run_of(short, "mls")]) == (
        "dift · pocket; mls · pocket: 2 not scored (no keypoints).",
    )
    assert remarks([run_of()]) == ()


def test_categories_have_bars_and_published_values_beside_them():
    table = by_category([run_of()])
    assert table.columns[:3] == ("category", "samples", "dift · pocket: protocol dift, test, 12,234 samples")
    assert table.columns[3] == "DIFT (SD), published: per point, bbox"
    assert texts(table.rows[0])[:3] == ["cat", "2", "40.0"]
    assert [row.cells[2].share for row in table.rows] == [0.4, 1.0]
    (known,) = (
        row.value for row in published("spair", "PCK@0.1") if row.method == "DIFT (SD)" and row.category == "cat"
    )
    assert table.rows[0].cells[3].text == f"{known:.1f}"


@pytest.mark.parametrize(
    ("runs", "expected"),
    [
        ([run_of(), run_of(method="mls")], ["dift · pocket", "mls · pocket"]),
        ([run_of(), run_of(folder="runs/b")], ["dift · pocket (runs/a)", "dift · pocket (runs/b)"]),
    ],
)
def test_labels_tell_runs_apart(runs, expected):
    assert labels(runs) == expected


def test_provenance_names_what_identifies_a_run_first():
    table = provenance([run_of()])
    assert [texts(row) for row in table.rows] == [
        ["date", "2026-11-21T10:00:00"],
        ["command", "diffsight bench run"],
        ["seed", "0"],
        ["versions.torch", "2.13.0"],
    ]
