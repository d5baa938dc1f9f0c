from __future__ import annotations

import json

import pytest

from diffsight.cli import run
from diffsight.matching.confidence import Calibrations

SMALL = ("--category", "face", "--references", "2", "--model", "pocket", "--device", "cpu")


def test_every_way_is_scored_and_written(tmp_path, capsys):
    path = tmp_path / "figures.json"
    assert run(["bench", "transfer", *SMALL, "--targets", "1", "--json", str(path)]) == 0
    printed = capsys.readouterr().out
    rows = json.loads(path.read_text())["rows"]
    for label in ("nearest neighbours", "+ flip test", "best"):
        assert label in printed
        assert 0 < rows[label]["pck"] < 1
        assert rows[label]["risk"][-1] == pytest.approx(1 - rows[label]["pck"], abs=0.02)
    assert rows["best"]["points"] == rows["nearest neighbours"]["points"]


def test_a_calibration_is_fitted_written_and_judged(tmp_path, capsys):
    path = tmp_path / "mine.json"
    assert run(["calibrate", *SMALL, "--category", "bird", "--targets", "12", "--out", str(path)]) == 0
    assert "surest" in capsys.readouterr().out
    found = Calibrations.load(path)
    assert (found.model, list(found.by_votes)) == ("pocket", [2])
    assert 0 < found.by_votes[2].base < 1


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("bench", "transfer", "--targets", "0"), "--targets 0 is too few"),
        (("bench", "transfer", "--category", "unicorn"), "the world has no 'unicorn'"),
        (("bench", "transfer", "gone.json"), "gone.json"),
        (("bench", "transfer", *SMALL, "--targets", "1", "--calibration", "gone.json"), "is no calibration"),
        (("calibrate", "--references", "-1"), "--references -1 is too few"),
        (("calibrate", *SMALL, "--targets", "1"), "do not suffice"),
        (("calibrate", *SMALL, "--targets", "1", "--preset", "worst"), "unknown preset 'worst'"),
    ],
)
def test_what_does_not_suit_is_said_in_a_line(tmp_path, monkeypatch, capsys, arguments, reason):
    monkeypatch.chdir(tmp_path)
    assert run(list(arguments)) == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("diffsight: ")
    assert reason in line
    assert list(tmp_path.iterdir()) == []
