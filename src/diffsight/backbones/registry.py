"""The models that diffsight knows by name, and how each is read for a task."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from ..device import pick_device, pick_dtype
from ..errors import InvalidInput
from .adm import load_adm
from .base import Backbone, Card, ReadSettings, Task
from .cards import ADM_TASKS, CARDS, POCKET, XL_TASKS, sd_tasks
from .latent import load_latent
from .loading import refusing, uncollected
from .vgg import load_vgg
from .vit import FAMILIES, load_vit, vit_tasks
from .weights import NETWORKS, Network, Weights, checkpoint, expand, look, network_of, resolve
from .weights.files import read_config

XL_SIDE = 1024
"""Side of the pictures that Stable Diffusion XL was trained on, pixels."""


def is_here(card: Card) -> bool:
    """Whether a model can be loaded without the network, if only in half precision; its files' headers are read."""
    return look(NETWORKS[card.name]).is_here


def task_settings(card: Card, task: str) -> ReadSettings:
    """A model's default settings for a task.

    Raises:
        InvalidInput: for an unknown task.
    """
    if task not in get_args(Task):
        raise InvalidInput(f"unknown task {task!r}; choose one of {', '.join(get_args(Task))}")
    if task not in card.tasks:
        raise InvalidInput(f"{card.name} has no settings for the task {task!r}; it has {', '.join(card.tasks)}")
    return card.tasks[task]


def load(
    model: str | Path = "pocket",
    *,
    weights: str | Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> Backbone:
    """Load a frozen network.

    Args:
        model: a name that ``diffsight models`` lists; a folder in the layout of a Stable Diffusion repository, or of a
            vision transformer or ADM alone; a single file (a checkpoint in the original layout, or a UNet alone); or a
            hub id, ``owner/name`` or ``owner/name@revision``.
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
    with uncollected():
        if card.kind == "stable-diffusion":
            return load_latent(found, card, where, number_format)
        if card.kind == "adm":
            return load_adm(found.path, card, where, number_format)
        return (load_vit if card.kind == "vit" else load_vgg)(found.path, card, where, number_format)


def _named(name: str, half: bool) -> Weights:
    """The weights of a folder, a file or a hub id."""
    if name and expand(name).exists():
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
    card = Card(name, "weights of your own", "see their source", float("nan"), str(weights.path), {})
    if (weights.path / "pixels").is_dir():
        return replace(POCKET, name=name, about=card.about, source=card.source, figure=card.figure)
    config = weights.path / "config.json"
    if not config.is_file():
        side = 8 * _sample_size(weights.path)
        return replace(card, tasks=sd_tasks(side) if side < XL_SIDE else XL_TASKS)
    facts = read_config(config)
    if facts.get("_class_name") == "UNet2DModel":
        return replace(card, kind="adm", tasks=ADM_TASKS, track=CARDS["adm-256"].track)
    with refusing(config, f"known here are {', '.join(FAMILIES)} (model_type) and UNet2DModel (_class_name)"):
        return replace(card, kind="vit", tasks=vit_tasks(facts))


def _sample_size(path: Path) -> int:
    """Side of the latent that a UNet was trained on."""
    if path.is_file():
        return checkpoint.sample_size(path)
    config = path / "unet" / "config.json"
    with refusing(config, "it must be that of a Stable Diffusion UNet"):
        return int(read_config(config)["sample_size"])
