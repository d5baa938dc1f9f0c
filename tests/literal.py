"""The papers' formulas written plainly: slow, and what the fast versions are held against."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def upsample(features: Tensor, height: int, width: int) -> Tensor:
    return F.interpolate(features[None], (height, width), mode="bilinear", align_corners=False)[0]


def full_cosines(
    source: Tensor, source_size: tuple[int, int], pixels: np.ndarray, target: Tensor, size: tuple[int, int]
) -> Tensor:
    """DIFT as published: both maps at full size, normalised per pixel, the source read at integer pixels (x, y)."""
    a = upsample(source, *source_size)
    b = upsample(target, *size)
    a = a / a.norm(dim=0, keepdim=True).clamp(min=1e-12)
    b = b / b.norm(dim=0, keepdim=True).clamp(min=1e-12)
    vectors = a[:, pixels[:, 1], pixels[:, 0]].T
    return torch.einsum("kc,chw->khw", vectors, b)


def window_soft_argmax(
    scores: np.ndarray, window: int, temperature: float, masking: str = "inf"
) -> tuple[float, float]:
    """Zhang et al., 2023 (arXiv 2311.17034), cell by cell of an (h, w) map: (x, y); ``zero`` multiplies by the mask."""
    cells = [(y, x) for y in range(scores.shape[0]) for x in range(scores.shape[1])]
    best_y, best_x = max(cells, key=lambda cell: scores[cell])
    total = mean_x = mean_y = 0.0
    for y, x in cells:
        inside = abs(y - best_y) <= window and abs(x - best_x) <= window
        if inside or masking == "zero":
            weight = math.exp((scores[y, x] * inside - scores[best_y, best_x]) / temperature)
            total, mean_x, mean_y = total + weight, mean_x + weight * x, mean_y + weight * y
    return mean_x / total, mean_y / total


def aggregate(levels: list[tuple[Tensor, tuple[int, int]]], weights: list[float]) -> Tensor:
    """DiffSeg, section 3.2, as published: upsample the keys, divide by the sum, repeat the queries, add."""
    height, width = max((grid for _, grid in levels), key=lambda g: g[0] * g[1])
    total = torch.zeros(height, width, height, width, dtype=torch.float64)
    for (attention, (h, w)), weight in zip(levels, weights, strict=True):
        keys = attention.double().reshape(h * w, 1, h, w)
        keys = F.interpolate(keys, (height, width), mode="bilinear", align_corners=False)
        keys = (keys / keys.sum(dim=(2, 3), keepdim=True)).reshape(h, w, height, width)
        total += weight * keys.repeat_interleave(height // h, 0).repeat_interleave(width // w, 1)
    return total.reshape(height * width, height * width)


def divergence(p: Tensor, q: Tensor) -> float:
    """Symmetric Kullback-Leibler divergence of two distributions, in nats."""
    p, q = p.double().clamp(min=1.2e-38), q.double().clamp(min=1.2e-38)
    return float(0.5 * (p * (p / q).log()).sum() + 0.5 * (q * (q / p).log()).sum())


def diffseg(maps: Tensor, anchors: list[int], thresholds: list[float], disjoint: bool = False) -> Tensor:
    """DiffSeg, section 3.3, as the reference code runs it, one comparison at a time."""
    maps = maps.double()
    proposals = []
    for a in anchors:
        like = [q for q in range(len(maps)) if q == a or divergence(maps[a], maps[q]) < thresholds[0]]
        proposals.append(maps[like].mean(dim=0))
    for threshold in thresholds[1:]:
        taken: set[int] = set()
        merged = []
        for i, own in enumerate(proposals):
            if i in taken:
                continue
            like = [j for j, other in enumerate(proposals) if i == j or divergence(own, other) < threshold]
            used = [j for j in like if j not in taken] if disjoint else like
            taken |= set(like)
            merged.append(torch.stack([proposals[j] for j in used]).mean(dim=0))
        proposals = merged
    return torch.stack(proposals)


def labels(maps: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """The highest of (K, h, w) maps at every point of a raster, each map interpolated everywhere."""
    from scipy.ndimage import map_coordinates

    _, height, width = maps.shape
    at = np.meshgrid(np.clip(rows, 0, height - 1), np.clip(columns, 0, width - 1), indexing="ij")
    return np.stack([map_coordinates(m, at, order=1) for m in maps]).argmax(axis=0)


def ncut_cost(weights: np.ndarray, side: np.ndarray) -> float:
    """Shi and Malik's normalised cut, summed pair by pair."""
    n = range(len(weights))
    cut = sum(weights[i, j] for i in n for j in n if side[i] and not side[j])
    upper = sum(weights[i, j] for i in n for j in n if side[i])
    lower = sum(weights[i, j] for i in n for j in n if not side[i])
    return cut / upper + cut / lower


