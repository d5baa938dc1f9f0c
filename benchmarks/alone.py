"""What has no literal side: loading, single passes, whole commands, and memory over a long folder."""

from __future__ import annotations

import gc
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import MIB, measure, resident


def loading() -> dict[str, float]:
    """Loading Stable Diffusion 1.4's parts (random weights) from a folder, and the first reading after it."""
    import torch
    from networks import save_stable_diffusion

    from diffsight.backbones.registry import load
    from diffsight.probe import Probe
    from diffsight.types import Picture

    torch.set_num_threads(2)
    with tempfile.TemporaryDirectory() as name:
        save_stable_diffusion(Path(name))  # imports the libraries, too
        gc.collect()
        seconds, peak, found = measure(lambda: load(name, device="cpu", dtype="float32"), 1)
        weights = sum(p.numel() * 4 for network in (found.unet, found.encoder.vae) for p in network.parameters()) / MIB
        settings = replace(found.card.tasks["semantic"], ensemble=1)
        start = time.perf_counter()
        Probe(found).read([Picture(torch.rand(3, 512, 512))], settings)
        return {
            "seconds to load": seconds,
            "weights of UNet and encoder, MiB": weights,
            "memory added by loading / weights": peak / MIB / weights,
            "seconds to the first reading, one draw at 512 px": time.perf_counter() - start,
        }


PASSES = ("pocket", "sd-1.4", "sd-2.1", "adm-256", "dinov2-b", "dino-b8", "vgg-19", "openclip-h14", "sdxl")


def one_pass(name: str) -> dict[str, Any]:
    """Seconds and added memory of reading one photo at the semantic settings, one draw, random weights."""
    import torch
    from networks import random_network

    from diffsight.probe import Probe
    from diffsight.types import Picture

    torch.set_num_threads(min(2, torch.get_num_threads()))  # OMP_NUM_THREADS=1 is kept
    backbone = random_network(name)
    settings = replace(backbone.card.tasks["semantic"], ensemble=1)
    probe = Probe(backbone)
    _ = backbone.fingerprint  # hashed once in a model's life
    seconds, peak, _ = measure(lambda: probe.read([Picture(torch.rand(3, 512, 512))], settings), 1)
    return {"seconds": seconds, "peak_mib": peak / MIB}


def start_up() -> dict[str, float]:
    """Wall seconds of whole commands, the median of 7; the last one ends with its pictures written."""
    from PIL import Image

    from diffsight.world import make_scene

    with tempfile.TemporaryDirectory() as name:
        photos = [str(Path(name, f"{seed}.png")) for seed in (1, 2)]
        for seed, path in enumerate(photos, start=1):
            Image.fromarray(make_scene(seed, 128, count=2).image).resize((640, 480)).save(path)
        match = ["match", *photos, "--out", str(Path(name, "out"))]
        commands = {
            "import diffsight": "import diffsight",
            "diffsight --help": "from diffsight.cli import run; run(['--help'])",
            "diffsight match A B, pocket": f"from diffsight.cli import run; run({match})",
        }
        return {name: whole_process(code) for name, code in commands.items()}


def whole_process(code: str, runs: int = 7) -> float:
    """Median wall seconds of Python running some code, from its start to its end."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return sorted(seconds)[runs // 2]


def steady(photos: int = 200) -> dict[str, float]:
    """Resident MiB of ``diffsight segment FOLDER`` after a quarter of the photos, after all, and at most between."""
    from PIL import Image

    from diffsight.world import make_scene

    with tempfile.TemporaryDirectory() as name:
        folder, out = Path(name, "in"), Path(name, "out")
        folder.mkdir()
        for seed in range(photos):
            Image.fromarray(make_scene(seed, 128, count=2).image).save(folder / f"{seed:03d}.png")
        code = f"from diffsight.cli import run; run(['segment', {str(folder)!r}, '--out', {str(out)!r}])"
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        levels: list[tuple[int, int]] = []
        while child.poll() is None:
            levels.append((len(list(out.glob("*.json"))), resident(str(child.pid))))
            time.sleep(0.05)
    later = [size / MIB for done, size in levels if done >= photos // 4 and size]
    return {"after a quarter": later[0], "at most after that": max(later), "at the end": later[-1]}
