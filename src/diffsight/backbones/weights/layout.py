"""Which files of a network are loaded, given the names of those that are there."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from .places import Layout, Place

Part = Literal["scheduler", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2", "unet", "vae"]

PARTS: frozenset[Part] = frozenset({"scheduler", "text_encoder", "tokenizer", "unet", "vae"})
"""What a Stable Diffusion network is made of; no decoder of pictures, no safety checker."""

SECOND: frozenset[Part] = frozenset({"text_encoder_2", "tokenizer_2"})
"""What Stable Diffusion XL has besides."""

STEMS = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
}
"""How each part's weights file is called."""


class Missing(Exception):
    """Why a place does not have what is wanted."""


def names_in(folder: Path) -> list[str]:
    """The files below a folder, as a repository would list them."""
    paths = [*folder.glob("*"), *folder.glob("*/*")]  # no network's files lie deeper, and a home folder is large
    return sorted(path.relative_to(folder).as_posix() for path in paths if path.is_file())


def pick(
    names: Collection[str], layout: Layout, place: Place, parts: Collection[Part], half: bool, exact: bool = False
) -> tuple[str, ...]:
    """The files to load among those that a place has.

    Args:
        names: all files of the place.
        layout: what is wanted.
        place: names the file if one is wanted.
        parts: of a pipeline.
        half: prefer 16-bit weights.
        exact: refuse 16-bit weights where full ones are wanted.

    Raises:
        Missing: names the first file that is not there.
    """
    is_one_model = "config.json" in names and not any(name.startswith("unet/") for name in names)
    if layout == "transformers" or (is_one_model and layout != "unet"):
        of_diffusers = any(name.startswith(STEMS["unet"]) for name in names)
        stem = STEMS["unet" if of_diffusers else "text_encoder"]
        return (_present(names, "config.json"), *weight_files(names, stem, half, exact))
    if layout == "diffusers" or (layout == "unet" and "unet/config.json" in names):
        return _pipeline(names, parts, half, exact)
    return (_present(names, place.files[0].name),)


def _pipeline(names: Collection[str], parts: Collection[Part], half: bool, exact: bool) -> tuple[str, ...]:
    of_pixels = [name for name in names if name.startswith("pixels/")]
    found = [*of_pixels, *(name for name in names if name == "model_index.json")]
    is_xl = set(parts) >= PARTS and any(name.startswith(("text_encoder_2/", "tokenizer_2/")) for name in names)
    wanted = {*parts, *(SECOND if is_xl else ())} - ({"tokenizer", "vae"} if of_pixels else set())
    for part in sorted(wanted):
        if part == "scheduler":
            found.append(_present(names, "scheduler/scheduler_config.json"))
        elif part.startswith("tokenizer"):
            if f"{part}/tokenizer.json" not in names:
                _present(names, f"{part}/vocab.json")
                _present(names, f"{part}/merges.txt")
            found += [name for name in names if name.startswith(f"{part}/")]
        else:
            found.append(_present(names, f"{part}/config.json"))
            found += weight_files(names, f"{part}/{STEMS[part]}", half, exact)
    return tuple(found)


def _present(names: Collection[str], name: str) -> str:
    if name not in names:
        raise Missing(f"no {name}")
    return name


def weight_files(names: Collection[str], stem: str, half: bool, exact: bool = False) -> tuple[str, ...]:
    """The safetensors files of one part: one file or all its shards, of 32 or 16 bits.

    Raises:
        Missing: if there are none that suit.
    """
    kinds = (".fp16", "") if half else ("",) if exact else ("", ".fp16")
    for kind in kinds:
        if f"{stem}{kind}.safetensors" in names:
            return (f"{stem}{kind}.safetensors",)
        pattern = re.compile(rf"{re.escape(stem + kind)}-\d+-of-(\d+)\.safetensors")
        shards = [match for name in names if (match := pattern.fullmatch(name))]
        if shards and len(shards) == int(shards[0][1]):
            return tuple(sorted(match[0] for match in shards))
    if f"{stem}.fp16.safetensors" in names:
        raise Missing(f"only 16-bit weights ({stem}.fp16.safetensors), which do for --dtype float16 or bfloat16")
    if any(name.startswith(stem) and name.endswith(".bin") for name in names):
        raise Missing(f"{stem} only as a pickle (.bin), which may run code; safetensors are read")
    raise Missing(f"no {stem}.safetensors")
