"""To which family of networks weights belong, as their own configuration says."""

from __future__ import annotations

from pathlib import Path
from textwrap import shorten
from typing import Any

from ...errors import ModelUnavailable
from .files import read_config, read_names
from .places import XL, Family, Network

SD_VERSIONS: dict[int, Family] = {1: "Stable Diffusion 1.x", 2: "Stable Diffusion 2.x"}

VISION: dict[str, Family] = {
    "vit": "DINO",
    "dinov2": "DINOv2",
    "clip": "CLIP",
    "clip_vision_model": "CLIP",
    "superpoint": "SuperPoint",
}
"""By the ``model_type`` of the transformers library."""


def family_of(folder: Path) -> Family | None:
    """The family of a model's folder; None if its configuration is not there or says nothing that is known here."""
    if (folder / "unet" / "config.json").is_file():
        config = _read(folder / "unet" / "config.json")
        if (folder / "pixels").is_dir():
            return "pocket"
        if config.get("addition_embed_type") == "text_time":
            return XL
        return SD_VERSIONS[2 if config.get("use_linear_projection") else 1] if config else None
    config = _read(folder / "config.json")
    return "ADM" if config.get("_class_name") == "UNet2DModel" else VISION.get(str(config.get("model_type")))


def check_family(name: str, wanted: Family | None, found: Family | None, origin: str) -> None:
    """Refuse weights of another family than a network's.

    Raises:
        ModelUnavailable: names both; never where either is unknown.
    """
    if wanted is not None and found is not None and found != wanted:
        raise ModelUnavailable(f"{origin} is of {found}, not {name}, which is of {wanted}; give weights of {wanted}")


def check_marks(network: Network, path: Path, origin: str) -> None:
    """Refuse a single file that holds none of the weights by which its network is known.

    Raises:
        ModelUnavailable: names what it holds instead; never for an old pickle, which loading reads whole.
    """
    names = read_names(path)
    if names is not None and not names & set(network.marks):
        held = shorten(", ".join(sorted(names)), 100, placeholder=" ...")
        raise ModelUnavailable(
            f"{path} ({origin}) is not {network.name}: it holds {held}, and no {' or '.join(network.marks)}"
        )


def _read(path: Path) -> dict[str, Any]:
    """A configuration; empty if it is not there or damaged, which loading reports."""
    try:
        return read_config(path)
    except ModelUnavailable:
        return {}
