from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from diffsight.cli import run
from diffsight.world import make_scene

from .test_cli import fails

SMALL = [
    "--size",
    "64",
    "--ensemble",
    "1",
    "--points",
    "80",
    "--device",
    "cpu",
    "--dtype",
    "float32",
    "--store",
    "kept",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    photo = make_scene(2, 90, 120, count=3).image
    Image.fromarray(photo).save("a.png")
    Image.fromarray(photo).save("in/same.png")
    Image.fromarray(photo[:, ::-1]).save("in/other.png")
    sticker = np.zeros((90, 120, 4), np.uint8)
    sticker[20:60, 40:80] = (255, 0, 0, 255)
    Image.fromarray(sticker).save("s.png")
    Image.fromarray(sticker[..., :3]).save("opaque.png")
    Image.fromarray(sticker[:50]).save("small.png")
    return tmp_path


def test_a_folder_of_targets(here, capsys):
    (here / "in" / "broken.jpg").write_bytes(b"no photo")
    Image.new("RGB", (80, 70), "teal").save(here / "in" / "plain.png")
    assert run(["edit", "a.png", "s.png", "in", "--out", "o", *SMALL]) == 1
    out = capsys.readouterr().out
    assert "skipped: in/broken.jpg" in out
    assert "skipped: in/plain.png is of one colour" in out
    names = {path.name for path in (here / "o").iterdir()}
    assert names >= {"same_edit.png", "same_matches.png", "edit.json"}
    report = json.loads((here / "o" / "edit.json").read_text())
    assert len(report["skipped"]) == 4 - len(report["edits"])
    same = next(row for row in report["edits"] if row["target"] == "in/same.png")
    assert same["warnings"] == []
    assert same["inliers"] == same["matches"] > 12
    edited = np.asarray(Image.open(here / "o" / "same_edit.png"))
    assert (edited[22:58, 42:78] == (255, 0, 0)).all()
    np.testing.assert_array_equal(edited[:18], np.asarray(Image.open("a.png"))[:18])


@pytest.mark.parametrize("options", [["--warp", "smooth"], ["--preset", "paper", "--threshold", "3"]])
def test_ways_of_warping(here, options):
    assert run(["edit", "a.png", "s.png", "in/same.png", *options, *SMALL]) == 0
    settings = json.loads((here / "edited" / "edit.json").read_text())["settings"]
    assert settings["published"] == ("paper" in options)


def test_what_cannot_be_used(here, capsys):
    assert run(["edit", "a.png", "s.png", "in/same.png", "--out", "o", *SMALL]) == 0  # what it reads is kept
    capsys.readouterr()
    for sticker, message in (("opaque.png", "no alpha"), ("small.png", "120x50 pixels"), ("no.png", "no.png")):
        assert message in fails(capsys, "edit", "a.png", sticker, "in", *SMALL)
    Image.new("RGB", (80, 70), "teal").save("plain.png")
    assert "one colour" in fails(capsys, "edit", "a.png", "s.png", "plain.png", *SMALL)
    assert "unknown warp" in fails(capsys, "edit", "a.png", "s.png", "in", *SMALL, "--warp", "bend")
    assert "unknown preset" in fails(capsys, "edit", "a.png", "s.png", "in", *SMALL, "--preset", "best")
    assert "folder of photos" in fails(capsys, "edit", "a.png", "s.png", "in", "--out", "in/o", *SMALL)
    assert not (here / "edited").exists()
    dot = np.zeros((90, 120, 4), np.uint8)
    dot[5, 5] = 255
    Image.fromarray(dot).save("dot.png")
    assert "finds no place in in/same.png" in fails(capsys, "edit", "a.png", "dot.png", "in/same.png", *SMALL)
    assert "another run" in fails(capsys, "edit", "in/other.png", "s.png", "in/same.png", "--out", "o", *SMALL)
