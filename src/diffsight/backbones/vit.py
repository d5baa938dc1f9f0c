"""Vision transformers: DINO, DINOv2 and the picture half of CLIP, in one class.

The networks are those of the transformers library. What sets a family apart is a row of ``FAMILIES``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..types import Capture, Posterior, Taps
from .base import Card, ReadSettings, Tap, TapTable, Task
from .capture import run_tapped
from .cards import CLIP_TASKS, DINO_TASKS, DINOV2_TASKS
from .colours import IMAGENET_MEAN, IMAGENET_STD, Colour, check_sides, normalise
from .fingerprint import weight_digest
from .loading import load_transformer, refusing
from .textless import Noiseless
from .weights.files import read_config


@dataclass(frozen=True)
class Family:
    """What sets one family of vision transformers apart.

    Attributes:
        network: its class in the transformers library.
        mean, std: of the colours it was trained on.
        norm: path of the final norm, applied to whatever block is read; empty where blocks are read as they are.
        options: arguments of the class: parts that are not needed.
        arguments: of the forward pass: what makes the network take any size.
    """

    network: str
    mean: Colour
    std: Colour
    norm: str = ""
    options: dict[str, bool] = field(default_factory=dict)
    arguments: dict[str, bool] = field(default_factory=dict)


DINO = Family(
    "ViTModel",
    IMAGENET_MEAN,
    IMAGENET_STD,
    norm="layernorm",
    options={"add_pooling_layer": False},
    arguments={"interpolate_pos_encoding": True},
)
DINOV2 = Family("Dinov2Model", IMAGENET_MEAN, IMAGENET_STD)
CLIP = Family(
    "CLIPVisionModel",
    (0.48145466, 0.4578275, 0.40821073),
    (0.26862954, 0.26130258, 0.27577711),
    arguments={"interpolate_pos_encoding": True},
)

FAMILIES = {"vit": DINO, "dinov2": DINOV2, "clip": CLIP, "clip_vision_model": CLIP}
"""By the ``model_type`` of a folder's ``config.json``."""

ARCHITECTURE_KEYS = ("num_attention_heads", "hidden_act", "layer_norm_eps", "patch_size")
"""What weights of equal names and shapes may still differ in; every family stores it under these names."""


def vit_tasks(config: dict[str, Any]) -> dict[Task, ReadSettings]:
    """The settings of a network's family, in whole patches of its own.

    Args:
        config: its ``config.json``.

    Raises:
        KeyError: for another type of model.
    """
    tasks = {"vit": DINO_TASKS, "dinov2": DINOV2_TASKS, "clip": CLIP_TASKS, "clip_vision_model": CLIP_TASKS}
    patch = config.get("vision_config", config)["patch_size"]
    return {
        task: replace(own, size=(own.size[0] // patch * patch, own.size[1] // patch * patch))
        for task, own in tasks[config["model_type"]].items()
    }


class VitBackbone(Noiseless):
    """A frozen vision transformer, read block by block.

    Stages are ``block0``, ``block1`` ... ``last``: the tokens after that block as a map, one cell a patch, without the
    class token. Inputs may have any sides that are multiples of the patch. The library itself interpolates the position
    embeddings for them: bicubic, half-pixel centres, to an explicit (rows, columns), from the square table the network
    was trained with; at the table's own size they are used as they are. Attention cannot be tapped.

    Args:
        card: what the model is.
        network: a module of the family's class.
        family: what sets it apart.
        device, dtype: where and in which number format it runs.
    """

    def __init__(self, card: Card, network: Any, family: Family, device: torch.device, dtype: torch.dtype) -> None:
        self.card = card
        self.network = network.eval().requires_grad_(False).to(device, dtype)
        self.family = family
        self.device = device
        self.dtype = dtype
        self.norm = network.get_submodule(family.norm) if family.norm else nn.Identity()
        # the blocks are the only list of modules; its path differs between versions of the library
        path, blocks = next((path, part) for path, part in network.named_modules() if isinstance(part, nn.ModuleList))
        width = network.config.hidden_size
        stages = [Tap(f"block{i}", f"{path}.{i}", width, self.multiple) for i in range(len(blocks))]
        self.taps = TapTable((*stages, replace(stages[-1], name="last")), ())

    @cached_property
    def fingerprint(self) -> str:
        """A short digest of family, architecture, number format and every weight's sums."""
        architecture = [getattr(self.network.config, key) for key in ARCHITECTURE_KEYS]
        return weight_digest(self.network, f"{self.family} {architecture} {self.dtype}")

    @property
    def multiple(self) -> int:
        """Side of a patch, pixels."""
        return self.network.config.patch_size

    def encode(self, pixels: Tensor) -> Posterior:
        """Normalise (B, 3, H, W) in [0, 1] by the colours that the network was trained on.

        Raises:
            InvalidInput: if a side is not a multiple of the patch.
        """
        check_sides(pixels, self.multiple)
        return normalise(pixels.to(self.device), self.family.mean, self.family.std)

    def read(self, latent: Tensor, timestep: int, context: Tensor, taps: Taps) -> Capture:
        """Run one pass on normalised pixels (B, 3, H, W), as far as the taps need it; timestep and context say nothing.

        Returns:
            (B, channels, H / patch, W / patch) for each stage.
        """
        height, width = (side // self.multiple for side in latent.shape[-2:])

        def forward() -> None:
            self.network(latent.to(self.device, self.dtype), **self.family.arguments)

        def to_map(tokens: Tensor) -> Tensor:
            patches = self.norm(tokens)[:, -height * width :]  # special tokens come first
            return patches.transpose(1, 2).unflatten(2, (height, width))

        return run_tapped(self.network, self.taps, taps, forward).apply(to_map)

    def untrained(self, seed: int = 0) -> VitBackbone:
        """The same architecture with random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = type(self.network)(self.network.config, **self.family.options)
        card = replace(self.card, name=f"untrained {self.card.name}")
        return VitBackbone(card, network, self.family, self.device, self.dtype)

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for an input of (height, width) patches."""
        activations = 16 * self.dtype.itemsize + 4 * len(taps.features)
        return height * width * (activations * self.network.config.hidden_size + 2 * 4 * 3 * self.multiple**2)


def load_vit(folder: Path, card: Card, device: torch.device, dtype: torch.dtype) -> VitBackbone:
    """Build a vision transformer from a folder in the hub's layout: ``config.json`` and ``model.safetensors``.

    Of CLIP only the picture half is loaded. Any plain ViT is taken for DINO: its colours are normalised so.

    Raises:
        ModelUnavailable: for another type of model, or if a file is missing or damaged.
    """
    kind = read_config(folder / "config.json").get("model_type")
    with refusing(folder, "it must hold config.json and model.safetensors as the hub's DINO, DINOv2 and CLIP do"):
        if kind not in FAMILIES:
            raise ValueError(f"its model_type is {kind!r}, not one of {', '.join(FAMILIES)}")
        family = FAMILIES[kind]
        network = getattr(import_module("transformers"), family.network)
        network = load_transformer(network, folder, dtype, **family.options)
        return VitBackbone(card, network, family, device, dtype)