def guided_filter(colours: np.ndarray, mask: np.ndarray, radius: int, smoothness: float) -> np.ndarray:
    """Guided filter: ridge regression of the mask on colour in every window, averaged over the windows of a pixel."""
    height, width = mask.shape
    total, count = np.zeros(mask.shape), np.zeros(mask.shape)
    for y in range(radius, height - radius):
        for x in range(radius, width - radius):
            window = slice(y - radius, y + radius + 1), slice(x - radius, x + radius + 1)
            guide, wanted = colours[window].reshape(-1, 3), mask[window].ravel()
            centred = guide - guide.mean(axis=0)
            spread = centred.T @ centred / len(guide) + smoothness * np.eye(3)
            slope = np.linalg.solve(spread, centred.T @ (wanted - wanted.mean()) / len(guide))
            offset = wanted.mean() - slope @ guide.mean(axis=0)
            total[window] += colours[window] @ slope + offset
            count[window] += 1
    return total / np.maximum(count, 1)


def best_buddies(a: np.ndarray, b: np.ndarray) -> list[tuple[int, int]]:
    """Rows that are each other's first nearest neighbour by inner product, by a double loop."""
    there = [max(range(len(b)), key=lambda j: (float(row @ b[j]), -j)) for row in a]
    back = [max(range(len(a)), key=lambda i: (float(row @ a[i]), -i)) for row in b]
    return [(i, j) for i, j in enumerate(there) if back[j] == i]


def moving_least_squares(
    point: np.ndarray, source: np.ndarray, target: np.ndarray, falloff: float, softness: float = 0.0
) -> np.ndarray:
    """Schaefer et al., 2006, equation 5, for one point that is no control point, sum by sum; softness 0 is theirs."""
    weights = [1 / float((p - point) @ (p - point) + softness**2) ** falloff for p in source]
    middle = sum(w * p for w, p in zip(weights, source, strict=True)) / sum(weights)
    goal = sum(w * q for w, q in zip(weights, target, strict=True)) / sum(weights)
    moments, mixed = np.zeros((2, 2)), np.zeros((2, 2))
    for w, p, q in zip(weights, source, target, strict=True):
        moments += w * np.outer(p - middle, p - middle)
        mixed += w * np.outer(p - middle, q - goal)
    return (point - middle) @ np.linalg.inv(moments) @ mixed + goal


def published_edit(
    source: Tensor, source_size: tuple[int, int], pixels: np.ndarray, target: Tensor, size: tuple[int, int]
) -> Tensor:
    """DIFT's edit script: cells normalised first, corner-aligned reading of the source, distance to every pixel."""
    a, b = (f / f.norm(dim=0, keepdim=True).clamp(min=1e-12) for f in (source, target))
    ends = np.maximum(np.array(source_size[::-1]) - 1, 1)
    at = torch.from_numpy(pixels / ends * 2 - 1).to(a)[None, :, None]
    vectors = F.grid_sample(a[None], at, mode="bilinear", align_corners=True)[0, :, :, 0].T
    return torch.cdist(vectors, upsample(b, *size).flatten(1).T).view(len(pixels), *size)


def propagate(
    target: Tensor,
    context: list[Tensor],
    labels: list[Tensor],
    radius: int,
    top: int,
    temperature: float,
    circle: bool = False,
) -> Tensor:
    """DIFT's label propagation as published: all cells against all, a window of zeros, values below the k-th dropped.

    ``target`` and each of ``context`` are (C, h, w), each of ``labels`` (L, h, w).
    """
    channels, height, width = target.shape
    queries = target.reshape(channels, -1)
    queries = queries / queries.norm(dim=0).clamp(min=1e-12)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    dy, dx = ((axis.reshape(-1, 1) - axis.reshape(1, -1)).abs() for axis in (y, x))
    window = (dy**2 + dx**2 < radius**2 if circle else (dy <= radius) & (dx <= radius)).to(target.dtype)
    affinity = []
    for frame in context:
        keys = frame.reshape(channels, -1)
        keys = keys / keys.norm(dim=0).clamp(min=1e-12)
        affinity.append(torch.exp(queries.T @ keys / temperature) * window)
    whole = torch.cat(affinity, dim=1)
    least = whole.topk(min(top, whole.shape[1]), dim=1).values[:, -1:]
    whole = torch.where(whole < least, 0.0, whole)
    whole = whole / whole.sum(dim=1, keepdim=True)
    known = torch.cat([own.reshape(len(own), -1) for own in labels], dim=1)
    return (known @ whole.T).reshape(-1, height, width)
