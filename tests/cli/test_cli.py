from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import diffsight
from diffsight.cli import run


@pytest.fixture
def two_photos(tmp_path, rng):
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 255, (60, 80, 3), np.uint8)).save(tmp_path / name)
    return str(tmp_path / "a.png"), str(tmp_path / "b.png")


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def fails(capsys, *arguments: object) -> str:
    """Run a command that must fail with one line on stderr and exit code 2; return the line."""
    assert run([str(a) for a in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    err = err.rpartition("\r")[2]  # a progress bar may have come and gone
    assert err.count("\n") == 1, err
    assert err.startswith("diffsight: ")
    assert "Traceback" not in err
    return err


def test_a_match_writes_picture_csv_and_json(capsys, here, two_photos, tiny_sd):
    arguments = ["match", *two_photos, "--model", str(tiny_sd), "--size", "64", "--device", "cpu", "--dtype", "float32"]
    assert run([*arguments, "--point", "10,20", "--point", "40.5,30", "--out", "out", "--heat", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert len(report["matches"]) == 2
    rows = list(csv.DictReader((here / "out" / "matches.csv").open()))
    assert [float(r["x"]) for r in rows] == [10, 40.5]
    assert json.loads((here / "out" / "matches.json").read_text())["matches"] == report["matches"]
    for row in report["matches"]:
        assert 0 <= row["matched_x"] <= 80
        assert 0 <= row["matched_y"] <= 60
    names = {path.name for path in (here / "out").iterdir()}
    assert names == {"b_matches.png", "b_heat_01.png", "b_heat_02.png", "matches.csv", "matches.json"}
    assert Image.open(here / "out" / "b_matches.png").size[0] > 1000

    assert run([*arguments, "--point", "10,20", "--out", "again"]) == 0
    again = json.loads((here / "again" / "matches.json").read_text())["matches"]
    assert again[0] == report["matches"][0]


def test_several_targets_points_from_a_file_and_top_places(capsys, here, two_photos, tiny_sd):
    (here / "points.csv").write_text("name,X,y\neye,10,20\nnose,30,40\n")
    a, b = two_photos
    code = run(
        [
            "match",
            a,
            b,
            b,
            "--points",
            "points.csv",
            "--top",
            "3",
            "--model",
            str(tiny_sd),
            "--size",
            "64",
            "--device",
            "cpu",
        ]
    )
    assert code == 0
    rows = list(csv.DictReader((here / "matches" / "matches.csv").open()))
    assert len(rows) == 2 * 2 * 3
    assert {path.name for path in (here / "matches").glob("*.png")} == {"b_matches.png", "b_2_matches.png"}
    assert "both ways" in capsys.readouterr().out


def test_without_points_some_are_chosen(here, two_photos, tiny_sd):
    assert (
        run(["match", *two_photos, "--model", str(tiny_sd), "--size", "128", "--stage", "up2", "--device", "cpu"]) == 0
    )
    rows = list(csv.DictReader((here / "matches" / "matches.csv").open()))
    assert 1 <= len(rows) <= 12
    assert all(row["mutual"] == "True" for row in rows)


@pytest.mark.parametrize("size", [(1, 1), (3, 2000)])
def test_extreme_photos_work(here, two_photos, tiny_sd, size):
    Image.new("RGB", size).save("thin.png")
    a, _ = two_photos
    for pair in ((a, "thin.png"), ("thin.png", a)):
        code = run(["match", *pair, "--point", "0.5,0.5", "--model", str(tiny_sd), "--size", "64", "--device", "cpu"])
        assert code == 0


def test_bad_photos(capsys, here, two_photos):
    a, b = two_photos
    (here / "empty.jpg").touch()
    (here / "text.jpg").write_text("hello")
    assert "does not exist" in fails(capsys, "match", a, "missing.jpg")
    assert "is a folder" in fails(capsys, "match", a, ".")
    assert "is empty" in fails(capsys, "match", a, "empty.jpg")
    assert "not a photo" in fails(capsys, "match", "text.jpg", b)
    assert "two or more" in fails(capsys, "match", a)
    assert not (here / "matches").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--point", "200,5", "outside the photo"),
        ("--point", "-1,5", "outside the photo"),
        ("--point", "nan,5", "not finite"),
        ("--point", "5", "write X,Y"),
        ("--point", "5,6,7", "write X,Y"),
        ("--point", "a,b", "write X,Y"),
        ("--task", "odd", "semantic, geometric, temporal"),
        ("--fit", "squash", "stretch, pad, crop"),
        ("--stage", "up9", "up1"),
        ("--timestep", "1000", "0 to 999"),
        ("--ensemble", "0", "at least 1"),
        ("--size", "63", "multiples of 8"),
        ("--size", "big", "integer"),
        ("--top", "0", "1 or more"),
        ("--device", "warp", "not available"),
        ("--dtype", "int8", "float32"),
        ("--nonsense", "1", "No such option"),
        ("--points", "missing.csv", "cannot read points"),
    ],
)
def test_bad_options(capsys, here, two_photos, tiny_sd, option, value, message):
    assert message in fails(capsys, "match", *two_photos, "--model", tiny_sd, option, value)
    assert not (here / "matches").exists()


def test_bad_models(capsys, here, two_photos):
    (here / "nothing").mkdir()
    assert "did you mean 'sd-2.1'" in fails(capsys, "match", *two_photos, "--model", "sd-2.l")
    assert "not a model folder" in fails(capsys, "match", *two_photos, "--model", "nothing")


def test_bad_point_files(capsys, here, two_photos):
    for text, message in (
        ("a,y\n1,2\n", "no column 'x'"),
        ("", "no column 'x'"),
        ("x,y\n", "holds no points"),
        ("x,y\n1,2\n3\n", "line 3"),
        ("x,y\n1,inf\n", "line 2"),
    ):
        (here / "points.csv").write_text(text)
        assert message in fails(capsys, "match", *two_photos, "--points", "points.csv")
    (here / "points.csv").write_bytes(b"\xff\xfe\x00x")
    assert "cannot read points" in fails(capsys, "match", *two_photos, "--points", "points.csv")
    assert "use one of them" in fails(capsys, "match", *two_photos, "--points", "points.csv", "--point", "1,2")


def test_outputs_that_cannot_be_written(capsys, here, two_photos, tiny_sd, monkeypatch):
    (here / "file").touch()
    assert "is a file" in fails(capsys, "match", *two_photos, "--out", "file")
    tiny = ["--model", tiny_sd, "--size", "64", "--device", "cpu", "--point", "1,2"]
    assert "cannot write" in fails(capsys, "match", *two_photos, *tiny, "--out", "file/below")
    assert "cannot write" in fails(capsys, "match", *two_photos, *tiny, "--out", "/proc/nowhere")


def test_a_full_disk_leaves_nothing_behind(capsys, here, two_photos, tiny_sd, monkeypatch):
    def full(self, target, *_, **__):
        target.write_bytes(b"half a pict")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    line = fails(capsys, "match", *two_photos, "--model", tiny_sd, "--size", "64", "--device", "cpu", "--point", "1,2")
    assert "No space left" in line
    assert list((here / "matches").iterdir()) == []


def test_ctrl_c_is_quiet_and_leaves_nothing(here, two_photos):
    code = "from diffsight.cli import main; main()"
    arguments = [sys.executable, "-c", code, "bench", "world", "--pairs", "60", "--json", "figures.json"]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, bufsize=0)
    seen = b""
    while b"reading" not in seen:  # the progress bar shows: the network is at work
        seen += process.stderr.read(1) or pytest.fail(seen.decode())
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 130
    assert b"Traceback" not in seen + rest
    assert rest.decode().strip().endswith("diffsight: stopped")
    assert {path.name for path in here.iterdir()} == {"a.png", "b.png"}


def test_ctrl_c_while_the_first_library_is_imported(tmp_path):
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    command = [sys.executable, "-c", "from diffsight.cli import main; main()", "models"]
    paths = os.pathsep.join([str(tmp_path), str(Path(diffsight.__file__).parent.parent)])
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths}, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "\ndiffsight: stopped\n")


