"""The whole table on procedural trees: make every benchmark's layout, run, score and report. `make bench-world`."""

from __future__ import annotations

import sys
from pathlib import Path

from diffsight.cli import run
from diffsight.datasets import BENCHMARKS

COUNTS = {"points": 5, "planes": 10, "masks": 8, "joints": 8, "segments": 40}
"""Samples, about: of each category of pairs, sequences of planes, clips, photos."""

NETWORK = [["--model", "pocket"], ["--model", "pocket", "--untrained"]]
PIXELS = [["--model", "raw"], ["--method", "stay"]]
SYSTEMS = {
    "points": [*NETWORK, ["--model", "pocket", "--method", "mls"], *PIXELS],
    "planes": [*NETWORK, *PIXELS],
    "masks": [*NETWORK, *PIXELS],
    "joints": [*NETWORK, *PIXELS],
    "segments": [*NETWORK, ["--model", "pocket", "--method", "ncut"], ["--model", "pocket", "--method", "kmeans"]],
}


def do(*command: str) -> None:
    """Run a command of the package; stop where it fails."""
    print("diffsight", *command, flush=True)
    if code := run(list(command)):
        sys.exit(code)


def main(folder: Path) -> None:
    """Make the table in a folder; what is there already is kept."""
    scored = []
    for name, benchmark in BENCHMARKS.items():
        root = folder / "data" / name
        if not root.exists():
            do("world", "make", name, "--out", str(root), "--count", str(COUNTS[benchmark.kind]))
        for system in SYSTEMS[benchmark.kind]:
            words = [word.strip("-") for word in system if word not in ("--model", "--method")]
            out = folder / "runs" / name / "-".join(words)
            do("bench", "run", name, "--root", str(root), "--out", str(out), "--dtype", "float32", *system)
            do("bench", "score", str(out))
            scored.append(str(out))
    do("report", *scored, "--out", str(folder / "report"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "bench-world"))
