from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest
from PIL import Image

from diffsight.benchmarks.metrics import corner_error
from diffsight.cli import run
from diffsight.world import make_warp_pair

from .test_cli import fails

SMALL = ["--size", "96", "--ensemble", "1", "--device", "cpu", "--dtype", "float32", "--store", "kept"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = make_warp_pair(1_000_000_007, 128, strength=0.05)
    Image.fromarray(drawn.source).save("a.png")
    Image.fromarray(drawn.target).save("b.png")
    np.save("truth.npy", drawn.homography)
    return tmp_path


def test_a_plane_is_found_and_drawn(here, capsys):
    assert run(["align", "a.png", "b.png", "--out", "o", "--colmap", "--hdf5", "--json", *SMALL]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report == json.loads((here / "o" / "align.json").read_text())
    names = {path.name for path in (here / "o").iterdir()}
    pictures = {"inliers.png", "overlay.png", "checkerboard.png", "warped.png", "blink.gif"}
    assert names == pictures | {"matrix.txt", "align.json", "colmap", "hloc"}
    matrix = np.loadtxt(here / "o" / "matrix.txt")
    np.testing.assert_allclose(matrix, report["matrix"])
    assert corner_error(matrix, np.load("truth.npy"), (128, 128)) < 3
    assert sum(row["inlier"] for row in report["matches"]) == report["inliers"] > 8
    for name in ("overlay.png", "checkerboard.png", "warped.png"):
        assert Image.open(here / "o" / name).size == (128, 128)
    warped, target = np.asarray(Image.open(here / "o" / "warped.png")), np.asarray(Image.open("b.png"))
    seen = warped[..., 3] == 255
    apart = np.abs(warped[..., :3].astype(float) - target)[seen].mean()
    assert apart < 0.75 * np.abs(np.asarray(Image.open("a.png")).astype(float) - target)[seen].mean()
    assert Image.open(here / "o" / "blink.gif").n_frames == 2
    lines = (here / "o" / "colmap" / "matches.txt").read_text().split("\n\n")[0].splitlines()
    assert len(lines) == 1 + len(report["matches"])
    with h5py.File(here / "o" / "hloc" / "matches.h5") as file:
        assert (file["a.png/b.png/matches0"][:] >= 0).sum() == len(report["matches"])

    options = ["--kind", "fundamental", "--keypoints", "grid", "--count", "200"]
    assert run(["align", "a.png", "b.png", "--out", "o", *options, *SMALL]) == 0
    names = {path.name for path in (here / "o").rglob("*") if path.is_file()}
    assert names == {"inliers.png", "matrix.txt", "align.json", "a.png.txt", "b.png.txt"}
    assert json.loads((here / "o" / "align.json").read_text())["matrix_opencv"] is None


def test_identical_photos_and_given_keypoints(here, capsys):
    points = np.random.default_rng(0).uniform(0, 127, (60, 2))
    np.savetxt("a.kp", points)
    np.savez("b.npz", keypoints=points)
    given = ["--keypoints-a", "a.kp", "--keypoints-b", "b.npz"]
    assert run(["align", "a.png", "a.png", "--out", "o", *given, *SMALL]) == 0
    report = json.loads((here / "o" / "align.json").read_text())
    assert report["inliers"] == len(report["matches"]) == 60
    np.testing.assert_allclose(report["matrix"], np.eye(3), atol=1e-5)
    assert report["warnings"] == []
    other = np.random.default_rng(1).integers(0, 255, (128, 128, 3), np.uint8)
    Image.fromarray(other).save("noise.png")
    capsys.readouterr()
    assert "another run" in fails(capsys, "align", "a.png", "noise.png", "--out", "o", *SMALL)
    (here / "o" / "align.json").write_text("[]")
    assert "another run" in fails(capsys, "align", "a.png", "a.png", "--out", "o", *SMALL)


def test_photos_that_cannot_be_aligned(here, capsys):
    assert run(["align", "a.png", "a.png", "--out", "o", *SMALL]) == 0  # what it reads is kept
    capsys.readouterr()
    Image.new("RGB", (70, 90), "teal").save("plain.png")
    assert "plain.png is of one colour" in fails(capsys, "align", "a.png", "plain.png", *SMALL)
    assert "both photos are called" in fails(capsys, "align", "a.png", "a.png", "--colmap", *SMALL)
    assert not (here / "aligned").exists()
    (here / "three.kp").write_text("3 4\n50 60\n99 20\n")
    (here / "line.kp").write_text("".join(f"{x} {x}\n" for x in range(3, 120, 9)))
    for name, message in (("three", "3 matches; a homography needs 4"), ("line", "on one line of the first photo")):
        given = ["--keypoints-a", f"{name}.kp", "--keypoints-b", f"{name}.kp"]
        assert message in fails(capsys, "align", "a.png", "a.png", "--out", "o", *given, *SMALL)
        report = json.loads((here / "o" / "align.json").read_text())
        assert message in report["reason"]
        assert report["warnings"] == [report["reason"]]
        assert report["matrix"] is None
        assert len(report["matches"]) > 2
        assert {path.name for path in (here / "o").iterdir()} == {"align.json", "inliers.png"}


def test_presets(here):
    assert run(["align", "a.png", "a.png", "--preset", "paper-adm", "--estimator", "lmeds", *SMALL]) == 0
    report = json.loads((here / "aligned" / "align.json").read_text())
    assert report["matching"] == {"sampling": "reference", "measure": "distance", "ratio": None}
    expected = {"estimator": "lmeds", "iterations": 2000, "confidence": 0.995, "threshold": 3.0}
    assert expected.items() <= report["estimation"].items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "best"], "paper-adm"),
        (["--kind", "rigid"], "homography"),
        (["--estimator", "best"], "magsac"),
        (["--threshold", "0"], "threshold"),
        (["--keypoints", "surf"], "superpoint"),
        (["--count", "0"], "1 or more"),
        (["--ratio", "2"], "ratio"),
        (["--sampling", "exact"], "reference"),
        (["--measure", "l1"], "distance"),
        (["--keypoints-a", "a.kp"], "both"),
        (["--out", "a.png"], "is a file"),
    ],
)
def test_bad_options(here, capsys, options, message):
    assert message in fails(capsys, "align", "a.png", "b.png", *SMALL, *options)
    assert not (here / "aligned").exists()


