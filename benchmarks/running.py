"""Running a benchmark: what the runner adds to the time of predicting, and whether its memory grows."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from harness import MIB, resident

PAIRS = 84
"""Of each of 12 categories: 1,008 pairs, 2,016 photos."""


def running() -> dict[str, float]:
    """SPair-71k's layout, 1,008 pairs of procedural pictures, by pocket's features of one draw."""
    from diffsight.benchmarks.runs import Run, read_table
    from diffsight.benchmarks.systems import load_system
    from diffsight.datasets import benchmark

    spair = benchmark("spair")
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        spair.write_world(root / "tree", 1_000_000_000, PAIRS)
        samples = spair.samples(root / "tree")
        system, _ = load_system("points", "pocket", dtype="float32", changes={"ensemble": 1})
        held = []
        predict = system.predict

        def watched(sample):  # type: ignore[no-untyped-def]
            held.append(resident() / MIB)
            return predict(sample)

        system.predict = watched  # type: ignore[method-assign]
        start = time.perf_counter()
        Run(root / "run", {}).complete(lambda: system, samples)
        whole = time.perf_counter() - start
        own = sum(read_table(root / "run" / "timings.parquet")["seconds"].to_pylist())
    return {
        "photos": 2.0 * len(samples),
        "seconds": whole,
        "the runner's share of them, percent": 100 * (1 - own / whole),
        "resident after a tenth of the pairs, MiB": held[len(held) // 10],
        "resident at the end, MiB": held[-1],
    }
