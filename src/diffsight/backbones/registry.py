"""The models that diffsight knows by name, and how each is read for a task."""

from __future__ import annotations

import json
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from ..device import pick_device, pick_dtype
from ..errors import InvalidInput, ModelUnavailable
from .base import Backbone, Card, ReadSettings, Task
from .latent import load_latent
from .weights import NETWORKS, Network, Weights, checkpoint, network_of, resolve, search


def _sd_tasks(side: int) -> dict[Task, ReadSettings]:
    """The settings of the DIFT and DiffSeg papers (arXiv 2306.03881, 2308.12469); ``side`` is for matching."""
    return {
        "semantic": ReadSettings(stage="up1", timestep=261, ensemble=8, size=(side, side)),
        "geometric": ReadSettings(stage="up2", timestep=0, ensemble=8, size=(side, side)),
        "temporal": ReadSettings(stage="up2", timestep=51, ensemble=8, size=(480, 832)),
        "segmentation": ReadSettings(stage="down2.a1.self", timestep=300, ensemble=1, size=(512, 512), noise=False),
    }


def _clean_tasks(side: int) -> dict[Task, ReadSettings]:
    """The settings of CleanDIFT (arXiv 2412.03439): one pass on the clean latent, whose timestep stays at 261."""
    return {
        task: replace(settings, timestep=261, ensemble=1, noise=False) for task, settings in _sd_tasks(side).items()
    }


POCKET_TASKS: dict[Task, ReadSettings] = {
    "semantic": ReadSettings(stage="up1.a0", timestep=20, ensemble=2, size=(96, 96)),
    "geometric": ReadSettings(stage="up1", timestep=5, ensemble=4, size=(128, 128)),
    "temporal": ReadSettings(stage="up1", timestep=20, ensemble=4, size=(64, 64)),
    "segmentation": ReadSettings(stage="up1.a0", timestep=20, ensemble=1, size=(96, 96), noise=False),
}

POCKET_MERGE_THRESHOLD = 0.2

POCKET_PROMPT = {"fit_timestep": 20, "read_timestep": 20}

CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        Card(
            name="pocket",
            about="small pixel-space model, ships with the package; for trying things out and for tests",
            licence="Apache-2.0",
            parameters=16.6,
            source="bundled",
            tasks=POCKET_TASKS,
            merge_threshold=POCKET_MERGE_THRESHOLD,
            prompt=POCKET_PROMPT,
        ),
        Card(
            name="sd-2.1",
            about="Stable Diffusion 2.1, 768 px; what the DIFT paper uses",
            licence="CreativeML Open RAIL++-M",
            parameters=1240,
            source="stabilityai/stable-diffusion-2-1",
            tasks=_sd_tasks(768),
        ),
        Card(
            name="sd-2.1-base",
            about="Stable Diffusion 2.1 base, 512 px",
            licence="CreativeML Open RAIL++-M",
            parameters=1240,
            source="stabilityai/stable-diffusion-2-1-base",
            tasks=_sd_tasks(512),
        ),
        Card(
            name="sd-1.5",
            about="Stable Diffusion 1.5, 512 px",
            licence="CreativeML Open RAIL-M",
            parameters=1017,
            source="stable-diffusion-v1-5/stable-diffusion-v1-5",
            tasks=_sd_tasks(512),
        ),
        Card(
            name="sd-1.4",
            about="Stable Diffusion 1.4, 512 px; what prompt matching and DiffSeg use",
            licence="CreativeML Open RAIL-M",
            parameters=1017,
            source="CompVis/stable-diffusion-v1-4",
            tasks=_sd_tasks(512),
        ),
        Card(
            name="cleandift-sd-2.1",
            about="CleanDIFT's UNet in Stable Diffusion 2.1, 768 px, one pass without noise; prompt: A photo of a ...",
            licence="MIT (UNet), CreativeML Open RAIL++-M",
            parameters=1240,
            source="CompVis/cleandift",
            tasks=_clean_tasks(768),
        ),
        Card(
            name="cleandift-sd-1.5",
            about="CleanDIFT's UNet in Stable Diffusion 1.5, 512 px, one pass without noise; prompt: A photo of a ...",
            licence="MIT (UNet), CreativeML Open RAIL-M",
            parameters=1017,
            source="CompVis/cleandift",
            tasks=_clean_tasks(512),
        ),
    )
}


def is_here(card: Card) -> bool:
    """Whether a model can be loaded without the network."""
    try:
        return search(NETWORKS[card.name]).found is not None
    except ModelUnavailable:  # a variable names something that will not do; loading says what
        return False


def task_settings(card: Card, task: str) -> ReadSettings:
    """A model's default settings for a task.

    Raises:
        InvalidInput: for an unknown task.
    """
    if task not in get_args(Task):
        raise InvalidInput(f"unknown task {task!r}; choose one of {', '.join(get_args(Task))}")
    return card.tasks[task]  # type: ignore[index]


def load(
    model: str | Path = "pocket",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Backbone:
    """Load a frozen network.

    Args:
        model: a name that ``diffsight models`` lists; a folder in the layout of a Stable Diffusion repository; a single
            file (a checkpoint in the original layout, or a UNet alone); or a hub id, ``owner/name`` or
            ``owner/name@revision``.
        weights: a folder, file or hub id whose weights a model known by name gets instead of its own.
        device: a torch device; the best one at hand if left out.
        dtype: float32, float16 or bfloat16; what suits the device if left out.

    Raises:
        InvalidInput: for an unknown name, device or dtype.
        ModelUnavailable: if the weights cannot be had, with what was tried and the ways out.
    """
    name = str(model)
    where = pick_device(device)
    number_format = pick_dtype(where, dtype)
    half = number_format.itemsize == 2
    if name in CARDS:
        card = CARDS[name]
        found = resolve(NETWORKS[name], weights, half=half)
    elif weights is not None:
        raise InvalidInput(f"weights go with a model known by name ({', '.join(CARDS)}), not with {name!r}")
    else:
        found = _named(name, half)
        card = _own_card(found, name)
    return load_latent(found, card, where, number_format)


def _named(name: str, half: bool) -> Weights:
    """The weights of a folder, a file or a hub id."""
    if Path(name).exists():
        return resolve(Network(name, None, ()), name, half=half)
    network = network_of(name)
    if network is None:
        close = get_close_matches(name, CARDS, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise InvalidInput(
            f"unknown model {name!r}{hint} Known: {', '.join(CARDS)}; or give a folder, a file or a hub id (owner/name)"
        )
    return resolve(network, half=half)


def _own_card(weights: Weights, name: str) -> Card:
    """A card for weights that the registry does not know, from their configuration."""
    is_pocket = (weights.path / "pixels").is_dir()
    card = Card(name, "weights of your own", "see their source", float("nan"), str(weights.path), POCKET_TASKS)
    if is_pocket:
        return replace(card, merge_threshold=POCKET_MERGE_THRESHOLD, prompt=POCKET_PROMPT)
    return replace(card, tasks=_sd_tasks(8 * _sample_size(weights.path)))


def _sample_size(path: Path) -> int:
    """Side of the latent that a UNet was trained on."""
    if path.is_file():
        return checkpoint.sample_size(path)
    try:
        return int(json.loads((path / "unet" / "config.json").read_text())["sample_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            f"{path} is not a model folder ({' '.join(str(error).split())[:160]}); it must hold unet/config.json, "
            "scheduler/, text_encoder/, tokenizer/ and vae/ as a Stable Diffusion repository does"
        ) from None
