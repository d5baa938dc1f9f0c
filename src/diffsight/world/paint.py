"""Painting: colours with names, textures, backgrounds, and one routine that lays a lit, textured region on a canvas."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

PLAIN, TEXTURES = 8, 18
"""How many textures there are, and how many of them are plain."""

NATIVE_SIDE = 128
"""The picture side at which a texture cell is one pixel; larger pictures show the same texture magnified."""

COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.82, 0.14, 0.14),
    "orange": (0.93, 0.52, 0.13),
    "yellow": (0.93, 0.84, 0.20),
    "green": (0.22, 0.62, 0.24),
    "cyan": (0.25, 0.75, 0.78),
    "blue": (0.16, 0.32, 0.80),
    "purple": (0.50, 0.22, 0.68),
    "pink": (0.93, 0.55, 0.70),
    "brown": (0.45, 0.29, 0.16),
    "white": (0.92, 0.92, 0.90),
    "grey": (0.52, 0.52, 0.53),
    "black": (0.10, 0.10, 0.11),
}


@cache
def textures() -> Array:
    """The texture bank: (TEXTURES, 256, 256) float32 fields in [-1, 1]; the first ``PLAIN`` are plain."""
    rng = np.random.default_rng(20240607)
    y, x = np.mgrid[0:256, 0:256].astype(np.float32)

    def noise(cells: int) -> Array:
        field = rng.standard_normal((cells, cells)).astype(np.float32)
        return cv2.resize(field, (256, 256), interpolation=cv2.INTER_CUBIC) / 1.5

    bank: list[Array] = [np.zeros((256, 256), np.float32)] * PLAIN
    bank += [noise(cells) for cells in (16, 40)]
    bank += [0.6 * noise(12) + 0.4 * noise(48) + 0.3 * noise(160)]
    bank += [np.sign(np.sin(x * f + y * g)) for f, g in ((0.9, 0.0), (0.0, 0.9), (0.6, 0.6), (0.35, -0.5))]
    bank += [np.sign(np.sin(x * 0.55) * np.sin(y * 0.55))]
    bank += [np.where(np.sin(x * f) * np.sin(y * f) > 0.45, 1.0, -0.25) for f in (0.4,)]
    bank += [np.sin(x * 0.3 + 3 * noise(20))]
    return np.clip(np.stack(bank), -1, 1).astype(np.float32)


def texture_window(index: int, offset: tuple[int, int], height: int, width: int, cell: float) -> Array:
    """A (height, width) window of a texture at a magnification of ``cell`` pixels a texture cell."""
    side = 256 - 128
    rows, columns = min(side, int(np.ceil(height / cell)) + 1), min(side, int(np.ceil(width / cell)) + 1)
    window = textures()[index, offset[0] : offset[0] + rows, offset[1] : offset[1] + columns]
    if cell == 1 and rows >= height and columns >= width:
        return window[:height, :width]
    return cv2.resize(window, (width, height), interpolation=cv2.INTER_LINEAR)


def lay(
    canvas: Array,
    outline: Array,
    colour: Array,
    *,
    texture: tuple[int, tuple[int, int], Array] | None = None,
    light: tuple[float, float] = (0.0, 0.0),
    pillow: float = 0.0,
) -> tuple[tuple[slice, slice], Array] | None:
    """Paint a region with anti-aliased edges onto ``canvas`` in place.

    Args:
        canvas: (H, W, 3) float32 in [0, 1].
        outline: (N, 2) points in pixels, pixel centres at +0.5.
        colour: (3,) float.
        texture: bank index, window offset, and the (3,) strength of the texture in each colour channel.
        light: brightness change from the region's middle to its rim along x and y.
        pillow: how much darker the region gets towards its rim, in [0, 1].

    Returns:
        The (row, column) slices of the touched window and its (h, w) bool mask, or None if nothing is in the picture.
    """
    height, width = canvas.shape[:2]
    x0, y0 = np.floor(outline.min(axis=0)).astype(int) - 1
    x1, y1 = np.ceil(outline.max(axis=0)).astype(int) + 1
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if left >= right or top >= bottom:
        return None
    mask = np.zeros((bottom - top, right - left), np.uint8)
    fixed = np.round((outline - 0.5 - (left, top)) * 16).astype(
        np.int32
    )  # 4 fractional bits; OpenCV centres pixels at 0
    cv2.fillPoly(mask, [fixed], 255, lineType=cv2.LINE_AA, shift=4)
    shade = np.ones(mask.shape, np.float32)
    if light != (0.0, 0.0):
        u = np.linspace(
            2 * (left - x0) / (x1 - x0) - 1, 2 * (right - x0) / (x1 - x0) - 1, right - left, dtype=np.float32
        )
        v = np.linspace(
            2 * (top - y0) / (y1 - y0) - 1, 2 * (bottom - y0) / (y1 - y0) - 1, bottom - top, dtype=np.float32
        )
        shade += light[0] * u + light[1] * v[:, None]
    if pillow:
        reach = max(3, min(mask.shape) // 2) | 1
        shade *= 1 - pillow + pillow * (cv2.blur(mask, (reach, reach)).astype(np.float32) / 255)
    paint = shade[..., None] * colour.astype(np.float32)
    if texture is not None and texture[0] >= PLAIN:
        cell = min(height, width) / NATIVE_SIDE
        window = texture_window(texture[0], texture[1], mask.shape[0], mask.shape[1], cell)
        paint += window[..., None] * texture[2].astype(np.float32)
    target = canvas[top:bottom, left:right]
    alpha = mask.astype(np.float32)[..., None] * (1 / 255)
    target += (paint - target) * alpha
    return (slice(top, bottom), slice(left, right)), mask > 127


def background(rng: np.random.Generator, height: int, width: int, base: Array) -> Array:
    """A backdrop around the colour ``base``: flat, graded, with a horizon, or mottled; (H, W, 3) float32."""
    other = rng.random(3)
    kind = rng.integers(4)
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    if rng.random() < 0.5:
        ramp = ramp * rng.uniform(0.2, 0.8) + np.linspace(0, 1, width, dtype=np.float32)[None] * rng.uniform(-0.5, 0.5)
    if kind == 0:
        mix = np.zeros((height, width), np.float32)
    elif kind == 1:
        mix = np.broadcast_to(np.clip(ramp * 0.7, 0, 1), (height, width))
    elif kind == 2:
        mix = np.broadcast_to(np.clip((ramp - rng.uniform(0.45, 0.8)) * 40, 0, 1), (height, width))
    else:
        cells = int(rng.integers(3, 9))
        mix = (
            cv2.resize(rng.random((cells, cells), dtype=np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
            * 0.7
        )
    canvas = base.astype(np.float32) + mix[..., None] * (other - base).astype(np.float32)
    index = int(rng.integers(TEXTURES))
    if index >= PLAIN:
        cell = min(height, width) / NATIVE_SIDE * rng.choice([1.0, 2.0])
        offset = (int(rng.integers(128)), int(rng.integers(128)))
        strength = rng.uniform(-0.1, 0.1, 3).astype(np.float32)
        canvas += texture_window(index, offset, height, width, float(cell))[..., None] * strength
    return np.ascontiguousarray(canvas, dtype=np.float32)


def finish(rng: np.random.Generator, canvas: Array) -> Array:
    """The camera: saturation, exposure, contrast, tint, a little blur and grain; (H, W, 3) uint8."""
    grey = canvas.mean(axis=2, keepdims=True)
    canvas = grey + (canvas - grey) * np.float32(rng.uniform(0.5, 1.05))
    gain = rng.uniform(0.8, 1.15) * (1 + rng.uniform(-0.07, 0.07, 3))
    picture = (canvas - 0.5) * np.float32(rng.uniform(0.8, 1.15)) + np.float32(0.5 + rng.uniform(-0.06, 0.06))
    picture *= gain.astype(np.float32)
    if rng.random() < 0.3:
        picture[:] = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 0.9) * min(canvas.shape[:2]) / NATIVE_SIDE)
    if rng.random() < 0.3:
        grain = rng.standard_normal((*picture.shape[:2], 1), dtype=np.float32)
        picture += grain * np.float32(rng.uniform(0.005, 0.02))
    return (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)
