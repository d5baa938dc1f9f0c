"""What a photo costs with the bundled model, and what one and a thousand million photos cost at that rate.

Prints the tables of docs/scaling.md. Seconds are CPU seconds of one thread, which other work on the machine hardly
changes; what a photo costs is the difference between a large job and a small one, so that loading counts for nothing.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import date
from io import StringIO
from pathlib import Path

FEW, MANY = 4, 28
"""Photos of the small and the large job."""

BEYOND_SHEET = 48, 112
"""The same, where the time of the contact sheet, which shows 48 at most, would weigh too much."""

INSTANT = 200, 1200
"""Photos of the jobs that only hand over."""

CORES = 2
"""Of a machine in the tables."""

Job = Callable[[int, Path], None]
"""Does so many photos (or pairs) into a folder."""


def photos(folder: Path) -> Callable[[int], Path]:
    """Folders of procedural pictures brought to 640 x 480 pixels, by how many they hold."""
    from PIL import Image

    from diffsight.world import make_scene

    def some(count: int) -> Path:
        there = folder / f"photos{count}"
        there.mkdir(exist_ok=True)
        for seed in range(count):
            image = Image.fromarray(make_scene(seed, 128, count=2).image)
            image.resize((640, 480), Image.Resampling.BICUBIC).save(there / f"{seed:03d}.jpg", quality=90)
        return there

    return some


def command(*words: object) -> None:
    """Run a command without its output; fail where it does."""
    from diffsight.cli import run

    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        assert run([str(word) for word in words]) == 0, words


def features(source: Path, out: Path) -> None:
    """Read and keep the features by which photos are matched."""
    from diffsight.backbones.registry import load
    from diffsight.images import load_picture
    from diffsight.probe import Probe

    backbone = load("pocket", device="cpu")
    probe = Probe(backbone, store=out)
    for path in sorted(source.iterdir()):
        probe.read([load_picture(path)], backbone.card.tasks["semantic"])


def size(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def cost(job: Job, folder: Path, few: int = FEW, many: int = MANY) -> tuple[float, float, float]:
    """CPU seconds of this process, wall seconds and bytes of one more photo."""
    job(1, folder / "warm")  # imports
    found = []
    for count in (few, many):
        out = folder / str(count)
        processor, wall = time.process_time(), time.perf_counter()
        job(count, out)
        found.append((time.process_time() - processor, time.perf_counter() - wall, size(out)))
    processor, wall, held = ((b - a) / (many - few) for a, b in zip(*found, strict=True))
    return processor, wall, held


@dataclass(frozen=True)
class Instant:
    """Makes workers that spend no time on a photo and give back as many bytes as cutting one does."""

    held: int

    def __call__(self) -> Callable[[int], bytes]:
        """The worker."""
        return lambda item: os.urandom(self.held)


def handing_over(held: int, folder: Path) -> float:
    """Wall seconds that the driver takes at least for one more photo: Ray's own, and writing the files."""
    from diffsight.engine import run
    from diffsight.files import save_bytes

    found = []
    for count in INSTANT:
        start = time.perf_counter()
        for item, answer in run(Instant(held), range(count), engine="ray", workers=CORES):
            save_bytes(answer, folder / f"{item}.bin")
        found.append(time.perf_counter() - start)
    return (found[1] - found[0]) / (INSTANT[1] - INSTANT[0])


def span(seconds: float) -> str:
    """A time in words."""
    for unit, length in (("years", 365 * 86400), ("days", 86400), ("hours", 3600)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds / 60:.0f} minutes"


def weight(count: float) -> str:
    """Bytes in words."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= length:
            return f"{count / length:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"


def main() -> None:
    """Measure, and print the tables."""
    import torch

    torch.set_num_threads(1)
    processor = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        "unknown processor",
    )
    print(f"{date.today()}, {processor}, one thread, load average at the start {os.getloadavg()[0]:.1f}\n")
    ray = ("--engine", "ray", "--workers", CORES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        some = photos(folder)
        trees = {n: folder / f"tree{n}" for n in (1, FEW, MANY)}
        for count, tree in trees.items():
            command("world", "make", "spair", "--out", tree, "--count", -(-count // 12))

        def segment(count: int, out: Path, *engine: object) -> None:
            command("segment", some(count), "--out", out, "--device", "cpu", *engine)

        def bench(count: int, out: Path) -> None:
            words = ("--subset", count, "--device", "cpu")
            command("bench", "run", "spair", "--root", trees[count], "--out", out, *words)

        jobs: dict[str, Job] = {
            "segmentation: overlay, labels, masks, of a photo": segment,
            "features for matching, kept, of a photo": lambda count, out: features(some(count), out),
            "benchmark run by features, of a pair": bench,
        }
        print("| what | seconds | bytes | a million | a thousand million |")
        print("|---|---|---|---|---|")
        for number, (title, job) in enumerate(jobs.items()):
            seconds, wall, held = cost(job, folder / str(number))
            spans = [
                f"{span(n * seconds / CORES)} on one machine, {span(n * seconds / CORES / 100)} on 100, "
                f"{weight(n * held)}"
                for n in (1e6, 1e9)
            ]
            print(f"| {title} | {seconds:.3f} | {weight(held)} | {spans[0]} | {spans[1]} |", flush=True)
            if job is segment:
                local, result = wall, round(held)
        start = time.perf_counter()
        segment(FEW, folder / "start", *ray)
        start = time.perf_counter() - start
        _, wall, _ = cost(lambda count, out: segment(count, out, *ray), folder / "ray", *BEYOND_SHEET)
        driver = handing_over(result, folder / "instant")
    print(
        f"\nSegmentation by `--engine ray --workers {CORES}` beside local: {wall:.2f} against {local:.2f} wall seconds "
        f"a photo, and {start:.0f} wall seconds for {FEW} photos with the start. Handing over what took no "
        f"time takes {1e3 * driver:.1f} wall milliseconds a photo. Load average at the end {os.getloadavg()[0]:.1f}."
    )


if __name__ == "__main__":
    main()
