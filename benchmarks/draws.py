"""How many passes a match is worth: accuracy by the number of noise draws, and by how they are drawn.

``python benchmarks/draws.py`` prints PCK@0.1 per point on pairs of the world's tuning seeds, 95 % by the bootstrap
beside it, as markdown. Draws are ``independent`` (as the package draws them: each photo has its own), ``antithetic``
(each second one is the negative of the one before), or ``shared`` (one for all photos); ``clean`` reads the latent
as it is, at the same timestep, in one pass.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import torch

from diffsight.backbones.base import Backbone, ReadSettings
from diffsight.backbones.registry import load, task_settings
from diffsight.benchmarks.metrics import pck
from diffsight.benchmarks.metrics.points import PairErrors, Pool
from diffsight.benchmarks.pairs import match_errors, world_pairs
from diffsight.grid import Fit
from diffsight.images import network_input
from diffsight.probe import draw_noise
from diffsight.types import Capture, Picture, Reading, Taps
from diffsight.world import TUNING

KINDS = ("independent", "antithetic", "shared")


def noises(kind: str, shape: torch.Size, photo: str, draws: int) -> torch.Tensor:
    """(draws, c, h, w) standard normal noise for a photo."""
    if kind == "antithetic":
        return torch.stack([(-1) ** i * draw_noise(shape, 0, photo, i // 2) for i in range(draws)])
    return torch.stack([draw_noise(shape, 0, photo if kind == "independent" else "", i) for i in range(draws)])


@torch.no_grad()
def readings(
    backbone: Backbone, settings: ReadSettings, picture: Picture, name: str, sizes: list[int]
) -> Iterator[Reading]:
    """The clean reading, then each kind's mean over each number of draws."""
    fit = Fit.make(settings.fit, picture.size, settings.size)
    taps, context = Taps((settings.stage,)), backbone.context([settings.prompt])
    latent = backbone.encode(network_input(picture, fit)[None]).mean

    def read(rows: torch.Tensor) -> torch.Tensor:
        return backbone.read(rows, settings.timestep, context.expand(len(rows), -1, -1), taps).maps[0].float()

    yield Reading(fit, Capture(taps, (read(latent)[0],)))
    for kind in KINDS:
        noise = noises(kind, latent.shape[1:], name, max(sizes))
        maps = read(backbone.add_noise(latent, noise.to(latent), settings.timestep))
        for size in sizes:
            yield Reading(fit, Capture(taps, (maps[:size].mean(dim=0),)))


def main() -> None:
    """Score every way of drawing on the same pairs."""
    from tqdm import tqdm

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--pairs", type=int, default=10, help="of each category")
    parser.add_argument("--timestep", type=int, action="append", help="repeat for more; the model's own if left out")
    parser.add_argument("--draws", type=int, default=8, help="the most; powers of two up to it are scored")
    options = parser.parse_args()
    backbone = load(options.model, dtype="float32")
    own = task_settings(backbone.card, "semantic")
    sizes = [2**i for i in range(options.draws.bit_length())]
    ways = ["clean", *(f"{kind}, {size}" for kind in KINDS for size in sizes)]
    print("| timestep | draws |", " | ".join(KINDS), "| clean |")
    print("|---" * (3 + len(KINDS)) + "|")
    for timestep in options.timestep or [own.timestep]:
        settings = ReadSettings(own.stage, timestep, 1, own.size, fit=own.fit)
        errors: dict[str, list[PairErrors]] = {way: [] for way in ways}
        for number, pair in enumerate(tqdm(world_pairs(options.pairs, TUNING), unit="pair", leave=False)):
            source, target = (
                readings(backbone, settings, photo, f"{number} {side}", sizes)
                for side, photo in enumerate((pair.source, pair.target))
            )
            for way, a, b in zip(ways, source, target, strict=True):
                errors[way].append(match_errors(pair, a, b))
        for size in sizes:
            cells = [_cell(errors[f"{kind}, {size}"]) for kind in KINDS]
            clean = _cell(errors["clean"]) if size == 1 else ""
            print(f"| {timestep} | {size} | {' | '.join(cells)} | {clean} |")


def _cell(errors: list[PairErrors]) -> str:
    low, high = Pool.of(errors).interval(0.1)
    return f"{pck(errors, 0.1).per_point:.1f} ({low:.1f} to {high:.1f})"


if __name__ == "__main__":
    main()
