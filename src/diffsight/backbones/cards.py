"""What is known of each model before it is loaded: a table, from which ``docs/models.md`` is made."""

from __future__ import annotations

from dataclasses import replace

from ..grid import FitKind, Size
from .base import Card, ReadSettings, Task, clean_settings

POCKET_TASKS: dict[Task, ReadSettings] = {
    "semantic": ReadSettings(stage="up1.a0", timestep=20, ensemble=1, size=(96, 96), noise=False),
    "geometric": ReadSettings(stage="up1", timestep=5, ensemble=1, size=(128, 128), noise=False),
    "temporal": ReadSettings(stage="up1", timestep=20, ensemble=1, size=(128, 128), noise=False),
    "segmentation": ReadSettings(stage="up1.a0", timestep=20, ensemble=1, size=(128, 128), noise=False),
}


def sd_tasks(side: int) -> dict[Task, ReadSettings]:
    """The settings of the DIFT and DiffSeg papers (arXiv 2306.03881, 2308.12469); ``side`` is for matching."""
    return {
        "semantic": ReadSettings(stage="up1", timestep=261, ensemble=8, size=(side, side)),
        "geometric": ReadSettings(stage="up2", timestep=0, ensemble=8, size=(side, side)),
        "temporal": ReadSettings(stage="up2", timestep=51, ensemble=8, size=(480, 832)),
        "segmentation": ReadSettings(stage="down2.a1.self", timestep=300, ensemble=1, size=(512, 512), noise=False),
    }


XL_TASKS: dict[Task, ReadSettings] = {
    "semantic": ReadSettings(stage="up1", timestep=101, ensemble=8, size=(768, 768)),
    "geometric": ReadSettings(stage="up1", timestep=0, ensemble=8, size=(768, 768)),
    "temporal": ReadSettings(stage="up1", timestep=51, ensemble=8, size=(480, 832)),
    "segmentation": ReadSettings(stage="down.self", timestep=50, ensemble=1, size=(1024, 1024)),
}
"""Stage and timestep of matching as later work uses them, segmentation as DiffCut (arXiv 2406.02842); no figure yet."""

ADM_TASKS: dict[Task, ReadSettings] = {
    "semantic": ReadSettings(stage="out4", timestep=101, ensemble=8, size=(512, 512)),
    "geometric": ReadSettings(stage="out11", timestep=41, ensemble=4, size=(768, 768)),
    "temporal": ReadSettings(stage="out7", timestep=51, ensemble=4, size=(480, 832)),
    "segmentation": ReadSettings(stage="out4", timestep=101, ensemble=1, size=(512, 512)),
}
"""The settings of the DIFT paper, which cuts no photos into parts with this network: there they are our choice."""

VGG_TASKS: dict[Task, ReadSettings] = {
    "semantic": clean_settings("relu4_4", (512, 512)),
    "geometric": clean_settings("relu3_4", (768, 768)),
    "temporal": clean_settings("relu4_4", (480, 832)),
    "segmentation": clean_settings("relu4_4", (512, 512)),
}
"""Our choice: the methods that this package reproduces publish no setting for VGG."""


def _vit_tasks(
    semantic: int, geometric: int, temporal: Size, segmentation: int, fit: FitKind = "stretch"
) -> dict[Task, ReadSettings]:
    """Settings that read the last block; inputs are square but for the temporal task, ``fit`` is the semantic one's."""
    return {
        "semantic": clean_settings("last", (semantic, semantic), fit),
        "geometric": clean_settings("last", (geometric, geometric)),
        "temporal": clean_settings("last", temporal),
        "segmentation": clean_settings("last", (segmentation, segmentation)),
    }


# Semantic matches of DINOv2 are read as sd-dino does (Zhang et al., 2023, arXiv 2305.15347); nothing else has a
# published setting: the sizes are near DIFT's, in whole patches.
DINO_TASKS = _vit_tasks(512, 768, (480, 832), 512)
DINOV2_TASKS = _vit_tasks(840, 770, (476, 826), 518, fit="pad")
CLIP_TASKS = _vit_tasks(770, 770, (476, 826), 518)

