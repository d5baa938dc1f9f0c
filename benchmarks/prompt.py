"""Prompt matching against the loop of the released code, at Stable Diffusion 1.4's size and on pocket."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from harness import MIB, Peak, measure, resident
from work import counted, held

ROUNDS, STEPS, CROPS, POOL = 5, 129, 20, 36
"""Of the paper; and how many crops of a photo are encoded at most."""


def _seconds(work: Callable[[], Any]) -> float:
    """Wall seconds of the second call; the first one warms up."""
    work()
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


class _Keeper:
    """Attention as the released code computes it, keeping the probabilities of all heads."""

    def __init__(self, kept: list[Any]) -> None:
        self.kept = kept

    def __call__(self, attn: Any, hidden_states: Any, encoder_hidden_states: Any = None, **_: Any) -> Any:
        query, key, value = (
            attn.head_to_batch_dim(projected)
            for projected in (
                attn.to_q(hidden_states),
                attn.to_k(encoder_hidden_states),
                attn.to_v(encoder_hidden_states),
            )
        )
        probabilities = attn.get_attention_scores(query, key)
        self.kept.append(probabilities)
        return attn.to_out[0](attn.batch_to_head_dim(probabilities @ value))


def prompting(which: str) -> dict[str, Any]:
    """Prompt matching at SD 1.4's architecture (random weights), one point: 5 x 129 steps and 5 x 20 crops read."""
    import torch
    import torch.nn.functional as F
    from networks import stable_diffusion

    from diffsight.matching.prompt import PRESETS, map_sides
    from diffsight.matching.prompt.frame import Frame, attention, seeded
    from diffsight.matching.prompt.loss import gaussian_target, map_loss
    from diffsight.matching.prompt.settings import default_layers
    from diffsight.types import Picture

    torch.set_num_threads(2)
    backbone = stable_diffusion("1.4")
    settings = PRESETS["default"]
    timestep = settings.fit_timestep
    layers = default_layers(backbone.taps)
    frame = Frame(backbone, Picture(torch.rand(3, 512, 512, generator=torch.Generator().manual_seed(0))), settings)
    start, point = (7, 14), torch.tensor([[200.0, 300.0]])
    vectors = torch.randn(1, 77, 768, generator=torch.Generator().manual_seed(1)).requires_grad_()
    seed = ("noise", 0)

    def literal_maps() -> list[Any]:
        kept: list[Any] = []
        places = [f"up_blocks.1.attentions.{i}" for i in range(3)] + ["up_blocks.2.attentions.0"]
        modules: list[Any] = [backbone.unet.get_submodule(f"{p}.transformer_blocks.0.attn2") for p in places]
        before = [module.processor for module in modules]
        for module in modules:
            module.set_processor(_Keeper(kept))
        x, y = start
        window = frame.pixels[None, :, y : y + frame.crop, x : x + frame.crop]
        latent = backbone.encode(F.interpolate(window, (512, 512), mode="bilinear", align_corners=False)).mean
        noise = torch.randn(latent.shape[1:], generator=seeded(settings.seed, frame.digest, *seed))
        backbone.unet(backbone.add_noise(latent, noise[None], timestep), timestep, vectors)
        for module, processor in zip(modules, before, strict=True):
            module.set_processor(processor)
        return [
            F.interpolate(
                probabilities[None, :, :, settings.token].unflatten(2, (int(probabilities.shape[1] ** 0.5),) * 2),
                (512, 512),
                mode="bilinear",
                align_corners=False,
            ).mean(dim=1)
            for probabilities in kept
        ]

    def literal() -> Any:
        vectors.grad = None
        centres = torch.arange(512) + 0.5
        x, y = ((point[0] - torch.tensor(start)) * 512 / frame.crop)[:, None]
        sigma = settings.sigma * 512
        wanted = torch.exp(-(((centres - x) ** 2)[None] + ((centres - y) ** 2)[:, None]) / (2 * sigma**2))
        torch.stack([(own - wanted).square().mean() for own in literal_maps()]).mean().backward()
        return vectors.grad

    def batch(rows: int, own: Frame = frame) -> Any:
        vectors.grad = None
        stacked = vectors.expand(rows, -1, -1)
        maps = attention(own, [start] * rows, timestep, stacked, layers, [seed, *((i,) for i in range(1, rows))])
        relative = (point - torch.tensor(start)) * (512 / frame.crop)
        target = gaussian_target(relative, 512, settings.sigma * 512, set(map_sides(backbone, settings)))
        map_loss(maps, target, 512)[:1].sum().backward()
        return vectors.grad

    def read(rows: int) -> None:
        with torch.no_grad():
            attention(frame, [start] * rows, 140, vectors.detach().expand(rows, -1, -1), layers, [seed] * rows)

    def encode() -> None:
        frame.latents.clear()
        frame.latent(start)

    if which == "literal":
        backbone.unet.to(memory_format=torch.contiguous_format)  # as it comes
        with Peak() as memory:
            step = _seconds(literal)
        with torch.no_grad():
            reading = _seconds(literal_maps)
        seconds = ROUNDS * (STEPS * step + CROPS * reading)
        answer = literal().flatten()
        return {
            "seconds": seconds,
            "peak_mib": memory.added / MIB,
            "answer": (answer / answer.norm()).tolist(),
            "step": step,
        }
    encoding = _seconds(encode)
    with Peak() as memory:
        step = _seconds(lambda: batch(4)) / 4
    whole = resident() + memory.added
    reading = _seconds(lambda: read(4)) / 4
    exact = ROUNDS * (STEPS * step + CROPS * reading)
    answer = batch(4).flatten()
    frozen_frame = Frame(backbone, Picture(torch.rand(3, 512, 512)), replace(settings, mode="frozen_queries"))
    first = time.perf_counter()
    batch(5, frozen_frame)
    query = time.perf_counter() - first
    frozen = _seconds(lambda: batch(5, frozen_frame)) / 5
    cheap = ROUNDS * (STEPS + CROPS) * frozen
    arithmetic = ROUNDS * (STEPS * counted(lambda: batch(1)) + CROPS * counted(lambda: read(1)))
    arithmetic += 2 * POOL * counted(encode)
    return {
        "seconds": exact + 2 * POOL * encoding,
        "peak_mib": memory.added / MIB,
        "answer": (answer / answer.norm()).tolist(),
        "work": {"flops": arithmetic, "bytes": held(backbone.unet, backbone.encoder.vae.encoder, vectors)},
        "notes": {
            "a step of a row, seconds": step,
            "a crop encoded, seconds": encoding,
            "a crop read by a row, seconds": reading,
            "resident with weights, 4 rows, MiB": whole / MIB,
            "frozen queries: a step of a row, seconds": frozen,
            "frozen queries: queries of a crop, with its encoding, seconds": query,
            "exact / frozen, once a photo's crops are read": exact / cheap,
            "exact / frozen, everything, 1 point": (exact + 2 * POOL * encoding) / (cheap + 2 * POOL * query),
            "exact / frozen, everything, 20 points": (20 * exact + 2 * POOL * encoding)
            / (20 * cheap + 2 * POOL * query),
        },
    }


def prompt_rows(which: str) -> dict[str, Any]:
    """Prompt matching on pocket, 8 points x 5 rounds: 3 steps of 40 rows one by one, and in one batch."""
    import torch

    from diffsight.backbones.registry import load
    from diffsight.matching.prompt import optimise, settings_for
    from diffsight.probe import MEMORY
    from diffsight.types import Picture
    from diffsight.world import make_scene

    torch.set_num_threads(2)
    backbone = load("pocket", device="cpu", dtype="float32")
    picture = Picture(torch.from_numpy(make_scene(3, 128).image).permute(2, 0, 1).contiguous())
    points = [(20.0 + 12 * i, 100.0 - 9 * i) for i in range(8)]
    settings = settings_for(backbone.card, steps=3)

    def work() -> Any:
        *_, learnt = optimise(backbone, picture, points, settings, memory=1 if which == "literal" else 4 * MEMORY)
        return learnt.vectors

    seconds, peak, vectors = measure(work, 3)
    result = {"seconds": seconds, "peak_mib": peak / MIB, "answer": vectors.flatten()[::101].tolist()}
    if which == "literal":
        return result
    return {**result, "work": {"flops": counted(work), "bytes": held(backbone.unet, picture.image, vectors)}}
