"""Keypoints of SuperPoint (DeTone, Malisiewicz and Rabinovich, 2018, arXiv 1712.07629) through transformers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from ..device import pick_device
from ..grid import Fit, Points
from ..images import network_input
from ..types import Picture
from .loading import load_transformer
from .weights import NETWORKS, resolve

SIDE = 1024
"""Longer side that photos are shrunk to, pixels."""

CELL = 8
"""Sides of the network's input are multiples of this many pixels."""

LUMA = (0.299, 0.587, 0.114)


class SuperPoint:
    """Finds the keypoints of a photo that SuperPoint is surest of; its descriptors are not used.

    The published weights are for non-commercial use only. They are looked for as those of any other network are: the
    variable ``DIFFSIGHT_SUPERPOINT``, the caches, the hub (``magic-leap-community/superpoint``).

    Args:
        weights: a folder with config.json and model.safetensors, or a hub id, instead.
        device: a torch device; the best one at hand if left out.

    Raises:
        ModelUnavailable: if the weights cannot be had, with what was tried and the ways out.
    """

    def __init__(self, weights: str | Path | None = None, *, device: str | None = None) -> None:
        from transformers import SuperPointForKeypointDetection

        where = pick_device(device)
        folder = resolve(NETWORKS["superpoint"], weights).path
        network = load_transformer(SuperPointForKeypointDetection, folder, torch.float32)
        self.network = network.eval().requires_grad_(False).to(where)

    def __call__(self, picture: Picture, count: int) -> Points:
        """Up to ``count`` keypoints, the surest first, (N, 2) pixels of the photo, pixel centres at +0.5."""
        shrink = min(1.0, SIDE / max(picture.size))
        height, width = (max(1, round(side * shrink / CELL)) * CELL for side in picture.size)
        fit = Fit.make("stretch", picture.size, (height, width))
        grey = torch.einsum("c,chw->hw", torch.tensor(LUMA), network_input(picture, fit))
        with torch.no_grad():
            found = self.network(grey.expand(1, 3, height, width).to(self.network.device))
        keypoints, scores = found.keypoints[0].double().cpu().numpy(), found.scores[0].cpu().numpy()
        surest = np.argsort(-scores, kind="stable")[:count]
        cells = keypoints[surest] * (width, height)  # the library counts the first pixel's centre as (0, 0)
        return fit.to_pixels(cells, (height, width))
