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
from .weights import BUNDLED, HUB_ID, from_hub, is_cached


def _sd_tasks(side: int) -> dict[Task, ReadSettings]:
    """The settings of the DIFT and DiffSeg papers (arXiv 2306.03881, 2308.12469); ``side`` is for matching."""
    return {
        "semantic": ReadSettings(stage="up1", timestep=261, ensemble=8, size=(side, side)),
        "geometric": ReadSettings(stage="up2", timestep=0, ensemble=8, size=(side, side)),
        "temporal": ReadSettings(stage="up2", timestep=51, ensemble=8, size=(480, 832)),
        "segmentation": ReadSettings(stage="down2.a1.self", timestep=300, ensemble=1, size=(512, 512), noise=False),
    }


POCKET_TASKS: dict[Task, ReadSettings] = {
    "semantic": ReadSettings(stage="up1.a0", timestep=20, ensemble=2, size=(96, 96)),
    "geometric": ReadSettings(stage="up1", timestep=5, ensemble=4, size=(128, 128)),
    "temporal": ReadSettings(stage="up1", timestep=20, ensemble=4, size=(64, 64)),
    "segmentation": ReadSettings(stage="up1.a0", timestep=20, ensemble=1, size=(96, 96), noise=False),
}

POCKET_MERGE_THRESHOLD = 0.2

POCKET_PROMPT = {"fit_timestep": 20, "read_timestep": 20, "steps": 40, "rate": 0.02, "crops": 8}

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
    )
}


def is_here(card: Card) -> bool:
    """Whether a model can be loaded without the network."""
    return (BUNDLED / card.name / "unet").is_dir() if card.source == "bundled" else is_cached(card.source)


def task_settings(card: Card, task: str) -> ReadSettings:
    """A model's default settings for a task.

    Raises:
        InvalidInput: for an unknown task.
    """
    if task not in get_args(Task):
        raise InvalidInput(f"unknown task {task!r}; choose one of {', '.join(get_args(Task))}")
    if task not in card.tasks:
        raise InvalidInput(f"{card.name} has no settings for the task {task!r}; it has {', '.join(card.tasks)}")
    return card.tasks[task]  # type: ignore[index]


def load(model: str | Path = "pocket", *, device: str | None = None, dtype: str | None = None) -> Backbone:
    """Load a frozen network.

    Args:
        model: a name that ``diffsight models`` lists; a folder in the layout of a Stable Diffusion repository; or a hub
            id, ``owner/name`` or ``owner/name@revision``.
        device: a torch device; the best one at hand if left out.
        dtype: float32, float16 or bfloat16; what suits the device if left out.

    Raises:
        InvalidInput: for an unknown name, device or dtype.
        ModelUnavailable: if the weights cannot be had, with what was tried and the ways out.
    """
    from .latent import load_latent

    name = str(model)
    where = pick_device(device)
    number_format = pick_dtype(where, dtype)
    if name in CARDS:
        card = CARDS[name]
        folder = BUNDLED / name if card.source == "bundled" else from_hub(card.source, name)
    elif Path(name).is_dir():
        folder = Path(name)
        card = _folder_card(folder, name)
    elif Path(name).exists():
        raise InvalidInput(f"{name} is a file; give the folder of a model (holding unet/, scheduler/ ...)")
    elif HUB_ID.fullmatch(name) and not name.startswith("."):
        folder = from_hub(name, name)
        card = _folder_card(folder, name)
    else:
        close = get_close_matches(name, CARDS, n=1, cutoff=0.4)
        hint = f"; did you mean {close[0]!r}?" if close else "."
        raise InvalidInput(
            f"unknown model {name!r}{hint} Known: {', '.join(CARDS)}; or give a folder or a hub id (owner/name)"
        )
    return load_latent(folder, card, where, number_format)


def _folder_card(folder: Path, name: str) -> Card:
    """A card for weights that the registry does not know, from their configuration."""
    try:
        config = json.loads((folder / "unet" / "config.json").read_text())
        is_pocket = (folder / "pixels").is_dir()
        tasks = POCKET_TASKS if is_pocket else _sd_tasks(8 * int(config["sample_size"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelUnavailable(
            f"{name} is not a model folder ({' '.join(str(error).split())[:160]}); it must hold unet/config.json, "
            "scheduler/, text_encoder/, tokenizer/ and vae/ as a Stable Diffusion repository does"
        ) from None
    card = Card(name, "weights from a folder", "see their source", float("nan"), str(folder), tasks)
    return replace(card, merge_threshold=POCKET_MERGE_THRESHOLD, prompt=POCKET_PROMPT) if is_pocket else card
