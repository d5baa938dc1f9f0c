from __future__ import annotations

import signal
import subprocess
import sys
import time

import pytest

from diffsight.cli import run
from diffsight.datasets import BENCHMARKS, benchmark
from diffsight.world import RESERVED

from .test_cli import fails


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_layout_is_written_and_read(capsys, tmp_path, name):
    assert run(["world", "make", name, "--out", str(tmp_path / "tree"), "--count", "1"]) == 0
    assert f"diffsight data check {name} --root" in capsys.readouterr().out
    assert run(["data", "check", name, "--root", str(tmp_path / "tree"), "--open"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["tree"]


def test_seed_and_count(tmp_path):
    def boxes(name: str, *arguments: str) -> list[object]:
        assert run(["world", "make", "cub", "--out", str(tmp_path / name), *arguments]) == 0
        return [sample.source.box for sample in benchmark("cub").samples(tmp_path / name)]

    usual = boxes("usual")
    assert len(usual) == 3 * 3
    assert boxes("same", "--seed", str(RESERVED), "--count", "2") == usual
    other = boxes("other", "--seed", "7", "--count", "1")
    assert len(other) == 3
    assert other[0] not in usual


def test_only_an_empty_folder_is_written_to(capsys, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    assert "full is not empty" in fails(capsys, "world", "make", "spair", "--out", tmp_path / "full")
    assert "is a file" in fails(capsys, "world", "make", "spair", "--out", tmp_path / "full" / "mine.txt")
    assert [path.name for path in tmp_path.rglob("*")] == ["full", "mine.txt"]
    (tmp_path / "empty").mkdir()
    assert run(["world", "make", "cub", "--out", str(tmp_path / "empty"), "--count", "1"]) == 0
    capsys.readouterr()
    assert "--seed -1" in fails(capsys, "world", "make", "spair", "--out", tmp_path / "new", "--seed", -1)
    assert "--count 0" in fails(capsys, "world", "make", "spair", "--out", tmp_path / "new", "--count", 0)
    assert "unknown benchmark" in fails(capsys, "world", "make", "spare", "--out", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_killed_run_is_not_taken_for_whole(tmp_path):
    command = ["world", "make", "spair", "--out", str(tmp_path / "tree"), "--count", "900"]
    code = "import sys; from diffsight.cli import run; sys.exit(run(sys.argv[1:]))"
    with subprocess.Popen([sys.executable, "-c", code, *command]) as process:
        while not list(tmp_path.rglob("*.jpg")):
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "tree").exists()
    assert run([*command[:-1], "1"]) == 0
    assert len(benchmark("spair").samples(tmp_path / "tree")) == 12
