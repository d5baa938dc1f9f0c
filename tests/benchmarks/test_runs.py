from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from diffsight.benchmarks import runs
from diffsight.benchmarks.runs import Run, label_paths, load_config, merge, read_table, shard_of, subset_of
from diffsight.benchmarks.systems import load_system
from diffsight.datasets import benchmark
from diffsight.errors import InvalidInput, OutputFailed, UnreadableFile
from diffsight.world import RESERVED

SPAIR = benchmark("spair")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("spair")
    SPAIR.write_world(root, RESERVED, 2)
    return root


def config(**changes):
    return {"benchmark": "spair", "split": "test", "method": "dift", "shard": None, "settings": {"size": 96}, **changes}


def run(folder, samples, **changes):
    system, _ = load_system("points", "raw")
    Run(folder, config(**changes)).complete(lambda: system, samples)
    return (folder / "predictions.parquet").read_bytes()


def test_predictions_are_those_of_the_method(tree, tmp_path):
    from diffsight.benchmarks.baselines import RawPixels
    from diffsight.matching.matcher import Matcher

    samples = SPAIR.samples(tree)[:3]
    run(tmp_path / "run", samples)
    table = read_table(tmp_path / "run" / "predictions.parquet").to_pylist()
    assert [row["id"] for row in table] == [sample.id for sample in samples]
    _, backbone = load_system("points", "raw")
    assert isinstance(backbone, RawPixels)
    matcher = Matcher(backbone)
    for row, sample in zip(table, samples, strict=True):
        source = matcher.source(sample.source.photo.load(), sample.source.keypoints)
        found = matcher.match(source, sample.target.photo.load())
        np.testing.assert_array_equal(np.reshape(row["matched"], (-1, 2)), found.matched)
    assert len(read_table(tmp_path / "run" / "timings.parquet")) == 3
    assert not (tmp_path / "run" / "rows").exists()


def test_a_run_that_stops_goes_on_and_ends_the_same(tree, tmp_path, monkeypatch):
    samples = SPAIR.samples(tree)
    whole = run(tmp_path / "whole", samples)
    monkeypatch.setattr(runs, "CHUNK_SECONDS", 0)
    system, _ = load_system("points", "raw")
    predict, left = system.predict, 7

    def stops(sample):
        nonlocal left
        left -= 1
        if not left:
            raise KeyboardInterrupt
        return predict(sample)

    system.predict = stops
    folder = Run(tmp_path / "part", config())
    with pytest.raises(KeyboardInterrupt):
        folder.complete(lambda: system, samples)
    assert not folder.is_complete
    asked = []
    again, _ = load_system("points", "raw")
    again.predict = lambda sample: asked.append(sample.id) or predict(sample)
    Run(tmp_path / "part", config()).complete(lambda: again, samples)
    assert asked == [sample.id for sample in samples[6:]]  # nothing twice, nothing lost
    assert (tmp_path / "part" / "predictions.parquet").read_bytes() == whole


def test_shards_merge_to_the_same_bytes(tree, tmp_path):
    samples = SPAIR.samples(tree)
    whole = run(tmp_path / "whole", samples)
    shards = []
    for number in (3, 1, 2):
        shards.append(tmp_path / f"shard{number}")
        run(shards[-1], shard_of(samples, (number, 3)), shard=(number, 3))
    merge(shards, tmp_path / "merged")
    assert (tmp_path / "merged" / "predictions.parquet").read_bytes() == whole
    assert (tmp_path / "merged" / "config.json").read_bytes() == (tmp_path / "whole" / "config.json").read_bytes()
    with pytest.raises(InvalidInput, match="every shard"):
        merge(shards[:2], tmp_path / "some")
    other = json.loads((shards[0] / "config.json").read_text())
    other["settings"]["size"] = 64
    (shards[0] / "config.json").write_text(json.dumps(other))
    with pytest.raises(InvalidInput, match=r"settings\.size"):
        merge(shards, tmp_path / "mixed")


