"""Run folders with what scoring writes, of worlds in the layouts of benchmarks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from diffsight.benchmarks.summary import Figure, Summary
from diffsight.datasets import benchmark
from diffsight.files import save_json

COMMAND = "diffsight bench run spair --root tree --model pocket"


def save_run(folder: Path, summary: Summary, root: Path, **changes: Any) -> Path:
    """What a run and its scoring record besides tables."""
    config = {
        "benchmark": summary.benchmark,
        "split": summary.split,
        "protocol": summary.protocol,
        "model": "pocket",
        "fingerprint": "f00dcafe",
        "method": "dift",
        "settings": {"reading": {"stage": "up1", "timestep": 261}},
        "root": str(root),
        "samples": "12ab34cd",
        "seed": 0,
        "subset": None,
        **changes,
    }
    environment = {
        "date": "2026-11-21T10:00:00",
        "hardware": "2 cores of an x86-64 CPU",
        "versions": {"diffsight": "0.1.0", "torch": "2.13.0"},
        "commit": "0123abcd",
        "command": COMMAND,
    }
    save_json(config, folder / "config.json")
    save_json(environment, folder / "environment.json")
    summary.save(folder / "summary.json")
    return folder


def points_run(folder: Path, root: Path, *, noise: float = 6.0, protocol: str = "dift", **changes: Any) -> Path:
    """A run on the world's SPair-71k whose predictions are the truth and noise."""
    rng = np.random.default_rng(0)
    samples = benchmark("spair").samples(root)
    rows, scores, off, hits = [], [], [], {}
    for i, pair in enumerate(samples):
        truth = pair.target.keypoints
        found = truth + rng.normal(0, noise * (0.3 + i / len(samples)), truth.shape)
        x0, y0, x1, y1 = pair.target.box
        distances = np.linalg.norm(found - truth, axis=1) / max(x1 - x0, y1 - y0)
        off.append(distances)
        share = 100 * float((distances <= 0.1).mean())
        hits.setdefault(pair.category, []).append(share)
        rows.append({"id": pair.id, "category": pair.category, "matched": found.ravel().tolist()})
        sure = {"confidence": float(1 / (0.02 + distances.mean()))}
        scores.append({"id": pair.id, "category": pair.category, "score": share, **sure})
    whole = np.concatenate(off)
    alphas = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2)
    curve = tuple((alpha, 100 * float((whole <= alpha).mean())) for alpha in alphas)
    per_image = float(np.mean([row["score"] for row in scores]))
    own = "per point, longer side of the target's box, <=", "per pair, longer side of the target's box, <="
    figures = (
        Figure("PCK@0.1", own[0], dict(curve)[0.1], main=protocol == "dift"),
        Figure("PCK@0.1", own[1], per_image, main=True),
        Figure("PCK@0.05", own[0], dict(curve)[0.05]),
    )
    categories = tuple((name, len(values), float(np.mean(values))) for name, values in hits.items())
    skipped = (("no keypoint is seen in both photos", 1),)
    summary = Summary("spair", "test", protocol, len(samples) - 1, skipped, figures, categories, curve)
    pq.write_table(pa.Table.from_pylist(rows), _made(folder) / "predictions.parquet")
    pq.write_table(pa.Table.from_pylist(scores), folder / "scores.parquet")
    return save_run(folder, summary, root, **changes)


def segments_run(folder: Path) -> Path:
    """A run on COCO-Stuff-27 whose photos are no longer there."""
    figures = (
        Figure("mIoU", "matched per image, 512 pixels", 23.456, main=True),
        Figure("mIoU", "matched per image, present classes only", 21.0),
        Figure("ACC", "matched per image, 512 pixels", 55.5, main=True),
    )
    rows = [{"id": f"{i:012d}", "category": "all", "score": 20.0 + i} for i in range(4)]
    pq.write_table(pa.Table.from_pylist(rows), _made(folder) / "scores.parquet")
    summary = Summary("coco-stuff", "val", "diffseg", 4, (), figures, (("all", 4, 23.456),))
    return save_run(folder, summary, folder / "gone", method="diffseg")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
