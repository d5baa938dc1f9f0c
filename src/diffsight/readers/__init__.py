"""Photos to one feature map each, whose cosines mean likeness: by one network, or by several."""

from .base import ModelReader, Reader
from .debiased import Debiased
from .fused import Fused
from .recipes import CHOICES, RECIPES, Part, Recipe, open_reader, single
from .stages import Stages

__all__ = [
    "CHOICES",
    "RECIPES",
    "Debiased",
    "Fused",
    "ModelReader",
    "Part",
    "Reader",
    "Recipe",
    "Stages",
    "open_reader",
    "single",
]