def test_another_question_is_refused_by_name(tree, tmp_path):
    samples = SPAIR.samples(tree)[:1]
    run(tmp_path / "run", samples)
    with pytest.raises(InvalidInput, match=r"settings\.size is 96 there and 128 now"):
        Run(tmp_path / "run", config(settings={"size": 128}))
    Run(tmp_path / "run", config(root="elsewhere"))  # the data may have moved
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    with pytest.raises(InvalidInput, match="holds no run"):
        Run(tmp_path / "photos", config())
    (tmp_path / "run" / "config.json").write_text("[")
    with pytest.raises(UnreadableFile, match=r"config\.json"):
        load_config(tmp_path / "run")


def test_one_process_at_a_time(tree, tmp_path):
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(OutputFailed, match="another process"):
        run(tmp_path / "run", SPAIR.samples(tree)[:1])


def test_a_broken_photo_is_named_and_nothing_is_lost(tree, tmp_path, monkeypatch):
    import shutil

    monkeypatch.setattr(runs, "CHUNK_SECONDS", 0)
    shutil.copytree(tree, tmp_path / "tree")
    samples = SPAIR.samples(tmp_path / "tree")[:4]
    whole = samples[2].target.photo.path.read_bytes()
    samples[2].target.photo.path.write_bytes(whole[:100])
    with pytest.raises(UnreadableFile, match=samples[2].id):
        run(tmp_path / "run", samples)
    assert len(list((tmp_path / "run" / "rows").iterdir())) == 2
    samples[2].target.photo.path.write_bytes(whole)
    run(tmp_path / "run", samples)


def test_subsets_and_shards(tree):
    samples = SPAIR.samples(tree)
    some = subset_of(samples, 5, 3)
    assert len(some) == 5
    assert [s.id for s in some] == sorted(s.id for s in some)  # in the benchmark's order
    assert [s.id for s in some] != [s.id for s in subset_of(samples, 5, 4)]
    assert [s.id for i in (1, 2, 3) for s in shard_of(samples, (i, 3))] == [s.id for s in samples]


def test_labels_lie_where_they_belong(tmp_path):
    assert label_paths(tmp_path, "a/b") == [tmp_path / "a" / "b.png"]
    assert label_paths(tmp_path, "clip", 2)[1] == tmp_path / "clip" / "00001.png"


def test_killed_runs_end_the_same(tree, tmp_path):
    code = (
        "import sys, diffsight.benchmarks.runs as runs; runs.CHUNK_SECONDS = 0; "
        "from diffsight.cli import run; sys.exit(run(sys.argv[1:]))"
    )

    def start(folder):
        command = ["bench", "run", "spair", "--root", str(tree), "--out", str(folder), "--model", "raw"]
        return subprocess.Popen([sys.executable, "-c", code, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    whole = start(tmp_path / "whole")
    assert whole.wait() == 0, whole.stderr.read()
    rng = np.random.default_rng(0)
    folder = tmp_path / "killed"
    for _ in range(3):
        process = start(folder)
        while process.poll() is None and not list(folder.glob("rows/*.parquet")):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.1))
        os.kill(process.pid, signal.SIGKILL) if process.poll() is None else None
        process.wait()
    (folder / "rows").mkdir(exist_ok=True)
    (folder / "rows" / ".cut.part").write_text("what a write that was killed leaves")
    last = start(folder)
    assert last.wait() == 0, last.stderr.read()
    for name in ("predictions.parquet", "config.json"):
        assert (folder / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_joints_out_of_the_first_picture_are_marked_at_its_border(tmp_path):
    from dataclasses import replace

    jhmdb = benchmark("jhmdb")
    jhmdb.write_world(tmp_path, RESERVED, 1)
    sample = jhmdb.samples(tmp_path)[0]
    outside = sample.joints.copy()
    outside[0, 0] = (-5, 300)
    system, _ = load_system("joints", "raw")
    found = system.predict(replace(sample, joints=outside, frames=sample.frames[:3])).matched
    assert found.shape == (3, 15, 2)
    assert np.isfinite(found[0]).all()
