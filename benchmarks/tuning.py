"""Choose how a model is read, task by task, on pictures that are neither trained on nor reported.

``python benchmarks/tuning.py semantic --model runs/pocket/export --set timestep=5,20 --set stage=up0,up1.a0`` scores
every combination on the world's tuning seeds and prints a markdown table, best first, with 95 % by the bootstrap.
Settings are those of ``ReadSettings``; ``size`` is the side of a square. Figures: PCK@0.1 per point (semantic), mIoU of
DiffSeg (segmentation), J&F (temporal), corners within 3 px (geometric).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

from diffsight.backbones.base import Backbone, adjust
from diffsight.backbones.registry import load, task_settings
from diffsight.benchmarks import video, warps
from diffsight.benchmarks.masks import world_scenes
from diffsight.benchmarks.metrics import mask_score, pck
from diffsight.benchmarks.metrics.points import Pool
from diffsight.benchmarks.pairs import run_pairs, world_pairs
from diffsight.segmentation.diffseg import DiffSegSettings
from diffsight.segmentation.segmenter import Segmenter
from diffsight.video.tracker import Tracker
from diffsight.world import TUNING

Score = tuple[float, tuple[float, float]]


def semantic(backbone: Backbone, count: int, changes: dict[str, Any]) -> Score:
    """PCK@0.1 per point on so many pairs of each category."""
    settings = adjust(task_settings(backbone.card, "semantic"), changes)
    found = run_pairs(backbone, settings, world_pairs(count, TUNING))
    return pck(found, 0.1).per_point, Pool.of(found).interval(0.1)


def segmentation(backbone: Backbone, count: int, changes: dict[str, Any]) -> Score:
    """Mean IoU of DiffSeg on so many scenes; ``threshold`` is that of merging, ``weights`` those of sizes, as 0:1:1."""
    settings = DiffSegSettings(thresholds=(changes.pop("threshold", backbone.card.merge_threshold),) * 3)
    if weights := changes.pop("weights", None):
        settings = replace(settings, weighting=tuple(float(part) for part in weights.split(":")))
    segmenter = Segmenter(backbone, settings=settings, **changes)
    samples, classes = world_scenes(count, TUNING)
    score = mask_score([(segmenter.segment(own.picture).labels, own.truth) for own in samples], classes)
    return score.miou, score.miou_interval


def temporal(backbone: Backbone, count: int, changes: dict[str, Any]) -> Score:
    """J&F on so many clips."""
    tracker = Tracker(backbone, **changes)
    score = video.score([video.judge(video.follow(tracker, clip), clip) for clip in video.world_clips(count, TUNING)])
    return score.jf, score.jf_interval


def geometric(backbone: Backbone, count: int, changes: dict[str, Any]) -> Score:
    """Homographies within 3 px of so many pairs."""
    score = warps.plane_score(warps.run_warps(backbone, warps.world_warps(count, TUNING), **changes)).homographies
    at = score.pixels.index(3)
    return score.correct[at], score.intervals[at]


TASKS: dict[str, tuple[Callable[[Backbone, int, dict[str, Any]], Score], int]] = {
    "semantic": (semantic, 5),
    "segmentation": (segmentation, 20),
    "temporal": (temporal, 6),
    "geometric": (geometric, 40),
}
"""What scores each task, and on how many pictures if that is left out."""


def _value(name: str, text: str) -> Any:
    """A setting as Python has it: ``size=96`` is a square, ``noise=false`` no noise."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return (value, value) if name == "size" else value


def main() -> None:
    """Score every combination of settings."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--model", action="append", help="repeat to compare; pocket if left out")
    parser.add_argument("--count", type=int, help="pairs of each category, scenes, clips or pairs")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE[,VALUE...]")
    options = parser.parse_args()
    names, texts = zip(*(text.split("=", 1) for text in options.set), strict=True) if options.set else ((), ())
    choices = list(product(*([_value(n, one) for one in t.split(",")] for n, t in zip(names, texts, strict=True))))
    measure, usual = TASKS[options.task]
    rows = []
    for model in options.model or ["pocket"]:
        backbone = load(model, dtype="float32")
        for chosen in tqdm(choices, desc=model, unit="setting", leave=False):
            figure, (low, high) = measure(backbone, options.count or usual, dict(zip(names, chosen, strict=True)))
            shown = (str(one[0]) if isinstance(one, tuple) else str(one) for one in chosen)
            rows.append((figure, [model, *shown, f"{figure:.1f}", f"{low:.1f} to {high:.1f}"]))
    print("|", " | ".join(["model", *names, options.task, "95 %"]), "|")
    print("|---" * (3 + len(names)) + "|")
    for _, row in sorted(rows, key=lambda row: -row[0]):
        print("|", " | ".join(row), "|")


if __name__ == "__main__":
    main()