POCKET = Card(
    name="pocket",
    about="small model of pixels in the package itself; for trying things out",
    licence="Apache-2.0",
    parameters=16.6,
    source="bundled",
    tasks=POCKET_TASKS,
    merge_layers=("up1.a1",),
    merge_threshold=0.05,
    prompt={"fit_timestep": 20, "read_timestep": 20, "steps": 40, "rate": 0.02, "crops": 8},
    track={"radius": 12, "temperature": 0.07},
    refine={"window": 3, "temperature": 0.05},
    figure="PCK@0.1 58.1 on world pictures, 25.1 on faces (see its card)",
)

RAIL_PLUS = "CreativeML Open RAIL++-M"

SD: dict[str, tuple[str, float]] = {"1": ("CreativeML Open RAIL-M", 1017), "2": (RAIL_PLUS, 1240)}
"""Licence and millions of parameters by version."""


def _sd(version: str, about: str, side: int, memory: str = "-") -> Card:
    """A Stable Diffusion network that reads squares of ``side`` pixels."""
    licence, parameters = SD[version[0]]
    source = f"SD {version}, {side} px"
    return Card(f"sd-{version}", about, licence, parameters, source, sd_tasks(side), memory=memory)


def _clean(own: Card) -> Card:
    """CleanDIFT (arXiv 2412.03439) of a network: one pass on the clean latent, whose timestep stays at 261."""
    return replace(
        own,
        name=f"cleandift-{own.name}",
        about="matching in one pass without noise; prompt: A photo of a ...",
        licence=f"MIT (UNet), {own.licence}",
        source=f"CleanDIFT's UNet in {own.source}",
        tasks={task: replace(row, timestep=261, ensemble=1, noise=False) for task, row in own.tasks.items()},
    )


def _vit(
    name: str,
    about: str,
    parameters: float,
    source: str,
    tasks: dict[Task, ReadSettings],
    memory: str = "-",
    licence: str = "Apache-2.0",
) -> Card:
    """A vision transformer."""
    return Card(name, about, licence, parameters, source, tasks, kind="vit", memory=memory)


SD21 = _sd("2.1", "what the DIFT paper reads; matching", 768, "1.52 GB")
SD15 = _sd("1.5", "matching, segmentation; most variants", 512, "0.68 GB")

CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        POCKET,
        SD21,
        _sd("2.1-base", "as SD 2.1, smaller pictures", 512),
        SD15,
        _sd("1.4", "what prompt matching and DiffSeg use", 512, "0.68 GB"),
        _clean(SD21),
        _clean(SD15),
        Card("sdxl", "large pictures; settings little tried", RAIL_PLUS, 3419, "SD XL base 1.0", XL_TASKS),
        Card(
            name="ssd-1b",
            about="what DiffCut cuts with (solver ncut)",
            licence="Apache-2.0",
            parameters=2150,
            source="Segmind SSD-1B, a distilled SD XL",
            tasks=XL_TASKS,
            cut_threshold=0.5,
        ),
        Card(
            name="adm-256",
            about="matching without text; geometric detail",
            licence="MIT",
            parameters=553,
            source="guided diffusion (Dhariwal and Nichol, 2021), ImageNet 256 px, unconditional",
            tasks=ADM_TASKS,
            track={"temperature": 0.1, "top": 10},
            kind="adm",
            memory="1.42 GB",
        ),
        _vit("dinov2-s", "parts and categories", 22, "DINOv2 ViT-S/14", DINOV2_TASKS),
        _vit("dinov2-b", "parts and categories", 87, "DINOv2 ViT-B/14", DINOV2_TASKS, "0.23 GB"),
        _vit("dinov2-l", "parts and categories", 304, "DINOv2 ViT-L/14", DINOV2_TASKS),
        _vit("dino-b8", "a baseline of papers; fine grid", 86, "DINO ViT-B/8", DINO_TASKS, "0.24 GB"),
        _vit("openclip-h14", "a baseline of the papers", 632, "OpenCLIP ViT-H/14", CLIP_TASKS, "0.49 GB", "MIT"),
        Card(
            name="vgg-19",
            about="a baseline of the papers",
            licence="see their source",
            parameters=20,
            source="VGG-19, ImageNet",
            tasks=VGG_TASKS,
            kind="vgg",
            memory="0.23 GB",
        ),
    )
}
