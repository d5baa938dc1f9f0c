from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffsight.cli import run
from diffsight.video.frames import read_frames
from diffsight.video.labels import piece_boxes
from diffsight.video.masks import davis_palette
from diffsight.video.movies import video_writer

from .test_cli import fails

FRAMES = 9


@pytest.fixture
def here(tmp_path, monkeypatch, rng):
    """A folder of frames in which a bright square moves, and its mask."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    ground = rng.integers(0, 90, (48, 64, 3))
    for i in range(FRAMES):
        frame = ground.copy()
        frame[16:32, 8 + 2 * i : 24 + 2 * i] = (250, 180, 30)
        Image.fromarray(frame.astype(np.uint8)).save(tmp_path / "in" / f"{i}.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[16:32, 8:24] = 3
    Image.fromarray(mask).save(tmp_path / "mask.png")
    return tmp_path


@pytest.fixture
def command(tiny_sd):
    small = ["--size", "64", "--ensemble", "1", "--stage", "up2", "--batch", "2", "--context", "3"]
    return ["track", "in", "--model", str(tiny_sd), "--device", "cpu", "--dtype", "float32", *small]


def results(folder: Path) -> dict[str, bytes]:
    """Every file of a run."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_a_mask_gives_labels_json_and_an_overlay(capsys, here, command):
    assert run([*command, "--mask", "mask.png", "--out", "o"]) == 0
    assert capsys.readouterr().out.split() == [str(Path("o", "overlay.mp4")), "o"]
    for i in range(FRAMES):
        image = Image.open(here / "o" / f"{i:05d}.png")
        assert image.mode == "P"
        assert image.getpalette()[:12] == davis_palette()[:4].ravel().tolist()
        assert set(np.unique(np.asarray(image))) <= {0, 3}
    assert np.array_equal(np.asarray(Image.open(here / "o" / "00000.png")), np.asarray(Image.open("mask.png")))
    report = json.loads((here / "o" / "track.json").read_text())
    assert [image["file_name"] for image in report["images"]] == [f"{i}.png" for i in range(FRAMES)]
    first = report["annotations"][0]
    assert (first["id"], first["image_id"], first["category_id"]) == (1, 0, 3)
    assert (first["bbox"], first["area"]) == ([8, 16, 16, 16], 256)
    overlay = list(read_frames(here / "o" / "overlay.mp4"))
    assert len(overlay) == FRAMES
    assert overlay[0].picture.size == (48, 64)


def test_points_and_boxes(capsys, here, command):
    assert run([*command, "--point", "10,20", "--point", "20.5,30", "--out", "p", "--overlay", "gif"]) == 0
    rows = list(csv.DictReader((here / "p" / "points.csv").open()))
    assert [(row["frame"], row["point"]) for row in rows] == [(str(f), p) for f in range(FRAMES) for p in "12"]
    assert (rows[0]["x"], rows[1]["y"]) == ("10.000", "30.000")
    report = json.loads((here / "p" / "track.json").read_text())
    assert report["annotations"][0]["keypoints"] == [10, 20, 2, 20.5, 30, 2]
    assert len(list(read_frames(here / "p" / "overlay.gif"))) == FRAMES
    assert run([*command, "--box", "8,16,24,32", "--out", "b", "--overlay", "none", "--frames", "3"]) == 0
    report = json.loads((here / "b" / "track.json").read_text())
    assert report["annotations"][0]["bbox"] == [8, 16, 16, 16]
    for annotation in report["annotations"]:
        labels = np.asarray(Image.open(here / "b" / f"{annotation['image_id']:05d}.png"))
        ((x0, y0, x1, y1),) = piece_boxes(labels, (1,)).tolist()
        assert annotation["bbox"] == [x0, y0, x1 - x0, y1 - y0]
    assert {path.name for path in (here / "b").iterdir()} == {
        *(f"{i:05d}.png" for i in range(3)),
        "run.json",
        "track.json",
        "state",
    }


KILLED = """
import os, signal, sys, torch
torch.set_num_threads(2)
from diffsight.video import export
from diffsight.cli import run
write = export.{function}
def last(track, *rest):
    if track.frame == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    write(track, *rest)
export.{function} = last
run(sys.argv[1:])
"""


def video_of(here: Path) -> None:
    """The frames as a video file."""
    with video_writer(here / "in.mp4", Fraction(10)) as add:
        for i in range(FRAMES):
            add(np.asarray(Image.open(here / "in" / f"{i}.png")))


