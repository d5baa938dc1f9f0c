"""Draw what ``diffsight bench transfer --json FILE`` wrote: ``python benchmarks/confidence_plots.py FILE [FOLDER]``."""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main(source: Path, folder: Path) -> None:
    """Risk against coverage of plain matches and of the best, and the reliability of the best one's confidence."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    rows = json.loads(source.read_text())["rows"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    for label in ("nearest neighbours", "best"):
        coverage, risk = ([100 * value for value in rows[label][key]] for key in ("coverage", "risk"))
        left.plot(coverage, risk, label=label)
    left.axvline(30, color="grey", linewidth=0.8, linestyle=":")
    left.set(
        xlabel="points kept, the surest first, %", ylabel="wrong ones among them, %", xlim=(0, 100), ylim=(0, None)
    )
    left.legend(frameon=False)
    means, rates, counts = zip(*rows["best"]["reliability"], strict=True)
    right.plot([0, 1], [0, 1], color="grey", linewidth=0.8, linestyle=":")
    right.bar(means, rates, width=0.07, alpha=0.5)
    right.plot(means, rates, "o", markersize=4)
    for x, y, count in zip(means, rates, counts, strict=True):
        right.annotate(f"{count:.0f}", (x, y), (0, 4), textcoords="offset points", ha="center", fontsize=7)
    right.set(xlabel="confidence", ylabel="share of right points", xlim=(0, 1), ylim=(0, 1))
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "transfer_confidence.png", dpi=110)
    print(folder / "transfer_confidence.png")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(*sys.argv[2:] or ["docs/images"]))
