"""Readers by name: joins of networks that are known to match well, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..backbones.base import Backbone, ReadSettings, Task, adjust
from ..backbones.cards import CARDS
from ..backbones.registry import is_here, load
from ..errors import InvalidInput
from .base import ModelReader, Reader
from .debiased import Debiased
from .fused import Fused
from .stages import Stages

SD_DINO_STAGES = ("up2.a1", "up1.a1", "up0.r1")
"""s3, s4 and s5 of sd-dino (arXiv 2305.15347): 60, 30 and 15 cells a side at 960 px."""


@dataclass(frozen=True)
class Part:
    """One network at one setting.

    Attributes:
        model: its name.
        settings: how it reads.
        stages: read in one pass and set side by side; the settings' own stage if there are none.
        even: whether all stages weigh the same.
        weight: of its cosine.
    """

    model: str
    settings: ReadSettings
    stages: tuple[str, ...] = ()
    even: bool = False
    weight: float = 1.0


@dataclass(frozen=True)
class Recipe:
    """Parts that match well together.

    Attributes:
        about: what it is, in a line.
        parts: the one with the coarsest grid first: all others are brought to it.
        tasks: what it serves.
    """

    about: str
    parts: tuple[Part, ...]
    tasks: tuple[Task, ...] = ("semantic",)

    @property
    def models(self) -> tuple[str, ...]:
        """The networks it takes, each once."""
        return tuple(dict.fromkeys(part.model for part in self.parts))


SD_DINO = ReadSettings("up2.a1", timestep=50, ensemble=1, size=(960, 960), fit="pad")
DINO = Part("dinov2-b", CARDS["dinov2-b"].tasks["semantic"])
POCKET = CARDS["pocket"].tasks["semantic"]

RECIPES: dict[str, Recipe] = {
    "sd+dino": Recipe(
        "Stable Diffusion 1.5 and DINOv2, as GeoAware-SC joins them (arXiv 2311.17034)",
        (Part("sd-1.5", SD_DINO, SD_DINO_STAGES), DINO),
    ),
    "cleandift+dino": Recipe(
        "the same with CleanDIFT's clean pass (arXiv 2412.03439)",
        (Part("cleandift-sd-1.5", replace(SD_DINO, timestep=261, noise=False), SD_DINO_STAGES), DINO),
    ),
    "one-descriptor": Recipe(
        "DIFT semantic and geometric with DINOv2: one map for every matching task",
        (
            Part("sd-2.1", CARDS["sd-2.1"].tasks["semantic"]),
            Part("sd-2.1", CARDS["sd-2.1"].tasks["geometric"]),
            DINO,
        ),
        ("semantic", "geometric", "temporal"),
    ),
    "pocket+": Recipe(
        "the bundled model, two stages of one clean pass",
        (Part("pocket", POCKET, ("up1.a0", "up0"), even=True),),
    ),
}

CHOICES: dict[str, tuple[str, ...]] = {"diffusion+dino": ("cleandift+dino", "sd+dino")}
"""Names for the first recipe whose weights are all at hand, or the last one; what is read bears that one's name."""


def open_reader(
    model: Backbone | str | Path = "pocket",
    task: str = "semantic",
    *,
    device: str | None = None,
    dtype: str | None = None,
    store: Path | str | None = None,
    weights: Sequence[float] | None = None,
    debias: int = 0,
    **changes: Any,
) -> Reader:
    """A reader for a task: of a recipe by name, or of one model.

    Args:
        model: a name in ``RECIPES`` or ``CHOICES``; or what ``diffsight.load`` takes, or a loaded network.
        task: what the maps are for; it chooses a single model's settings.
        device, dtype: for networks that are still to be loaded; what suits the machine if left out.
        store: a folder that keeps readings across runs, or None.
        weights: of a recipe's parts, in place of its own.
        debias: how many directions of position are taken out of the maps, see ``Debiased``.
        **changes: single settings in place of a model's; of a recipe, ``prompt``, ``seed`` and ``ensemble``, for
            those parts that know text or noise.

    Raises:
        InvalidInput: for an unknown model, task, setting, or weights that do not suit.
        ModelUnavailable: if weights of a network cannot be had.
    """
    name = pick(model) if isinstance(model, str) else ""
    reader: Reader
    if name in RECIPES:
        reader = _open_recipe(name, task, device, dtype, store, weights, changes)
    elif weights is not None:
        raise InvalidInput(f"weights {list(weights)} are for the parts of a recipe ({', '.join(RECIPES)})")
    else:
        reader = ModelReader.open(model, task, device=device, dtype=dtype, store=store, **changes)
    return Debiased(reader, debias) if debias else reader


def _open_recipe(
    name: str,
    task: str,
    device: str | None,
    dtype: str | None,
    store: Path | str | None,
    weights: Sequence[float] | None,
    changes: dict[str, Any],
) -> Fused:
    recipe = RECIPES[name]
    if task not in recipe.tasks:
        raise InvalidInput(f"the recipe {name!r} does not serve the task {task!r}; it serves {', '.join(recipe.tasks)}")
    if fixed := [key for key in changes if key not in ("prompt", "seed", "ensemble")]:
        raise InvalidInput(f"the recipe {name!r} fixes {fixed[0]!r}; it takes prompt, seed, ensemble and weights")
    networks = {own: load(own, device=device, dtype=dtype) for own in recipe.models}
    parts = [_open_part(part, networks[part.model], changes, store) for part in recipe.parts]
    return Fused(parts, [part.weight for part in recipe.parts] if weights is None else weights, name)


def single(name: str) -> str:
    """The first model of a recipe, or the name itself."""
    name = pick(name)
    return RECIPES[name].models[0] if name in RECIPES else name


def pick(name: str) -> str:
    """The recipe that a choice stands for on this machine; other names as they are."""
    if name not in CHOICES:
        return name
    *better, last = CHOICES[name]
    return next((own for own in better if all(is_here(CARDS[model]) for model in RECIPES[own].models)), last)


def _open_part(part: Part, backbone: Backbone, changes: dict[str, Any], store: Path | str | None) -> ModelReader:
    reads_text = backbone.context([""]).shape[1] > 0
    own = {key: value for key, value in changes.items() if (reads_text if key == "prompt" else backbone.takes_noise)}
    settings = adjust(part.settings, own)
    if part.stages:
        return Stages(backbone, settings, part.stages, even=part.even, store=store)
    return ModelReader(backbone, settings, store)
