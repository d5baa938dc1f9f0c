from __future__ import annotations

import hashlib
import shutil

import pytest
from PIL import Image

from diffsight.cli import run
from diffsight.datasets import BENCHMARKS, benchmark
from diffsight.world import RESERVED

from .test_cli import fails


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "spair"
    benchmark("spair").write_world(root, RESERVED, 1)
    return root


def printed(capsys, *arguments: object) -> str:
    assert run(["data", *map(str, arguments)]) == 0
    return capsys.readouterr().out


def test_the_list_names_every_benchmark(capsys):
    out = printed(capsys, "list")
    assert set(BENCHMARKS) <= set(out.split())
    assert "12,234" in out


def test_a_whole_folder(capsys, tree):
    names = (tree / "Layout" / "large" / "test.txt").read_text().split()
    digest = hashlib.sha256("\n".join(names).encode()).hexdigest()
    expected = [
        "SPair-71k, split test: 12 samples (the real data has 12,234)",
        "files: 24 of 24 are there",
        f"list: sha256 {digest}",
    ]
    assert printed(capsys, "check", "spair", "--root", tree).splitlines() == expected
    assert printed(capsys, "check", "spair", "--root", tree, "--open").splitlines() == expected


def test_missing_and_damaged_files(capsys, tree, tmp_path):
    shutil.copytree(tree, tmp_path / "tree")
    photos = sorted((tmp_path / "tree" / "JPEGImages").rglob("*.jpg"))
    arguments = ["data", "check", "spair", "--root", str(tmp_path / "tree")]
    photos[3].write_bytes(photos[3].read_bytes()[:500])
    Image.open(photos[6]).crop((0, 0, 60, 50)).save(photos[6])
    assert run(arguments) == 0
    capsys.readouterr()
    assert run([*arguments, "--open"]) == 2
    out, err = capsys.readouterr()
    assert f"{photos[3]} is damaged" in out
    assert f"{photos[6]} is 60x50, but its annotation is for 128x128" in out
    assert err.startswith("diffsight: 2 of 24 files cannot be used")
    for path in photos[:7]:
        path.unlink()
    assert run(arguments) == 2
    out, err = capsys.readouterr()
    assert "files: 17 of 24 are there" in out
    assert err.startswith("diffsight: 7 of 24 files are missing")
    assert err.count(".jpg") == 5
    assert "cvlab.postech" in err


def test_what_cannot_be_used(capsys, tree, tmp_path):
    assert "unknown benchmark" in fails(capsys, "data", "check", "spare", "--root", tree)
    assert "use test, val, trn" in fails(capsys, "data", "check", "spair", "--root", tree, "--split", "dev")
    assert "is no folder" in fails(capsys, "data", "check", "spair", "--root", tmp_path / "none")
    assert "val.txt" in fails(capsys, "data", "check", "spair", "--root", tree, "--split", "val")
