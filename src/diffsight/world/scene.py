"""Procedural pictures with exact truth: keypoints, visibility, part and object masks, captions, homographies, clips.

Every picture is a pure function of its seed and size. Seeds below ``RESERVED`` may be trained on; those from
``RESERVED`` on are kept for scoring, and the ones from ``TUNING`` to ``RESERVED`` for choosing settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ..errors import InvalidInput
from ..grid import warp_points
from .anatomy import Category, categories
from .looks import Look, any_look, lifelike_look
from .paint import COLOURS, TEXTURES, Array, background, finish, lay

TUNING = 900_000_000
RESERVED = 1_000_000_000
CLUTTER = 255


@dataclass(frozen=True)
class Pose:
    """Where and how an object stands; everything that a clip moves.

    Attributes:
        centre: (x, y) as a fraction of width and height.
        size: half extent as a fraction of the shorter side.
        angle: in-plane turn, degrees clockwise.
        stretch: (x, y) scale of the canonical frame.
        yaw: turn about the vertical axis, radians.
        flipped: a profile object faces left instead of right.
        turns: (P,) turn of each part about its joint, degrees.
        grows: (P,) scale of each part about its joint.
        bend: (4,) a smooth warp of the canonical frame: amplitude and phase along x, then along y.
    """

    centre: Array
    size: float
    angle: float
    stretch: Array
    yaw: float
    flipped: bool
    turns: Array
    grows: Array
    bend: Array


@dataclass(frozen=True)
class WorldObject:
    """The truth about one object.

    Attributes:
        category: its kind.
        names: names of its keypoints.
        keypoints: (K, 2) as (x, y) in pixels, pixel centres at +0.5.
        visible: (K,) bool: inside the picture and not covered by another part or object.
        box: (x0, y0, x1, y1) around the pixels that show it; all zero if none do.
        caption: what it is and the colour of its parts.
        pose: how it stands.
    """

    category: str
    names: tuple[str, ...]
    keypoints: Array
    visible: Array
    box: Array
    caption: str
    pose: Pose


@dataclass(frozen=True)
class Scene:
    """A picture and its truth.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        objects: from back to front.
        instances: (H, W) uint8; 0 is background, i + 1 is ``objects[i]``, 255 is clutter in front.
        parts: (H, W) uint8; 0 is background, p + 1 is part p of the object shown there.
        caption: the whole picture in words.
    """

    image: Array
    objects: tuple[WorldObject, ...]
    instances: Array
    parts: Array
    caption: str


@dataclass(frozen=True)
class ScenePair:
    """Two pictures of one category."""

    source: Scene
    target: Scene


@dataclass(frozen=True)
class WarpPair:
    """Two views of one plane; ``homography`` (3, 3) maps pixels of the source to pixels of the target."""

    source: Array
    target: Array
    homography: Array


def _sample_pose(rng: np.random.Generator, category: Category, crowd: int) -> Pose:
    n = len(category.parts)
    size = rng.uniform(0.28, 0.46) if crowd == 1 else rng.uniform(0.2, 0.32)
    spread = 0.48 - 0.7 * size if crowd == 1 else 0.3
    swing = np.array([part.swing for part in category.parts])
    return Pose(
        centre=0.5 + rng.uniform(-spread, spread, 2),
        size=float(size),
        angle=float(np.clip(rng.normal(0, 12), -45, 45)),
        stretch=rng.uniform(0.82, 1.2, 2),
        yaw=float(rng.uniform(-0.55, 0.55)),
        flipped=bool(category.profile and rng.random() < 0.5),
        turns=rng.uniform(-1, 1, n) * swing,
        grows=rng.uniform(0.85, 1.18, n),
        bend=np.array([rng.uniform(-0.1, 0.1), rng.uniform(0, 6.28), rng.uniform(-0.1, 0.1), rng.uniform(0, 6.28)]),
    )


def place(category: Category, pose: Pose, height: int, width: int) -> tuple[list[Array], Array]:
    """Put an object into a picture.

    Returns:
        The outline of each part as (N, 2) and the keypoints as (K, 2), in pixels with centres at +0.5.
    """
    outlines = [part.outline for part in category.parts]
    owners = [i for i, outline in enumerate(outlines) for _ in outline]
    owners += [part for part, _ in category.keypoints.values()]
    points = np.concatenate([*outlines, np.array([xy for _, xy in category.keypoints.values()])])
    pieces = np.split(carry(category, pose, points, owners, height, width), np.cumsum([len(o) for o in outlines]))
    return pieces[:-1], pieces[-1]


def carry(category: Category, pose: Pose, points: Array, owners: Sequence[int], height: int, width: int) -> Array:
    """From the canonical frame into a picture.

    Args:
        category, pose: of the object.
        points: (N, 2) in the canonical frame.
        owners: the part that each point moves with.
        height, width: of the picture, pixels.

    Returns:
        (N, 2) pixels with centres at +0.5.
    """
    affine: dict[int, Array] = {}

    def motion(index: int) -> Array:
        if index not in affine:
            part = category.parts[index]
            a = np.radians(pose.turns[index])
            linear = pose.grows[index] * np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
            own = np.eye(3)
            own[:2, :2], own[:2, 2] = linear, np.array(part.pivot) - linear @ np.array(part.pivot)
            affine[index] = own if part.parent < 0 else motion(part.parent) @ own
        return affine[index]

    moves = np.stack([motion(i) for i in range(len(category.parts))])[list(owners)]
    points = np.einsum("nij,nj->ni", moves[:, :2, :2], points) + moves[:, :2, 2]

    amplitude_x, phase_x, amplitude_y, phase_y = pose.bend
    points = points + np.stack(
        [amplitude_x * np.sin(2.2 * points[:, 1] + phase_x), amplitude_y * np.sin(2.2 * points[:, 0] + phase_y)], axis=1
    )
    depth = np.array([part.depth for part in category.parts])[list(owners)]
    x = points[:, 0] * np.cos(pose.yaw) + depth * np.sin(pose.yaw)
    points = np.stack([-x if pose.flipped else x, points[:, 1]], axis=1) * pose.stretch
    a = np.radians(pose.angle)
    points = points @ np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return points * pose.size * min(height, width) + pose.centre * (width, height)


def _describe(category: Category, pose: Pose, look: Look) -> str:
    painted = {part.name: word for part, word in zip(category.parts, look.words, strict=True) if word}
    if category.profile:
        facing = "left" if pose.flipped else "right"
    else:
        facing = "left" if pose.yaw < -0.2 else "right" if pose.yaw > 0.2 else "front"
    return ", ".join([f"a {category.name}", *(f"{word} {name}" for name, word in painted.items()), f"facing {facing}"])


def _clutter(rng: np.random.Generator, canvas: Array, count: int) -> list[tuple[tuple[slice, slice], Array]]:
    """Paint ``count`` meaningless blobs and polygons; returns the window and mask of each."""
    height, width = canvas.shape[:2]
    touched = []
    for _ in range(count):
        corners = int(rng.integers(3, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radius = rng.uniform(0.04, 0.16) * min(height, width) * rng.uniform(0.5, 1, corners)
        middle = rng.random(2) * (width, height)
        outline = middle + radius[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        texture = (
            int(rng.integers(TEXTURES)),
            (int(rng.integers(128)), int(rng.integers(128))),
            rng.uniform(-0.12, 0.12, 3),
        )
        light = (float(rng.uniform(-0.2, 0.2)), float(rng.uniform(-0.2, 0.2)))
        painted = lay(canvas, outline, rng.random(3), texture=texture, light=light, pillow=float(rng.uniform(0, 0.4)))
        if painted is not None:
            touched.append(painted)
    return touched


def _visible(points: Array, owners: Array, shown: Array) -> Array:
    """Whether the part that owns each point shows within 1.5 % of the shorter side of it."""
    height, width = shown.shape
    reach = max(1, round(0.015 * min(height, width)))
    seen = np.zeros(len(points), bool)
    for i, ((x, y), owner) in enumerate(zip(points, owners, strict=True)):
        if 0 <= x < width and 0 <= y < height:
            row, column = int(y), int(x)
            window = shown[max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
            seen[i] = bool((window == owner).any())
    return seen


@dataclass(frozen=True)
class Cast:
    """All that a picture is painted from, except its size: kinds, poses, looks, and the seed of its surroundings."""

    kinds: tuple[Category, ...]
    poses: tuple[Pose, ...]
    looks: tuple[Look, ...]
    stage_seed: tuple[int, ...]

    @classmethod
    def draw(cls, seed: tuple[int, ...], kinds: tuple[str, ...], *, lifelike: bool = False) -> Cast:
        """Draw poses and looks for objects of the named kinds, from back to front."""
        rng = np.random.default_rng([*seed, 1])
        known = categories()
        for kind in kinds:
            if kind not in known:
                raise InvalidInput(f"unknown category {kind!r}; the world knows {', '.join(known)}")
        chosen = tuple(known[kind] for kind in kinds)
        poses = tuple(_sample_pose(rng, category, len(chosen)) for category in chosen)
        look = lifelike_look if lifelike else any_look
        return cls(chosen, poses, tuple(look(rng, category) for category in chosen), seed)

    def render(self, height: int, width: int, backdrop: Array | None = None) -> Scene:
        """Paint the picture, on a drawn background or on a (height, width, 3) uint8 one, and read its truth off."""
        rng = np.random.default_rng([*self.stage_seed, 2])
        words = tuple(COLOURS)
        base = words[rng.integers(len(words))]
        canvas = background(rng, height, width, np.clip(np.array(COLOURS[base]) + rng.uniform(-0.08, 0.08, 3), 0, 1))
        if backdrop is not None:  # the background is drawn all the same, so that what is painted on it stays the same
            canvas = backdrop.astype(np.float32) / 255
        _clutter(rng, canvas, int(rng.integers(0, 5)))
        angle, strength = rng.uniform(0, 2 * np.pi), rng.uniform(0, 0.35)
        light = (float(strength * np.cos(angle)), float(strength * np.sin(angle)))

        instances = np.zeros((height, width), np.uint8)
        parts = np.zeros((height, width), np.uint8)
        keypoints = []
        for number, (category, pose, look) in enumerate(zip(self.kinds, self.poses, self.looks, strict=True), start=1):
            outlines, points = place(category, pose, height, width)
            keypoints.append(points)
            for index, outline in enumerate(outlines):
                painted = lay(
                    canvas, outline, look.colours[index], texture=look.textures[index], light=light, pillow=look.pillow
                )
                if painted is not None:
                    window, mask = painted
                    instances[window][mask] = number
                    parts[window][mask] = index + 1
        if rng.random() < 0.35:
            for window, mask in _clutter(rng, canvas, int(rng.integers(1, 3))):
                instances[window][mask] = CLUTTER
                parts[window][mask] = 0
        image = finish(rng, canvas)

        objects = []
        for number, (category, pose, look) in enumerate(zip(self.kinds, self.poses, self.looks, strict=True), start=1):
            mine = instances == number
            owners = np.array([part + 1 for part, _ in category.keypoints.values()])
            objects.append(
                WorldObject(
                    category=category.name,
                    names=tuple(category.keypoints),
                    keypoints=keypoints[number - 1],
                    visible=_visible(keypoints[number - 1], owners, np.where(mine, parts, 0)),
                    box=_box(mine),
                    caption=_describe(category, pose, look),
                    pose=pose,
                )
            )
        captions = [thing.caption for thing in objects] + ([f"on {base}"] if backdrop is None else [])
        caption = ", ".join(captions)
        return Scene(image, tuple(objects), instances, parts, caption)


def _box(mask: Array) -> Array:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return np.zeros(4)
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)


def make_scene(
    seed: int,
    height: int = 128,
    width: int | None = None,
    *,
    kinds: tuple[str, ...] | None = None,
    count: int = 1,
    backdrop: Array | None = None,
    lifelike: bool = False,
) -> Scene:
    """Draw one picture.

    Args:
        seed: any non-negative integer; the same seed gives the same bytes.
        height, width: the picture's size in pixels; square if ``width`` is left out.
        kinds: the category of each object from back to front; drawn at random if left out.
        count: how many objects to draw if ``kinds`` is left out.
        backdrop: (height, width, 3) uint8 RGB to paint on instead of a drawn background.
        lifelike: paint faces and persons in the colours of people; by default every part may have any colour.

    Raises:
        InvalidInput: for an unknown category, a size below 16 pixels, no object, or a backdrop of another shape.
    """
    width = height if width is None else width
    if min(height, width) < 16:
        raise InvalidInput(f"a world picture of {width}x{height} pixels is too small; both sides must be at least 16")
    if kinds is None:
        pool = tuple(categories())
        kinds = tuple(pool[i] for i in np.random.default_rng([seed, 0]).integers(len(pool), size=count))
    if not kinds:
        raise InvalidInput("a world picture needs at least one object; give count >= 1 or name kinds")
    if backdrop is not None and backdrop.shape != (height, width, 3):
        raise InvalidInput(f"a backdrop of shape {backdrop.shape} does not suit; it must be {(height, width, 3)}")
    return Cast.draw((seed,), kinds, lifelike=lifelike).render(height, width, backdrop)


def make_pair(seed: int, height: int = 128, width: int | None = None, *, kind: str | None = None) -> ScenePair:
    """Draw two pictures of one category; their keypoints correspond by index."""
    if kind is None:
        pool = tuple(categories())
        kind = pool[seed % len(pool)]
    width = height if width is None else width
    source, target = (Cast.draw((seed, side), (kind,)).render(height, width) for side in (10, 11))
    return ScenePair(source, target)


def make_warp_pair(seed: int, height: int = 128, width: int | None = None, *, strength: float = 0.25) -> WarpPair:
    """Draw a crowded picture and a second view of it as a plane, under other light.

    Args:
        seed: any non-negative integer.
        height, width: the size of both pictures.
        strength: how far the corners move, as a fraction of the sides.
    """
    width = height if width is None else width
    rng = np.random.default_rng([seed, 3])
    margin = 1.6
    whole = make_scene(seed, round(height * margin), round(width * margin), count=4).image
    offset = np.array([(whole.shape[1] - width) // 2, (whole.shape[0] - height) // 2])
    source = np.ascontiguousarray(whole[offset[1] : offset[1] + height, offset[0] : offset[0] + width])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], dtype=np.float32)
    moved = corners + rng.uniform(-strength, strength, (4, 2)) * (width, height)
    homography = cv2.getPerspectiveTransform(moved.astype(np.float32), corners)
    to_source = np.eye(3)
    to_source[:2, 2] = -offset
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # OpenCV centres pixels at 0, we at +0.5
    target = cv2.warpPerspective(
        whole, np.linalg.inv(half) @ homography @ to_source @ half, (width, height), borderMode=cv2.BORDER_REFLECT
    )
    return WarpPair(source, finish(rng, target.astype(np.float32) / 255), homography / homography[2, 2])


def make_clip(
    seed: int,
    frames: int = 24,
    height: int = 128,
    width: int | None = None,
    *,
    kinds: tuple[str, ...] | None = None,
    count: int = 2,
) -> list[Scene]:
    """Draw a clip in which objects drift, turn and swing their parts; every frame carries its own truth.

    Args:
        seed: any non-negative integer.
        frames: how many.
        height, width: the size of each.
        kinds: the category of each object from back to front; drawn at random if left out.
        count: how many objects to draw if ``kinds`` is left out.
    """
    width = height if width is None else width
    if frames < 1:
        raise InvalidInput(f"a clip of {frames} frames is empty; ask for at least 1")
    rng = np.random.default_rng([seed, 4])
    if kinds is None:
        pool = tuple(categories())
        kinds = tuple(pool[i] for i in rng.integers(len(pool), size=count))
    count = len(kinds)
    cast = Cast.draw((seed, 12), kinds)
    drift = rng.uniform(-0.18, 0.18, (count, 2))
    turn, zoom, yaw = rng.uniform(-25, 25, count), rng.uniform(-0.15, 0.15, count), rng.uniform(-0.4, 0.4, count)
    rhythm, phase = rng.uniform(0.5, 1.5, count), rng.uniform(0, 2 * np.pi, count)

    def at(moment: float) -> Cast:
        poses = tuple(
            replace(
                pose,
                centre=pose.centre + drift[i] * moment,
                angle=pose.angle + turn[i] * moment,
                size=pose.size * (1 + zoom[i] * moment),
                yaw=pose.yaw + yaw[i] * moment,
                turns=pose.turns * np.cos(2 * np.pi * rhythm[i] * moment + phase[i]),
            )
            for i, pose in enumerate(cast.poses)
        )
        return replace(cast, poses=poses)

    return [at(i / max(1, frames - 1)).render(height, width) for i in range(frames)]


def warp_keypoints(points: Array, homography: Array) -> Array:
    """Where (N, 2) pixels of a warp pair's source land in its target."""
    return warp_points(points, homography)
