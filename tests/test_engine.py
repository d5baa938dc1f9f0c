"""One job, two engines: the same answers in the same order, whatever dies on the way."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from diffsight import engine
from diffsight.cli import run as command
from diffsight.engine import Loaded, run
from diffsight.errors import InvalidInput, UnreadableFile

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed: pip install 'diffsight[ray]'")


RAY = ["--engine", "ray", "--workers", "2"]
ONE = [*RAY[:3], "1"]
QUICK = ["--device", "cpu", "--dtype", "float32"]


class Tenfold:
    """Ten times each number; says who answered, and what it knew to be coming."""

    def __init__(self, last: int) -> None:
        self.last = last
        self.planned: list[int] = []

    def plan(self, items: list[int]) -> None:
        self.planned = list(items)

    def __call__(self, item: int) -> tuple[int, int, list[int]] | UnreadableFile:
        time.sleep(0.02)
        if item == 5:
            return UnreadableFile("photo 5 is damaged")
        if item == self.last:
            raise InvalidInput("the last one does not suit")
        return 10 * item, os.getpid(), self.planned


@dataclass(frozen=True)
class Recipe:
    last: int = -1

    def __call__(self) -> Tenfold:
        return Tenfold(self.last)


def test_items_come_back_in_order_with_their_results():
    items = list(range(8))
    found = dict(run(Recipe(), items))
    assert list(found) == items
    assert str(found.pop(5)) == "photo 5 is damaged"  # what cannot be read is a result
    assert all(found[i] == (10 * i, os.getpid(), items) for i in found)
    assert list(run(Recipe(), [])) == []
    with pytest.raises(InvalidInput, match="does not suit"):
        list(run(Recipe(last=3), items))


def test_a_loaded_worker_is_used_here_and_made_anew_elsewhere():
    worker = Tenfold(-1)
    loaded = Loaded(worker, Recipe(7))
    assert loaded() is worker
    assert pickle.loads(pickle.dumps(loaded)) == Recipe(7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "rye"}, "unknown engine 'rye'; use local or ray"),
        ({"engine": "ray", "workers": 0}, "0 workers are too few"),
        ({"workers": 2}, "local is one worker, not 2; use the engine ray"),
    ],
)
def test_engines_that_cannot_be(options, message):
    with pytest.raises(InvalidInput, match=message):
        run(Recipe(), [1], **options)


def test_without_ray_it_says_what_to_install(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"")
    code = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "ray":
            raise ModuleNotFoundError("No module named 'ray'")
sys.meta_path.insert(0, Missing())
from diffsight.cli import main
main()
"""
    words = [sys.executable, "-c", code, "segment", tmp_path / "in", "--out", tmp_path / "o", "--engine", "ray"]
    said = subprocess.run(words, capture_output=True, text=True)
    assert said.returncode == 2
    assert said.stderr.count("\n") == 1
    assert "pip install 'diffsight[ray]'" in said.stderr
    assert not (tmp_path / "o").exists()


@pytest.fixture(scope="module")
def cluster():
    """A cluster on this machine for workers of one thread; the address by which another process reaches it."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        with engine._cluster(2):
            import ray

            yield ray.get_runtime_context().gcs_address
    torch.set_num_threads(threads)


def draw(folder: str, count: int) -> None:
    """Small procedural photos, and a file that is none."""
    from PIL import Image

    from diffsight.world import make_scene

    Path(folder).mkdir()
    for seed in range(count):
        Image.fromarray(make_scene(seed, 64, count=1).image).save(f"{folder}/{seed}.png")
    Path(folder, "1b.png").write_bytes(b"no photo")


def contents(folder: Path, *apart: str) -> dict[str, bytes]:
    """Every file below a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in apart)
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@needs_ray
def test_ray_answers_alike_though_a_worker_is_killed(cluster):
    import torch

    items = list(range(48))
    answers, answered_by, planned = [], [], set()
    with pytest.raises(InvalidInput) as refused:
        for item, answer in run(Recipe(last=47), items, engine="ray", workers=2, chunk=4):
            if isinstance(answer, UnreadableFile):
                answers.append((item, str(answer)))
                continue
            tenfold, process, coming = answer
            answers.append((item, tenfold))
            answered_by.append(process)
            planned.add(tuple(coming))
            if len(answered_by) == 1:
                os.kill(process, signal.SIGKILL)
    assert str(refused.value) == "the last one does not suit"
    assert answers == [(i, 10 * i if i != 5 else "photo 5 is damaged") for i in items[:-1]]  # none lost, none twice
    assert len(set(answered_by)) >= 2
    assert planned == {tuple(items[i : i + 4]) for i in range(0, 48, 4)}
    with pytest.raises(InvalidInput, match=rf"999 workers of {torch.get_num_threads()} cores each do not fit"):
        list(run(Recipe(), items, engine="ray", workers=999))


@needs_ray
def test_a_folder_is_cut_alike_though_the_driver_is_killed(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    draw("in", 6)
    words = ["segment", "in", "--size", "64", *QUICK, "--out"]
    assert command([*words, "local"]) == 1
    environment = {**os.environ, "RAY_ADDRESS": cluster, "OMP_NUM_THREADS": "1"}
    code = "from diffsight.cli import main; main()"
    driver = subprocess.Popen([sys.executable, "-c", code, *words, "ray", *ONE], env=environment)
    while driver.poll() is None and len(list(Path("ray").glob("?.json"))) < 2:
        time.sleep(0.002)
    driver.kill()
    assert driver.wait() == -signal.SIGKILL
    finished = {path: path.stat().st_mtime_ns for path in Path("ray").glob("?.json")}
    assert 2 <= len(finished) < 6
    assert command([*words, "ray"]) == 1  # whichever engine goes on
    assert all(path.stat().st_mtime_ns == moment for path, moment in finished.items())  # nothing twice
    assert contents(Path("ray")) == contents(Path("local"))
    assert len(json.loads(Path("ray/5.json").read_text())["segments"]) > 0


@needs_ray
def test_a_benchmark_is_run_alike(cluster, tmp_path):
    root = tmp_path / "spair"
    assert command(["world", "make", "spair", "--out", str(root), "--count", "1"]) == 0
    words = ["bench", "run", "spair", "--root", str(root), "--model", "raw", "--method", "mls", "--out"]
    assert command([*words, str(tmp_path / "local")]) == 0
    assert command([*words, str(tmp_path / "ray"), *ONE]) == 0
    apart = ("timings.parquet", "environment.json", ".lock")
    assert contents(tmp_path / "ray", *apart) == contents(tmp_path / "local", *apart)


@needs_ray
def test_a_collection_is_read_alike(cluster, tmp_path, monkeypatch, capsys):
    from diffsight.collection import store
    from diffsight.collection.upkeep import verify

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(store, "FLUSH", 600.0)  # names of shards tell how often was written, that is how fast
    draw("in", 7)
    shutil.copy("in/4.png", "in/4_again.png")
    assert command(["collect", "build", "in/0.png", "--in", "local", "--model", "pocket+", *QUICK]) == 0
    shutil.copytree("local", "ray")
    told = []
    for where, words in (("local", []), ("ray", RAY)):
        capsys.readouterr()
        assert command(["collect", "add", "in", "--in", where, "--device", "cpu", *words]) == 1
        told.append(capsys.readouterr().out.replace(f"{where}:", ":"))
    assert told[0] == told[1]
    assert "6 added, 2 in it already" in told[1]
    assert "skipped: in/1b.png is not a photo" in told[1]
    assert contents(Path("ray"), ".lock") == contents(Path("local"), ".lock")
    assert verify(Path("ray")) == []
