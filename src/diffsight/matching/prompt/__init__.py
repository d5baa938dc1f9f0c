"""Prompt matching: a text embedding whose cross-attention lights up a point, read on any other photo.

Hedlin et al., NeurIPS 2023, arXiv 2305.15581. Nothing in the network is trained. Lengths in settings are fractions of
the frame, the square that photos are squeezed into; positions in it are in its pixels, the first centred at 0.5.
"""

from __future__ import annotations

from .embeddings import PromptEmbeddings, read_released
from .finding import Located, layer_maps, locate, target_maps
from .learning import Step, optimise, steps
from .settings import PRESETS, Mode, PromptSettings, change, map_sides, settings_for

__all__ = [
    "PRESETS",
    "Located",
    "Mode",
    "PromptEmbeddings",
    "PromptSettings",
    "Step",
    "change",
    "layer_maps",
    "locate",
    "map_sides",
    "optimise",
    "read_released",
    "settings_for",
    "steps",
    "target_maps",
]
