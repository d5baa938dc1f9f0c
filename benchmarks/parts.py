"""Matching, extraction, DiffSeg and capture: each by its literal formulation, and as diffsight does it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from harness import MIB, measure
from work import counted, held, of_diffseg, of_matching


def matching(which: str) -> dict[str, Any]:
    """20 points, 1280 x 48 x 48 maps, a 375 x 500 target: full-resolution nearest neighbours."""
    import torch
    import torch.nn.functional as F

    from diffsight.grid import Fit
    from diffsight.matching import nearest
    from diffsight.types import Capture, Reading, Taps

    torch.set_num_threads(2)
    generator = torch.Generator().manual_seed(0)
    smooth = [torch.randn(1, 1280, 12, 12, generator=generator) for _ in range(2)]
    a, b = (
        F.interpolate(s, (48, 48), mode="bicubic")[0] + 0.3 * torch.randn(1280, 48, 48, generator=generator)
        for s in smooth
    )
    height, width = 375, 500
    pixels = torch.stack(
        [torch.randint(width, (20,), generator=generator), torch.randint(height, (20,), generator=generator)], 1
    )

    def literal() -> torch.Tensor:
        full = [F.interpolate(m[None], (height, width), mode="bilinear", align_corners=False)[0] for m in (a, b)]
        source, target = (F.normalize(m, dim=0, eps=1e-12) for m in full)
        cosines = source[:, pixels[:, 1], pixels[:, 0]].T @ target.flatten(1)
        place = cosines.argmax(dim=1)
        return torch.stack([place % width, place // width], dim=1)

    fit = Fit.make("stretch", (height, width), (768, 768))
    source, target = (Reading(fit, Capture(Taps(("up1",)), (m,))) for m in (a, b))

    def fast() -> torch.Tensor:
        vectors = nearest.describe(source, pixels.numpy() + 0.5)
        goal = nearest.TargetMap.prepare(target.feature())
        return goal.nearest(vectors, fit.pixel_rows((48, 48)), fit.pixel_columns((48, 48)))[0]

    work = literal if which == "literal" else fast
    seconds, peak, places = measure(work, 3 if which == "literal" else 15)
    work_needed = of_matching(len(pixels), 1280, (48, 48), (height, width))
    return {"seconds": seconds, "peak_mib": peak / MIB, "answer": places.tolist(), "work": work_needed}


def extraction(which: str) -> dict[str, Any]:
    """Stable Diffusion 2.1's architecture with random weights, one 768 px photo, 8 noise draws, features of up1."""
    import torch
    from diffusers import DDPMScheduler
    from networks import SCHEDULE, stable_diffusion

    from diffsight.backbones.base import ReadSettings
    from diffsight.probe import Probe, draw_noise
    from diffsight.types import Picture, Taps

    torch.set_num_threads(2)
    settings = ReadSettings(stage="up1", timestep=261, ensemble=8, size=(768, 768))
    backbone = stable_diffusion("2.1", {"semantic": settings})
    unet, vae, context = backbone.unet, backbone.encoder.vae, backbone.context([""])
    picture = Picture(torch.rand(3, 768, 768))
    probe = Probe(backbone)
    digest = probe._job(0, picture, settings, Taps(("up1",))).digest

    @torch.no_grad()
    def literal() -> torch.Tensor:
        # the DIFT repository: the photo repeated 8 times through the VAE; here the UNet runs whole
        kept: list[torch.Tensor] = []
        handle = unet.up_blocks[1].register_forward_hook(lambda _m, _i, out: kept.append(out))
        latents = torch.cat([vae.encode(picture.image[None] * 2 - 1).latent_dist.mean for _ in range(8)]) * 0.18215
        noise = torch.stack([draw_noise(latents.shape[1:], 0, digest, member) for member in range(8)])
        noisy = DDPMScheduler(**SCHEDULE).add_noise(latents, noise, torch.tensor([261]))
        for row in noisy:
            unet(row[None], 261, context)
        handle.remove()
        return torch.cat(kept).mean(dim=0)

    def fast() -> torch.Tensor:
        return probe.read([picture], settings)[0].feature()

    seconds, peak, features = measure(literal if which == "literal" else fast, 1)
    result = {"seconds": seconds, "peak_mib": peak / MIB, "answer": features.flatten()[::97].tolist()}
    if which == "literal":
        return result
    moved = held(unet.down_blocks, unet.mid_block, unet.up_blocks[:2], vae.encoder, picture.image, features)
    return {**result, "work": {"flops": counted(fast), "bytes": moved}}


def _attention_levels() -> list[Any]:
    """Self-attention in the sizes of SD 1.4 at 512 px, peaked as trained networks' is: cells attend to their like."""
    import torch
    import torch.nn.functional as F

    generator = torch.Generator().manual_seed(0)
    scene = F.interpolate(torch.randn(1, 12, 6, 6, generator=generator), (64, 64), mode="bicubic")
    levels = []
    for side in (64, 32, 16, 8):
        cells = F.adaptive_avg_pool2d(scene, side)[0].flatten(1).T
        cells = cells + 0.1 * torch.randn(cells.shape, generator=generator)
        levels.append((cells @ cells.T).softmax(dim=1))
    return levels


