"""How objects are painted: a colour word, an RGB colour and a texture for each part."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import Category
from .paint import COLOURS, TEXTURES, Array

FEW_COLOURS_SHARE = 0.3
"""How many objects have only two colours, as most real things do; in others every part may have any colour."""

Texture = tuple[int, tuple[int, int], Array]

PLAIN: Texture = (0, (0, 0), np.zeros(3))

FLESH = frozenset({"skin", "ear", "nose", "eye", "mouth"})
HAIR = frozenset({"hair", "fringe", "brow", "iris"})
LIFELIKE = frozenset({"face", "person"})
"""The categories that have natural colours."""


@dataclass(frozen=True)
class Look:
    """An object's paint, part by part; ``pillow`` is how much darker parts get towards their rims."""

    words: tuple[str, ...]
    colours: Array
    textures: tuple[Texture, ...]
    pillow: float


def any_look(rng: np.random.Generator, category: Category) -> Look:
    """Every part draws its colour independently; parts of one name share it."""
    palette = list(COLOURS)
    if rng.random() < FEW_COLOURS_SHARE:
        palette = [palette[i] for i in rng.integers(len(palette), size=2)]
    chosen = {name: palette[rng.integers(len(palette))] for name in dict.fromkeys(part.name for part in category.parts)}
    drawn = {name: np.array(COLOURS[word]) + rng.uniform(-0.08, 0.08, 3) for name, word in chosen.items()}
    pattern: dict[str, Texture] = {
        name: (
            int(rng.integers(TEXTURES)),
            (int(rng.integers(128)), int(rng.integers(128))),
            rng.uniform(-0.12, 0.12, 3),
        )
        for name in drawn
    }
    for part in category.parts:
        if part.detail:
            dark = part.name in ("eye", "nose") and category.profile
            tone = rng.uniform(0.02, 0.3) if dark else rng.uniform(0.55, 0.98)
            drawn[part.name] = np.full(3, tone)
            pattern[part.name] = PLAIN
    return Look(
        words=tuple("" if part.detail else chosen[part.name] for part in category.parts),
        colours=np.clip(np.stack([drawn[part.name] for part in category.parts]), 0, 1),
        textures=tuple(pattern[part.name] for part in category.parts),
        pillow=float(rng.uniform(0.0, 0.6)),
    )


def lifelike_look(rng: np.random.Generator, category: Category) -> Look:
    """People in the colours of people: skin of one tone, mostly dark hair, dark irises, lips a little redder.

    Clothes, and other categories as a whole, look as in ``any_look``.
    """
    base = any_look(rng, category)
    if category.name not in LIFELIKE:
        return base
    darkness = rng.uniform(0, 1)
    skin = (1 - darkness) * np.array([0.95, 0.78, 0.68]) + darkness * np.array([0.26, 0.15, 0.11])
    fairness = rng.uniform(0, 1) ** 2
    hair = (1 - fairness) * np.array([0.07, 0.05, 0.04]) + fairness * np.array([0.82, 0.70, 0.50])
    if rng.random() < 0.2:
        hair[:] = hair.mean()
    bald = rng.random() < 0.15
    lips = skin * rng.uniform(0.65, 1.0) * (1.0, rng.uniform(0.55, 0.9), rng.uniform(0.55, 0.9))
    eye = skin * rng.uniform(0.4, 0.9) + rng.uniform(0, 0.35)
    colours, textures, words = base.colours.copy(), list(base.textures), list(base.words)
    for i, part in enumerate(category.parts):
        if part.name not in FLESH | HAIR:
            continue
        if part.name == "iris":
            colour = rng.uniform(0.03, 0.3, 3)
        elif part.name == "brow":
            colour = hair * rng.uniform(0.5, 1.0) if rng.random() < 0.7 else skin * rng.uniform(0.5, 0.8)
        elif part.name in HAIR:
            colour = skin if bald else hair
        else:
            colour = {"mouth": lips, "eye": eye}.get(part.name, skin)
        colours[i] = np.clip(colour * rng.uniform(0.88, 1.08), 0, 1)
        if part.name not in ("hair", "fringe"):
            textures[i] = PLAIN
        if not part.detail:
            words[i] = _word(colours[i])
    return Look(tuple(words), colours, tuple(textures), base.pillow)


def _word(colour: Array) -> str:
    """The nearest colour that has a name."""
    return min(COLOURS, key=lambda word: float(np.square(np.array(COLOURS[word]) - colour).sum()))
