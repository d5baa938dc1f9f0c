from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from diffsight.cli import run
from diffsight.collection.store import Collection
from diffsight.collection.upkeep import verify

from .test_cli import fails

QUICK = ["--size", "64", "--device", "cpu", "--dtype", "float32", "--ensemble", "1", "--dims", "8", "--stage", "up2"]


@pytest.fixture
def here(tmp_path, monkeypatch, rng):
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.jpg", "in/b.png", "in/deep/a.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), np.uint8))
        coarse.resize((80, 60), Image.Resampling.BICUBIC).save(tmp_path / name)
    return tmp_path


@pytest.fixture
def build(tiny_sd):
    return ["collect", "build", "--model", str(tiny_sd), *QUICK]


def test_build_find_and_look(capsys, here, build):
    assert run([*build, "in", "--in", "kept"]) == 0
    out = capsys.readouterr().out
    assert "3 added, 0 in it already" in out
    assert "of their features in fp16" in out
    assert run(["find", "in/b.png", "--point", "20,30.5", "--in", "kept", "--top", "2", "--out", "out"]) == 0
    assert "b.png" in capsys.readouterr().out
    report = json.loads((here / "out" / "find.json").read_text())
    rows = list(csv.DictReader((here / "out" / "find.csv").open()))
    assert report["searched"] == 3
    assert [row["name"] for row in rows] == [row["name"] for row in report["found"]]
    assert rows[0]["name"] == "b.png"
    assert [row["rank"] for row in report["found"]] == [1, 2]
    assert abs(report["found"][0]["x"] - 20) < 4
    assert report["found"][0]["cosine"] > 0.99
    assert Image.open(here / "out" / "find.png").width > 700
    (here / "in" / "b.png").rename(here / "elsewhere.png")
    assert run(["find", "elsewhere.png", "--point", "20,30.5", "--in", "kept", "--out", "out"]) == 0
    assert {row["name"] for row in csv.DictReader((here / "out" / "find.csv").open())} == {
        "a.jpg",
        "b.png",
        "deep/a.jpg",
    }


def test_a_collection_by_a_recipe(capsys, here):
    words = ["--model", "pocket+", "--device", "cpu", "--dtype", "float32", "--in", "kept"]
    assert run(["collect", "build", "in/a.jpg", *words]) == 0
    assert run(["collect", "add", "in/b.png", "--in", "kept", "--device", "cpu"]) == 0
    assert "2 photos read by pocket+" in capsys.readouterr().out
    assert Collection("kept").manifest.channels == 128 + 256
    find = ["find", "in/b.png", "--point", "20,30.5", "--in", "kept", "--device", "cpu"]
    assert run([*find, "--model", "pocket+"]) == 0
    row = next(csv.DictReader((here / "found" / "find.csv").open()))
    assert (row["name"], float(row["cosine"]) > 0.99) == ("b.png", True)
    capsys.readouterr()
    assert "built with pocket+, not with pocket; use --model pocket+" in fails(capsys, *find, "--model", "pocket")
    new = ["collect", "build", "in", "--in", "new", "--model", "pocket+"]
    assert "the recipe 'pocket+' fixes 'size'" in fails(capsys, *new, "--size", 64)


def test_a_build_goes_on_and_tells_what_it_skips(capsys, here, build):
    (here / "in" / "c.png").write_bytes(b"no photo")
    assert run([*build, "in", "--in", "kept"]) == 1
    assert "skipped: in/c.png is not a photo" in capsys.readouterr().out
    (here / "in" / "c.png").unlink()
    (here / "in" / "b.png").rename(here / "in" / "d.png")
    assert run([*build, "in", "--in", "kept"]) == 0
    assert "0 added, 3 in it already" in capsys.readouterr().out
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(here / "a.jpg")
    assert run(["collect", "add", "a.jpg", "--in", "kept", "--device", "cpu"]) == 1
    assert "skipped: a.jpg: the collection has another photo named 'a.jpg'" in capsys.readouterr().out
    Image.fromarray(np.zeros((20, 30, 3), np.uint8)).save(here / "e.png")
    assert run(["collect", "add", "e.png", "--in", "kept", "--device", "cpu"]) == 0
    assert "1 added" in capsys.readouterr().out
    assert run(["collect", "delete", "kept", "e.png", "deep/a.jpg"]) == 0
    assert "2 photos" in capsys.readouterr().out
    assert set(Collection("kept").index.names) == {"a.jpg", "b.png"}


