"""Label propagation against the dense formula, and the memory of a long video: ``python benchmarks/video.py``."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path
from typing import Any

from harness import MIB, measure, resident
from work import of_propagation

GRID, CHANNELS, CONTEXT, RADIUS, TOP, TEMPERATURE = (60, 104), 640, 28, 15, 15, 0.2
"""Stable Diffusion on DAVIS, as the DIFT paper runs it."""


def propagation(
    which: str,
    grid: tuple[int, int] = GRID,
    channels: int = CHANNELS,
    context: int = CONTEXT,
    radius: int = RADIUS,
    repeats: int = 1,
) -> dict[str, Any]:
    """One frame labelled from the first and 28 others: 640 x 60 x 104 maps, radius 15, 3 labels."""
    import torch
    import torch.nn.functional as F

    from diffsight.video.propagate import Propagation, propagate

    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    height, width = grid
    frames = [F.normalize(torch.randn(height, width, channels, generator=generator), dim=2) for _ in range(context + 2)]
    labels = [torch.randn(3, height, width, generator=generator).softmax(dim=0) for _ in range(context + 1)]
    settings = Propagation(radius=radius, top=TOP, temperature=TEMPERATURE)

    def literal() -> torch.Tensor:
        # as the DIFT repository does it, but for the window, which it fills in by a loop over all pairs of cells
        y, x = (axis.flatten() for axis in torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"))
        window = ((y[:, None] - y).abs() <= radius) & ((x[:, None] - x).abs() <= radius)
        target = frames[0].flatten(0, 1)
        known = torch.stack([frame.flatten(0, 1).T for frame in frames[1:]])
        affinity = torch.exp(torch.matmul(target, known) / TEMPERATURE) * window
        affinity = affinity.transpose(2, 1).reshape(-1, height * width)
        least = affinity.topk(TOP, dim=0).values.min(dim=0).values
        affinity[affinity < least] = 0
        affinity = affinity / affinity.sum(dim=0, keepdim=True)
        return torch.cat([own.flatten(1) for own in labels], dim=1) @ affinity

    def fast() -> torch.Tensor:
        return propagate(frames[0], frames[1:], labels, settings).flatten(1)

    seconds, peak, found = measure(literal if which == "literal" else fast, repeats)
    work = of_propagation(grid, channels, context + 1, radius, 3)
    return {"seconds": seconds, "peak_mib": peak / MIB, "answer": found.flatten().tolist(), "work": work}


def steady(frames: int = 300, height: int = 360, width: int = 640) -> dict[str, float]:
    """Resident MiB of ``diffsight track`` with pocket, by the frame that it has finished; the overlay is drawn last."""
    import numpy as np

    from diffsight.video.movies import video_writer

    rng = np.random.default_rng(0)
    ground = rng.integers(0, 255, (height // 8, width // 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)
    with tempfile.TemporaryDirectory() as name:
        video, out = Path(name, "in.mp4"), Path(name, "out")
        with video_writer(video, Fraction(24)) as add:
            for i in range(frames):
                add(np.roll(ground, 2 * i, axis=1))
        arguments = ["track", str(video), "--box", "200,100,400,260", "--size", "48", "--ensemble", "1"]
        code = f"from diffsight.cli import run; run({[*arguments, '--out', str(out)]})"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        levels: list[tuple[int, float]] = []
        while child.poll() is None:
            levels.append((len(list(out.glob("[0-9]*.png"))), resident(str(child.pid)) / MIB))
            time.sleep(0.05)
        if child.returncode or levels[-1][0] != frames:
            raise SystemExit(f"the run ended with {child.returncode} after {levels[-1][0]} of {frames} frames")
    full = CONTEXT + 8  # the context is full, and a batch more is read
    tracking = [size for done, size in levels if full <= done < frames and size]
    drawing = [size for done, size in levels if done == frames and size]
    return {
        f"after {full} frames": tracking[0],
        f"at most from there to frame {frames}": max(tracking),
        "as the last frames were followed": tracking[-1],
        "at most while the overlay was drawn": max(drawing),
    }


def main() -> None:
    """Print both sides at a quarter of the size, in one process, and the memory of a long video."""
    import numpy as np

    sides = {which: propagation(which, (30, 52), context=7, repeats=3) for which in ("literal", "fast")}
    slow, fast = (sides[which] for which in ("literal", "fast"))
    gap = np.abs(np.array(slow["answer"]) - np.array(fast["answer"])).max()
    print(f"30x52 cells, 7 context frames: {slow['seconds']:.3g} s and {fast['seconds']:.3g} s,")
    print(f"{slow['peak_mib']:.0f} MiB and {fast['peak_mib']:.0f} MiB; largest difference {gap:.2g}")
    for when, size in steady().items():
        print(f"300 frames of 640x360, pocket: memory {when}: {size:.0f} MiB")


if __name__ == "__main__":
    main()
