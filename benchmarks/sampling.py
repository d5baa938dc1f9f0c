"""Descriptors of keypoints from an ensemble, against holding all of its maps."""

from __future__ import annotations

from typing import Any

from harness import MIB, measure
from work import counted, held

SIDE, DRAWS, POINTS = 256, 8, 1000


def sampling(which: str) -> dict[str, Any]:
    """1,000 points described from 8 noise draws: pocket, one 256 px photo, maps of 128 x 128 x 128."""
    from dataclasses import replace

    import torch
    import torch.nn.functional as F

    from diffsight.backbones.registry import load
    from diffsight.grid import Fit
    from diffsight.images import network_input
    from diffsight.matching.sparse import describe_keypoints
    from diffsight.probe import Probe, draw_noise
    from diffsight.types import Picture, Taps

    torch.set_num_threads(2)
    torch.manual_seed(0)
    backbone = load("pocket", device="cpu", dtype="float32")
    settings = replace(backbone.card.tasks["geometric"], ensemble=DRAWS, noise=True, size=(SIDE, SIDE))
    picture, points = Picture(torch.rand(3, SIDE, SIDE)), torch.rand(POINTS, 2, dtype=torch.float64) * SIDE
    probe, taps = Probe(backbone), Taps((settings.stage,))
    digest = probe._job(0, picture, settings, taps).digest
    pixels = network_input(picture, Fit.make("stretch", picture.size, settings.size))

    @torch.no_grad()
    def literal() -> torch.Tensor:
        # as the DIFT repository does it: all draws in one pass, the mean over the maps held, then its values at points
        latent = backbone.encode(pixels[None].expand(DRAWS, -1, -1, -1)).mean
        noise = torch.stack([draw_noise(latent.shape[1:], settings.seed, digest, member) for member in range(DRAWS)])
        noisy = backbone.add_noise(latent, noise, settings.timestep)
        context = backbone.context([""]).expand(DRAWS, -1, -1)
        features = backbone.read(noisy, settings.timestep, context, taps).maps[0].mean(dim=0)
        at = (points / SIDE * 2 - 1).to(features)[None, :, None]
        return F.grid_sample(features[None], at, padding_mode="border", align_corners=False)[0, :, :, 0].T

    def fast() -> torch.Tensor:
        return describe_keypoints(probe.read([picture], settings)[0], points.numpy())

    seconds, peak, found = measure(literal if which == "literal" else fast, 1)
    maps = DRAWS * found.shape[1] * (SIDE // 2) ** 2 * 4 / MIB
    result = {"seconds": seconds, "peak_mib": peak / MIB, "answer": found.flatten()[::97].tolist()}
    if which == "literal":
        return result
    work = {"flops": counted(fast), "bytes": held(backbone.unet, picture.image, found)}
    return {**result, "notes": {"all maps of the ensemble, MiB": maps}, "work": work}
