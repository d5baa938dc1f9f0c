from __future__ import annotations

import csv
import json

import numpy as np
import pytest

from diffsight.benchmarks.metrics import pck
from diffsight.benchmarks.pairs import KeypointPair, run_pairs
from diffsight.benchmarks.runs import load_config, read_table
from diffsight.benchmarks.summary import Summary
from diffsight.benchmarks.systems import load_system
from diffsight.cli import run
from diffsight.datasets import BENCHMARKS, benchmark
from diffsight.world import RESERVED, make_pair

SPAIR = benchmark("spair")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("trees") / "spair"
    assert run(["world", "make", "spair", "--out", str(root), "--count", "1"]) == 0
    return root


@pytest.fixture
def finished(tree, tmp_path):
    assert run(["bench", "run", "spair", "--root", str(tree), "--out", str(tmp_path / "run"), "--model", "raw"]) == 0
    return tmp_path / "run"


def fails(capsys, *arguments):
    capsys.readouterr()
    assert run([str(own) for own in arguments]) == 2
    line = capsys.readouterr().err.strip()
    assert "\n" not in line
    return line


def test_the_path_over_files_gives_the_direct_score(tree, finished, capsys):
    assert run(["bench", "score", str(finished)]) == 0
    shown = capsys.readouterr().out
    _, raw = load_system("points", "raw")
    pairs = []
    for number, sample in enumerate(SPAIR.samples(tree)):
        drawn = make_pair(RESERVED + number * 10_000, 128, kind=sample.category)
        a, b = drawn.source.objects[0], drawn.target.objects[0]
        seen = a.visible & b.visible
        photos = sample.source.photo.load(), sample.target.photo.load()
        side = float((b.box[2:] - b.box[:2]).max())
        pairs.append(KeypointPair(sample.category, *photos, a.keypoints[seen], b.keypoints[seen], side))
    direct = pck(run_pairs(raw, raw.card.tasks["semantic"], pairs), 0.1)
    summary = Summary.load(finished / "summary.json")
    assert [own.value for own in summary.main] == pytest.approx([direct.per_image, direct.per_point])
    assert f"PCK@0.1 {direct.per_image:.1f}, PCK@0.1 {direct.per_point:.1f}" in " ".join(shown.split())
    assert len(read_table(finished / "scores.parquet")) == len(pairs)
    facts = json.loads((finished / "environment.json").read_text())
    assert {"date", "hardware", "commit", "command", "torch"} <= set(facts)


def test_any_systems_predictions_are_scored(tree, tmp_path, capsys):
    samples = SPAIR.samples(tree)

    def write(points):
        with (tmp_path / "points.csv").open("w", newline="") as handle:
            rows = csv.writer(handle)
            rows.writerow(["id", "index", "x", "y"])
            rows.writerows([s.id, i, *(xy - 0.5)] for s in samples for i, xy in enumerate(points(s)))

    command = ["bench", "score", "--predictions", str(tmp_path), "--benchmark", "spair", "--root", str(tree)]
    for points, least, most in (
        (lambda s: s.target.keypoints, 100, 100),
        (lambda s: np.full_like(s.target.keypoints, -1000), 0, 0),
        (lambda s: np.random.default_rng(0).uniform(0, 128, s.target.keypoints.shape), 0.1, 12),
    ):
        write(points)
        assert run(command) == 0
        assert least <= Summary.load(tmp_path / "summary.json").main[0].value <= most
    write(lambda s: s.target.keypoints[:0] if s is samples[3] else s.target.keypoints)
    assert samples[3].id in fails(capsys, *command)
    assert run([*command, "--allow-missing"]) == 0
    summary = Summary.load(tmp_path / "summary.json")
    assert summary.skipped
    assert summary.main[0].value == pytest.approx(100 * (1 - 1 / len(samples)))
    write(lambda s: s.target.keypoints * np.nan)
    assert "not finite" in fails(capsys, *command)


def test_what_does_not_suit(tree, finished, tmp_path, capsys):
    out = tmp_path / "new"
    command = ["bench", "run", "spair", "--root", tree, "--out", out]
    assert "pf-pascal" in fails(capsys, "bench", "run", "spare", "--root", tree, "--out", out)
    assert "Layout/large/test.txt" in fails(capsys, "bench", "run", "spair", "--root", tmp_path, "--out", out)
    assert "1/4" in fails(capsys, *command, "--shard", "4")
    assert "1 or more" in fails(capsys, *command, "--subset", "0")
    assert "diffseg" not in fails(capsys, *command, "--method", "flow")
    assert "--set" in fails(capsys, *command, "--set", "rounds=1")
    assert "no network" in fails(capsys, *command, "--model", "raw", "--method", "prompt")
    assert not out.exists()
    assert "method" in fails(capsys, *command[:-1], finished, "--model", "raw", "--method", "mls")
    assert "dift" in fails(capsys, "bench", "score", finished, "--protocol", "best")
    assert "--predictions" in fails(capsys, "bench", "score")
    assert "--benchmark" in fails(capsys, "bench", "score", "--predictions", tmp_path)
    config = load_config(finished)
    (finished / "config.json").write_text(json.dumps({**config, "digest": "0"}))
    assert "--root" in fails(capsys, "bench", "score", finished)


def test_missing_photos_are_named_or_skipped(tree, tmp_path, capsys):
    import shutil

    shutil.copytree(tree, tmp_path / "tree")
    lost = SPAIR.samples(tmp_path / "tree")[2].target.photo.path
    lost.unlink()
    command = ["bench", "run", "spair", "--root", tmp_path / "tree", "--out", tmp_path / "run", "--model", "raw"]
    line = fails(capsys, *command)
    assert "1 files" in line
    assert lost.name in line
    assert run([*map(str, command), "--skip-missing"]) == 0
    assert load_config(tmp_path / "run")["missing"] == 1
    assert run(["bench", "score", str(tmp_path / "run")]) == 0


SYSTEM = {
    "points": ["--method", "stay"],
    "planes": ["--model", "raw"],
    "masks": ["--method", "stay"],
    "joints": ["--method", "stay"],
    "segments": ["--method", "kmeans", "--size", "64"],
}


@pytest.mark.parametrize("name", BENCHMARKS)
def test_every_benchmark_from_folder_to_figures(name, tmp_path):
    own = BENCHMARKS[name]
    root, out = str(tmp_path / "tree"), str(tmp_path / "run")
    assert run(["world", "make", name, "--out", root, "--count", "1"]) == 0
    assert run(["bench", "run", name, "--root", root, "--out", out, *SYSTEM[own.kind]]) == 0
    assert run(["bench", "score", out]) == 0
    summary = Summary.load(tmp_path / "run" / "summary.json")
    assert summary.samples >= 1
    assert all(0 <= figure.value <= 100 for figure in summary.main)