@pytest.mark.parametrize(("kind", "video"), [("--mask=mask.png", "in"), ("--point=12,20", "in.mp4")])
def test_a_run_that_was_killed_ends_with_the_same_files(here, command, kind, video):
    video_of(here)
    arguments = ["track", video, *command[2:], kind]
    assert run([*arguments, "--out", "whole"]) == 0
    code = KILLED.format(function="save_soft")
    child = subprocess.run([sys.executable, "-c", code, *arguments, "--out", "cut"], capture_output=True, check=False)
    assert child.returncode == -signal.SIGKILL, child.stderr
    assert not (here / "cut" / "track.json").exists()
    assert sorted(path.name for path in (here / "cut" / "state").iterdir())[-1] == "00004.safetensors"
    if "point" in kind:
        with (here / "cut" / "points.csv").open("a") as handle:
            handle.write("5,1,3")
    (here / "cut" / ".00005.1234abcd.part.png").touch()  # as a run leaves it that is killed while it writes
    assert run([*arguments, "--out", "cut"]) == 0
    assert results(here / "cut") == results(here / "whole")


def test_a_finished_run_does_nothing_and_can_be_given_more_frames(here, command):
    arguments = [*command, "--mask", "mask.png"]
    assert run([*arguments, "--out", "whole"]) == 0
    assert run([*arguments, "--out", "grown", "--frames", "4"]) == 0
    assert len(list((here / "grown").glob("*.png"))) == 4
    assert run([*arguments, "--out", "grown"]) == 0
    assert results(here / "grown") == results(here / "whole")
    before = {path: path.stat().st_mtime_ns for path in (here / "whole").glob("*.[pm]*")}
    assert run([*arguments, "--out", "whole"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (here / "whole").glob("*.[pm]*")}
    (here / "whole" / "00002.png").unlink()
    assert run([*arguments, "--out", "whole", "--frames", "2"]) == 0  # it starts over
    assert {path.name for path in (here / "whole" / "state").iterdir()} == {"00000.safetensors", "00001.safetensors"}
    assert run([*arguments, "--out", "whole"]) == 0
    assert results(here / "grown") == results(here / "whole")


def test_an_overlay_that_lacks_frames_does_not_stay(here, command):
    """A finished run is given more frames, and stopped before it could draw them."""
    arguments = [*command, "--mask", "mask.png", "--out", "o"]
    assert run([*arguments, "--frames", "4"]) == 0
    assert run([*arguments, "--overlay", "none", "--frames", "6"]) == 0
    assert run([*arguments, "--frames", "6"]) == 0
    assert len(list(read_frames(here / "o" / "overlay.mp4"))) == 6


def test_a_run_begins_at_any_frame(here, command):
    assert run([*command, "--mask", "mask.png", "--out", "o", "--start", "6", "--overlay", "none"]) == 0
    assert [path.name for path in sorted((here / "o").glob("*.png"))] == ["00006.png", "00007.png", "00008.png"]


def test_damaged_frames_stop_the_run_or_are_left_out(capsys, here, command):
    whole = (here / "in" / "4.png").read_bytes()
    (here / "in" / "4.png").write_bytes(whole[:200])
    arguments = [*command, "--mask", "mask.png", "--out", "o"]
    assert run(arguments) == 2
    told = capsys.readouterr().err.splitlines()[-1]  # below the progress bar
    assert "4.png is damaged" in told
    assert "--skip-bad" in told
    assert [path.name for path in sorted((here / "o").glob("*.png"))][-1] == "00003.png"
    assert run([*arguments, "--skip-bad"]) == 1
    assert "skipped: in/4.png" in capsys.readouterr().out
    (left_out,) = json.loads((here / "o" / "track.json").read_text())["info"]["skipped"]
    assert left_out["frame"] == 4
    assert len(list((here / "o").glob("*.png"))) == FRAMES - 1
    assert len(list(read_frames(here / "o" / "overlay.mp4"))) == FRAMES - 1
    assert run([*arguments, "--skip-bad"]) == 1
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(here / "in" / "4.png")
    assert run([*arguments[:-1], "p", "--skip-bad"]) == 1
    assert "frame 4 is 20x20" in capsys.readouterr().out


def test_one_frame_is_what_was_given(capsys, here, command):
    with video_writer(here / "one.mp4", Fraction(10)) as add:
        add(np.asarray(Image.open("in/0.png")))
    assert run(["track", "one.mp4", *command[2:], "--mask", "mask.png", "--out", "o"]) == 0
    assert "nothing to follow" in capsys.readouterr().out
    assert np.array_equal(np.asarray(Image.open(here / "o" / "00000.png")), np.asarray(Image.open("mask.png")))


def test_what_the_user_should_know_is_said_first(capsys, here, command):
    mask = np.array(Image.open("mask.png"))
    mask[0, 1] = 8
    Image.fromarray(mask).save("mask.png")
    arguments = [*command, "--mask", "mask.png", "--overlay", "none", "--frames", "4"]
    assert run([*arguments, "--out", "o"]) == 0
    assert "label 8: too small for a cell" in capsys.readouterr().out
    assert run([*arguments, "--out", "p", "--memory", "0.0000001"]) == 2
    assert "do not hold three frames" in capsys.readouterr().err


def test_bad_input_is_one_line(capsys, here, command):
    Image.fromarray(np.zeros((48, 64), np.uint8)).save("empty.png")
    Image.fromarray(np.ones((20, 64), np.uint8)).save("other.png")
    (here / "used").mkdir()
    (here / "used" / "mine.txt").write_text("keep")
    for arguments, message in (
        ([], "say what to follow"),
        (["--mask", "mask.png", "--point", "1,1"], "say what to follow"),
        (["--mask", "empty.png"], "shows no object"),
        (["--mask", "other.png"], "the mask is 64x20, but the frame is 64x48"),
        (["--mask", "missing.png"], "cannot be read as a mask"),
        (["--point", "70,1"], "outside the photo"),
        (["--box", "1,2,3"], "is no box"),
        (["--box", "70,1,80,9"], "holds no pixel"),
        (["--mask", "mask.png", "--start", "9"], "there is no frame 9"),
        (["--mask", "mask.png", "--frames", "0"], "--frames 0 is too few"),
        (["--mask", "mask.png", "--preset", "x"], "unknown preset"),
        (["--mask", "mask.png", "--temperature", "0"], "temperature is 0"),
        (["--mask", "mask.png", "--overlay", "avi"], "unknown overlay"),
        (["--mask", "mask.png", "--memory", "0"], "--memory 0"),
        (["--mask", "mask.png", "--out", "used"], "holds other files"),
    ):
        assert message in fails(capsys, *command, *arguments)
    assert not (here / "tracked").exists()


def test_a_folder_of_another_run_is_left_alone(capsys, here, command):
    arguments = [*command, "--mask", "mask.png", "--out", "o", "--frames", "2", "--overlay", "none"]
    assert run(arguments) == 0
    before = results(here / "o")
    capsys.readouterr()
    assert "holds another run (other propagation)" in fails(capsys, *arguments, "--top", "3")
    Image.fromarray(np.asarray(Image.open("mask.png")) + 1).save("mask.png")
    assert "holds another run (other mask_digest)" in fails(capsys, *arguments)
    (here / "in" / "8.png").write_bytes((here / "in" / "7.png").read_bytes())
    assert "holds another run (other video_digest, mask_digest)" in fails(capsys, *arguments)
    (here / "o" / "run.json").write_text("[]")
    assert "run.json is damaged" in fails(capsys, *arguments)
    (here / "o" / "run.json").unlink()
    before.pop("run.json")
    assert "holds other files" in fails(capsys, *arguments)
    assert results(here / "o") == before


def test_bench_clips_prints_every_row(capsys, here):
    arguments = ["bench", "clips", "--clips", "1", "--frames", "3", "--json", "f.json", "--device", "cpu"]
    assert run(arguments) == 0
    report = json.loads((here / "f.json").read_text())
    assert list(report["scores"]) == ["copy of the first frame", "raw pixels", "untrained pocket", "pocket"]
    assert all(0 < row["jf"] <= 100 for row in report["scores"].values())
    assert "1 clips" in capsys.readouterr().out
    assert "--frames 2 is too few" in fails(capsys, "bench", "clips", "--frames", "2")


def test_bench_clips_scores_a_folder_that_has_no_points(capsys, here):
    for kind in ("JPEGImages", "Annotations"):
        (here / "davis" / kind / "480p" / "toy").mkdir(parents=True)
    for i in range(3):
        Image.open(here / "in" / f"{i}.png").save(here / "davis" / "JPEGImages" / "480p" / "toy" / f"{i:05d}.jpg")
        Image.open(here / "mask.png").save(here / "davis" / "Annotations" / "480p" / "toy" / f"{i:05d}.png")
    (here / "davis" / "ImageSets" / "2017").mkdir(parents=True)
    (here / "davis" / "ImageSets" / "2017" / "val.txt").write_text("toy\n")
    assert run(["bench", "clips", "davis", "--json", "f.json", "--device", "cpu"]) == 0
    row = json.loads((here / "f.json").read_text())["scores"]["copy of the first frame"]
    assert (row["jf"], row["points"], row["objects"]) == (100, None, 1)
