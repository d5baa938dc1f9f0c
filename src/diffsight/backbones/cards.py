"""What is known of each model before it is loaded: a table, from which ``docs/models.md`` is made."""

from __future__ import annotations

from dataclasses import replace

from ..grid import FitKind, Size
from .base import Card, ReadSettings, Task, clean_settings

POCKET_TASKS: dict[Task, ReadSettings] = {
    "semantic": ReadSettings(stage="up1.a0", timestep=20, ensemble=2, size=(96, 96)),
    "geometric": ReadSettings(stage="up1", timestep=5, ensemble=4, size=(128, 128)),
    "temporal": ReadSettings(stage="up1", timestep=20, ensemble=2, size=(96, 96)),
    "segmentation": ReadSettings(stage="up1.a0", timestep=20, ensemble=1, size=(96, 96), noise=False),
}


def sd_tasks(side: int) -> dict[Task, ReadSettings]:
    """The settings of the DIFT and DiffSeg papers (arXiv 2306.03881, 2308.12469); ``side`` is for matching."""
    return {
        "semantic": ReadSettings(stage="up1", timestep=261, ensemble=8, size=(side, side)),
        "geometric": ReadSettings(stage="up2", timestep=0, ensemble=8, size=(side, side)),
        "temporal": ReadSettings(stage="up2", timestep=51, ensemble=8, size=(480, 832)),
        "segmentation": ReadSettings(stage="down2.a1.self", timestep=300, ensemble=1, size=(512, 512), noise=False),
    }


def _clean(version: str, licence: str, parameters: float, side: int) -> Card:
    """CleanDIFT (arXiv 2412.03439): one pass on the clean latent, whose timestep stays at 261."""
    about = "matching in one pass without noise; prompt: A photo of a ..."
    tasks = {task: replace(own, timestep=261, ensemble=1, noise=False) for task, own in sd_tasks(side).items()}
    source = f"CleanDIFT's UNet in SD {version}"
    return Card(f"cleandift-sd-{version}", about, f"MIT (UNet), {licence}", parameters, source, tasks)


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
    merge_threshold=0.2,
    prompt={"fit_timestep": 20, "read_timestep": 20, "steps": 40, "rate": 0.02, "crops": 8},
    track={"radius": 12, "temperature": 0.07},
    figure="PCK@0.1 36.0 on world pictures, 19.1 on faces (see its card)",
)

RAIL = "CreativeML Open RAIL-M"
RAIL_PLUS = "CreativeML Open RAIL++-M"

CARDS: dict[str, Card] = {
    card.name: card
    for card in (
        POCKET,
        Card("sd-2.1", "what the DIFT paper reads; matching", RAIL_PLUS, 1240, "SD 2.1, 768 px", sd_tasks(768)),
        Card("sd-2.1-base", "as SD 2.1, smaller pictures", RAIL_PLUS, 1240, "SD 2.1, 512 px", sd_tasks(512)),
        Card("sd-1.5", "matching, segmentation; most variants", RAIL, 1017, "SD 1.5, 512 px", sd_tasks(512)),
        Card("sd-1.4", "what prompt matching and DiffSeg use", RAIL, 1017, "SD 1.4, 512 px", sd_tasks(512)),
        _clean("2.1", RAIL_PLUS, 1240, 768),
        _clean("1.5", RAIL, 1017, 512),
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
        ),
        Card("dinov2-s", "parts and categories", "Apache-2.0", 22, "DINOv2 ViT-S/14", DINOV2_TASKS, kind="vit"),
        Card("dinov2-b", "parts and categories", "Apache-2.0", 87, "DINOv2 ViT-B/14", DINOV2_TASKS, kind="vit"),
        Card("dinov2-l", "parts and categories", "Apache-2.0", 304, "DINOv2 ViT-L/14", DINOV2_TASKS, kind="vit"),
        Card("dino-b8", "a baseline of papers; fine grid", "Apache-2.0", 86, "DINO ViT-B/8", DINO_TASKS, kind="vit"),
        Card("openclip-h14", "a baseline of the papers", "MIT", 632, "OpenCLIP ViT-H/14", CLIP_TASKS, kind="vit"),
        Card("vgg-19", "a baseline of the papers", "see their source", 20, "VGG-19, ImageNet", VGG_TASKS, kind="vgg"),
    )
}