def test_match_by_best_buddies(here, capsys):
    assert run(["match", "a.png", "b.png", "--method", "mls", "--point", "60,64", "--task", "geometric", *SMALL]) == 0
    (row,) = json.loads((here / "matches" / "matches.json").read_text())["matches"]
    there = np.load("truth.npy") @ (60, 64, 1)
    assert np.hypot(*(there[:2] / there[2] - (row["matched_x"], row["matched_y"]))) < 8
    assert row["mutual"] is None
    capsys.readouterr()
    assert "do not suit" in fails(capsys, "match", "a.png", "b.png", "--method", "mls", "--heat", *SMALL)


def test_a_benchmark_of_planes(here, capsys, tiny_sd):
    for name in ("i_one", "v_two"):
        (here / "planes" / name).mkdir(parents=True)
        for number in (1, 2):
            shutil.copy("a.png", here / "planes" / name / f"{number}.png")
        np.savetxt(here / "planes" / name / "H_1_2", np.eye(3))
    model = str(tiny_sd)
    options = ["--model", model, "--count", "60", "--json", "out.json", "--device", "cpu", "--dtype", "float32"]
    assert run(["bench", "warps", "planes", *options]) == 0
    assert "2 pairs" in capsys.readouterr().out
    report = json.loads((here / "out.json").read_text())
    names = ["raw pixels", f"untrained {model}", model]
    parts = ("", ", illumination", ", viewpoint")
    assert list(report["scores"]) == [f"{name}{part}" for name in names for part in parts]
    assert report["scores"][model]["homographies"]["correct"] == [100, 100, 100, 100]
    assert report["corners"][model].keys() == {"i_one-2", "v_two-2"}
    assert max(report["corners"][model].values()) < 0.01
    (here / "empty").mkdir()
    assert "holds no pairs" in fails(capsys, "bench", "warps", "empty", *options)
    assert "no folder" in fails(capsys, "bench", "warps", "nowhere", *options)