def segmentation(which: str) -> dict[str, Any]:
    """DiffSeg from attention maps to labels at 512 x 512: maps of 64, 32, 16 and 8 cells a side, 256 anchors."""
    import torch
    import torch.nn.functional as F

    from diffsight.grid import Fit
    from diffsight.segmentation.aggregate import Aggregate, Level, level_weights
    from diffsight.segmentation.diffseg import DiffSegSettings, Merging, anchor_cells
    from diffsight.segmentation.labels import label_pixels

    torch.set_num_threads(2)
    levels, sides = _attention_levels(), (64, 32, 16, 8)
    grids = [(side, side) for side in sides]
    weights = level_weights(grids, [5, 5, 5, 1])
    settings = DiffSegSettings()

    def literal() -> torch.Tensor:
        maps = torch.zeros(64, 64, 64, 64)
        for attention, side, weight in zip(levels, sides, weights, strict=True):
            keys = F.interpolate(attention.reshape(side**2, 1, side, side), (64, 64), mode="bilinear")
            keys = (keys / keys.sum(dim=(2, 3), keepdim=True)).reshape(side, side, 64, 64)
            maps += weight * keys.repeat_interleave(64 // side, 0).repeat_interleave(64 // side, 1)
        maps = maps.reshape(4096, 4096)

        def distance(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
            forward, backward = (p * (p / q).log()).sum(dim=1), (q * (q / p).log()).sum(dim=1)
            return 0.5 * (forward + backward)

        first, *others = settings.thresholds
        proposals = torch.stack(
            [maps[distance(maps[a], maps) < first].mean(dim=0) for a in anchor_cells((64, 64), 16).tolist()]
        )
        for threshold in others:
            taken, merged = torch.zeros(len(proposals), dtype=torch.bool), []
            for i, own in enumerate(proposals):
                if not taken[i]:
                    like = distance(own, proposals) < threshold
                    like[i] = True
                    taken |= like
                    merged.append(proposals[like].mean(dim=0))
            proposals = torch.stack(merged)
        full = F.interpolate(proposals.reshape(1, -1, 64, 64), (512, 512), mode="bilinear")[0]
        return full.argmax(dim=0)

    fit = Fit.make("stretch", (512, 512), (512, 512))

    def fast() -> torch.Tensor:
        maps = Aggregate([Level(a, grid) for a, grid in zip(levels, grids, strict=True)], weights)
        proposals = Merging(maps, settings.anchors).proposals(settings)
        return torch.from_numpy(label_pixels(proposals.numpy(), maps.grid, fit).labels.astype("int64"))

    seconds, peak, labels = measure(literal if which == "literal" else fast, 1 if which == "literal" else 7)
    _, compact = torch.unique(labels, return_inverse=True)
    result = {"seconds": seconds, "peak_mib": peak / MIB, "answer": compact.flatten().tolist()}
    if which == "literal":
        return result

    maps = Aggregate([Level(a, grid) for a, grid in zip(levels, grids, strict=True)], weights)
    maps.whole()
    merging = Merging(maps, settings.anchors)
    left, right = torch.randn(256, 8192), torch.randn(8192, 4096)
    product = measure(lambda: left @ right, 7)[0]
    notes = {
        "segments": int(compact.max()) + 1,
        "distances of iteration 0, seconds": measure(lambda: Merging(maps, settings.anchors), 7)[0],
        "matrix product of the same size, seconds": product,
        "another threshold, seconds": measure(lambda: _recut(merging, settings, maps, fit), 7)[0],
    }
    work = of_diffseg(list(sides), settings.anchors**2, 512 * 512)
    return {**result, "notes": notes, "work": work}


def _recut(merging: Any, settings: Any, maps: Any, fit: Any) -> Any:
    from diffsight.segmentation.labels import label_pixels

    moved = replace(settings, thresholds=(0.9, 0.9, 0.9))
    return label_pixels(merging.proposals(moved).numpy(), maps.grid, fit)


def capture(which: str) -> dict[str, Any]:
    """One UNet pass of Stable Diffusion 1.4's architecture at 512 px, alone and with all self-attention captured."""
    import torch
    from networks import stable_diffusion

    from diffsight.backbones.capture import run_tapped
    from diffsight.types import Taps

    torch.set_num_threads(2)
    backbone = stable_diffusion("1.4")
    unet, table = backbone.unet, backbone.taps
    latent, context = torch.randn(1, 4, 64, 64), torch.randn(1, 77, 768)
    outputs: list[torch.Tensor] = []

    def forward() -> None:
        outputs[:] = [unet(latent, 300, context).sample]

    taps = Taps(self_attention=table.attention_groups())

    def captured() -> Any:
        return run_tapped(unet, table, taps, forward, stop=False)

    forward()
    seconds, peak, found = measure(forward if which == "literal" else captured, 3)
    result = {"seconds": seconds, "peak_mib": peak / MIB, "answer": outputs[0].flatten()[::7].tolist()}
    if which == "literal":
        return result
    work = {"flops": counted(captured), "bytes": held(unet, latent, context, *found.maps)}
    return {**result, "notes": {"maps held, MiB": held(*found.maps) / MIB}, "work": work}