def test_verify_and_repair(capsys, here, build):
    assert run([*build, "in", "--in", "kept"]) == 0
    assert run(["collect", "verify", "kept"]) == 0
    (shard,) = (here / "kept" / "shards").iterdir()
    shard.write_bytes(shard.read_bytes()[:-5])
    capsys.readouterr()
    assert run(["collect", "verify", "kept"]) == 1
    assert "damaged or cut off, with 3 photos" in capsys.readouterr().out
    assert "diffsight collect repair" in fails(capsys, "find", "in/b.png", "--point", "2,3", "--in", "kept")
    assert run(["collect", "repair", "kept"]) == 0
    assert "2 of 3 photos saved" in capsys.readouterr().out
    assert run([*build, "in", "--in", "kept"]) == 0
    assert "1 added, 2 in it already" in capsys.readouterr().out
    assert verify(here / "kept") == []


def test_what_does_not_suit_is_one_line(capsys, here, build, tiny_sd2):
    assert run([*build, "in", "--in", "kept"]) == 0
    capsys.readouterr()
    find = ["find", "in/b.png", "--point", "2,3", "--in"]
    assert "kept was built with" in fails(capsys, *find, "kept", "--model", "pocket")
    assert "not with pocket; use --model" in fails(capsys, "collect", "build", "in", "--in", "kept", "--dims", "8")
    assert f"not with {tiny_sd2}" in fails(capsys, *build, "--model", tiny_sd2, "in", "--in", "kept")
    assert "at other weights, number format or settings" in fails(
        capsys, *build, "--timestep", "7", "in", "--in", "kept"
    )
    assert "holds 8 components as int8; use --dims 8" in fails(capsys, *build, "--dims", "9", "in", "--in", "kept")
    assert "in is no collection" in fails(capsys, *find, "in")
    assert "outside the photo" in fails(capsys, "find", "in/b.png", "--point", "99,3", "--in", "kept")
    assert "--top 0 is too few" in fails(capsys, *find, "kept", "--top", 0)
    assert "does not exist" in fails(capsys, "find", "nothing.png", "--point", "2,3", "--in", "kept")
    assert "no photo named 'z.png'" in fails(capsys, "collect", "delete", "kept", "z.png")
    assert "unknown numbers 'int4'" in fails(capsys, *build, "--numbers", "int4", "in", "--in", "new")
    (here / "empty").mkdir()
    assert "empty holds no photos" in fails(capsys, *build, "empty", "--in", "new")
    assert not (here / "new" / "manifest.json").exists()


def test_a_build_killed_outright_goes_on(here, build, rng):
    for i in range(40):
        Image.fromarray(rng.integers(0, 255, (20, 30, 3), np.uint8)).save(here / "in" / f"{i}.png")
    arguments = [*build, "in", "--in", "kept"]
    code = "import sys; from diffsight.collection import store; store.FLUSH, store.SAMPLE = -1, 8;"
    code += "from diffsight.cli import run; sys.exit(run(sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.DEVNULL) as process:
        while len(list(here.glob("kept/shards/*"))) < 4:
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    listed = {entry.digest: entry.check for entry in Collection("kept").index.entries}
    assert 8 <= len(listed) < 43
    assert run(arguments) == 0
    assert verify(here / "kept") == []
    after = Collection("kept").index.digests
    assert len(after) == 43
    assert all(after[digest].check == check for digest, check in listed.items())
