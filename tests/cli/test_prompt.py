from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from diffsight.cli import run
from diffsight.matching.prompt import PromptEmbeddings
from diffsight.world import make_scene

from .test_cli import fails

FEW = ["--rounds", "1", "--steps", "2", "--set", "size=128", "--set", "crops=5", "--set", "offsets=2"]


@pytest.fixture
def here(tmp_path, monkeypatch, tiny_sd):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    for i, name in enumerate(("a", "b")):
        Image.fromarray(make_scene(i, 60, 80).image).save(tmp_path / "in" / f"{name}.png")
    return tmp_path


@pytest.fixture
def model(tiny_sd):
    return ["--model", str(tiny_sd), "--device", "cpu", "--dtype", "float32"]


def test_learn_and_find(here, model, capsys):
    assert run(["prompt", "learn", "in/a.png", "--point", "20,30", "--out", "p.safetensors", *model, *FEW]) == 0
    assert np.asarray(Image.open(here / "p.png")).std() > 5
    first = (here / "p.safetensors").read_bytes()
    points = ["--point", "20,30", "--point", "50,10"]
    assert run(["prompt", "learn", "in/a.png", *points, "--out", "p.safetensors", *model, *FEW]) == 0
    learnt = PromptEmbeddings.load(here / "p.safetensors")
    assert learnt.points.tolist() == [[20, 30], [50, 10]]
    only = ["--point", "50,10", "--out", "p.safetensors", *model, *FEW]
    assert run(["prompt", "learn", "in/a.png", *only]) == 2
    assert "would be lost" in capsys.readouterr().err
    assert run(["prompt", "learn", "in/a.png", *points, *only[2:], "--set", "sigma=0.1"]) == 2
    assert "other settings" in capsys.readouterr().err
    assert run(["prompt", "learn", "in/b.png", *points, *only[2:]]) == 2
    assert "another photo" in capsys.readouterr().err
    assert len(first) < len((here / "p.safetensors").read_bytes())
    (here / "in" / "broken.jpg").write_bytes(b"no photo")
    assert run(["prompt", "find", "p.safetensors", "in", "--out", "o", "--heat", *model]) == 1
    assert "broken.jpg" in capsys.readouterr().out
    names = {path.name for path in (here / "o").iterdir()}
    drawn = {f"{p}_{k}.png" for p in "ab" for k in ("found", "heat_01", "heat_02")}
    assert names == {"found.json", "a_found.json", "b_found.json", *drawn}
    report = json.loads((here / "o" / "found.json").read_text())
    assert len(report["found"]) == 4
    assert not report["approximate"]
    assert all(0 <= row["x"] <= 80 and 0 <= row["y"] <= 60 for row in report["found"])
    (here / "o" / "found.json").unlink()
    (here / "o" / "b_found.json").write_text("{}")
    before = {name: (here / "o" / name).stat().st_mtime_ns for name in ("a_found.png", "b_found.png")}
    assert run(["prompt", "find", "p.safetensors", "in", "--out", "o", "--heat", *model]) == 1
    assert json.loads((here / "o" / "found.json").read_text()) == report
    after = {name: (here / "o" / name).stat().st_mtime_ns for name in before}
    assert after["a_found.png"] == before["a_found.png"]
    assert after["b_found.png"] > before["b_found.png"]


def test_a_box_or_a_mask(here, model, capsys):
    assert run(["prompt", "learn", "in/a.png", "--box", "10,10,40,30", "--out", "b.safetensors", *model, *FEW]) == 0
    region = np.zeros((60, 80), np.uint8)
    region[10:30, 10:40] = 255
    Image.fromarray(region).save(here / "m.png")
    assert run(["prompt", "learn", "in/a.png", "--mask", "m.png", "--out", "m.safetensors", *model, *FEW]) == 0
    one, two = (PromptEmbeddings.load(here / f"{name}.safetensors") for name in "bm")
    assert one.points.tolist() == [[25, 20]]
    np.testing.assert_array_equal(one.vectors.numpy(), two.vectors.numpy())
    capsys.readouterr()
    point = ["--point", "25,20", "--out", "b.safetensors"]
    assert "another target" in fails(capsys, "prompt", "learn", "in/a.png", *point, *model, *FEW)


def test_take_over_from_the_released_code(here, model, capsys):
    contexts = torch.randn(1, 2, 1, 77, 32)
    torch.save({"contexts": contexts, "src_kps": torch.full((1, 2, 40), 99.0)}, here / "c.pt")
    assert run(["prompt", "import", "c.pt", "in/a.png", "--out", "c.safetensors", *model]) == 0
    assert torch.equal(PromptEmbeddings.load(here / "c.safetensors").vectors, contexts[:, :, 0])
    capsys.readouterr()
    assert "give a file name" in fails(capsys, "prompt", "import", "c.pt", "in/a.png", "--out", "c.pt", *model)


def test_match_by_prompt(here, model):
    pocket = ["--method", "prompt", "--size", "32", "--device", "cpu", "--heat"]
    assert run(["match", "in/a.png", "in/b.png", "--point", "20,30", *pocket, "--out", "o"]) == 0
    names = {path.name for path in (here / "o").iterdir()}
    assert names == {"b_matches.png", "b_heat_01.png", "matches.csv", "matches.json"}
    (row,) = json.loads((here / "o" / "matches.json").read_text())["matches"]
    assert row["mutual"] is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "by one of"),
        (["--point", "1,1", "--box", "1,1,2,2"], "by one of"),
        (["--box", "1,1,900,2"], "does not lie"),
        (["--box", "1,1"], "no box"),
        (["--point", "900,1"], "outside"),
        (["--point", "1,1", "--preset", "best"], "hedlin"),
        (["--point", "1,1", "--mode", "fast"], "frozen_queries"),
        (["--point", "1,1", "--set", "sigma=-1"], "sigma"),
        (["--point", "1,1", "--set", "sigma=wide"], "float"),
        (["--point", "1,1", "--set", "colour=red"], "no setting"),
        (["--point", "1,1", "--steps", "0"], "steps"),
        (["--point", "1,1", "--set", "crop=2"], "crop"),
    ],
)
def test_bad_options(capsys, here, model, options, message):
    assert message in fails(capsys, "prompt", "learn", "in/a.png", "--out", "p.safetensors", *model, *options)
    assert not (here / "p.safetensors").exists()


def test_bad_files(capsys, here, model):
    (here / "p.safetensors").write_bytes(b"nothing")
    assert "prompt learn" in fails(capsys, "prompt", "find", "p.safetensors", "in/a.png", *model)
    assert ".safetensors" in fails(capsys, "prompt", "learn", "in/a.png", "--point", "1,1", "--out", "p.pt", *model)
    assert run(["prompt", "learn", "in/a.png", "--point", "20,30", "--out", "q.safetensors", *model, *FEW]) == 0
    capsys.readouterr()
    assert "another network" in fails(capsys, "prompt", "find", "q.safetensors", "in/a.png", "--device", "cpu")
    for wrong in (["--top", "3"], ["--timestep", "3"]):
        command = ["match", "in/a.png", "in/b.png", "--method", "prompt", "--point", "1,1", *wrong]
        assert "does not suit" in fails(capsys, *command)
    assert "learns given points" in fails(capsys, "match", "in/a.png", "in/b.png", "--method", "prompt")
