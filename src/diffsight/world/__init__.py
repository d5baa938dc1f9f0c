"""A procedural world whose truth is exact: pictures, pairs, planar warps and clips from a seed."""

from .anatomy import Category, Part, categories
from .paint import COLOURS
from .scene import (
    CLUTTER,
    RESERVED,
    TUNING,
    Scene,
    ScenePair,
    WarpPair,
    WorldObject,
    make_clip,
    make_pair,
    make_scene,
    make_warp_pair,
)

__all__ = [
    "CLUTTER",
    "COLOURS",
    "RESERVED",
    "TUNING",
    "Category",
    "Part",
    "Scene",
    "ScenePair",
    "WarpPair",
    "WorldObject",
    "categories",
    "make_clip",
    "make_pair",
    "make_scene",
    "make_warp_pair",
]
