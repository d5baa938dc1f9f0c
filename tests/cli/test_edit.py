from __future__ import annotations

import json
from fractions import Fraction

import numpy as np
import pytest
from PIL import Image

from diffsight.cli import run
from diffsight.video.frames import frame_rate, read_frames
from diffsight.video.movies import video_writer
from diffsight.world import make_scene

from .test_cli import fails

READ = ["--size", "64", "--ensemble", "1", "--device", "cpu", "--dtype", "float32", "--store", "kept"]
SMALL = ["--points", "80", *READ]


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
    assert "finds no place in in/plain.png: in/plain.png is of one colour" in out
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


def test_every_frame_of_a_clip(here, capsys):
    photo = np.asarray(Image.open("a.png"))
    with video_writer(here / "clip.mp4", Fraction(12)) as add:
        for frame in (np.zeros_like(photo), photo, photo):
            add(frame)
    assert run(["edit", "a.png", "s.png", "clip.mp4", "in/same.png", "--out", "o", *SMALL]) == 0
    assert "clip_edit.mp4: 3 frames, 1 of them without the sticker\n  doubtful: 1 of 3" in capsys.readouterr().out
    plain, *edited = (frame.picture.array().astype(int) for frame in read_frames(here / "o" / "clip_edit.mp4"))
    assert frame_rate(here / "o" / "clip_edit.mp4") == 12
    red = np.broadcast_to((255, 0, 0), (30, 30, 3))
    for frame in edited:
        assert np.abs(frame[25:55, 45:75] - red).mean() < 12
    assert plain.max() < 6
    rows = json.loads((here / "o" / "edit.json").read_text())["edits"]
    assert [row["edited"] for row in rows[0]["frames"]] == [False, True, True]
    assert (here / "o" / "same_edit.png").exists()
    (here / "cut.mp4").write_bytes((here / "clip.mp4").read_bytes()[:300])
    assert "cannot be read as a video" in fails(capsys, "edit", "a.png", "s.png", "cut.mp4", *SMALL)
    assert not list((here / "edited").glob("*"))


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
