"""Scoring by itself: all flavours of PCK on as many pairs as SPair-71k has, and label maps as large as COCO-Stuff's."""

from __future__ import annotations

import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

from harness import MIB, measure

PAIRS, PHOTOS, SIDE = 12_000, 60, 512


def scoring(which: str, pairs: int = PAIRS, photos: int = PHOTOS) -> dict[str, Any]:
    """12,000 pairs of 3 to 11 keypoints, 160 flavours of PCK."""
    from diffsight.benchmarks.protocols import protocol
    from diffsight.benchmarks.scoring import score

    samples, predictions = draw_pairs(pairs)

    def fast() -> list[float]:
        summary, _ = score("spair", "test", protocol("spair"), samples, predictions)
        return [own.value for own in sorted(summary.figures, key=lambda own: (own.metric, own.switches))]

    def literal() -> list[float]:
        return literal_flavours(samples, predictions)

    seconds, peak, answer = measure(literal if which == "literal" else fast, 1 if which == "literal" else 3)
    notes = {} if which == "literal" else {f"label maps of {SIDE} x {SIDE}, a second": label_maps(photos)}
    return {"seconds": seconds, "peak_mib": peak / MIB, "answer": answer, "notes": notes}


def draw_pairs(count: int) -> tuple[list[Any], dict[str, Any]]:
    """Pairs of photos of 500 x 375 in 18 categories, and predictions that are off by some 12 pixels."""
    import numpy as np

    from diffsight.datasets import Annotation, Photo, PointPair

    rng = np.random.default_rng(0)
    samples, predictions = [], {}
    for number in range(count):
        sides = []
        truth = rng.uniform((0, 0), (500, 375), (int(rng.integers(3, 12)), 2))
        for name in ("a", "b"):
            x, y, width, height = rng.uniform((0, 0, 50, 50), (200, 150, 300, 225)).tolist()
            sides.append(Annotation(Photo(Path(f"{name}.jpg")), (375, 500), (x, y, x + width, y + height), truth))
        samples.append(PointPair(f"{number:05d}", f"category {number % 18}", *sides))
        predictions[samples[-1].id] = truth + rng.normal(0, 9, truth.shape)
    return samples, predictions


def literal_flavours(samples: list[Any], predictions: dict[str, Any]) -> list[float]:
    """Each flavour by a loop over pairs, as scripts have it; in the order of the figures' names."""
    import numpy as np

    from diffsight.benchmarks.metrics.points import threshold
    from diffsight.benchmarks.scoring.points import ALPHAS, AVERAGES, BASES

    bases = [base for base in BASES if base not in ("cub_x_scale", "fixed")]
    named = {}
    for base, alpha, comparison in product(bases, ALPHAS, ("<=", "<")):
        points: dict[str, list[bool]] = {}
        images: dict[str, list[float]] = {}
        for sample in samples:
            reach = alpha * threshold(base, sample.source, sample.target)
            off = np.linalg.norm(predictions[sample.id] - sample.target.keypoints, axis=1)
            hits = off <= reach if comparison == "<=" else off < reach
            points.setdefault(sample.category, []).extend(hits)
            images.setdefault(sample.category, []).append(hits.mean())
        values = {
            "per_image": np.mean([own for rows in images.values() for own in rows]),
            "per_point": np.mean([own for rows in points.values() for own in rows]),
            "per_category": np.mean([np.mean(rows) for rows in points.values()]),
            "per_category_images": np.mean([np.mean(rows) for rows in images.values()]),
        }
        for averaging, words in AVERAGES.items():
            switches = f"{words}, {BASES[base]}, {comparison}, original pixels"
            named[f"PCK@{alpha:g}", switches] = 100 * float(values[averaging])
    return [named[key] for key in sorted(named)]


def label_maps(count: int) -> float:
    """Photos scored in a second as DiffSeg is, with borders and the Rand index, their truth read from PNG files."""
    import cv2
    import numpy as np

    from diffsight.benchmarks.protocols import protocol
    from diffsight.benchmarks.scoring import score
    from diffsight.datasets import LabelledPhoto
    from diffsight.video.masks import save_mask

    def blobs(seed: int, kinds: int, height: int, width: int) -> Any:
        coarse = np.random.default_rng(seed).normal(size=(8, 8, kinds)).astype(np.float32)
        return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).argmax(axis=2)

    classes = np.append(np.arange(27), np.full(229, -1))
    with tempfile.TemporaryDirectory() as name:
        samples, found = [], {}
        for number in range(count):
            labels = Path(name, f"{number}.png")
            save_mask((3 * blobs(number, 7, 480, 640)).astype(np.uint8), labels)
            samples.append(LabelledPhoto(str(number), labels, labels, classes, SIDE))
            found[str(number)] = blobs(count + number, 10, SIDE, SIDE).astype(np.uint16)
        own = protocol("coco-stuff")
        score("coco-stuff", "val", own, samples[:1], {"0": found["0"]})  # loads SciPy
        start = time.perf_counter()
        score("coco-stuff", "val", own, samples, found)
        return count / (time.perf_counter() - start)


def main() -> None:
    """Print both sides for a tenth of the pairs, in one process."""
    import numpy as np

    sides = {which: scoring(which, PAIRS // 10) for which in ("literal", "fast")}
    slow, fast = (sides[which] for which in ("literal", "fast"))
    gap = np.abs(np.array(slow["answer"]) - np.array(fast["answer"])).max()
    print(f"{PAIRS // 10} pairs: {slow['seconds']:.3g} s and {fast['seconds']:.3g} s; largest difference {gap:.2g}")
    print(fast["notes"])


if __name__ == "__main__":
    main()