def test_what_libraries_remark_does_not_stand_beside_our_line(here, two_photos, tiny_sd, tmp_path):
    shutil.copytree(tiny_sd, tmp_path / "odd")
    for part, change in (("unet", {"odd": 1}), ("vae", {"odd": 1, "block_out_channels": [0, 16, 16, 16]})):
        path = tmp_path / "odd" / part / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    code = "import sys; from diffsight.cli import main, run; main() if sys.argv[1] == 'match' else run(sys.argv[2:])"
    arguments = ["match", *two_photos, "--model", str(tmp_path / "odd"), "--point", "1,2"]
    lines = {}
    for start in ([], ["as it comes"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *start, *arguments], capture_output=True, text=True, check=False
        )
        lines[len(start)] = done.stderr.strip().splitlines()
    assert len(lines[0]) == 1
    assert lines[0][0].startswith(f"diffsight: {tmp_path}/odd/vae cannot be loaded")
    assert len(lines[1]) > 1  # there was something to silence


def test_names_too_long_and_targets_of_one_name(capsys, here, two_photos, tiny_sd):
    assert "too long" in fails(capsys, "match", "a" * 300 + ".jpg", two_photos[1])
    (here / "x").mkdir()
    for name in ("b_2.png", "x/b.png"):
        (here / name).write_bytes((here / "b.png").read_bytes())
    targets = ["b.png", "b_2.png", "x/b.png"]
    tiny = ["--model", str(tiny_sd), "--size", "64", "--device", "cpu", "--point", "1,2"]
    assert run(["match", "a.png", *targets, *tiny]) == 0
    assert {p.name for p in (here / "matches").glob("*.png")} == {f"{n}_matches.png" for n in ("b", "b_2", "b_3")}


