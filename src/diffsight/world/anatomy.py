"""What the procedural world is made of: categories as parts and keypoints in a canonical frame.

The canonical frame has x to the right and y down and spans about [-1, 1] on both axes. A profile category faces right;
a frontal one looks at the viewer, and its ``left`` is the left of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

Point = tuple[float, float]


@dataclass(frozen=True)
class Part:
    """One painted region of an object, drawn after every part before it in its category.

    Attributes:
        name: what captions call it; parts may share a name (two wings).
        outline: (N, 2) closed outline in the canonical frame.
        pivot: the joint about which it turns and grows.
        parent: index of the part whose motion it follows, or -1.
        swing: largest turn about the pivot, in degrees.
        depth: how far in front of the object's middle it lies; it shifts sideways when the object turns.
        detail: small fixed-tone parts (eyes) that captions leave out.
    """

    name: str
    outline: np.ndarray
    pivot: Point
    parent: int = -1
    swing: float = 0.0
    depth: float = 0.0
    detail: bool = False


@dataclass(frozen=True)
class Category:
    """A kind of object.

    Attributes:
        name: one word.
        parts: from back to front.
        labels: what tells each part from its siblings, one to three words ("near hind leg").
        keypoints: the part (by index) and canonical point of each.
        profile: whether it is seen from the side, and so faces left or right.
    """

    name: str
    parts: tuple[Part, ...]
    labels: tuple[str, ...]
    keypoints: dict[str, tuple[int, Point]]
    profile: bool


def oval(x: float, y: float, rx: float, ry: float, degrees: float = 0.0) -> np.ndarray:
    """An ellipse as (28, 2) points."""
    t = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    u, v = rx * np.cos(t), ry * np.sin(t)
    return np.stack([x + c * u - s * v, y + s * u + c * v], axis=1)


def limb(start: Point, end: Point, width_start: float, width_end: float) -> np.ndarray:
    """A tapered capsule from ``start`` to ``end`` with the given half widths, as (16, 2) points."""
    a, b = np.array(start), np.array(end)
    along = np.arctan2(*(b - a)[::-1])
    turn = np.linspace(-np.pi / 2, np.pi / 2, 8)
    cap_b = b + width_end * np.stack([np.cos(along + turn), np.sin(along + turn)], axis=1)
    cap_a = a + width_start * np.stack([np.cos(along + np.pi + turn), np.sin(along + np.pi + turn)], axis=1)
    return np.concatenate([cap_b, cap_a])


def blob(*points: Point) -> np.ndarray:
    """A smooth closed curve (Catmull-Rom) through the points, 6 samples a span."""
    p = np.array(points, dtype=float)
    before, after, beyond = np.roll(p, 1, 0), np.roll(p, -1, 0), np.roll(p, -2, 0)
    t = np.linspace(0, 1, 6, endpoint=False)[None, :, None]
    p0, p1, p2, p3 = (q[:, None] for q in (before, p, after, beyond))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    return curve.reshape(-1, 2)


def poly(*points: Point) -> np.ndarray:
    """A polygon with straight edges, subdivided so that a smooth warp can bend them."""
    p = np.array(points, dtype=float)
    t = np.linspace(0, 1, 4, endpoint=False)[None, :, None]
    return (p[:, None] * (1 - t) + np.roll(p, -1, 0)[:, None] * t).reshape(-1, 2)


def box(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
    """An axis-aligned rectangle."""
    return poly((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _category(
    name: str,
    parts: Sequence[tuple[str, Part]],
    keypoints: dict[str, tuple[str, Point]],
    profile: bool,
) -> Category:
    index = {key: i for i, (key, _) in enumerate(parts)}
    places = {key: (index[part], xy) for key, (part, xy) in keypoints.items()}
    return Category(name, tuple(part for _, part in parts), tuple(index), places, profile)


# fmt: off
def _bird() -> Category:
    parts = [
        ("tail", Part("tail", blob((-0.4, -0.05), (-1.0, -0.14), (-1.06, 0.12), (-0.4, 0.2)),
            (-0.42, 0.08), swing=22)),
        ("far leg", Part("leg", limb((-0.08, 0.3), (-0.12, 0.88), 0.05, 0.035), (-0.08, 0.3), swing=18)),
        ("near leg", Part("leg", limb((0.12, 0.3), (0.14, 0.92), 0.06, 0.04), (0.12, 0.3), swing=18)),
        ("body", Part("body", oval(0, 0.05, 0.56, 0.36, -12), (0, 0.05))),
        ("beak", Part("beak", poly((0.66, -0.46), (1.05, -0.33), (0.66, -0.24)), (0.66, -0.35), parent=5)),
        ("head", Part("head", oval(0.5, -0.36, 0.25, 0.24), (0.36, -0.16), swing=20)),
        ("eye", Part("eye", oval(0.57, -0.41, 0.055, 0.055), (0.57, -0.41), parent=5, detail=True)),
        ("wing", Part("wing", blob((0.22, -0.08), (-0.1, -0.2), (-0.68, 0.1), (-0.2, 0.26), (0.16, 0.14)),
            (0.2, 0.0), swing=32)),
    ]
    keypoints = {
        "beak tip": ("beak", (1.0, -0.33)),
        "eye": ("eye", (0.57, -0.41)),
        "crown": ("head", (0.47, -0.56)),
        "throat": ("head", (0.5, -0.16)),
        "breast": ("body", (0.46, 0.08)),
        "belly": ("body", (0.08, 0.37)),
        "back": ("body", (-0.12, -0.22)),
        "wing tip": ("wing", (-0.62, 0.1)),
        "wing shoulder": ("wing", (0.16, 0.0)),
        "tail tip": ("tail", (-0.99, 0.0)),
        "near foot": ("near leg", (0.14, 0.92)),
        "far foot": ("far leg", (-0.12, 0.88)),
    }
    return _category("bird", parts, keypoints, profile=True)


def _fish() -> Category:
    parts = [
        ("tail", Part("tail", poly((-0.5, -0.04), (-1.05, -0.42), (-0.88, 0.0), (-1.05, 0.42), (-0.5, 0.08)),
            (-0.52, 0.02), swing=24)),
        ("top fin", Part("crest", blob((0.25, -0.3), (0.05, -0.68), (-0.4, -0.55), (-0.35, -0.2)),
            (0.0, -0.25), swing=10)),
        ("bottom fin", Part("keel", blob((0.0, 0.3), (-0.12, 0.62), (-0.38, 0.55), (-0.3, 0.22)),
            (-0.1, 0.25), swing=14)),
        ("body", Part("body",
            blob((0.9, 0.05), (0.45, -0.34), (-0.1, -0.38), (-0.6, -0.08), (-0.6, 0.1), (-0.1, 0.4), (0.45, 0.36)),
            (0, 0))),
        ("head", Part("head",
            blob((0.93, 0.05), (0.62, -0.28), (0.42, -0.3), (0.48, 0.02), (0.42, 0.33), (0.66, 0.28)), (0.45, 0.02))),
        ("side fin", Part("fin", blob((0.32, 0.05), (0.0, -0.04), (-0.12, 0.16), (0.05, 0.22)),
            (0.3, 0.08), swing=34)),
        ("eye", Part("eye", oval(0.66, -0.08, 0.07, 0.07), (0.66, -0.08), parent=4, detail=True)),
    ]
    keypoints = {
        "mouth": ("head", (0.88, 0.05)),
        "eye": ("eye", (0.66, -0.08)),
        "gill": ("head", (0.5, 0.05)),
        "crest tip": ("top fin", (0.03, -0.6)),
        "crest end": ("top fin", (-0.36, -0.5)),
        "keel tip": ("bottom fin", (-0.15, 0.56)),
        "fin tip": ("side fin", (-0.08, 0.12)),
        "tail root": ("body", (-0.54, 0.0)),
        "upper tail tip": ("tail", (-1.0, -0.37)),
        "lower tail tip": ("tail", (-1.0, 0.37)),
        "belly": ("body", (0.1, 0.34)),
    }
    return _category("fish", parts, keypoints, profile=True)


def _dog() -> Category:
    parts = [
        ("tail", Part("tail", limb((-0.58, -0.1), (-0.98, -0.45), 0.07, 0.04), (-0.58, -0.1), swing=32)),
        ("far hind leg", Part("leg", limb((-0.46, 0.15), (-0.5, 0.82), 0.11, 0.06), (-0.46, 0.15), swing=22)),
        ("far front leg", Part("leg", limb((0.36, 0.15), (0.38, 0.84), 0.1, 0.06), (0.36, 0.15), swing=22)),
        ("body", Part("body",
            blob((0.5, -0.12), (0.0, -0.2), (-0.55, -0.2), (-0.66, 0.1), (-0.2, 0.24), (0.35, 0.32), (0.56, 0.12)),
            (0, 0))),
        ("near hind leg", Part("leg", limb((-0.5, 0.1), (-0.6, 0.86), 0.14, 0.07), (-0.5, 0.1), swing=22)),
        ("near front leg", Part("leg", limb((0.42, 0.12), (0.46, 0.9), 0.12, 0.07), (0.42, 0.12), swing=22)),
        ("neck", Part("neck", limb((0.42, -0.04), (0.66, -0.42), 0.19, 0.15), (0.42, -0.04), swing=16)),
        ("head", Part("head", oval(0.68, -0.5, 0.22, 0.2), (0.62, -0.42), parent=6, swing=14)),
        ("snout", Part("snout", limb((0.8, -0.46), (1.02, -0.4), 0.12, 0.09), (0.8, -0.46), parent=7)),
        ("ear", Part("ear", blob((0.56, -0.62), (0.48, -0.78), (0.38, -0.4), (0.5, -0.36)),
            (0.55, -0.62), parent=7, swing=26)),
        ("eye", Part("eye", oval(0.75, -0.56, 0.045, 0.045), (0.75, -0.56), parent=7, detail=True)),
        ("nose", Part("nose", oval(1.07, -0.45, 0.055, 0.05), (1.07, -0.45), parent=8, detail=True)),
    ]
    keypoints = {
        "nose": ("nose", (1.07, -0.45)),
        "eye": ("eye", (0.75, -0.56)),
        "ear tip": ("ear", (0.44, -0.42)),
        "crown": ("head", (0.66, -0.66)),
        "withers": ("body", (0.3, -0.14)),
        "rump": ("body", (-0.55, -0.13)),
        "belly": ("body", (0.0, 0.22)),
        "tail tip": ("tail", (-0.98, -0.45)),
        "near front paw": ("near front leg", (0.46, 0.89)),
        "near hind paw": ("near hind leg", (-0.6, 0.85)),
        "far front paw": ("far front leg", (0.38, 0.84)),
        "far hind paw": ("far hind leg", (-0.5, 0.82)),
    }
    return _category("dog", parts, keypoints, profile=True)


def _person() -> Category:
    parts = [
        ("left leg", Part("trousers", limb((-0.13, 0.2), (-0.17, 0.9), 0.13, 0.08), (-0.13, 0.2), swing=20)),
        ("right leg", Part("trousers", limb((0.13, 0.2), (0.17, 0.9), 0.13, 0.08), (0.13, 0.2), swing=20)),
        ("left shoe", Part("shoe", oval(-0.19, 0.96, 0.12, 0.06), (-0.17, 0.92), parent=0)),
        ("right shoe", Part("shoe", oval(0.19, 0.96, 0.12, 0.06), (0.17, 0.92), parent=1)),
        ("neck", Part("skin", limb((0.0, -0.45), (0.0, -0.62), 0.08, 0.08), (0.0, -0.45))),
        ("torso", Part("shirt",
            blob((-0.27, -0.48), (0.0, -0.5), (0.27, -0.48), (0.24, -0.05), (0.23, 0.26), (-0.23, 0.26),
                (-0.24, -0.05)), (0, 0.2))),
        ("left arm", Part("sleeve", limb((-0.26, -0.42), (-0.4, -0.02), 0.085, 0.07), (-0.26, -0.42), swing=48)),
        ("right arm", Part("sleeve", limb((0.26, -0.42), (0.4, -0.02), 0.085, 0.07), (0.26, -0.42), swing=48)),
        ("left hand", Part("skin", limb((-0.4, -0.02), (-0.42, 0.3), 0.06, 0.055),
            (-0.4, -0.02), parent=6, swing=40)),
        ("right hand", Part("skin", limb((0.4, -0.02), (0.42, 0.3), 0.06, 0.055), (0.4, -0.02), parent=7, swing=40)),
        ("hair", Part("hair", oval(0, -0.82, 0.185, 0.2), (0, -0.62), parent=11)),
        ("head", Part("skin", oval(0, -0.76, 0.145, 0.19), (0, -0.6), swing=14)),
    ]
    keypoints = {
        "crown": ("hair", (0, -0.98)),
        "face": ("head", (0, -0.76)),
        "chin": ("head", (0, -0.6)),
        "left shoulder": ("left arm", (-0.27, -0.42)),
        "right shoulder": ("right arm", (0.27, -0.42)),
        "left elbow": ("left arm", (-0.4, -0.04)),
        "right elbow": ("right arm", (0.4, -0.04)),
        "left wrist": ("left hand", (-0.42, 0.29)),
        "right wrist": ("right hand", (0.42, 0.29)),
        "belt": ("torso", (0, 0.22)),
        "left knee": ("left leg", (-0.15, 0.55)),
        "right knee": ("right leg", (0.15, 0.55)),
        "left foot": ("left shoe", (-0.19, 0.96)),
        "right foot": ("right shoe", (0.19, 0.96)),
    }
    return _category("person", parts, keypoints, profile=False)


def _face() -> Category:
    parts = [
        ("shoulders", Part("shirt",
            blob((-1.0, 1.3), (-0.85, 0.98), (-0.25, 0.8), (0.25, 0.8), (0.85, 0.98), (1.0, 1.3)),
            (0, 0.9), depth=-0.2)),
        ("neck", Part("skin", limb((0.0, 0.55), (0.0, 0.92), 0.26, 0.27), (0, 0.6), depth=-0.1)),
        ("back hair", Part("hair",
            blob((-0.72, 0.1), (-0.7, -0.6), (0.0, -1.0), (0.7, -0.6), (0.72, 0.1), (0.5, 0.5), (-0.5, 0.5)),
            (0, 0), depth=-0.3)),
        ("left ear", Part("ear", oval(-0.66, 0.02, 0.1, 0.18), (-0.6, 0.0), depth=-0.15)),
        ("right ear", Part("ear", oval(0.66, 0.02, 0.1, 0.18), (0.6, 0.0), depth=-0.15)),
        ("skin", Part("skin",
            blob((-0.6, -0.2), (-0.45, -0.72), (0.0, -0.86), (0.45, -0.72), (0.6, -0.2), (0.52, 0.42), (0.2, 0.9),
                (-0.2, 0.9), (-0.52, 0.42)), (0, 0))),
        ("forehead", Part("skin", oval(0.0, -0.46, 0.36, 0.16), (0, 0))),
        ("left cheek", Part("skin", oval(-0.36, 0.26, 0.17, 0.24), (0, 0), depth=0.1)),
        ("right cheek", Part("skin", oval(0.36, 0.26, 0.17, 0.24), (0, 0), depth=0.1)),
        ("chin", Part("skin", oval(0.0, 0.74, 0.26, 0.16), (0, 0.5), depth=0.12)),
        ("fringe", Part("fringe",
            blob((-0.56, -0.42), (-0.5, -0.78), (0.0, -0.95), (0.5, -0.78), (0.56, -0.42), (0.1, -0.6)),
            (0, -0.7), depth=0.05, swing=8)),
        ("left eye", Part("eye", oval(-0.26, -0.1, 0.14, 0.085), (-0.26, -0.1), depth=0.15, detail=True)),
        ("right eye", Part("eye", oval(0.26, -0.1, 0.14, 0.085), (0.26, -0.1), depth=0.15, detail=True)),
        ("left iris", Part("iris", oval(-0.26, -0.1, 0.07, 0.075), (-0.26, -0.1), depth=0.16)),
        ("right iris", Part("iris", oval(0.26, -0.1, 0.07, 0.075), (0.26, -0.1), depth=0.16)),
        ("left brow", Part("brow", limb((-0.42, -0.28), (-0.12, -0.3), 0.035, 0.045),
            (-0.26, -0.3), swing=14, depth=0.18)),
        ("right brow", Part("brow", limb((0.42, -0.28), (0.12, -0.3), 0.035, 0.045),
            (0.26, -0.3), swing=14, depth=0.18)),
        ("nose", Part("nose",
            blob((0.0, -0.12), (0.08, 0.12), (0.15, 0.26), (0.0, 0.33), (-0.15, 0.26), (-0.08, 0.12)),
            (0, 0.1), depth=0.38)),
        ("lower lip", Part("mouth", blob((-0.28, 0.54), (0.0, 0.55), (0.28, 0.54), (0.0, 0.68)),
            (0, 0.55), depth=0.22, swing=5)),
        ("upper lip", Part("mouth", blob((-0.28, 0.54), (0.0, 0.46), (0.28, 0.54), (0.0, 0.58)),
            (0, 0.55), depth=0.22, swing=5)),
    ]
    keypoints = {
        "left eye": ("left iris", (-0.26, -0.1)),
        "right eye": ("right iris", (0.26, -0.1)),
        "left brow": ("left brow", (-0.38, -0.28)),
        "right brow": ("right brow", (0.38, -0.28)),
        "nose bridge": ("nose", (0.0, -0.04)),
        "nose tip": ("nose", (0.0, 0.27)),
        "left mouth corner": ("upper lip", (-0.24, 0.54)),
        "right mouth corner": ("upper lip", (0.24, 0.54)),
        "chin": ("chin", (0.0, 0.87)),
        "left ear": ("left ear", (-0.69, 0.02)),
        "right ear": ("right ear", (0.69, 0.02)),
        "left cheek": ("left cheek", (-0.4, 0.3)),
        "right cheek": ("right cheek", (0.4, 0.3)),
        "forehead": ("fringe", (0.0, -0.78)),
    }
    return _category("face", parts, keypoints, profile=False)


def _butterfly() -> Category:
    def wing(side: int, upper: bool) -> np.ndarray:
        points = ((0.08, -0.1), (0.45, -0.75), (0.95, -0.72), (0.8, -0.12), (0.1, 0.08))
        if not upper:
            points = ((0.08, 0.05), (0.7, 0.1), (0.72, 0.55), (0.4, 0.82), (0.08, 0.3))
        return blob(*((side * x, y) for x, y in points))

    parts = [
        ("left lower", Part("lobe", wing(-1, False), (-0.05, 0.1), swing=14)),
        ("right lower", Part("lobe", wing(1, False), (0.05, 0.1), swing=14)),
        ("left upper", Part("wing", wing(-1, True), (-0.05, 0.0), swing=16)),
        ("right upper", Part("wing", wing(1, True), (0.05, 0.0), swing=16)),
        ("left spot", Part("spot", oval(-0.62, -0.46, 0.15, 0.13), (-0.05, 0.0), parent=2)),
        ("right spot", Part("spot", oval(0.62, -0.46, 0.15, 0.13), (0.05, 0.0), parent=3)),
        ("left feeler", Part("feeler", limb((-0.03, -0.4), (-0.22, -0.85), 0.02, 0.035),
            (-0.03, -0.4), swing=14, depth=0.1)),
        ("right feeler", Part("feeler", limb((0.03, -0.4), (0.22, -0.85), 0.02, 0.035),
            (0.03, -0.4), swing=14, depth=0.1)),
        ("body", Part("body", oval(0, 0.05, 0.08, 0.5), (0, 0))),
        ("head", Part("head", oval(0, -0.42, 0.1, 0.1), (0, -0.35), depth=0.05)),
    ]
    keypoints = {
        "head": ("head", (0, -0.42)),
        "abdomen": ("body", (0, 0.5)),
        "left wing tip": ("left upper", (-0.9, -0.68)),
        "right wing tip": ("right upper", (0.9, -0.68)),
        "left spot": ("left spot", (-0.62, -0.46)),
        "right spot": ("right spot", (0.62, -0.46)),
        "left lobe tip": ("left lower", (-0.41, 0.77)),
        "right lobe tip": ("right lower", (0.41, 0.77)),
        "left notch": ("left lower", (-0.66, 0.12)),
        "right notch": ("right lower", (0.66, 0.12)),
        "left feeler tip": ("left feeler", (-0.22, -0.85)),
        "right feeler tip": ("right feeler", (0.22, -0.85)),
    }
    return _category("butterfly", parts, keypoints, profile=False)


def _car() -> Category:
    parts = [
        ("cabin", Part("roof", poly((-0.55, -0.12), (-0.38, -0.52), (0.22, -0.52), (0.52, -0.12)), (0, -0.12))),
        ("rear window", Part("window", poly((-0.42, -0.14), (-0.31, -0.44), (-0.06, -0.44), (-0.06, -0.14)),
            (0, -0.12), detail=True)),
        ("front window", Part("window", poly((0.02, -0.14), (0.02, -0.44), (0.18, -0.44), (0.4, -0.14)),
            (0, -0.12), detail=True)),
        ("hull", Part("body",
            blob((-1.0, 0.0), (-0.9, -0.15), (0.4, -0.15), (0.95, -0.03), (1.02, 0.24), (0.8, 0.34),
                (-0.85, 0.34), (-1.02, 0.24)), (0, 0.1))),
        ("door", Part("door", box(-0.05, -0.1, 0.36, 0.27), (0.36, 0.1))),
        ("bumper", Part("bumper", limb((0.74, 0.3), (1.04, 0.26), 0.06, 0.06), (0.9, 0.28))),
        ("lamp", Part("lamp", oval(0.93, 0.05, 0.09, 0.07), (0.93, 0.05))),
        ("rear wheel", Part("wheel", oval(-0.56, 0.36, 0.23, 0.23), (-0.56, 0.36))),
        ("front wheel", Part("wheel", oval(0.56, 0.36, 0.23, 0.23), (0.56, 0.36))),
        ("rear hub", Part("hub", oval(-0.56, 0.36, 0.1, 0.1), (-0.56, 0.36), parent=7)),
        ("front hub", Part("hub", oval(0.56, 0.36, 0.1, 0.1), (0.56, 0.36), parent=8)),
    ]
    keypoints = {
        "front wheel": ("front hub", (0.56, 0.36)),
        "rear wheel": ("rear hub", (-0.56, 0.36)),
        "lamp": ("lamp", (0.93, 0.05)),
        "bumper": ("bumper", (1.02, 0.27)),
        "tail": ("hull", (-0.96, 0.05)),
        "roof front": ("cabin", (0.22, -0.49)),
        "roof rear": ("cabin", (-0.36, -0.49)),
        "windscreen foot": ("cabin", (0.46, -0.16)),
        "rear window foot": ("rear window", (-0.39, -0.17)),
        "door handle": ("door", (0.0, 0.0)),
        "door foot": ("door", (0.16, 0.24)),
    }
    return _category("car", parts, keypoints, profile=True)


def _boat() -> Category:
    parts = [
        ("mast", Part("mast", limb((0.0, 0.4), (0.0, -0.95), 0.04, 0.03), (0.0, 0.4), swing=6)),
        ("main sail", Part("sail", poly((-0.06, -0.85), (-0.06, 0.22), (-0.75, 0.22)),
            (0.0, 0.4), parent=0, swing=5)),
        ("jib", Part("jib", poly((0.06, -0.7), (0.06, 0.22), (0.62, 0.22)), (0.0, 0.4), parent=0, swing=5)),
        ("flag", Part("flag", poly((0.0, -1.0), (-0.3, -0.92), (0.0, -0.82)), (0.0, -0.92), parent=0, swing=20)),
        ("hull", Part("hull", blob((-0.85, 0.36), (0.0, 0.33), (0.98, 0.3), (0.62, 0.72), (0.0, 0.8), (-0.68, 0.72)),
            (0, 0.5))),
        ("band", Part("band", poly((-0.74, 0.5), (0.78, 0.46), (0.7, 0.58), (-0.7, 0.62)), (0, 0.5))),
        ("cabin", Part("cabin", box(-0.5, 0.2, -0.12, 0.4), (-0.3, 0.4))),
    ]
    keypoints = {
        "bow": ("hull", (0.9, 0.33)),
        "stern": ("hull", (-0.8, 0.42)),
        "keel": ("hull", (0.0, 0.75)),
        "mast top": ("mast", (0.0, -0.93)),
        "flag tip": ("flag", (-0.25, -0.92)),
        "sail head": ("main sail", (-0.09, -0.72)),
        "sail corner": ("main sail", (-0.67, 0.19)),
        "jib head": ("jib", (0.09, -0.55)),
        "jib corner": ("jib", (0.54, 0.19)),
        "band front": ("band", (0.7, 0.51)),
        "band rear": ("band", (-0.66, 0.56)),
        "cabin": ("cabin", (-0.31, 0.3)),
    }
    return _category("boat", parts, keypoints, profile=True)


def _aeroplane() -> Category:
    parts = [
        ("far wing", Part("wing", poly((0.15, -0.06), (-0.15, -0.58), (-0.32, -0.58), (-0.15, -0.02)),
            (0.0, -0.04), swing=8)),
        ("rudder", Part("rudder", poly((-0.62, -0.1), (-0.98, -0.62), (-0.8, -0.64), (-0.42, -0.14)), (-0.7, -0.1))),
        ("fuselage", Part("body",
            blob((1.02, 0.06), (0.7, -0.14), (0.0, -0.16), (-0.7, -0.14), (-1.0, -0.12), (-0.6, 0.12), (0.0, 0.2),
                (0.7, 0.18)), (0, 0))),
        ("nose", Part("nose", blob((1.04, 0.06), (0.8, -0.11), (0.72, 0.04), (0.8, 0.17)), (0.75, 0.03))),
        ("window", Part("window", poly((0.52, -0.1), (0.7, -0.1), (0.76, 0.0), (0.52, 0.0)),
            (0.6, -0.05), detail=True)),
        ("stabiliser", Part("fin", poly((-0.66, -0.04), (-0.95, 0.18), (-1.06, 0.18), (-0.9, -0.06)),
            (-0.75, 0.0), swing=10)),
        ("near wing", Part("wing", poly((0.25, 0.06), (-0.12, 0.66), (-0.36, 0.68), (-0.2, 0.1)),
            (0.05, 0.08), swing=8)),
        ("engine", Part("engine", limb((-0.08, 0.34), (0.18, 0.34), 0.07, 0.09), (0.05, 0.08), parent=6)),
    ]
    keypoints = {
        "nose": ("nose", (0.99, 0.06)),
        "cockpit": ("window", (0.63, -0.05)),
        "near wing tip": ("near wing", (-0.23, 0.63)),
        "near wing root": ("near wing", (0.16, 0.12)),
        "far wing tip": ("far wing", (-0.23, -0.55)),
        "rudder tip": ("rudder", (-0.88, -0.59)),
        "rudder root": ("rudder", (-0.55, -0.18)),
        "stabiliser tip": ("stabiliser", (-0.99, 0.15)),
        "engine": ("engine", (0.05, 0.34)),
        "belly": ("fuselage", (0.35, 0.15)),
        "roof": ("fuselage", (0.3, -0.11)),
    }
    return _category("aeroplane", parts, keypoints, profile=True)


def _chair() -> Category:
    parts = [
        ("far front leg", Part("leg", limb((0.62, 0.1), (0.66, 0.82), 0.055, 0.045),
            (0.62, 0.1), swing=6, depth=-0.2)),
        ("far back leg", Part("leg", limb((-0.3, 0.05), (-0.32, 0.78), 0.055, 0.045),
            (-0.3, 0.05), swing=6, depth=-0.2)),
        ("back", Part("back", blob((-0.52, 0.12), (-0.6, -0.9), (-0.2, -0.95), (-0.18, 0.05)),
            (-0.38, 0.1), swing=12)),
        ("panel", Part("panel", blob((-0.46, -0.2), (-0.5, -0.74), (-0.28, -0.78), (-0.26, -0.24)),
            (-0.38, 0.1), parent=2)),
        ("near back leg", Part("leg", limb((-0.5, 0.15), (-0.55, 0.94), 0.065, 0.05),
            (-0.5, 0.15), swing=6, depth=0.2)),
        ("near front leg", Part("leg", limb((0.44, 0.22), (0.46, 1.0), 0.065, 0.05),
            (0.44, 0.22), swing=6, depth=0.2)),
        ("seat", Part("seat", poly((-0.58, 0.14), (-0.2, -0.02), (0.74, 0.02), (0.52, 0.26), (-0.5, 0.26)),
            (0, 0.1))),
        ("arm", Part("arm", limb((-0.46, -0.26), (0.34, -0.22), 0.06, 0.07), (-0.46, -0.26), swing=6, depth=0.2)),
        ("post", Part("post", limb((0.3, -0.22), (0.32, 0.16), 0.045, 0.045), (-0.46, -0.26), parent=7)),
    ]
    keypoints = {
        "back corner": ("back", (-0.55, -0.85)),
        "far back corner": ("back", (-0.24, -0.9)),
        "panel": ("panel", (-0.38, -0.5)),
        "seat front": ("seat", (0.52, 0.22)),
        "seat far": ("seat", (0.68, 0.04)),
        "seat rear": ("seat", (-0.5, 0.22)),
        "near front foot": ("near front leg", (0.46, 0.99)),
        "near back foot": ("near back leg", (-0.55, 0.93)),
        "far front foot": ("far front leg", (0.66, 0.81)),
        "far back foot": ("far back leg", (-0.32, 0.77)),
        "arm end": ("arm", (0.36, -0.22)),
    }
    return _category("chair", parts, keypoints, profile=True)


def _flower() -> Category:
    def petal(degrees: float) -> np.ndarray:
        a = np.radians(degrees)
        return oval(0.36 * np.cos(a), -0.4 + 0.36 * np.sin(a), 0.24, 0.15, degrees)

    centre = (0.0, -0.4)
    parts = [
        ("pot", Part("pot", poly((-0.34, 0.66), (0.34, 0.66), (0.25, 1.02), (-0.25, 1.02)), (0, 0.7))),
        ("stem", Part("stem", limb((0.0, 0.7), (0.0, -0.3), 0.05, 0.04), (0.0, 0.7), swing=8)),
        ("left leaf", Part("leaf", blob((-0.02, 0.5), (-0.3, 0.12), (-0.66, 0.14), (-0.34, 0.42)),
            (0.0, 0.48), parent=1, swing=22)),
        ("right leaf", Part("leaf", blob((0.02, 0.42), (0.3, 0.04), (0.66, 0.06), (0.34, 0.34)),
            (0.0, 0.42), parent=1, swing=22)),
        ("left petal", Part("petal", petal(180), centre, parent=1)),
        ("upper left petal", Part("petal", petal(240), centre, parent=1)),
        ("upper right petal", Part("petal", petal(300), centre, parent=1)),
        ("right petal", Part("petal", petal(0), centre, parent=1)),
        ("lower right petal", Part("petal", petal(60), centre, parent=1)),
        ("lower left petal", Part("petal", petal(120), centre, parent=1)),
        ("heart", Part("heart", oval(0, -0.4, 0.2, 0.2), centre, parent=1)),
    ]
    keypoints = {
        "heart": ("heart", centre),
        "left petal": ("left petal", (-0.54, -0.4)),
        "upper left petal": ("upper left petal", (-0.27, -0.867)),
        "upper right petal": ("upper right petal", (0.27, -0.867)),
        "right petal": ("right petal", (0.54, -0.4)),
        "stem": ("stem", (0.0, 0.2)),
        "left leaf tip": ("left leaf", (-0.6, 0.16)),
        "right leaf tip": ("right leaf", (0.6, 0.08)),
        "left rim": ("pot", (-0.29, 0.7)),
        "right rim": ("pot", (0.29, 0.7)),
        "pot foot": ("pot", (0.0, 0.97)),
    }
    return _category("flower", parts, keypoints, profile=False)


def _teapot() -> Category:
    parts = [
        ("handle", Part("handle", limb((-0.5, -0.2), (-0.95, -0.12), 0.07, 0.07), (-0.5, 0.1), swing=5)),
        ("grip", Part("handle", limb((-0.95, -0.14), (-0.9, 0.3), 0.07, 0.07), (-0.5, 0.1), parent=0)),
        ("lower handle", Part("handle", limb((-0.9, 0.3), (-0.5, 0.4), 0.07, 0.07), (-0.5, 0.1), parent=0)),
        ("spout", Part("spout", blob((0.45, 0.3), (0.7, 0.0), (0.85, -0.36), (1.04, -0.36), (0.9, 0.1), (0.55, 0.48)),
            (0.5, 0.3), swing=8)),
        ("foot", Part("foot", poly((-0.34, 0.6), (0.34, 0.6), (0.42, 0.78), (-0.42, 0.78)), (0, 0.65))),
        ("belly", Part("body",
            blob((0.0, -0.4), (0.45, -0.24), (0.6, 0.2), (0.36, 0.6), (-0.36, 0.6), (-0.6, 0.2), (-0.45, -0.24)),
            (0, 0.1))),
        ("band", Part("band",
            blob((-0.57, 0.08), (0.0, 0.14), (0.57, 0.08), (0.58, 0.26), (0.0, 0.34), (-0.58, 0.26)), (0, 0.1))),
        ("lid", Part("lid", blob((-0.38, -0.32), (-0.2, -0.54), (0.2, -0.54), (0.38, -0.32), (0.0, -0.26)),
            (0, -0.35), swing=8)),
        ("knob", Part("knob", oval(0, -0.64, 0.1, 0.1), (0, -0.35), parent=7)),
    ]
    keypoints = {
        "spout tip": ("spout", (0.94, -0.32)),
        "spout root": ("spout", (0.62, 0.3)),
        "knob": ("knob", (0, -0.64)),
        "lid left": ("lid", (-0.32, -0.35)),
        "lid right": ("lid", (0.32, -0.35)),
        "handle top": ("handle", (-0.92, -0.13)),
        "handle foot": ("lower handle", (-0.86, 0.31)),
        "band middle": ("band", (0.0, 0.23)),
        "belly left": ("belly", (-0.5, 0.42)),
        "belly right": ("belly", (0.46, 0.46)),
        "foot left": ("foot", (-0.36, 0.73)),
        "foot right": ("foot", (0.36, 0.73)),
    }
    return _category("teapot", parts, keypoints, profile=True)
# fmt: on


@cache
def categories() -> dict[str, Category]:
    """Every category of the world by name, in a fixed order."""
    makers = (_bird, _fish, _dog, _person, _face, _butterfly, _car, _boat, _aeroplane, _chair, _flower, _teapot)
    return {category.name: category for category in (make() for make in makers)}
