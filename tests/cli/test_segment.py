from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from diffsight.cli import run

from .test_cli import fails


@pytest.fixture
def here(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for name in ("a.jpg", "a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).save(tmp_path / "in" / name)
    return tmp_path


@pytest.fixture
def command(tiny_sd):
    return ["segment", "--model", str(tiny_sd), "--size", "128", "--device", "cpu", "--dtype", "float32"]


def test_one_photo_gives_overlay_labels_and_json(here, command):
    options = ["--threshold", "1e-4", "--anchors", "8", "--sweep", "1e-5,1", "--heat", "10,20", "--names", "sky,dog"]
    assert run([*command, "in/b.png", "--out", "o", *options]) == 0
    names = {path.name for path in (here / "o").iterdir()}
    assert names == {"b.json", "b_labels.png", "b_overlay.png", "b_heat_01.png", "b_sweep.png"}
    report = json.loads((here / "o" / "b.json").read_text())
    labels = np.asarray(Image.open(here / "o" / "b_labels.png"))
    assert labels.shape == (60, 80)
    assert sum(segment["area"] for segment in report["segments"]) == labels.size
    assert {segment["name"] for segment in report["segments"]} <= {"sky", "dog"}
    assert report["settings"]["thresholds"] == [1e-4] * 3


def test_a_folder_resumes_and_skips_what_it_cannot_read(capsys, here, command):
    (here / "in" / "broken.jpg").write_bytes(b"no photo")
    assert run([*command, "in", "--out", "o"]) == 1
    assert "broken.jpg" in capsys.readouterr().out
    made = {path.name for path in (here / "o").glob("*.json")}
    assert made == {"a_jpg.json", "a_png.json", "b.json"}
    (here / "o" / "b.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in (here / "o").iterdir()}
    (here / "in" / "broken.jpg").unlink()
    assert run([*command, "in", "--out", "o"]) == 0
    changed = {path.name for path in (here / "o").iterdir() if before.get(path) != path.stat().st_mtime_ns}
    assert changed == {"b.json", "b_labels.png", "b_overlay.png", "sheet.png"}
    assert Image.open(here / "o" / "sheet.png").width > 700
    assert run([*command, "in", "--out", "o", "--threshold", "0.5"]) == 0
    assert all(before.get(path) != path.stat().st_mtime_ns for path in (here / "o").iterdir())


def test_a_photo_that_does_not_suit_is_skipped(capsys, here, command):
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(here / "in" / "small.png")
    assert run([*command, "in", "--out", "o", "--heat", "50,30"]) == 1
    assert "small.png" in capsys.readouterr().out
    assert len(list((here / "o").glob("*.json"))) == 3


def test_results_of_two_runs_are_never_mixed(here, command, monkeypatch):
    """A run that was killed between the pictures and the JSON leaves no JSON of the run before it."""
    from diffsight.cli import segment_folder

    one, two = (["in/b.png", "--out", "o", "--threshold", t] for t in ("1e-4", "0.5"))
    assert run([*command, *one]) == 0
    labels = (here / "o" / "b_labels.png").read_bytes()
    original = segment_folder.save_json

    def killed(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(segment_folder, "save_json", killed)
    assert run([*command, *two]) == 130
    monkeypatch.setattr(segment_folder, "save_json", original)
    assert not (here / "o" / "b.json").exists()
    assert run([*command, *one]) == 0
    assert (here / "o" / "b_labels.png").read_bytes() == labels
    (here / "o" / "b_overlay.png").unlink()
    assert run([*command, *one]) == 0
    assert (here / "o" / "b_overlay.png").exists()


def test_iterations_of_the_models_own_threshold(here, command):
    assert run([*command, "in/b.png", "--out", "o", "--iterations", "2", "--anchors", "4"]) == 0
    assert json.loads((here / "o" / "b.json").read_text())["settings"]["thresholds"] == [1.1, 1.1]


def test_hidden_files_are_no_photos_and_damaged_overlays_are_named(capsys, here, command):
    (here / "in" / ".b_overlay.1234.part.png").write_bytes(b"cut off")
    assert run([*command, "in", "--out", "o"]) == 0
    (here / "o" / "b_overlay.png").write_bytes((here / "o" / "b_overlay.png").read_bytes()[:300])
    capsys.readouterr()
    assert run([*command, "in", "--out", "o"]) == 2
    assert "b_overlay.png is damaged" in capsys.readouterr().err


def test_a_sweep_is_made_once(here, command):
    options = [*command, "in/b.png", "--out", "o", "--sweep", "1e-4,1", "--heat", "3,4"]
    assert run(options) == 0
    before = {path: path.stat().st_mtime_ns for path in (here / "o").iterdir()}
    assert run(options) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (here / "o").iterdir()}


@pytest.mark.parametrize(
    "solver", [["ncut", "--threshold", "0.9"], ["kmeans", "--segments", "3"], ["kmeans", "--of", "features"]]
)
def test_other_solvers(here, command, solver):
    assert run([*command, "in/b.png", "--solver", *solver]) == 0
    assert (here / "segments" / "b.json").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--anchors", "0"], "anchors"),
        (["--anchors", "99"], "anchors"),
        (["--threshold", "-1"], "above 0"),
        (["--threshold", "nan"], "above 0"),
        (["--threshold", ""], "no list of numbers"),
        (["--weights", "1,2"], "one for each"),
        (["--weights", "some"], "no list of numbers"),
        (["--rule", "best"], "disjoint"),
        (["--preset", "paper"], "coco-stuff"),
        (["--solver", "magic"], "diffseg"),
        (["--solver", "ncut", "--anchors", "4"], "does not suit"),
        (["--solver", "kmeans", "--segments", "0"], "too few"),
        (["--solver", "kmeans", "--sweep", "1"], "--sweep"),
        (["--solver", "ncut", "--heat", "1,1"], "self-attention"),
        (["--heat", "1"], "--heat 120"),
        (["--heat", "500,1"], "outside"),
        (["--names", "a,,b"], "empty name"),
        (["--names", ",".join(f"w{i}" for i in range(60))], "fewer words"),
        (["--margin", "3"], "margin"),
        (["--merge-names"], "need words"),
        (["--margin", "0.1"], "need words"),
        (["--iterations", "0"], "iterations"),
        (["--iterations", "2", "--threshold", "1,2"], "leave out"),
        (["--stage", "up1"], "does not read"),
        (["--threshold", "inf"], "finite"),
        (["--size", "0"], "multiples"),
        (["--solver", "kmeans", "--method", "spectral"], "features"),
        (["--out", "in"], "another"),
        (["--borders", "-1"], "borders"),
        (["--borders", "nan"], "borders"),
        (["--fit", "crop", "--size", "100"], "multiples"),
    ],
)
def test_bad_options(capsys, here, command, options, message):
    assert message in fails(capsys, *command, "in/b.png", *options)
    assert not (here / "segments").exists()


def test_bad_folders(capsys, here, command):
    (here / "empty").mkdir()
    assert "holds no photos" in fails(capsys, *command, "empty")
    assert "outside of it" in fails(capsys, *command, "in", "--out", "in/o")
    assert "outside of it" in fails(capsys, *command, "in", "--out", "in")
    assert "is a file" in fails(capsys, *command, "in", "--out", "in/b.png")
    assert "does not exist" in fails(capsys, *command, "in/none.png")