def test_heat_under_a_crop_peaks_at_the_match(here, tiny_sd, rng):
    Image.fromarray(rng.integers(0, 255, (100, 200, 3), np.uint8)).save("wide.png")
    arguments = ["--model", str(tiny_sd), "--size", "64", "--device", "cpu", "--dtype", "float32", "--fit", "crop"]
    assert run(["match", "wide.png", "wide.png", *arguments, "--stage", "up3", "--point", "60,50", "--heat"]) == 0
    (row,) = csv.DictReader((here / "matches" / "matches.csv").open())
    heat = np.asarray(Image.open(here / "matches" / "wide_heat_01.png")).astype(int).sum(axis=2)
    x = float(row["matched_x"]) / 200 * heat.shape[1]
    y = float(row["matched_y"]) / 100 * heat.shape[0]
    around = heat[int(y) - 20 : int(y) + 20, int(x) - 20 : int(x) + 20]
    assert around.max() >= np.percentile(heat, 99)
    assert heat[:, : heat.shape[1] // 5].mean() < heat[:, heat.shape[1] // 3 : heat.shape[1] // 2].mean()


def test_models_are_listed(capsys):
    assert run(["models", "--json"]) == 0
    cards = json.loads(capsys.readouterr().out)
    assert {card["name"] for card in cards} >= {"pocket", "sd-2.1", "sd-1.4"}
    assert all({"semantic", "geometric", "temporal"} <= set(card["tasks"]) for card in cards)


def test_no_command_shows_the_help(capsys):
    run([])
    assert "match" in capsys.readouterr().out


def test_the_page_of_models_is_made_from_the_cards(capsys):
    assert run(["models", "--markdown"]) == 0
    page = Path(__file__).parents[2] / "docs" / "models.md"
    assert capsys.readouterr().out == page.read_text(), "make it anew: diffsight models --markdown > docs/models.md"
    assert "--json" in fails(capsys, "models", "--markdown", "--json")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "warp"], "use dift, prompt or frozen"),
        (["--set", "steps=3"], "--method prompt"),
        (["--method", "prompt", "--set", "mode=exact"], "mode"),
        (["--points", "0"], "--points"),
    ],
)
def test_bench_with_bad_options(capsys, options, message):
    assert message in fails(capsys, "bench", "world", "--pairs", "1", *options)
